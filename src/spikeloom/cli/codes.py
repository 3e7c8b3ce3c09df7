"""The command codes, which finds the behavioural variables that codes hold."""

from pathlib import Path
from typing import Annotated

import typer

from spikeloom.cli.paths import Overwrite, output_file
from spikeloom.errors import SettingError

CODES = "Example: spikeloom codes runs/arm0 runs/arm1 --data test.h5 --reference train.h5 --out contents.html"


def codes(
    *,
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders of models with codes. With several runs (seeds), their codes are compared."),
    ],
    data: Annotated[Path, typer.Option(help="Trials file of the trials on which variables are decoded.")],
    reference: Annotated[
        Path, typer.Option(help="Trials file of the training trials, to which the decoders are fitted.")
    ],
    overwrite: Overwrite = False,
    out: Annotated[Path, typer.Option(help="Page to write (.html).")],
) -> None:
    """Find which behavioural variables codes hold, among all columns and series of the trials."""
    output_file(out, ".html", inputs=[data, reference], overwrite=overwrite)
    from itertools import combinations

    import numpy as np

    from spikeloom.files import atomic_write, ensure_folder
    from spikeloom.metrics.contents import canonical_correlations, contents
    from spikeloom.models.common.coded import require_codes
    from spikeloom.recipe import load_model
    from spikeloom.report.contents import AGREEMENT, agreement_cells, contents_page, contents_rows
    from spikeloom.trials import Trials

    if len(set(runs)) < len(runs):
        raise SettingError(
            "A run can be named only once.", f"They are {', '.join(map(str, runs))}.", "Name another run."
        )
    parts = (Trials.load(reference), Trials.load(data))
    models = {str(run): require_codes(load_model(run)) for run in runs}
    coded = {name: [model.encode(part, progress=False) for part in parts] for name, model in models.items()}
    all_contents = contents(*next(iter(coded.values())))  # of the first run
    for name, *cells in (("variable", "R2", "chance", "SNR", "held"), *contents_rows(all_contents)):
        typer.echo(f"{name:<32s}" + "".join(f"{cell:>8s}" for cell in cells))
    agreement = {}  # pair of runs -> canonical correlations of their codes
    for first, second in combinations(coded, 2):
        # codes of both models for the reference trials, and for the trials of --data
        of_reference, of_data = (
            (np.asarray(of_first.codes), np.asarray(of_second.codes))
            for of_first, of_second in zip(coded[first], coded[second], strict=True)
        )
        agreement[f"{first}, {second}"] = canonical_correlations(of_reference, of_data)
    if agreement:
        typer.echo("\ncanonical correlations: " + ", ".join(AGREEMENT[1:]))
    for name, values in agreement.items():
        typer.echo(f"{name}: {', '.join(agreement_cells(values))}")
    ensure_folder(out.parent)
    atomic_write(out, contents_page(all_contents, agreement).encode())
    typer.echo(f"{out}")
