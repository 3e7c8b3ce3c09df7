"""Writes a table of a results page from the reports that the commands of the page write.

    python docs/results/table.py docs/results/tables/reach.csv "conditioned on direction=conditional" unconditional=free

Each column is TITLE=REPORT, a folder of `spikeloom evaluate`, or TITLE=TABLE.csv:HEAD, a column of another table on the
same test trials. The baselines and the noise floor are those of the first report. The rows are those of the table if it
exists, or the metrics named by `--metrics`. A cell is the value ± its standard deviation, and the distance closed in
percent where metric and data can show one.

A column of another table is copied only if both tables have the same noise floor.
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


def read_column(word: str) -> dict[str, tuple[str, str]]:
    """Return metric name -> cell and noise floor, of the column TABLE.csv:HEAD."""
    path, _, head = word.partition(":")
    with Path(path).open() as file:
        return {line["metric"].strip("`"): (line[head], line[FLOOR]) for line in csv.DictReader(file)}


def copied(column: dict[str, tuple[str, str]], name: str, floor: str) -> str:
    """Return the cell of another table, or a dash if this table has no such metric."""
    text, floor_there = column.get(name, ("–", floor))
    if floor_there != floor:
        raise SystemExit(f"The noise floor of {name} is {floor}, and {floor_there} in the table of the copied column.")
    return text


def table(columns: dict[str, str], names: list[str]) -> list[list[str]]:
    """Return the lines of a table with these columns and metrics."""
    others = {title: read_column(word) for title, word in columns.items() if ".csv:" in word}
    lines = {title: read_report(Path(word)) for title, word in columns.items() if title not in others}
    first = next(iter(lines.values()))
    metrics = {metric.name: metric for metric in METRICS}
    baselines = [name for name in BASELINES if name in next(iter(first.values()))]
    result = [["metric", FLOOR, *columns, *baselines]]
    for name in names:
        metric = metrics[name]
        floor_row = row_of(metric, first[name], "value")
        floor = with_sd(floor_row.floor, floor_row.floor_sd)
        of_title = {title: copied(column, name, floor) for title, column in others.items()}
        for title, report in lines.items():
            of_title[title] = cell(row_of(metric, report[name], "value")) if name in report else "–"
        cells = [of_title[title] for title in columns]
        cells += [cell(row_of(metric, first[name], baseline)) for baseline in baselines if baseline != POISSON]
        cells.append(with_sd(row_of(metric, first[name], POISSON).value, None))
        result.append([f"`{name}`", floor, *cells])
    return result


def sources_of(columns: list[str]) -> dict[str, str]:
    """Return the report or column of a table for each title, from words TITLE=REPORT or TITLE=TABLE.csv:HEAD."""
    return {title: source for title, _, source in (word.partition("=") for word in columns)}


def names_of(path: Path) -> list[str]:
    """Return the metrics of a table, in their order."""
    with path.open() as file:
        return [line[0].strip("`") for line in csv.reader(file)][1:]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument(
        "columns", nargs="+", help="TITLE=REPORT, a folder of spikeloom evaluate, or TITLE=TABLE.csv:HEAD"
    )
    parser.add_argument("--metrics", nargs="+", help="metrics of a new table")
    words = parser.parse_args()
    lines = table(sources_of(words.columns), words.metrics or names_of(words.table))
    with words.table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
