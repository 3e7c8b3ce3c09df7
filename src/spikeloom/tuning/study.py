"""Search for good settings on one machine. The library Optuna proposes the settings of each attempt.

An attempt trains a model with the proposed settings, and computes its score. Proposals come from a tree-structured
Parzen estimator. Its random seed for attempt n depends on (seed, n) only, so a killed search resumes with the same
result.

**Pruning.** If the objective can be computed during training, bad attempts are stopped early. In the second half of its
training, the score of an attempt is compared with the median score of the earlier attempts at the same fraction of
their updates. If the score is lower than the median, the attempt is stopped. The first attempts are always trained to
the end.

The study is stored in OUT/study.db, an SQLite file for Optuna's tools. An interrupted attempt resumes from its
checkpoint.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from spikeloom.errors import TrainingError
from spikeloom.models.common.base import Model
from spikeloom.seeds import Purpose, generator
from spikeloom.text import counted
from spikeloom.training.checkpoint import Line
from spikeloom.training.lock import only_process
from spikeloom.tuning.objective import Objective, objective
from spikeloom.tuning.search import Attempt, Search, State, best, seconds, survivable
from spikeloom.tuning.space import Choice, Drawn, Range, Setting

NAME = "spikeloom"
HOPELESS = 5
"""Number of attempts after which a search stops if all of them failed."""

UNPRUNED = 5
"""Number of attempts that are trained to the end before an attempt can be pruned."""

WARM = 50
"""An attempt is not pruned before this percentage of its updates, because attempts with a high learning rate have low
scores at first and may be the best at the end (docs/guides/tune.md)."""

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
        search: The search.
        attempts: Total number of attempts, including attempts of earlier calls and failed and pruned attempts.
        prune: Stop bad attempts early, if the objective can be computed during training.
        say: Function that prints a line after each attempt.

    Returns:
        All attempts, in order.

    Raises:
        SettingError: if the folder holds another search, or a setting is unknown.
        TrainingError: if all of the first attempts fail, or no attempt is complete at the end.
        KeyboardInterrupt: after Ctrl-C. All results are kept.
    """
    with only_process(search.out, "searching"):
        aim = objective(search.aim, train=search.train, validation=search.validation, seed=search.seed)
        search.claim("study", lambda: aim.check(search.build({})))
        optuna_study = _open(search)
        # an attempt that was interrupted, always the last one, still runs in the study and is trained again
        while len(done := _attempts(optuna_study, search)) < attempts or done[-1].state == "running":
            trial = _next(optuna_study, search)
            _try(optuna_study, trial, search, aim, prune=prune and aim.early)
            done = _attempts(optuna_study, search)
            search.write(done, aim.unit)
            say(_line(done, trial.number, aim.unit))
            _give_up_if_hopeless(done)
        search.write(done, aim.unit)
        leader = best(done)
        if leader is not None:
            search.save_best(search.folder(leader.number) / "model")
    if leader is None:
        raise TrainingError(
            f"None of {counted(len(done), 'attempt')} is complete.",
            "",
            f"See {search.out / 'trials.csv'}. Allow more attempts, or narrow the ranges of the settings.",
        )
    return done


def _open(search: Search) -> optuna.Study:
    """Open the study in the folder, or begin one.

    The first proposal of a new study is the settings of the recipe, if they lie in the space that is searched.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna_study = optuna.create_study(
        storage=_url(search.out),
        study_name=NAME,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=WARM),
    )
    defaults = search.recipe_values()
    if defaults is not None and not optuna_study.get_trials(deepcopy=False):
        optuna_study.enqueue_trial(defaults)
    return optuna_study


def _url(folder: Path) -> str:
    """Return the address of the study for Optuna."""
    return f"sqlite:///{folder.resolve() / 'study.db'}"


def _next(optuna_study: optuna.Study, search: Search) -> Trial:
    """Return the interrupted attempt, or a new attempt whose proposed settings are stored."""
    interrupted = optuna_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    # also the number of a new attempt, except attempt 0 with the settings of the recipe, which need no random seed
    n_proposed = len(optuna_study.get_trials(deepcopy=False))
    number = interrupted[0].number if interrupted else n_proposed
    # a seed for each attempt: a resumed search proposes the settings of an uninterrupted one
    seed = int(generator(search.seed, Purpose.SEARCH, Drawn.PROPOSAL, number).integers(2**31))
    optuna_study.sampler = optuna.samplers.TPESampler(seed=seed)
    if not interrupted:
        trial = optuna_study.ask()
    else:
        storage = optuna.storages.get_storage(_url(search.out))
        study_id = storage.get_study_id_from_name(NAME)
        trial = Trial(optuna_study, storage.get_trial_id_from_study_id_trial_number(study_id, number))
    # for settings that were already proposed, Optuna returns the stored values
    for key, values in search.space.vary.items():
        _suggest(trial, key, values)
    return trial


def _suggest(trial: Trial, key: str, values: Range | Choice) -> None:
    """Let Optuna propose the value of one setting of an attempt."""
    if isinstance(values, Choice):
        trial.suggest_categorical(key, values.among)
    elif values.is_integer:
        trial.suggest_int(key, int(values.low), int(values.high), log=values.log)
    else:
        trial.suggest_float(key, values.low, values.high, log=values.log)


def _try(optuna_study: optuna.Study, trial: Trial, search: Search, aim: Objective, *, prune: bool) -> None:
    """Train and score one attempt, and store its score or the message of its error in the study.

    Errors after which a search cannot continue are raised, such as a full disk.
    """
    folder = search.folder(trial.number)
    try:
        model = search.build(trial.params)
        judge = _Judge(trial, model, aim) if prune else None
        model.fit(search.train, validation=search.validation, seed=search.seed, out=folder, after_validation=judge)
        score = aim.score(model, model.history)
        if not math.isfinite(score):
            raise TrainingError("The score is not finite.", f"The objective {search.aim} is {score}.", "")
    except optuna.TrialPruned:
        optuna_study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        message = survivable(error)
        if message is None:
            raise
        trial.set_user_attr("message", message)
        optuna_study.tell(trial, state=TrialState.FAIL)
    else:
        optuna_study.tell(trial, score)


class _Judge:
    """Function that is called after each validation and stops an attempt with a bad score in its first stage.

    Args:
        trial: The attempt, as Optuna stores it.
        model: Model of the attempt.
        aim: Objective of the search.
    """

    def __init__(self, trial: Trial, model: Model, aim: Objective) -> None:
        self.trial = trial
        self.model = model
        self.aim = aim
        self.stage: str | None = trial.user_attrs.get("stage")  # the first stage, if an interrupted attempt resumes
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self.reported = set(frozen.intermediate_values)  # steps that were reported before an interruption

    def __call__(self, line: Line, share: float) -> None:
        """Report the score to Optuna, and stop the attempt if Optuna decides to prune it.

        Args:
            line: Line of history of the validation.
            share: Share of the stage's updates that are done.
        """
        if self.stage is None:
            self.stage = line["stage"]
            self.trial.set_user_attr("stage", self.stage)
        if line["stage"] != self.stage:
            return  # later stages do not change the score
        step = round(100 * share)  # percent of the updates
        if step not in self.reported:
            score = self.aim.score(self.model, [line])
            if math.isfinite(score):
                self.trial.report(score, step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def _attempts(optuna_study: optuna.Study, search: Search) -> list[Attempt]:
    """Return all attempts of a study, in order."""
    return [_attempt(trial, search) for trial in optuna_study.get_trials(deepcopy=False)]


def _attempt(trial: FrozenTrial, search: Search) -> Attempt:
    """Return an attempt that Optuna stores. An incomplete attempt has the score that was reported last."""
    settings: dict[str, Setting] = dict(trial.params)
    state = STATES[trial.state]
    score = trial.value if state == "complete" else None
    if state != "complete" and trial.intermediate_values:
        score = trial.intermediate_values[max(trial.intermediate_values)]
    message = trial.user_attrs.get("message", "")
    return Attempt(trial.number, settings, state, score, message, seconds(search.folder(trial.number)))


def _line(done: Sequence[Attempt], number: int, unit: str) -> str:
    """Return a line about an attempt and the best attempt so far."""
    attempt = done[number]
    leader = best(done)
    result = f"{attempt.state}: {attempt.message}" if attempt.message else attempt.state
    if attempt.score is not None:
        result += f", {attempt.score:.4g} {unit}"
    settings = ", ".join(f"{key}={_short(value)}" for key, value in attempt.settings.items())
    best_so_far = "" if leader is None else f"; best {leader.score:.4g} (number {leader.number})"
    return f"{number:>4} {result} ({settings}){best_so_far}"


def _short(value: Setting) -> str:
    """Return a setting as text, with three digits if it is a float."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _give_up_if_hopeless(done: Sequence[Attempt]) -> None:
    """Raise a TrainingError if there are several attempts and all of them failed."""
    failed = [attempt for attempt in done if attempt.state == "failed"]
    if len(failed) == len(done) >= HOPELESS:
        raise TrainingError(
            "All attempts of the search failed.",
            f"The last of {counted(len(failed), 'error')}: {failed[-1].message}",
            "Try the recipe alone with `spikeloom fit`, or narrow the ranges of the settings.",
        )
