"""`compare`: several models, or anybody's files, against the same recorded trials in one table and one figure.

    comparison = compare({"LDNS": {"a": [one, two], "b": [one, two]}, "LFADS": ...}, real=test, reference=train)
    comparison.save("comparison")

All models meet the same halves of the recorded trials, the same number of trials, the same floor. Two spreads are told
apart: over *runs* (the same recipe trained again with another seed) and over *samples* of one run. A winner of a metric
is named only where the first allows it: all models have at least three runs, the best is not merely one of several at
the floor, and it is closer to the ideal than every other model by more than their two standard deviations together.
Everywhere else the table says that no winner can be named, and why.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeloom.errors import DataError
from spikeloom.evaluation.evaluate import Fakes, check, describe, named, panel_rows
from spikeloom.evaluation.recorded import RecordedHalves
from spikeloom.evaluation.report import Row, percent, spread
from spikeloom.files import atomic_write, ensure_folder, write_json
from spikeloom.metrics.panel import Metric
from spikeloom.report import figures
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.trials import Trials

if TYPE_CHECKING:
    from rich.table import Table

RUNS = 3
"""Training seeds that a model needs before it can win."""

Runs = Fakes | Mapping[str, Sequence[Trials]]
"""Generated trials of a model: one set, one per run, or several samples for each run by its name."""

ROLES: tuple[Role, ...] = ("c5", "c6", "c3", "c7", "c1", "c2", "c4", "c0")


@dataclass(frozen=True)
class Verdict:
    """Winner of one metric, or why there is none."""

    winner: str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Contender:
    """A model with its runs.

    Args:
        rows: Metric name -> row; its value is the mean over runs of the mean over samples, its sd that over runs.
        sample_sd: Metric name -> sd over the samples of one run, pooled over runs; None where each has one sample.
        runs: Number of runs.
        cost: What training and sampling cost, name -> words.
    """

    rows: Mapping[str, Row]
    sample_sd: Mapping[str, float | None]
    runs: int
    cost: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several models beside each other.

    Args:
        metrics: What was measured, in the order of the panel.
        models: Name -> what was found; floor and trivial values are the same for all models.
        verdicts: Metric name -> winner.
        facts: What was compared.
    """

    metrics: tuple[Metric, ...]
    models: Mapping[str, Contender]
    verdicts: Mapping[str, Verdict]
    facts: Mapping[str, str]

    @property
    def rows(self) -> Mapping[str, Mapping[str, Row]]:
        """Model -> metric name -> row."""
        return {name: model.rows for name, model in self.models.items()}

    @property
    def names(self) -> list[str]:
        """The models, in the order given."""
        return list(self.models)

    @property
    def summary(self) -> str:
        """How many metrics each model wins, in a sentence."""
        won = {name: sum(verdict.winner == name for verdict in self.verdicts.values()) for name in self.names}
        open_ = sum(verdict.winner is None for verdict in self.verdicts.values())
        wins = ", ".join(f"{name} wins {count}" for name, count in won.items())
        return f"Of {len(self.metrics)} metrics {wins}; for {open_} no winner can be named."

    @property
    def figure(self) -> Figure:
        """Share of the distance from trivial to floor that each model closes, one line per metric."""
        first = self.rows[self.names[0]]
        shown = [metric for metric in self.metrics if first[metric.name].discriminates][::-1]
        series = []
        for k, name in enumerate(self.names):
            shares = [self.rows[name][metric.name].closed for metric in shown]
            x = np.array([np.nan if share is None else np.clip(share, -0.25, 1.25) for share in shares], float)
            y = np.arange(len(shown)) + min(0.16, 0.8 / len(self.names)) * (k - (len(self.names) - 1) / 2)
            told = [percent(share) or "not computed" for share in shares]
            words = [f"{metric.title}: {word}" for metric, word in zip(shown, told, strict=True)]
            series.append(Series("points", ROLES[k % 8], x, y, name=name, labels=words))
        marks = np.array([-0.6, len(shown) - 0.4])
        lines = [Series("dashes", "guide", np.full(2, at), marks) for at in (0.0, 1.0)]
        chart = Chart(
            "0: independent Poisson spikes, 1: real against real",
            (*lines, *series),
            x_label="share of the distance closed",
            limits=(-0.3, 1.3, -0.6, len(shown) - 0.4),
            rows=[metric.title for metric in shown],
            wide=22.0 / max(len(shown), 8),
        )
        legend = tuple((ROLES[k % 8], name) for k, name in enumerate(self.names))
        caption = "Values beyond -0.25 and 1.25 are drawn there. Metrics that trivial spikes pass as well are left out."
        return Figure("comparison", "Share closed by each model", caption, (chart,), columns=1, legend=legend)

    def to_dict(self) -> dict[str, Any]:
        """What compare.json holds."""
        return {
            "format": "spikeloom-comparison",
            "version": 1,
            "facts": dict(self.facts),
            "summary": self.summary,
            "cost": {name: dict(model.cost) for name, model in self.models.items()},
            "panel": {
                metric.name: {
                    "models": {
                        name: model.rows[metric.name].entry()
                        | {"sd": model.rows[metric.name].sd, "sample_sd": model.sample_sd[metric.name]}
                        for name, model in self.models.items()
                    },
                    "winner": self.verdicts[metric.name].winner,
                    "reason": self.verdicts[metric.name].reason,
                }
                for metric in self.metrics
            },
        }

    def to_csv(self) -> str:
        """One line per metric and model."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        head = ["metric", "model", "value", "sd over runs", "sd over samples", "runs", "sets"]
        writer.writerow([*head, "floor", "floor_sd", "trivial", "closed", "winner"])
        for metric in self.metrics:
            for name, model in self.models.items():
                row = model.rows[metric.name]
                won = self.verdicts[metric.name].winner == name
                cells = [metric.name, name, row.value, row.sd, model.sample_sd[metric.name], model.runs]
                cells += [len(row.values), row.floor, row.floor_sd, row.trivial, row.closed]
                writer.writerow([*cells, "yes" if won else ""])
        return out.getvalue()

    def to_html(self) -> str:
        """One self-contained page."""
        from spikeloom.report.compare_page import page

        return page(self)

    def table(self) -> "Table":
        """The comparison for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title="Models against recorded trials", title_justify="left", pad_edge=False)
        for name in ("metric", *self.names, "real vs real", "trivial", "winner"):
            table.add_column(Text(name), justify="left" if name in ("metric", "winner") else "right")
        for metric in self.metrics:
            rows = [self.rows[name][metric.name] for name in self.names]
            verdict = self.verdicts[metric.name]
            cells = [metric.title, *[spread(row.value, row.sd) for row in rows]]
            cells += [spread(rows[0].floor, rows[0].floor_sd), spread(rows[0].trivial, None)]
            table.add_row(*[Text(cell) for cell in cells], Text(verdict.winner or f"none: {verdict.reason}"))
        return table

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write compare.json, compare.csv, compare.html and figures/comparison.svg and .pdf; returns the folder."""
        target = ensure_folder(folder)
        atomic_write(target / "compare.csv", self.to_csv().encode())
        atomic_write(target / "compare.html", self.to_html().encode())
        figures.save(self.figure, ensure_folder(target / "figures"))
        write_json(target / "compare.json", self.to_dict())
        return target


def compare(
    models: Mapping[str, Runs],
    real: Trials,
    *,
    reference: Trials | None = None,
    condition: str | None = None,
    splits: int = 5,
    seed: int = 0,
    costs: Mapping[str, Mapping[str, str]] | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Several models, or files, against the same recorded trials.

    Args:
        models: Name -> generated trials: one set, a list or mapping with one set per run, or a mapping from each run
            to its samples.
        real: Held-out recorded trials.
        reference: Training trials.
        condition: Name of the condition that labels trials; found by itself if absent.
        splits: Random splits of the recorded trials.
        seed: Of every random draw.
        costs: Model -> what it costs, name -> words.
        progress: True or False to show a progress bar or not; on a terminal only if absent.

    Raises:
        DataError: if no model is given, or as `evaluate`.
    """
    if not models:
        raise DataError("There must be at least one model to compare.", "None was given.", "Name one or more.")
    sets = {name: _samples(runs) for name, runs in models.items()}
    for name, samples in sets.items():
        check(real, {f"{name}, {run}, {k}": trials for (run, k), trials in samples.items()}, reference)
    everything = [trials for samples in sets.values() for trials in samples.values()]
    bench = RecordedHalves.build(
        real, fakes=everything, reference=reference, condition=condition, splits=splits, seed=seed, progress=progress
    )
    found = {name: _contender(bench, name, samples, (costs or {}).get(name, {})) for name, samples in sets.items()}
    verdicts = {metric.name: verdict(found, metric) for metric in bench.metrics}
    facts = {"real": describe(real), "reference": "" if reference is None else describe(reference)}
    facts |= {name: describe(*samples.values()) for name, samples in sets.items()}
    return Comparison(tuple(bench.metrics), found, verdicts, {name: words for name, words in facts.items() if words})


def verdict(models: Mapping[str, Contender], metric: Metric) -> Verdict:
    """Who wins a metric, if the spread over runs allows to say so."""
    known = {name: row for name, model in models.items() if (row := model.rows[metric.name]).value is not None}
    if metric.group == "memorisation":
        return Verdict(None, "copying is a fault, not a contest")
    if len(known) < 2:
        return Verdict(None, "fewer than two models have a value")
    away = {name: metric.distance(row.value or 0.0) for name, row in known.items()}
    best, *others = sorted(known, key=lambda name: away[name])
    if known[best].at_floor and known[others[0]].at_floor:
        return Verdict(None, "several models are at the floor")
    few = [name for name in (best, *others) if models[name].runs < RUNS]
    if few:
        return Verdict(None, f"fewer than {RUNS} training seeds of {', '.join(few)}")
    for other in others:
        if away[other] - away[best] <= (known[best].sd or 0.0) + (known[other].sd or 0.0):
            return Verdict(None, f"{best} and {other} differ by less than their spread")
    return Verdict(best, "closer to the ideal than all others by more than their spread")


def _samples(runs: Runs) -> dict[tuple[str, int], Trials]:
    """Every set of generated trials by its run and number."""
    each: Mapping[str, Trials | Sequence[Trials]] = runs if isinstance(runs, Mapping) else named(runs)
    several = {run: [found] if isinstance(found, Trials) else found for run, found in each.items()}
    return {(run, k): trials for run, found in several.items() for k, trials in enumerate(found)}


def _contender(
    bench: RecordedHalves, name: str, samples: Mapping[tuple[str, int], Trials], cost: Mapping[str, str]
) -> Contender:
    """Judge every sample of a model, and take the spread over runs and over samples apart."""
    results = {f"{run}, {k}": bench.judge(trials, word=f"{name}, {run}, {k}") for (run, k), trials in samples.items()}
    runs = list(dict.fromkeys(run for run, _ in samples))
    rows, sample_sd = {}, {}
    for row in panel_rows(bench, results):
        values = [
            [row.values[f"{r}, {k}"] for r, k in samples if r == run and f"{r}, {k}" in row.values] for run in runs
        ]
        several = [np.var(one, ddof=1) for one in values if len(one) > 1]
        sample_sd[row.metric.name] = float(np.sqrt(np.mean(several))) if several else None
        means = [float(np.mean(one)) for one in values if one]
        if len(means) > 1:
            row = replace(row, value=float(np.mean(means)), sd=float(np.std(means, ddof=1)))
        rows[row.metric.name] = row
    return Contender(rows, sample_sd, len(runs), cost)
