"""Selection of trials to compare: disjoint halves of real trials for the noise floor, and matched sets of equal size.

Every distance between finite samples is above zero, and decreases with the sample size. The value of a metric must
therefore be compared with its noise floor: the value for real against real trials. Both comparisons need disjoint sets
of equal size, with the same number of trials of each condition.
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
        trials: Real trials.
        size: Number of trials of each set, at most half of the trials. `None` uses half of them.
        condition: Name of the condition to split evenly; `None` chooses a condition like `Pair`, if there is one.
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
    labels = np.zeros(len(trials), np.int64)  # number of the value of the condition, for each trial
    if name is not None:
        labels = as_labels(trials.condition(name), values_of(trials.condition(name)))
    for split in range(splits):
        rng = generator(seed, int(Purpose.SPLIT), 1, split)  # 1 distinguishes this use of random numbers from others
        order = _order_in_pairs(labels, rng)
        # trials 2k and 2k + 1 of this order have the same condition, and go to different halves
        first = order[0 : 2 * half : 2]
        second = order[1 : 2 * half : 2]
        yield trials.select(np.sort(first)), trials.select(np.sort(second))


def _order_in_pairs(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random order in which trials 2k and 2k + 1 have the same condition, to split conditions evenly.

    The trials of each condition are shuffled and paired; the pairs are shuffled; unpaired trials come last.
    """
    pairs_of_labels = []
    unpaired_of_labels = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        n_paired = len(rows) // 2 * 2
        pairs_of_labels.append(rows[:n_paired].reshape(-1, 2))
        unpaired_of_labels.append(rows[n_paired:])
    pairs = np.concatenate(pairs_of_labels)
    unpaired = np.concatenate(unpaired_of_labels)
    return np.concatenate([pairs[rng.permutation(len(pairs))].ravel(), rng.permutation(unpaired)])


BLOCKS = 4
"""Number of blocks of time into which a continuous recording is divided."""

PARTITIONS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
"""Three ways to divide four blocks into two sets of two. The first one is early against late."""

FEWEST_IN_BLOCK = 4
"""Smallest number of windows per block for four blocks. Shorter recordings are divided into two blocks."""

GAP = 1.0
"""Time in seconds left out between neighbouring blocks of different sets; at least one window."""


def continuous(trials: Trials) -> bool:
    """Return True if these trials are windows cut from continuous recordings, possibly with gaps between them.

    All trials must have the same length and a start time. At least four fifths of the trials must start a whole number
    of trial lengths after the previous trial, and at least one tenth must start where the previous trial ends. If a
    start time is before the previous one, another recording begins, and this pair of trials is not counted.
    """
    if trials.start_times is None or len(trials) < 2 or trials.lengths.min() < trials.lengths.max():
        return False
    steps = np.diff(trials.start_times) / (trials.n_bins * trials.bin_width)
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return False
    is_integer = np.abs(steps - np.round(steps)) < 0.5 / trials.n_bins  # to half a bin
    aligned = is_integer & (np.round(steps) >= 1)
    follows_directly = aligned & (np.round(steps) == 1)
    return bool(aligned.mean() >= 0.8 and follows_directly.mean() >= 0.1)


def time_blocks(trials: Trials, *, condition: str | None = None, splits: int = 3) -> list[tuple[Trials, Trials]]:
    """Return pairs of disjoint sets of windows of continuous recordings; the first pair is early against late.

    Neighbouring windows share slow activity, so random halves are more similar than two independent recordings. Each
    condition of each recording is therefore divided into four blocks of consecutive windows (two blocks if there are
    few windows). Two blocks make up one set and the other two blocks the other set, which is possible in three ways.
    Between neighbouring blocks of different sets, windows with a total of `GAP` seconds are left out.

    Args:
        trials: Windows in the order of time, one recording after the other.
        condition: Name of the condition whose values are divided evenly, or None.
        splits: Largest number of pairs.
    """
    recording = np.zeros(len(trials), np.int64)  # number of the recording of each window
    if trials.start_times is not None:  # a start time before the previous one begins another recording
        recording[1:] = np.cumsum(np.diff(trials.start_times) < 0)
    labels = np.zeros(len(trials), np.int64)
    if condition is not None:
        labels = as_labels(trials.condition(condition), values_of(trials.condition(condition)))
    groups = []  # windows of each condition of each recording, in the order of time
    for number in np.unique(recording):
        for label in np.unique(labels):
            rows = np.flatnonzero((recording == number) & (labels == label))
            if len(rows):
                groups.append(rows)
    largest = max(len(rows) for rows in groups)
    n_blocks = BLOCKS if largest >= BLOCKS * FEWEST_IN_BLOCK else 2
    partitions = PARTITIONS[:splits] if n_blocks == BLOCKS else (((0,), (1,)),)
    gap = max(1, math.ceil(GAP / (trials.n_bins * trials.bin_width)))  # number of windows to leave out at a border
    pairs = []
    for blocks_of_first, _ in partitions:
        first_rows: list[NDArray[np.int64]] = []
        second_rows: list[NDArray[np.int64]] = []
        for rows in groups:
            block = np.minimum(np.arange(len(rows)) * n_blocks // len(rows), n_blocks - 1)  # block of each window
            in_first = np.isin(block, blocks_of_first)
            borders = np.flatnonzero(in_first[1:] != in_first[:-1]) + 1  # first windows of a block of the other set
            keep = np.ones(len(rows), bool)
            n_omitted = min(gap, len(rows) // (2 * n_blocks))  # at a border, half before and half after it
            for border in borders:
                keep[max(0, border - n_omitted // 2) : border + n_omitted - n_omitted // 2] = False
            first_rows.append(rows[in_first & keep])
            second_rows.append(rows[~in_first & keep])
        first = trials.select(np.sort(np.concatenate(first_rows)))
        second = trials.select(np.sort(np.concatenate(second_rows)))
        pairs.append((first, second))
    return pairs


def matched(
    real: Trials, fake: Trials, *, size: int | None = None, condition: str | None = None, seed: int = 0
) -> tuple[Trials, Trials]:
    """Return equal numbers of real and fake trials, with the same number of trials of each value of the condition.

    If one set has no such condition, only the numbers of trials are made equal.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        size: Largest number of trials of each set. `None` sets no limit.
        condition: Name of the condition to match; `None` chooses a condition like `Pair`.
        seed: Random seed of the subset; it has no effect on a set that keeps all its trials.

    Raises:
        DataError: if the two sets share no value of the condition.
    """
    rng = generator(seed, int(Purpose.SPLIT), 2)  # 2 distinguishes this use of random numbers from others
    name = condition or find_condition(real, fake)
    if name is None or name not in fake.conditions:
        number = min(len(real), len(fake), size or len(real))
        # all trials have the label 0
        real_subset = _drawn(real, np.zeros(len(real), np.int64), [number], rng)
        return real_subset, _drawn(fake, np.zeros(len(fake), np.int64), [number], rng)
    values = values_of(real.condition(name))
    real_labels = as_labels(real.condition(name), values)
    fake_labels = as_labels(fake.condition(name), values)
    n_real = np.bincount(real_labels[real_labels >= 0], minlength=len(values))
    n_fake = np.bincount(fake_labels[fake_labels >= 0], minlength=len(values))
    shared = np.minimum(n_real, n_fake)  # number of trials of each value that both sets have
    if not shared.sum():
        raise DataError(
            f"Real and fake trials must share at least one value of {name!r}.",
            f"Real trials have {values[:5].tolist()} ...; fake trials have "
            f"{np.unique(fake.condition(name))[:5].tolist()} ...",
            "Generate trials for the conditions of the real trials, or name another condition.",
        )
    if size is not None and size < shared.sum():
        shared = _thinned(shared, size)
    return _drawn(real, real_labels, shared, rng), _drawn(fake, fake_labels, shared, rng)


def _thinned(sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return whole numbers in proportion to `sizes` whose sum is `size`, by the method of largest remainders."""
    exact = sizes * size / sizes.sum()
    rounded = np.floor(exact).astype(np.int64)
    n_missing = size - rounded.sum()
    rounded[np.argsort(rounded - exact, kind="stable")[:n_missing]] += 1
    return rounded


def _drawn(
    trials: Trials, labels: NDArray[np.int64], numbers: NDArray[np.int64] | list[int], rng: np.random.Generator
) -> Trials:
    """Draw `numbers[k]` trials of each label k, in their order; return `trials` itself if these are all trials."""
    rows = []
    for label, number in enumerate(numbers):
        candidates = np.flatnonzero(labels == label)
        rows.append(candidates if len(candidates) == number else rng.choice(candidates, int(number), replace=False))
    drawn = np.sort(np.concatenate(rows))
    return trials if len(drawn) == len(trials) else trials.select(drawn)
