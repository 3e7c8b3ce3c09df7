r"""Measure how much of a classifier's accuracy is the sampling error of the mean rates of the training trials.

    python benchmarks/sampling_error.py reach.h5 --out sampling-error.csv

A model learns mean rates from n training trials, and these differ from the true ones by a sampling error. New recorded
trials do not have this error, so a classifier can recognise even trials of a model that is perfect apart from it.

No model is needed to measure this. The recorded trials are divided at random into trials that stand for training, for
generation and for the test. The counts of the second set are changed so that their mean rates get the sampling error of
n training trials, and are then compared with the third set. For a neuron with the mean rate :math:`\bar r` over all N
trials and :math:`\bar r_a` over the a training trials, the rate is multiplied by

.. math:: f = 1 + \Bigl(\frac{\bar r_a}{\bar r} - 1\Bigr) \sqrt{\frac{1/n}{1/a - 1/N}} ,

because :math:`\bar r_a - \bar r` has the variance :math:`\sigma^2 (1/a - 1/N)`, and a mean over n trials has the
variance :math:`\sigma^2 / n`. Where f is below 1, each spike is kept with the probability f. Where f is above 1, spikes
are added: each spike of another trial is copied with the probability f - 1.

The means are taken over the whole trial, over pieces of 100 ms, or over pieces of 100 ms for each value of a condition.
Prints the mean ± standard deviation over the divisions.
"""

import argparse
import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from causes import Row, compare, copy_of
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

SHOWN = {
    "c2st_rbf": "classifier, rbf",
    "c2st_network": "classifier, network",
    "c2st_population": "classifier, population",
    "psth_neuron_r": "PSTH r per neuron",
    "pairwise_correlation_r": "pairwise r",
}
"""Metrics of the table and their headings."""

PIECE = 0.1
"""Length of a piece of a trial, s."""


def mean_counts(counts: np.ndarray, labels: np.ndarray, pieces: int) -> np.ndarray:
    """Return the mean count of each neuron in each piece of the trials with each label (label, piece, neuron)."""
    parts = np.array_split(counts, pieces, axis=1)
    sums = np.stack([part.sum(1) for part in parts], axis=1)
    return np.stack([sums[labels == label].mean(0) for label in range(labels.max() + 1)])


def with_factors(counts: np.ndarray, factors: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    """Multiply mean rates by factors (trial, bin, neuron): delete spikes, or add spikes of another trial."""
    kept = numbers.binomial(counts, np.clip(factors, 0, 1))
    other = counts[numbers.permutation(len(counts))]
    return kept + numbers.binomial(other, np.clip(factors - 1, 0, 1))


class Means:
    """Mean counts of all trials and of the training trials, over pieces of a trial and values of a condition."""

    def __init__(self, trials: Trials, training: np.ndarray, *, pieces: int, labels: np.ndarray) -> None:
        self._labels = labels
        self._pieces = pieces
        overall = mean_counts(trials.counts, labels, pieces)
        learned = mean_counts(trials.counts[training], labels[training], pieces)
        self._relative = learned / np.maximum(overall, 1e-9) - 1
        self._scale = 1 / (1 / len(training) - 1 / len(trials))

    def factors(self, chosen: np.ndarray, n_bins: int, n: int) -> np.ndarray:
        """Return the factor of every trial, bin and neuron for the sampling error of n training trials."""
        factors = 1 + self._relative * np.sqrt(self._scale / n)
        sizes = [len(part) for part in np.array_split(np.arange(n_bins), self._pieces)]
        return np.repeat(factors, sizes, axis=1)[self._labels[chosen]]


def rows_of(trials: Trials, condition: str, sizes: list[int], seed: int) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one division of the trials."""
    numbers = generator(seed, Purpose.ORDER)
    order = numbers.permutation(len(trials))
    quarter = len(trials) // 4
    test = trials.select(np.sort(order[:quarter]))
    chosen = np.sort(order[quarter : 2 * quarter])
    training = order[2 * quarter :]
    source = trials.select(chosen)
    none = np.zeros(len(trials), np.int64)
    labels = np.unique(trials.conditions[condition], return_inverse=True)[1]
    pieces = max(1, round(trials.n_bins * trials.bin_width / PIECE))
    kinds = {
        "mean rates": Means(trials, training, pieces=1, labels=none),
        "rates of 100 ms": Means(trials, training, pieces=pieces, labels=none),
        f"rates of 100 ms for each {condition}": Means(trials, training, pieces=pieces, labels=labels),
    }
    yield "recorded trials", compare(test, source, trials.select(np.sort(training)), condition, seed)
    for title, means in kinds.items():
        for n in sizes:
            factors = means.factors(chosen, trials.n_bins, n)
            fake = copy_of(source, with_factors(source.counts, factors, numbers))
            yield f"{title}, {n} trials", compare(test, fake, trials.select(np.sort(training)), condition, seed)


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="recorded trials")
    parser.add_argument("--condition", default="angle_deg")
    parser.add_argument("--sizes", type=int, nargs="+", default=[218, 546], help="numbers n of training trials")
    parser.add_argument("--divisions", type=int, default=8)
    parser.add_argument("--out", required=True, help="table to write (CSV)")
    options = parser.parse_args()
    trials = Trials.load(options.data)
    tables: list[Mapping[str, Row]] = []
    for division in range(options.divisions):
        tables.append(dict(rows_of(trials, options.condition, options.sizes, division)))
        print(f"division {division + 1} of {options.divisions}", flush=True)
    with Path(options.out).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sampling error of", *SHOWN.values()])
        for title in tables[0]:
            values = np.array([[table[title][metric] for metric in SHOWN] for table in tables])
            cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True)]
            writer.writerow([title, *cells])
            print(f"{title:45s}", *cells)


if __name__ == "__main__":
    main()
