r"""Spike counts of single neurons and of the population: mean rates, population count, Fano factor.

Metrics compare real with fake (generated) trials.

The *population count* of a bin is the number of spikes of all neurons in this bin. It is a whole number, so its
distribution is a histogram, p for real and q for fake bins, and needs no smoothing. 1e-6 is added to each histogram
before it is normalised, so that the divergences are finite.

The *Fano factor* of a neuron under one condition is the variance of its trial counts divided by their mean. It is 1 for
a Poisson neuron with one rate, and larger if the rate varies over trials.
"""

import numpy as np

from spikeloom.metrics.arrays import pearson, ratio, rmse
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.shapes import Numbers
from spikeloom.text import counted

FLOOR = 1e-6
"""Number that is added to each share of a histogram before the shares are normalised again."""

FANO_MEAN = 0.3
"""Smallest mean trial count of a neuron under a condition. Other combinations are left out of the Fano factor."""

FANO_WINDOW = 0.1
"""Width of the sliding window of the Fano factor over time, in seconds."""


# --- rates --------------------------------------------------------------------------------------------------------


def _rates(pair: Pair) -> tuple[Numbers, Numbers]:
    """Return the mean rate of each neuron, real and fake, in spikes/s."""
    return pair.real.mean_rates_hz, pair.fake.mean_rates_hz


def mean_rate_r(pair: Pair) -> Result:
    """Compute the correlation over neurons of the mean rate."""
    real, fake = _rates(pair)
    value = pearson(real, fake)
    return Result(value, _correlation_note(value, counted(pair.n_neurons, "neuron")), _per_neuron(real, fake))


def mean_rate_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference over neurons of the mean rate, in spikes/s."""
    real, fake = _rates(pair)
    return Result(rmse(real, fake), counted(pair.n_neurons, "neuron"), _per_neuron(real, fake))


def mean_rate_log_r(pair: Pair) -> Result:
    """Compute the correlation of the logarithm of the mean rate, over neurons that fire in both sets."""
    real, fake = _rates(pair)
    used = np.flatnonzero((real > 0) & (fake > 0))
    real = np.log10(real[used])
    fake = np.log10(fake[used])
    value = pearson(real, fake)
    note = _correlation_note(value, counted(len(used), "neuron", of=pair.n_neurons))
    return Result(value, note, _per_neuron(real, fake, used))


def _per_neuron(real: Numbers, fake: Numbers, used: Numbers | None = None) -> dict[str, Numbers]:
    """Return the detail of a result with one value per neuron; `used` holds the neurons, by default all."""
    return {"real": real, "fake": fake, "neuron": np.arange(len(real)) if used is None else used}


def _correlation_note(value: float | None, note: str) -> str:
    """Return the note of a correlation, with the reason if it has no value."""
    return note if value is not None else f"too few neurons, or none that differ: {note}"


# --- population count ---------------------------------------------------------------------------------------------


def histograms(pair: Pair) -> tuple[Numbers, Numbers]:
    """Return the fractions of valid bins with 0, 1, 2, ... spikes, of real and of fake trials (count,)."""
    real = pair.real.population_in_bins
    fake = pair.fake.population_in_bins
    n_counts = int(max(real.max(), fake.max())) + 1  # 0 ... largest count
    return np.bincount(real, minlength=n_counts) / len(real), np.bincount(fake, minlength=n_counts) / len(fake)


def divergence(p: Numbers, q: Numbers) -> float:
    """Compute KL(p || q) of two histograms in nats, each with 1e-6 added and normalised again."""
    p = (p + FLOOR) / (p + FLOOR).sum()
    q = (q + FLOOR) / (q + FLOOR).sum()
    return float(np.sum(p * np.log(p / q)))


def _count_result(pair: Pair, value: float) -> Result:
    """Return a metric of the population count with both histograms."""
    real, fake = pair.once(histograms)
    return Result(value, "", {"real": real, "fake": fake, "count": np.arange(len(real))})


def population_count_kl(pair: Pair) -> Result:
    """Compute KL(real || fake) of the population count in nats: large if fake trials lack counts of real trials."""
    real, fake = pair.once(histograms)
    return _count_result(pair, divergence(real, fake))


def population_count_kl_reverse(pair: Pair) -> Result:
    """Compute KL(fake || real) of the population count in nats: large if fake trials have counts that never occur."""
    real, fake = pair.once(histograms)
    return _count_result(pair, divergence(fake, real))


def population_count_js(pair: Pair) -> Result:
    """Compute the Jensen-Shannon divergence of the population count in nats; at most ln 2."""
    real, fake = pair.once(histograms)
    p = (real + FLOOR) / (real + FLOOR).sum()
    q = (fake + FLOOR) / (fake + FLOOR).sum()
    middle = (p + q) / 2
    value = 0.5 * float(np.sum(p * np.log(p / middle)) + np.sum(q * np.log(q / middle)))
    return _count_result(pair, value)


def population_count_w1(pair: Pair) -> Result:
    """Compute the Wasserstein distance of the population count in spikes/bin: the area between cumulative curves."""
    real, fake = pair.once(histograms)
    return _count_result(pair, float(np.abs(np.cumsum(real - fake)).sum()))


# --- Fano factor --------------------------------------------------------------------------------------------------


def fano(counts: Numbers, labels: Numbers, conditions: int) -> Numbers:
    r"""Compute variance over mean of trial counts, averaged over conditions.

    :math:`F_n = \mathrm{mean}_c \mathrm{Var}_{k \in c}[y_{kn}] / \mathrm{E}_{k \in c}[y_{kn}]`, variance with ddof 1.

    Args:
        counts: Trial counts (trial, ...), any further axes.
        labels: Condition of each trial; -1 is left out.
        conditions: Number of conditions.

    Returns:
        One value for each entry of the further axes; NaN where no condition has two trials and a mean above 0.3.
    """
    factors = np.full((conditions, *counts.shape[1:]), np.nan)  # variance over mean of each condition
    for condition in range(conditions):
        y = counts[labels == condition]  # (trial of this condition, ...)
        if len(y) >= 2:
            mean = y.mean(0)
            factors[condition] = ratio(y.var(0, ddof=1), np.where(mean > FANO_MEAN, mean, 0))  # NaN for a mean of 0
    return ratio(np.nansum(factors, 0), np.isfinite(factors).sum(0))


def _fano(statistics: Statistics) -> Numbers:
    """Return the Fano factor of each neuron of one set of trials (neuron,)."""
    return fano(statistics.trial_counts, statistics.whole_labels, statistics.conditions)


def _fano_pair(pair: Pair) -> tuple[dict[str, Numbers], str]:
    """Return the Fano factors of the neurons that have a Fano factor in both sets, and a note with their number."""
    real = pair.real.once(_fano)
    fake = pair.fake.once(_fano)
    used = np.flatnonzero(np.isfinite(real) & np.isfinite(fake))
    reasons = (
        f"{counted(len(used), 'neuron', of=pair.n_neurons)} (mean count above {FANO_MEAN:g})",
        pair.window_note,
        pair.label_note,
    )
    return _per_neuron(real[used], fake[used], used), "; ".join(filter(None, reasons))


def fano_over_time(statistics: Statistics) -> tuple[Numbers, Numbers]:
    """Return the Fano factor over time, in sliding windows of 100 ms that overlap by half.

    Returns:
        Centre of each window (window,), s, and the median over neurons of the Fano factor in this window (window,).
    """
    width = max(1, round(FANO_WINDOW / statistics.trials.bin_width))
    starts = range(0, statistics.window - width + 1, max(1, width // 2))
    values = []
    for start in starts:
        counts = statistics.trials.counts[:, start : start + width].sum(1, dtype=np.int32)
        counts = counts[statistics.whole].astype(np.float64)  # of trials that fill the common window (trial, neuron)
        factors = fano(counts, statistics.whole_labels, statistics.conditions)
        finite = factors[np.isfinite(factors)]
        values.append(np.median(finite) if len(finite) else np.nan)
    return (np.array(starts) + width / 2) * statistics.trials.bin_width, np.array(values, np.float64)


def fano_median_ratio(pair: Pair) -> Result:
    """Compute the median Fano factor over neurons, fake / real; details hold both sets, per neuron and over time."""
    factors, note = pair.once(_fano_pair)
    if not len(factors["neuron"]):
        return Result(None, f"no neuron and condition with two trials and enough spikes: {note}")
    real = np.median(factors["real"])
    fake = np.median(factors["fake"])
    time, real_time = pair.real.once(fano_over_time)
    over_time = {"time": time, "real_over_time": real_time, "fake_over_time": fano_over_time(pair.fake)[1]}
    medians = {"real_median": np.array(real), "fake_median": np.array(fake)}
    value = float(fake / real) if real > 0 else None
    return Result(value, f"{fake:.3g} against {real:.3g}; {note}", {**factors, **over_time, **medians})


def fano_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference over neurons of the Fano factor."""
    factors, note = pair.once(_fano_pair)
    return Result(rmse(factors["real"], factors["fake"]), note, factors)


def fano_rmse_below(pair: Pair) -> Result:
    """Compute the root mean square difference of the Fano factor over neurons below 1.

    These are the neurons whose Fano factor in the reference trials is below 1. If there is no reference, or if it lacks
    the condition, they are the neurons with a Fano factor below 1 in the real trials. Then the choice also depends on
    sampling errors.
    """
    return _fano_rmse_of(pair, below=True)


def fano_rmse_above(pair: Pair) -> Result:
    """Compute the root mean square difference of the Fano factor over the other neurons; see `fano_rmse_below`."""
    return _fano_rmse_of(pair, below=False)


def _fano_rmse_of(pair: Pair, *, below: bool) -> Result:
    """Compute the RMSE over neurons whose Fano factor in the training trials is below 1, or over the other neurons."""
    factors, _ = pair.once(_fano_pair)
    is_below = pair.teacher.once(_fano)[factors["neuron"]] < 1
    chosen = is_below if below else ~is_below
    note = counted(int(chosen.sum()), "neuron", of=pair.n_neurons)
    detail = {name: values[chosen] for name, values in factors.items()}
    return Result(rmse(detail["real"], detail["fake"]) if chosen.any() else None, note, detail)


def fano_r(pair: Pair) -> Result:
    """Compute the correlation over neurons of the Fano factor."""
    factors, note = pair.once(_fano_pair)
    value = pearson(factors["real"], factors["fake"])
    return Result(value, _correlation_note(value, note), factors)
