"""A denoiser of long trials, made of a denoiser of short ones.

At every level the noisy trial is cut into overlapping windows of the training length, each window is denoised, and the
estimates of the clean trial are blended (`nn.window`). Overlapping windows see the same noisy bins, so they agree on
one trial without a seam. A limited number of windows is denoised at a time, so the memory for the network's activity
does not grow with the trial. For trials whose latents alone would fill the memory see `diffusion.stream`.

A network that was trained on aligned trials knows where in a window a bin is, and would repeat the time course of a
trial in every window if windows began at the same bins at every level. So windows begin elsewhere at each step of the
sampler: the second window begins up to half a window earlier, by an offset that changes from step to step
(`first_hop`). A bin at the edge of a window at one step is inside a window at the next.
"""

from typing import final

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.nn.condition import Condition
from spikeloom.nn.window import Windows

BINS_AT_ONCE = 2**16
"""Bins of the windows that are denoised together."""

SHIFTS = 4
"""Number of different offsets of the windows, within half a window."""

GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio minus 1. The fractional parts of its multiples are spread evenly, however many are taken."""


def first_hop(step: int, window: int) -> int:
    """Return the bins from the beginning of the first window to that of the second, from 1 to half a window.

    Args:
        step: Step of the sampler, counted from 0.
        window: Bins of a window.
    """
    hop = max(1, window // 2)
    return hop - int(step * GOLDEN % 1 * SHIFTS) * hop // SHIFTS


@final
class Windowed(Denoiser):
    """Denoise trials of any length in windows.

    Args:
        denoiser: Denoiser of trials of up to `window` bins.
        window: Bins of a window.
        step: Step of the sampler, which says where windows begin; a sampler sets it through `at_step`.
    """

    def __init__(self, denoiser: Denoiser, *, window: int, step: int = 0) -> None:
        super().__init__()
        self.schedule = denoiser.schedule
        self.denoiser, self.window, self.step = denoiser, window, step

    def at_step(self, step: int) -> "Windowed":
        """Return the same denoiser with its windows where they begin at that step."""
        return Windowed(self.denoiser, window=self.window, step=step)

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Estimate of the clean sample, blended over windows; a trial that fits one window is denoised as it is."""
        if x.shape[1] <= self.window:
            return self.denoiser(x, level, condition, mask)
        windows = Windows(x, mask, window=self.window, first=first_hop(self.step, self.window))
        conditions, pieces, levels = windows.condition(condition), windows.cut(x), windows.repeat(level)
        at_once = max(1, BINS_AT_ONCE // self.window)
        parts = [slice(start, start + at_once) for start in range(0, len(pieces), at_once)]
        estimates = [
            self.denoiser(pieces[part], levels[part], _rows(conditions, part), windows.mask[part]) for part in parts
        ]
        return windows.blend(torch.cat(estimates))


def _rows(condition: Condition | None, part: slice) -> Condition | None:
    """Return the condition of some windows."""
    if condition is None:
        return None
    fields = (condition.vector, condition.sequence, condition.present)
    return Condition(*(None if value is None else value[part] for value in fields))
