"""A denoiser of long trials, made of one that knows short ones; it is a denoiser itself.

At every level the noisy trial is cut into overlapping windows of the training length, each is denoised, and the
estimates of the clean trial are blended (`nn.window`). All windows see the same noisy bins where they overlap, so they
settle on one trial without a seam. So many windows are denoised at a time that the memory for the network's activity
does not grow with the trial; for trials whose latents alone would fill it see `diffusion.stream`.
"""

from typing import final

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.nn.condition import Condition
from spikeloom.nn.window import Windows

BINS_AT_ONCE = 2**16
"""Bins of the windows that are denoised together."""


@final
class Windowed(Denoiser):
    """Denoise trials of any length in windows.

    Args:
        denoiser: Knows trials of up to `window` bins.
        window: Bins of a window.
    """

    def __init__(self, denoiser: Denoiser, *, window: int) -> None:
        super().__init__()
        self.schedule = denoiser.schedule
        self.denoiser, self.window = denoiser, window

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Estimate of the clean sample, blended over windows; the plain one where a window holds the whole trial."""
        if x.shape[1] <= self.window:
            return self.denoiser(x, level, condition, mask)
        windows = Windows(x, mask, window=self.window)
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
