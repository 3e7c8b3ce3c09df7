"""Measure which correlations trials of GNOCCHI lack, and whether more components, a residual or noise add them.

    python benchmarks/gnocchi_noise.py train.h5 --out docs/results/tables/codes-noise.csv
    python benchmarks/gnocchi_noise.py train.h5 --leave 150 --runs runs/0 --out trained.csv

By default, no network is used: components of the training trials, or draws from the Gaussian of these components, are
turned into rates and counts. Encoder, prior and denoiser cannot be better than this. Variants have more components, a
Gaussian residual with the covariance S - S_K (the signal that the noise filter finds, less that of the K components),
or noise that neurons share within 10 ms, which is fitted to the covariances that the counts lack.

With `--runs`, trained models are measured instead, with and without their noise. They must be trained on the training
trials of this comparison: four fifths of `train.h5`, without the angle `--leave`. `code_traversals.py recording --runs`
stores such models.

All rows are compared with the same validation trials. ± is the standard deviation over draws.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from code_measures import write_table
from spikeloom.metrics.panel import METRICS, Pair
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.nn.activity import WIDER, Activity, smooth
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.recipe import load_model
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

TITLES = {
    "pairwise_correlation_r": "correlation of pairs, r",
    "pairwise_correlation_slope": "slope",
    "noise_correlation_r": "noise correlation, r",
    "noise_correlation_slope": "slope of noise correlation",
    "population_count_kl": "population count, KL (nats)",
    "spectral_distance_db": "spectral distance (dB)",
    "fano_median_ratio": "Fano factor / real",
}

SMOOTHING = 0.025
"""Standard deviation of the smoothing of `gnocchi-small`, s."""

COMPONENTS = 24
"""Components of `gnocchi-small`."""

DRAWS = 3
"""Draws of each variant."""

Rates = Callable[[int], np.ndarray]
"""Function from a seed to rates (trial, time, neuron), spikes/bin."""


def fitted_activity(trials: Trials, components: int) -> Activity:
    """Fit the components of whole trials, with the noise of spikes filtered out."""
    sd = SMOOTHING / trials.bin_width
    activity = Activity(trials.n_neurons, sd=sd, time=trials.n_bins, components=components, wiener=True)
    activity.fit(*signal_of(trials))
    return activity


def signal_of(trials: Trials) -> tuple[Tensor, Tensor]:
    """Return counts and mask as tensors."""
    return torch.from_numpy(np.asarray(trials.counts, np.float32)), torch.from_numpy(trials.mask)


def gaussian(activity: Activity, n_trials: int, seed: int, *, residual: Tensor | None = None) -> np.ndarray:
    """Draw components from independent Gaussians, and return their rates, with a residual if there is a root of it."""
    rng = np.random.default_rng(seed)
    normal = torch.from_numpy(rng.standard_normal((n_trials, 1, activity.components)).astype(np.float32))
    flat = (normal[:, 0] * activity.spread) * activity.scale @ activity.basis.T + activity.middle
    if residual is not None:
        flat = (
            flat + torch.from_numpy(rng.standard_normal((n_trials, residual.shape[1])).astype(np.float32)) @ residual.T
        )
    raw = flat.view(n_trials, activity.time, -1) * activity.sd + activity.mean
    return torch.maximum(raw, 1e-4 * activity.level).numpy()


def residual_root(trials: Trials, activity: Activity) -> Tensor:
    """Return a root of the covariance of the signal that the components leave out (time x neuron, direction)."""
    counts, mask = signal_of(trials)
    y = (smooth(counts, mask, sd=activity.smoothing) - activity.mean) / activity.sd
    rows = (y.flatten(1) - activity.middle).double()
    most = min(WIDER * activity.components, len(rows) // 2)
    _, values, directions = torch.linalg.svd(rows, full_matrices=False)
    wide = directions[:most].T
    every = torch.ones(1, activity.time, dtype=torch.bool)
    kernel = smooth(torch.eye(activity.time)[None], every, sd=activity.smoothing)[0].double()
    scaled = wide.view(activity.time, -1, most) / activity.sd.double()[:, None]
    root = torch.einsum("tu,tnk->unk", kernel, scaled) * counts.double().mean(0).sqrt()[..., None]
    noise = torch.einsum("unk,unl->kl", root, root)
    sizes, turn = torch.linalg.eigh(torch.diag(values[:most] ** 2 / len(rows)) - noise)
    signal = (turn * sizes.clamp(min=0)) @ turn.T
    inside = wide.T @ activity.basis.double() * (activity.spread * activity.scale).double()
    sizes, turn = torch.linalg.eigh(signal - inside @ inside.T)
    return (wide @ (turn * sizes.clamp(min=0).sqrt())).float()


def counts_of(rates: Rates, trials: Trials, *, noisy: bool, seed: int) -> Trials:
    """Draw counts of rates; the noise is fitted to other rates of the same kind."""
    observation = ObservationModel(Poisson(), history=None, noise=SharedNoise() if noisy else None)
    observation.build(trials.n_neurons, trials.bin_width)
    drawn = rates(2 * seed)
    lengths = np.full(len(drawn), trials.n_bins)
    if noisy:
        observation.adapt(trials, rates(2 * seed + 1), lengths=lengths, seed=seed)
    streams = Streams(seed, Purpose.SPIKES, 0, range(len(drawn)))
    return Trials(observation.draw(drawn, streams), trials.bin_width, lengths=lengths, source="Gaussian")


def without_networks(train: Trials) -> dict[str, Callable[[int], Trials]]:
    """Return the variants without networks: name -> function from a seed to generated trials."""
    activity = fitted_activity(train, COMPONENTS)
    large = fitted_activity(train, len(train) // 3)
    recorded = activity.rates(activity(*signal_of(train))).numpy()
    root = residual_root(train, activity)
    few = partial(gaussian, activity, len(train))
    complete = partial(gaussian, activity, len(train), residual=root)
    name = f"Gaussian, {COMPONENTS} components"
    return {
        f"recorded components, {COMPONENTS}": lambda seed: counts_of(lambda _: recorded, train, noisy=False, seed=seed),
        name: lambda seed: counts_of(few, train, noisy=False, seed=seed),
        f"Gaussian, {large.components} components": lambda seed: counts_of(
            partial(gaussian, large, len(train)), train, noisy=False, seed=seed
        ),
        f"{name}, residual": lambda seed: counts_of(complete, train, noisy=False, seed=seed),
        f"{name}, noise of 10 ms": lambda seed: counts_of(few, train, noisy=True, seed=seed),
        f"{name}, residual and noise": lambda seed: counts_of(complete, train, noisy=True, seed=seed),
    }


def print_noise(train: Trials) -> None:
    """Print how many directions of noise exceed their sampling error, and the correlations that are missed most."""
    activity = fitted_activity(train, COMPONENTS)
    rates = gaussian(activity, len(train), 1)
    lengths = np.full(len(train), train.n_bins)
    for rank in (8, train.n_neurons):
        observation = ObservationModel(Poisson(), history=None, noise=SharedNoise(rank=rank))
        observation.build(train.n_neurons, train.bin_width)
        observation.adapt(train, rates, lengths=lengths, seed=0)
        assert isinstance(observation.noise, SharedNoise)  # it was set two lines above
        used = int((observation.noise.weights.abs().sum(0) > 0).sum())
        print(f"{used} directions of noise are found, {rank} allowed")
        streams = Streams(0, Purpose.SPIKES, 0, range(len(train)))
        drawn = Trials(observation.draw(rates, streams), train.bin_width, lengths=lengths, source="Gaussian")
        pair = Pair(train, replace(drawn, conditions={}), train)
        real, fake = (np.nan_to_num(side.correlation) for side in (pair.real, pair.fake))
        first, second = np.triu_indices(len(real), 1)
        worst = np.argsort(-np.abs(real - fake)[first, second])[:5]
        pairs = ", ".join(
            f"{real[i, j]:.2f} ({fake[i, j]:.2f})" for i, j in zip(first[worst], second[worst], strict=True)
        )
        print(f"recorded correlation (generated) of the five pairs that differ most: {pairs}", flush=True)


def trained(run: Path, n_trials: int, *, noisy: bool) -> Trials:
    """Sample from a trained model, with or without its noise."""
    model = load_model(run)
    if not isinstance(model, GNOCCHI):
        raise SystemExit(f"{run} holds a {type(model).__name__}. Name runs of GNOCCHI.")
    if not noisy and isinstance(model.observation.noise, SharedNoise):
        model.observation.noise.weights.zero_()
    return model.sample(n_trials, seed=1, progress=False)


def numbers(real: Trials, fake: Trials, reference: Trials, condition: str) -> list[float]:
    """Compute the metrics of the table."""
    pair = Pair(real, fake, reference, condition=condition)
    values = {metric.name: metric.measure(pair).value for metric in METRICS if metric.name in TITLES}
    return [float("nan") if values[name] is None else float(values[name]) for name in TITLES]


def main() -> None:
    """Compare every variant with validation trials, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", type=Path, help="training trials, of equal length")
    parser.add_argument(
        "--condition", default="angle_deg", help="condition whose mean is removed for noise correlations"
    )
    parser.add_argument("--leave", type=float, help="value of the condition whose trials are left out")
    parser.add_argument("--runs", type=Path, nargs="+", default=[], help="trained GNOCCHI models, one per seed")
    parser.add_argument("--out", type=Path, required=True, help="table, CSV")
    options = parser.parse_args()
    train, validation = (
        part.select(part.conditions[options.condition] != options.leave)
        for part in Trials.load(options.trials).split(0.8, seed=0)
    )
    if not options.runs:
        print_noise(train)
    tables: dict[str, list[list[float]]] = {"training trials (noise floor)": []}
    for seed in range(DRAWS):
        rows = np.random.default_rng(seed).permutation(len(train))[: len(validation)]
        half = replace(train.select(np.sort(rows)), conditions={})  # labels are decoded, as for generated trials
        tables["training trials (noise floor)"].append(numbers(validation, half, train, options.condition))
    for name, draw in () if options.runs else without_networks(train).items():
        tables[name] = [numbers(validation, draw(seed), train, options.condition) for seed in range(DRAWS)]
        print(name, np.round(np.mean(tables[name], 0), 3), flush=True)
    for noisy in (False, True) if options.runs else ():
        made = [trained(run, len(train), noisy=noisy) for run in options.runs]
        name = f"GNOCCHI{', noise of 10 ms' if noisy else ', no noise'}"
        tables[name] = [numbers(validation, fake, train, options.condition) for fake in made]
    table = [["", *TITLES.values()]]
    for name, each in tables.items():
        cells = [f"{mean:.3f} ± {sd:.3f}" for mean, sd in zip(np.mean(each, 0), np.std(each, 0), strict=True)]
        table.append([name, *cells])
    write_table(table, options.out)


if __name__ == "__main__":
    main()
