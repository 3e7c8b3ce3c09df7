"""A long stream: is its end like its beginning, is there a seam, does memory stay flat?

    python benchmarks/stream.py runs/reach --bins 100000 --seed 1

Prints resident memory as the stream goes on; metrics of its first against its last tenth beside the same metrics of
other tenths, far from each other (the floor); and how far latents and counts jump where two chunks or two blocks meet,
beside all other steps. The stream is cut into trials as long as the training trials for the metrics.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from spikeloom.metrics.panel import METRICS, measure
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
"""Tenths in between that are compared lie at least so far apart: neighbours share slow states."""


def resident() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def cut(counts: np.ndarray, length: int, bin_width: float) -> Trials:
    """A long series (time, neuron) as trials."""
    whole = len(counts) // length
    return Trials(counts[: whole * length].reshape(whole, length, -1), bin_width)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    model = load_model(words.run)
    assert model.facts is not None
    length = max(model.facts.lengths)
    counts, latents, start, done = [], [], time.perf_counter(), 0
    print(f"resident before: {resident():.0f} MB")
    for chunk in model.stream(bins=words.bins, chunk=CHUNK, seed=words.seed):
        counts.append(np.array(chunk.counts[0]))
        latents.append(np.array(chunk.latents[0]))
        done += chunk.time
        if done % (words.bins // TENTHS) < CHUNK:
            held = sum(part.nbytes for part in counts + latents) / 1e6
            print(
                f"{done:8d} bins, {time.perf_counter() - start:6.0f} s: {resident() - held:.0f} MB without what is kept"
            )
    series, hidden = np.concatenate(counts), np.concatenate(latents)
    part = len(series) // TENTHS
    tenths = [cut(series[k * part : (k + 1) * part], length, model.facts.bin_width) for k in range(TENTHS)]
    metrics = [metric for metric in METRICS if metric.name in SHOWN]
    pairs = [(k, other) for k in range(1, TENTHS - 1) for other in range(k + APART, TENTHS - 1)]
    between = [measure(tenths[k], tenths[other], metrics=metrics) for k, other in pairs]
    ends = measure(tenths[0], tenths[-1], metrics=metrics)
    print(f"\n{'metric':28s} first/last tenth   tenths in between (mean, sd of {len(between)} pairs)")
    for metric in metrics:
        floor = np.array([found[metric.name].value for found in between if found[metric.name].value is not None])
        value = ends[metric.name].value
        if value is not None and len(floor):
            print(f"{metric.name:28s} {value:12.4f}       {floor.mean():10.4f} {floor.std(ddof=1):8.4f}")
    hop = max(1, length // 2)
    for what, values in (("latents", hidden), ("counts", series.astype(np.float32))):
        step = np.square(np.diff(values, axis=0)).mean(1)
        for where, every in ((f"chunks ({CHUNK} bins)", CHUNK), (f"blocks ({hop} bins)", hop)):
            print(f"{what}, squared step at borders of {where}: {seam(step, every)}")


def seam(step: np.ndarray, every: int) -> str:
    """Mean squared step at borders and elsewhere, with the standard error of their difference.

    Steps are compared within blocks of as many bins as lie between borders, so that slow states cancel.
    """
    whole = (len(step) - (every - 1)) // every
    rows = step[every - 1 :][: whole * every].reshape(whole, every)
    difference = rows[:, 0] - rows[:, 1:].mean(1)
    error = difference.std(ddof=1) / np.sqrt(whole)
    ratio = rows[:, 0].mean() / rows[:, 1:].mean()
    return f"{ratio:.4f} of the others, difference {difference.mean() / error:+.2f} s.e. of {whole} borders"


if __name__ == "__main__":
    main()
