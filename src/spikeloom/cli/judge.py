"""Commands that judge: evaluate, compare, and the demo, which does all of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeloom.cli.data import Seed
from spikeloom.cli.paths import Overwrite, output_folder
from spikeloom.errors import SettingError

if TYPE_CHECKING:
    from spikeloom.trials import Trials

Reference = Annotated[Path | None, typer.Option(help="The training trials: for the baselines, and to find copies.")]
Label = Annotated[
    list[str] | None,
    typer.Option(
        help="Condition that labels trials; without it one is found by itself. Repeatable, or with commas: the values "
        "of several conditions together are then the label."
    ),
]
Every = Annotated[
    float | None,
    typer.Option(
        help="Cut all trials into windows of this many seconds first, for continuous recordings: the noise floor then "
        "comes from blocks of time.",
        metavar="SECONDS",
    ),
]

REPORT = ("report.html", "metrics.json", "metrics.csv", "ldns_protocol.csv", "figures")
COMPARISON = ("compare.html", "compare.json", "compare.csv", "figures")
"""Files of a report and of a comparison, the page first."""

EVALUATE = "Example: spikeloom evaluate --real test.h5 --fake fake.h5 --reference train.h5 --out report"


def evaluate(
    *,
    real: Annotated[Path, typer.Option(help="Trials file of recorded trials that the model has not seen.")],
    fake: Annotated[
        list[Path], typer.Option(help="Generated trials, of any model; repeatable, one for each seed, for the spread.")
    ],
    reference: Reference = None,
    condition: Label = None,
    every: Every = None,
    conditioned_on: Annotated[
        list[str] | None,
        typer.Option(
            help="Condition or series that the trials were generated under; only these are read back. Repeatable; "
            "without it everything that the generated trials carry is read back."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Run that generated the trials: adds its cost, and a Gaussian on its latents as a baseline (LDNS)."
        ),
    ] = None,
    drawn: Annotated[
        list[Path] | None,
        typer.Option(help="Generated trials of one path drawn by hand: adds spikes and decoded path; repeatable."),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.html.")],
) -> None:
    """Judge generated trials, every number beside its noise floor from real data."""
    from spikeloom.evaluation.evaluate import evaluate as judge
    from spikeloom.report.conditional import drawn_figure
    from spikeloom.trials import Trials

    recorded, seen = Trials.load(real), None if reference is None else Trials.load(reference)
    fakes, by_hand = _load_named(fake), _load_named(drawn or [])
    output_folder(out, *REPORT, overwrite=overwrite)
    baseline, spent = (
        (None, None) if model is None else (_latent_gaussian(model, recorded, seen, seed), _cost(model, recorded))
    )
    report = judge(
        recorded,
        next(iter(fakes.values())) if len(fakes) == 1 else fakes,
        reference=seen,
        condition=_names(condition),
        every=every,
        conditioned_on=_names(conditioned_on),
        seed=seed,
        latent_gaussian=baseline,
        facts={"files": ", ".join(map(str, (real, *fake, *filter(None, [reference]))))},
        cost=spent,
    )
    more = [drawn_figure(recorded, path, reference=seen, name=name, seed=seed) for name, path in by_hand.items()]
    report = report.with_figures(*more)
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
            help="A run, model folder or file of generated trials (.h5); or NAME=PATH,PATH,... for a model that was "
            "trained with several seeds: three runs can win."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Trials file of recorded trials that no model has seen.")],
    reference: Reference = None,
    condition: Label = None,
    every: Every = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME:key=value, a change of a setting of that model's runs that needs no training, such as "
            "LFADS:start=posterior; repeatable.",
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Sets of trials each run generates.")] = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Folder for the comparison.")],
) -> None:
    """Put models side by side, judged on the same trials.

    A run generates as many trials as --data has, of the same lengths; a file is taken as it is.
    """
    from spikeloom.evaluation.compare import compare as judge
    from spikeloom.trials import Trials

    recorded, seen = Trials.load(data), None if reference is None else Trials.load(reference)
    contenders = _contenders(models)
    changes = _changes(change or [], contenders)
    output_folder(out, *COMPARISON, overwrite=overwrite)
    sets, costs = {}, {}
    for name, paths in contenders.items():
        own = changes[name]
        sets[name] = {str(path): _generated(path, own, recorded, samples, seed) for path in paths}
        costs[name] = {} if paths[0].suffix == ".h5" else _cost(paths[0], recorded, own)
    names = _names(condition)
    comparison = judge(sets, recorded, reference=seen, condition=names, every=every, seed=seed, costs=costs)
    comparison.save(out)
    _show(comparison.table())
    typer.echo(comparison.summary)
    typer.echo(f"{out / 'compare.html'}")


DEMO = "Example: spikeloom demo --out demo"


def demo(
    *,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Folder for data, run and report.")] = Path("demo"),
) -> None:
    """Do the main job on simulated data, from spikes to report, in minutes."""
    from spikeloom.demo import demo as run
    from spikeloom.training.memory import keep_freed_memory

    keep_freed_memory()
    page = run(output_folder(out, *REPORT, overwrite=overwrite), seed=seed, say=typer.echo)
    typer.echo(f"Open {page}")


def _names(words: list[str] | None) -> list[str] | None:
    """Names of conditions, from repeated options and from lists with commas."""
    names = [name for word in words or [] for name in word.split(",") if name]
    return names or None


def _contenders(words: list[str]) -> dict[str, list[Path]]:
    """Name -> runs or files, from PATH or NAME=PATH,PATH; what exists under the whole word is a path."""
    found: dict[str, list[Path]] = {}
    for word in words:
        name, named, paths = word.partition("=")
        if not named or Path(word).exists():
            name, paths = _name(Path(word)), word
        runs = [Path(paths)] if paths and Path(paths).exists() else [Path(path) for path in paths.split(",") if path]
        if name in found or not runs or len(set(runs)) < len(runs):
            raise SettingError(
                "Models must have different names, and each at least one run of its own.",
                f"They are {', '.join(words)}.",
                "Write NAME=runs/a,runs/b, rename a file or folder, or leave one out.",
            )
        found[name] = runs
    return found


def _changes(words: list[str], contenders: dict[str, list[Path]]) -> dict[str, list[str]]:
    """Name -> changes of its settings, from NAME:key=value."""
    found: dict[str, list[str]] = {name: [] for name in contenders}
    for word in words:
        name, _, what = word.partition(":")
        if name not in found or "=" not in what:
            raise SettingError(
                "A change must be NAME:key=value, of a model that is compared.",
                f"It was {word!r}; the models are {', '.join(found)}.",
                f"Write --set {next(iter(found))}:start=posterior.",
            )
        found[name].append(what)
    return found


def _generated(run: Path, changes: list[str], real: "Trials", samples: int, seed: int) -> "list[Trials]":
    """Trials of a file, or as many sets as asked for from a run."""
    from spikeloom.trials import Trials

    if run.suffix == ".h5":
        if changes:
            raise SettingError(
                "Only settings of runs can be changed.", f"{run} is a file of trials.", "Leave --set out for it."
            )
        return [Trials.load(run)]
    from spikeloom.recipe import load_model

    model = load_model(run, changes)
    return [model.sample(like=real, seed=seed + number) for number in range(samples)]


def _cost(run: Path, real: "Trials", changes: Sequence[str] = ()) -> dict[str, str]:
    """What a model costs, and, where it offers a likelihood, how well it predicts held-out counts."""
    from spikeloom.models.common.cost import cost
    from spikeloom.models.common.likelihood import bits_per_spike
    from spikeloom.recipe import load_model

    model = load_model(run, changes)
    if not model.capabilities.unseen_rates:
        return cost(model)
    real = model.in_training_order(real)
    bits = bits_per_spike(model.observation, model.unseen_rates(real), real)
    return {**cost(model), "held-out bits/spike": f"{bits:.3f}"}


def _latent_gaussian(run: Path, real: "Trials", reference: "Trials | None", seed: int) -> "Trials | None":
    """Trials of a Gaussian fitted to the latents of the training trials, as many as there are real ones; LDNS only."""
    from spikeloom.recipe import load_model

    model = load_model(run)
    if not model.capabilities.latent_gaussian:
        return None
    if reference is None:
        raise SettingError(
            "--model with an LDNS needs --reference, its training trials.",
            f"{run} holds an LDNS, and --reference is missing.",
            "Give --reference train.h5, or leave --model out.",
        )
    return model.gaussian(reference, like=real, seed=seed)


def _load_named(paths: list[Path]) -> "dict[str, Trials]":
    from spikeloom.trials import Trials

    return {
        (path.stem if len({p.stem for p in paths}) == len(paths) else str(path)): Trials.load(path) for path in paths
    }


def _name(run: Path) -> str:
    """`reach` of runs/reach, runs/reach/model and reach.h5."""
    place = run.resolve()
    place = place.parent if place.name == "model" else place
    return place.stem if place.suffix == ".h5" else place.name  # a folder's name may hold dots


def _show(table: object) -> None:
    from rich.console import Console

    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)
