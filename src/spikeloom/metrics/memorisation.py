r"""Memorisation: are generated trials closer to the training trials than new real trials would be?

Each generated trial looks for its nearest neighbour among training trials and among as many held-out trials. A
generator that learned the distribution is as close to the one as to the other: a share of one half is closer to
training. One that copies is closer to training nearly always, and its smallest distances (1 % quantile) are smaller
than to held-out trials.

Distances are Euclidean between square roots of smoothed activity, on 50 principal components of training and held-out
trials pooled, so that the basis favours neither.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import Numbers, principal_components
from spikeloom.metrics.features import MOST_TRIALS, trial_vectors
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.trials import Trials

COMPONENTS = 50
FEWEST_TRIALS = 20


@dataclass(frozen=True, eq=False)
class Memorisation:
    """What the comparison with the training trials found.

    Args:
        share: Share of generated trials that are closer to training than to held-out trials; ideal 0.5.
        quantile_ratio: 1 % quantile of the distance to training over the one to held-out trials; ideal 1.
        duplicates: Generated trials whose spikes are exactly those of a training trial (empty trials do not count).
        share_sd: Standard deviation of the share for a generator that has memorised nothing.
        trials: Generated trials compared.
        to_training: Distance of each of them to its nearest training trial.
        to_held_out: Distance of each of them to its nearest held-out trial.
        closest: The ten pairs nearest to each other, (pair, 2): number of the generated and of the training trial.
        closest_distance: Their distances (pair,).
    """

    share: float
    quantile_ratio: float
    duplicates: int
    share_sd: float
    trials: int
    to_training: Numbers
    to_held_out: Numbers
    closest: NDArray[np.int64]
    closest_distance: Numbers

    @property
    def level(self) -> str:
        """One of "copies", "suspicious", "swapped" and "clean".

        Copies: a duplicate, or smallest distances below half, or three quarters and more than four standard deviations
        closer to training. Suspicious: more than four standard deviations above one half, or smallest distances below
        0.8. The limits are ours.
        """
        away = (self.share - 0.5) / self.share_sd
        if self.duplicates or self.quantile_ratio < 0.5 or (self.share > 0.75 and away > 4):
            return "copies"
        if away < -4:
            return "swapped"
        return "suspicious" if away > 4 or self.quantile_ratio < 0.8 else "clean"

    @property
    def verdict(self) -> str:
        """One or two sentences in plain words."""
        numbers = (
            f"{100 * self.share:.0f} % of generated trials are closer to a training trial than to a held-out one "
            f"(50 ± {100 * self.share_sd:.0f} % expected), the smallest distances are {self.quantile_ratio:.2f} times "
            f"those to held-out trials, and {self.duplicates} trials are exact copies."
        )
        lead = {
            "copies": "The generator repeats training trials: do not share its output as if it were new data.",
            "suspicious": "Generated trials are closer to training trials than new data: look at the closest pairs.",
            "swapped": "Generated trials are closer to held-out trials than to training trials: were files swapped?",
            "clean": "No sign of memorised training trials.",
        }
        return f"{lead[self.level]} {numbers}"


def memorisation(pair: Pair) -> Memorisation | str:
    r"""Compare the generated trials with training and held-out trials; a sentence says why where it cannot be done.

    The share is that of generated trials whose nearest recorded trial is a training trial. A generator that has
    memorised nothing does not know which recorded trials those are: labels are exchangeable, and with w_j the share of
    generated trials whose nearest is recorded trial j, the share has the standard deviation
    :math:`\frac12 \sqrt{\sum_j w_j^2}`. A few trials are often nearest to many, so this is far above the binomial one.
    """
    if pair.reference is None:
        return "no training trials were given (reference)"
    train = Statistics(pair.reference, np.zeros(len(pair.reference), np.int64), conditions=1, window=pair.window)
    sides = (train, pair.real, pair.fake)
    size = min(len(train.whole), len(pair.real.whole), MOST_TRIALS)
    if min(size, len(pair.fake.whole)) < FEWEST_TRIALS or train.wide_window < 2:
        return f"at least {FEWEST_TRIALS} trials of each kind must fill the window of {pair.window} bins"
    rows = [_draw(side, size, pair.rng(4, place)) for place, side in enumerate(sides[:2])]
    rows.append(_draw(pair.fake, MOST_TRIALS, pair.rng(4, 2)))
    vectors = [trial_vectors(side, chosen) for side, chosen in zip(sides, rows, strict=True)]
    directions, mean = principal_components(np.concatenate(vectors[:2]), components=COMPONENTS, rng=pair.rng(5))
    known, held_out, fake = ((part - mean) @ directions for part in vectors)
    near, twin = _nearest(fake, known)
    other, stranger = _nearest(fake, held_out)
    nearest = np.where(near < other, twin, len(known) + stranger)
    weight = np.bincount(nearest) / len(fake)
    small = 1e-3 * float(np.median(np.concatenate([near, other]))) + 1e-12  # keeps the ratio finite among copies
    best = np.argsort(near, kind="stable")[:10]
    return Memorisation(
        share=float(np.mean(near < other) + 0.5 * np.mean(near == other)),
        quantile_ratio=float((np.quantile(near, 0.01) + small) / (np.quantile(other, 0.01) + small)),
        duplicates=int(duplicates(pair.fake_trials, pair.reference).sum()),
        share_sd=float(0.5 * np.sqrt(np.square(weight).sum())),
        trials=len(fake),
        to_training=near,
        to_held_out=other,
        closest=np.stack([rows[2][best], rows[0][twin[best]]], axis=1),
        closest_distance=near[best],
    )


def _draw(side: Statistics, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return side.whole if len(side.whole) <= size else np.sort(rng.choice(side.whole, size, replace=False))


def _nearest(points: Numbers, others: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Distance to, and number of, the nearest other point."""
    x, y = points.astype(np.float64), others.astype(np.float64)
    square = np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)[None] - 2 * x @ y.T
    best = square.argmin(1)
    return np.linalg.norm(x - y[best], axis=1), best


def duplicates(fake: Trials, train: Trials) -> NDArray[np.bool_]:
    """True for generated trials that are, bin by bin, a training trial; trials without spikes never are."""
    known = set(_prints(train))
    same = np.array([print_ in known for print_ in _prints(fake)], bool)
    return same & (fake.counts.sum((1, 2), dtype=np.int64) > 0)


def _prints(trials: Trials) -> list[bytes]:
    return [
        blake2b(trials.counts[row, :length].astype(np.uint32).tobytes(), digest_size=16).digest()
        for row, length in enumerate(trials.lengths)
    ]


def memorisation_share(pair: Pair) -> Result:
    """Share of generated trials that are closer to training than to held-out trials."""
    found = pair.once(memorisation)
    if isinstance(found, str):
        return Result(None, found)
    detail = {"real": found.to_held_out, "fake": found.to_training, "closest": found.closest}
    return Result(found.share, found.verdict, detail)


def memorisation_quantile_ratio(pair: Pair) -> Result:
    """1 % quantile of the distances to the nearest training trial, over the one to the nearest held-out trial."""
    found = pair.once(memorisation)
    return Result(None, found) if isinstance(found, str) else Result(found.quantile_ratio, f"{found.trials} trials")


def duplicate_trials(pair: Pair) -> Result:
    """Generated trials that are exact copies of a training trial."""
    if pair.reference is None:
        return Result(None, "no training trials were given (reference)")
    same = duplicates(pair.fake_trials, pair.reference)
    return Result(float(same.sum()), f"of {len(same)} trials", {"trial": np.flatnonzero(same)})
