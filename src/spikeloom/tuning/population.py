"""Population-based training with Ray Tune: many models in parallel, on one machine or a cluster.

The population consists of members. A member is a model that starts with settings drawn from the search space. A
generation is a fixed number of epochs. After each generation the worst quarter of the members is replaced by copies of
members of the best quarter, with their weights and settings. Each setting of a copy is multiplied by 0.8 or 1.2, or
drawn again, within its range. So settings change during training, and copies continue from trained weights. AutoLFADS
(Keshtkaran et al. 2022) trains an LFADS in this way: `searches/lfads-published.toml`.

Each generation starts from the weights of the previous generation, with a new seed, so that no noise repeats. The
optimiser starts with an empty state; ramps and warm-up happen in the first generation only, because the
table `population.later` of the search switches them off. A member that fails ranks last in its generation, and is
replaced by a copy of a good member.

Ray chooses the members to copy and the machines; only its public functions are used. On one machine, Ray accepts
connections from this machine only. Ray pickles the data that it passes between processes, so use only a cluster that
you trust. All machines of the cluster must be able to read and write the folder OUT. Ray draws the copied member from
Python's global random generator, so a seed does not reproduce a population.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from spikeloom.cluster import connect
from spikeloom.errors import SettingError, TrainingError
from spikeloom.files import ensure_folder, read_json, write_json
from spikeloom.models.common.facts import Facts
from spikeloom.seeds import Purpose, generator
from spikeloom.training.lock import only_process
from spikeloom.training.memory import keep_freed_memory
from spikeloom.tuning.objective import Objective, objective
from spikeloom.tuning.search import Attempt, Search, best, survivable
from spikeloom.tuning.space import Drawn, Setting, Space

if TYPE_CHECKING:
    from ray.tune import ResultGrid, RunConfig, TuneConfig
    from ray.tune.experiment import Trial

FAILED = -1e30
"""Score of a member that failed, below any other score."""

MODELS_KEPT = 4
"""Number of trained models of each member that stay on disk: the last model, and the best of the earlier models."""


class Start(TypedDict):
    """Settings of a member, and the number of the member from which its weights originate."""

    lineage: int
    settings: dict[str, Setting]


class Config(TypedDict):
    """Configuration that Ray holds for each member."""

    start: Start


class Score(TypedDict):
    """Result of training a member for one generation."""

    score: float
    message: str
    seconds: float


class Reported(Score):
    """Report of a member to Ray after a generation."""

    member: int
    generation: int


class Row(Reported, Start):
    """Content of the file of one generation of one member."""


def evolve(
    search: Search,
    *,
    members: int | None = None,
    generations: int | None = None,
    address: str | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Attempt]:
    """Train a population, or resume an interrupted population.

    Args:
        search: The search. `search.space.schedule` sets how the population is trained.
        members: Number of models in parallel. `None` uses `members` of the schedule.
        generations: Number of generations. `None` uses `generations` of the schedule.
        address: Address of a Ray cluster. Default: RAY_ADDRESS if set, else Ray is started on this machine.
        say: Function that prints a line after each generation of a member.

    Returns:
        Every generation of every member.

    Raises:
        SettingError: The folder holds another search, or a varied setting changes the sizes of networks.
        TrainingError: Every member fails.
        KeyboardInterrupt: Ctrl-C was pressed. All results are kept.
    """
    schedule = search.space.schedule
    schedule = replace(schedule, members=members or schedule.members, generations=generations or schedule.generations)
    search = replace(search, out=search.out.resolve(), space=replace(search.space, schedule=schedule))
    with only_process(search.out, "searching"):
        aim = objective(search.aim, train=search.train, validation=search.validation, seed=search.seed)
        search.claim("population", lambda: _check(search, aim))
        results = _run(search, aim, address, say)
        attempts = _attempts(search)
        search.write(attempts, aim.unit)
        for result in results:
            if result.error is not None:
                raise result.error  # a bug: errors that a search handles do not reach this line
            if (result.metrics or {}).get("generation", 0) < schedule.generations:
                raise KeyboardInterrupt  # Ray caught Ctrl-C itself
        checkpoints = [pair for result in results for pair in result.best_checkpoints]  # (checkpoint, its report)
        if best(attempts) is None:
            raise TrainingError(
                "All members of the population failed.",
                f"The last error: {attempts[-1].message}",
                "Try the recipe alone with `spikeloom fit`, or narrow the ranges of the settings.",
            )
        best_checkpoint, _ = max(checkpoints, key=lambda pair: pair[1]["score"])
        with best_checkpoint.as_directory() as folder:
            search.save_best(Path(folder) / "model")
    return attempts


def _run(search: Search, aim: Objective, address: str | None, say: Callable[[str], object]) -> "ResultGrid":
    """Train the population with Ray and return its results, one for each member.

    Args:
        search: The search.
        aim: Objective of the search.
        address: Address of a Ray cluster, or None for this machine.
        say: Function that prints a line of progress.
    """
    ray = connect(address)
    from ray import tune

    try:
        member = tune.with_parameters(_member, search=search, aim=aim)
        member = tune.with_resources(member, {"cpu": search.space.schedule.cpus, "gpu": search.space.schedule.gpus})
        folder = search.out / "population"
        space = {"start": tune.grid_search(_initial_settings(search))}
        if tune.Tuner.can_restore(str(folder)):
            tuner = tune.Tuner.restore(str(folder), trainable=member, param_space=space, resume_errored=True)
        else:
            tuner = tune.Tuner(
                member, param_space=space, tune_config=_tune_config(search), run_config=_run_config(search, say)
            )
        return tuner.fit()
    finally:
        ray.shutdown()


def _tune_config(search: Search) -> "TuneConfig":
    """Return settings of Ray Tune: after each generation, the worst members continue as changed copies of the best."""
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    scheduler = PopulationBasedTraining(
        time_attr="generation",
        metric="score",
        mode="max",
        perturbation_interval=1,  # after every generation
        quantile_fraction=search.space.schedule.quantile,
        custom_explore_fn=_Explore(search.space, search.seed),
        synch=True,  # compare all members of a generation, also if their machines differ in speed
    )
    return tune.TuneConfig(scheduler=scheduler, trial_dirname_creator=_dirname, reuse_actors=True)


def _dirname(trial: "Trial") -> str:
    """Return the folder name of a member, the number of its lineage."""
    return f"{trial.config['start']['lineage']:04d}"


def _run_config(search: Search, say: Callable[[str], object]) -> "RunConfig":
    """Return the configuration of Ray Tune: folder, number of generations, printed lines, and checkpoints."""
    from ray import tune

    class ScorePrinter(tune.Callback):
        """Callback that prints a line after each generation of a member."""

        def on_trial_result(
            self, iteration: int, trials: "list[Trial]", trial: "Trial", result: Reported, **info: object
        ) -> None:
            """Print the score of a member; Ray calls this function after each generation of the member."""
            del iteration, trials, trial, info
            score = "failed" if result["score"] == FAILED else f"{result['score']:.4g}"
            say(f"generation {result['generation']}, member {result['member']}: {score}")

    return tune.RunConfig(
        name="population",
        storage_path=str(search.out),
        stop={"generation": search.space.schedule.generations},
        callbacks=[ScorePrinter()],
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=MODELS_KEPT, checkpoint_score_attribute="score", checkpoint_score_order="max"
        ),
        verbose=0,
    )


class _Explore:
    """Function that changes the settings of a copied member.

    Args:
        space: Space of the search.
        seed: Random seed of the search.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space = space
        self.seed = seed
        self.copies = 0  # number of copies so far, so that each copy has its own random numbers

    def __call__(self, config: Config) -> Config:
        """Return the configuration of a copy: the same lineage with changed settings."""
        rng = generator(self.seed, Purpose.SEARCH, Drawn.COPY, self.copies)
        self.copies += 1
        start = config["start"]
        settings = self.space.perturbed(start["settings"], rng)
        return {**config, "start": {"lineage": start["lineage"], "settings": settings}}


def _initial_settings(search: Search) -> list[Start]:
    """Draw the initial settings of each member. The lineage of a new member is its own number."""
    members = range(search.space.schedule.members)
    settings = [search.space.draw(generator(search.seed, Purpose.SEARCH, Drawn.MEMBER, member)) for member in members]
    return [{"lineage": member, "settings": settings[member]} for member in members]


def _member(config: Config, *, search: Search, aim: Objective) -> None:
    """Train one member in Ray, generation by generation.

    Training begins from the last checkpoint of this member, or of the member from which it is copied.

    Args:
        config: Settings of the member, and the number of the member from which its weights originate.
        search: The search.
        aim: Objective of the search.
    """
    from ray import tune

    keep_freed_memory()  # updates of large batches are faster; this is a setting of each process
    start = config["start"]
    schedule = search.space.schedule
    with ExitStack() as stack:
        checkpoint = tune.get_checkpoint()
        previous = None if checkpoint is None else Path(stack.enter_context(checkpoint.as_directory()))
        # number of generations that are done
        done = 0 if previous is None else int(json.loads((previous / "generation.json").read_text()))
        while done < schedule.generations:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            result = train_generation(
                search, aim, start["settings"], start["lineage"], done, previous=previous, folder=folder
            )
            done = done + 1
            previous = folder
            (folder / "generation.json").write_text(json.dumps(done))
            # the folder was named when the member began, after its lineage, which was its own number then
            member = int(Path(tune.get_context().get_trial_dir()).name)
            reported: Reported = {**result, "member": member, "generation": done}
            row: Row = {**reported, "lineage": start["lineage"], "settings": start["settings"]}
            write_json(ensure_folder(search.out / "trials") / f"{member:04d}-{done:04d}.json", row)
            tune.report(reported, checkpoint=tune.Checkpoint.from_directory(str(folder)))


def train_generation(
    search: Search,
    aim: Objective,
    settings: dict[str, Setting],
    lineage: int,
    number: int,
    *,
    previous: Path | None,
    folder: Path,
) -> Score:
    """Train a member for one generation and score it.

    Args:
        search: The search.
        aim: Objective of the search.
        settings: Settings of the member in this generation.
        lineage: Number of the member from which the weights originate.
        number: Number of the generation, from 0.
        previous: Folder of the previous generation. Its subfolder `model` holds the weights from which this generation
            starts. None in the first generation.
        folder: Folder in which `model` is saved. If training fails, the model of `previous` is copied to this folder.

    Returns:
        Score, message and seconds.
    """
    start = None if previous is None or not (previous / "model").exists() else previous / "model"
    seed = int(generator(search.seed, Purpose.SEARCH, Drawn.GENERATION, lineage, number).integers(2**31))
    failed: Score = {"score": FAILED, "message": "", "seconds": 0.0}
    try:
        model = search.build(_settings(search, settings, number))
        model.fit(search.train, validation=search.validation, seed=seed, start=start, progress=False)
        # The last line of a stage has the duration of the stage.
        seconds = sum({line["stage"]: line["seconds"] for line in model.history}.values())
        score = aim.score(model, model.history)
        if not math.isfinite(score):
            raise TrainingError("The score is not finite.", f"The objective {search.aim} is {score}.", "")
        model.save(folder / "model")
        return {"score": score, "message": "", "seconds": seconds}
    except Exception as error:
        message = survivable(error)
        if message is None:
            raise
        if start is not None:
            shutil.copytree(start, folder / "model")
        return {**failed, "message": message}


def _settings(search: Search, settings: dict[str, Setting], number: int) -> dict[str, object]:
    """Return the settings of a member in one generation.

    The result holds the settings of the member and the number of updates of a generation. After the first generation,
    it also holds the settings `later` of the schedule.

    Args:
        search: The search.
        settings: Settings of the member by key.
        number: Number of the generation, from 0.
    """
    schedule = search.space.schedule
    changed = {**settings, **(schedule.later if number else {})}
    model = search.build(changed)
    plan = getattr(model, schedule.plan, None)
    if plan is None or not hasattr(plan, "updates"):
        raise SettingError(
            "[population] plan must name the setting that holds a plan.",
            f"{type(model).__name__} has no {schedule.plan!r}.",
            'Write plan = "plan", or for an LDNS plan = "autoencoder_plan" in [population].',
        )
    n_trials = len(search.train)
    updates_per_epoch = n_trials // min(plan.batch, n_trials)
    return {**changed, f"{schedule.plan}.updates": schedule.epochs * updates_per_epoch}


def _check(search: Search, aim: Objective) -> None:
    """Raise an error if the objective does not apply to the model, or a varied setting changes the size of a network.

    Weights are copied between members, so all members need networks of the same sizes.
    """
    aim.check(search.build({}))
    for key, values in search.space.vary.items():
        shapes = []
        for value in values.samples:
            model = search.build(_settings(search, {key: value}, 0))
            model.build(Facts.of(search.train, model.condition))  # creates the networks
            shapes.append({name: tensor.shape for name, tensor in model.named_parameters()})
        if any(shape != shapes[0] for shape in shapes):
            raise SettingError(
                "A population can only vary settings that do not change the sizes of networks.",
                f"{key} changes the sizes.",
                "Remove it, or search with --trials.",
            )


def _attempts(search: Search) -> list[Attempt]:
    """Read every generation of every member from the files that the members wrote.

    Ray's own table does not have the generations of a member that were replaced by a copy of another member.
    """
    rows = [cast("Row", read_json(path)) for path in (search.out / "trials").glob("*.json")]
    return [
        Attempt(
            number=row["member"],
            settings=row["settings"],
            state="complete" if row["score"] > FAILED else "failed",
            score=row["score"] if row["score"] > FAILED else None,
            message=row["message"],
            seconds=row["seconds"],
            extra_columns={"generation": row["generation"], "lineage": row["lineage"]},
        )
        for row in sorted(rows, key=lambda row: (row["generation"], row["member"]))
    ]
