"""Denoiser of long trials, built from a denoiser of short ones.

At every level the noisy trial is cut into overlapping windows of the training length, each window is denoised, and the
estimates of the clean trial are blended (`nn.window`). Overlapping windows contain the same noisy bins, so their
estimates agree on one trial without seams. A limited number of windows is denoised at a time, so the memory for the
network's activity does not grow with the trial. If even the latents of a trial do not fit into memory,
use `diffusion.stream`.

A network that was trained on aligned trials has learned the time course of a trial. If windows began at the same bins
at every level, the network would repeat this time course in every window. So the windows are shifted at each step of
the sampler: the second window begins up to half a window earlier, by an offset that changes from step to step
(`first_hop`). A bin at the edge of a window at one step is inside a window at the next step.
"""

from typing import final

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.nn.condition import Condition
from spikeloom.nn.window import Windows

BINS_AT_ONCE = 2**16
"""Number of bins that are denoised together, summed over windows."""

SHIFTS = 4
"""Number of different offsets of the windows, within half a window."""

GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio minus 1. For every n, the fractional parts of its first n multiples are spread evenly over [0, 1), so
the steps of a sampler have different offsets of their windows."""


def first_hop(step: int, window: int) -> int:
    """Return the number of bins from the beginning of the first window to the beginning of the second one.

    This number is between 1 and half a window, and changes from step to step; see the top of this module.

    Args:
        step: Step of the sampler, counted from 0.
        window: Bins of a window.
    """
    hop = max(1, window // 2)
    shift = int(step * GOLDEN % 1 * SHIFTS)  # 0, ..., SHIFTS - 1
    return hop - shift * hop // SHIFTS


@final
class Windowed(Denoiser):
    """Denoise trials of any length in windows.

    Args:
        denoiser: Denoiser of trials of up to `window` bins.
        window: Bins of a window.
        step: Step of the sampler, which determines where windows begin; a sampler sets it through `at_step`.
    """

    def __init__(self, denoiser: Denoiser, *, window: int, step: int = 0) -> None:
        super().__init__()
        self.schedule = denoiser.schedule
        self.denoiser = denoiser
        self.window = window
        self.step = step

    def at_step(self, step: int) -> "Windowed":
        """Return the same denoiser with the windows of this step."""
        return Windowed(self.denoiser, window=self.window, step=step)

    def forward(
        self, x: Tensor, level: Tensor, condition: Condition | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Return the estimate of the clean sample, blended over windows. A trial of one window is denoised at once."""
        if x.shape[1] <= self.window:
            return self.denoiser(x, level, condition, mask)
        windows = Windows(x, mask, window=self.window, first=first_hop(self.step, self.window))
        conditions = windows.condition(condition)  # one for each window
        pieces = windows.cut(x)  # (batch x window, bin, channel)
        levels = windows.repeat(level)  # (batch x window,)
        n_at_once = max(1, BINS_AT_ONCE // self.window)  # number of windows that are denoised together
        batches = [slice(start, start + n_at_once) for start in range(0, len(pieces), n_at_once)]
        estimates = [
            self.denoiser(
                pieces[batch],
                levels[batch],
                None if conditions is None else conditions.select(batch),
                windows.mask[batch],
            )
            for batch in batches
        ]
        return windows.blend(torch.cat(estimates))
