"""The command traverse, which moves codes."""

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
    data: Annotated[Path, typer.Option(help="Trials file. Traversals start at the codes of these trials.")],
    along: Annotated[
        str,
        typer.Option(
            help="Variable to move: a numeric condition, SERIES.0 (the last bin of a series), ANGLE_deg.cos or "
            "ANGLE_deg.sin."
        ),
    ],
    span: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Smallest and largest change, in the unit of the variable."),
    ],
    points: Annotated[int, typer.Option(min=1, help="Number of evenly spaced points of a traversal.")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="Number of trials to traverse, from the first one.")] = 50,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Variable to keep constant. Repeatable. Default: all conditions of real numbers."),
    ] = None,
    how: Annotated[
        Literal["curved", "joint", "encode", "decode"],
        typer.Option(
            help="Path in code space: a curve that follows the variable (curved), a straight line along which other "
            "variables do not change (joint), or a straight line along the direction of encoding or decoding."
        ),
    ] = "curved",
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Trials file of the training trials, on which directions and decoder are fitted. Default: --data."
        ),
    ] = None,
    behavior: Annotated[
        str | None,
        typer.Option(help="Series to decode in the report. Default: a series whose name contains a position."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Report to write (.html), with the effects of the traversal.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    out: TrialsOut,
) -> None:
    """Move one variable in code space, keep the others constant, and generate trials at each point."""
    output_file(out, ".h5", inputs=[data, reference], overwrite=overwrite)
    if report is not None:
        output_file(report, ".html", overwrite=overwrite)
    from spikeloom.files import atomic_write, ensure_folder
    from spikeloom.models.common.coded import require_codes
    from spikeloom.recipe import load_model
    from spikeloom.trials import Trials

    model = require_codes(load_model(run))
    output_file(out, ".h5", overwrite=overwrite, source=type(model).__name__)
    recorded = Trials.load(data)
    fitted_on = recorded if reference is None else Trials.load(reference)
    start = recorded.select(slice(trials))
    moved = model.traverse(
        start, along, span=span, points=points, keep=keep or (), how=how, reference=fitted_on, seed=seed
    )
    ensure_folder(out.parent)
    moved.save(out, overwrite=True)
    typer.echo(f"{out}: {moved!r}")
    if report is not None:
        from spikeloom.report.traversal import traversal_page

        ensure_folder(report.parent)
        atomic_write(report, traversal_page(moved, fitted_on, series=behavior, smoothing=model.smoothing).encode())
        typer.echo(f"{report}")
