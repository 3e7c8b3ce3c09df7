r"""Noise schedules: the scales of signal and noise at each level.

A noisy sample x is the sum of a clean sample :math:`x_0` of unit variance and white noise
:math:`\varepsilon \sim N(0, I)`, with the scales a and :math:`\sigma`:

.. math:: x = a x_0 + \sigma \varepsilon, \qquad a^2 + \sigma^2 = 1, \qquad \text{level} \in [0, 1].

At level 0, x is the clean sample itself; at level 1 it is almost pure noise. The variance of x is 1 at every level, so
sampling may start from N(0, I) at any level. The ratio :math:`\sigma / a` increases with the level. Samplers choose
their levels by this ratio, or by half the log signal-to-noise ratio, :math:`\lambda = \log(a / \sigma)`.

A network may predict the noise, the clean sample, or the velocity :math:`v = a\varepsilon - \sigma x_0` from x. Each
of them determines the others, because (x, v) is (x_0, eps) rotated by an angle:

.. math:: x_0 = a x - \sigma v, \qquad \varepsilon = a v + \sigma x.

`target` computes the training target of each prediction, and `clean_from` the clean sample from a prediction.

A new schedule is a frozen dataclass with one method, `__call__`.
"""

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Annotated, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from spikeloom.settings import STRICT

Prediction = Literal["noise", "clean", "velocity"]
"""Quantity that a network predicts: eps, x_0, or a eps - sigma x_0."""

Fraction = Annotated[float, Field(gt=0, lt=1)]

BISECTIONS = 100
"""Number of halvings of [0, 1] in `level_of`. More halvings would not change levels above 1e-14 in float64."""


class NoiseSchedule(ABC):
    """Scales of signal and noise as a function of the level. It has one abstract method, `__call__`."""

    @abstractmethod
    def __call__(self, level: Float[Tensor, "*axes"]) -> tuple[Float[Tensor, "*axes"], Float[Tensor, "*axes"]]:
        r"""Return signal scale a and noise scale sigma at each level, :math:`a^2 + \sigma^2 = 1`.

        Args:
            level: Noise level in [0, 1]; 0 is clean and gives exactly (1, 0).

        Returns:
            a, falling and positive, and sigma, rising; same axes and dtype as `level`.
        """

    @final
    def level_of(self, ratio: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        """Return the level at which sigma / a equals `ratio`, in float64, or 1 if no level reaches that ratio."""
        ratio = ratio.double()
        # bisection: sigma / a rises with the level, so the level lies between `low` and `high`
        low = torch.zeros_like(ratio)
        high = torch.ones_like(ratio)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            signal, noise = self(middle)
            cleaner = noise < ratio * signal  # the requested level has more noise than `middle`
            low = torch.where(cleaner, middle, low)
            high = torch.where(cleaner, high, middle)
        return high


@final
@dataclass(frozen=True, config=STRICT)
class LinearBeta(NoiseSchedule):
    r"""The schedule of DDPM and LDNS: variances of the small noising steps grow linearly.

    :math:`a_i^2 = \prod_{j \le i} (1 - \beta_j)` at level i / levels, with :math:`\beta_j` from `start` to `end`.
    Between two neighbouring grid points, :math:`\log a^2` is a parabola through both points, whose slope changes like
    :math:`\log(1 - \beta)`. So the scales are smooth in the level. With the default settings, a at level 1 is 0.0064.

    Args:
        levels: Number of grid points above 0.
        start: First :math:`\beta`.
        end: Last :math:`\beta`.

    Source: Ho, Jain, Abbeel 2020, section 4.
    """

    levels: Annotated[int, Field(ge=2)] = 1000
    start: Fraction = 1e-4
    end: Fraction = 0.02

    def __call__(self, level: Float[Tensor, "*axes"]) -> tuple[Float[Tensor, "*axes"], Float[Tensor, "*axes"]]:
        """Return signal and noise scale at each level."""
        left, change, bend = _linear_beta_table(self.levels, self.start, self.end, level.device).to(level.dtype)
        position = level * self.levels
        cell = position.detach().floor().clamp(0, self.levels - 1).long()
        fraction = position - cell  # from 0 at the left end of the cell to 1 at its right end
        log_power = left[cell] + fraction * change[cell] - fraction * (1 - fraction) / 2 * bend[cell]  # log a^2
        return torch.exp(log_power / 2), torch.sqrt(-torch.expm1(log_power))  # a, and sigma = sqrt(1 - a^2)


@lru_cache(maxsize=16)
def _linear_beta_table(levels: int, start: float, end: float, device: torch.device) -> Float[Tensor, "3 cell"]:
    """Return three numbers for each cell between two grid points. They determine the parabola of log a^2 in the cell.

    The numbers are log a^2 at the left end, its change within the cell, and the bend. The bend is the slope of log a^2
    at the right end minus the slope at the left end: the derivative of log(1 - beta) along the grid.
    """
    with torch.inference_mode(False), torch.no_grad():  # the cached tensor is used in training, too
        beta = torch.linspace(start, end, levels, dtype=torch.float64)
        change = torch.log1p(-beta)  # log a^2 at the right end of each cell minus log a^2 at its left end
        # The bend is limited to twice the change, so that log a^2 never rises within a cell of any grid.
        bend = (-(end - start) / (levels - 1) / (1 - beta)).clamp(min=2 * change, max=-2 * change)
        return torch.stack([torch.cumsum(change, 0) - change, change, bend]).to(device)


@final
@dataclass(frozen=True, config=STRICT)
class Cosine(NoiseSchedule):
    r"""Schedule whose signal falls as a cosine. It has more levels of intermediate noise than `LinearBeta`.

    :math:`a = \cos\theta / \cos\theta_0`, with the angle linear in the level from
    :math:`\theta_0 = \frac{\pi}{2}\frac{s}{1+s}` to the angle at which a is `smallest`. The published form ends at
    :math:`\pi / 2`, where no signal is left, and is clipped. This form ends slightly earlier and is strictly monotone.

    Args:
        offset: s, which adds noise to the first levels.
        smallest: Signal scale at level 1.

    Source: Nichol, Dhariwal 2021, equation 17.
    """

    offset: Annotated[float, Field(ge=0, lt=1)] = 0.008
    smallest: Fraction = 0.005

    def __call__(self, level: Float[Tensor, "*axes"]) -> tuple[Float[Tensor, "*axes"], Float[Tensor, "*axes"]]:
        """Return signal and noise scale at each level."""
        first = self.offset / (1 + self.offset) * math.pi / 2  # theta_0, the angle at level 0
        last = math.acos(self.smallest * math.cos(first))  # the angle at level 1
        turn = level * (last - first)  # theta - theta_0
        # sigma^2 = 1 - a^2 as a product, because a difference would lose digits near level 0
        noise_power = torch.sin(turn) * torch.sin(turn + 2 * first) / math.cos(first) ** 2
        return torch.cos(turn + first) / math.cos(first), torch.sqrt(noise_power)


def target(
    prediction: Prediction,
    *,
    clean: Float[Tensor, "*axes"],
    noise: Float[Tensor, "*axes"],
    signal_scale: Tensor,
    noise_scale: Tensor,
) -> Float[Tensor, "*axes"]:
    r"""Return the training target of a network: eps, x_0, or :math:`v = a\varepsilon - \sigma x_0`.

    Args:
        prediction: Quantity that the network predicts.
        clean: x_0.
        noise: eps.
        signal_scale: a, broadcastable to `clean`.
        noise_scale: sigma, broadcastable to `clean`.
    """
    match prediction:
        case "noise":
            return noise
        case "clean":
            return clean
        case "velocity":
            return signal_scale * noise - noise_scale * clean


def clean_from(
    prediction: Prediction,
    output: Float[Tensor, "*axes"],
    *,
    x: Float[Tensor, "*axes"],
    signal_scale: Tensor,
    noise_scale: Tensor,
) -> Float[Tensor, "*axes"]:
    r"""Return the clean sample that follows from the output of a network.

    It is :math:`(x - \sigma\hat\varepsilon) / a` for predicted noise, :math:`\hat x_0` itself for a predicted clean
    sample, and :math:`a x - \sigma\hat v` for a predicted velocity.

    Args:
        prediction: Quantity that the network predicts.
        output: Output of the network.
        x: Noisy input of the network.
        signal_scale: a, broadcastable to `x`.
        noise_scale: sigma, broadcastable to `x`.
    """
    match prediction:
        case "noise":
            return (x - noise_scale * output) / signal_scale
        case "clean":
            return output
        case "velocity":
            return signal_scale * x - noise_scale * output
