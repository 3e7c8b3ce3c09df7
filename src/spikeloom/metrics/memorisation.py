r"""Memorisation: are generated trials closer to the training trials than new real trials would be?

The nearest neighbour of each generated trial is searched among the training trials and among the same number of
held-out trials (recorded trials that the generator has not seen). If the generator has learned the distribution, half
of the generated trials are closer to a training trial. If it copies training trials, nearly all generated trials are
closer to a training trial, and the 1 % quantile of the distances to training trials is smaller than the 1 % quantile of
the distances to held-out trials.

Distances are Euclidean between square roots of smoothed activity, on 50 principal components of training and held-out
trials together, so that the components favour neither set.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import principal_components
from spikeloom.metrics.features import MOST_TRIALS, trial_vectors
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.text import counted, verb

COMPONENTS = 50
"""Number of principal components in which distances are measured."""

FEWEST_TRIALS = 20
"""Smallest number of training, held-out and generated trials."""


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Result of the comparison with the training trials.

    Args:
        share: Share of generated trials that are closer to training than to held-out trials; ideal 0.5.
        quantile_ratio: 1 % quantile of the distances to training trials, divided by the 1 % quantile of the distances
            to held-out trials; ideal 1.
        duplicates: Number of generated trials with exactly the spikes of a training trial, without empty trials.
        share_sd: Standard deviation of the share for a generator that has memorised nothing.
        trials: Number of generated trials that are compared.
        to_training: Distance of each compared generated trial to its nearest training trial (trial,).
        to_held_out: Distance of each compared generated trial to its nearest held-out trial (trial,).
        closest: Ten nearest pairs (pair, 2): indices of the generated and of the training trial.
        closest_distance: Distances of these pairs (pair,).
        closest_to_held_out: Distance of the generated trial of each of these pairs to its nearest held-out trial
            (pair,).
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
    closest_to_held_out: Numbers

    @property
    def level(self) -> str:
        """One of "copies", "suspicious", "swapped" and "clean".

        "copies": there is a duplicate, or `quantile_ratio` is below 0.5, or `share` is above 0.75 and more than four
        standard deviations above 0.5. "swapped": `share` is more than four standard deviations below 0.5. "suspicious":
        `share` is more than four standard deviations above 0.5, or `quantile_ratio` is below 0.8. In all other cases
        "clean". The limits are defined by spikeloom.
        """
        deviations = (self.share - 0.5) / self.share_sd
        if self.duplicates or self.quantile_ratio < 0.5 or (self.share > 0.75 and deviations > 4):
            return "copies"
        if deviations < -4:
            return "swapped"
        return "suspicious" if deviations > 4 or self.quantile_ratio < 0.8 else "clean"

    @property
    def verdict(self) -> str:
        """Verdict in a few sentences."""
        numbers = (
            f"{100 * self.share:.0f} % of generated trials are closer to a training trial than to a held-out trial "
            f"(50 ± {100 * self.share_sd:.0f} % expected). The smallest distances to training trials are "
            f"{self.quantile_ratio:.2f} times the smallest distances to held-out trials. "
            f"{counted(self.duplicates, 'trial')} "
            f"{verb(self.duplicates, 'is an exact copy', 'are exact copies')}."
        )
        opening = {
            "copies": "The generator repeats training trials. Do not share its samples as new data.",
            "suspicious": "Generated trials are closer to training trials than new data. Inspect the closest pairs.",
            "swapped": "Generated trials are closer to held-out than to training trials. Check for swapped files.",
            "clean": "No sign of memorised training trials.",
        }
        return f"{opening[self.level]} {numbers}"


def memorisation(pair: Pair) -> Memorisation | str:
    r"""Compare the generated trials with training and held-out trials, or return the reason why this is impossible.

    `share` is the fraction of generated trials whose nearest recorded trial is a training trial. For a generator that
    has memorised nothing, the labels "training" and "held-out" are exchangeable. Then the standard deviation of the
    share is :math:`\frac12 \sqrt{\sum_j w_j^2}`, with w_j the fraction of generated trials whose nearest recorded trial
    is trial j. Often, a few recorded trials are the nearest neighbours of many generated trials. So this standard
    deviation is far above the binomial standard deviation.
    """
    train = pair.training
    if train is None:
        return "no training trials were given (reference)"
    size = min(len(train.whole), len(pair.real.whole), MOST_TRIALS)
    if min(size, len(pair.fake.whole)) < FEWEST_TRIALS or train.wide_window < 2:
        return f"at least {FEWEST_TRIALS} trials of each kind must fill the window of {pair.window} bins"
    training_rows = _draw(train, size, pair.rng(4, 0))
    held_out_rows = _draw(pair.real, size, pair.rng(4, 1))
    fake_rows = _draw(pair.fake, MOST_TRIALS, pair.rng(4, 2))
    space = pair.real.once(_space, train, training_rows, held_out_rows, seed=pair.seed)
    fake = space.place(trial_vectors(pair.fake, fake_rows))
    to_training, nearest_training = _nearest(fake, space.training)
    to_held_out, nearest_held_out = _nearest(fake, space.held_out)
    # number of the nearest recorded trial: training trials first, then held-out trials
    nearest = np.where(to_training < to_held_out, nearest_training, len(space.training) + nearest_held_out)
    weight = np.bincount(nearest) / len(fake)  # w_j of each recorded trial
    median_distance = float(np.median(np.concatenate([to_training, to_held_out])))
    small = 1e-3 * median_distance + 1e-12  # keeps the ratio finite if distances are 0
    closest = np.argsort(to_training, kind="stable")[:10]
    return Memorisation(
        # equal distances count as one half
        share=float(np.mean(to_training < to_held_out) + 0.5 * np.mean(to_training == to_held_out)),
        quantile_ratio=float((np.quantile(to_training, 0.01) + small) / (np.quantile(to_held_out, 0.01) + small)),
        duplicates=int(pair.once(_copies).sum()),
        share_sd=float(0.5 * np.sqrt(np.square(weight).sum())),
        trials=len(fake),
        to_training=to_training,
        to_held_out=to_held_out,
        closest=np.stack([fake_rows[closest], training_rows[nearest_training[closest]]], axis=1),
        closest_distance=to_training[closest],
        closest_to_held_out=to_held_out[closest],
    )


@dataclass(frozen=True, eq=False)
class _Space:
    """Principal components of training and held-out trials, in which distances are measured.

    Args:
        directions: Directions of the components (feature, component).
        mean: Mean of all recorded trials (feature,).
        training: Training trials in this space (trial, component).
        held_out: Held-out trials in this space (trial, component).
    """

    directions: Numbers
    mean: Numbers
    training: Numbers
    held_out: Numbers

    def place(self, vectors: Numbers) -> Numbers:
        """Return trials (trial, feature) in this space (trial, component)."""
        return (vectors - self.mean) @ self.directions


def _space(
    real: Statistics,
    train: Statistics,
    training_rows: NDArray[np.int64],
    held_out_rows: NDArray[np.int64],
    *,
    seed: int,
) -> _Space:
    """Return the principal components of the chosen training and real trials, and both sets projected on them.

    The real trials are held out from training.
    """
    vectors = [trial_vectors(train, training_rows), trial_vectors(real, held_out_rows)]
    rng = generator(seed, int(Purpose.EVALUATE), 5)  # 5 distinguishes this use of random numbers from others
    directions, mean = principal_components(np.concatenate(vectors), components=COMPONENTS, rng=rng)
    training, held_out = ((part - mean) @ directions for part in vectors)
    return _Space(directions, mean, training, held_out)


def _draw(statistics: Statistics, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of at most `size` trials that fill the window, drawn at random, in order."""
    full_window = statistics.whole
    if len(full_window) <= size:
        return full_window
    return np.sort(rng.choice(full_window, size, replace=False))


def _nearest(points: Numbers, others: Numbers) -> tuple[Numbers, NDArray[np.int64]]:
    """Return for each point the distance to the nearest of the others (point,), and the index of that one (point,)."""
    x = points.astype(np.float64)
    y = others.astype(np.float64)
    square = np.sum(x**2, 1)[:, None] + np.sum(y**2, 1)[None] - 2 * x @ y.T
    nearest = square.argmin(1)
    return np.linalg.norm(x - y[nearest], axis=1), nearest


def _copies(pair: Pair) -> NDArray[np.bool_]:
    """Return True for generated trials with exactly the counts of a training trial; trials without spikes are False."""
    if pair.training is None:
        return np.zeros(len(pair.fake_trials), bool)
    training_hashes = set(pair.training.once(_hashes))
    is_copy = np.array([fake_hash in training_hashes for fake_hash in _hashes(pair.fake)], bool)
    has_spikes = pair.fake_trials.counts.sum((1, 2), dtype=np.int64) > 0
    return is_copy & has_spikes


def _hashes(statistics: Statistics) -> list[bytes]:
    """Return a hash of the counts of each trial, so that trials with equal counts have equal hashes."""
    trials = statistics.trials
    return [
        blake2b(trials.counts[row, :length].astype(np.uint32).tobytes(), digest_size=16).digest()
        for row, length in enumerate(trials.lengths)
    ]


def memorisation_share(pair: Pair) -> Result:
    """Compute the fraction of generated trials that are closer to training than to held-out trials."""
    copies = pair.once(memorisation)
    if isinstance(copies, str):
        return Result(None, copies)
    detail = {"real": copies.to_held_out, "fake": copies.to_training, "closest": copies.closest}
    return Result(copies.share, copies.verdict, detail)


def memorisation_quantile_ratio(pair: Pair) -> Result:
    """Compute the 1 % quantile of distances to the nearest training trial, divided by that of held-out trials."""
    copies = pair.once(memorisation)
    if isinstance(copies, str):
        return Result(None, copies)
    return Result(copies.quantile_ratio, counted(copies.trials, "trial"))


def duplicate_trials(pair: Pair) -> Result:
    """Count the generated trials that are exact copies of a training trial."""
    if pair.reference is None:
        return Result(None, "no training trials were given (reference)")
    is_copy = pair.once(_copies)
    return Result(float(is_copy.sum()), f"of {len(is_copy)} trials", {"trial": np.flatnonzero(is_copy)})
