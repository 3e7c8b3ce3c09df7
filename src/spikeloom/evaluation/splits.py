"""Selection of trials to compare: disjoint real halves for the noise floor, and matched sets of equal size.

Every distance between finite samples is above zero, and decreases with the sample size. A value must therefore be
compared with the same metric for real against real trials: disjoint sets of equal size, with the same number of trials
of each condition.
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
    """Yield random disjoint pairs of sets of equal size, with each condition split evenly.

    Args:
        trials: Real trials; join train and test trials of one recording for a floor with the number of trials of the
            model row.
        size: Number of trials on each side, at most half of the trials; half of them if absent.
        condition: Name of the condition to split evenly; `None` chooses one as `Pair` does, if there is one.
        splits: Number of pairs.
        seed: Random seed of the random order.

    Raises:
        DataError: with fewer than two trials.
    """
    if len(trials) < 2:
        raise DataError(
            "A noise floor needs at least two trials.",
            f"There are {len(trials)}.",
            "Use more real trials, or do not compute a noise floor.",
        )
    half = min(size or len(trials), len(trials) // 2)
    name = condition or find_condition(trials, trials)
    labels = np.zeros(len(trials), np.int64)
    if name is not None:
        labels = as_labels(trials.condition(name), values_of(trials.condition(name)))
    for split in range(splits):
        order = _order_in_pairs(labels, generator(seed, int(Purpose.SPLIT), 1, split))
        first = order[0 : 2 * half : 2]
        second = order[1 : 2 * half : 2]
        yield trials.select(np.sort(first)), trials.select(np.sort(second))


def _order_in_pairs(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random order in which trials 2k and 2k + 1 have the same condition, to split conditions evenly.

    The trials of each condition are shuffled and paired; the pairs are shuffled; unpaired trials come last.
    """
    pairs = []
    single = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        pairs.append(rows[: len(rows) // 2 * 2].reshape(-1, 2))
        single.append(rows[len(rows) // 2 * 2 :])
    paired = np.concatenate(pairs)
    rest = np.concatenate(single)
    return np.concatenate([paired[rng.permutation(len(paired))].ravel(), rng.permutation(rest)])


BLOCKS = 4
"""Number of blocks of time into which a continuous recording is divided."""

PARTITIONS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
"""Ways to divide four blocks into two pairs: early against late first, then mixed."""

FEWEST_IN_BLOCK = 4
"""Smallest number of windows per block for four blocks; shorter recordings are divided into two."""

GAP = 1.0
"""Time in seconds left out between neighbouring blocks of different sides; at least one window."""


def continuous(trials: Trials) -> bool:
    """Return True if these trials are consecutive windows of continuous recordings, or some of these windows.

    All trials must have the same length and a start time. At least four fifths must start an integer number of lengths
    after the trial before (a recording may have gaps), and at least one tenth directly after it. A start time before
    that of the previous trial begins another recording.
    """
    if trials.start_times is None or len(trials) < 2 or trials.lengths.min() < trials.lengths.max():
        return False
    steps = np.diff(trials.start_times) / (trials.n_bins * trials.bin_width)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return False
    near = np.abs(steps - np.round(steps)) < 0.5 / trials.n_bins
    aligned = near & (np.round(steps) >= 1)
    return bool(aligned.mean() >= 0.8 and (aligned & (np.round(steps) == 1)).mean() >= 0.1)


def time_blocks(trials: Trials, *, condition: str | None = None, splits: int = 3) -> list[tuple[Trials, Trials]]:
    """Return disjoint pairs of blocks of time of continuous recordings; the first pair is early against late.

    Neighbouring windows share slow activity, so random halves are more similar than two independent recordings. Each
    condition of each recording is therefore divided into four blocks of consecutive windows (two if there are few), and
    the blocks are paired in three ways. Between neighbouring blocks of different sides, windows within `GAP` seconds of
    the border are left out.

    Args:
        trials: Windows in the order of time, one recording after the other.
        condition: Name of the condition whose values are divided evenly; None without one.
        splits: Largest number of pairs.
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
    """Return equal numbers of real and fake trials, with equal numbers of each shared condition.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        size: Largest number of trials on each side.
        condition: Name of the condition to match; `None` chooses one as `Pair` does.
        seed: Random seed of the subset; it has no effect on a side that keeps all its trials.

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
    values = values_of(real.condition(name))
    sides = [as_labels(trials.condition(name), values) for trials in (real, fake)]
    shared = np.minimum(*(np.bincount(labels[labels >= 0], minlength=len(values)) for labels in sides))
    if not shared.sum():
        raise DataError(
            f"Real and fake trials must share at least one value of {name!r}.",
            f"Real trials have {values[:5].tolist()} ..., fake ones {np.unique(fake.condition(name))[:5].tolist()} ...",
            "Generate trials for the conditions of the real ones, or name another condition.",
        )
    if size is not None and size < shared.sum():
        shared = _thinned(shared, size)
    return _some(real, sides[0], shared, rng), _some(fake, sides[1], shared, rng)


def _thinned(sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return integers that sum to `size`, in proportion to `sizes`, by largest remainder."""
    exact = sizes * size / sizes.sum()
    out = np.floor(exact).astype(np.int64)
    out[np.argsort(out - exact, kind="stable")[: size - out.sum()]] += 1
    return out


def _some(
    trials: Trials, labels: NDArray[np.int64], wanted: NDArray[np.int64] | list[int], rng: np.random.Generator
) -> Trials:
    """Draw `wanted` trials of each label, in their order; return `trials` itself if all are wanted."""
    rows = []
    for label, number in enumerate(wanted):
        mine = np.flatnonzero(labels == label)
        rows.append(mine if len(mine) == number else rng.choice(mine, int(number), replace=False))
    chosen = np.sort(np.concatenate(rows))
    return trials if len(chosen) == len(trials) else trials.select(chosen)
