r"""Calibration of rates, :math:`r_n \leftarrow m_n r_n^g`, with one gain g and a factor m_n for each neuron.

The encoder is trained on counts with hidden entries, so complete trials raise the mean rate; samples of a diffusion
model with too little variance lower it. The factor m restores each neuron's mean count. A reconstruction is similar to
a posterior mean: it varies less from trial to trial than the true rates. Counts that are independent given the rates
have the covariances of the rates, so g restores the neurons' shared variance,

.. math:: \sum_{i \ne j} \mathrm{Cov}(r_i, r_j) = \sum_{i \ne j} \mathrm{Cov}(s_i, s_j),

over trials and windows of 20 ms. The noise of an observation model adds the missing covariance at its short lags, and
the gain must not add it again: with noise, the covariances are those at as large a range of lags beyond these. Gain and
factors are fitted to training trials, in closed form except for a bisection.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeloom.shapes import Array, TrialRates, mask_of
from spikeloom.trials import Trials

SHARED_WINDOW = 0.02
"""Window over which counts are summed for the shared variance, s."""

GAIN_RANGE = (0.5, 2.0)


@final
class Calibration(nn.Module):
    """Gain and factors of the rates, all 1 before fitting.

    Args:
        n_neurons: Number of neurons.
    """

    gain: Tensor
    match: Tensor

    def __init__(self, n_neurons: int) -> None:
        super().__init__()
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("match", torch.ones(n_neurons))

    def forward(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Return the calibrated rates, spikes/bin."""
        return rates**self.gain * self.match

    def fit(self, trials: Trials, rates: TrialRates, *, lengths: Array, beyond: int = 0) -> None:
        """Set gain and match so that these rates get the shared variance and the mean counts of the trials.

        Args:
            trials: Recorded trials.
            rates: Rates without calibration (trial, time, neuron), spikes/bin, of the same trials or of generated ones.
            lengths: Valid bins of each row of `rates`.
            beyond: First lag that is used, bins; shorter lags belong to the noise of the observation model. 0 if
                there is no noise.
        """
        window = max(1, round(SHARED_WINDOW / trials.bin_width))
        mask = mask_of(lengths, rates.shape[1])[..., None]
        mean = trials.counts.sum((0, 1), dtype=np.float64) / trials.n_valid_bins
        target = _shared_variance(trials.counts, trials.lengths, window, beyond)
        log_rates = np.log(np.where(mask, rates, 1))

        def matched(gain: float) -> tuple[NDArray[np.float64], Array]:
            scaled = np.exp(gain * log_rates) * mask
            match = mean * lengths.sum() / scaled.sum((0, 1), dtype=np.float64)
            return match, scaled * match

        low, high = GAIN_RANGE
        while high - low > 0.005:  # shared variance grows with the gain
            middle = (low + high) / 2
            small = _shared_variance(matched(middle)[1], lengths, window, beyond) < target
            low, high = (middle, high) if small else (low, middle)
        self.gain.fill_((low + high) / 2)
        self.match.copy_(torch.from_numpy(matched((low + high) / 2)[0]))


def _shared_variance(values: Array, lengths: Array, window: int, beyond: int) -> float:
    """Return the sum of the covariances of all pairs of neurons, over trials and time.

    With `beyond=0` these are covariances of sums over windows of `window` bins; otherwise covariances at `window` lags,
    the first of which is `beyond`.
    """
    if beyond:
        lags = range(beyond, min(beyond + window, values.shape[1]))
        return sum(_shared_at(values, lengths, lag) for lag in lags)
    windows = values.shape[1] // window
    wide = values[:, : windows * window].reshape(len(values), windows, window, -1).sum(2, dtype=np.float64)
    rows = wide[mask_of(lengths // window, windows)]
    return float(rows.sum(1).var() - rows.var(0).sum())


def _shared_at(values: Array, lengths: Array, lag: int) -> float:
    """Return the sum of the covariances of all pairs of neurons, the second of them later by `lag` bins."""
    both = mask_of(np.maximum(lengths - lag, 0), values.shape[1] - lag)
    early, late = values[:, : values.shape[1] - lag][both], values[:, lag:][both]
    early, late = early - early.mean(0, dtype=np.float64), late - late.mean(0, dtype=np.float64)
    return float((early.sum(1) * late.sum(1)).mean() - (early * late).mean(0).sum())
