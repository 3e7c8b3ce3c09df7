"""`Statistics`: intermediate results of one set of trials that several metrics share, computed at their first use.

Three time scales serve all metrics: the bins of the recording; *wide* bins of 20 ms (or the recording's bins, if they
are wider), for correlations and trajectories; and the *window*, the first bins, which at least nine tenths of the
trials of both sides have, for comparisons of complete trials (trial counts, PSTHs, feature vectors).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import correlation_matrix, ratio, smooth
from spikeloom.metrics.interval_sums import IntervalSums, interval_sums
from spikeloom.metrics.once import Once, once_property
from spikeloom.shapes import Numbers, mask_of
from spikeloom.trials import Trials

WIDE = 0.020
"""Width of the wide bins, in seconds."""

SMOOTHING = 0.040
"""Standard deviation of the smoothed activity, in seconds."""

PSTH_SMOOTHING = 0.020
"""Standard deviation of smoothed PSTHs, in seconds."""

LARGE = 64
"""Larger counts are summed in double precision, because their variance is small relative to their square."""

CHUNK = 1_000_000
"""Number of counts converted to floats at once: 4 MB, so that temporaries fit into the cache."""


@dataclass(frozen=True, eq=False)
class Statistics(Once):
    """Shared intermediate results of one set of trials.

    Args:
        trials: The trials.
        labels: Condition of each trial as an integer (trial,), -1 if it is unknown; all 0 without conditions.
        conditions: Number of conditions.
        window: Number of bins of the window; shorter trials are left out of comparisons of complete trials.
    """

    trials: Trials
    labels: NDArray[np.int64]
    conditions: int
    window: int

    @once_property
    def _sums(self) -> type[np.int32] | type[np.int64]:
        """Integer type of sums over one trial or over all neurons: 32 bits if they suffice, because they are faster."""
        counts = self.trials.counts
        return np.int32 if int(counts.max(initial=0)) * max(counts.shape[1:]) < 2**31 else np.int64

    def with_labels(self, labels: NDArray[np.int64]) -> "Statistics":
        """Return statistics of the same trials with other labels; wide counts that were computed are shared."""
        relabelled = replace(self, labels=labels)
        relabelled.share(self, "wide_mask", "wide")
        return relabelled

    # --- bins of the recording ------------------------------------------------------------------------------------

    @once_property
    def mean_rates_hz(self) -> Numbers:
        """Mean rate of each neuron over all valid bins (neuron,), in spikes/s."""
        return self.trials.mean_rates_hz()

    @once_property
    def population(self) -> NDArray[np.int64]:
        """Spikes of all neurons together, in each bin (trial, time)."""
        return self.trials.counts.sum(2, dtype=self._sums).astype(np.int64)

    @once_property
    def population_in_bins(self) -> NDArray[np.int64]:
        """Population counts of all valid bins, one after the other (bin,)."""
        return self.population[self.trials.mask]

    @once_property
    def totals(self) -> NDArray[np.int64]:
        """Spikes of each neuron over all valid bins (neuron,)."""
        return self.trials.counts.sum(1, dtype=self._sums).sum(0, dtype=np.int64)

    @once_property
    def intervals(self) -> IntervalSums:
        """Intervals between non-empty bins."""
        return interval_sums(self.trials.counts, self.trials.bin_width, spread=False)

    # --- the window -----------------------------------------------------------------------------------------------

    @once_property
    def whole(self) -> NDArray[np.int64]:
        """Indices of the trials that fill the window."""
        return np.flatnonzero(np.asarray(self.trials.lengths, np.int64) >= self.window)

    @once_property
    def whole_labels(self) -> NDArray[np.int64]:
        """Conditions of the trials that fill the window."""
        return self.labels[self.whole]

    @once_property
    def trial_counts(self) -> Numbers:
        """Spikes of each trial inside the window (whole trial, neuron)."""
        return self.trials.counts[:, : self.window].sum(1, dtype=self._sums)[self.whole].astype(np.float64)

    @once_property
    def sizes(self) -> NDArray[np.int64]:
        """Whole trials of each condition (condition,)."""
        return np.bincount(self.whole_labels[self.whole_labels >= 0], minlength=self.conditions)

    def _indicator(self) -> Numbers:
        """Return 1 where a trial has a condition (condition, trial), for trials that fill the window."""
        return (self.whole_labels[None] == np.arange(self.conditions)[:, None]).astype(np.float64)

    @once_property
    def condition_means(self) -> Numbers:
        """Mean trial count of each condition (condition, neuron); NaN for a condition without trials."""
        return ratio(self._indicator() @ self.trial_counts, self.sizes[:, None])

    @once_property
    def residual_counts(self) -> Numbers:
        """Trial counts minus their condition's mean (trial, neuron), over whole trials of known condition.

        Scaled by sqrt(n / (n - 1)) with n trials of the condition, because subtracting a mean of few trials reduces
        variance.
        """
        labelled = self.whole_labels >= 0
        labels = self.whole_labels[labelled]
        keep = self.sizes[labels] >= 2
        labels = labels[keep]
        scale = np.sqrt(self.sizes[labels] / (self.sizes[labels] - 1))
        return (self.trial_counts[labelled][keep] - self.condition_means[labels]) * scale[:, None]

    @once_property
    def noise_correlation(self) -> Numbers:
        """Correlation over trials of the residual counts (neuron, neuron); NaN for neurons without variance."""
        x = self.residual_counts
        return correlation_matrix(x.T @ x / max(1, len(x)), np.zeros(x.shape[1]))

    @once_property
    def psth(self) -> Numbers:
        """Mean rate of each condition in each bin of the window (condition, time, neuron), spikes/s, smoothed."""
        indicator = self._indicator().astype(np.float32)
        total = np.zeros((self.conditions, self.window * self.trials.n_neurons))
        step = max(1, CHUNK // max(1, total.shape[1]))
        for start in range(0, len(self.whole), step):
            part = slice(start, start + step)
            counts = self.trials.counts[self.whole[part], : self.window].reshape(len(self.whole[part]), -1)
            total += indicator[:, part] @ counts.astype(np.float32)
        mean = ratio(total, self.sizes[:, None] * self.trials.bin_width).reshape(self.conditions, self.window, -1)
        everywhere = np.ones(mean.shape[:2], bool)
        return smooth(mean, sd=PSTH_SMOOTHING / self.trials.bin_width, mask=everywhere).astype(np.float64)

    # --- wide bins ------------------------------------------------------------------------------------------------

    @property
    def factor(self) -> int:
        """Number of bins in a wide bin; at most the window, so that short trials have one wide bin."""
        return max(1, min(round(WIDE / self.trials.bin_width), self.window))

    @property
    def wide_width(self) -> float:
        """Width of a wide bin, in seconds."""
        return self.factor * self.trials.bin_width

    @property
    def wide_window(self) -> int:
        """Number of wide bins in the window."""
        return self.window // self.factor

    @once_property
    def wide_mask(self) -> NDArray[np.bool_]:
        """True where a wide bin is filled by its trial (trial, wide time)."""
        return mask_of(self.trials.lengths // self.factor, self.trials.n_bins // self.factor)

    @once_property
    def wide(self) -> NDArray[np.float32]:
        """Counts in wide bins (trial, wide time, neuron); zero where a wide bin is not filled."""
        counts = self.trials.counts
        factor = self.factor
        time = counts.shape[1] // factor
        out = np.zeros((len(counts), time, counts.shape[2]), np.float32)
        for offset in range(factor):
            out += counts[:, offset : time * factor : factor]
        if not self.wide_mask.all():
            out *= self.wide_mask[:, :, None]
        return out

    @once_property
    def smoothed(self) -> NDArray[np.float32]:
        """Wide counts smoothed with a Gaussian (sd 40 ms), (trial, wide time, neuron), spikes/bin."""
        return smooth(self.wide, sd=SMOOTHING / self.wide_width, mask=self.wide_mask)

    @once_property
    def correlation(self) -> Numbers:
        """Pearson correlation of wide counts over all bins (neuron, neuron); NaN for constant neurons."""
        return correlation_matrix(self.products, self.wide_mean)

    @once_property
    def wide_mean(self) -> Numbers:
        """Mean wide count of each neuron (neuron,)."""
        return self.wide.sum((0, 1), dtype=np.float64) / max(1, int(self.wide_mask.sum()))

    @once_property
    def products(self) -> Numbers:
        """Mean product of the wide counts of each pair of neurons (neuron, neuron)."""
        return second_moment(self.wide) / max(1, int(self.wide_mask.sum()))

    def correlation_variance(self, neurons: NDArray[np.int64]) -> float:
        r"""Compute the mean over pairs of neurons of the sampling variance of the pairwise correlation over trials.

         It is the first-order limit of a bootstrap over trials (infinitesimal jackknife): with z-scored wide
        counts z, the influence of trial k on :math:`r_{ij}` is :math:`u_k = \frac1n \sum_{t \in k} (z_i z_j - r_{ij}
        (z_i^2 + z_j^2)/2)`, and :math:`v = \frac{K}{K-1} \sum_k u_k^2`. With more than 300 neurons, 300 evenly
        spaced ones are used.
        """
        neurons = neurons[np.linspace(0, len(neurons) - 1, min(len(neurons), 300)).astype(int)]
        count = len(neurons)
        valid = self.wide_mask
        r = self.correlation[np.ix_(neurons, neurons)].astype(np.float32)
        mean = self.wide_mean[neurons]
        sd = np.sqrt(np.diag(self.products)[neurons] - mean**2)
        total = 0.0
        step = max(1, CHUNK // max(count * count, count * valid.shape[1]))
        for start in range(0, len(valid), step):
            part = slice(start, start + step)
            z = ((self.wide[part][:, :, neurons] - mean) / sd).astype(np.float32) * valid[part][:, :, None]
            gram = z.transpose(0, 2, 1) @ z
            squares = np.diagonal(gram, axis1=1, axis2=2) / 2
            gram -= r * (squares[:, :, None] + squares[:, None, :])
            total += float(np.vdot(gram, gram)) - float(np.sum(np.diagonal(gram, axis1=1, axis2=2) ** 2))
        trials = len(valid)
        return total * trials / max(1, trials - 1) / max(1, int(valid.sum())) ** 2 / max(1, count * (count - 1))


def second_moment(counts: NDArray[np.generic], weight: Numbers | None = None) -> Numbers:
    """Compute the sum over trials and bins of x x' (neuron, neuron).

    Products of small counts are integers, so blocks summed in float32 and added up in float64 are exact. Blocks
    with counts above `LARGE` are summed in float64.

    Args:
        counts: (trial, time, neuron).
        weight: Number of times that each trial counts, integers (trial,); 1 if absent.
    """
    trials, time, neurons = counts.shape
    total = np.zeros((neurons, neurons))
    step = max(1, CHUNK // max(1, time * neurons))
    exact = np.float32 if counts.max(initial=0) <= LARGE else np.float64
    for start in range(0, trials, step):
        block: Numbers = counts[start : start + step].astype(exact, copy=False)
        right: Numbers = block if weight is None else block * weight[start : start + step, None, None].astype(exact)
        total += block.reshape(-1, neurons).T @ right.reshape(-1, neurons)
    return total
