r"""Samples of unlimited length: the first bins of a trial are finished while later bins are still noise.

A long trial is denoised in windows of W bins that overlap by half, hop H = W // 2 (`diffusion.windowed`). A step from
one noise level to the next is taken bin by bin, and the clean estimate of a bin depends only on the windows that cover
it. So a level does not have to wait for the complete trial. After window k of a level is denoised, no later window
changes the bins before the beginning of window k + 1. These bins step to the next level. That level denoises its next
window when all bins of the window have arrived.

All levels are processed together: one pass denoises the next window of every level as one batch, with a noise level
for each row. A trial of eight bins, three levels and windows of four bins, without offsets, takes seven passes:

    pass   level 1    level 2    level 3    finished
           (noise)               (clean)
      1    ####....   ........   ........                # denoised in this pass
      2    >>####..   oo......   ........                > passed on to the next level
      3    >>>>####   ####....   ........                o waiting for a full window
      4    >>>>>>>>   >>####oo   oo......                . still at an earlier level
      5    >>>>>>>>   >>>>####   ####....   bins 0-1
      6    >>>>>>>>   >>>>>>>>   >>####oo   bins 2-3
      7    >>>>>>>>   >>>>>>>>   >>>>####   bins 4-7

Each level is two or three windows behind the previous one and holds a few windows at any time, so the memory does not
depend on the length of the trial. The windows of different levels begin at different offsets, of which there are only a
few within half a window (`first_hop`). A *block* is the bins between two neighbouring offsets. Bins move from level to
level in blocks.

A stream is not an approximation: with a sampler that draws no fresh noise, it equals the trial that `Windowed` gives,
up to rounding.

A sampler with two evaluations per step (`Heun`) evaluates a block at the next level before its neighbours have reached
that level. So a stream does not accept such samplers.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.diffusion.sampler import N_PAST, Estimate, Sampler, SamplerState, StepLevel
from spikeloom.diffusion.windowed import first_hop
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition
from spikeloom.nn.ssm import KernelCache, keep_kernels
from spikeloom.text import counted

Piece = Float[Tensor, "1 bin channel"]
"""Consecutive bins of the one long trial."""


@dataclass
class Block:
    """Consecutive bins that move from level to level together.

    Args:
        x: The sample at the block's level.
        sequence: Condition of these bins; None if the condition has no value per bin.
        past: Estimates at the last few levels, which are noisier than the block's level.
    """

    x: Piece
    sequence: Float[Tensor, "1 bin dim"] | None
    past: deque[Estimate] = field(default_factory=lambda: deque(maxlen=N_PAST))


@dataclass
class LevelQueue:
    """Blocks that wait at one level, and the sum of their clean estimates from all windows so far.

    All numbers of bins are counted from the beginning of the first block.

    Args:
        at: Noise level of the queue.
        hop: Bins from the beginning of the next window to the beginning of the following window.
        blocks: Blocks whose clean estimate is not complete. The next window begins with the first block.
        total: Weighted sum of the estimates of all windows so far (bin, channel).
        norm: Sum of the weights (bin, 1).
        covered: Number of bins that the windows so far have reached.
        complete: Number of bins whose clean estimate no further window changes.
        ended: True if no further blocks will come.
    """

    at: StepLevel
    hop: int
    blocks: list[Block] = field(default_factory=list)
    total: Tensor | None = None
    norm: Tensor | None = None
    covered: int = 0
    complete: int = 0
    ended: bool = False

    @property
    def bins(self) -> int:
        """Number of bins of all blocks."""
        return sum(block.x.shape[1] for block in self.blocks)

    def ready(self, window: int) -> bool:
        """Return whether the next window can be denoised: it is full, or the trial ends in it."""
        return self.bins >= window or (self.ended and self.bins > self.covered)

    def pop_complete(self) -> list[Block]:
        """Remove and return the blocks that no further window will change."""
        all_complete = self.ended and self.bins <= self.covered  # the last window reached the end
        popped = list[Block]()
        bins = 0
        while self.blocks and (all_complete or bins < self.complete):
            popped.append(self.blocks.pop(0))
            bins += popped[-1].x.shape[1]
        return popped

    def add(self, weight: Tensor, estimate: Tensor) -> None:
        """Add a window's estimate of the clean bins to the sum. The window begins with the first block.

        Args:
            weight: Weight of each bin of the window (bin, 1).
            estimate: The window's estimate (bin, channel).
        """
        window = len(weight)
        total = weight * estimate
        norm = weight.clone()
        if self.total is not None and self.norm is not None:  # previous windows overlap the beginning of this window
            total[: len(self.total)] += self.total[:window]
            norm[: len(self.norm)] += self.norm[:window]
        self.total = total
        self.norm = norm
        self.covered = window
        self.complete = self.hop  # the next window begins there

    def pop_clean(self, bins: int) -> Piece:
        """Remove the first bins of the sum and return their clean estimate."""
        assert self.total is not None
        assert self.norm is not None
        clean = (self.total[:bins] / self.norm[:bins])[None]
        self.total = self.total[bins:]
        self.norm = self.norm[bins:]
        self.covered -= bins
        self.complete -= bins
        return clean


@final
class Stream:
    """One trial of any length, finished block by block.

    Args:
        denoiser: Denoiser of trials of up to `window` bins, in eval mode.
        sampler: Sampler with one evaluation per step.
        window: Bins of a window.
        noise: Function that returns standard normal numbers (1, bins, channel) for the next bins of the trial.
        fresh: Function from a step and a number of bins to standard normal numbers (1, bins, channel), for samplers
            that draw fresh noise.
        condition: Function that returns the condition of the next n bins, or None. Returning fewer than n bins ends the
            trial.
        bins: Length of the trial; None for an endless trial.

    Raises:
        SettingError: if the sampler evaluates the denoiser more than once per step.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        sampler: Sampler,
        *,
        window: int,
        noise: Callable[[int], Piece],
        fresh: Callable[[int, int], Piece],
        condition: Callable[[int], Condition | None] = lambda _: None,
        bins: int | None = None,
    ) -> None:
        if sampler.evaluations != sampler.steps:
            raise SettingError(
                "A stream needs a sampler that evaluates the denoiser once per step.",
                f"{sampler} takes {sampler.evaluations} evaluations for {counted(sampler.steps, 'step')}.",
                "Use UniPC, DPMSolver2M, DDIM, SDEDPMSolver2M or DDPM.",
            )
        levels = sampler.step_levels(denoiser.schedule)
        self.queues = [LevelQueue(at, first_hop(at.step, window)) for at in levels]
        self.denoiser = denoiser
        self.sampler = sampler
        self.window = window
        self.hop = max(1, window // 2)  # bins between the beginnings of later windows of a level
        # Windows of all levels begin at these offsets, plus a multiple of `hop`. So the sizes of blocks repeat.
        offsets = sorted({0, self.hop, *(queue.hop for queue in self.queues)})
        self.block_sizes = itertools.cycle([late - early for early, late in itertools.pairwise(offsets)])
        self.noise = noise
        self.fresh = fresh
        self.condition = condition
        self.bins_left = bins
        self.kernels: KernelCache = {}
        self.last_condition: Condition | None = None

    def __iter__(self) -> Iterator[Piece]:
        """Yield the finished pieces in order of time, each of at most a window."""
        last = self.queues[-1]
        while last.blocks or not last.ended:
            with torch.no_grad(), keep_kernels(self.kernels):
                finished = self._advance()
            yield from finished

    def _advance(self) -> list[Piece]:
        """Denoise the next window of every level that is ready. Return the pieces that the last level finished."""
        first = self.queues[0]
        while not first.ended and first.bins < self.window:
            self._append_noise(first)
        ready = [queue for queue in self.queues if queue.ready(self.window)]
        if ready:
            self._denoise_next_windows(ready)
        finished = list[Piece]()
        for queue, next_queue in itertools.zip_longest(self.queues, self.queues[1:]):
            finished += self._step_complete_blocks(queue, next_queue)
            if queue.ended and not queue.blocks and next_queue is not None:
                next_queue.ended = True
        return finished

    def _append_noise(self, queue: LevelQueue) -> None:
        """Append one block of noise and its condition.

        The trial ends when no bins are left, or when the condition ends; the block then has fewer bins.
        """
        size = next(self.block_sizes)
        bins = size if self.bins_left is None else min(size, self.bins_left)
        condition = self.condition(bins) if bins else None
        sequence = None if condition is None else condition.sequence
        bins = bins if sequence is None else sequence.shape[1]  # a condition of fewer bins ends the trial
        if bins:
            self.last_condition = condition
            queue.blocks.append(Block(self.noise(bins), sequence))
        self.bins_left = None if self.bins_left is None else self.bins_left - bins
        queue.ended = bins < size or self.bins_left == 0

    def _denoise_next_windows(self, queues: list[LevelQueue]) -> None:
        """Denoise the next window of these levels as one batch, and add the estimates to the sums of each level."""
        windows = [self._next_window([block.x for block in queue.blocks]) for queue in queues]
        x = torch.cat([window for window, _ in windows])
        valid = torch.cat([mask for _, mask in windows])
        level = torch.tensor([queue.at.level for queue in queues], dtype=x.dtype, device=x.device)
        condition = self._window_condition(queues)
        estimates = self.denoiser(x, level, condition, None if valid.all() else valid)
        bins = torch.arange(self.window, device=estimates.device)
        # The weight of a bin falls towards the ends of the window, so that overlapping windows blend.
        weight = torch.minimum(bins + 1, self.window - bins).to(estimates.dtype)[:, None]
        for queue, estimate in zip(queues, estimates, strict=True):
            queue.add(weight, estimate)
            queue.hop = self.hop  # only the second window of a level begins at another distance (`first_hop`)

    def _next_window(self, pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the next window (1, bin, channel), zero after the trial's end, and its mask (1, bin).

        Args:
            pieces: Values of the blocks that wait at a level, from the beginning of the window (1, bin, channel) each.
        """
        joined = torch.cat(pieces, 1)[:, : self.window]
        missing = self.window - joined.shape[1]
        padded = torch.nn.functional.pad(joined, (0, 0, 0, missing))
        return padded, (torch.arange(self.window, device=joined.device) < joined.shape[1])[None]

    def _window_condition(self, queues: list[LevelQueue]) -> Condition | None:
        """Return the condition of each row of the batch, that is, of the next window of each queue."""
        if self.last_condition is None:
            return None
        vector = self.last_condition.vector  # (1, dim), the same in all bins of the trial
        sequence = None
        if self.last_condition.sequence is not None:
            windows = []
            for queue in queues:
                pieces = [block.sequence for block in queue.blocks if block.sequence is not None]
                windows.append(self._next_window(pieces)[0])
            sequence = torch.cat(windows)  # (row, bin, dim)
        return Condition(None if vector is None else vector.expand(len(queues), -1), sequence)

    def _step_complete_blocks(self, queue: LevelQueue, next_queue: LevelQueue | None) -> list[Piece]:
        """Step the complete blocks of a level to the next level. At the last level, return their clean estimate.

        Args:
            queue: Queue of the level.
            next_queue: Queue of the next level; None at the last level.
        """
        blocks = queue.pop_complete()
        if not blocks:
            return []
        sizes = [block.x.shape[1] for block in blocks]
        bins = sum(sizes)
        clean = queue.pop_clean(bins)
        if next_queue is None:
            return [clean]
        for block, clean_bins in zip(blocks, clean.split(sizes, 1), strict=True):
            block.past.append(Estimate(queue.at, block.x, clean_bins))
        fresh = functools.partial(self.fresh, queue.at.step, bins)
        past = _joined_past(blocks)
        state = SamplerState(self.denoiser, fresh, condition=None, mask=None, past=past)  # a step evaluates no denoiser
        x = self.sampler.step(next_queue.at, state)
        corrected = state.past[-1]  # the step may have corrected the sample it started from
        parts = [value.split(sizes, 1) for value in (x, corrected.x, corrected.clean)]
        for block, next_x, corrected_x, corrected_clean in zip(blocks, *parts, strict=True):
            block.x = next_x
            block.past[-1] = Estimate(queue.at, corrected_x, corrected_clean)
        next_queue.blocks += blocks
        return []


def _joined_past(blocks: list[Block]) -> deque[Estimate]:
    """Return the estimates of neighbouring blocks, joined in time; all blocks passed the same levels."""
    estimates_by_level = zip(*(block.past for block in blocks), strict=True)  # one estimate of each block
    return deque(
        Estimate(
            estimates[0].at,
            torch.cat([estimate.x for estimate in estimates], 1),
            torch.cat([estimate.clean for estimate in estimates], 1),
        )
        for estimates in estimates_by_level
    )
