"""Which trials to compare: disjoint real halves for the noise floor, and equal, matched sets for a fair row.

Every distance between finite samples is above zero, and shrinks as samples grow. So a number means something only
beside the same number for real against real, from disjoint trials, as many on each side, with each condition as often
on both sides.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError
from spikeloom.metrics.pair import as_labels, find_condition, values_of
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials


def halves(
    trials: Trials, *, size: int | None = None, condition: str | None = None, splits: int = 5, seed: int = 0
) -> Iterator[tuple[Trials, Trials]]:
    """Disjoint pairs of equally many trials, drawn at random, each condition split evenly.

    Args:
        trials: Real trials; put train and test trials together when both came from one recording, for a floor as large
            as the model row.
        size: Trials on each side; half of the trials if absent or if there are fewer than twice as many.
        condition: Name of the condition to split evenly; found as in `Pair` if absent, none if there is none.
        splits: How many pairs.
        seed: Of the draw.

    Raises:
        DataError: with fewer than two trials.
    """
    if len(trials) < 2:
        raise DataError(
            "A noise floor needs at least two trials.",
            f"There are {len(trials)}.",
            "Give more real trials, or no floor.",
        )
    half = min(size or len(trials), len(trials) // 2)
    name = condition or find_condition(trials, trials)
    labels = np.zeros(len(trials), np.int64)
    if name is not None:
        labels = as_labels(trials.condition(name), values_of(trials.condition(name)))
    for split in range(splits):
        order = _dealt(labels, generator(seed, int(Purpose.SPLIT), 1, split))
        first, second = order[0 : 2 * half : 2], order[1 : 2 * half : 2]
        yield trials.select(np.sort(first)), trials.select(np.sort(second))


def _dealt(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Random order in which any stretch of even start holds pairs of one condition, so that dealing in turn is fair.

    The trials of each condition are shuffled and paired; the pairs are shuffled; left-over single trials come last.
    """
    pairs, single = [], []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        pairs.append(rows[: len(rows) // 2 * 2].reshape(-1, 2))
        single.append(rows[len(rows) // 2 * 2 :])
    paired, rest = np.concatenate(pairs), np.concatenate(single)
    return np.concatenate([paired[rng.permutation(len(paired))].ravel(), rng.permutation(rest)])


BLOCKS = 4
"""Blocks of time that a continuous recording is divided into."""

PARTITIONS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
"""Ways to divide four blocks into two pairs: early against late first, then mixed."""

FEWEST_IN_BLOCK = 4
"""Windows of a block below which a recording is divided into two blocks instead of four."""

GAP = 1.0
"""Time left out where a block of one side meets a block of the other, in seconds; at least one window."""


def continuous(trials: Trials) -> bool:
    """Whether these trials are consecutive windows of a continuous recording, or a part of them.

    They are if all have one length and a start time, each starts a whole number of lengths after the one before (four
    fifths of them, since a recording may have gaps), and a tenth or more follow the one before without a break. Start
    times that jump back begin another recording.
    """
    if trials.start_times is None or len(trials) < 2 or trials.lengths.min() < trials.lengths.max():
        return False
    steps = np.diff(trials.start_times) / (trials.n_bins * trials.bin_width)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return False
    near = np.abs(steps - np.round(steps)) < 0.5 / trials.n_bins
    whole = near & (np.round(steps) >= 1)
    return bool(whole.mean() >= 0.8 and (whole & (np.round(steps) == 1)).mean() >= 0.1)


def time_blocks(trials: Trials, *, condition: str | None = None, splits: int = 3) -> list[tuple[Trials, Trials]]:
    """Disjoint pairs of parts of continuous recordings: blocks of time against other blocks, early against late first.

    Neighbouring windows share slow activity, so random halves of them are more alike than two independent recordings
    would be. Here each recording, and in it each condition, is divided into four blocks of consecutive windows (two if
    there are few), and the blocks are paired in three ways. Where a block of one side meets one of the other, windows
    within `GAP` seconds of the border are left out.

    Args:
        trials: Windows in the order of time, one recording after the other.
        condition: Name of the condition whose values are divided alike; None without one.
        splits: At most this many pairs.
    """
    recording = np.zeros(len(trials), np.int64)
    if trials.start_times is not None:
        recording[1:] = np.cumsum(np.diff(trials.start_times) < 0)
    labels = np.zeros(len(trials), np.int64)
    if condition is not None:
        labels = as_labels(trials.condition(condition), values_of(trials.condition(condition)))
    groups = [
        rows
        for number in np.unique(recording)
        for label in np.unique(labels)
        if len(rows := np.flatnonzero((recording == number) & (labels == label)))
    ]
    largest = max(len(rows) for rows in groups)
    blocks = BLOCKS if largest >= BLOCKS * FEWEST_IN_BLOCK else 2
    partitions = PARTITIONS[:splits] if blocks == BLOCKS else (((0,), (1,)),)
    gap = max(1, math.ceil(GAP / (trials.n_bins * trials.bin_width)))
    pairs = []
    for first, _ in partitions:
        sides: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
        for rows in groups:
            block = np.minimum(np.arange(len(rows)) * blocks // len(rows), blocks - 1)
            side = np.isin(block, first)
            border = np.flatnonzero(side[1:] != side[:-1])
            keep = np.ones(len(rows), bool)
            out = min(gap, len(rows) // (2 * blocks))  # windows left out at a border, half of them on each side
            for last in border:
                keep[max(0, last + 1 - out // 2) : last + 1 + out - out // 2] = False
            sides[0].append(rows[side & keep])
            sides[1].append(rows[~side & keep])
        pairs.append(
            (trials.select(np.sort(np.concatenate(sides[0]))), trials.select(np.sort(np.concatenate(sides[1]))))
        )
    return pairs


def matched(
    real: Trials, fake: Trials, *, size: int | None = None, condition: str | None = None, seed: int = 0
) -> tuple[Trials, Trials]:
    """As many real as fake trials, and each condition as often on both sides where both have it.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        size: At most this many trials on each side.
        condition: Name of the condition to match; found as in `Pair` if absent.
        seed: Of the draw; nothing is drawn from a side that is kept whole.

    Raises:
        DataError: if the two sides share no condition value.
    """
    rng = generator(seed, int(Purpose.SPLIT), 2)
    name = condition or find_condition(real, fake)
    if name is None or name not in fake.conditions:
        wanted = min(len(real), len(fake), size or len(real))
        return _some(real, np.zeros(len(real), np.int64), [wanted], rng), _some(
            fake, np.zeros(len(fake), np.int64), [wanted], rng
        )
    known = values_of(real.condition(name))
    sides = [as_labels(trials.condition(name), known) for trials in (real, fake)]
    shared = np.minimum(*(np.bincount(labels[labels >= 0], minlength=len(known)) for labels in sides))
    if not shared.sum():
        raise DataError(
            f"Real and fake trials must share at least one value of {name!r}.",
            f"Real trials have {known[:5].tolist()} ..., fake ones {np.unique(fake.condition(name))[:5].tolist()} ...",
            "Generate trials for the conditions of the real ones, or name another condition.",
        )
    if size is not None and size < shared.sum():
        shared = _thinned(shared, size)
    return _some(real, sides[0], shared, rng), _some(fake, sides[1], shared, rng)


def _thinned(sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Whole numbers that sum to `size`, in proportion, by largest remainder."""
    exact = sizes * size / sizes.sum()
    out = np.floor(exact).astype(np.int64)
    out[np.argsort(out - exact, kind="stable")[: size - out.sum()]] += 1
    return out


def _some(
    trials: Trials, labels: NDArray[np.int64], wanted: NDArray[np.int64] | list[int], rng: np.random.Generator
) -> Trials:
    """That many trials of each label, in their order; the trials themselves if all are wanted."""
    rows = []
    for label, number in enumerate(wanted):
        mine = np.flatnonzero(labels == label)
        rows.append(mine if len(mine) == number else rng.choice(mine, int(number), replace=False))
    chosen = np.sort(np.concatenate(rows))
    return trials if len(chosen) == len(trials) else trials.select(chosen)
