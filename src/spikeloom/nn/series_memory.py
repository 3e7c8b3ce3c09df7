r"""Memory of a series, such as a hand velocity: exponentially weighted means of its earlier bins.

.. math:: n_t^{(k)} = a_k n_{t-1}^{(k)} + (1 - a_k) c_{t-1}, \qquad n_0^{(k)} = c_0,

with the series c and the decays :math:`a_k = e^{-1/\tau_k}` of the time constants :math:`\tau_k` in bins; for
:math:`\tau = 0` the mean is the last bin itself. These are the means that `nn.linear_autoregression` computes of
latents. A linear map of :math:`[c_t; n_t^{(1)}; ...; n_t^{(K)}]` is a filter of the past of the series. Without these
means, an autoregression could delay the effect of a series only as its own memory does.
"""

from collections.abc import Sequence
from typing import final

import numpy as np
from jaxtyping import Float


@final
class SeriesMemory:
    """Adds the means of earlier bins to the inputs of trials, piece after piece.

    Args:
        time_constants: Time constants of the means, bins. The constant 0, which stands for the last bin, is added.
        n_series: Number of inputs that come from series. They are the last ones in each bin.

    Attributes:
        means: The means before the next bin (trial, time constant, series). `None` before the first bin.
    """

    def __init__(self, time_constants: Sequence[float], *, n_series: int) -> None:
        constants = np.array([0.0, *time_constants])
        with np.errstate(divide="ignore"):
            self.decay = np.exp(-1 / constants)[:, None]  # a; exp(-1 / 0) is 0
        self.n_series = n_series
        self.means: Float[np.ndarray, "trial constant series"] | None = None

    def advance(self, inputs: Float[np.ndarray, "trial time input"]) -> Float[np.ndarray, "trial time input_and_mean"]:
        """Return the inputs of the next bins, followed by the means of their series; inputs alone without series."""
        n_trials, n_bins, n_inputs = inputs.shape
        if not self.n_series:
            return inputs
        series = inputs[..., n_inputs - self.n_series :].astype(np.float64)
        if self.means is None:
            self.means = np.repeat(series[:, :1], len(self.decay), 1)
        remembered = np.empty((n_trials, n_bins, len(self.decay), self.n_series))
        for time in range(n_bins):
            remembered[:, time] = self.means
            self.means = self.decay * self.means + (1 - self.decay) * series[:, time, None]
        return np.concatenate((inputs, remembered.reshape(n_trials, n_bins, -1)), 2)
