r"""Recorded trials whose mean rates have the sampling error of the training trials.

A model learns mean rates from n training trials, and the learned rates differ from the true rates by a sampling error.
New recorded trials do not have this error. So a classifier can recognise the trials of a model that is otherwise
perfect. The noise floor does not show this, because both of its sides are recorded trials.

The error is estimated by the bootstrap. Let :math:`\bar r_{cpi}` be the mean count of neuron i in piece p of the
training trials of condition c. Let :math:`\bar r^*_{cpi}` be the same mean over an equal number of trials that are
drawn from these trials with replacement. The expected counts of the recorded trials are multiplied by

.. math:: f_{cpi} = \bar r^*_{cpi} / \bar r_{cpi} .

Each spike is kept with the probability :math:`\min(f, 1)`. If f is above 1, each spike of another trial of the
condition is copied with the probability :math:`\min(f - 1, 1)`.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.pair import Pair
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers, TrialCounts
from spikeloom.trials import Trials

PIECE = 0.1
"""Length of the pieces of a trial in which mean rates are learned, s."""


def with_sampling_error(
    recorded: Trials,
    training: Trials,
    *,
    condition: str | None = None,
    piece: float = PIECE,
    n_trials: int | None = None,
    seed: int = 0,
) -> Trials:
    """Return recorded trials whose mean rates have the sampling error of training trials.

    Args:
        recorded: Trials whose counts are changed; disjoint from the training trials.
        training: Trials from which a model would learn mean rates.
        condition: Name of the condition for whose values rates are learned separately; `None` chooses one like `Pair`.
            Without a condition, all trials form one group.
        piece: Length of the pieces of a trial in which mean rates are learned, s.
        n_trials: Number of training trials whose sampling error is simulated; `None` takes the number of `training`.
        seed: Random seed.
    """
    training = recorded.match(training, name="the recorded trials", other_name="the training trials")
    # `pair.real` are the training trials, and `pair.fake` the recorded trials
    pair = Pair(training, recorded, condition=condition)
    has_condition = pair.label_name in recorded.conditions
    labels = pair.real.labels if has_condition else np.zeros(len(training), np.int64)
    recorded_labels = pair.fake.labels if has_condition else np.zeros(len(recorded), np.int64)
    rng = generator(seed, Purpose.EVALUATE, 3)  # 3 distinguishes this use of random numbers from others
    pieces = np.arange(recorded.n_bins) // max(1, round(piece / recorded.bin_width))  # number of the piece of each bin
    share = 1.0 if n_trials is None else n_trials / len(training)
    counts = np.zeros(recorded.counts.shape, np.int64)  # copied spikes may exceed the type of the recorded counts
    for label in np.unique(recorded_labels):
        rows = np.flatnonzero(recorded_labels == label)
        # training trials of the same condition; all training trials if there are none
        learned = training.select(np.flatnonzero(labels == label) if label in labels else np.arange(len(training)))
        factors = _factors(learned, pieces, max(1, round(share * len(learned))), rng)
        counts[rows] = _multiplied(recorded.counts[rows], factors, rng)
    source = "recorded trials with the sampling error of mean rates"
    counts *= recorded.mask[:, :, None]
    return replace(recorded, counts=counts, rates=None, latents=None, codes=None, source=source)


def _factors(training: Trials, pieces: NDArray[np.int64], n_trials: int, rng: np.random.Generator) -> Numbers:
    """Return the factor f of each bin and neuron (time, neuron); 1 where the training trials have no spikes or bins.

    Args:
        training: Training trials of one condition.
        pieces: Number of the piece of each bin (time,).
        n_trials: Number of trials that are drawn.
        rng: Random generator.
    """
    n_drawn = np.bincount(rng.integers(len(training), size=n_trials), minlength=len(training))  # how often each trial
    # [0]: over all trials, [1]: over the drawn trials
    sums = np.zeros((2, pieces[-1] + 1, training.n_neurons))  # spikes of each piece and neuron
    n_valid = np.zeros((2, pieces[-1] + 1))  # valid bins of each piece
    n_bins = min(len(pieces), training.n_bins)
    for k, weights in enumerate((np.ones(len(training)), n_drawn.astype(np.float64))):
        np.add.at(sums[k], pieces[:n_bins], np.tensordot(weights, training.counts[:, :n_bins], 1))
        np.add.at(n_valid[k], pieces[:n_bins], weights @ training.mask[:, :n_bins])
    means, drawn_means = sums / np.maximum(n_valid, 1)[:, :, None]
    has_spikes = (means > 0) & np.all(n_valid > 0, axis=0)[:, None]
    return np.divide(drawn_means, means, out=np.ones_like(means), where=has_spikes)[pieces]


def _multiplied(counts: TrialCounts, factors: Numbers, rng: np.random.Generator) -> TrialCounts:
    """Return counts (trial, time, neuron) whose expected values are multiplied by factors (time, neuron)."""
    kept = rng.binomial(counts, np.clip(factors, 0, 1))
    other_trials = counts[rng.permutation(len(counts))]
    return kept + rng.binomial(other_trials, np.clip(factors - 1, 0, 1))
