"""Commands that train and use models: recipes, fit, sample, encode."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeloom.cli.data import Seed
from spikeloom.cli.paths import Overwrite, output_file, output_folder
from spikeloom.errors import SettingError
from spikeloom.processes import start_importing
from spikeloom.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spikeloom.trials import Trials

Run = Annotated[Path, typer.Argument(help="Run folder of `spikeloom fit`, or a model folder.")]

Change = Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value. Repeatable.")]

RECIPES = "Example: spikeloom recipes ldns-small"


def recipes(
    *,
    name: Annotated[str | None, typer.Argument(help="Recipe to show with all settings.")] = None,
    change: Change = None,
) -> None:
    """List the recipes, or show one with all settings."""
    from spikeloom import recipe

    if name is not None:
        typer.echo(recipe.read_recipe(name, change or ()).dumps().rstrip())
        return
    if change:
        raise SettingError(
            "--set needs the name of a recipe.", "No recipe was named.", "Write spikeloom recipes ldns-small --set ..."
        )
    names = recipe.recipes()
    width = max(map(len, names), default=0) + 2  # of the column of names, characters
    for recipe_name in names:
        typer.echo(f"{recipe_name:<{width}}{recipe.read_recipe(recipe_name).about}")


FIT = "Example: spikeloom fit ldns-small --data train.h5 --set n_latents=12 --out runs/reach"


def fit(
    *,
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `spikeloom recipes`), or path of a .toml file.")],
    data: Annotated[Path, typer.Option(help="Trials file to train on.")],
    validation: Annotated[
        Path | None, typer.Option(help="Trials file of validation trials, on which the best weights are chosen.")
    ] = None,
    change: Change = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Run folder. An interrupted run resumes.")],
) -> None:
    """Train a model. Afterwards the run folder holds a model that can sample."""
    from spikeloom.recipe import read_recipe
    from spikeloom.training.memory import keep_freed_memory
    from spikeloom.training.processes import accelerator
    from spikeloom.trials import Trials

    keep_freed_memory()
    settings = read_recipe(recipe, change or ())
    trials = Trials.load(data)
    held_out = None if validation is None else Trials.load(validation)
    model = settings.build(trials.n_neurons)
    output_folder(out)
    try:
        model.fit(trials, validation=held_out, seed=seed, out=out)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. The same command resumes {out}.", err=True)
        raise
    if accelerator().is_main_process:
        typer.echo(f"{out / 'model'}: {type(model).__name__} trained on {trials!r}")


TRIALS_IN_MEMORY = 2048
"""Largest number of trials in memory. More trials are generated in parts, so that any number fits in memory."""

SAMPLE = "Example: spikeloom sample runs/reach --trials 500 --seed 1 --out fake.h5"


def sample(
    *,
    run: Run,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials to generate.")] = None,
    bins: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of bins of every trial. Default: each trial has the length of a random training trial."
        ),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Trials file: generate trials of the same number and lengths.")
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            help="Condition: NAME (values from --like, or drawn from the training trials), NAME=VALUE, or "
            "NAME=path.csv with a column time (s) and one column for each dimension. Repeatable. Default: each trial "
            "has the conditions of a random training trial. A model conditioned on a series then samples without "
            "conditions."
        ),
    ] = None,
    unconditional: Annotated[bool, typer.Option("--unconditional", help="Sample without conditions.")] = False,
    guidance: Annotated[
        float | None,
        typer.Option(
            help="Strength of the condition: 0 ignores it, 1 is the conditional model. Default: the model's setting."
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="Sampler: NAME or NAME:STEPS. Default: the model's student, if it has one, or else its sampler."
        ),
    ] = None,
    change: Change = None,
    max_batch: Annotated[
        int | None, typer.Option(min=1, help="Largest number of trials in memory at once. Default: set by the model.")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Generate one long trial in consecutive pieces of --bins bins (.h5 only).")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes that generate trials at the same time (.h5 only). Default: 1."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Generate trials in tasks of Ray, on this machine or a cluster (.h5 only).")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Ray cluster to use, such as auto or HOST:PORT. Default: RAY_ADDRESS if set, else this machine."
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="File to write: .h5 for trials, .nwb for spike times.")],
) -> None:
    """Generate trials. With --workers, --ray or many trials, an interrupted command resumes when it is repeated."""
    output_file(out, ".h5", ".nwb", inputs=[like], overwrite=overwrite)
    in_parts = _uses_parts(trials, like, out, stream=stream, workers=workers, ray=ray, address=address)
    if workers is not None and workers > 1 and not ray:
        start_importing("spikeloom.distributed.order")
    import numpy as np
    import torch

    from spikeloom.cli.conditions import requested_conditions
    from spikeloom.diffusion.sampler import Sampler
    from spikeloom.files import ensure_folder
    from spikeloom.recipe import choose, load_model
    from spikeloom.training.memory import keep_freed_memory
    from spikeloom.trials import Trials

    keep_freed_memory()
    model = load_model(run, change or ()).to("cuda" if torch.cuda.is_available() else "cpu")
    output_file(out, ".h5", ".nwb", overwrite=overwrite, source=type(model).__name__)
    chosen_sampler = None if sampler is None else choose(Sampler, sampler)
    if stream:
        size = bins or model.facts.longest  # bins of a piece
        n_stream_bins = (trials or 0) * size  # `_write_stream` refuses 0 pieces
        values = requested_conditions(condition, model, n_stream_bins, unconditional=unconditional)
        pieces = partial(model.stream, condition=values, guidance=guidance, seed=seed, sampler=chosen_sampler)
        _write_stream(pieces, trials, size, like, out)
        return
    values = requested_conditions(condition, model, bins, unconditional=unconditional)
    real = None if like is None else Trials.load(like)
    if values is not None and bins is None and real is None:  # trials have the duration of the shortest path
        bins = min((len(value) for value in values.values() if isinstance(value, np.ndarray)), default=None)
    number = len(real) if real is not None else trials
    if in_parts or (out.suffix == ".h5" and number is not None and number > TRIALS_IN_MEMORY):
        from spikeloom.distributed import sample_distributed

        write = partial(
            sample_distributed,
            run,
            trials,
            out=out,
            workers=workers,
            ray=ray,
            address=address,
            n_bins=bins,
            like=like,
            condition=values,
            guidance=guidance,
            sampler=sampler,
            changes=change or (),
            seed=seed,
            max_batch=max_batch,
            overwrite=overwrite,
        )
        _sample_in_parts(write, out, number or 0)  # `write` refuses 0 trials
        return
    ensure_folder(out.parent)
    generated = model.sample(
        trials,
        n_bins=bins,
        like=real,
        condition=values,
        guidance=guidance,
        seed=seed,
        sampler=chosen_sampler,
        max_batch=max_batch,
    )
    (generated.save if out.suffix == ".h5" else generated.to_nwb)(out, overwrite=True)
    typer.echo(f"{out}: {generated!r}")


def _uses_parts(
    trials: int | None,
    like: Path | None,
    out: Path,
    *,
    stream: bool,
    workers: int | None,
    ray: bool,
    address: str | None,
) -> bool:
    """Check the options of `sample`, and return whether several processes or Ray generate the trials in parts."""
    if trials is None and like is None:
        raise SettingError(
            "The number of trials is missing.",
            "Neither --trials nor --like was set.",
            "Write --trials 100.",
        )
    if address is not None and not ray:
        raise SettingError("--address needs --ray.", f"It was {address}.", "Add --ray, or remove it.")
    in_parts = ray or workers is not None
    if in_parts and (stream or out.suffix != ".h5"):
        raise SettingError(
            "--workers and --ray write trials to an .h5 file.",
            "They came with --stream." if stream else f"The output was {out}.",
            "Write --out fake.h5 without --stream.",
        )
    return in_parts


def _sample_in_parts(write: "Callable[[], Path]", out: Path, number: int) -> None:
    """Generate and write the trials in parts. If the user stops it, say how to resume.

    Args:
        write: Function that generates and writes all trials: `sample_distributed` with all its arguments.
        out: File that it writes.
        number: Number of trials.
    """
    try:
        write()
    except KeyboardInterrupt:
        typer.echo(f"Stopped. The same command resumes {out}.", err=True)
        raise
    typer.echo(f"{out}: {counted(number, 'trial')}")


def _write_stream(
    stream: "Callable[..., Iterator[Trials]]", trials: int | None, size: int, like: Path | None, out: Path
) -> None:
    """Write consecutive pieces of one long trial, one at a time.

    Args:
        stream: Function that generates the pieces, `Model.stream` with most of its arguments.
        trials: Number of pieces.
        size: Bins of a piece.
        like: Trials file of `--like`, which streams do not use.
        out: File to write.
    """
    if trials is None or like is not None or out.suffix != ".h5":
        raise SettingError(
            "--stream needs --trials (number of pieces), --bins (of each piece) and an .h5 file.",
            f"It came with {f'--like {like}' if like is not None else f'--trials {trials} --out {out}'}.",
            "Write --stream --trials 100 --bins 1000 --out long.h5.",
        )
    from spikeloom.files import ensure_folder
    from spikeloom.trials.hdf5 import write_parts

    ensure_folder(out.parent)
    pieces = stream(n_bins=trials * size, chunk=size)
    write_parts(out, (piece.fields() for piece in pieces))
    typer.echo(f"{out}: {counted(trials, 'piece')} of {counted(size, 'bin')} of one trial")


ENCODE = "Example: spikeloom encode runs/reach --data test.h5 --out latents.h5"


def encode(
    *,
    run: Run,
    data: Annotated[Path, typer.Option(help="Trials file to encode.")],
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Trials file to write (.h5), with rates and latents.")],
) -> None:
    """Infer rates, and latents or codes, of recorded trials."""
    output_file(out, ".h5", inputs=[data], overwrite=overwrite)
    from spikeloom.files import ensure_folder
    from spikeloom.recipe import load_model
    from spikeloom.trials import Trials

    encoded = load_model(run).encode(Trials.load(data))
    ensure_folder(out.parent)
    encoded.save(out, overwrite=True)
    typer.echo(f"{out}: {encoded!r}")
