"""Command about codes: traverse."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikeloom.cli.data import Seed, TrialsOut
from spikeloom.cli.model import Run
from spikeloom.cli.paths import Overwrite, output_file

TRAVERSE = (
    "Example: spikeloom traverse runs/arm --data t.h5 --along target_x --span -0.06 0.06 --points 5 --out moved.h5"
)


def traverse(
    *,
    run: Run,
    data: Annotated[Path, typer.Option(help="Trials file: its trials' codes are where traversals begin.")],
    along: Annotated[
        str,
        typer.Option(
            help="Variable to move: a condition of numbers, SERIES.0 (its last bin), or ANGLE_deg.cos or .sin."
        ),
    ],
    span: Annotated[tuple[float, float], typer.Option(help="Least and largest change, in the variable's own unit.")],
    points: Annotated[int, typer.Option(min=1, help="Points of a traversal, even over the span.")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="How many of the trials are traversed, the first ones.")] = 50,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Variable that shall not move; repeatable. All conditions of single numbers if absent."),
    ] = None,
    how: Annotated[
        Literal["curved", "joint", "encode", "decode"],
        typer.Option(help="Along codes as they bend with the variable (curved), or straight, in one of three ways."),
    ] = "curved",
    reference: Annotated[
        Path | None, typer.Option(help="Trials file, the training trials: directions and decoder are fitted there.")
    ] = None,
    behavior: Annotated[
        str | None, typer.Option(help="Series to decode in the report; one named after a position if absent.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Page to write, .html: what the traversal changed.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Move one variable in code space, keep the rest, and generate trials along the way."""
    output_file(out, ".h5", inputs=[data, reference], overwrite=overwrite)
    if report is not None:
        output_file(report, ".html", overwrite=overwrite)
    from spikeloom.files import atomic_write, ensure_folder
    from spikeloom.models.common.coded import require_codes
    from spikeloom.recipe import load_model
    from spikeloom.trials import Trials

    model = require_codes(load_model(run))
    output_file(out, ".h5", overwrite=overwrite, source=type(model).__name__)
    given = Trials.load(data)
    known = given if reference is None else Trials.load(reference)
    start = given.select(slice(trials))
    moved = model.traverse(start, along, span=span, points=points, keep=keep or (), how=how, reference=known, seed=seed)
    ensure_folder(out.parent)
    moved.save(out, overwrite=True)
    typer.echo(f"{out}: {moved!r}")
    if report is not None:
        from spikeloom.report.traversal import traversal_page

        ensure_folder(report.parent)
        atomic_write(report, traversal_page(moved, known, series=behavior, smoothing=model.smoothing).encode())
        typer.echo(f"{report}")
