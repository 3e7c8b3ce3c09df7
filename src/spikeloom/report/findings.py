"""`Findings`: the results of an evaluation as numbers and arrays.

Findings hold all numbers of a report and the data of its figures: recorded and generated trials, and the arrays from
which metrics are computed. `report.drawings` makes the figures when they are needed. `report.rows` defines the
distance closed, by which metrics are sorted.
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
    "swapped": "Generated trials lie closer to held-out than to training trials. Check whether the files were swapped.",
    "copies": "Generated trials repeat training trials.",
}
"""One sentence for each verdict on memorisation."""


@dataclass(frozen=True, eq=False)
class Closest:
    """Generated trials and the training trials nearest to them.

    Args:
        fake: Generated trials.
        train: Training trials.
        pairs: Indices of the generated and of the training trial (pair, 2), the nearest pairs first.
    """

    fake: Trials
    train: Trials
    pairs: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shown:
    """Everything that the figures of a report show.

    Args:
        real: Recorded trials.
        fake: The first set of generated trials. If it had no labels, they were decoded from its spikes.
        condition: Name of the condition that labels trials, or `None`.
        results: Results of one comparison, metric name -> result with the arrays from which it was computed.
        directions: Requested and decoded directions, or the reason why there are none.
        behavior: Requested and decoded behaviour series, or the reason why there is none.
        closest: Generated trials and the nearest training trials. `None` without training trials.
        aligned: True if trials begin at a common event. False for windows of a continuous recording, whose mean over
            trials has no meaning.
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
    """Results of an evaluation: all numbers, and the trials and arrays that figures show.

    Args:
        rows: One row per metric, in the order of the panel.
        protocol: Rows of the published LDNS protocol, a separate table.
        protocol_note: Trials that the protocol was computed against, and faults of the protocol.
        memorisation: Comparison with the training trials (the worst of several sets), or the reason why it is missing.
        facts: Facts about the comparison, name -> text: files, trials, seeds, sampler.
        names: Names of the sets of generated trials.
        cost: Costs of training and sampling, name -> text; empty if only files were compared.
        shown: Data of the figures; `None` for findings without figures.
        more_figures: Figures in addition to those of `shown`.
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
        """Rows sorted by distance closed, smallest first. Rows without a distance or without a value come last."""
        return sorted(self.rows, key=lambda row: (row.value is None, row.closed is None, row.closed or 0.0))

    @property
    def in_order(self) -> list[Row]:
        """Rows in the order of the report: the headline metrics, then the others by distance closed, smallest first."""
        first = [row for name in HEADLINE for row in self.rows if row.metric.name == name]
        return [*first, *[row for row in self.worst_first if row.metric.name not in HEADLINE]]

    @property
    def baseline_names(self) -> list[str]:
        """Names of the baseline columns."""
        return list(dict.fromkeys(name for row in self.rows for name in row.baselines))

    @property
    def summary(self) -> str:
        """Summary of the report in one to three sentences."""
        judged = [row for row in self.worst_first if row.closed is not None]
        if not judged:
            text = "No metric can distinguish generated from recorded trials: there are too few trials or spikes."
        else:
            n_at_floor = sum(bool(row.at_floor) for row in judged)
            # a value closer to the real one than the floor closes more than 1 of the distance, and counts as 1
            median = float(np.median([min(row.closed or 0.0, 1.0) for row in judged]))
            text = (
                f"On {n_at_floor} of {len(judged)} metrics the generated trials are as close to real trials as real "
                f"trials are to each other (the noise floor). They close {percent(median)} of the distance from "
                "independent Poisson spikes to the noise floor (median over metrics)."
            )
            above_floor = [row for row in judged if not row.at_floor]
            if above_floor:
                furthest = above_floor[0]
                text += f" Furthest from the floor: {furthest.metric.title} ({percent(furthest.closed)} closed)."
        return text if isinstance(self.memorisation, str) else f"{text} {MEMORISED[self.memorisation.level]}"

    def to_dict(self) -> dict[str, object]:
        """Return the content of metrics.json: plain numbers, texts and None."""
        detail = {
            row.metric.name: {"sd": row.sd, "values": dict(row.values), "baselines": dict(row.baselines)}
            for row in self.rows
        }
        protocol_detail = {row.name: {"sd": row.sd, "baselines": dict(row.baselines)} for row in self.protocol}
        return {
            "format": "spikeloom-metrics",
            "version": 2,
            **{side: self.facts.get(side) for side in ("real", "fake", "reference")},
            "facts": dict(self.facts),
            "summary": self.summary,
            "cost": dict(self.cost),
            "ldns_protocol": {row.name: row.value for row in self.protocol},
            "panel": {row.metric.name: row.entry() for row in self.rows},
            "memorisation": self._memorisation_entry(),
            "panel_detail": detail,
            "ldns_protocol_detail": protocol_detail,
        }

    def _memorisation_entry(self) -> dict[str, object]:
        """Return the entry about memorisation in metrics.json."""
        memorisation = self.memorisation
        if isinstance(memorisation, str):
            return {"level": None, "verdict": memorisation}
        return {
            "level": memorisation.level,
            "verdict": memorisation.verdict,
            "share": memorisation.share,
            "share_sd": memorisation.share_sd,
            "quantile_ratio": memorisation.quantile_ratio,
            "duplicates": memorisation.duplicates,
            "trials": memorisation.trials,
            "closest": [
                {"fake": int(fake), "train": int(train), "distance": float(distance)}
                for (fake, train), distance in zip(memorisation.closest, memorisation.closest_distance, strict=True)
            ],
        }

    def to_csv(self) -> str:
        """Return the panel as comma-separated text, one metric per line; a missing number is an empty cell."""
        out = io.StringIO()
        columns = ["metric", "title", "unit", "ideal", "value", "sd", "floor", "floor_sd", "closed"]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*columns, *self.baseline_names, *[f"value: {name}" for name in self.names], "note"])
        for row in self.in_order:
            cells = [row.metric.name, row.metric.title, row.metric.unit, row.metric.ideal, row.value, row.sd]
            cells += [row.floor, row.floor_sd, row.closed, *[row.baselines.get(name) for name in self.baseline_names]]
            writer.writerow([*cells, *[row.values.get(name) for name in self.names], row.note])
        return out.getvalue()
