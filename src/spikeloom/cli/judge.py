"""Commands that evaluate models: evaluate, compare, demo."""

import gc
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeloom.cli.data import Seed
from spikeloom.cli.paths import Overwrite, output_folder
from spikeloom.errors import SettingError

if TYPE_CHECKING:
    from spikeloom.trials import Trials

Reference = Annotated[
    Path | None,
    typer.Option(help="Trials file of the training trials: for the baselines and the test for copied trials."),
]
Label = Annotated[
    list[str] | None,
    typer.Option(
        help="Condition whose values group the trials. Default: chosen automatically. Repeat it, or separate names by "
        "commas, to group by combinations of conditions."
    ),
]
Every = Annotated[
    float | None,
    typer.Option(
        help="Cut all trials of a continuous recording into windows of this length, s. The noise floor then compares "
        "blocks of time.",
        metavar="SECONDS",
    ),
]

REPORT = ("report.html", "metrics.json", "metrics.csv", "ldns_protocol.csv", "figures")
"""Files of a report, the page first."""

COMPARISON = ("compare.html", "compare.json", "compare.csv", "figures")
"""Files of a comparison, the page first."""

EVALUATE = "Example: spikeloom evaluate --real test.h5 --fake fake.h5 --reference train.h5 --out report"


def evaluate(
    *,
    real: Annotated[Path, typer.Option(help="Trials file of test trials, which were not used for training.")],
    fake: Annotated[
        list[Path],
        typer.Option(
            help="Trials file of generated trials. Repeatable, one file for each seed, to show the spread over seeds."
        ),
    ],
    reference: Reference = None,
    condition: Label = None,
    every: Every = None,
    conditioned_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Condition or series that the generated trials were conditioned on: only these are decoded. "
            "Repeatable. Default: the conditions that the trials file records, or else all conditions and series."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Run that generated the trials: adds its cost and, if it has latents, a Gaussian and a linear "
            "autoregression on them as baselines."
        ),
    ] = None,
    drawn: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trials file generated from a path drawn by hand: adds a figure of its decoded path. Repeatable."
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[
        Path, typer.Option(help="Folder to write the report to: report.html, metrics.json, metrics.csv and figures.")
    ],
) -> None:
    """Evaluate generated trials: write a report with each metric beside its noise floor from real data."""
    _collect_garbage_rarely()
    from spikeloom.evaluation.evaluate import evaluate as judge
    from spikeloom.report.conditional import drawn_figure
    from spikeloom.trials import Trials

    recorded = Trials.load(real)
    training = None if reference is None else Trials.load(reference)
    fakes = _load_named(fake)
    by_hand = _load_named(drawn or [])
    output_folder(out, *REPORT, overwrite=overwrite)
    baselines = None if model is None else _latent_baselines(model, recorded, training, seed)
    files = [real, *fake] if reference is None else [real, *fake, reference]
    report = judge(
        recorded,
        next(iter(fakes.values())) if len(fakes) == 1 else fakes,  # only several files show a spread over seeds
        reference=training,
        condition=_names(condition),
        every=every,
        conditioned_on=_names(conditioned_on),
        seed=seed,
        baselines=baselines,
        facts={"files": ", ".join(map(str, files))},
        cost=None if model is None else _cost(model, recorded),
    )
    figures = [
        drawn_figure(recorded, trials, reference=training, name=name, seed=seed) for name, trials in by_hand.items()
    ]
    report = report.with_figures(*figures)
    report.save(out)
    _show(report.table())
    typer.echo(report.summary)
    typer.echo(f"{out / 'report.html'}")


COMPARE = "Example: spikeloom compare A=runs/a0,runs/a1,runs/a2 runs/b --data test.h5 --reference train.h5 --out both"


def compare(
    *,
    models: Annotated[
        list[str],
        typer.Argument(
            help="A run, model folder or file of generated trials (.h5), or NAME=PATH,PATH,... for a model that was "
            "trained with several seeds. A model needs three runs to be ranked first."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Trials file of test trials, which were not used for training.")],
    reference: Reference = None,
    condition: Label = None,
    every: Every = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME:key=value changes a setting of that model's runs that needs no training, such as "
            "LFADS:start=posterior. Repeatable.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Number of sets of trials that each run generates.")] = 2,
    unconditional: Annotated[bool, typer.Option("--unconditional", help="Sample without conditions.")] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Folder to write the comparison to.")],
) -> None:
    """Compare models on the same test trials.

    A run generates trials of the same number and lengths as --data, with conditions drawn from its training trials; a
    file of generated trials is used unchanged.
    """
    _collect_garbage_rarely()
    from spikeloom.evaluation.compare import compare as judge
    from spikeloom.trials import Trials

    recorded = Trials.load(data)
    training = None if reference is None else Trials.load(reference)
    contenders = _contenders(models)
    changes = _changes(change or [], contenders)
    output_folder(out, *COMPARISON, overwrite=overwrite)
    baselines: dict[str, Trials] = {}
    sets = {}  # name of a model -> path of each of its runs -> generated trials
    costs = {}
    seeds = range(seed, seed + samples)
    for name, paths in contenders.items():
        model_changes = changes[name]
        draw = partial(_generated, changes=model_changes, real=recorded, seeds=seeds, unconditional=unconditional)
        sets[name] = {str(path): draw(path) for path in paths}
        has_model = paths[0].suffix != ".h5"  # a file of trials has no cost and no latents
        costs[name] = _cost(paths[0], recorded, model_changes) if has_model else {}
        if training is not None and has_model:
            on_latents = _latent_baselines(paths[0], recorded, training, seed, model_changes)
            baselines |= {f"{baseline} of {name}": trials for baseline, trials in on_latents.items()}
    comparison = judge(
        sets,
        recorded,
        reference=training,
        condition=_names(condition),
        every=every,
        seed=seed,
        baselines=baselines,
        costs=costs,
    )
    comparison.save(out)
    _show(comparison.table())
    typer.echo(comparison.summary)
    typer.echo(f"{out / 'compare.html'}")


DEMO = "Example: spikeloom demo --out demo"


def demo(
    *,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Folder to write data, run and report to.")] = Path("demo"),
) -> None:
    """Simulate data, train two models, generate trials and write a report, in a few minutes."""
    from spikeloom.demo import demo as run
    from spikeloom.training.memory import keep_freed_memory

    keep_freed_memory()
    page = run(output_folder(out, *REPORT, overwrite=overwrite), seed=seed, say=typer.echo)
    typer.echo(f"Open {page}")


def _names(options: list[str] | None) -> list[str] | None:
    """Return the names of conditions in repeated options, each with one name or several names and commas.

    Without names the result is None.
    """
    names = [name for option in options or [] for name in option.split(",") if name]
    return names or None


def _contenders(arguments: list[str]) -> dict[str, list[Path]]:
    """Return the runs or files of each model by name.

    Args:
        arguments: Texts PATH or NAME=PATH,PATH. An existing path may contain "=" or commas.
    """
    contenders: dict[str, list[Path]] = {}
    for argument in arguments:
        name, equals, paths = argument.partition("=")
        if not equals or Path(argument).exists():
            name = _name(Path(argument))
            paths = argument
        runs = [Path(paths)] if paths and Path(paths).exists() else [Path(path) for path in paths.split(",") if path]
        if name in contenders or not runs or len(set(runs)) < len(runs):
            raise SettingError(
                "Models must have different names and different runs, at least one each.",
                f"They are {', '.join(arguments)}.",
                "Write NAME=runs/a,runs/b, rename a file or folder, or remove one.",
            )
        contenders[name] = runs
    return contenders


def _changes(options: list[str], contenders: dict[str, list[Path]]) -> dict[str, list[str]]:
    """Return the changed settings of each model by name.

    Args:
        options: Texts NAME:key=value.
        contenders: Name of a model -> its runs or files.
    """
    changes: dict[str, list[str]] = {name: [] for name in contenders}
    for option in options:
        name, _, change = option.partition(":")
        if name not in changes or "=" not in change:
            raise SettingError(
                "--set must be NAME:key=value, with the name of a compared model.",
                f"It was {option!r}; the models are {', '.join(changes)}.",
                f"Write --set {next(iter(changes))}:start=posterior.",
            )
        changes[name].append(change)
    return changes


def _generated(
    run: Path, *, changes: list[str], real: "Trials", seeds: Sequence[int], unconditional: bool
) -> "list[Trials]":
    """Return the trials of a file, or the trials that a run generates with each seed.

    Args:
        run: Run, model folder or file of trials (.h5).
        changes: Changed settings of the run.
        real: Recorded trials. A run generates trials of the same number and lengths.
        seeds: Random seeds, one for each set of generated trials.
        unconditional: Sample without conditions.
    """
    from spikeloom.trials import Trials

    if run.suffix == ".h5":
        if changes:
            raise SettingError(
                "Only settings of runs can be changed.", f"{run} is a file of trials.", "Remove --set for it."
            )
        return [Trials.load(run)]
    from spikeloom.recipe import load_model

    model = load_model(run, changes)
    condition = () if unconditional else None  # None draws the conditions of training trials
    return [model.sample(like=real, condition=condition, seed=seed) for seed in seeds]


def _cost(run: Path, real: "Trials", changes: Sequence[str] = ()) -> dict[str, str]:
    """Return the cost of a model and, if it has a likelihood, its bits per spike on held-out counts.

    Args:
        run: Run or model folder.
        real: Recorded test trials.
        changes: Changed settings of the run.
    """
    from spikeloom.models.common.cost import cost
    from spikeloom.models.common.likelihood import bits_per_spike
    from spikeloom.recipe import load_model

    model = load_model(run, changes)
    if not model.capabilities.unseen_rates:
        return cost(model)
    real = model.in_training_order(real)  # the neurons may have another order in the file
    bits = bits_per_spike(model.observation, model.unseen_rates(real), real)
    return {**cost(model), "held-out bits/spike": f"{bits:.3f}"}


def _latent_baselines(
    run: Path, real: "Trials", reference: "Trials | None", seed: int, changes: Sequence[str] = ()
) -> "Mapping[str, Trials]":
    """Return trials of simple models of the latents by name, one trial for each real trial.

    For a model without latents, the result is empty.

    Args:
        run: Run or model folder.
        real: Recorded test trials.
        reference: Training trials, or None.
        seed: Random seed.
        changes: Changed settings of the run.
    """
    from spikeloom.recipe import load_model

    model = load_model(run, changes)
    if not model.capabilities.latent_baselines:
        return {}
    if reference is None:
        raise SettingError(
            "Baselines on the latents of a model need --reference, the training trials.",
            f"{run} holds a model with latents, and --reference is missing.",
            "Add --reference train.h5, or remove --model.",
        )
    return model.latent_baselines(reference, like=real, seed=seed)


def _collect_garbage_rarely() -> None:
    """Set Python's garbage collector to search for reference cycles less often in this process.

    Drawing a report creates a million small objects. With fewer searches a report of 728 trials takes a tenth less
    time. Memory stays bounded, because the search is still made.
    """
    gc.set_threshold(100_000, 50, 50)


def _load_named(paths: list[Path]) -> "dict[str, Trials]":
    """Load trials files by name: the name of the file, or its path if several files have the same name."""
    from spikeloom.trials import Trials

    different = len({path.stem for path in paths}) == len(paths)
    return {(path.stem if different else str(path)): Trials.load(path) for path in paths}


def _name(run: Path) -> str:
    """Return a short name of a run: `reach` for runs/reach, runs/reach/model and reach.h5."""
    folder = run.resolve()
    folder = folder.parent if folder.name == "model" else folder
    return folder.stem if folder.suffix == ".h5" else folder.name  # a folder's name may hold dots


def _show(table: object) -> None:
    """Print a table; outside of a terminal, with lines of up to 160 characters."""
    from rich.console import Console

    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)
