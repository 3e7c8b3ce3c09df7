"""Evaluate a model of the Lorenz system: rates, statistics of samples, and statistics along a long sample.

    spikeloom simulate lorenz --trials 5000 --seed 42 --out lorenz.h5
    spikeloom split lorenz.h5 --fraction 0.7 --seed 42 --out train.h5 test.h5
    spikeloom fit ldns-lorenz-small --data train.h5 --out runs/lorenz
    python benchmarks/lorenz.py runs/lorenz --train train.h5 --test test.h5

The first command prints R2 of inferred against true rates on test trials. It also prints Pearson r of generated against
recorded statistics, the measures of the LDNS paper for this system (0.9969 for mean ISIs, 0.9988 for correlations). The
same measures are printed for simple models of the latents, and for each sixteenth of samples that are 16 times as long
as the training trials.

    python benchmarks/lorenz.py RUN... --train train.h5 --test test.h5 --dynamics

prints docs/results/tables/lorenz-dynamics.csv: how well the trajectories of generated trials follow the dynamics of
recorded trials, for models with latents. All spikes, recorded and generated, are encoded by the same model, and the
latents are mapped linearly to x, y and z.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from spikeloom.metrics.panel import METRICS, measure
from spikeloom.models.common.base import Model
from spikeloom.recipe import load_model
from spikeloom.trials import Trials

SHOWN = [metric for metric in METRICS if metric.name in ("mean_rate_r", "isi_mean_r", "pairwise_correlation_r")]


AHEAD = 15
"""Bins ahead for which a trajectory is predicted."""

NEIGHBOURS = 8
"""Number of nearest recorded points whose mean future is the prediction."""

PANEL = ("pairwise_correlation_slope", "noise_correlation_slope", "spectral_distance_db", "c2st_rbf")
"""Metrics of the panel that are shown beside the measures of trajectories."""

COLUMNS = (
    "prediction error (sd)",
    "changes of the lobe per trial",
    "autocorrelation RMSE",
    *(f"`{name}`" for name in PANEL),
)
"""Columns of the table of trajectories."""

LIBRARY = 600
"""Training trials to which the linear map is fitted, and that are searched for the nearest points."""


class Dynamics:
    """Measures of trajectories in the space of x, y and z, in which inferred latents are mapped linearly.

    Args:
        model: Model whose encoder infers the latents.
        train: Training trials with their true latents.
    """

    def __init__(self, model: Model, train: Trials) -> None:
        self.model = model
        train = train.select(np.arange(min(LIBRARY, len(train))))
        latents = model.encode(train, progress=False).latents
        self.map = np.linalg.lstsq(_with_one(latents), train.latents.reshape(-1, 3), rcond=None)[0]
        recorded = self.trajectories(train)
        self.points = KDTree(recorded[:, :-AHEAD].reshape(-1, 3))
        self.futures = recorded[:, AHEAD:].reshape(-1, 3)

    def trajectories(self, trials: Trials) -> np.ndarray:
        """Return x, y and z (trial, time, 3) as inferred from the spikes."""
        latents = self.model.encode(trials, progress=False).latents
        return (_with_one(latents) @ self.map).reshape(*latents.shape[:2], 3)

    def measures(self, trials: Trials, real: Trials) -> list[float]:
        """Return the values of `COLUMNS` for trials, some of which compare them with recorded trials."""
        path = self.trajectories(trials)
        smooth = np.apply_along_axis(np.convolve, 1, path[..., 0], np.ones(9) / 9, "valid")
        changes = (np.diff(np.sign(smooth), axis=1) != 0).sum(1).mean()
        _, nearest = self.points.query(path[:, :-AHEAD].reshape(-1, 3)[::7], NEIGHBOURS)
        error = self.futures[nearest].mean(1) - path[:, AHEAD:].reshape(-1, 3)[::7]
        difference = autocorrelation(path) - autocorrelation(self.trajectories(real))
        panel = measure(real, trials, metrics=[metric for metric in METRICS if metric.name in PANEL])
        values = [float(np.sqrt(np.square(error).sum(1).mean())), float(changes)]
        values += [float(np.sqrt(np.square(difference).mean()))]
        return values + [float("nan") if result.value is None else result.value for result in panel.values()]


def autocorrelation(path: np.ndarray) -> np.ndarray:
    """Return the autocorrelation of each dimension at lags up to half of a trial."""
    centred = path - path.mean((0, 1))
    n_bins = path.shape[1]
    products = [(centred[:, lag:] * centred[:, : n_bins - lag]).mean((0, 1)) for lag in range(n_bins // 2)]
    return np.stack(products) / products[0]


def _with_one(latents: np.ndarray) -> np.ndarray:
    """Return latents of all bins with a constant 1 (bin, latent + 1)."""
    return np.pad(latents.reshape(-1, latents.shape[-1]), ((0, 0), (0, 1)), constant_values=1)


def print_dynamics(runs: list[str], train: Trials, test: Trials) -> None:
    """Print the measures of models, of simple models of the latents of the first one, and of recorded trials."""
    half = len(test) // 2
    real = test.select(slice(half))
    models = {run: load_model(run) for run in runs}
    first = models[runs[0]]
    dynamics = Dynamics(first, train)
    rows = {
        f"{type(model).__name__}, {Path(run).name}": model.sample(half, seed=1, progress=False)
        for run, model in models.items()
    }
    rows |= first.latent_baselines(train, like=real, seed=1)
    rows["other recorded trials"] = test.select(slice(half, None))
    print(",".join(("trials", *COLUMNS)))
    for name, trials in rows.items():
        print(",".join((f'"{name}"', *(f"{value:.3g}" for value in dynamics.measures(trials, real)))), flush=True)


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
    parser.add_argument("run", nargs="+")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--long", type=int, default=60, help="number of trials of 16 times the training length")
    parser.add_argument("--dynamics", action="store_true", help="only print measures of the trajectories")
    options = parser.parse_args()
    train = Trials.load(options.train)
    test = Trials.load(options.test)
    if options.dynamics:
        return print_dynamics(options.run, train, test)
    model = load_model(options.run[0])
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
