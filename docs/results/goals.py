"""Writes the table of goals of docs/results/reach.md from the reports that the commands of the page write.

    python docs/results/goals.py docs/results/tables/reach-goals.csv "conditioned on direction=conditional" \\
        unconditional=free

Each column is TITLE=REPORT, a folder of `spikeloom evaluate`. Values that miss their goal are bold.
"""

import argparse
import csv
import math
from pathlib import Path
from typing import NamedTuple

from table import Lines, read_report, sources_of


class Goal(NamedTuple):
    """A goal of one metric.

    Args:
        title: Title of its row.
        metric: Name of the metric.
        low: Smallest value that is good enough.
        high: Largest value that is good enough.
        over_floor: Whether the value is divided by that of the noise floor.
        digits: Number of digits after the point.
    """

    title: str
    metric: str
    low: float
    high: float
    over_floor: bool
    digits: int

    @property
    def text(self) -> str:
        """The goal in words."""
        if self.low == -math.inf:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high == math.inf else f"{self.low:g} to {self.high:g}"

    def cell(self, report: Lines) -> str:
        """Return the value of a report, bold if it misses the goal; "–" if the report does not have it."""
        line = report.get(self.metric, {})
        if not line.get("value"):
            return "–"
        value = float(line["value"]) / (float(line["floor"]) if self.over_floor else 1.0)
        text = f"{value:.{self.digits}f}"
        return text if self.low <= value <= self.high else f"**{text}**"


GOALS = (
    Goal("population-count KL over its floor", "population_count_kl", -math.inf, 2.0, True, 1),
    Goal("ISI-CV error over its floor", "isi_cv_error", -math.inf, 1.9, True, 1),
    Goal("pairwise correlation r over its floor", "pairwise_correlation_r", 0.975, math.inf, True, 3),
    Goal("its slope over its floor", "pairwise_correlation_slope", 0.9, math.inf, True, 2),
    Goal("noise correlation r over its floor", "noise_correlation_r", 0.93, math.inf, True, 2),
    Goal("its slope over its floor", "noise_correlation_slope", 0.9, 1.29, True, 2),
    Goal("Fano factor over the real one", "fano_median_ratio", 0.95, 1.06, False, 2),
    Goal("direction read back, over real trials", "condition_accuracy", 0.944, math.inf, False, 3),
    Goal("classifier of the population count", "c2st_population", -math.inf, 0.56, False, 3),
    Goal("classifier on principal components", "c2st_rbf", -math.inf, 0.68, False, 3),
)
"""Goals in the order of the table."""


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("columns", nargs="+", help="TITLE=REPORT, a folder of spikeloom evaluate")
    words = parser.parse_args()
    reports = {title: read_report(Path(folder)) for title, folder in sources_of(words.columns).items()}
    lines = [["", "goal", *reports]]
    lines += [[goal.title, goal.text, *map(goal.cell, reports.values())] for goal in GOALS]
    with words.table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
