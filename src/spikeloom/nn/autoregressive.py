r"""Prior of the inputs that LFADS infers in every bin. Each input is an autoregressive series of first order,

.. math:: u_t = \alpha u_{t-1} + \eta_t, \quad \alpha = e^{-1/\tau}, \quad \mathrm{Var}\,\eta = v,
          \quad u_1 \sim N(0, v / (1 - \alpha^2)),

with Gaussian steps :math:`\eta`. The time constant :math:`\tau` (bins) and the variance v are learned for each input.
The first value has the stationary variance, so all values have the same variance. Source: Pandarinath et al. 2018;
METHODS 4.1.
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
    """Independent autoregressive series with learned time constants and variances.

    Args:
        inputs: Number of series.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        decay = math.exp(-1 / FIRST_TIME_CONSTANT)
        self.log_time_constant = nn.Parameter(torch.full((inputs,), math.log(FIRST_TIME_CONSTANT)))
        self.log_variance = nn.Parameter(torch.full((inputs,), math.log(FIRST_VARIANCE * (1 - decay**2))))

    def _decay_and_variances(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return for each series the decay alpha, the variance v of a step, and the stationary variance."""
        decay = torch.exp(-torch.exp(-self.log_time_constant))  # e^(-1 / tau)
        variance = self.log_variance.exp()
        return decay, variance, variance / (1 - decay.square()).clamp(min=1e-6)

    def log_prob(self, values: Float[Tensor, "batch time input"]) -> Float[Tensor, "batch time input"]:
        """Return the log-density of each value given the previous one, in nats."""
        decay, variance, stationary = self._decay_and_variances()
        first = _log_normal(values[:, :1], torch.zeros_like(values[:, :1]), stationary)
        later = _log_normal(values[:, 1:], decay * values[:, :-1], variance)
        return torch.cat((first, later), 1)

    def draw(
        self, noise: Float[Tensor, "batch time input"], previous: Float[Tensor, "batch input"] | None = None
    ) -> Float[Tensor, "batch time input"]:
        """Draw series.

        Args:
            noise: Standard normal numbers, one for each value.
            previous: Values of the bin before the first bin of `noise`. `None` at the beginning of a trial.

        Returns:
            Series with the axes of `noise`.
        """
        decay, variance, stationary = self._decay_and_variances()
        value = noise.new_zeros(noise[:, 0].shape) if previous is None else previous
        values = []
        for time in range(noise.shape[1]):
            is_first = previous is None and time == 0
            value = decay * value + (stationary if is_first else variance).sqrt() * noise[:, time]
            values.append(value)
        return torch.stack(values, 1)


def _log_normal(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return the log-density of a normal distribution at the values, in nats."""
    return -0.5 * ((values - mean).square() / variance + variance.log() + math.log(2 * math.pi))
