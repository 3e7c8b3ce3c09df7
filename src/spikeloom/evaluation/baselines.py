r"""Trivial generators, which every model must beat: Poisson spikes without any latent.

*Homogeneous Poisson*: each neuron fires at its mean rate, always. *Poisson PSTH*: each neuron fires, independently of
all others, at the smoothed mean rate of the trial's condition. The second one passes every test of rates and PSTHs;
that is why those tests alone mean little.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrik

from spikeloom.metrics.arrays import Numbers, ratio, smooth
from spikeloom.metrics.pair import Pair
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialCounts
from spikeloom.trials import Trials

FEW = 100.0
"""Expected spikes per bin below which counts are drawn by comparing with the distribution count by count."""

SMOOTHING = 0.030
"""Standard deviation of the Gaussian that smooths the condition means, in seconds."""


def homogeneous_poisson(reference: Trials, like: Trials, *, seed: int = 0) -> Trials:
    """Poisson spikes at each neuron's mean rate.

    Args:
        reference: Trials that the rates come from (training trials).
        like: Trials to imitate: lengths, conditions and behaviour are copied.
        seed: Of the spikes.
    """
    reference = like.match(reference, mine="the trials to imitate", theirs="the reference trials")
    rates = reference.counts.sum((0, 1), dtype=np.float64) / reference.n_valid_bins
    everywhere = np.broadcast_to(rates, (1, like.n_bins, like.n_neurons))
    return _imitate(like, everywhere, np.zeros(len(like), np.int64), seed, "homogeneous Poisson")


def poisson_psth(reference: Trials, like: Trials, *, condition: str | None = None, seed: int = 0) -> Trials:
    """Independent Poisson spikes at the smoothed mean rates (Gaussian, sd 30 ms) of each trial's condition.

    Args:
        reference: Trials that the means come from (training trials).
        like: Trials to imitate: lengths, conditions and behaviour are copied. Trials without a known condition get the
            mean over all trials, and bins later than all reference trials their last mean.
        condition: Name of the condition; found as in `Pair` if absent, all trials are one if there is none.
        seed: Of the spikes.
    """
    reference = like.match(reference, mine="the trials to imitate", theirs="the reference trials")
    pair = Pair(reference, like, condition=condition)
    names = (pair.label_name,) if pair.label_name in like.conditions else ()
    labels = pair.real.labels if names else np.zeros(len(reference), np.int64)
    classes = len(pair.label_values) if names else 0
    means = np.stack([_mean(reference, labels == label) for label in range(classes)] + [_mean(reference, labels >= -1)])
    means = means[:, np.minimum(np.arange(like.n_bins), means.shape[1] - 1)]
    mine = pair.fake.labels if names else np.full(len(like), -1)
    return _imitate(like, means, np.where(mine < 0, classes, mine), seed, "Poisson PSTH")


def _mean(trials: Trials, rows: NDArray[np.bool_]) -> Numbers:
    """Smoothed mean count in each bin over the trials that have it (time, neuron); the last known one beyond."""
    total = trials.counts[rows].sum(0, dtype=np.float64)
    number = trials.mask[rows].sum(0)
    last = int(np.flatnonzero(number)[-1]) + 1 if number.any() else 0
    mean = ratio(total[:last], number[:last, None])[None]
    mean = smooth(mean, sd=SMOOTHING / trials.bin_width, mask=np.ones((1, last), bool))[0]
    return mean[np.minimum(np.arange(trials.n_bins), last - 1)]


def _imitate(like: Trials, rates: Numbers, labels: NDArray[np.int64], seed: int, source: str) -> Trials:
    """Poisson counts at the rates of each trial's label (label, time, neuron), in trials like the given ones."""
    largest = float(rates.max(initial=0.0))
    counts = np.zeros(like.counts.shape, np.uint8 if largest < FEW else np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if largest < FEW:
            _fill(counts, rows, rates[label], seed)
        else:
            _fill_many(counts, rows, rates[label], seed)
    return Trials(
        counts * like.mask[:, :, None],
        like.bin_width,
        lengths=like.lengths,
        behavior=like.behavior,
        units=like.units,
        conditions=like.conditions,
        neuron_table=like.neuron_table,
        source=source,
    )


def _fill(counts: TrialCounts, rows: NDArray[np.int64], rates: Numbers, seed: int) -> None:
    """Draw the counts of some trials by inverting the distribution: how many of F(0), F(1), ... a uniform exceeds."""
    steps = []
    for count in range(255):
        below = pdtr(count, rates).astype(np.float32)
        steps.append(below)
        if below.min() >= 1:
            break
    for row in rows.tolist():
        uniform = Streams(seed, Purpose.SIMULATE, 0, [row]).uniform(*rates.shape)[0]
        for below in steps:
            more = uniform >= below
            if not more.any():
                break
            counts[row] += more


def _fill_many(counts: TrialCounts, rows: NDArray[np.int64], rates: Numbers, seed: int) -> None:
    """Draw the counts of some trials from the same uniforms by the inverse distribution, for large rates."""
    for row in rows.tolist():
        uniform = Streams(seed, Purpose.SIMULATE, 0, [row]).uniform(*rates.shape)[0].astype(np.float64)
        real = np.where(rates > 0, pdtrik(np.clip(uniform, 1e-7, 1 - 1e-7), np.maximum(rates, 1e-30)), 0.0)
        counts[row] = np.ceil(np.maximum(np.nan_to_num(real), 0.0))
