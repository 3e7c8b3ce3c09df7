r"""The Lorenz benchmark of the LDNS paper: spikes of neurons driven by a chaotic system, with the true rates.

The system is :math:`\dot x = \sigma (y - x), \dot y = x (\rho - z) - y, \dot z = x y - \beta z` with
:math:`\sigma = 10`, :math:`\rho = 28`, :math:`\beta = 2.667`. Each trajectory begins at a random point near
(-9.787, -15.039, 20.534), with a standard deviation of 2 in each dimension. 100 points, one per bin, cover one dominant
period of 1.5008 units of the system's time. The first `burn_in` points are dropped, and the next `n_bins` are kept. The
latents of a trial are its three dimensions, each standardised over the bins of the trial.

Each neuron has a random direction in the space of the latents, a Gaussian vector that is scaled to length 1. With these
directions as rows of C (neuron, 3), sorted by their first entry, rates and counts are

    drive = latents C' + log 0.3,   rates = log(1 + exp(2 drive)) / 2,   counts ~ Poisson(rates)   (spikes/bin).

All starts lie close together, so trials are in similar phases at first. About one period is therefore dropped.
Trajectories are integrated by classical Runge-Kutta steps, 20 per point, for all trials at once.

Source: Kapoor et al. 2024 (arXiv 2407.08751), who integrate each trial with an implicit Radau solver.
"""

import numpy as np
from jaxtyping import Float, Integer

from spikeloom.errors import SettingError
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.trials import Trials

SIGMA = 10.0
RHO = 28.0
BETA = 2.667
START = (-9.787, -15.039, 20.534)
PERIOD = 1.5008
"""Dominant period, model time units."""

POINTS = 100
"""Points per period."""

SUBSTEPS = 20
"""Runge-Kutta steps per point."""

BIN_WIDTH = 0.01
"""Width of a bin, s. The system has no time unit; with 10 ms its mean of 0.140 spikes/bin is 14 spikes/s."""

CHUNK = 8
"""Number of trials whose spikes are drawn together. Their arrays fit into the processor's cache, which saves time.

Results do not depend on this number.
"""


def lorenz(
    n_trials: int = 5000, *, n_neurons: int = 128, n_bins: int = 256, seed: int = 0, burn_in: int = 100
) -> Trials:
    """Simulate trials with their true rates and latents (the standardised x, y, z); see the module.

    Trial k does not depend on the number of trials.

    Args:
        n_trials: Number of trials.
        n_neurons: Number of neurons.
        n_bins: Number of bins of each trial, at least 2. 100 bins are one period.
        seed: Random seed of trajectories, directions of neurons, and spikes.
        burn_in: Number of points that are dropped at the beginning of each trajectory.

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(4, n_neurons=6, n_bins=30, seed=0)
        >>> trials.rates.shape
        (4, 30, 6)
    """
    for name, value, least in (
        ("n_trials", n_trials, 1),
        ("n_neurons", n_neurons, 1),
        ("n_bins", n_bins, 2),
        ("burn_in", burn_in, 0),
    ):
        if value < least:
            raise SettingError(f"{name} must be at least {least}.", f"It was {value}.", f"Give {name}={least} or more.")
    starts = np.array(START) + 2 * Streams(seed, Purpose.SIMULATE, 0, range(n_trials)).normal(3).astype(np.float64)
    path = trajectories(starts, n_bins=n_bins, burn_in=burn_in)
    latents = (path - path.mean(1, keepdims=True)) / path.std(1, keepdims=True)
    loading = loadings(n_neurons, seed=seed)
    rates = np.empty((n_trials, n_bins, n_neurons), np.float32)
    counts = np.empty((n_trials, n_bins, n_neurons), np.uint8)  # the largest rate is about 9
    for first in range(0, n_trials, CHUNK):
        rows = range(first, min(first + CHUNK, n_trials))
        drive = (latents[first : rows.stop] @ loading.T + np.log(0.3)).astype(np.float32)
        rates[first : rows.stop] = np.log1p(np.exp(2 * drive)) / 2  # |drive| < 10, so nothing overflows
        uniform = np.stack(
            [rng.random((n_bins, n_neurons)) for rng in Streams(seed, Purpose.SPIKES, 0, rows).generators]
        )
        counts[first : rows.stop] = poisson_of(rates[first : rows.stop], uniform)
    columns = {f"loading_{axis}": loading[:, k] for k, axis in enumerate("xyz")}
    return Trials(
        counts, BIN_WIDTH, rates=rates, latents=latents.astype(np.float32), neuron_table=columns, source="lorenz"
    )


def poisson_of(rates: Float[np.ndarray, "*axes"], uniform: Float[np.ndarray, "*axes"]) -> Integer[np.ndarray, "*axes"]:
    """Return Poisson counts by inversion: the smallest c with uniform < P(0) + ... + P(c).

    Most bins hold no spike and need a single comparison, so this is several times faster than a general Poisson
    generator. Rates must be at most a few hundred spikes/bin; at larger rates P(0) underflows.

    Args:
        rates: Rates, spikes/bin.
        uniform: Random numbers, uniform in [0, 1), of the same shape.
    """
    counts = np.zeros(rates.size, np.uint8)
    mean = rates.ravel().astype(np.float64)
    remainder = uniform.ravel()  # the uniform number minus the probabilities of smaller counts
    probability = np.exp(-mean)
    index = np.flatnonzero(remainder >= probability)  # entries whose count is larger than the present one
    remainder = remainder[index] - probability[index]
    mean = mean[index]
    probability = probability[index]
    for count in range(1, 256):  # 255 is the largest count of this type
        counts[index] = count
        probability = probability * mean / count
        is_larger = remainder >= probability
        index = index[is_larger]
        remainder = remainder[is_larger] - probability[is_larger]
        mean = mean[is_larger]
        probability = probability[is_larger]
        if not index.size:
            break
    return counts.reshape(rates.shape)


def loadings(n_neurons: int, *, seed: int) -> Float[np.ndarray, "neuron 3"]:
    """Return the directions C of the neurons: random rows of length 1, sorted by their first entry."""
    rows = generator(seed, Purpose.SIMULATE, 1).standard_normal((n_neurons, 3))  # key 0 is for the starts
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[np.argsort(rows[:, 0])]


def trajectories(
    starts: Float[np.ndarray, "trial 3"], *, n_bins: int, burn_in: int = 0, substeps: int = SUBSTEPS
) -> Float[np.ndarray, "trial bin 3"]:
    """Simulate the Lorenz system from each start, and return its points, which are PERIOD / POINTS time units apart.

    Args:
        starts: Start of each trajectory, which is its first point.
        n_bins: Number of points that are returned.
        burn_in: Number of points that are dropped before these.
        substeps: Number of Runge-Kutta steps per point.
    """
    step = PERIOD / POINTS / substeps
    state = np.ascontiguousarray(starts.T)  # (3, trial)
    out = np.empty((n_bins, *state.shape))  # (bin, 3, trial)
    for point in range(burn_in + n_bins):
        if point >= burn_in:
            out[point - burn_in] = state
        for _ in range(substeps):
            state = _advance(state, step)
    return out.transpose(2, 0, 1)


def _advance(state: Float[np.ndarray, "3 trial"], step: float) -> Float[np.ndarray, "3 trial"]:
    """Return the state after one classical Runge-Kutta step of fourth order."""
    first = _velocity(state)
    second = _velocity(state + step / 2 * first)
    third = _velocity(state + step / 2 * second)
    fourth = _velocity(state + step * third)
    return state + step / 6 * (first + 2 * second + 2 * third + fourth)


def _velocity(state: Float[np.ndarray, "3 trial"]) -> Float[np.ndarray, "3 trial"]:
    """Return the derivative of the state with respect to time."""
    x, y, z = state
    return np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z])
