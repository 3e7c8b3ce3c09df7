"""Commands that prepare the data sets of published papers: maze, speech."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikeloom.cli.paths import Overwrite, different_files, output_file

if TYPE_CHECKING:
    from spikeloom.trials import Trials

Outputs = Annotated[
    tuple[Path, Path, Path], typer.Option("--out", help="Trials files of training, validation and test trials.")
]

MAZE = "Example: spikeloom published maze sub-Jenkins_ses-full_desc-train.nwb --out train.h5 validation.h5 test.h5"


def maze(
    *,
    recording: Annotated[Path, typer.Argument(help="NLB file of training and validation trials, .nwb.")],
    bin_width: Annotated[float, typer.Option(help="Width of a bin, s.")] = 0.005,
    lag: Annotated[float, typer.Option(help="Behaviour is read this much later than the spikes, s.")] = 0.1,
    overwrite: Overwrite = False,
    out: Outputs,
) -> None:
    """Bin monkey reaches from a Neural Latents Benchmark file and divide them as in the LDNS paper."""
    for path in out:
        output_file(path, ".h5", inputs=[recording], overwrite=overwrite)
    different_files(*out)
    from spikeloom.data.nlb import paper_split, read_nlb

    _write(paper_split(read_nlb(recording, bin_width=bin_width, lag=lag)), out)


SPEECH = "Example: spikeloom published speech competitionData --out train.h5 validation.h5 test.h5"


def speech(
    *,
    folder: Annotated[Path, typer.Argument(help="Folder that contains the folders train and test.")],
    overwrite: Overwrite = False,
    out: Outputs,
) -> None:
    """Read the attempted speech of Willett and colleagues (2023) and divide it as in the LDNS paper."""
    for path in out:
        output_file(path, ".h5", inputs=[folder], overwrite=overwrite)
    different_files(*out)
    from spikeloom.data.speech import paper_split, read_speech

    _write((read_speech(folder / "train"), *paper_split(read_speech(folder / "test"))), out)


def _write(parts: "tuple[Trials, ...]", out: tuple[Path, ...]) -> None:
    """Write each part to its file, and print a summary of it."""
    from spikeloom.files import ensure_folder

    for trials, path in zip(parts, out, strict=True):
        ensure_folder(path.parent)
        trials.save(path, overwrite=True)
        typer.echo(f"{path}: {trials!r}")
