"""Test long streams for drift, for jumps between chunks, and for growing memory.

    python benchmarks/stream.py runs/reach --bins 100000 --seeds 1 2 3

The program prints the resident memory during a stream. To find jumps, it prints how much latents and counts change
from bin to bin at the borders of chunks and blocks, and at all other bins.

To test for drift, the stream is cut into tenths, and each tenth into trials of the training length. Each metric
compares the first with the last tenth, and the other pairs of distant tenths. The table shows the value of the first
against the last, the mean of the other pairs, and the fraction of the other pairs that are less similar. Without drift,
this fraction is uniformly distributed. Values far below 0.5 for all seeds show drift. The last line combines all
metrics: it gives the mean fraction of each seed, and the probability that the mean fraction of a random pair is not
larger.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from spikeloom.metrics.panel import METRICS, Metric, measure
from spikeloom.models.common.base import Model
from spikeloom.recipe import load_model
from spikeloom.trials import Trials

SHOWN = (
    "mean_rate_r", "population_count_kl", "fano_median_ratio", "isi_mean_r", "isi_cv_error", "pairwise_correlation_r",
    "pairwise_correlation_slope", "noise_correlation_r", "spectral_distance_db", "participation_ratio",
    "c2st_population",
)  # fmt: skip
CHUNK = 1000
TENTHS = 10
APART = 4
"""Smallest distance between compared tenths, because neighbours share slow states."""

PAIRS = [(k, other) for k in range(TENTHS) for other in range(k + APART, TENTHS)]
ENDS = PAIRS.index((0, TENTHS - 1))


def resident() -> float:
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def cut(counts: np.ndarray, length: int, bin_width: float) -> Trials:
    """Cut a long series (time, neuron) into trials."""
    full = len(counts) // length
    return Trials(counts[: full * length].reshape(full, length, -1), bin_width)


def streamed(model: Model, bins: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and latents (time, ...) of a stream, and print its memory."""
    counts = []
    latents = []
    start = time.perf_counter()
    done = 0
    print(f"\nseed {seed}; resident before: {resident():.0f} MB")
    for chunk in model.stream(n_bins=bins, condition=(), chunk=CHUNK, seed=seed):
        counts.append(np.array(chunk.counts[0]))
        latents.append(np.array(chunk.latents[0]))
        done += chunk.n_bins
        if done % (bins // TENTHS) < CHUNK:
            held = sum(part.nbytes for part in counts + latents) / 1e6
            seconds = time.perf_counter() - start
            print(f"{done:8d} bins, {seconds:6.0f} s: {resident() - held:.0f} MB without what is kept", flush=True)
    return np.concatenate(counts), np.concatenate(latents)


def compared(series: np.ndarray, length: int, bin_width: float, metrics: list[Metric]) -> np.ndarray:
    """Return the value of each metric for each pair of tenths (pair, metric); NaN without a value."""
    part = len(series) // TENTHS
    tenths = [cut(series[k * part : (k + 1) * part], length, bin_width) for k in range(TENTHS)]
    rows = []
    for first, second in PAIRS:
        result = measure(tenths[first], tenths[second], metrics=metrics)
        values = [result[metric.name].value for metric in metrics]
        rows.append([np.nan if value is None else value for value in values])
    return np.array(rows)


def less_alike(values: np.ndarray, metrics: list[Metric]) -> np.ndarray:
    """Return the fraction of other pairs that are less similar than each pair; ties count half (pair, metric)."""
    gap = np.array([[metric.distance(x) for metric, x in zip(metrics, row, strict=True)] for row in values])
    larger = gap[None] > gap[:, None]
    equal = gap[None] == gap[:, None]
    return (larger.sum(1) + (equal.sum(1) - 1) / 2) / (len(values) - 1)


def print_table(values: list[np.ndarray], metrics: list[Metric]) -> None:
    """Print the table over seeds and its summary."""
    shares = [less_alike(each, metrics) for each in values]
    print(
        f"\n{'metric':28s} first/last tenth (by seed), other pairs (mean, sd), fraction of these less similar (by seed)"
    )
    for number, metric in enumerate(metrics):
        ends = " ".join(f"{each[ENDS, number]:8.4f}" for each in values)
        others = np.concatenate([np.delete(each[:, number], ENDS) for each in values])
        share = " ".join(f"{each[ENDS, number]:5.2f}" for each in shares)
        print(f"{metric.name:28s} {ends}   {others.mean():8.4f} {others.std(ddof=1):7.4f}   {share}")
    for seed, each in enumerate(shares):
        mean = each.mean(1)  # metrics are not independent, so the chance level comes from the other pairs
        chance = (mean <= mean[ENDS]).mean()
        print(
            f"stream {seed}: mean fraction {mean[ENDS]:.2f}; {chance:.2f} of all {len(PAIRS)} pairs have no larger one"
        )


def main() -> None:
    """Print all results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    model = load_model(options.run)
    length = max(model.facts.lengths)
    values = []
    metrics = [metric for metric in METRICS if metric.name in SHOWN]
    for seed in options.seeds:
        series, hidden = streamed(model, options.bins, seed)
        hop = max(1, length // 2)
        counts = series.astype(np.float32)
        for what, jumps, course in (("latents", hidden, hidden), ("counts", counts, counts.sum(1, keepdims=True))):
            step = np.square(np.diff(jumps, axis=0)).mean(1)
            for where, every in ((f"chunks ({CHUNK} bins)", CHUNK), (f"blocks ({hop} bins)", hop)):
                print(f"{what}, squared step at borders of {where}: {seam(step, every)}")
            print(
                f"{what}, fraction of the variance explained by the position between two windows: "
                f"{tied(course, hop):.4f}"
            )
        values.append(compared(series, length, model.facts.bin_width, metrics))
    expected = [number for number in range(len(metrics)) if np.isfinite([each[:, number] for each in values]).all()]
    print_table([each[:, expected] for each in values], [metrics[number] for number in expected])


def tied(series: np.ndarray, every: int) -> float:
    """Return the fraction of variance of a series (time, channel) explained by the position in blocks of `every` bins.

    It is corrected for the chance variance of means over blocks.
    """
    full = len(series) // every
    rows = series[: full * every].reshape(full, every, -1).astype(np.float64)
    chance = rows.var(0, ddof=1).mean(0) / full
    return float(((rows.mean(0).var(0, ddof=1) - chance) / rows.var((0, 1))).mean())


def seam(step: np.ndarray, every: int) -> str:
    """Return the mean squared step at borders and elsewhere, with the standard error of their difference.

    Steps are compared within blocks between two borders, so that slow states cancel.
    """
    full = (len(step) - (every - 1)) // every
    rows = step[every - 1 :][: full * every].reshape(full, every)
    difference = rows[:, 0] - rows[:, 1:].mean(1)
    error = difference.std(ddof=1) / np.sqrt(full)
    ratio = rows[:, 0].mean() / rows[:, 1:].mean()
    return f"{ratio:.4f} of the others, difference {difference.mean() / error:+.2f} s.e. of {full} borders"


if __name__ == "__main__":
    main()
