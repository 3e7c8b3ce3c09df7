"""`Findings`: what an evaluation found, before anything is drawn.

All numbers are here, and everything that figures show of them: the trials of both sides and the arrays behind the
metrics. Figures are made from it on demand, by `report.drawings`.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.conditional import BehaviorReading, DirectionReading
from spikeloom.metrics.memorisation import Memorisation
from spikeloom.metrics.result import Result
from spikeloom.report.chart import Figure
from spikeloom.report.rows import ProtocolRow, Row
from spikeloom.report.words import percent
from spikeloom.trials import Trials

HEADLINE = (
    "population_count_kl",
    "fano_median_ratio",
    "pairwise_correlation_r",
    "noise_correlation_r",
    "isi_cv_r",
    "c2st_rbf",
)
"""Metrics that open a report: count statistics, correlations and a classifier."""

MEMORISED = {
    "clean": "No sign of memorised training trials.",
    "suspicious": "Generated trials lie closer to training trials than new data would.",
    "swapped": "Generated trials lie closer to the held-out trials than to the training trials: were files swapped?",
    "copies": "Generated trials repeat training trials.",
}
"""The verdict on memorisation in a sentence."""


@dataclass(frozen=True, eq=False)
class Closest:
    """Generated trials with the training trials nearest to them.

    Args:
        fake: Generated trials.
        train: Training trials.
        pairs: Number of the generated and of the training trial, the nearest pairs first (pair, 2).
    """

    fake: Trials
    train: Trials
    pairs: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything that the figures of a report show.

    Args:
        real: Recorded trials.
        fake: The first set of generated trials, with labels that were decoded from its spikes where it had none.
        condition: Name of the condition that labels trials; None without one.
        results: Results of one comparison, metric name -> result with the arrays behind it.
        directions: Directions of the condition and those read from the spikes, or why there are none.
        behavior: A behaviour series and what is read of it from the spikes, or why there is none.
        closest: Generated trials beside the nearest training trials; None without training trials.
        aligned: Whether trials begin at a common event. False for windows of a continuous recording, whose mean time
            course means nothing.
    """

    real: Trials
    fake: Trials
    condition: str | None
    results: Mapping[str, Result]
    directions: DirectionReading | str
    behavior: BehaviorReading | str
    closest: Closest | None = None
    aligned: bool = True


@dataclass(frozen=True, eq=False)
class Findings:
    """What an evaluation found: all numbers, and the trials and arrays that figures show.

    Args:
        rows: The panel, in the order of the metrics.
        protocol: The published LDNS protocol, as a table of its own.
        protocol_note: What it was computed against, and its faults.
        memorisation: Whether generated trials are copies of training trials (the worst of several sets), or why that
            could not be looked at.
        facts: What was compared: files, trials, seeds, sampler; name -> words.
        names: Names of the fakes.
        cost: What training and sampling cost, name -> words; empty where only files are known.
        shown: What figures show; None for findings without figures.
        more_figures: Figures that were added to those of `shown`.
    """

    rows: tuple[Row, ...]
    protocol: tuple[ProtocolRow, ...]
    protocol_note: str
    memorisation: Memorisation | str
    facts: Mapping[str, str]
    names: tuple[str, ...] = ("fake",)
    cost: Mapping[str, str] = field(default_factory=dict)
    shown: Shown | None = None
    more_figures: tuple[Figure, ...] = ()

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.metric.name == name)

    @property
    def worst_first(self) -> list[Row]:
        """Rows by the share closed, the smallest first; then those that cannot tell; then those without a value."""
        return sorted(self.rows, key=lambda row: (row.value is None, row.closed is None, row.closed or 0.0))

    @property
    def in_order(self) -> list[Row]:
        """Rows as a reader wants them: the headline metrics first, the others by the share closed."""
        first = [row for name in HEADLINE for row in self.rows if row.metric.name == name]
        return [*first, *[row for row in self.worst_first if row.metric.name not in HEADLINE]]

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
                f"are to each other (the noise floor); the median metric closes {percent(middle)} of the distance from "
                "independent Poisson spikes to the noise floor."
            )
            away = [row for row in judged if not row.at_floor]
            if away:
                text += f" Furthest from it: {away[0].metric.title} ({percent(away[0].closed)} closed)."
        return text if isinstance(self.memorisation, str) else f"{text} {MEMORISED[self.memorisation.level]}"

    def to_dict(self) -> dict[str, object]:
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

    def _copies(self) -> dict[str, object]:
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
        """The panel as comma-separated text, one metric per line as on the page; a missing number is an empty cell."""
        out = io.StringIO()
        columns = ["metric", "title", "unit", "ideal", "value", "sd", "floor", "floor_sd", "closed"]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, *self.baseline_names, *[f"value: {name}" for name in self.names], "note"])
        for row in self.in_order:
            cells = [row.metric.name, row.metric.title, row.metric.unit, row.metric.ideal, row.value, row.sd]
            cells += [row.floor, row.floor_sd, row.closed, *[row.baselines.get(name) for name in self.baseline_names]]
            writer.writerow([*cells, *[row.values.get(name) for name in self.names], row.note])
        return out.getvalue()
