r"""Samplers, which compute a sample from noise with few evaluations of the denoiser.

At a noise level, a is the scale of the signal, :math:`\sigma` the scale of the noise, x the noisy sample, and
:math:`\hat x_0` the denoiser's estimate of the clean sample. Primes mark the next level.

The variables :math:`z = x / a` and :math:`\tau = \sigma / a` do not depend on the schedule: the noise of z has the
standard deviation :math:`\tau`, and a sample follows the equation :math:`dz / d\tau = (z - \hat x_0) / \tau`. With
:math:`\lambda = -\log \tau`, half the log signal-to-noise ratio, the linear part of this equation is solved exactly:

.. math:: x' = \frac{\sigma'}{\sigma} x + a' \int_{\lambda}^{\lambda'} e^{l - \lambda'} \hat x_0(l)\, dl .

Solvers differ in their assumption about :math:`\hat x_0` between two levels. `DDIM` keeps :math:`\hat x_0` constant.
`DPMSolver2M` extrapolates a line through the last two estimates. `UniPC` extrapolates a polynomial through the last
three estimates, and corrects each step with the next estimate. `Heun` uses the trapezium rule in :math:`\tau`. `DDPM`
and `SDEDPMSolver2M` replace part of the noise at each step. All samplers start from N(0, I), because noisy data of unit
variance have unit variance at every level. They return :math:`\hat x_0` at the last level.

With few steps, the standard deviation of samples is wrong. With trailing spacing, the default of `DDPM` and `DDIM`, it
is too small in components in which the data vary little. Fast components of latents vary little, so samples become too
smooth. The table shows the error of the standard deviation in percent, for data N(0, s^2) with the schedule
`LinearBeta()` and the exact denoiser (`ExactGaussian`):

=========================================  ===========  =======  =======  =======  =======
sampler                                    evaluations  s = 0.1  s = 0.5  s = 1    s = 2
=========================================  ===========  =======  =======  =======  =======
DEFAULT = UniPC(20)                                 20     -0.1      0.0      0.0     -0.1
DPMSolver2M(32)                                     32     +0.4     +0.5     +0.5     +0.4
DPMSolver2M(20)                                     20     +1.1     +1.3     +1.3     +1.2
SDEDPMSolver2M(32)                                  32     +1.1     +1.3     +1.3     +1.3
SDEDPMSolver2M(20)                                  20     +2.7     +3.0     +3.0     +3.0
Heun(30)                                            59     +1.0     +0.9     +0.7     +0.2
DDPM(1000)                                        1000     -3.7     -0.8     -0.4     -0.3
DDPM(50)                                            50    -31.8    -11.2     -7.4     -5.7
DDIM(50)                                            50    -25.8     -5.7     -3.6     -3.0
DPMSolver2M(20, spacing="trailing")                 20    -50.5     -4.4     +0.1     +0.5
=========================================  ===========  =======  =======  =======  =======

A new sampler is a frozen dataclass with one method, `step`.
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, field
from dataclasses import dataclass as plain_dataclass
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser, Mask, Sample
from spikeloom.diffusion.schedule import NoiseSchedule
from spikeloom.nn.condition import Condition
from spikeloom.nn.ssm import keep_kernels
from spikeloom.settings import STRICT

Spacing = Literal["trailing", "even", "power", "log_snr"]
"""Spacing of the n levels at which a sampler evaluates the denoiser, from noisy to clean, with k = n, ..., 1:

- trailing: levels k / n, rounded to 1/1000, the choice of most published samplers;
- even: levels k / n;
- power: levels that are evenly spaced in tau^(1/7);
- log_snr: levels that are evenly spaced in log tau.
"""

SPANS = {"power": (20.0, 0.01), "log_snr": (40.0, 0.005)}
"""Largest and smallest tau of the spacings "power" and "log_snr". At tau = 20, data of unit variance change the noisy
sample by only 0.1 %, so a wider span wastes steps. If the last level is tau, the standard deviation s of the data is
reduced by the fraction tau^2 / 2 s^2."""

GRID = 1000
"""Number of levels from which trailing spacing chooses."""

N_PAST = 4
"""Number of past estimates that are kept. The corrector of `UniPC` needs them all if its order is 3."""


class StepLevel(NamedTuple):
    """One noise level that a sampler visits.

    Args:
        step: Number of the level, counted from 0 at the noisiest level.
        level: Noise level in [0, 1].
        signal: Scale of the clean sample at this level.
        noise: Scale of the noise at this level.
    """

    step: int
    level: float
    signal: float
    noise: float

    @property
    def log_snr(self) -> float:
        """Half the log signal-to-noise ratio, lambda = log(signal / noise)."""
        return math.log(self.signal / self.noise)


class Estimate(NamedTuple):
    """The noisy sample at one level, and the denoiser's estimate of the clean sample from it."""

    at: StepLevel
    x: Tensor
    clean: Tensor


@plain_dataclass
class SamplerState:
    """State of a sampler for its next step: the denoiser, fresh noise, and the estimates at the last few levels.

    Args:
        denoiser: Denoiser that computes the clean estimates.
        noise: Function that returns standard normal numbers of the sample's shape at each call.
        condition: Passed to the denoiser.
        mask: Valid bins; other bins stay 0.
        past: Estimates at the last few levels, newest last.
    """

    denoiser: Denoiser
    noise: Callable[[], Tensor]
    condition: Condition | None
    mask: Mask | None
    past: deque[Estimate] = field(default_factory=lambda: deque(maxlen=N_PAST))

    def estimate(self, x: Sample, at: StepLevel) -> Sample:
        """Return the estimate of the clean sample; one evaluation of the denoiser."""
        level = torch.full((len(x),), at.level, dtype=x.dtype, device=x.device)
        return self._valid(self.denoiser.at_step(at.step)(x, level, self.condition, self.mask))

    def fresh_noise(self) -> Sample:
        """Return fresh standard normal noise."""
        return self._valid(self.noise())

    def _valid(self, x: Tensor) -> Tensor:
        """Return x with 0 in padding."""
        return x if self.mask is None else x.masked_fill(~self.mask[..., None], 0)


@dataclass(frozen=True, config=STRICT)
class Sampler(ABC):
    """A method to turn noise into a sample. It has one abstract method, `step`.

    Args:
        steps: Number of noise levels at which the denoiser is evaluated.
        spacing: Spacing of these levels; see `Spacing`.
        span: Largest and smallest ratio tau = sigma / a, for the spacings "power" and "log_snr". `None` uses `SPANS`.
            If no level of the schedule has the largest ratio, the first step starts at level 1.
    """

    steps: Annotated[int, Field(ge=1)]
    _: KW_ONLY
    spacing: Spacing = "trailing"
    span: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Raise a ValueError if the spacing has fewer levels than the sampler has steps, or the span is invalid."""
        if self.spacing == "trailing" and self.steps > GRID:
            raise ValueError(f"trailing spacing has {GRID} levels, not {self.steps}; use spacing='even'")
        if self.span is not None and self.spacing not in SPANS:
            raise ValueError(f"{self.spacing} spacing does not read a span; leave it out, or choose from {list(SPANS)}")
        if self.span is not None and not self.span[0] > self.span[1] > 0:
            raise ValueError(f"a span is two ratios sigma / a from noisy to clean, both above 0, and not {self.span}")

    @abstractmethod
    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Return the sample at the next level, which still has some noise.

        Args:
            next_level: The next level.
            state: State with the sample and its clean estimate at this level, `state.past[-1]`, and at earlier levels.
                Steps that need further estimates or fresh noise get them from the state, too.
        """

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the denoiser in one draw."""
        return self.steps

    @property
    def draws_noise(self) -> bool:
        """True if steps add fresh noise, so that the sample does not depend on the starting noise alone."""
        return False

    @final
    def levels(self, schedule: NoiseSchedule) -> Float[Tensor, " step"]:
        """Return the noise levels of the steps, from noisy to clean, in float64; level 0 is not among them."""
        falling = torch.arange(self.steps, 0, -1, dtype=torch.float64)  # n, ..., 1
        if self.spacing == "even":
            return falling / self.steps
        if self.spacing == "trailing":
            return torch.round(falling * GRID / self.steps) / GRID
        noisiest, cleanest = self.span or SPANS[self.spacing]
        noisiest = min(noisiest, _ratio(schedule, 1.0))  # the schedule may end at a smaller ratio
        fraction = torch.linspace(0, 1, self.steps, dtype=torch.float64)  # 0 at the noisiest level, 1 at the cleanest
        if self.spacing == "power":
            ratio = (noisiest ** (1 / 7) * (1 - fraction) + cleanest ** (1 / 7) * fraction) ** 7
        else:
            ratio = torch.exp(math.log(noisiest) * (1 - fraction) + math.log(cleanest) * fraction)
        return schedule.level_of(ratio)

    @final
    def step_levels(self, schedule: NoiseSchedule) -> list[StepLevel]:
        """Return the noise levels of the steps, each with its number and its scales of signal and noise."""
        levels = self.levels(schedule)
        signal, noise = schedule(levels)
        rows = zip(levels.tolist(), signal.tolist(), noise.tolist(), strict=True)
        return [StepLevel(step, *row) for step, row in enumerate(rows)]

    @final
    @torch.no_grad()
    @keep_kernels()
    def draw(
        self,
        denoiser: Denoiser,
        noise: Callable[[], Tensor],
        *,
        condition: Condition | None = None,
        mask: Mask | None = None,
    ) -> Sample:
        """Draw samples: start from noise, step through the levels, end with the clean estimate.

        Args:
            denoiser: Denoiser in eval mode.
            noise: Function that returns standard normal numbers (batch, time, channel) at each call. The first call
                returns the start. Stochastic samplers call the function again at every step except the last.
            condition: Passed to the denoiser.
            mask: Valid bins, for trials of different length; None if all bins are valid.

        Returns:
            x_0 (batch, time, channel), 0 where the mask is False.
        """
        points = self.points(denoiser, noise, condition=condition, mask=mask)
        return deque(points, maxlen=1).pop()  # the last point; earlier points are not kept in memory

    @final
    def points(
        self,
        denoiser: Denoiser,
        noise: Callable[[], Tensor],
        *,
        condition: Condition | None = None,
        mask: Mask | None = None,
    ) -> Iterator[Sample]:
        """Yield the sample at every level, from noisy to clean, and at the end the clean estimate; see `draw`."""
        levels = self.step_levels(denoiser.schedule)
        state = SamplerState(denoiser, noise, condition, mask)
        x = state.fresh_noise()
        for level, next_level in pairwise(levels):
            yield x
            state.past.append(Estimate(level, x, state.estimate(x, level)))
            x = self.step(next_level, state)
        yield x
        yield state.estimate(x, levels[-1])


@final
@dataclass(frozen=True, config=STRICT)
class DDPM(Sampler):
    r"""Ancestral sampling with the small variance. The LDNS paper uses it with 1000 steps.

    With :math:`\alpha = (a / a')^2`, the next sample is Gaussian with mean
    :math:`a' (1-\alpha)/\sigma^2 \hat x_0 + \sqrt\alpha\,\sigma'^2/\sigma^2 x` and variance
    :math:`(1-\alpha)\sigma'^2/\sigma^2`.

    Source: Ho, Jain, Abbeel 2020, equation 7.
    """

    @property
    def draws_noise(self) -> bool:
        """True: every step adds fresh noise."""
        return True

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Draw the sample at the next level from its Gaussian given the noisy sample and the clean estimate."""
        level, x, clean = state.past[-1]
        alpha = (level.signal / next_level.signal) ** 2
        noise_power_ratio = (next_level.noise / level.noise) ** 2
        # mean and variance as in the formula of the class
        mean = next_level.signal * (1 - alpha) / level.noise**2 * clean + math.sqrt(alpha) * noise_power_ratio * x
        return mean + math.sqrt((1 - alpha) * noise_power_ratio) * state.fresh_noise()


@final
@dataclass(frozen=True, config=STRICT)
class DDIM(Sampler):
    r"""Solver of first order without fresh noise: :math:`x' = a' \hat x_0 + \sigma' \hat\varepsilon`.

    Source: Song, Meng, Ermon 2021, equation 12 with eta = 0.
    """

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Blend the clean estimate and the noise estimate with the scales of the next level."""
        level, x, clean = state.past[-1]
        return next_level.signal * clean + next_level.noise / level.noise * (x - level.signal * clean)


@final
@dataclass(frozen=True, config=STRICT)
class DPMSolver2M(Sampler):
    r"""DPM-Solver++(2M): second order with one evaluation a step, first order at the first step.

    :math:`x' = \frac{\sigma'}{\sigma} x + a' (1 - e^{-h}) \hat x_0`, :math:`h = \lambda' - \lambda`, with the clean
    estimate in the middle of the step.

    Source: Lu, Zhou, Bao, Chen, Li, Zhu 2022 (DPM-Solver++), algorithm 2.
    """

    spacing: Spacing = "log_snr"

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Step with the clean estimate in the middle of the step, extrapolated from the last two estimates."""
        level, x, _ = state.past[-1]
        shrink = math.exp(level.log_snr - next_level.log_snr)  # e^-h
        return next_level.noise / level.noise * x + next_level.signal * (1 - shrink) * _middle(next_level, state)


@final
@dataclass(frozen=True, config=STRICT)
class SDEDPMSolver2M(Sampler):
    r"""DPM-Solver++(2M) that adds the same fresh noise as a step of `DDPM`.

    :math:`x' = \frac{\sigma'}{\sigma} e^{-h} x + a' (1 - e^{-2h}) \hat x_0 + \sigma' \sqrt{1 - e^{-2h}}\, \varepsilon`,
    :math:`h = \lambda' - \lambda`, with the clean estimate in the middle of the step. Fresh noise reduces errors of
    earlier estimates.

    Source: Lu, Zhou, Bao, Chen, Li, Zhu 2022 (DPM-Solver++), appendix B.
    """

    spacing: Spacing = "log_snr"

    @property
    def draws_noise(self) -> bool:
        """True: every step adds fresh noise."""
        return True

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Take a larger step than `DPMSolver2M`, and add fresh noise up to the scale of the next level."""
        level, x, _ = state.past[-1]
        shrink = math.exp(level.log_snr - next_level.log_snr)  # e^-h
        clean = _middle(next_level, state)
        mean = next_level.noise / level.noise * shrink * x + next_level.signal * (1 - shrink**2) * clean
        return mean + next_level.noise * math.sqrt(1 - shrink**2) * state.fresh_noise()


@final
@dataclass(frozen=True, config=STRICT)
class Heun(Sampler):
    r"""Trapezium rule for :math:`dz / d\tau = (z - \hat x_0) / \tau`, of second order.

    Every step but the last needs two evaluations of the denoiser.

    Source: Karras, Aittala, Aila, Laine 2022, algorithm 1.
    """

    spacing: Spacing = "power"

    @property
    def evaluations(self) -> int:
        """Number of evaluations of the denoiser in one draw."""
        return 2 * self.steps - 1

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Try a straight step, estimate the slope at its end, and step along the mean of both slopes."""
        level, x, clean = state.past[-1]
        # z and tau of the module, at this level and at the next one
        z = x / level.signal
        tau = level.noise / level.signal
        next_tau = next_level.noise / next_level.signal
        slope = (z - clean) / tau
        next_z = z + (next_tau - tau) * slope
        next_slope = (next_z - state.estimate(next_level.signal * next_z, next_level)) / next_tau
        return next_level.signal * (z + (next_tau - tau) * (slope + next_slope) / 2)


@final
@dataclass(frozen=True, config=STRICT)
class UniPC(Sampler):
    r"""Predictor and corrector along a polynomial in lambda.

    The integral of the module's formula is exact for the polynomial through the last `order` clean estimates; the
    corrector repeats the previous step with the newest estimate added, and needs no further evaluation.

    Args:
        order: Number of clean estimates that the predictor uses; fewer at the first steps. The corrector uses one
            estimate more, so the error is proportional to steps^-(order + 1).

    Source: Zhao, Bai, Rao, Zhou, Lu 2023 (UniPC), with exact coefficients.
    """

    spacing: Spacing = "log_snr"
    order: Annotated[int, Field(ge=1, le=3)] = 3

    def step(self, next_level: StepLevel, state: SamplerState) -> Sample:
        """Correct the sample at this level, then predict the sample at the next level."""
        estimates = list(state.past)
        if len(estimates) > 1:  # repeat the previous step, now with the clean estimate at its end
            level, _, clean = estimates[-1]
            corrected = _polynomial(estimates[-2], estimates[-self.order - 1 :], level)
            estimates[-1] = Estimate(level, corrected, clean)
            state.past[-1] = estimates[-1]
        return _polynomial(estimates[-1], estimates[-self.order :], next_level)


DEFAULT: Sampler = UniPC(20)
"""Default sampler. 14 evaluations keep the standard deviation of `ExactGaussian` within 1 %, 20 within 0.1 %."""


def _ratio(schedule: NoiseSchedule, level: float) -> float:
    """Return sigma / a at a level."""
    signal, noise = schedule(torch.tensor(level, dtype=torch.float64))
    return (noise / signal).item()


def _middle(next_level: StepLevel, state: SamplerState) -> Tensor:
    """Return the clean estimate in the middle of the step, on the line in lambda through the last two estimates.

    At the first step only one estimate exists, and this estimate is returned.
    """
    level, _, clean = state.past[-1]
    if len(state.past) == 1:
        return clean
    previous = state.past[-2]
    fraction = (next_level.log_snr - level.log_snr) / (level.log_snr - previous.at.log_snr) / 2
    return clean + fraction * (clean - previous.clean)


def _polynomial(start: Estimate, points: list[Estimate], next_level: StepLevel) -> Tensor:
    r"""Return the sample at the next level, after a step of length h in lambda from `start`.

    The integral of the module's formula is a weighted sum of the clean estimates of `points`. With l counted from
    `start`, the integrals of the powers, :math:`I_k = \int_0^h e^{l-h} l^k dl`, follow from :math:`I_0 = 1 - e^{-h}`
    and :math:`I_k = h^k - k I_{k-1}`. The weights w solve :math:`\sum_i w_i l_i^k = I_k`, with :math:`l_i` the position
    of point i. So the weighted sum is the exact integral of the polynomial through the points.
    """
    length = next_level.log_snr - start.at.log_snr  # h
    integrals = [-math.expm1(-length)]
    for k in range(1, len(points)):
        integrals.append(length**k - k * integrals[-1])
    positions = np.array([point.at.log_snr - start.at.log_snr for point in points])
    powers = np.vander(positions, increasing=True).T  # l_i^k in row k and column i
    weights = np.linalg.solve(powers, np.array(integrals))
    x = next_level.noise / start.at.noise * start.x
    for weight, point in zip(weights.tolist(), points, strict=True):
        x = x + next_level.signal * weight * point.clean
    return x
