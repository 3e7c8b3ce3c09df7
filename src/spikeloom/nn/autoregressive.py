r"""Prior of inferred inputs. Each input is autoregressive of first order,

.. math:: u_t = \alpha u_{t-1} + \eta_t, \quad \alpha = e^{-1/\tau}, \quad \mathrm{Var}\,\eta = v,
          \quad u_1 \sim N(0, v / (1 - \alpha^2)),

with time constant tau (bins) and v learned for each input. Source: Pandarinath et al. 2018; METHODS 4.1.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

FIRST_TIME_CONSTANT = 10.0
"""Time constant before training, bins."""

FIRST_VARIANCE = 0.1
"""Variance of u before training."""


class Autoregressive(nn.Module):
    """Independent autoregressive series.

    Args:
        inputs: Number of series.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        decay = math.exp(-1 / FIRST_TIME_CONSTANT)
        self.log_time_constant = nn.Parameter(torch.full((inputs,), math.log(FIRST_TIME_CONSTANT)))
        self.log_variance = nn.Parameter(torch.full((inputs,), math.log(FIRST_VARIANCE * (1 - decay**2))))

    def _numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return decay, variance of a step, and stationary variance."""
        decay = torch.exp(-torch.exp(-self.log_time_constant))
        variance = self.log_variance.exp()
        return decay, variance, variance / (1 - decay.square()).clamp(min=1e-6)

    def log_prob(self, values: Float[Tensor, "batch time input"]) -> Float[Tensor, "batch time input"]:
        """Return the log-density of each value given the previous one, in nats."""
        decay, variance, stationary = self._numbers()
        first = _log_normal(values[:, :1], torch.zeros_like(values[:, :1]), stationary)
        return torch.cat((first, _log_normal(values[:, 1:], decay * values[:, :-1], variance)), 1)

    def draw(
        self, noise: Float[Tensor, "batch time input"], before: Float[Tensor, "batch input"] | None = None
    ) -> Float[Tensor, "batch time input"]:
        """Draw series from standard normal numbers; `before` holds the values of the bin before, None at the start."""
        decay, variance, stationary = self._numbers()
        value = noise.new_zeros(noise[:, 0].shape) if before is None else before
        rows = []
        for time in range(noise.shape[1]):
            fresh = before is None and time == 0
            value = decay * value + (stationary if fresh else variance).sqrt() * noise[:, time]
            rows.append(value)
        return torch.stack(rows, 1)


def _log_normal(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return -0.5 * ((values - mean).square() / variance + variance.log() + math.log(2 * math.pi))
