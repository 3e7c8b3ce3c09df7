"""The command tune, which searches for the settings of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikeloom.cli.data import Seed
from spikeloom.cli.paths import output_folder
from spikeloom.errors import SettingError, missing_extra

if TYPE_CHECKING:
    from spikeloom.tuning.search import Attempt, Search

SHOWN = 5
"""Number of attempts in the table on the screen."""

TUNE = (
    "Example: spikeloom tune ldns-small --data train.h5 --vary 'autoencoder_settings.dropout=0.1..0.6' "
    "--vary 'n_latents=8|16|32' --trials 40 --out search"
)


def tune(
    *,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `spikeloom recipes`), or path of a .toml file.")],
    data: Annotated[Path, typer.Option(help="Trials file to train on.")],
    validation: Annotated[
        Path | None, typer.Option(help="Trials file of validation trials. Default: a fifth of --data is held out.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="Setting to vary: KEY=LOW..HIGH, 'KEY=LOW..HIGH log' or 'KEY=ONE|TWO'. Repeatable."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Name of a search space such as lfads-published, or path of a .toml file.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of all attempts: key=value. Repeatable.")
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of settings to try, one after the other.")] = None,
    population: Annotated[
        int | None,
        typer.Option(min=2, help="Number of models to train in parallel (population-based training with Ray)."),
    ] = None,
    generations: Annotated[int | None, typer.Option(min=1, help="Number of generations of a population.")] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to use, such as auto or HOST:PORT. Default: RAY_ADDRESS if set, else this machine."
        ),
    ] = None,
    objective: Annotated[
        Literal["reconstruction", "bound", "samples"],
        typer.Option(help="Objective to optimise on the validation trials."),
    ] = "reconstruction",
    prune: Annotated[bool, typer.Option(help="Stop attempts early if they are clearly worse than the others.")] = True,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder of the search. An interrupted search resumes.")],
) -> None:
    """Search for the settings of a model. The folder then holds the recipe best.toml and a table of all attempts."""
    if (trials is None) == (population is None):
        raise SettingError(
            "A search needs either --trials (number of settings to try) or --population (number of models to train).",
            "It got both." if trials else "It got neither.",
            "Write --trials 40.",
        )
    if trials is not None and (generations is not None or address is not None):
        raise SettingError("--generations and --address need --population.", "They came with --trials.", "Remove them.")
    from spikeloom.recipe import read_recipe
    from spikeloom.training.memory import keep_freed_memory
    from spikeloom.trials import Trials
    from spikeloom.tuning.search import Search, split_validation
    from spikeloom.tuning.space import read_space

    keep_freed_memory()
    settings = read_recipe(recipe, change or ())
    varied = read_space(space, vary or ())
    train, held_out = split_validation(
        Trials.load(data), None if validation is None else Trials.load(validation), seed=seed
    )
    output_folder(out)
    # ranges that depend on the size of a trial are computed for these trials
    search = Search(settings, varied.of(train), train, held_out, objective, seed, out)
    try:
        if trials is not None:
            _need("optuna", "tune")
            from spikeloom.tuning.study import study

            attempts = study(search, attempts=trials, prune=prune, say=typer.echo)
        else:
            _need("ray", "ray")
            from spikeloom.tuning.population import evolve

            attempts = evolve(search, members=population, generations=generations, address=address, say=typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. The same command resumes {out}.", err=True)
        raise
    _show(search, attempts)


def _need(package: str, extra: str) -> None:
    """Raise a SettingError unless the package of an extra is installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise missing_extra("This search needs", package, extra)


def _show(search: "Search", attempts: "list[Attempt]") -> None:
    """Print a table of the best attempts and the paths of the results."""
    from rich.console import Console
    from rich.table import Table

    from spikeloom.tuning.search import ranked

    table = Table(title=f"Best by {search.aim}", title_justify="left", pad_edge=False)
    extra_columns = list(attempts[0].extra_columns)  # names, such as the generation in a population
    for name in ("number", *extra_columns, "score", "seconds", *search.space.vary):
        table.add_column(name, justify="right")
    for attempt in ranked(attempts)[:SHOWN]:
        values = [_short(attempt.settings[key]) for key in search.space.vary]
        extra = map(str, attempt.extra_columns.values())
        table.add_row(str(attempt.number), *extra, _short(attempt.score), f"{attempt.seconds:.0f}", *values)
    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)
    states = ("complete", "pruned", "failed")
    numbers = [f"{sum(attempt.state == state for attempt in attempts)} {state}" for state in states]
    typer.echo(f"{', '.join(numbers)}: {search.out / 'trials.csv'}")
    typer.echo(f"{search.out / 'model'}: the best model")
    typer.echo(f"{search.out / 'best.toml'}: its settings, a recipe")


def _short(value: object) -> str:
    """Return a value as text, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
