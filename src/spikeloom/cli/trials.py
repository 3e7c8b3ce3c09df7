"""Commands about trials files: split one, pool several, choose neurons and trials of one."""

from pathlib import Path
from typing import Annotated

import typer

from spikeloom.cli.data import Seed, TrialsOut, write_trials
from spikeloom.cli.paths import Overwrite, different_files, output_file
from spikeloom.errors import SettingError

Keep = Annotated[
    list[str] | None,
    typer.Option(
        help="Keep neurons for which this holds: COLUMN OP VALUE of the neuron table, such as 'area == MOs,MOp' or "
        "'depth < 800'; repeatable, all must hold."
    ),
]
Units = Annotated[str | None, typer.Option(help="Keep these neurons, by unit id or name: 3,5-9.")]

SPLIT = (
    "Examples: spikeloom split trials.h5 --fraction 0.75 --seed 0 --out train.h5 test.h5; "
    "spikeloom split trials.h5 --blocks --out early.h5 late.h5; "
    "spikeloom split trials.h5 --by split=train --out train.h5 rest.h5"
)


def split(
    *,
    trials: Annotated[Path, typer.Argument(help="Trials file.")],
    fraction: Annotated[
        float | None, typer.Option(help="Share of the trials that goes into the first file; 0.8 if absent.")
    ] = None,
    seed: Seed = 0,
    by: Annotated[
        str | None,
        typer.Option(
            help="Trials for which this holds go into the first file, the others into the second: COLUMN=VALUE, "
            "COLUMN=VALUE,VALUE or another comparison such as 'block < 3' or 'start_time < 600' (seconds)."
        ),
    ] = None,
    blocks: Annotated[
        bool,
        typer.Option(
            "--blocks",
            help="Keep neighbouring trials together: early trials go into the first file, late ones into the second. "
            "Trials at a boundary that share spikes with the other file are left out.",
        ),
    ] = False,
    stretches: Annotated[
        int,
        typer.Option(
            min=1,
            help="With --blocks: divide time into this many stretches and split each of them, so that both files "
            "follow the recording from start to end.",
        ),
    ] = 1,
    overwrite: Overwrite = False,
    out: Annotated[tuple[Path, Path], typer.Option(help="The two trials files to write.")],
) -> None:
    """Divide trials into two files: at random, in blocks of time, or by a condition."""
    for path in out:
        output_file(path, ".h5", inputs=[trials], overwrite=overwrite)
    different_files(*out)
    if by is not None and (blocks or fraction is not None):
        raise SettingError(
            "--by decides alone which trials go where.",
            f"It came with {'--blocks' if blocks else '--fraction'}.",
            "Leave one of them out.",
        )
    if stretches > 1 and not blocks:
        raise SettingError("--stretches belongs to --blocks.", "--blocks is missing.", "Write --blocks --stretches 5.")
    from spikeloom.trials import Trials

    whole, share = Trials.load(trials), 0.8 if fraction is None else fraction
    if by is not None:
        parts = whole.split_by(by)
    else:
        parts = whole.split(share, seed=seed, n_stretches=stretches if blocks else None)
    for part, path in zip(parts, out, strict=True):
        write_trials(part, path)


CONCATENATE = "Example: spikeloom concatenate monday.h5 tuesday.h5 --out both.h5"


def concatenate(
    *,
    trials: Annotated[list[Path], typer.Argument(help="Trials files of the same neurons in bins of one width.")],
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Pool trials files into one. The condition `source` says which file each trial comes from.

    Conditions, behaviour, rates, latents and codes that only some files have are left out, with a note.
    """
    output_file(out, ".h5", inputs=trials, overwrite=overwrite)
    if len(trials) < 2:
        raise SettingError("There must be at least two trials files.", f"There is {len(trials)}.", "Name several.")
    names = [path.stem for path in trials]
    if len(set(names)) < len(names):
        names = [str(path) for path in trials]
    if len(set(names)) < len(names):
        raise SettingError(
            "Each file can be pooled once only.", f"They are {', '.join(names)}.", "Leave the repeated ones out."
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
        float, typer.Option(min=0, help="Keep neurons that fire at least this much, spikes/s, in the kept trials.")
    ] = 0.0,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep trials for which this holds: a condition OP VALUE, 'feedback == 1', or start_time OP seconds, "
            "'start_time >= 40'; repeatable."
        ),
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0, help="Cut each trial into pieces of this many seconds, without padding.")
    ] = None,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Choose neurons and trials of a trials file."""
    output_file(out, ".h5", inputs=[trials], overwrite=overwrite)
    if not (keep or units or min_rate or where or every):
        raise SettingError(
            "It must be said what to keep.", "No option was given.", "Write --keep, --units, --min-rate or --where."
        )
    from spikeloom.trials import Trials
    from spikeloom.trials.choose import rows_of_units, rows_where, trial_columns

    chosen = Trials.load(trials)
    before = chosen.n_neurons
    if where:
        chosen = chosen.select(rows_where(trial_columns(chosen), where, len(chosen), noun="trial"))
    if every:
        chosen = chosen.cut(every)
    kept = rows_where(chosen.neuron_table, keep or (), chosen.n_neurons)
    if units:
        kept = kept & rows_of_units(chosen.neuron_table, units, chosen.n_neurons)
    kept = kept & (chosen.mean_rates_hz() >= min_rate)
    if not kept.any():
        raise SettingError(
            "At least one neuron must be left.",
            f"None of {before} neurons satisfies all of --keep, --units and --min-rate.",
            "Loosen one of them.",
        )
    write_trials(chosen.select_neurons(kept), out)
