"""Test a causal model for drift: compare each simulated hour of one endless trial with the first hour.

    python -m benchmarks.live_hours RUN                # ten hours
    python -m benchmarks.live_hours RUN --hours 2 --seed 1

The trial is generated as a stream, which has the same counts as a live trial with the same seed. The first second is
also generated live, and must be equal. The difference between the second hour and the first shows how far two hours
differ by chance. With drift, the differences of later hours would grow beyond it.

- rates: median and largest relative difference of the mean rate over neurons;
- KL: Kullback-Leibler divergence between the population counts of the hour and of the first hour, nats;
- correlations: Pearson r and slope of the correlations of all pairs, and mean correlation of the hour.
"""

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

import spikeloom as sl
from spikeloom.models.common.base import Model

CHUNK = 5000
"""Bins of a chunk of the stream."""

SMOOTHING = 0.5
"""Added to each population count of the histograms, so that the divergence is finite."""


@dataclass
class Hour:
    """Sums over the bins of an hour.

    Args:
        n_neurons: Number of neurons.
    """

    n_neurons: int
    n_bins: int = 0
    counts: np.ndarray = field(init=False)
    products: np.ndarray = field(init=False)
    population: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.n_neurons)
        self.products = np.zeros((self.n_neurons, self.n_neurons))
        self.population = np.zeros(64 * self.n_neurons)

    def add(self, counts: np.ndarray) -> None:
        """Add bins (time, neuron)."""
        numbers = counts.astype(np.float64)
        self.n_bins += len(numbers)
        self.counts += numbers.sum(0)
        self.products += numbers.T @ numbers
        self.population += np.bincount(counts.sum(1), minlength=len(self.population))

    def correlations(self, chosen: np.ndarray) -> np.ndarray:
        """Return the correlations of all pairs of the chosen neurons."""
        mean = self.counts / self.n_bins
        covariance = self.products / self.n_bins - np.outer(mean, mean)
        sd = np.sqrt(covariance.diagonal())[chosen]
        matrix = covariance[np.ix_(chosen, chosen)] / np.outer(sd, sd)
        return matrix[np.triu_indices(len(sd), 1)]


def compared(hour: Hour, first: Hour) -> dict[str, float]:
    """Return the differences of an hour from the first one."""
    active = (first.counts > 0) & (hour.counts > 0)
    change = np.abs(hour.counts / hour.n_bins / (first.counts / first.n_bins).clip(1e-12) - 1)[active]
    used = int(np.flatnonzero(hour.population + first.population)[-1]) + 1
    counts = hour.population[:used] + SMOOTHING
    first_counts = first.population[:used] + SMOOTHING
    p = counts / counts.sum()
    q = first_counts / first_counts.sum()
    pairs = hour.correlations(active)
    others = first.correlations(active)
    return {
        "rate, median": float(np.median(change)),
        "rate, largest": float(change.max()),
        "KL": float((p * np.log(p / q)).sum()),
        "pairs, r": float(np.corrcoef(pairs, others)[0, 1]),
        "pairs, slope": float(np.polyfit(others, pairs, 1)[0]),
        "pairs, mean": float(pairs.mean()),
    }


def check_live(model: Model, seed: int) -> int:
    """Return the number of bins of the first second, which a live trial generates like the stream."""
    n_bins = round(1 / model.facts.bin_width)
    live = model.live(seed, condition=())
    stepped = np.stack([live.step() for _ in range(n_bins)])
    streamed = next(model.stream(seed=seed, condition=(), n_bins=n_bins, chunk=n_bins)).counts[0]
    np.testing.assert_array_equal(stepped, streamed)
    return n_bins


def main() -> None:
    """Generate the trial, and print one line for each hour."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run folder or model folder of a causal model")
    parser.add_argument("--hours", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = sl.load_model(options.run)
    print(f"{model!r}\nThe first {check_live(model, options.seed)} bins are those of a live trial.")
    per_hour = round(3600 / model.facts.bin_width)
    hours = [Hour(model.n_neurons) for _ in range(options.hours)]
    done = 0
    cores = time.process_time()
    for piece in model.stream(seed=options.seed, condition=(), n_bins=options.hours * per_hour, chunk=CHUNK):
        counts = piece.counts[0]
        until = min(len(counts), per_hour - done % per_hour)
        hours[done // per_hour].add(counts[:until])
        if until < len(counts):
            hours[done // per_hour + 1].add(counts[until:])
        previous = done
        done = done + len(counts)
        for number in range(previous // per_hour, done // per_hour):
            cells = compared(hours[number], hours[0])
            line = ", ".join(f"{name} {value:.4g}" for name, value in cells.items())
            rate = hours[number].counts.mean() / hours[number].n_bins / model.facts.bin_width
            print(f"hour {number + 1}: {rate:.3f} spikes/s; against hour 1: {line}", flush=True)
    print(f"{done} bins, {1e6 * (time.process_time() - cores) / done:.0f} us of core time each")


if __name__ == "__main__":
    main()
