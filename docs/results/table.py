"""Writes a table of a results page from the reports that the commands of the page write.

    python docs/results/table.py docs/results/tables/reach.csv "conditioned on direction=conditional" unconditional=free

Each column is TITLE=REPORT, a folder of `spikeloom evaluate`. The baselines and the noise floor are those of the first
report. The rows are those of the table if it exists, or the metrics named by `--metrics`. A cell is the value ± its
standard deviation, and the distance closed in percent where metric and data can show one.
"""

import argparse
import csv
from pathlib import Path

from spikeloom.metrics.panel import METRICS, Metric
from spikeloom.report.rows import Row

POISSON = "Poisson, condition means"
"""Baseline at which the distance closed is 0."""

BASELINES = (
    "linear autoregression on the latents",
    "Gaussian on the latents",
    "recorded, learned rates",
    POISSON,
)
"""Baselines that are shown where a report has them."""

FLOOR = "noise floor"
"""Title of the second column, beside the names of the metrics, where it is seen without scrolling."""

Lines = dict[str, dict[str, str]]


def read_report(folder: Path) -> Lines:
    """Return metric name -> column -> text of the metrics.csv of a report."""
    with (folder / "metrics.csv").open() as file:
        return {line["metric"]: line for line in csv.DictReader(file)}


def row_of(metric: Metric, line: dict[str, str], column: str) -> Row:
    """Return the row of a metric whose value is that of a column: "value" or a baseline."""

    def number(name: str) -> float | None:
        return float(line[name]) if line.get(name) else None

    sd = number("sd") if column == "value" else None
    return Row(metric, {}, number(column), sd, number("floor"), number("floor_sd"), {}, number(POISSON))


def with_sd(value: float | None, sd: float | None) -> str:
    """Return "0.783 ± 0.006", or a dash without a value."""
    if value is None:
        return "–"
    return f"{value:.3g} ± {sd:.1g}" if sd else f"{value:.3g}"


def cell(row: Row) -> str:
    """Return value, spread and distance closed of a row."""
    closed = row.closed
    return with_sd(row.value, row.sd) + ("" if closed is None or closed < 0 else f", {100 * closed:.0f} %")


def table(reports: dict[str, Path], names: list[str]) -> list[list[str]]:
    """Return the lines of a table with these columns and metrics."""
    lines = {title: read_report(folder) for title, folder in reports.items()}
    first = next(iter(lines.values()))
    metrics = {metric.name: metric for metric in METRICS}
    baselines = [name for name in BASELINES if name in next(iter(first.values()))]
    result = [["metric", FLOOR, *lines, *baselines]]
    for name in names:
        metric = metrics[name]
        cells = [cell(row_of(metric, report[name], "value")) if name in report else "–" for report in lines.values()]
        cells += [cell(row_of(metric, first[name], baseline)) for baseline in baselines if baseline != POISSON]
        cells.append(with_sd(row_of(metric, first[name], POISSON).value, None))
        floor = row_of(metric, first[name], "value")
        result.append([f"`{name}`", with_sd(floor.floor, floor.floor_sd), *cells])
    return result


def folders_of(columns: list[str]) -> dict[str, Path]:
    """Return the folder of the report of each column, from words TITLE=REPORT."""
    return {title: Path(folder) for title, _, folder in (word.rpartition("=") for word in columns)}


def names_of(path: Path) -> list[str]:
    """Return the metrics of a table, in their order."""
    with path.open() as file:
        return [line[0].strip("`") for line in csv.reader(file)][1:]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("columns", nargs="+", help="TITLE=REPORT, a folder of spikeloom evaluate")
    parser.add_argument("--metrics", nargs="+", help="metrics of a new table")
    words = parser.parse_args()
    reports = folders_of(words.columns)
    lines = table(reports, words.metrics or names_of(words.table))
    with words.table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
