"""`Report`: the answer to "how good are these generated trials?", as an object, a page, a table and files.

Every number stands between two others: what independent Poisson spikes with the right mean rates reach (*trivial*), and
what one half of the recorded trials reaches against the other (*floor*: no generator can be told to be better). With
the distance d of each from the ideal, the share of the way that is closed is

    closed = (d(trivial) - d(value)) / (d(trivial) - d(floor)),

0 for a model no better than trivial, 1 for one that cannot be told from real trials, negative for one that is worse
than trivial. Where trivial and floor do not differ by more than two standard deviations of the floor, the metric cannot
tell models apart on these data, and no share is given.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.files import atomic_write, ensure_folder, write_json
from spikeloom.metrics.memorisation import Memorisation
from spikeloom.metrics.panel import Metric
from spikeloom.report.chart import Figure

if TYPE_CHECKING:
    from rich.table import Table

AT_FLOOR = 2.0
"""Standard deviations of value and floor together within which a value counts as being at the floor."""

MEMORISED = {
    "clean": "No sign of memorised training trials.",
    "suspicious": "Generated trials lie closer to training trials than new data would.",
    "swapped": "Generated trials lie closer to the held-out trials than to the training trials: were files swapped?",
    "copies": "Generated trials repeat training trials.",
}
"""The verdict on memorisation in a sentence."""


@dataclass(frozen=True)
class Row:
    """One metric of the panel with everything it is judged by.

    Args:
        metric: What is measured.
        values: Value of each fake, by its name; only those that could be computed.
        value: Their mean; None where none could be computed.
        sd: Spread of the fakes where there are several (seeds), else of the random splits; None without either.
        floor: Real half against real half, mean over random splits.
        floor_sd: Its standard deviation over the splits.
        baselines: Value of each trivial model, by its name, in the order of the columns; None where it has none.
        trivial: The trivial value that `closed` is counted from.
        note: Why there is no number, or how many neurons or pairs were used.
    """

    metric: Metric
    values: Mapping[str, float]
    value: float | None
    sd: float | None
    floor: float | None
    floor_sd: float | None
    baselines: Mapping[str, float | None]
    trivial: float | None
    note: str = ""

    @property
    def discriminates(self) -> bool:
        """True if trivial and floor differ by more than two standard deviations of the floor.

        Never for memorisation: trivial models do not copy, so there is no way to go.
        """
        if self.trivial is None or self.floor is None or self.metric.group == "memorisation":
            return False
        gap = self.metric.distance(self.trivial) - self.metric.distance(self.floor)
        return gap > max(AT_FLOOR * (self.floor_sd or 0.0), 1e-9)

    @property
    def closed(self) -> float | None:
        """Share of the distance from trivial to floor that is closed; above 1 where the value is beyond the floor."""
        if self.value is None or not self.discriminates or self.trivial is None or self.floor is None:
            return None
        far = self.metric.distance(self.trivial)
        return (far - self.metric.distance(self.value)) / (far - self.metric.distance(self.floor))

    @property
    def at_floor(self) -> bool | None:
        """True if the value is beyond the floor or within two standard deviations of it; None if it cannot be said."""
        if self.value is None or self.floor is None:
            return None
        room = AT_FLOOR * float(np.hypot(self.floor_sd or 0.0, self.sd or 0.0)) + 1e-12
        return self.metric.distance(self.value) <= self.metric.distance(self.floor) + room

    def entry(self) -> dict[str, Any]:
        """The row as it stands in metrics.json."""
        return {
            "value": self.value,
            "floor": self.floor,
            "floor_sd": self.floor_sd,
            "trivial": self.trivial,
            "ideal": self.metric.ideal,
            "unit": self.metric.unit,
            "closed": self.closed,
            "note": self.note,
        }


@dataclass(frozen=True, eq=False)
class ProtocolRow:
    """One number of the published LDNS protocol: title, unit, value and spread over its five resamples."""

    name: str
    title: str
    unit: str
    value: float | None
    sd: float | None
    baselines: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Report:
    """How far generated trials are from recorded ones.

    Args:
        rows: The panel, in the order of the metrics.
        protocol: The published LDNS protocol, as a table of its own.
        protocol_note: What it was computed against, and its faults.
        memorisation: Whether generated trials are copies of training trials (the worst of several sets), or why that
            could not be looked at.
        facts: What was compared: files, trials, seeds, sampler; name -> words.
        figures: What to look at.
        names: Names of the fakes.
        cost: What training and sampling cost, name -> words; empty where only files are known.
    """

    rows: tuple[Row, ...]
    protocol: tuple[ProtocolRow, ...]
    protocol_note: str
    memorisation: Memorisation | str
    facts: Mapping[str, str]
    figures: tuple[Figure, ...] = ()
    names: tuple[str, ...] = ("fake",)
    cost: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.metric.name == name)

    @property
    def worst_first(self) -> list[Row]:
        """Rows by the share closed, the smallest first; then those that cannot tell; then those without a value."""
        return sorted(self.rows, key=lambda row: (row.value is None, row.closed is None, row.closed or 0.0))

    @property
    def baseline_names(self) -> list[str]:
        """Names of the baseline columns."""
        return list(dict.fromkeys(name for row in self.rows for name in row.baselines))

    @property
    def summary(self) -> str:
        """The report in one sentence or three."""
        judged = [row for row in self.worst_first if row.closed is not None]
        if not judged:
            text = "No metric can tell generated from recorded trials here: there are too few trials or spikes."
        else:
            good = sum(bool(row.at_floor) for row in judged)
            middle = float(np.median([min(row.closed or 0.0, 1.0) for row in judged]))
            text = (
                f"On {good} of {len(judged)} metrics the generated trials are as close to real trials as real trials "
                f"are to each other; the median metric closes {percent(middle)} of the distance from independent "
                "Poisson spikes to that floor."
            )
            away = [row for row in judged if not row.at_floor]
            if away:
                text += f" Furthest from it: {away[0].metric.title} ({percent(away[0].closed)} closed)."
        return text if isinstance(self.memorisation, str) else f"{text} {MEMORISED[self.memorisation.level]}"

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds: plain numbers, words and None."""
        extra = {
            row.metric.name: {"sd": row.sd, "values": dict(row.values), "baselines": dict(row.baselines)}
            for row in self.rows
        }
        protocol_extra = {row.name: {"sd": row.sd, "baselines": dict(row.baselines)} for row in self.protocol}
        return {
            "format": "spikeloom-metrics",
            "version": 1,
            **{side: self.facts.get(side) for side in ("real", "fake", "reference")},
            "facts": dict(self.facts),
            "summary": self.summary,
            "cost": dict(self.cost),
            "ldns_protocol": {row.name: row.value for row in self.protocol},
            "panel": {row.metric.name: row.entry() for row in self.rows},
            "memorisation": self._copies(),
            "panel_detail": extra,
            "ldns_protocol_detail": protocol_extra,
        }

    def _copies(self) -> dict[str, Any]:
        found = self.memorisation
        if isinstance(found, str):
            return {"level": None, "verdict": found}
        return {
            "level": found.level,
            "verdict": found.verdict,
            "share": found.share,
            "share_sd": found.share_sd,
            "quantile_ratio": found.quantile_ratio,
            "duplicates": found.duplicates,
            "trials": found.trials,
            "closest": [
                {"fake": int(fake), "train": int(train), "distance": float(distance)}
                for (fake, train), distance in zip(found.closest, found.closest_distance, strict=True)
            ],
        }

    def to_csv(self) -> str:
        """The panel as comma-separated text, worst first, one metric per line; an empty cell is a missing number."""
        out = io.StringIO()
        columns = ["metric", "title", "unit", "ideal", "value", "sd", "floor", "floor_sd", "closed"]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, *self.baseline_names, *[f"value: {name}" for name in self.names], "note"])
        for row in self.worst_first:
            cells = [row.metric.name, row.metric.title, row.metric.unit, row.metric.ideal, row.value, row.sd]
            cells += [row.floor, row.floor_sd, row.closed, *[row.baselines.get(name) for name in self.baseline_names]]
            writer.writerow([*cells, *[row.values.get(name) for name in self.names], row.note])
        return out.getvalue()

    def to_html(self) -> str:
        """The page: one self-contained HTML text that needs no network."""
        from spikeloom.report.page import page

        return page(self)

    def table(self) -> "Table":
        """The panel for a terminal, worst first."""
        from spikeloom.report.screen import panel_table

        return panel_table(self)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write metrics.json, metrics.csv, ldns_protocol.csv, report.html, and figures/ as SVG and PDF.

        Without matplotlib (an extra) there is no figures/; the page draws its own.

        Returns:
            The folder.

        Raises:
            FileError: if the folder cannot be written.
        """
        from spikeloom.report import figures

        target = ensure_folder(folder)
        lines = ["measure,unit,value,sd", *[f"{r.name},{r.unit},{r.value},{r.sd}" for r in self.protocol]]
        atomic_write(target / "metrics.csv", self.to_csv().encode())
        atomic_write(target / "ldns_protocol.csv", ("\n".join(lines).replace("None", "") + "\n").encode())
        atomic_write(target / "report.html", self.to_html().encode())
        if find_spec("matplotlib") is not None:
            drawings = ensure_folder(target / "figures")
            for figure in self.figures:
                figures.save(figure, drawings)
        write_json(target / "metrics.json", self.to_dict())  # last: it says that the folder is complete
        return target

    def _repr_html_(self) -> str:
        """The page inside a notebook, in a frame of its own so that neither styles the other."""
        from html import escape

        frame = 'sandbox="allow-scripts" style="width:100%;height:820px;border:0;border-radius:10px"'
        return f'<iframe {frame} srcdoc="{escape(self.to_html(), quote=True)}"></iframe>'


def percent(share: float | None) -> str:
    """A share as words: "87 %", "none" below zero, "all" from one on; empty for None."""
    if share is None:
        return ""
    return "none" if share <= 0 else "all" if share >= 1 else f"{100 * share:.0f} %"


def number(value: float | None, sd: float | None = None) -> str:
    """A number for people, with a true minus sign and as many digits as its spread allows; a dash for None."""
    if value is None:
        return "–"
    digits = 3
    if value and sd and sd > 1e-9 * abs(value):  # down to the first digit of the spread
        digits = int(np.clip(np.floor(np.log10(abs(value))) - np.floor(np.log10(sd)) + 1, 2, 6))
    text = "0" if value == 0 else f"{value:.{digits}g}"
    if "e" in text:
        mantissa, power = text.split("e")
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", "\u2212")


def small(value: float, sd: float) -> str:
    """A spread with one digit; 0 where it is nothing but rounding."""
    return number(float(f"{sd:.1g}") if sd > 1e-9 * abs(value) else 0.0)


def spread(value: float | None, sd: float | None) -> str:
    """Value and spread as words, such as "0.86 ± 0.02"."""
    return number(value) if value is None or sd is None else f"{number(value, sd)} ± {small(value, sd)}"


def short(note: str) -> str:
    """A note for a table: its first sentence where it is long."""
    return note if len(note) <= 90 else note.split(". ")[0]
