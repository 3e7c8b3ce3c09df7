r"""Students: networks that sample in one to four evaluations, where a sampler needs twenty or more.

The teacher is a sampler that draws no fresh noise, so noise and condition determine its sample. It passes many noise
levels, and guidance doubles its evaluations. The student starts as a copy of the teacher's network, and learns this
mapping by regression. It visits only n of the teacher's levels, with first-order steps from level k to the next one k',

.. math:: x_{k'} = a' \hat x_0 + \frac{\sigma'}{\sigma} (x_k - a \hat x_0),

where :math:`\hat x_0(x_k)` is the clean estimate of the student. Each step must lead to the teacher's guided sample at
k'. The last step must lead to the teacher's clean sample (a' = 1, sigma' = 0). The n steps are trained together. Each
step starts from the point that the student has reached, so later steps learn to correct errors of earlier steps.

Source: regression on the teacher's results is Luhman, Luhman 2021 (one step); the intermediate points are those of
progressive distillation (Salimans, Ho 2022), without its rounds of halving; one evaluation in place of two guided ones
is Meng, Rombach et al. 2023.
"""

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import Denoiser, Mask, NetworkDenoiser, Sample
from spikeloom.diffusion.sampler import Sampler, StepLevel
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition
from spikeloom.text import counted

Points = Float[Tensor, "batch point time channel"]
"""Samples at the levels of a student, from noise to the clean sample: n + 1 points for n steps."""


@final
class Student(nn.Module):
    """A network that turns noise into a sample with `steps` evaluations.

    Args:
        denoiser: Network of the student, of the same size as the teacher's.
        teacher: Sampler whose samples the student learns.
        steps: Number of evaluations of the network.

    Raises:
        SettingError: if the teacher draws fresh noise or has fewer steps than the student.
    """

    def __init__(self, denoiser: NetworkDenoiser, *, teacher: Sampler, steps: int) -> None:
        super().__init__()
        check_teacher(teacher, steps)
        self.denoiser = denoiser
        self.teacher = teacher
        self.visited = [round(step * teacher.steps / steps) for step in range(steps)]  # steps of the teacher
        teacher_levels = teacher.step_levels(denoiser.schedule)
        self.levels = [teacher_levels[step] for step in self.visited]

    def forward(self, noise: Sample, condition: Condition | None = None, mask: Mask | None = None) -> Points:
        """Return the sample at each level of the student, and at the end the clean sample.

        Args:
            noise: Standard normal numbers (batch, time, channel).
            condition: Condition of each trial.
            mask: Valid bins; None if all bins are valid. Other bins stay 0.
        """
        points = [_valid(noise, mask)]  # each (batch, time, channel)
        for level, next_level in pairwise(self.levels):
            x = points[-1]
            clean = self._clean(x, level, condition, mask)
            points.append(next_level.signal * clean + next_level.noise / level.noise * (x - level.signal * clean))
        points.append(self._clean(points[-1], self.levels[-1], condition, mask))
        return torch.stack(points, 1)

    @torch.no_grad()
    def points_of_teacher(
        self, denoiser: Denoiser, noise: Sample, condition: Condition | None = None, mask: Mask | None = None
    ) -> Points:
        """Return the teacher's sample at each level of the student, and at the end its clean sample.

        Args:
            denoiser: Denoiser of the teacher, with its guidance.
            noise: Standard normal numbers (batch, time, channel).
            condition: Condition of each trial.
            mask: Valid bins; None if all bins are valid.
        """
        visited = {*self.visited, self.teacher.steps}  # the last point of the teacher is its clean sample
        # `check_teacher` has refused teachers with fresh noise, so the function of noise is called once, for the start.
        points = self.teacher.points(denoiser, lambda: noise, condition=condition, mask=mask)
        return torch.stack([x for step, x in enumerate(points) if step in visited], 1)

    def _clean(self, x: Sample, at: StepLevel, condition: Condition | None, mask: Mask | None) -> Sample:
        """Return the student's estimate of the clean sample at a level, 0 in padding."""
        level = torch.full((len(x),), at.level, dtype=x.dtype, device=x.device)
        return _valid(self.denoiser(x, level, condition, mask), mask)


def check_teacher(teacher: Sampler, steps: int) -> None:
    """Raise a SettingError if the sampler cannot be the teacher of a student with this number of steps."""
    if teacher.draws_noise or teacher.steps < steps:
        raise SettingError(
            f"A student with {counted(steps, 'step')} needs a sampler that draws no fresh noise and has at least "
            f"{counted(steps, 'step')}.",
            f"The sampler is {teacher}.",
            "Set sampler=UniPC.",
        )


def _valid(x: Tensor, mask: Mask | None) -> Tensor:
    """Return x with 0 in padding."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0)
