"""`Statistics`: intermediate results of one set of trials that several metrics share, computed at their first use.

All metrics use three time scales:

* the bins of the recording;
* *wide* bins of 20 ms (or the recording's bins, if they are wider), for correlations and trajectories;
* the *window*, for comparisons of complete trials (trial counts, PSTHs, feature vectors). It starts at the first bin,
  and is the longest window that at least nine tenths of the real and generated trials fill.
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
    def _sum_type(self) -> type[np.int32] | type[np.int64]:
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
        return self.trials.counts.sum(2, dtype=self._sum_type).astype(np.int64)

    @once_property
    def population_in_bins(self) -> NDArray[np.int64]:
        """Population counts of all valid bins, one after the other (bin,)."""
        return self.population[self.trials.mask]

    @once_property
    def totals(self) -> NDArray[np.int64]:
        """Spikes of each neuron over all valid bins (neuron,)."""
        return self.trials.counts.sum(1, dtype=self._sum_type).sum(0, dtype=np.int64)

    @once_property
    def intervals(self) -> IntervalSums:
        """Sums over the intervals between non-empty bins of each trial and neuron."""
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
        """Spikes inside the window, for each trial that fills the window (trial, neuron)."""
        return self.trials.counts[:, : self.window].sum(1, dtype=self._sum_type)[self.whole].astype(np.float64)

    @once_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of trials of each condition that fill the window (condition,)."""
        return np.bincount(self.whole_labels[self.whole_labels >= 0], minlength=self.conditions)

    def _indicator(self) -> Numbers:
        """Return 1 where a trial has a condition (condition, trial), for trials that fill the window."""
        return (self.whole_labels[None] == np.arange(self.conditions)[:, None]).astype(np.float64)

    @once_property
    def condition_means(self) -> Numbers:
        """Mean spikes per trial in the window, for each condition (condition, neuron).

        NaN for a condition without trials that fill the window.
        """
        return ratio(self._indicator() @ self.trial_counts, self.sizes[:, None])

    @once_property
    def residual_counts(self) -> Numbers:
        """Trial counts minus their condition's mean (trial, neuron), of trials that fill the window.

        Trials of unknown condition, or of a condition with one trial, are left out. Residuals of a condition with n
        trials are multiplied by sqrt(n / (n - 1)), because subtracting the mean of few trials reduces variance.
        """
        labelled = self.whole_labels >= 0
        labels = self.whole_labels[labelled]
        has_others = self.sizes[labels] >= 2
        labels = labels[has_others]
        scale = np.sqrt(self.sizes[labels] / (self.sizes[labels] - 1))
        return (self.trial_counts[labelled][has_others] - self.condition_means[labels]) * scale[:, None]

    @once_property
    def noise_correlation(self) -> Numbers:
        """Correlation over trials of the residual counts (neuron, neuron); NaN for neurons without variance."""
        x = self.residual_counts
        return correlation_matrix(x.T @ x / max(1, len(x)), np.zeros(x.shape[1]))

    @once_property
    def psth(self) -> Numbers:
        """Mean rate of each condition in each bin of the window (condition, time, neuron), spikes/s, smoothed."""
        indicator = self._indicator().astype(np.float32)
        # summed counts (condition, time x neuron)
        total = np.zeros((self.conditions, self.window * self.trials.n_neurons))
        at_once = max(1, CHUNK // max(1, total.shape[1]))  # trials
        for start in range(0, len(self.whole), at_once):
            part = slice(start, start + at_once)
            counts = self.trials.counts[self.whole[part], : self.window].reshape(len(self.whole[part]), -1)
            total += indicator[:, part] @ counts.astype(np.float32)
        mean = ratio(total, self.sizes[:, None] * self.trials.bin_width).reshape(self.conditions, self.window, -1)
        all_valid = np.ones(mean.shape[:2], bool)
        return smooth(mean, sd=PSTH_SMOOTHING / self.trials.bin_width, mask=all_valid).astype(np.float64)

    # --- wide bins ------------------------------------------------------------------------------------------------

    @property
    def bins_per_wide_bin(self) -> int:
        """Number of bins in a wide bin; at most the window, so that short trials have one wide bin."""
        return max(1, min(round(WIDE / self.trials.bin_width), self.window))

    @property
    def wide_width(self) -> float:
        """Width of a wide bin, in seconds."""
        return self.bins_per_wide_bin * self.trials.bin_width

    @property
    def wide_window(self) -> int:
        """Number of wide bins in the window."""
        return self.window // self.bins_per_wide_bin

    @once_property
    def wide_mask(self) -> NDArray[np.bool_]:
        """True for wide bins that lie completely inside their trial (trial, wide time)."""
        per_wide_bin = self.bins_per_wide_bin
        return mask_of(self.trials.lengths // per_wide_bin, self.trials.n_bins // per_wide_bin)

    @once_property
    def wide(self) -> NDArray[np.float32]:
        """Counts in wide bins (trial, wide time, neuron); zero where `wide_mask` is False."""
        counts = self.trials.counts
        per_wide_bin = self.bins_per_wide_bin
        n_wide = counts.shape[1] // per_wide_bin
        out = np.zeros((len(counts), n_wide, counts.shape[2]), np.float32)
        for offset in range(per_wide_bin):
            out += counts[:, offset : n_wide * per_wide_bin : per_wide_bin]
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
        r"""Compute the sampling variance of a pairwise correlation, as a mean over pairs of these neurons.

        The sampling variance is the variance over repetitions of the experiment with other trials. It is estimated by
        the first-order limit of a bootstrap over K trials (infinitesimal jackknife): with wide counts z standardised
        per neuron, and n wide bins in all, the influence of trial k on :math:`r_{ij}` is
        :math:`u_k = \frac1n \sum_{t \in k} (z_i z_j - r_{ij} (z_i^2 + z_j^2)/2)`, and the variance is
        :math:`v = \frac{K}{K-1} \sum_k u_k^2`. With more than 300 neurons, 300 evenly spaced neurons are used.
        """
        neurons = neurons[np.linspace(0, len(neurons) - 1, min(len(neurons), 300)).astype(int)]
        n_neurons = len(neurons)
        valid = self.wide_mask
        r = self.correlation[np.ix_(neurons, neurons)].astype(np.float32)
        mean = self.wide_mean[neurons]
        sd = np.sqrt(np.diag(self.products)[neurons] - mean**2)
        total = 0.0
        at_once = max(1, CHUNK // max(n_neurons * n_neurons, n_neurons * valid.shape[1]))  # trials
        for start in range(0, len(valid), at_once):
            part = slice(start, start + at_once)
            z = ((self.wide[part][:, :, neurons] - mean) / sd).astype(np.float32) * valid[part][:, :, None]
            influence = z.transpose(0, 2, 1) @ z  # n u_k of each trial and pair, after the subtraction below
            half_squares = np.diagonal(influence, axis1=1, axis2=2) / 2
            influence -= r * (half_squares[:, :, None] + half_squares[:, None, :])
            variances = np.diagonal(influence, axis1=1, axis2=2)  # pairs of a neuron with itself, which do not count
            total += float(np.vdot(influence, influence)) - float(np.sum(variances**2))
        n_trials = len(valid)
        n_pairs = max(1, n_neurons * (n_neurons - 1))  # each pair is counted twice, as (i, j) and (j, i)
        return total * n_trials / max(1, n_trials - 1) / max(1, int(valid.sum())) ** 2 / n_pairs


def second_moment(counts: NDArray[np.generic], weight: Numbers | None = None) -> Numbers:
    """Compute the sum over trials and bins of x x' (neuron, neuron), with the counts x of all neurons in a bin.

    Trials are summed in blocks. Products of small counts are integers, so blocks summed in float32 and added up in
    float64 are exact. Blocks with counts above `LARGE` are summed in float64.

    Args:
        counts: Counts (trial, time, neuron).
        weight: Number of times that each trial counts, integers (trial,). `None` counts each trial once.
    """
    n_trials, n_bins, n_neurons = counts.shape
    total = np.zeros((n_neurons, n_neurons))
    at_once = max(1, CHUNK // max(1, n_bins * n_neurons))  # trials of a block
    dtype = np.float32 if counts.max(initial=0) <= LARGE else np.float64
    for start in range(0, n_trials, at_once):
        rows = slice(start, start + at_once)
        block: Numbers = counts[rows].astype(dtype, copy=False)
        weighted: Numbers = block if weight is None else block * weight[rows, None, None].astype(dtype)
        total += block.reshape(-1, n_neurons).T @ weighted.reshape(-1, n_neurons)
    return total
