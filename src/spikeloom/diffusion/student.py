r"""Students: networks that do in one to four evaluations what a sampler does in twenty or more.

A sampler without fresh noise (the teacher) maps noise and condition to one sample, along a path through its noise
levels. Guidance doubles its evaluations. The student is a copy of the teacher's network that learns this map by
regression: it visits n of the levels, and the step of first order from level k to the next one k',

.. math:: x_{k'} = a' \hat x_0 + \frac{\sigma'}{\sigma} (x_k - a \hat x_0),

with its own clean estimate :math:`\hat x_0(x_k)`, must lead to the teacher's guided sample at k'. The last step leads
to the teacher's result (a' = 1, sigma' = 0). The n steps are trained together, each from the point that the student
itself has reached, so later steps correct errors of earlier ones.

Source: regression on the teacher's results is Luhman, Luhman 2021 (one step); the intermediate points are those of
progressive distillation (Salimans, Ho 2022), without its rounds of halving; one evaluation in place of two guided ones
is Meng, Rombach et al. 2023.
"""

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import Denoiser, Mask, NetworkDenoiser, Noisy
from spikeloom.diffusion.sampler import Sampler, StepLevel
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition

Points = Float[Tensor, "batch point time channel"]
"""Samples at the levels of a student, from noise to the clean sample; one more than the student has steps."""


@final
class Student(nn.Module):
    """A sampler that is learned: noise -> sample, with `steps` evaluations of its network.

    Args:
        denoiser: Network of the student, of the same size as the teacher's.
        teacher: Sampler whose result the student learns.
        steps: Evaluations of the network.

    Raises:
        SettingError: if the teacher draws fresh noise or has fewer steps than the student.
    """

    def __init__(self, denoiser: NetworkDenoiser, *, teacher: Sampler, steps: int) -> None:
        super().__init__()
        check_teacher(teacher, steps)
        self.denoiser = denoiser
        self.teacher = teacher
        self.visited = [round(step * teacher.steps / steps) for step in range(steps)]
        levels = teacher.step_levels(denoiser.schedule)
        self.levels = [levels[number] for number in self.visited]

    def forward(self, noise: Noisy, condition: Condition | None = None, mask: Mask | None = None) -> Points:
        """Return the sample at each level of the student, and at the end the clean sample.

        Args:
            noise: Standard normal numbers (batch, time, channel).
            condition: Condition of each trial.
            mask: Valid bins; None means all. All others stay 0.
        """
        points = [_valid(noise, mask)]
        for here, there in pairwise(self.levels):
            clean = self._clean(points[-1], here, condition, mask)
            points.append(there.signal * clean + there.noise / here.noise * (points[-1] - here.signal * clean))
        points.append(self._clean(points[-1], self.levels[-1], condition, mask))
        return torch.stack(points, 1)

    @torch.no_grad()
    def points_of_teacher(
        self, denoiser: Denoiser, noise: Noisy, condition: Condition | None = None, mask: Mask | None = None
    ) -> Points:
        """Return the teacher's sample at each level of the student, and at the end its result.

        Args:
            denoiser: Denoiser of the teacher, with its guidance.
            noise: Standard normal numbers (batch, time, channel).
            condition: Condition of each trial.
            mask: Valid bins; None means all.
        """
        compared = {*self.visited, self.teacher.steps}
        points = self.teacher.points(denoiser, lambda: noise, condition=condition, mask=mask)
        return torch.stack([x for number, x in enumerate(points) if number in compared], 1)

    def _clean(self, x: Noisy, at: StepLevel, condition: Condition | None, mask: Mask | None) -> Noisy:
        """Return the student's estimate of the clean sample at a level, 0 in padding."""
        level = torch.full((len(x),), at.level, dtype=x.dtype, device=x.device)
        return _valid(self.denoiser(x, level, condition, mask), mask)


def check_teacher(teacher: Sampler, steps: int) -> None:
    """Raise a SettingError if a student of this number of steps cannot learn from the sampler."""
    if teacher.draws_noise or teacher.steps < steps:
        raise SettingError(
            "A student learns from a sampler that draws no fresh noise and has at least as many steps.",
            f"The sampler is {teacher}, and the student has {steps} steps.",
            "Set sampler=UniPC.",
        )


def _valid(x: Tensor, mask: Mask | None) -> Tensor:
    """Return x with 0 in padding."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0)
