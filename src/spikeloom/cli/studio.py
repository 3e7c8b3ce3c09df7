"""The command studio, which serves a page to draw movements and see and hear generated spikes."""

import os
from pathlib import Path
from typing import Annotated

import typer

STUDIO = "Example: spikeloom studio runs/reach --data train.h5"


def studio(
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders of `spikeloom fit`, or model folders. Default: the models of `spikeloom demo`, which are "
            "trained first if they do not exist.",
            metavar="[RUN...]",
        ),
    ] = None,
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
        typer.Option(help="Address of the page. By default, it can be opened on this machine only."),
    ] = "127.0.0.1",
) -> None:
    """Open a page in the browser: draw a movement, and see and hear the spikes that a model generates for it."""
    from spikeloom.errors import missing_extra

    try:
        from spikeloom.studio.launch import launch
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "uvicorn", "websockets", "starlette"):
            raise  # a package that no extra installs: a bug
        raise missing_extra("The studio needs", error.name or "fastapi", "studio") from error
    launch(runs or _demo_runs(), port=port, host=host, files=data or [], say=typer.echo)


def _demo_runs(folder: Path = Path("demo")) -> list[Path]:
    """Return the runs of the demo in a folder, or else in the cache. Train them in the cache if they are in neither."""
    names = ("ldns", "gnocchi")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spikeloom" / "demo"
    for home in (folder, cache):
        if all((home / name / "model" / "manifest.json").exists() for name in names):
            typer.echo(f"No run was named, so the studio shows the models of the demo in {home}.")
            return [home / name for name in names]
    typer.echo(
        "No run was named. The studio trains the two models of `spikeloom demo`: an LDNS that follows a drawn "
        "movement, and a GNOCCHI whose codes can be moved. This takes a few minutes, once. They are kept in "
        f"{cache}."
    )
    from spikeloom.demo import models
    from spikeloom.training.memory import keep_freed_memory

    keep_freed_memory()
    return list(models(cache, seed=0, say=typer.echo))
