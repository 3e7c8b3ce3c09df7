"""Search on one machine: attempts one after the other, proposed and pruned by Optuna.

Proposals come from a tree-structured Parzen estimator, seeded for attempt n by (seed, n), so that a search that was
killed resumes with the same result. After the first attempts each is compared, from half of its training on, with the
median of the others at the same share of their updates, and is stopped if it is worse (where the objective can be
measured on the way). The study lies in OUT/study.db, an SQLite file that Optuna's own tools read; an attempt that was
under way is taken up from its checkpoint.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from spikeloom.errors import TrainingError
from spikeloom.models.common.base import Model
from spikeloom.seeds import Purpose, generator
from spikeloom.training.lock import only_process
from spikeloom.tuning.objective import Objective, objective
from spikeloom.tuning.search import Attempt, Search, State, best, seconds, survivable
from spikeloom.tuning.space import Choice, Range, Setting

NAME = "spikeloom"
HOPELESS = 5
"""Attempts that fail, with none that does not, after which a search stops."""

UNPRUNED = 5
"""Attempts that are trained to the end before any is pruned."""

WARM = 50
"""Percent of the updates of a stage before which nothing is pruned: a high rate pays late (docs/guides/tune.md)."""

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def study(
    search: Search, *, attempts: int, prune: bool = True, say: Callable[[str], object] = lambda _: None
) -> list[Attempt]:
    """Start or resume a search until the given number of attempts is done.

    Args:
        search: What is searched.
        attempts: How many in all, with those of earlier calls; failed and pruned ones count.
        prune: Whether hopeless attempts are stopped early, where the objective can be measured on the way.
        say: Told a line after each attempt.

    Returns:
        All attempts, in order.

    Raises:
        SettingError: if the folder holds another search, or a setting is unknown.
        TrainingError: if the first attempts all fail, or none is complete at the end.
        KeyboardInterrupt: after Ctrl-C; everything is kept.
    """
    with only_process(search.out, "searching"):
        aim = objective(search.aim, train=search.train, validation=search.validation, seed=search.seed)
        search.claim("study", lambda: aim.check(search.build({})))
        found = _open(search)
        while len(done := _attempts(found, search)) < attempts or done[-1].state == "running":
            trial = _next(found, search)
            _try(found, trial, search, aim, prune=prune and aim.early)
            done = _attempts(found, search)
            search.write(done, aim.unit)
            say(_line(done, trial.number, aim.unit))
            _give_up_if_hopeless(done)
        search.write(done, aim.unit)
        leader = best(done)
        if leader is not None:
            search.keep(search.folder(leader.number) / "model")
    if leader is None:
        raise TrainingError(
            "At least one attempt must come to its end.",
            f"Of {len(done)} none did.",
            f"Look at {search.out / 'trials.csv'}; give more attempts, or a space with milder settings.",
        )
    return done


def _open(search: Search) -> optuna.Study:
    """The study in the folder; a new one begins with the recipe's own settings, if the space holds them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = optuna.create_study(
        storage=_url(search.out),
        study_name=NAME,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=WARM),
    )
    own = search.own()
    if own is not None and not found.get_trials(deepcopy=False):
        found.enqueue_trial(own)
    return found


def _url(folder: Path) -> str:
    return f"sqlite:///{folder.resolve() / 'study.db'}"


def _next(found: optuna.Study, search: Search) -> Trial:
    """The attempt that was under way, or a new one, with its proposal stored."""
    under_way = found.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    known = len(found.get_trials(deepcopy=False))
    number = under_way[0].number if under_way else known
    seed = int(generator(search.seed, Purpose.SEARCH, 1, number).integers(2**31))
    found.sampler = optuna.samplers.TPESampler(seed=seed)
    if not under_way:
        trial = found.ask()
    else:
        storage = optuna.storages.get_storage(_url(search.out))
        study_id = storage.get_study_id_from_name(NAME)
        trial = Trial(found, storage.get_trial_id_from_study_id_trial_number(study_id, number))
    for key, values in search.space.vary.items():
        _suggest(trial, key, values)
    return trial


def _suggest(trial: Trial, key: str, values: Range | Choice) -> None:
    if isinstance(values, Choice):
        trial.suggest_categorical(key, values.among)
    elif values.whole:
        trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    else:
        trial.suggest_float(key, values.low, values.high, log=values.log)


def _try(found: optuna.Study, trial: Trial, search: Search, aim: Objective, *, prune: bool) -> None:
    """Train and judge one attempt, and store what came of it; a fault of the attempt is stored, too."""
    folder = search.folder(trial.number)
    try:
        model = search.build(trial.params)
        judge = _Judge(trial, model, aim) if prune else None
        model.fit(search.train, validation=search.validation, seed=search.seed, out=folder, after_validation=judge)
        score = aim.score(model, model.history)
        if not math.isfinite(score):
            raise TrainingError("A score must be finite.", f"By {search.aim} it was {score}.", "Try other settings.")
    except optuna.TrialPruned:
        found.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        message = survivable(error)
        if message is None:
            raise
        trial.set_user_attr("message", message)
        found.tell(trial, state=TrialState.FAIL)
    else:
        found.tell(trial, score)


class _Judge:
    """Told of each validation in the first stage; stops a hopeless attempt."""

    def __init__(self, trial: Trial, model: Model, aim: Objective) -> None:
        self.trial, self.model, self.aim = trial, model, aim
        self.stage: str | None = trial.user_attrs.get("stage")
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self.known = set(frozen.intermediate_values)  # of the process before this one

    def __call__(self, line: dict[str, Any], done: float) -> None:
        if self.stage is None:
            self.stage = line["stage"]
            self.trial.set_user_attr("stage", self.stage)
        if line["stage"] != self.stage:
            return  # what is measured does not change any more
        step = round(100 * done)
        if step not in self.known:
            score = self.aim.score(self.model, [line])
            if math.isfinite(score):
                self.trial.report(score, step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _attempts(found: optuna.Study, search: Search) -> list[Attempt]:
    return [_attempt(trial, search) for trial in found.get_trials(deepcopy=False)]


def _attempt(trial: FrozenTrial, search: Search) -> Attempt:
    settings: dict[str, Setting] = dict(trial.params)
    state = STATES[trial.state]
    last = max(trial.intermediate_values, default=None)
    score = trial.value if state == "complete" else None if last is None else trial.intermediate_values[last]
    message = trial.user_attrs.get("message", "")
    return Attempt(trial.number, settings, state, score, message, seconds(search.folder(trial.number)))


def _line(done: Sequence[Attempt], number: int, unit: str) -> str:
    """A line about an attempt, and the best one so far."""
    one, leader = done[number], best(done)
    words = f"{one.state}: {one.message}" if one.message else one.state
    if one.score is not None:
        words += f", {one.score:.4g} {unit}"
    settings = ", ".join(f"{key}={_short(value)}" for key, value in one.settings.items())
    ahead = "" if leader is None else f"; best {leader.score:.4g} (number {leader.number})"
    return f"{number:>4} {words} ({settings}){ahead}"


def _short(value: Setting) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _give_up_if_hopeless(done: Sequence[Attempt]) -> None:
    failed = [one for one in done if one.state == "failed"]
    if len(failed) == len(done) >= HOPELESS:
        raise TrainingError(
            "Some attempts of a search must succeed.",
            f"All {len(failed)} so far failed, the last one so: {failed[-1].message}",
            "Try the recipe alone with `spikeloom fit`, or give milder settings.",
        )
