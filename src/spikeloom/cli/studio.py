"""The command studio, which opens a page in the browser."""

from pathlib import Path
from typing import Annotated

import typer

STUDIO = "Example: spikeloom studio runs/reach --data train.h5"


def studio(
    *,
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders of `spikeloom fit`, or model folders.", metavar="RUN...")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trials file of the training trials. Repeatable. Default: the file with these trials beside the run, "
            "one folder above it, or in the working folder."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page. 0 chooses a free one.")] = 8765,
    host: Annotated[
        str,
        typer.Option(help="Address of the page. Other addresses than the default are reachable from other machines."),
    ] = "127.0.0.1",
) -> None:
    """Open a page in the browser: draw a movement, and see and hear the spikes that a model generates for it."""
    from spikeloom.errors import missing_extra

    try:
        from spikeloom.studio.launch import launch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "uvicorn", "websockets", "starlette"):
            raise
        raise missing_extra("The studio needs", error.name or "fastapi", "studio") from error
    launch(runs, port=port, host=host, files=data or [], say=typer.echo)
