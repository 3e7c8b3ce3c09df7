"""`Standings`: the numbers of several models that were evaluated with the same recorded trials."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

from spikeloom.metrics.panel import Metric
from spikeloom.report.rows import Row
from spikeloom.text import counted, verb


@dataclass(frozen=True)
class Verdict:
    """Winner of one metric.

    Args:
        winner: Name of the model, or None if no winner can be named.
        reason: Reason why there is no winner.
    """

    winner: str | None
    reason: str


@dataclass(frozen=True, eq=False)
class Contender:
    """Results of one model, trained in one or several runs with different seeds.

    Args:
        rows: Metric name -> row. For each run, the metric is averaged over the samples of the run. The value of the row
            is the mean of these averages over runs, and its sd is their standard deviation.
        sample_sd: Metric name -> standard deviation over the samples of one run, pooled over runs. None if each run has
            one sample.
        runs: Number of runs.
        cost: Costs of training and sampling, name -> text.
    """

    rows: Mapping[str, Row]
    sample_sd: Mapping[str, float | None]
    runs: int
    cost: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Standings:
    """Results of several models.

    Args:
        metrics: Metrics, in the order of the panel.
        models: Name -> results; floor and baseline values are the same for all models.
        verdicts: Metric name -> winner.
        facts: Facts about the comparison, name -> text.
        baselines: Names of further baselines, whose values are in the rows.
    """

    metrics: tuple[Metric, ...]
    models: Mapping[str, Contender]
    verdicts: Mapping[str, Verdict]
    facts: Mapping[str, str]
    baselines: tuple[str, ...] = ()

    def baseline_values(self, metric: Metric) -> list[float | None]:
        """Return the values of the baselines.

        The first one is the baseline at which the distance closed is 0. The others follow in the order of `baselines`.
        """
        row = self.rows[self.names[0]][metric.name]
        return [row.baseline, *[row.baselines.get(name) for name in self.baselines]]

    @property
    def rows(self) -> Mapping[str, Mapping[str, Row]]:
        """Model -> metric name -> row."""
        return {name: model.rows for name, model in self.models.items()}

    @property
    def names(self) -> list[str]:
        """Names of the models, in their order."""
        return list(self.models)

    @property
    def summary(self) -> str:
        """Number of metrics that each model wins, as a sentence."""
        n_won = {name: sum(verdict.winner == name for verdict in self.verdicts.values()) for name in self.names}
        n_undecided = sum(verdict.winner is None for verdict in self.verdicts.values())
        wins = ", ".join(f"{name} wins {count}" for name, count in n_won.items())
        return (
            f"Of {counted(len(self.metrics), 'metric')}, {wins}; {n_undecided} {verb(n_undecided, 'has', 'have')} "
            "no clear winner."
        )

    def to_dict(self) -> dict[str, object]:
        """Return the content of compare.json."""
        return {
            "format": "spikeloom-comparison",
            "version": 2,
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
                    "baselines": dict(zip(self.baselines, self.baseline_values(metric)[1:], strict=True)),
                    "winner": self.verdicts[metric.name].winner,
                    "reason": self.verdicts[metric.name].reason,
                }
                for metric in self.metrics
            },
        }

    def to_csv(self) -> str:
        """Return comma-separated text with one line per metric and model."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        head = ["metric", "model", "value", "sd over runs", "sd over samples", "runs", "sets"]
        writer.writerow([*head, "floor", "floor_sd", "baseline", "closed", "winner", *self.baselines])
        for metric in self.metrics:
            for name, model in self.models.items():
                row = model.rows[metric.name]
                won = self.verdicts[metric.name].winner == name
                cells = [metric.name, name, row.value, row.sd, model.sample_sd[metric.name], model.runs]
                cells += [len(row.values), row.floor, row.floor_sd, row.baseline, row.closed]
                writer.writerow([*cells, "yes" if won else "", *self.baseline_values(metric)[1:]])
        return out.getvalue()
