r"""Guidance: strengthen or weaken the effect of a condition.

A network whose condition was left out for a part of the training gives two estimates: with the condition,
:math:`\hat\varepsilon_c`, and without it, :math:`\hat\varepsilon_0`. Guidance moves along the line through both,

.. math:: \hat\varepsilon = \hat\varepsilon_0 + w (\hat\varepsilon_c - \hat\varepsilon_0).

Since :math:`\hat x_0 = (x - \sigma \hat\varepsilon) / a`, the same combination holds for the clean estimates,
which are used here. w = 0 ignores the condition, w = 1 is the conditional model itself, and w > 1 exaggerates the
effect of the condition and reduces the diversity of samples.

Source: Ho, Salimans 2022 (their weight is w - 1 in our notation).
"""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser, Level, Mask, Sample
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition


@final
class Guided(Denoiser):
    """A denoiser in which the effect of the condition is strengthened or weakened.

    Strengths 0 and 1 need one evaluation of the denoiser; other strengths need one evaluation with twice the batch.
    Guidance has no effect on trials whose condition is absent, or in calls without a condition.

    Args:
        denoiser: Denoiser that was trained with its condition left out for a part of the trials.
        strength: w; 0 ignores the condition, 1 is the denoiser itself.

    Raises:
        SettingError: if the strength is not a finite number.
    """

    def __init__(self, denoiser: Denoiser, *, strength: float) -> None:
        super().__init__()
        if not abs(strength) < float("inf"):
            raise SettingError("The guidance strength must be a finite number.", f"It was {strength}.", "")
        self.denoiser = denoiser
        self.schedule = denoiser.schedule
        self.strength = strength

    def forward(self, x: Sample, level: Level, condition: Condition | None = None, mask: Mask | None = None) -> Sample:
        """Return the clean estimate on the line through the unconditional and the conditional estimate."""
        if condition is None or self.strength == 1:
            return self.denoiser(x, level, condition, mask)
        absent = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if self.strength == 0:
            return self.denoiser(x, level, replace(condition, present=absent), mask)
        present = ~absent if condition.present is None else condition.present
        # one batch with every trial twice: first without its condition, then with its condition
        doubled = Condition(
            vector=_twice(condition.vector), sequence=_twice(condition.sequence), present=torch.cat([absent, present])
        )
        estimate = self.denoiser(torch.cat([x, x]), torch.cat([level, level]), doubled, _twice(mask))
        unconditional, conditional = estimate.chunk(2)
        return unconditional + self.strength * (conditional - unconditional)

    def at_step(self, step: int) -> "Guided":
        """Return the inner denoiser of this step, with the same guidance."""
        return Guided(self.denoiser.at_step(step), strength=self.strength)


def _twice(value: Tensor | None) -> Tensor | None:
    """Return two copies of a batch, one after the other."""
    return None if value is None else torch.cat([value, value])
