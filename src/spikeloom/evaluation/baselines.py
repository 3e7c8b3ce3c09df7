r"""Baselines that every model must surpass: Poisson spikes without latents.

*Homogeneous Poisson*: each neuron fires at its constant mean rate. *Poisson PSTH*: each neuron fires, independently of
all others, at the smoothed mean rate of the trial's condition. The second baseline passes every test
of rates and PSTHs, so these tests alone cannot show that a model is good.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr, pdtrik

from spikeloom.metrics.arrays import ratio, smooth
from spikeloom.metrics.pair import Pair
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Numbers, TrialCounts
from spikeloom.trials import Trials

LOOP_LIMIT = 100.0
"""Largest rate, spikes/bin, at which counts are drawn by comparison with the cumulative distribution (`_fill`)."""

SMOOTHING = 0.030
"""Standard deviation of the Gaussian that smooths the condition means, in seconds."""


def homogeneous_poisson(reference: Trials, like: Trials, *, seed: int = 0) -> Trials:
    """Draw Poisson spikes at each neuron's mean rate.

    Args:
        reference: Trials from which the rates are computed (training trials).
        like: Trials whose lengths, conditions and behaviour are copied.
        seed: Random seed of the spikes.
    """
    reference = like.match(reference, name="the trials to imitate", other_name="the reference trials")
    rates = reference.counts.sum((0, 1), dtype=np.float64) / reference.n_valid_bins  # (neuron,), spikes/bin
    rates_of_label = np.broadcast_to(rates, (1, like.n_bins, like.n_neurons))  # all trials have the label 0
    return _imitate(like, rates_of_label, np.zeros(len(like), np.int64), seed, "homogeneous Poisson")


def poisson_psth(reference: Trials, like: Trials, *, condition: str | None = None, seed: int = 0) -> Trials:
    """Draw independent Poisson spikes at the smoothed mean rates (Gaussian, sd 30 ms) of each trial's condition.

    Args:
        reference: Trials from which the means are computed (training trials).
        like: Trials whose lengths, conditions and behaviour are copied. Trials of an unknown condition get the mean
            over all trials, and bins later than all reference trials get the last mean.
        condition: Name of the condition; `None` chooses one like `Pair`. Without conditions, all trials form one group.
        seed: Random seed of the spikes.
    """
    reference = like.match(reference, name="the trials to imitate", other_name="the reference trials")
    pair = Pair(reference, like, condition=condition)  # `pair.real` is the reference, `pair.fake` is `like`
    has_condition = pair.label_name in like.conditions
    labels = pair.real.labels if has_condition else np.zeros(len(reference), np.int64)  # (reference trial,)
    n_conditions = len(pair.label_values) if has_condition else 0
    condition_means = [_mean(reference, labels == label) for label in range(n_conditions)]
    overall_mean = _mean(reference, np.ones(len(reference), bool))
    means = np.stack([*condition_means, overall_mean])  # (condition, time, neuron), spikes/bin
    means = means[:, np.minimum(np.arange(like.n_bins), means.shape[1] - 1)]  # later bins repeat the last mean
    like_labels = pair.fake.labels if has_condition else np.full(len(like), -1)  # -1 marks an unknown condition
    rows = np.where(like_labels < 0, n_conditions, like_labels)  # the overall mean is the last row of the means
    return _imitate(like, means, rows, seed, "Poisson PSTH")


def _mean(trials: Trials, rows: NDArray[np.bool_]) -> Numbers:
    """Return the smoothed mean count of each bin over the selected trials that have this bin (time, neuron).

    Bins later than all selected trials repeat the last mean.
    """
    total = trials.counts[rows].sum(0, dtype=np.float64)
    n_with_bin = trials.mask[rows].sum(0)  # number of selected trials that have each bin (time,)
    longest = int(np.flatnonzero(n_with_bin)[-1]) + 1 if n_with_bin.any() else 0
    mean = ratio(total[:longest], n_with_bin[:longest, None])[None]
    mean = smooth(mean, sd=SMOOTHING / trials.bin_width, mask=np.ones((1, longest), bool))[0]
    return mean[np.minimum(np.arange(trials.n_bins), longest - 1)]


def _imitate(like: Trials, rates: Numbers, labels: NDArray[np.int64], seed: int, source: str) -> Trials:
    """Return trials like `like`, but with Poisson counts.

    Args:
        like: Trials from which everything except the counts is copied.
        rates: Expected counts of a trial of each label (label, time, neuron), spikes/bin.
        labels: Label of each trial.
        seed: Random seed of the counts.
        source: Name of the baseline, the source of the result.
    """
    largest = float(rates.max(initial=0.0))
    counts = np.zeros(like.counts.shape, np.uint8 if largest < LOOP_LIMIT else np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if largest < LOOP_LIMIT:
            _fill(counts, rows, rates[label], seed)
        else:
            _fill_large_rates(counts, rows, rates[label], seed)
    return Trials(
        counts * like.mask[:, :, None],
        like.bin_width,
        lengths=like.lengths,
        behavior=like.behavior,
        units=like.units,
        conditions=like.conditions,
        neuron_table=like.neuron_table,
        conditioned_on=like.conditioned_on,
        source=source,
    )


def _fill(counts: TrialCounts, rows: NDArray[np.int64], rates: Numbers, seed: int) -> None:
    """Draw the counts of these trials by inversion, and write them into `counts`.

    With F the cumulative distribution of a Poisson count and a uniform number u, the count is the number of values
    F(0), F(1), ... that are not above u.
    """
    cumulative = []  # F(0), F(1), ..., each (time, neuron)
    for count in range(255):  # `counts` has 8 bits, so 255 is the largest count
        probability = pdtr(count, rates).astype(np.float32)  # F(count)
        cumulative.append(probability)
        if probability.min() >= 1:  # no count is larger
            break
    for row in rows.tolist():
        uniform = Streams(seed, Purpose.SIMULATE, 0, [row]).uniform(*rates.shape)[0]  # u (time, neuron)
        for probability in cumulative:
            is_larger = uniform >= probability
            if not is_larger.any():
                break
            counts[row] += is_larger


def _fill_large_rates(counts: TrialCounts, rows: NDArray[np.int64], rates: Numbers, seed: int) -> None:
    """Draw the counts of these trials like `_fill`, but for large rates: by the inverse of F instead of a loop.

    `pdtrik` inverts F for real numbers, so the count is the next whole number. It has no inverse at u = 0, at u = 1 and
    for a rate of 0. For a small u, the inverse is negative or NaN, and the count is 0.
    """
    for row in rows.tolist():
        # u (time, neuron)
        uniform = Streams(seed, Purpose.SIMULATE, 0, [row]).uniform(*rates.shape)[0].astype(np.float64)
        inverse = np.where(rates > 0, pdtrik(np.clip(uniform, 1e-7, 1 - 1e-7), np.maximum(rates, 1e-30)), 0.0)
        counts[row] = np.ceil(np.maximum(np.nan_to_num(inverse), 0.0))
