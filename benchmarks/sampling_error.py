r"""Measure how accurately a classifier recognises trials by the sampling error of their mean rates alone.

    python benchmarks/sampling_error.py reach.h5 --out sampling-error.csv

No model is needed for this. The recorded trials are divided at random into two quarters and a half. The first quarter
gets mean rates with the sampling error of n trials, which is estimated from the half (see
`spikeloom.evaluation.sampling_error`), and is then compared with the second quarter. Mean rates are those of the whole
trial, of pieces of 100 ms, or of pieces of 100 ms for each value of a condition.

    python benchmarks/sampling_error.py reach.h5 --halves --sizes 582 --out sampling-error-halves.csv

compares the first half with the second half instead, and estimates the error from the first half.

Prints the mean ± standard deviation over the divisions.
"""

import argparse
import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from causes import Row, compare
from spikeloom.evaluation.sampling_error import PIECE, with_sampling_error
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


def division(trials: Trials, seed: int, *, halves: bool) -> tuple[Trials, Trials, Trials]:
    """Divide the trials at random into test trials, trials to change, and trials from which the error is estimated."""
    order = generator(seed, Purpose.ORDER).permutation(len(trials))
    size = len(trials) // (2 if halves else 4)
    test, recorded, others = (trials.select(np.sort(part)) for part in np.split(order, [size, 2 * size]))
    return test, recorded, recorded if halves else others


def rows_of(trials: Trials, condition: str, sizes: list[int], seed: int, *, halves: bool) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one division of the trials."""
    test, recorded, training = division(trials, seed, halves=halves)
    whole_trial = trials.n_bins * trials.bin_width
    kinds = {
        "mean rates": (None, whole_trial),
        "rates of 100 ms": (None, PIECE),
        f"rates of 100 ms for each {condition}": (condition, PIECE),
    }
    yield "recorded trials", compare(test, recorded, training, condition, seed)
    for title, (grouped_by, piece) in kinds.items():
        sets = (recorded, training) if grouped_by else [replace(part, conditions={}) for part in (recorded, training)]
        for n in sizes:
            fake = with_sampling_error(*sets, condition=grouped_by, piece=piece, n_trials=n, seed=seed)
            fake = replace(fake, conditions=recorded.conditions)
            yield f"{title}, {n} trials", compare(test, fake, training, condition, seed)


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="recorded trials")
    parser.add_argument("--condition", default="angle_deg")
    parser.add_argument("--sizes", type=int, nargs="+", default=[218, 546], help="numbers n of training trials")
    parser.add_argument("--halves", action="store_true", help="compare halves of the trials instead of quarters")
    parser.add_argument("--divisions", type=int, default=8)
    parser.add_argument("--out", required=True, help="table to write (CSV)")
    options = parser.parse_args()
    trials = Trials.load(options.data)
    tables: list[Mapping[str, Row]] = []
    for seed in range(options.divisions):
        tables.append(dict(rows_of(trials, options.condition, options.sizes, seed, halves=options.halves)))
        print(f"division {seed + 1} of {options.divisions}", flush=True)
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
