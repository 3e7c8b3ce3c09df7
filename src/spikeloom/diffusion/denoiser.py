r"""Denoisers: estimates of the clean sample from a noisy one.

The best estimate in mean square is the posterior mean :math:`\hat x_0 = E[x_0 \mid x]`; a sampler needs nothing else,
since :math:`\hat\varepsilon = (x - a \hat x_0) / \sigma` and the score is :math:`-\hat\varepsilon / \sigma`. So every
denoiser returns :math:`\hat x_0`, whatever its network predicts.

There are two denoisers: `NetworkDenoiser` (any backbone, a schedule, and the meaning of the backbone's output) and
`ExactGaussian` (a closed form, with which a sampler can be tested without training).

Training compares the network's output with its target. The losses of the three predictions are related by
:math:`\|\hat v - v\|^2 = \|\hat\varepsilon - \varepsilon\|^2 / a^2
= \|\hat\varepsilon - \varepsilon\|^2 + \|\hat x_0 - x_0\|^2`:
so predicting the velocity means predicting noise and sample together, with equal weights.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.diffusion.schedule import NoiseSchedule, Prediction, clean_from, target
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition

Sample = Float[Tensor, "batch time channel"]
"""Standardised data, clean or noisy, or noise; unitless."""

Level = Float[Tensor, " batch"]
"""Noise level of each trial in [0, 1]; 0 is clean."""

Mask = Bool[Tensor, "batch time"]
"""True for valid bins."""


class Denoiser(nn.Module, ABC):
    """An estimator of the clean sample at each level of a noise schedule. It has one abstract method, `forward`."""

    schedule: NoiseSchedule

    @abstractmethod
    def forward(self, x: Sample, level: Level, condition: Condition | None = None, mask: Mask | None = None) -> Sample:
        """Return the estimate of the clean sample.

        Args:
            x: Noisy sample a x_0 + sigma eps (batch, time, channel).
            level: Noise level of each trial.
            condition: Condition of each trial.
            mask: Valid bins; None if all bins are valid. The estimate in other bins is arbitrary and must not be used.
        """

    def at_step(self, step: int) -> "Denoiser":
        """Return the denoiser that a sampler evaluates at a step, counted from 0 at the noisiest level.

        Most denoisers depend on the level only and return themselves. `Windowed` shifts its windows from step to step.
        """
        del step
        return self


@final
class NetworkDenoiser(Denoiser):
    """A denoiser from a backbone, a noise schedule, and the meaning of the backbone's output.

    Args:
        backbone: Network, (x, level, condition, mask) -> output with the axes of x.
        schedule: Signal and noise scale of each level.
        prediction: Whether the backbone's output is the noise, the clean sample, or the velocity.
    """

    def __init__(self, backbone: nn.Module, *, schedule: NoiseSchedule, prediction: Prediction) -> None:
        super().__init__()
        self.backbone = backbone
        self.schedule = schedule
        self.prediction: Prediction = prediction

    def forward(self, x: Sample, level: Level, condition: Condition | None = None, mask: Mask | None = None) -> Sample:
        """Return the estimate of the clean sample, computed from the output of the backbone."""
        signal, noise = _scales(self.schedule, level)
        output = self.backbone(x, level, condition, mask).to(x.dtype)
        return clean_from(self.prediction, output, x=x, signal_scale=signal, noise_scale=noise)


@final
class DoublePrecision(Denoiser):
    """A denoiser that is evaluated in double precision, without a copy of its networks.

    Args:
        denoiser: Denoiser. Its parameters and buffers are converted once.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.schedule = denoiser.schedule
        tensors = (*denoiser.named_parameters(), *denoiser.named_buffers())
        self.tensors = {name: value.detach().double() for name, value in tensors}

    def forward(self, x: Sample, level: Level, condition: Condition | None = None, mask: Mask | None = None) -> Sample:
        """Return the estimate of the clean sample."""
        # `functional_call` evaluates the denoiser with these tensors in place of its parameters and buffers.
        clean: Sample = torch.func.functional_call(self.denoiser, self.tensors, (x, level, condition, mask))
        return clean


@final
class ExactGaussian(Denoiser):
    r"""The exact denoiser of data :math:`x_0 \sim N(0, s^2)`, independent in every entry; a reference for tests.

    :math:`\hat x_0 = a s^2 x / (a^2 s^2 + \sigma^2)`. It has no parameters, and reads neither condition nor mask.

    Args:
        sd: s, one number for all channels or one for each channel.
        schedule: Signal and noise scale of each level.
    """

    sd: Tensor

    def __init__(self, sd: float | Sequence[float], schedule: NoiseSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.register_buffer("sd", torch.tensor(sd, dtype=torch.float64))

    def forward(
        self,
        x: Sample,
        level: Level,
        condition: Condition | None = None,
        mask: Mask | None = None,
    ) -> Sample:
        """Return the posterior mean of the clean sample."""
        del condition, mask  # arguments of every denoiser; not used here
        signal, noise = _scales(self.schedule, level)
        power = self.sd.to(x.dtype) ** 2  # s^2
        return signal * power * x / (signal**2 * power + noise**2)


def denoising_loss(
    denoiser: NetworkDenoiser,
    clean: Sample,
    *,
    level: Level,
    noise: Sample,
    condition: Condition | None = None,
    mask: Mask | None = None,
    huber: float | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    r"""Return the summed error of the network's output, with equal weight at every level, and the number of entries.

    The loss of an entry (one channel in one bin) with error e is :math:`e^2`. With `huber` = b it is the smooth L1
    loss, :math:`e^2 / 2b` for :math:`|e| < b` and :math:`|e| - b / 2` elsewhere.

    Args:
        denoiser: Denoiser whose network is trained.
        clean: x_0, standardised (batch, time, channel); values in padding are never read.
        level: Noise level of each trial.
        noise: eps, standard normal, same axes as `clean`.
        condition: Condition of each trial.
        mask: Valid bins; None if all bins are valid.
        huber: Width b of the quadratic part; None for the squared error.

    Returns:
        Sum of the loss over valid entries (differentiable), and the number of valid entries. They are returned
        separately, so that sums over micro-batches and processes are exact. Their ratio is the mean loss.

    Raises:
        SettingError: if `huber` is not positive.

    Source: smooth L1 as in LDNS. There, masked losses are divided by the number of all bins; here by the number of
        valid bins.
    """
    if huber is not None and not huber > 0:
        raise SettingError(
            "The width `huber` of the smooth L1 loss must be above 0.",
            f"It was {huber}.",
            "Use `None` for the squared error.",
        )
    if mask is not None:  # fill, because padding may hold NaN and 0 * NaN is NaN
        clean = clean.masked_fill(~mask[..., None], 0)
        noise = noise.masked_fill(~mask[..., None], 0)
    signal_scale, noise_scale = _scales(denoiser.schedule, level)
    output = denoiser.backbone(signal_scale * clean + noise_scale * noise, level, condition, mask).to(clean.dtype)
    expected = target(denoiser.prediction, clean=clean, noise=noise, signal_scale=signal_scale, noise_scale=noise_scale)
    if huber is None:
        loss = functional.mse_loss(output, expected, reduction="none")
    else:
        loss = functional.smooth_l1_loss(output, expected, reduction="none", beta=huber)
    if mask is None:
        return loss.sum(), loss.new_tensor(loss.numel())
    return loss.masked_fill(~mask[..., None], 0).sum(), (mask.sum() * clean.shape[-1]).to(loss.dtype)


def _scales(schedule: NoiseSchedule, level: Level) -> tuple[Tensor, Tensor]:
    """Return the scales of the schedule with axes for time and channel."""
    signal, noise = schedule(level)
    return signal[:, None, None], noise[:, None, None]
