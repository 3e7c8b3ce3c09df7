r"""Gaussian series of unit variance with a chosen correlation over lags, computed from white noise in pieces."""

from dataclasses import dataclass

import numpy as np
import scipy.signal
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Series = Float[Tensor, "batch time rank"]
Before = Float[Tensor, "batch _ rank"]


@dataclass(frozen=True)
class Box:
    r"""Mean of the last L values of white noise, :math:`e_t = \sum_{j<L} w_{t-j} / \sqrt L`.

    At the beginning of a trial there are fewer values, and the sum of these is scaled to unit variance.

    Args:
        bins: Number of values L.
        rank: Number of independent series.
    """

    bins: int
    rank: int

    def correlation(self, lags: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the correlation at these lags, bins."""
        return (1 - lags / self.bins).clip(min=0)

    def series(self, white: Series, before: Before) -> tuple[Series, Before]:
        """Return the series of a piece and the state for the next; `before` is empty at the beginning of a trial."""
        joined, time = torch.cat((before, white), 1), white.shape[1]
        total = torch.zeros_like(joined)
        for lag in range(min(self.bins, joined.shape[1])):
            total[:, lag:] += joined[:, : joined.shape[1] - lag]
        n_values = torch.arange(1, joined.shape[1] + 1, dtype=white.dtype).clamp(max=self.bins)
        keep = joined[:, max(0, joined.shape[1] - self.bins + 1) :]
        return (total / n_values.sqrt()[:, None])[:, joined.shape[1] - time :], keep


@dataclass(frozen=True)
class Decay:
    r"""Series with :math:`e_t = \phi e_{t-1} + \sqrt{1 - \phi^2} w_t`, in equilibrium from the first bin.

    Args:
        factor: :math:`\phi`, from one bin to the next.
        rank: Number of independent series.
    """

    factor: float
    rank: int

    def correlation(self, lags: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the correlation at these lags, bins."""
        return np.asarray(self.factor**lags, np.float64)

    def series(self, white: Series, before: Before) -> tuple[Series, Before]:
        """Return the series of a piece and the state for the next; `before` is empty at the beginning of a trial."""
        gain = float(np.sqrt(1 - self.factor**2))
        driven = gain * white.numpy()
        if before.shape[1]:
            start = self.factor * before.numpy()
        else:
            start, driven[:, 0] = np.zeros_like(driven[:, :1]), white[:, 0].numpy()
        made, _ = scipy.signal.lfilter([1.0], [1.0, -self.factor], driven, axis=1, zi=start)
        series = torch.from_numpy(made)
        return series, series[:, -1:]


Component = Box | Decay
