r"""Features: one vector per trial, for distances between two sets of trials.

There are three kinds of features:

* *Trajectories*. Smoothed activity in wide bins (`metrics.statistics`) is projected on the 10 leading principal
  components of the real trials. Neurons and components are standardised with the mean and standard deviation of the
  real trials, so real trajectories have unit variance. All bins of a trial make up one vector.
* *Components*. The square root of smoothed activity, all bins and neurons in one vector, is projected on the leading
  principal components of both sets pooled. (A basis from one set alone would separate the two sets by itself.)
* *Population features*. Statistics of the summed activity, independent of single neurons.

The larger set is reduced to the size of the smaller set, and both to at most 1000 trials, by a random draw (`seed`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import principal_components
from spikeloom.metrics.once import Once, once_property
from spikeloom.metrics.statistics import Statistics, second_moment
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.text import counted, verb

MOST_TRIALS = 1000
"""Largest number of trials of each set."""

STATES = 10
"""Number of principal components of the trajectories."""

COMPONENTS = 40
"""Number of principal components of trials that classifiers use."""


@dataclass(frozen=True, eq=False)
class Features(Once):
    """Feature vectors of both sets of trials, real and fake (generated).

    Args:
        real: Statistics of the real trials.
        fake: Statistics of the fake trials.
        neurons: Neurons used (neuron,); neurons that never vary are left out.
        seed: Random seed of the subsets that make both sets equally large, and of the principal components.
    """

    real: Statistics
    fake: Statistics
    neurons: NDArray[np.int64]
    seed: int

    def rng(self, *key: int) -> np.random.Generator:
        """Return the random generator of one purpose of the features."""
        # 1 distinguishes this use of random numbers from others
        return generator(self.seed, int(Purpose.EVALUATE), 1, *key)

    @property
    def n_trials(self) -> int:
        """Number of trials in each set."""
        return min(len(self.real.whole), len(self.fake.whole), MOST_TRIALS)

    def rows(self, statistics: Statistics, key: int) -> NDArray[np.int64]:
        """Return the indices of the trials that are drawn from one set, in order; `key` differs between the sets."""
        full_window = statistics.whole
        if len(full_window) == self.n_trials:
            return full_window
        return np.sort(self.rng(key).choice(full_window, self.n_trials, replace=False))

    @once_property
    def sides(self) -> tuple[tuple[Statistics, NDArray[np.int64]], tuple[Statistics, NDArray[np.int64]]]:
        """Statistics and drawn trials of the real and of the fake set."""
        return (self.real, self.rows(self.real, 1)), (self.fake, self.rows(self.fake, 2))

    @once_property
    def varying(self) -> NDArray[np.int64]:
        """Neurons whose real smoothed activity varies (neuron,)."""
        if not len(self.neurons):
            return self.neurons
        mean, covariance = self.real.once(_moments, self.neurons)
        variance = np.diag(covariance)
        return self.neurons[variance > 1e-10 * (variance + mean**2)]  # rounding errors alone are smaller

    @once_property
    def shortage(self) -> str:
        """Reason why there are no features, or an empty text."""
        if self.n_trials < 10:
            return (
                f"{counted(self.n_trials, 'trial')} in the smaller set {verb(self.n_trials, 'fills', 'fill')} the "
                f"window; at least 10 are needed"
            )
        if self.real.wide_window < 2 or len(self.varying) < 2:
            return (
                f"{counted(self.real.wide_window, 'wide bin')} and "
                f"{counted(len(self.varying), 'varying neuron')}; two of each are needed"
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
        """Covariance over bins of the smoothed activity of both sets, in units of the real standard deviations."""
        scale = np.outer(self.scaling[1], self.scaling[1])
        return self.real.once(_moments, self.varying)[1] / scale, self.fake.once(_moments, self.varying)[1] / scale

    @once_property
    def trajectories(self) -> tuple[Numbers, Numbers]:
        """Whitened trajectories of the leading real components (trial, wide time * component), real and fake."""
        values, vectors = np.linalg.eigh(self.covariances[0])
        leading = np.argsort(-values)[:STATES]
        leading = leading[values[leading] > 1e-9 * values.max()]  # smaller variances are rounding errors
        mean, sd = self.scaling
        # (neuron, component): standardise the neurons, project them, and standardise the components
        projection = (vectors[:, leading] / np.sqrt(values[leading]) / sd[:, None]).astype(np.float32)
        mean = mean.astype(np.float32)
        real, fake = (self._project(statistics, rows, mean, projection) for statistics, rows in self.sides)
        return real, fake

    def _project(self, statistics: Statistics, rows: NDArray[np.int64], mean: Numbers, projection: Numbers) -> Numbers:
        """Return the trajectories of trials in the window, minus a mean and projected (trial, time * component)."""
        activity = statistics.smoothed[rows, : statistics.wide_window][:, :, self.varying]
        return ((activity - mean) @ projection).reshape(len(rows), -1)

    # --- trials: one vector per trial -----------------------------------------------------------------------------

    @once_property
    def components(self) -> tuple[Numbers, Numbers]:
        """Scores of trials on the 40 leading components of both sets pooled (trial, component)."""
        real, fake = (trial_vectors(statistics, rows) for statistics, rows in self.sides)
        return pooled_components(real, fake, components=COMPONENTS, rng=self.rng(3))

    @once_property
    def population(self) -> tuple[Numbers, Numbers]:
        """Population features of both sets (trial, feature)."""
        real, fake = (statistics.once(population_features, rows) for statistics, rows in self.sides)
        return real, fake


def _moments(statistics: Statistics, neurons: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Return mean (neuron,) and covariance (neuron, neuron) over valid wide bins of the smoothed activity."""
    smoothed = statistics.smoothed[:, :, neurons]
    n_bins = max(1, int(statistics.wide_mask.sum()))
    mean = smoothed.sum((0, 1), dtype=np.float64) / n_bins
    return mean, second_moment(smoothed) / n_bins - np.outer(mean, mean)


def trial_vectors(statistics: Statistics, rows: NDArray[np.int64]) -> Numbers:
    """Return the square root of the smoothed activity in the window as vectors (trial, wide time * neuron)."""
    return np.sqrt(statistics.smoothed[rows, : statistics.wide_window]).reshape(len(rows), -1)


def pooled_components(
    first: Numbers, second: Numbers, *, components: int, rng: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Return the scores (trial, component) of two sets on the leading principal components of both together.

    Args:
        first: Trials of one set (trial, feature).
        second: Trials of the other set (trial, feature).
        components: Number of components.
        rng: Random generator; see `principal_components`.
    """
    pooled = np.concatenate([first, second])
    directions, mean = principal_components(pooled, components=components, rng=rng)
    scores = (pooled - mean) @ directions
    return scores[: len(first)], scores[len(first) :]


def population_features(statistics: Statistics, rows: NDArray[np.int64]) -> Numbers:
    """Compute features of the population count of each trial inside the window (trial, feature).

    The features are, in this order:

    * mean count in ten equal pieces of the window;
    * standard deviation of the count in bins of 1, 4 and 20 times the bin width;
    * autocovariance of the count at lags of 1 to 5 bins;
    * fraction of neurons that fired;
    * variance over neurons of the trial count;
    * fraction with more than one spike among the non-empty bins of all neurons;
    * fraction of these non-empty bins after which the neuron fires again in the first, second and third bin.
    """
    window = statistics.window
    counts: Numbers = statistics.trials.counts[rows, :window]  # (trial, time, neuron)
    # (trial, time)
    population = statistics.population[rows, :window].astype(np.float64)
    edges = np.round(np.linspace(0, window, 11)).astype(int)  # of the ten pieces
    cumulative = np.concatenate([np.zeros((len(rows), 1)), population.cumsum(1)], axis=1)
    pieces = np.diff(cumulative[:, edges], axis=1) / np.maximum(1, np.diff(edges))
    centred = population - population.mean(1, keepdims=True)
    deviations = [_blocks(population, factor).std(1) for factor in (1, 4, 20) if window // factor >= 2]
    lagged = [(centred[:, lag:] * centred[:, :-lag]).mean(1) for lag in range(1, min(6, window))]
    per_neuron = counts.sum(1, dtype=np.int32)  # trial counts (trial, neuron)
    fired: Numbers = counts > 0
    n_non_empty = np.maximum(1, fired.sum((1, 2)))
    repeats = [(fired[:, lag:] & fired[:, :-lag]).sum((1, 2)) / n_non_empty for lag in range(1, min(4, window))]
    of_neurons = [(per_neuron > 0).mean(1), per_neuron.var(1), (counts > 1).sum((1, 2)) / n_non_empty]
    return np.column_stack([pieces, *deviations, *lagged, *of_neurons, *repeats])


def _blocks(values: Numbers, factor: int) -> Numbers:
    """Return the sums of values (trial, time) over blocks of `factor` consecutive bins (trial, block)."""
    n_blocks = values.shape[1] // factor
    return values[:, : n_blocks * factor].reshape(len(values), n_blocks, factor).sum(2)


def participation_ratio(covariance: Numbers) -> float:
    r"""Compute the effective number of dimensions :math:`(\sum \lambda)^2 / \sum \lambda^2`, from 1 to the neurons."""
    squares = np.vdot(covariance, covariance)  # sum of the squared eigenvalues, because the matrix is symmetric
    return float(np.trace(covariance) ** 2 / max(squares, 1e-300))  # 0 if all variances are 0
