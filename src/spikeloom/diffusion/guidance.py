r"""Guidance: follow a condition more, or less, closely than the data do.

A network that was trained with its condition now and then left out knows two estimates: with the condition,
:math:`\hat\varepsilon_c`, and without, :math:`\hat\varepsilon_0`. Guidance goes along the line through both,

.. math:: \hat\varepsilon = \hat\varepsilon_0 + w (\hat\varepsilon_c - \hat\varepsilon_0).

Since :math:`\hat x_0 = (x - \sigma \hat\varepsilon) / a`, the same line holds between the clean estimates, and that is
where it is drawn here. w = 0 forgets the condition, w = 1 is the conditional model itself, and w > 1 exaggerates
whatever tells the condition apart, at a price in diversity.

Source: Ho, Salimans 2022 (whose weight is w - 1 here).
"""

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser, Level, Mask, Noisy
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition


@final
class Guided(Denoiser):
    """A denoiser that follows its condition with another strength: same call, same shape.

    Strengths 0 and 1 cost one evaluation of the denoiser, all others one with twice the batch. Trials whose condition
    is absent, and calls without a condition, are not guided.

    Args:
        denoiser: Trained with its condition left out for part of the trials.
        strength: w; 0 ignores the condition, 1 is the denoiser itself.

    Raises:
        SettingError: if the strength is not a finite number.
    """

    def __init__(self, denoiser: Denoiser, *, strength: float) -> None:
        super().__init__()
        if not abs(strength) < float("inf"):
            raise SettingError("The guidance strength must be a finite number.", f"It was {strength}.", "Try 1.5.")
        self.denoiser = denoiser
        self.schedule = denoiser.schedule
        self.strength = strength

    def forward(self, x: Noisy, level: Level, condition: Condition | None = None, mask: Mask | None = None) -> Noisy:
        """Estimate of the clean sample on the line through the unconditional and the conditional estimate."""
        if condition is None or self.strength == 1:
            return self.denoiser(x, level, condition, mask)
        absent = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        if self.strength == 0:
            return self.denoiser(x, level, replace(condition, present=absent), mask)
        present = ~absent if condition.present is None else condition.present
        both = Condition(
            vector=_twice(condition.vector), sequence=_twice(condition.sequence), present=torch.cat([absent, present])
        )
        estimate = self.denoiser(torch.cat([x, x]), torch.cat([level, level]), both, _twice(mask))
        unconditional, conditional = estimate.chunk(2)
        return unconditional + self.strength * (conditional - unconditional)

    def at_step(self, step: int) -> "Guided":
        """Return the same guidance of the inner denoiser at that step."""
        return Guided(self.denoiser.at_step(step), strength=self.strength)


def _twice(value: Tensor | None) -> Tensor | None:
    return None if value is None else torch.cat([value, value])
