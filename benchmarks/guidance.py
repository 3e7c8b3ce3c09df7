"""Compare guidance strengths: accuracy of the condition against diversity of the trials.

    python benchmarks/guidance.py runs/direction0 --data train.h5 --test test.h5 --out guidance
    python benchmarks/guidance.py runs/path0 runs/path1 --data train.h5 --test test.h5 --csv guidance.csv --out guidance

For each strength, one trial is generated per test trial, with its condition. Accuracy: fraction of correctly classified
directions and mean error, with decoders fitted to training trials (or R2 of decoded behaviour). Diversity: Fano factor
and noise correlations relative to real trials, and variance of the latents around the mean of each condition relative
to strength 1. Prints a table for each run, and writes a figure of the means over runs. `--csv` writes a table of means
and standard deviations over runs.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from code_measures import write_table
from few_trials import cell
from spikeloom.files import ensure_folder
from spikeloom.metrics.conditional import DirectionReading, read_behavior, read_directions
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.models.common.base import Model
from spikeloom.recipe import load_model
from spikeloom.report import figures
from spikeloom.report.chart import Chart, Figure, Series
from spikeloom.trials import Trials

SHOWN = (
    "fano_median_ratio",
    "pairwise_correlation_r",
    "pairwise_correlation_slope",
    "noise_correlation_slope",
    "noise_correlation_r",
    "population_count_kl",
)


def spread(fake: Trials, name: str | None) -> float:
    """Return the variance of the latents around the mean course of each condition, over trials and bins."""
    labels = np.zeros(len(fake)) if name is None or name not in fake.conditions else fake.conditions[name]
    latents = np.asarray(fake.latents, np.float64)
    total = 0.0
    freedom = 0
    time = int(fake.lengths.min())
    for value in np.unique(labels):
        subset = latents[labels == value][:, :time]
        if len(subset) > 1:
            total += float(np.square(subset - subset.mean(0)).mean((1, 2)).sum())
            freedom += len(subset) - 1
    return total / max(1, freedom)


def row(model: Model, strength: float, train: Trials, test: Trials, seed: int) -> dict[str, float]:
    """Compute all measures at one strength."""
    names = model.facts.conditions.names
    fake = model.sample(like=test, condition=names, guidance=strength, seed=seed)
    result = {"spread": spread(fake, next((name for name in names if name in fake.conditions), None))}
    pair = Pair(test, fake, reference=train)
    directions = read_directions(pair)
    read = read_behavior(pair)
    if isinstance(directions, DirectionReading) and directions.name in names:
        result |= {
            "error": float(directions.error("fake").mean()),
            "real error": float(directions.error("real").mean()),
        }
        if directions.classified:
            result |= {
                "right": float(directions.classified["fake"].mean()),
                "real right": float(directions.classified["real"].mean()),
            }
    if not isinstance(read, str) and read.name in names:
        result |= {"r2": read.r_squared("fake") or np.nan, "real r2": read.r_squared("real") or np.nan}
    results = measure(test, fake, reference=train, metrics=[metric for metric in METRICS if metric.name in SHOWN])
    values = {name: np.nan if metric.value is None else metric.value for name, metric in results.items()}
    return result | values


def figure_of(strengths: Sequence[float], table: Sequence[Mapping[str, float]]) -> Figure:
    """Draw the table over increasing strengths."""
    order = np.argsort(strengths)
    table = [table[position] for position in order]
    x = np.array(strengths, float)[order]
    charts = []
    titles = {
        "right": "Directions classified correctly",
        "error": "Mean error (degrees)",
        "r2": "R² of behaviour read back",
    }
    for name, title in titles.items():
        if name in table[0]:
            series = [Series("line", "fake", x, np.array([result[name] for result in table]))]
            series.append(Series("dashes", "real", x, np.array([result[f"real {name}"] for result in table])))
            charts.append(Chart(title, tuple(series), "guidance strength", title))
    diversity = {
        "fano_median_ratio": "median Fano factor",
        "noise_correlation_slope": "slope of noise correlations",
        "spread": "latents within a direction",
    }
    for name, title in diversity.items():
        values = np.array([result[name] for result in table])
        series = [Series("line", "fake", x, values)]
        if name == "fano_median_ratio":
            series.append(Series("dashes", "real", x, np.ones(len(x))))
        unit = "variance" if name == "spread" else "generated over real"
        charts.append(Chart(title, tuple(series), "guidance strength", unit))
    caption = "The first panels show the accuracy of the condition. The last three show the variability of the trials."
    return Figure("guidance", "Guidance", caption, tuple(charts), columns=3)


def table_of(run: str, strengths: Sequence[float], train: Trials, test: Trials, seed: int) -> list[dict[str, float]]:
    """Compute and print all measures of a run at each strength."""
    model = load_model(run)
    table = []
    for strength in strengths:
        table.append(row(model, strength, train, test, seed))
        if len(table) == 1:
            print(f"{run}\nstrength " + " ".join(f"{name:>26s}" for name in table[0]), flush=True)
        print(f"{strength:8g} " + " ".join(f"{value:26.4f}" for value in table[-1].values()), flush=True)
    return table


def main() -> None:
    """Print the tables and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--strengths", type=float, nargs="+", default=[0, 0.5, 1, 1.5, 2, 3, 5])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trials", type=int, help="number of test trials; all by default")
    parser.add_argument("--csv", type=Path, help="CSV file of means over runs")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    train = Trials.load(options.data)
    test = Trials.load(options.test).select(slice(options.trials))
    tables = [table_of(run, options.strengths, train, test, options.seed) for run in options.runs]
    at_strength = list(zip(*tables, strict=True))  # for each strength, the measures of each run
    names = list(tables[0][0])
    if options.csv is not None:
        rows = [("strength", *names)]
        for strength, of_runs in zip(options.strengths, at_strength, strict=True):
            several = len(of_runs) > 1
            rows.append((f"{strength:g}", *(cell([run[name] for run in of_runs], spread=several) for name in names)))
        write_table(rows, options.csv)
    means = [{name: float(np.mean([run[name] for run in of_runs])) for name in names} for of_runs in at_strength]
    ensure_folder(options.out)
    figures.save(figure_of(options.strengths, means), Path(options.out))


if __name__ == "__main__":
    main()
