"""Commands that split and pool trials files and choose neurons and trials: split, concatenate, select."""

from pathlib import Path
from typing import Annotated

import typer

from spikeloom.cli.data import Seed, TrialsOut, write_trials
from spikeloom.cli.paths import Overwrite, different_files, output_file
from spikeloom.errors import SettingError

Keep = Annotated[
    list[str] | None,
    typer.Option(
        help="Keep the neurons that satisfy a comparison on the neuron table, such as 'area == MOs,MOp' or "
        "'depth < 800'. Repeatable; all must hold."
    ),
]
Units = Annotated[str | None, typer.Option(help="Keep the neurons with these unit ids or names, such as 3,5-9.")]

SPLIT = "Example: spikeloom split trials.h5 --fraction 0.75 --seed 0 --out train.h5 test.h5"


def split(
    *,
    trials: Annotated[Path, typer.Argument(help="Trials file.")],
    fraction: Annotated[
        float | None, typer.Option(help="Fraction of the trials in the first file. Default: 0.8.")
    ] = None,
    seed: Seed = 0,
    by: Annotated[
        str | None,
        typer.Option(
            help="Put the trials that satisfy a comparison into the first file, the others into the second: "
            "COLUMN=VALUE, COLUMN=VALUE,VALUE, or for example 'block < 3' or 'start_time < 600' (seconds)."
        ),
    ] = None,
    blocks: Annotated[
        bool,
        typer.Option(
            "--blocks",
            help="Keep neighbouring trials together: early trials go into the first file, late ones into the second. "
            "Trials at a boundary that share spikes with the other file are removed.",
        ),
    ] = False,
    stretches: Annotated[
        int,
        typer.Option(
            min=1,
            help="Number of stretches of time, for --blocks. Each stretch is split. Both files then cover the "
            "recording from start to end.",
        ),
    ] = 1,
    overwrite: Overwrite = False,
    out: Annotated[tuple[Path, Path], typer.Option(help="The two trials files to write.")],
) -> None:
    """Divide trials into two files: at random, into blocks of time, or by a condition."""
    for path in out:
        output_file(path, ".h5", inputs=[trials], overwrite=overwrite)
    different_files(*out)
    if by is not None and (blocks or fraction is not None):
        raise SettingError(
            "--by cannot be combined with --fraction or --blocks.",
            f"It came with {'--blocks' if blocks else '--fraction'}.",
            "Remove one of them.",
        )
    if stretches > 1 and not blocks:
        raise SettingError("--stretches needs --blocks.", "--blocks is missing.", "Write --blocks --stretches 5.")
    from spikeloom.trials import Trials

    loaded = Trials.load(trials)
    fraction = 0.8 if fraction is None else fraction
    if by is not None:
        parts = loaded.split_by(by)
    else:
        parts = loaded.split(fraction, seed=seed, n_stretches=stretches if blocks else None)
    for part, path in zip(parts, out, strict=True):
        write_trials(part, path)


CONCATENATE = "Example: spikeloom concatenate monday.h5 tuesday.h5 --out both.h5"


def concatenate(
    *,
    trials: Annotated[list[Path], typer.Argument(help="Trials files with the same neurons and the same bin width.")],
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Pool trials files into one. The condition `source` names the file of each trial.

    Conditions, behaviour, rates, latents and codes that are not in all files are removed, with a note.
    """
    output_file(out, ".h5", inputs=trials, overwrite=overwrite)
    if len(trials) < 2:
        raise SettingError("Pooling needs at least two trials files.", "There is only one.", "")
    names = [path.stem for path in trials]
    if len(set(names)) < len(names):
        names = [str(path) for path in trials]
    if len({path.resolve() for path in trials}) < len(trials):
        raise SettingError(
            "Each file can be pooled only once.", f"The files are {', '.join(names)}.", "Remove the repeated ones."
        )
    from spikeloom.trials import Trials

    first, *others = [Trials.load(path) for path in trials]
    write_trials(first.concatenate(*others, sources=names), out)


SELECT = "Example: spikeloom select trials.h5 --keep 'brain_area == MOs' --min-rate 0.1 --out mos.h5"


def select(
    *,
    trials: Annotated[Path, typer.Argument(help="Trials file.")],
    keep: Keep = None,
    units: Units = None,
    min_rate: Annotated[
        float, typer.Option(min=0, help="Keep neurons with at least this mean rate in the kept trials, spikes/s.")
    ] = 0.0,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep the trials that satisfy a comparison on a condition, such as 'feedback == 1', or on the "
            "start time in seconds, 'start_time >= 40'. Repeatable; all must hold."
        ),
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0, help="Cut each trial into pieces of this length, s, without padding.")
    ] = None,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Choose neurons and trials of a trials file."""
    output_file(out, ".h5", inputs=[trials], overwrite=overwrite)
    if not (keep or units or min_rate or where or every):
        raise SettingError(
            "No neurons or trials were chosen.",
            "",
            "Write --keep, --units, --min-rate, --where or --every.",
        )
    from spikeloom.trials import Trials
    from spikeloom.trials.choose import rows_of_units, rows_where, trials_where

    selected = Trials.load(trials)
    if where:
        selected = selected.select(trials_where(selected, where))
    if every:
        selected = selected.cut(every)
    kept = rows_where(selected.neuron_table, keep or (), selected.n_neurons)
    if units:
        kept = kept & rows_of_units(selected.neuron_table, units, selected.n_neurons)
    kept = kept & (selected.mean_rates_hz() >= min_rate)
    if not kept.any():
        raise SettingError(
            "At least one neuron must remain.",
            f"None of {selected.n_neurons} neurons satisfies all of --keep, --units and --min-rate.",
            "Loosen one of them.",
        )
    write_trials(selected.select_neurons(kept), out)
