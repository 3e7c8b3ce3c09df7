r"""Features: one vector per trial, for distances between two sets of trials.

*Trajectories*: smoothed activity, z-scored by the real trials, projected on the 10 leading principal components of the
real bins and divided by their standard deviation there, one vector per 20 ms, laid end to end. *Components*: the
square root of smoothed activity, all bins and neurons laid end to end, projected on the leading principal components
of both sets pooled; a basis from one set alone would separate the two sets by itself. *Population features*: statistics
of the summed activity, independent of single neurons.

Sets are reduced to equal size, and to at most 1000 trials, by a random draw (see `seed`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import principal_components
from spikeloom.metrics.once import Once, once_property
from spikeloom.metrics.statistics import Statistics, second_moment
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers

MOST_TRIALS = 1000
STATES = 10
"""Number of principal components of the trajectories."""
COMPONENTS = 40
"""Number of principal components of trials that classifiers use."""


@dataclass(frozen=True, eq=False)
class Features(Once):
    """Feature vectors of both sides.

    Args:
        real: Statistics of the real trials.
        fake: Statistics of the fake trials.
        neurons: Neurons used (neuron,); those that never vary are left out.
        seed: Random seed of the subsets that make both sides equally large, and of random directions.
    """

    real: Statistics
    fake: Statistics
    neurons: NDArray[np.int64]
    seed: int

    def rng(self, *key: int) -> np.random.Generator:
        """Return the random generator of one purpose of the features."""
        return generator(self.seed, int(Purpose.EVALUATE), 1, *key)

    @property
    def trials(self) -> int:
        """Number of trials on each side."""
        return min(len(self.real.whole), len(self.fake.whole), MOST_TRIALS)

    def rows(self, statistics: Statistics, key: int) -> NDArray[np.int64]:
        """Return the trials drawn from one side, in order."""
        complete = statistics.whole
        if len(complete) == self.trials:
            return complete
        return np.sort(self.rng(key).choice(complete, self.trials, replace=False))

    @once_property
    def sides(self) -> tuple[tuple[Statistics, NDArray[np.int64]], tuple[Statistics, NDArray[np.int64]]]:
        """Statistics and drawn trials of the real and of the fake side."""
        return (self.real, self.rows(self.real, 1)), (self.fake, self.rows(self.fake, 2))

    @once_property
    def varying(self) -> NDArray[np.int64]:
        """Neurons whose real smoothed activity varies (neuron,)."""
        if not len(self.neurons):
            return self.neurons
        mean, covariance = self.real.once(_moments, self.neurons)
        variance = np.diag(covariance)
        return self.neurons[variance > 1e-10 * (variance + mean**2)]

    @once_property
    def shortage(self) -> str:
        """Reason why there are no features, or an empty text."""
        if self.trials < 10:
            return f"{self.trials} trials on the smaller side fill the window; at least 10 are needed"
        if self.real.wide_window < 2 or len(self.varying) < 2:
            return (
                f"{self.real.wide_window} wide bins and {len(self.varying)} neurons that vary; two of each are needed"
            )
        return ""

    # --- states: one vector per bin -------------------------------------------------------------------------------

    @once_property
    def scaling(self) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation of the real smoothed activity (neuron,)."""
        mean, covariance = self.real.once(_moments, self.varying)
        return mean, np.sqrt(np.diag(covariance))

    @once_property
    def covariances(self) -> tuple[Numbers, Numbers]:
        """Covariance over bins of the smoothed activity of both sides, in units of the real deviations."""
        scale = np.outer(self.scaling[1], self.scaling[1])
        return self.real.once(_moments, self.varying)[1] / scale, self.fake.once(_moments, self.varying)[1] / scale

    @once_property
    def trajectories(self) -> tuple[Numbers, Numbers]:
        """Whitened trajectories of the leading real components (trial, wide time * component), real and fake."""
        values, vectors = np.linalg.eigh(self.covariances[0])
        best = np.argsort(-values)[:STATES]
        best = best[values[best] > 1e-9 * values.max()]
        mean, sd = self.scaling
        project = (vectors[:, best] / np.sqrt(values[best]) / sd[:, None]).astype(np.float32)
        real, fake = (self._project(*side, mean.astype(np.float32), project) for side in self.sides)
        return real, fake

    def _project(self, side: Statistics, rows: NDArray[np.int64], mean: Numbers, project: Numbers) -> Numbers:
        activity = side.smoothed[rows, : side.wide_window][:, :, self.varying]
        return ((activity - mean) @ project).reshape(len(rows), -1)

    # --- trials: one vector per trial -----------------------------------------------------------------------------

    @once_property
    def components(self) -> tuple[Numbers, Numbers]:
        """Scores of trials on the 40 leading components of both sides pooled (trial, component)."""
        real, fake = (trial_vectors(side, rows) for side, rows in self.sides)
        return pooled_components(real, fake, components=COMPONENTS, rng=self.rng(3))

    @once_property
    def population(self) -> tuple[Numbers, Numbers]:
        """Population features of both sides (trial, feature)."""
        real, fake = (side.once(population_features, rows) for side, rows in self.sides)
        return real, fake


def _moments(side: Statistics, neurons: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Return mean and covariance over valid wide bins of the smoothed activity."""
    smoothed = side.smoothed[:, :, neurons]
    bins = max(1, int(side.wide_mask.sum()))
    mean = smoothed.sum((0, 1), dtype=np.float64) / bins
    return mean, second_moment(smoothed) / bins - np.outer(mean, mean)


def trial_vectors(side: Statistics, rows: NDArray[np.int64]) -> Numbers:
    """Return the square root of the smoothed activity in the window as vectors (trial, wide time * neuron)."""
    return np.sqrt(side.smoothed[rows, : side.wide_window]).reshape(len(rows), -1)


def pooled_components(
    first: Numbers, second: Numbers, *, components: int, rng: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Return the scores of two sets on the leading principal components of both together."""
    pooled = np.concatenate([first, second])
    directions, mean = principal_components(pooled, components=components, rng=rng)
    scores = (pooled - mean) @ directions
    return scores[: len(first)], scores[len(first) :]


def population_features(side: Statistics, rows: NDArray[np.int64]) -> Numbers:
    """Compute features of the population count of each trial inside the window (trial, feature).

    They are: mean count in ten equal pieces of the window; standard deviation of the count in bins of 1, 4 and 20 times
    the bin width; autocovariance of the count at lags 1 to 5 bins; fraction of neurons that fired; variance over
    neurons of the trial count; fraction of non-empty bins of a neuron with more than one spike; fraction of its spikes
    with another spike in the next, second and third bin.
    """
    window = side.window
    counts: Numbers = side.trials.counts[rows, :window]
    population = side.population[rows, :window].astype(np.float64)
    edges = np.round(np.linspace(0, window, 11)).astype(int)
    running = np.concatenate([np.zeros((len(rows), 1)), population.cumsum(1)], axis=1)
    pieces = np.diff(running[:, edges], axis=1) / np.maximum(1, np.diff(edges))
    centred = population - population.mean(1, keepdims=True)
    deviations = [_blocks(population, factor).std(1) for factor in (1, 4, 20) if window // factor >= 2]
    lagged = [(centred[:, lag:] * centred[:, :-lag]).mean(1) for lag in range(1, min(6, window))]
    per_neuron = counts.sum(1, dtype=np.int32)
    fired: Numbers = counts > 0
    events = np.maximum(1, fired.sum((1, 2)))
    repeats = [(fired[:, lag:] & fired[:, :-lag]).sum((1, 2)) / events for lag in range(1, min(4, window))]
    single = [(per_neuron > 0).mean(1), per_neuron.var(1), (counts > 1).sum((1, 2)) / events]
    return np.column_stack([pieces, *deviations, *lagged, *single, *repeats])


def _blocks(values: Numbers, factor: int) -> Numbers:
    """Return the sums of `factor` consecutive bins (trial, block)."""
    blocks = values.shape[1] // factor
    return values[:, : blocks * factor].reshape(len(values), blocks, factor).sum(2)


def participation_ratio(covariance: Numbers) -> float:
    r"""Compute the effective number of dimensions :math:`(\sum \lambda)^2 / \sum \lambda^2`, from 1 to the neurons."""
    return float(np.trace(covariance) ** 2 / max(np.vdot(covariance, covariance), 1e-300))
