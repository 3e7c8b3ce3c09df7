"""Population-based training over Ray Tune: many models side by side, on one machine or a cluster.

Members begin with settings drawn from the space. After each generation (so many epochs) the worst quarter of them is
replaced by copies of members of the best quarter, weights and settings, and each setting of a copy is multiplied by 0.8
or 1.2, or drawn anew, inside its range. So settings become a schedule, and nothing is trained from the start again.
AutoLFADS (Keshtkaran et al. 2022) is an LFADS trained so: `searches/lfads-published.toml`.

A generation is a fit that starts at the weights of the one before, with a seed of its own, so that no noise repeats;
the optimiser begins afresh, and ramps and warm-up belong to the first generation only ([population.later]). A member
that fails is the worst of its generation, and so becomes a copy of a good one.

Ray decides who is copied and where members run, by its public functions only. On one machine it listens on loopback
alone. What it runs and passes between processes it pickles, so a cluster must be one's own, and OUT a disk that all of
its machines see. Whom a member copies Ray draws from Python's global generator: a seed does not repeat a population.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeloom.errors import SettingError, TrainingError
from spikeloom.files import ensure_folder, read_json, write_json
from spikeloom.models.common.facts import Facts
from spikeloom.seeds import Purpose, generator
from spikeloom.training.lock import only_process
from spikeloom.training.memory import keep_freed_memory
from spikeloom.tuning.objective import Objective, objective
from spikeloom.tuning.search import Attempt, Search, best, survivable
from spikeloom.tuning.space import Setting, Space

FAILED = -1e30
"""Score of a member that failed: worse than any."""

KEPT = 4
"""Models of each member that are kept: the best, besides the last."""

LOCAL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's word for "one machine only": it listens on loopback
}
"""Environment of a Ray that is started here."""

QUIET = {"RAY_AIR_NEW_OUTPUT": "0"}
"""Environment in which Ray leaves the screen to us."""


def evolve(
    search: Search,
    *,
    members: int | None = None,
    generations: int | None = None,
    address: str | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Attempt]:
    """Train a population, or resume an interrupted one.

    Args:
        search: What is searched; `search.space.schedule` says how the population is trained.
        members: Models side by side; the schedule's number if absent.
        generations: As in the schedule if absent.
        address: Ray cluster; that of RAY_ADDRESS if absent, and without one a Ray is started on this machine.
        say: Told a line after each generation of a member.

    Returns:
        Every generation of every member.

    Raises:
        SettingError: if the folder holds another search, or a setting that varies changes the sizes of networks.
        TrainingError: if every member fails.
        KeyboardInterrupt: after Ctrl-C; everything is kept.
    """
    schedule = search.space.schedule
    schedule = replace(schedule, members=members or schedule.members, generations=generations or schedule.generations)
    search = replace(search, out=search.out.resolve(), space=replace(search.space, schedule=schedule))
    with only_process(search.out, "searching"):
        aim = objective(search.aim, train=search.train, validation=search.validation, seed=search.seed)
        search.claim("population", lambda: _check(search, aim))
        results = _run(search, aim, address, say)
        done = _attempts(search)
        search.write(done, aim.unit)
        for one in results:
            if one.error is not None:
                raise one.error  # a fault of ours: what a search survives never comes here
            if (one.metrics or {}).get("generation", 0) < schedule.generations:
                raise KeyboardInterrupt  # Ray took it for its own
        models = [(cp, told["score"]) for one in results for cp, told in one.best_checkpoints]
        found = best(done)
        if found is None:
            raise TrainingError(
                "Some members of a population must succeed.",
                f"All failed, the last one so: {done[-1].message}",
                "Try the recipe alone with `spikeloom fit`, or give milder settings.",
            )
        with max(models, key=lambda pair: pair[1])[0].as_directory() as folder:
            search.keep(Path(folder) / "model")
    return done


def _run(search: Search, aim: Objective, address: str | None, say: Callable[[str], object]) -> Any:
    """Let Ray train the population; its results, one per member."""
    ray = _connect(address)
    from ray import tune

    try:
        member = tune.with_parameters(_member, search=search, aim=aim)
        member = tune.with_resources(member, {"cpu": search.space.schedule.cpus, "gpu": search.space.schedule.gpus})
        place, space = search.out / "population", {"start": tune.grid_search(_beginnings(search))}
        if tune.Tuner.can_restore(str(place)):
            tuner = tune.Tuner.restore(str(place), trainable=member, param_space=space, resume_errored=True)
        else:
            tuner = tune.Tuner(
                member, param_space=space, tune_config=_scheduled(search), run_config=_run_config(search, say)
            )
        return tuner.fit()
    finally:
        ray.shutdown()


def _connect(address: str | None) -> Any:
    """Join a Ray cluster, or start one that only this machine can reach."""
    address = address or os.environ.get("RAY_ADDRESS")
    os.environ.update(QUIET if address else QUIET | LOCAL)  # before Ray is imported
    import ray

    if address is not None:
        try:
            ray.init(address, logging_level="ERROR", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:  # Ray's ways of not reaching a cluster
            raise SettingError(
                "--address must be that of a Ray cluster that runs and can be reached.",
                f"At {address}: {str(error).splitlines()[0]}.",
                "Start one with `ray start --head`, give the address it names, or leave --address out.",
            ) from error
        return ray
    ray.init(include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    open_at = {node["NodeManagerAddress"] for node in ray.nodes()} - {"127.0.0.1"}
    if open_at:
        ray.shutdown()
        raise SettingError(
            "Ray on one machine must listen on loopback only.",
            f"It listens on {', '.join(sorted(open_at))}: it was imported before with other settings.",
            "Run the search in a process of its own, `spikeloom tune`.",
        )
    return ray


def _scheduled(search: Search) -> Any:
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    scheduler = PopulationBasedTraining(
        time_attr="generation",
        metric="score",
        mode="max",
        perturbation_interval=1,
        quantile_fraction=search.space.schedule.quantile,
        custom_explore_fn=_Explore(search.space, search.seed),
        synch=True,  # all members of a generation are compared, however fast their machines are
    )
    return tune.TuneConfig(scheduler=scheduler, trial_dirname_creator=_dirname, reuse_actors=True)


def _dirname(trial: Any) -> str:
    """A member's folder is named by its number: of its lineage, as long as it is no copy."""
    return f"{trial.config['start']['lineage']:04d}"


def _run_config(search: Search, say: Callable[[str], object]) -> Any:
    from ray import tune

    class Teller(tune.Callback):
        """Says a line after each generation of a member."""

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            """See `ray.tune.Callback`."""
            del iteration, trials, trial, info
            score = "failed" if result["score"] == FAILED else f"{result['score']:.4g}"
            say(f"generation {result['generation']}, member {result['member']}: {score}")

    return tune.RunConfig(
        name="population",
        storage_path=str(search.out),
        stop={"generation": search.space.schedule.generations},
        callbacks=[Teller()],
        checkpoint_config=tune.CheckpointConfig(
            num_to_keep=KEPT, checkpoint_score_attribute="score", checkpoint_score_order="max"
        ),
        verbose=0,
    )


class _Explore:
    """Settings of a copy from those of the copied member."""

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.seed, self.copies = space, seed, 0

    def __call__(self, config: dict[str, Any]) -> dict[str, Any]:
        rng = generator(self.seed, Purpose.SEARCH, 3, self.copies)
        self.copies += 1
        start = config["start"]
        return {**config, "start": {**start, "settings": self.space.perturbed(start["settings"], rng)}}


def _beginnings(search: Search) -> list[dict[str, Any]]:
    """Settings at which each member begins, and its number."""
    numbers = range(search.space.schedule.members)
    draw = [search.space.draw(generator(search.seed, Purpose.SEARCH, 2, number)) for number in numbers]
    return [{"lineage": number, "settings": settings} for number, settings in enumerate(draw)]


def _member(config: dict[str, Any], *, search: Search, aim: Objective) -> None:
    """One member, as Ray runs it: generation after generation, from its last checkpoint or that of whom it copies."""
    from ray import tune

    keep_freed_memory()  # of the worker's own process
    start, schedule = config["start"], search.space.schedule
    with ExitStack() as stack:
        checkpoint = tune.get_checkpoint()
        before = None if checkpoint is None else Path(stack.enter_context(checkpoint.as_directory()))
        done = 0 if before is None else int(json.loads((before / "generation.json").read_text()))
        while done < schedule.generations:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            told = generation(search, aim, start["settings"], start["lineage"], done, before=before, folder=folder)
            done, before = done + 1, folder
            (folder / "generation.json").write_text(json.dumps(done))
            told |= {"member": int(Path(tune.get_context().get_trial_dir()).name), "generation": done}
            row = told | {"lineage": start["lineage"], "settings": start["settings"]}
            write_json(ensure_folder(search.out / "trials") / f"{told['member']:04d}-{done:04d}.json", row)
            tune.report(told, checkpoint=tune.Checkpoint.from_directory(str(folder)))


def generation(
    search: Search,
    aim: Objective,
    settings: dict[str, Setting],
    lineage: int,
    number: int,
    *,
    before: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """Train a member for one generation, and judge it.

    Args:
        search: What is searched.
        aim: Its objective.
        settings: Of the member, in this generation.
        lineage: Number of the member whose weights these once were.
        number: Of the generation, from 0.
        before: Folder whose `model` is trained on, if there is one.
        folder: Where `model` is saved; a member that fails leaves there what it began with.

    Returns:
        score, message and seconds.
    """
    begin = None if before is None or not (before / "model").exists() else before / "model"
    seed = int(generator(search.seed, Purpose.SEARCH, 4, lineage, number).integers(2**31))
    told = {"score": FAILED, "message": "", "seconds": 0.0}
    try:
        model = search.build(_settings(search, settings, number))
        model.fit(search.train, validation=search.validation, seed=seed, start=begin, progress=False)
        spent = sum({line["stage"]: line["seconds"] for line in model.history}.values())
        score = aim.score(model, model.history)
        if not math.isfinite(score):
            raise TrainingError("A score must be finite.", f"By {search.aim} it was {score}.", "Try other settings.")
        model.save(folder / "model")
        return told | {"score": score, "seconds": spent}
    except Exception as error:
        message = survivable(error)
        if message is None:
            raise
        if begin is not None:
            shutil.copytree(begin, folder / "model")
        return told | {"message": message}


def _settings(search: Search, settings: dict[str, Setting], number: int) -> dict[str, Any]:
    """Settings of one generation's fit: its own, how long it is, and what only the first one has."""
    schedule = search.space.schedule
    own = {**settings, **(schedule.later if number else {})}
    whole = search.build(own)
    plan = getattr(whole, schedule.plan, None)
    if plan is None or not hasattr(plan, "updates"):
        raise SettingError(
            "[population] plan must name the setting that holds a plan.",
            f"{type(whole).__name__} has no {schedule.plan!r}.",
            'Write plan = "plan", or for an LDNS plan = "autoencoder_plan" in [population].',
        )
    trials = len(search.train)
    return {**own, f"{schedule.plan}.updates": schedule.epochs * (trials // min(plan.batch, trials))}


def _check(search: Search, aim: Objective) -> None:
    """Refuse models that cannot be judged, and settings that change networks: a copy could not take the weights."""
    aim.check(search.build({}))
    for key, values in search.space.vary.items():
        shapes = []
        for value in values.samples:
            model = search.build(_settings(search, {key: value}, 0))
            model.build(Facts.of(search.train, model.condition))
            shapes.append({name: tensor.shape for name, tensor in model.named_parameters()})
        if any(shape != shapes[0] for shape in shapes):
            raise SettingError(
                "A population may vary only settings that leave the networks' sizes as they are.",
                f"{key} changes them.",
                "Leave it out, or search with --trials.",
            )


def _attempts(search: Search) -> list[Attempt]:
    """Every generation of every member, as they wrote it down; Ray's own table lacks some that were copied over."""
    rows = [read_json(path) for path in (search.out / "trials").glob("*.json")]
    return [
        Attempt(
            number=row["member"],
            settings=row["settings"],
            state="complete" if row["score"] > FAILED else "failed",
            score=row["score"] if row["score"] > FAILED else None,
            message=row["message"],
            seconds=row["seconds"],
            more={"generation": row["generation"], "lineage": row["lineage"]},
        )
        for row in sorted(rows, key=lambda row: (row["generation"], row["member"]))
    ]
