"""A denoiser of long trials, made of one that knows short ones; it is a denoiser itself.

At every level the noisy trial is cut into overlapping windows of the training length, each is denoised, and the
estimates of the clean trial are blended (`nn.window`). All windows see the same noisy bins where they overlap, so they
settle on one trial without a seam. So many windows are denoised at a time that the memory for the network's activity
does not grow with the trial; for trials whose latents alone would fill it see `diffusion.stream`.

A network that was trained on aligned trials knows where in a window it is, and would have every window run the course
of a trial, on the same bins at every level. So the windows of each level begin elsewhere: by a part of half a window
that changes from level to level (`first_hop`), for which the first window overlaps more with the second. What one
level puts at the begin of a window the next one sees in its middle, and no bin is always at the same place.
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
"""Places at which windows may begin, within half a window."""

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, are spread evenly, however many there are."""


def first_hop(level: int, window: int) -> int:
    """Bins from the beginning of the first window to that of the second, 1 to half a window.

    Args:
        level: Number of the level in the sampler's walk, from 0.
        window: Bins of a window.
    """
    hop = max(1, window // 2)
    return hop - int(level * GOLDEN % 1 * SHIFTS) * hop // SHIFTS


@final
class Windowed(Denoiser):
    """Denoise trials of any length in windows.

    Args:
        denoiser: Knows trials of up to `window` bins.
        window: Bins of a window.
        levels: Those that the sampler walks; at each one windows begin elsewhere, and all trials of a call are at the
            same one. None: they begin at the same bins always.
    """

    def __init__(self, denoiser: Denoiser, *, window: int, levels: Tensor | None = None) -> None:
        super().__init__()
        self.schedule = denoiser.schedule
        self.denoiser, self.window, self.levels = denoiser, window, levels

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Estimate of the clean sample, blended over windows; the plain one where a window holds the whole trial."""
        if x.shape[1] <= self.window:
            return self.denoiser(x, level, condition, mask)
        number = None if self.levels is None else int((self.levels - float(level[0])).abs().argmin())
        first = None if number is None else first_hop(number, self.window)
        windows = Windows(x, mask, window=self.window, first=first)
        told, cut, levels = windows.condition(condition), windows.cut(x), windows.repeat(level)
        some = max(1, BINS_AT_ONCE // self.window)
        parts = [slice(start, start + some) for start in range(0, len(cut), some)]
        answers = [self.denoiser(cut[part], levels[part], _rows(told, part), windows.mask[part]) for part in parts]
        return windows.blend(torch.cat(answers))


def _rows(condition: Condition | None, part: slice) -> Condition | None:
    """The condition of some windows."""
    if condition is None:
        return None
    some = lambda x: None if x is None else x[part]  # noqa: E731
    return Condition(some(condition.vector), some(condition.sequence), some(condition.present))
