"""Evaluate a model of the Lorenz system: rates, statistics of samples, and statistics along a long sample.

    spikeloom simulate lorenz --trials 5000 --seed 42 --out lorenz.h5
    spikeloom split lorenz.h5 --fraction 0.7 --seed 42 --out train.h5 test.h5
    spikeloom fit ldns-lorenz-small --data train.h5 --out runs/lorenz
    python benchmarks/lorenz.py runs/lorenz --train train.h5 --test test.h5

Prints R2 of inferred against true rates on test trials, Pearson r of generated against recorded statistics (the LDNS
paper's measures for this system: 0.9969 mean ISI, 0.9988 correlations), the same for simple models of the latents, and
in each sixteenth of samples that are 16 times as long as the training trials.
"""

import argparse

import numpy as np

from spikeloom.metrics.panel import METRICS, measure
from spikeloom.recipe import load_model
from spikeloom.trials import Trials

SHOWN = [metric for metric in METRICS if metric.name in ("mean_rate_r", "isi_mean_r", "pairwise_correlation_r")]


def r_squared(rates: np.ndarray, truth: np.ndarray) -> float:
    """Return 1 - residual / total variance over trials, bins and neurons, about each neuron's mean."""
    return float(1 - np.square(rates - truth).sum() / np.square(truth - truth.mean((0, 1))).sum())


def statistics(real: Trials, fake: Trials) -> str:
    """Return the value of each shown metric."""
    outcome = measure(real, fake, metrics=SHOWN)
    pieces = (f"{name} {result.value:.4f}" for name, result in outcome.items() if result.value is not None)
    return ", ".join(pieces) + f", mean count {fake.counts.mean():.4f} (real {real.counts.mean():.4f})"


def main() -> None:
    """Print all results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--long", type=int, default=60, help="number of trials of 16 times the training length")
    options = parser.parse_args()
    model = load_model(options.run)
    train = Trials.load(options.train)
    test = Trials.load(options.test)
    print(f"R2 of inferred rates, {len(test)} test trials: {r_squared(model.encode(test).rates, test.rates):.4f}")
    half = len(test) // 2
    print("real half against real half:", statistics(test.select(slice(half)), test.select(slice(half, None))))
    print("generated against test:     ", statistics(test, model.sample(len(test), seed=1)))
    print("generated against training: ", statistics(train, model.sample(len(test), seed=1)))
    for name, trials in model.latent_baselines(train, like=test, seed=1).items():
        print(f"{name} against test:", statistics(test, trials))
    long = model.sample(options.long, n_bins=16 * train.n_bins, seed=2)
    for part in range(16):
        piece = long.counts[:, part * train.n_bins : (part + 1) * train.n_bins]
        print(f"sixteenth {part + 1:2d} of a long sample:", statistics(test, Trials(piece, test.bin_width)))


if __name__ == "__main__":
    main()
