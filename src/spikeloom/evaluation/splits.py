"""Which trials to compare: disjoint real halves for the noise floor, and equal, matched sets for a fair row.

Every distance between finite samples is above zero, and shrinks as samples grow. So a number means something only
beside the same number for real against real, from disjoint trials, as many on each side, with each condition as often
on both sides.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import DataError
from spikeloom.metrics.pair import as_labels, find_condition
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
        labels = as_labels(trials.condition(name), np.unique(trials.condition(name)))
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
    known = np.unique(real.condition(name))
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
