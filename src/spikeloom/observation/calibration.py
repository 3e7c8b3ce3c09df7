r"""Calibration of rates, :math:`r_n \leftarrow m_n r_n^g`, with one gain g and a factor :math:`m_n` for each neuron.

The rates of a model need two corrections.

1. **Mean.** The encoder is trained on counts with hidden entries, so its rates for complete trials are too high.
   Samples of a diffusion model with too little variance have rates that are too low. The factor :math:`m_n` restores
   each neuron's mean count.
2. **Variance.** Inferred rates are similar to a posterior mean: they vary less from trial to trial than the true rates.
   The gain g restores the shared variance of the neurons. Counts s that are independent given the rates r have the
   covariances of the rates, so g is chosen such that

.. math:: \sum_{i \ne j} \mathrm{Cov}(r_i, r_j) = \sum_{i \ne j} \mathrm{Cov}(s_i, s_j),

over trials and windows of 20 ms. If the observation model has noise, the noise adds the missing covariance at its short
lags, and the gain must not add it again. Then the covariances are computed over 20 ms of lags beyond the lags of the
noise.

Gain and factors are fitted to training trials. The factors follow from the gain, which is found by a root search.
"""

from collections.abc import Callable
from functools import partial
from typing import final

import numpy as np
import scipy.optimize
import torch
from jaxtyping import Float, Num
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeloom.observation.slots import batches
from spikeloom.shapes import Array, TrialMask, TrialRates, mask_of
from spikeloom.trials import Trials

SHARED_WINDOW = 0.02
"""Window over which counts are summed for the shared variance, s."""

GAIN_RANGE = (0.5, 2.0)
"""Smallest and largest gain."""

GAIN_TOLERANCE = 0.002
"""Accuracy of the root search, far finer than the sampling error of the gain."""

Values = Num[np.ndarray, "trial time neuron"]
"""Counts or rates of trials."""


@final
class Calibration(nn.Module):
    """Gain and factors of the rates, all 1 before fitting.

    Args:
        n_neurons: Number of neurons.
    """

    gain: Tensor  # g
    match: Tensor  # factor m of each neuron

    def __init__(self, n_neurons: int) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("match", torch.ones(n_neurons))

    def forward(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Return the calibrated rates, spikes/bin."""
        return rates**self.gain * self.match

    def fit(self, trials: Trials, rates: TrialRates, *, lengths: Array, beyond: int = 0) -> None:
        """Set gain and factors so that these rates get the shared variance and the mean counts of the trials.

        Args:
            trials: Recorded trials.
            rates: Rates without calibration (trial, time, neuron), spikes/bin, of the same or of generated trials.
            lengths: Valid bins of each row of `rates`.
            beyond: First lag of the covariances, bins: the number of lags that belong to the noise of the observation
                model. 0 if there is no noise.
        """
        mean = trials.counts.sum((0, 1), dtype=np.float64) / trials.n_valid_bins
        window = max(1, round(SHARED_WINDOW / trials.bin_width))
        mask = mask_of(lengths, rates.shape[1])
        shared = partial(_shared_variance, mean=mean, window=window, beyond=beyond)
        target = shared(lambda rows: trials.counts[rows], trials.mask)

        def match(gain: float) -> NDArray[np.float64]:
            """Return the factors that give the rates with this gain the mean counts of the trials."""
            total = np.zeros(len(mean))
            for rows in batches(len(rates), rates[0].size):
                total += np.where(mask[rows, :, None], _power(rates[rows], gain), 0).sum((0, 1), dtype=np.float64)
            return mean * lengths.sum() / total

        def missing(gain: float) -> float:
            """Return the shared variance of the counts minus the shared variance of the rates with this gain."""
            factors = match(gain).astype(np.float32)
            return target - shared(lambda rows: _power(rates[rows], gain) * factors, mask)

        lowest, highest = GAIN_RANGE
        gain = lowest  # shared variance grows with the gain
        if missing(highest) > 0:
            gain = highest
        elif missing(lowest) > 0:
            gain = scipy.optimize.brentq(missing, lowest, highest, xtol=GAIN_TOLERANCE)
        self.gain.fill_(gain)
        self.match.copy_(torch.from_numpy(match(gain)))


def _power(rates: TrialRates, gain: float) -> TrialRates:
    """Return rates to the power of the gain, in single precision."""
    return np.power(rates, np.float32(gain))


def _shared_variance(
    read: Callable[[slice], Values], mask: TrialMask, *, mean: Float[np.ndarray, " neuron"], window: int, beyond: int
) -> float:
    r"""Return the sum of the covariances of all pairs of different neurons.

    If `beyond` is 0, these are covariances of sums over windows of `window` bins. Otherwise they are covariances
    between a bin and the sum of `window` later bins, the first of which is `beyond` bins later. In both cases
    :math:`\sum_{i \ne j} x_i y_j = \sum_i x_i \sum_j y_j - \sum_i x_i y_i` avoids a loop over pairs.

    Args:
        read: Function from a slice of trials to their values (trial, time, neuron).
        mask: Valid bins.
        mean: Mean value of each neuron.
        window: Number of bins of a window, or of lags.
        beyond: First lag, bins, or 0 for windows.
    """
    n_trials, n_bins = mask.shape
    total = 0.0
    n_terms = 0
    for rows in batches(n_trials, n_bins * len(mean)):
        values = np.where(mask[rows, :, None], read(rows) - mean.astype(np.float32), np.float32(0))
        if beyond:
            early = values
            late = _later_sums(values, beyond, window)
            n_terms += sum(int(mask[rows, lag:].sum()) for lag in range(beyond, beyond + window))
        else:
            n_windows = n_bins // window
            valid = mask[rows, : n_windows * window].reshape(-1, n_windows, window).min(2)
            window_sums = values[:, : n_windows * window].reshape(-1, n_windows, window, len(mean)).sum(2)
            early = late = np.where(valid[..., None], window_sums, 0)
            n_terms += int(valid.sum())
        pairs = early.sum(2, dtype=np.float64) * late.sum(2, dtype=np.float64)
        total += float(pairs.sum()) - float(np.vdot(early, late))
    return total / max(1, n_terms)


def _later_sums(values: Float[np.ndarray, "trial time neuron"], beyond: int, window: int) -> np.ndarray:
    """Return, for each bin, the sum over `window` bins, the first of which is `beyond` bins later."""
    n_bins = values.shape[1]
    # sum of all bins before each bin, also before bins beyond the end
    sums_before = np.zeros((len(values), n_bins + beyond + window, values.shape[2]), np.float32)
    np.cumsum(values, axis=1, out=sums_before[:, 1 : n_bins + 1])
    sums_before[:, n_bins + 1 :] = sums_before[:, n_bins, None]  # nothing is added beyond the end of the trial
    until_last = sums_before[:, beyond + window : beyond + window + n_bins]
    until_first = sums_before[:, beyond : beyond + n_bins]
    return until_last - until_first
