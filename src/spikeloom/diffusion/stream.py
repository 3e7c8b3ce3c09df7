r"""Samples without end: a long trial whose beginning is finished before its end is begun.

A long trial is denoised in windows of W bins that overlap by half, hop H = W // 2 (`diffusion.windowed`). At every
level window k reads W bins from its beginning on, and once it is done, nothing more changes the estimate of the clean
bins before the beginning of window k + 1. A step from one level to the next is taken bin by bin. So the levels need not
wait for the whole trial: the bins between the two may step down as soon as window k is done, and a window of the next
level can be read as soon as the bins it covers have come down to it. Windows of each level begin elsewhere, at one of a
few places within H; *blocks* are the bins between any two such places. All levels work at once, like looms in a row,
each two or three windows behind the one before,

    level 1     window k
    level 2     window k - 2
    ...
    last level  window k - 2 (n - 1)   ->  finished latents

and one wave evaluates them all as one batch, with a noise level for each row. What is kept between two waves is some
blocks of each level: constant memory for a trial of any length. Nothing is approximated. With a sampler that draws no
fresh noise the stream is the very trial that `Windowed` gives, to rounding, so it has no seam that a long trial has
not.

A sampler that looks twice in a step (`Heun`) would look at blocks whose neighbours are elsewhere, so such samplers are
refused.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.diffusion.sampler import Rung, Sampler, Seen, Walk
from spikeloom.diffusion.windowed import first_hop
from spikeloom.errors import SettingError
from spikeloom.nn.condition import Condition

Piece = Float[Tensor, "1 bin channel"]
"""Consecutive bins of the one long trial."""


@dataclass
class Block:
    """Bins that walk down the levels together.

    Args:
        x: The sample at the block's level.
        sequence: What these bins are told; None where the denoiser is told nothing bin by bin.
        seen: What the block saw at the last few levels above.
    """

    x: Piece
    sequence: Float[Tensor, "1 bin dim"] | None
    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=4))


@dataclass
class Lane:
    """One level: its blocks in order, and the windows' answers so far.

    Args:
        rung: The level.
        hop: Bins from the beginning of the next window to that of the one after it.
        blocks: Those whose clean estimate is not complete; the first one begins where the next window does.
        total: Weighted sum of the windows' answers, from the first block on (bin, channel).
        norm: Sum of the weights (bin, 1).
        covered: Bins, from the first block on, that the last window reached.
        complete: Bins, from the first block on, whose clean estimate is.
        ended: Whether no further block will come.
    """

    rung: Rung
    hop: int
    blocks: list[Block] = field(default_factory=list)
    total: Tensor | None = None
    norm: Tensor | None = None
    covered: int = 0
    complete: int = 0
    ended: bool = False

    @property
    def bins(self) -> int:
        """Bins of the blocks."""
        return sum(block.x.shape[1] for block in self.blocks)

    def take(self) -> list[Block]:
        """Remove and return the blocks that no further window will change."""
        over = self.ended and self.bins <= self.covered  # the last window reached the end
        taken, bins = list[Block](), 0
        while self.blocks and (over or bins < self.complete):
            taken.append(self.blocks.pop(0))
            bins += taken[-1].x.shape[1]
        return taken


@final
class Stream:
    """One trial of any length, finished block by block.

    Args:
        denoiser: Knows trials of up to `window` bins; put it into eval mode first.
        sampler: How the levels are walked; one evaluation a step.
        window: Bins of a window.
        noise: Standard normal numbers (1, bins, channel) for so many further bins of the trial.
        fresh: The same for a step from a level, by its number, for samplers that draw fresh noise.
        condition: What so many further bins are told, or None: fewer bins in its sequence end the trial.
        bins: Length of the trial; None for one without end.

    Raises:
        SettingError: if the sampler evaluates the denoiser more than once a step.
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
                "A stream needs a sampler that evaluates the denoiser once a step.",
                f"{sampler} takes {sampler.evaluations} evaluations for {sampler.steps} steps.",
                "Use UniPC, DPMSolver2M, DDIM, SDEDPMSolver2M or DDPM.",
            )
        levels = sampler.levels(denoiser.schedule)
        scales = (levels, *denoiser.schedule(levels))
        rungs = [Rung(*row) for row in zip(*(scale.tolist() for scale in scales), strict=True)]
        self.lanes = [Lane(rung, first_hop(number, window)) for number, rung in enumerate(rungs)]
        self.denoiser, self.sampler, self.window = denoiser, sampler, window
        self.hop = max(1, window // 2)
        places = sorted({0, self.hop, *(lane.hop for lane in self.lanes)})
        self.sizes = itertools.cycle([late - early for early, late in itertools.pairwise(places)])
        self.noise, self.fresh, self.condition, self.left = noise, fresh, condition, bins
        self.told: Condition | None = None

    def __iter__(self) -> Iterator[Piece]:
        """Finished pieces in order of time, each of at most a window."""
        while not (self.lanes[-1].ended and not self.lanes[-1].blocks):
            with torch.no_grad():
                done = self._wave()
            yield from done

    def _wave(self) -> list[Piece]:
        """Evaluate one window of every lane that has one to read; what the last lane finished."""
        first, finished = self.lanes[0], list[Piece]()
        while not first.ended and first.bins < self.window:
            self._feed(first)
        ready = [lane for lane in self.lanes if lane.bins >= self.window or (lane.ended and lane.bins > lane.covered)]
        if ready:
            self._look(ready)
        for number, lane in enumerate(self.lanes):
            finished += self._down(number, lane)
            if lane.ended and not lane.blocks and number + 1 < len(self.lanes):
                self.lanes[number + 1].ended = True
        return finished

    def _feed(self, lane: Lane) -> None:
        """One more block of noise, and what it is told."""
        size = next(self.sizes)
        bins = size if self.left is None else min(size, self.left)
        told = self.condition(bins) if bins else None
        sequence = None if told is None else told.sequence
        bins = bins if sequence is None else sequence.shape[1]
        if bins:
            self.told = told
            lane.blocks.append(Block(self.noise(bins), sequence))
        self.left = None if self.left is None else self.left - bins
        lane.ended = bins < size or self.left == 0

    def _look(self, ready: list[Lane]) -> None:
        """Evaluate the next window of these lanes as one batch, and add the answers up."""
        x, mask = zip(*(self._cut([block.x for block in lane.blocks]) for lane in ready), strict=True)
        valid = torch.cat(mask)
        level = torch.tensor([lane.rung.level for lane in ready], dtype=x[0].dtype, device=x[0].device)
        answer = self.denoiser(torch.cat(x), level, self._condition(ready), None if valid.all() else valid)
        place = torch.arange(self.window, device=answer.device)
        weight = torch.minimum(place + 1, self.window - place).to(answer.dtype)[:, None]
        for lane, one in zip(ready, answer, strict=True):
            total, norm = weight * one, weight.clone()
            if lane.total is not None and lane.norm is not None:
                total[: len(lane.total)] += lane.total[: self.window]
                norm[: len(lane.norm)] += lane.norm[: self.window]
            lane.total, lane.norm, lane.covered = total, norm, self.window
            lane.complete, lane.hop = lane.hop, self.hop

    def _cut(self, pieces: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The next window (1, bin, channel), zeros beyond the end, and which bins of it there are (1, bin)."""
        joined = torch.cat(pieces, 1)[:, : self.window]
        beyond = self.window - joined.shape[1]
        padded = torch.nn.functional.pad(joined, (0, 0, 0, beyond))
        return padded, (torch.arange(self.window, device=joined.device) < joined.shape[1])[None]

    def _condition(self, ready: list[Lane]) -> Condition | None:
        """What each row of the batch is told."""
        if self.told is None:
            return None
        vector, sequence = self.told.vector, None
        if self.told.sequence is not None:
            told = [[block.sequence for block in lane.blocks if block.sequence is not None] for lane in ready]
            sequence = torch.cat([self._cut(pieces)[0] for pieces in told])
        return Condition(None if vector is None else vector.expand(len(ready), -1), sequence)

    def _down(self, number: int, lane: Lane) -> list[Piece]:
        """Take the complete blocks one level down, all in one step; from the last lane they are finished."""
        blocks = lane.take()
        if not blocks:
            return []
        assert lane.total is not None
        assert lane.norm is not None
        sizes = [block.x.shape[1] for block in blocks]
        bins = sum(sizes)
        clean = (lane.total[:bins] / lane.norm[:bins])[None]
        lane.total, lane.norm = lane.total[bins:], lane.norm[bins:]
        lane.covered, lane.complete = lane.covered - bins, lane.complete - bins
        if number + 1 == len(self.lanes):
            return [clean]
        there = self.lanes[number + 1]
        for block, part in zip(blocks, clean.split(sizes, 1), strict=True):
            block.seen.append(Seen(lane.rung, block.x, part))
        walk = Walk(self.denoiser, lambda: self.fresh(number, bins), None, None, _joined(blocks))
        x = self.sampler.step(there.rung, walk)
        seen = walk.seen[-1]  # the step may have corrected it
        for block, *parts in zip(blocks, *(whole.split(sizes, 1) for whole in (x, seen.x, seen.clean)), strict=True):
            block.x, block.seen[-1] = parts[0], Seen(lane.rung, parts[1], parts[2])
        there.blocks += blocks
        return []


def _joined(blocks: list[Block]) -> deque[Seen]:
    """What neighbouring blocks saw, as one: they came down the same levels."""
    rows = zip(*(block.seen for block in blocks), strict=True)
    join = lambda pieces: torch.cat(list(pieces), 1)  # noqa: E731
    return deque(Seen(row[0].rung, join(one.x for one in row), join(one.clean for one in row)) for row in rows)
