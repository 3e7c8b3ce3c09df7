"""A long stream: is its end like its beginning, is there a seam, does memory stay flat?

    python benchmarks/stream.py runs/reach --bins 100000 --seed 1

Prints resident memory as the stream goes on; metrics of its first against its last tenth beside the same metrics of
neighbouring tenths in between (the floor); and how far latents jump where two blocks meet, beside all other steps. The
stream is cut into trials as long as the training trials for the metrics.
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
TENTHS = 10


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
    for chunk in model.stream(bins=words.bins, chunk=1000, seed=words.seed):
        counts.append(np.array(chunk.counts[0]))
        latents.append(np.array(chunk.latents[0]))
        done += chunk.time
        if done % (words.bins // TENTHS) < 1000:
            held = sum(part.nbytes for part in counts + latents) / 1e6
            print(
                f"{done:8d} bins, {time.perf_counter() - start:6.0f} s: {resident() - held:.0f} MB without what is kept"
            )
    series, hidden = np.concatenate(counts), np.concatenate(latents)
    part = len(series) // TENTHS
    tenths = [cut(series[k * part : (k + 1) * part], length, model.facts.bin_width) for k in range(TENTHS)]
    metrics = [metric for metric in METRICS if metric.name in SHOWN]
    between = [measure(tenths[k], tenths[k + 1], metrics=metrics) for k in range(1, TENTHS - 2)]
    ends = measure(tenths[0], tenths[-1], metrics=metrics)
    print(f"\n{'metric':28s} first/last tenth   neighbouring tenths (mean, sd of {len(between)})")
    for metric in metrics:
        floor = np.array([found[metric.name].value for found in between if found[metric.name].value is not None])
        value = ends[metric.name].value
        if value is not None and len(floor):
            print(f"{metric.name:28s} {value:12.4f}       {floor.mean():10.4f} {floor.std(ddof=1):8.4f}")
    step = np.square(np.diff(hidden, axis=0)).mean(1)
    hop = max(1, length // 2)
    border, inside = step[hop - 1 :: hop], np.delete(step, np.s_[hop - 1 :: hop])
    error = np.hypot(border.std() / np.sqrt(len(border)), inside.std() / np.sqrt(len(inside)))
    jump = f"{border.mean():.5f} at {len(border)} borders of blocks, {inside.mean():.5f} elsewhere"
    print(
        f"\nmean squared step of the latents: {jump} (difference {(border.mean() - inside.mean()) / error:+.2f} s.e.)"
    )


if __name__ == "__main__":
    main()
