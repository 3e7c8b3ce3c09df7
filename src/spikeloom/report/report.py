"""`Report`: the comparison of generated with recorded trials, as an object, a page, a table and files.

`Findings` holds the numbers, and `Report` adds all ways to show them. Figures are computed at their first use.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

from rich.table import Table
from tqdm import tqdm

from spikeloom import html
from spikeloom.files import atomic_write, ensure_folder, write_json
from spikeloom.report import figures
from spikeloom.report.chart import Figure
from spikeloom.report.drawings import figures_of
from spikeloom.report.findings import Findings
from spikeloom.report.page import page
from spikeloom.report.screen import panel_table
from spikeloom.report.words import number, percent
from spikeloom.text import counted

ROWS = 7
"""Number of rows in the short text of a report."""


@dataclass(frozen=True, eq=False, repr=False)
class Report(Findings):
    """Comparison of generated with recorded trials.

    `print(report)` shows the summary and the first rows, `report["isi_cv_r"]` is one row, and `report.save("folder")`
    writes all files.

    Example:
        >>> import spikeloom as sl
        >>> train, test, fake = (sl.simulate.lorenz(40, n_neurons=6, n_bins=60, seed=seed) for seed in (1, 2, 3))
        >>> report = sl.evaluate(real=test, fake=fake, reference=train, splits=2, progress=False)
        >>> isinstance(report, sl.Report), report["isi_cv_r"].metric.ideal
        (True, 1.0)
    """

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Figures of the report, computed at their first use."""
        return (*(figures_of(self.shown) if self.shown else ()), *self.more_figures)

    def with_figures(self, *additional: Figure) -> "Report":
        """Return a copy of this report with additional figures."""
        return replace(self, more_figures=(*self.more_figures, *additional))

    def __repr__(self) -> str:
        lines = [self.summary, ""]
        shown = [row for row in self.in_order if row.value is not None][:ROWS]
        width = max((len(row.metric.title) for row in shown), default=0)
        lines.append(f"{'':{width}} {'generated':>10} {'floor':>10} {'Poisson':>10}  closed")
        for row in shown:
            cells = " ".join(f"{number(value):>10}" for value in (row.value, row.floor, row.baseline))
            lines.append(f"{row.metric.title:{width}} {cells}  {percent(row.closed)}".rstrip())
        n_others = len(self.rows) - len(shown)
        lines.append(
            f"... and {counted(n_others, 'more row')}: report.table() shows them, report.save('folder') writes them."
        )
        return "\n".join(lines)

    def to_html(self) -> str:
        """Return the report as one self-contained HTML page that needs no network."""
        return page(self, self.figures)

    def table(self) -> "Table":
        """Return the panel as a table for a terminal."""
        return panel_table(self)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write metrics.json, metrics.csv, ldns_protocol.csv, report.html, and figures/ as SVG and PDF.

        Without matplotlib (an extra), figures/ is left out; the page does not need it.

        Returns:
            The folder.

        Raises:
            FileError: if the folder cannot be written.
        """
        target = ensure_folder(folder)
        protocol = ["measure,unit,value,sd", *[f"{row.name},{row.unit},{row.value},{row.sd}" for row in self.protocol]]
        atomic_write(target / "metrics.csv", self.to_csv().encode())
        # a missing number is an empty cell
        atomic_write(target / "ldns_protocol.csv", ("\n".join(protocol).replace("None", "") + "\n").encode())
        atomic_write(target / "report.html", self.to_html().encode())
        if find_spec("matplotlib") is not None:
            drawings = ensure_folder(target / "figures")
            bar = tqdm(self.figures, desc="drawing", unit="figure", disable=None, delay=2, smoothing=0, leave=False)
            for figure in bar:
                figures.save(figure, drawings)
        write_json(target / "metrics.json", self.to_dict())  # written last, so its existence means a complete folder
        return target

    def _repr_html_(self) -> str:
        """Return the page in a frame for notebooks."""
        return html.frame(self.to_html())
