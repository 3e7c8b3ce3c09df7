"""A denoiser of long trials, made of one that knows short ones; it is a denoiser itself.

At every level the noisy trial is cut into overlapping windows of the training length, each is denoised, and the
estimates of the clean trial are blended (`nn.window`). All windows see the same noisy bins where they overlap, so they
settle on one trial without a seam.
"""

from typing import final

from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.nn.condition import Condition
from spikeloom.nn.window import Windows


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
        told = windows.condition(condition)
        return windows.blend(self.denoiser(windows.cut(x), windows.repeat(level), told, windows.mask))
