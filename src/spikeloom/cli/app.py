"""The command line app. Its exit codes are 0 for success, 2 for a user's mistake (one message), and 130 for Ctrl-C.

Every other exception is a bug of spikeloom and keeps its traceback. Nothing slow is imported here, so that `--help`
appears at once; each command imports what it needs when it runs.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, NoReturn, TextIO

import typer

from spikeloom.cli import codes, data, judge, live, model, published, studio, traverse, trials, tune
from spikeloom.errors import SpikeloomError, SpikeloomWarning

app = typer.Typer(
    help="Train generative models of neural population spiking, generate spikes, and compare them with real spikes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
simulate = typer.Typer(help="Simulate data with true rates or latents.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(simulate, name="simulate")

simulate.command("lorenz", epilog=data.LORENZ)(data.lorenz)
simulate.command("reaching", epilog=data.REACHING)(data.reaching)
simulate.command("controller", epilog=data.CONTROLLER)(data.controller)
papers = typer.Typer(
    help="Prepare the data sets of published papers, divided as in the paper.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(papers, name="published")
papers.command("maze", epilog=published.MAZE)(published.maze)
papers.command("speech", epilog=published.SPEECH)(published.speech)
app.command("bin", epilog=data.BIN)(data.bin_recording)
app.command("split", epilog=trials.SPLIT)(trials.split)
app.command("concatenate", epilog=trials.CONCATENATE)(trials.concatenate)
app.command("select", epilog=trials.SELECT)(trials.select)
app.command("inspect", epilog=data.INSPECT)(data.inspect)
app.command("recipes", epilog=model.RECIPES)(model.recipes)
app.command("fit", epilog=model.FIT)(model.fit)
app.command("tune", epilog=tune.TUNE)(tune.tune)
app.command("sample", epilog=model.SAMPLE)(model.sample)
app.command("live", epilog=live.LIVE)(live.live)
app.command("encode", epilog=model.ENCODE)(model.encode)
app.command("traverse", epilog=traverse.TRAVERSE)(traverse.traverse)
app.command("codes", epilog=codes.CODES)(codes.codes)
app.command("evaluate", epilog=judge.EVALUATE)(judge.evaluate)
app.command("compare", epilog=judge.COMPARE)(judge.compare)
app.command("demo", epilog=judge.DEMO)(judge.demo)
app.command("studio", epilog=studio.STUDIO)(studio.studio)


def _version(requested: bool | None) -> None:
    """Show the version and end the program, if the option `--version` was used."""
    if requested:
        from spikeloom import __version__

        typer.echo(f"spikeloom {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool | None,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
    ] = None,
) -> None:
    """Define the options of the program itself, which stand before the name of a command."""


RENAMED = {"--watch": "--validation"}
"""Maps old names of options to the new ones, for messages."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. `None` takes the arguments of the process."""
    # On a busy machine, idle threads that wait by spinning make small networks several times slower.
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    for argument in sys.argv[1:] if arguments is None else arguments:
        option = argument.partition("=")[0]
        if option in RENAMED:
            _give_up(f"`{option}` is now called `{RENAMED[option]}`.")
    try:
        with _warnings_as_notes():
            app(args=None if arguments is None else list(arguments), prog_name="spikeloom")
    except SpikeloomError as error:
        _give_up(str(error))
    except OSError as error:
        if error.errno is None:  # no error of the operating system: a bug
            raise
        reason = " ".join(part for part in (error.filename, error.strerror) if part)
        _give_up(f"A file cannot be read or written: {reason}. Check the path and the free disk space.")
    sys.exit(0)


@contextlib.contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Show each warning of spikeloom once, as one line, and hide the warnings of libraries.

    Python's option -W or the variable PYTHONWARNINGS shows the warnings of libraries again. With several processes
    (`accelerate launch`) only the first one writes.
    """
    shown: set[str] = set()
    first_process = os.environ.get("RANK", "0") == "0"

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Show a warning. This function replaces `warnings.showwarning`."""
        text = " ".join(str(message).split())
        if not issubclass(category, SpikeloomWarning):  # a warning of a library, which only -W lets through
            text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
        elif not first_process or text in shown:
            return
        else:
            shown.add(text)
            text = f"note: {text}"
        typer.echo(text, file=file, err=file is None)

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", SpikeloomWarning)
        warnings.showwarning = show
        yield


def _give_up(message: str) -> NoReturn:
    """Print a message and exit with code 2."""
    typer.echo(f"spikeloom: {message}", err=True)
    sys.exit(2)
