r"""The four numbers of the LDNS paper, computed as published, for comparison with published values.

The protocol compares the generated trials with the same number of *training* trials (in the paper, 2008 trials of 140
bins of 5 ms, 182 neurons). Each number is the mean over five bootstrap resamples of the generated trials, given with
the standard deviation over these resamples.

The protocol has faults, which the metrics of `metrics.panel` avoid:

* The correlation RMSE hardly distinguishes models: sampling noise alone gives 0.0023, and all published models are
  between 0.0024 and 0.0031. The mean includes the zeros above the diagonal, which multiplies the RMSE by 0.7.
* The KL divergence is computed from smoothed distributions of counts, and depends on the largest count of all methods
  that are compared.
* Short trials contain only short intervals, and their intervals depend almost only on the rate.
* Generated trials are compared with training trials, so a model that copies training trials is rated best.
* The standard deviation is computed over resamples, not over training seeds.

Source: METHODS 5.1, which describes the released code of Kapoor et al. 2024 (arXiv 2407.08751).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.metrics.arrays import correlation_matrix, rmse
from spikeloom.metrics.interval_sums import IntervalSums, interval_sums
from spikeloom.metrics.statistics import second_moment
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

MOST_COUNTS = 4096
"""Largest population count for which the density is computed in one table."""

MOST_CELLS = 4_000_000
"""Number of table entries that are computed at once for larger counts: 32 MB."""

FAULTS = (
    "Saturated correlation RMSE (a perfect generator reaches 0.0023), smoothed counts, intervals cut by short trials, "
    "training trials as reference, and a +- that is resampling noise only."
)
"""One sentence for reports, shown below the table."""


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation over the resamples; None if the data do not determine them."""

    value: float | None
    sd: float | None


def ldns_protocol(
    train: Trials,
    fake: Trials,
    *,
    largest: int | None = None,
    cap: int | None = None,
    resamples: int = 5,
    seed: int = 0,
) -> Mapping[str, Score]:
    """Compute "population_count_kl" (nats), "correlation_rmse", "mean_isi_rmse" (s), "std_isi_rmse" (s) as published.

    Args:
        train: Training trials, with which generated trials are compared. They are not resampled.
        fake: Generated trials. In the paper, their number equals the number of training trials.
        largest: Largest population count of all methods that are compared. `None` takes it from these two sets.
        cap: Replace larger counts of a bin by this value in both sets. The paper uses 5 for models with spike history.
        resamples: Number of bootstrap resamples.
        seed: Random seed of the resamples.

    Raises:
        ShapeError: if neurons or bin widths differ.
        SettingError: with fewer than one resample.
    """
    fake = train.match(fake, name="the training trials", other_name="the generated trials").sort_neurons()
    train = train.sort_neurons()
    if resamples < 1:
        raise SettingError("There must be at least one resample.", f"It was {resamples}.", "The paper uses 5.")
    real = _Side.of(train, cap)
    model = _Side.of(fake, cap)
    largest_count = max(largest or 0, real.largest_count, model.largest_count)
    rng = generator(seed, int(Purpose.EVALUATE), 3)  # 3 distinguishes this use of random numbers from others
    density = real.density(None, largest_count)
    correlation = real.correlation(None)
    _, real_mean, real_sd = real.intervals.pooled()
    rows = []  # the four numbers of each resample
    for _ in range(resamples):
        drawn = rng.integers(len(fake), size=len(fake))  # trials of one resample, with replacement
        weight = np.bincount(drawn, minlength=len(fake)).astype(np.float64)
        _, mean, sd = model.intervals.pooled(weight)
        rows.append(
            (
                _divergence(model.density(weight, largest_count), density),
                _triangle_rmse(model.correlation(weight), correlation),
                rmse(mean, real_mean),
                rmse(sd, real_sd),
            )
        )
    names = ("population_count_kl", "correlation_rmse", "mean_isi_rmse", "std_isi_rmse")
    return {name: _score(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _score(values: tuple[float | None, ...]) -> Score:
    """Return the mean and sd of the values of all resamples; no score if a resample has no finite value."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    if len(finite) < len(values):
        return Score(None, None)
    return Score(float(np.mean(finite)), float(np.std(finite)))


@dataclass(frozen=True, eq=False)
class _Side:
    """Statistics of one set of trials, from which the statistics of resampled trials are computed."""

    counts: Numbers
    valid: Numbers  # bins of each trial
    histogram: Numbers  # bins of each trial with 0, 1, 2, ... spikes of the population (trial, count)
    intervals: IntervalSums

    @property
    def largest_count(self) -> int:
        """Largest population count."""
        return self.histogram.shape[1] - 1

    @classmethod
    def of(cls, trials: Trials, cap: int | None) -> "_Side":
        """Summarise trials, with counts clipped at `cap` unless it is None."""
        counts = trials.counts if cap is None else np.minimum(trials.counts, cap)
        population = counts.sum(2, dtype=np.int64)
        n_values = int(population.max()) + 1  # 0 ... largest count
        trial, _ = np.nonzero(trials.mask)  # trial of each valid bin
        histogram = np.bincount(trial * n_values + population[trials.mask], minlength=len(counts) * n_values)
        histogram = histogram.reshape(len(counts), n_values).astype(np.float64)
        return cls(counts, trials.lengths, histogram, interval_sums(counts, trials.bin_width, spread=True))

    def density(self, weight: Numbers | None, top: int) -> Numbers:
        """Return the Gaussian density estimate of the population count at 0 ... top, normalised to sum 1.

        Args:
            weight: Weight of each trial, such as the number of times that it was resampled. `None` gives all weight 1.
            top: Largest count of the result.
        """
        weight = np.ones(len(self.counts)) if weight is None else weight
        return count_density(weight @ self.histogram, top=top)

    def correlation(self, weight: Numbers | None) -> Numbers:
        """Return the Pearson correlation of counts over all bins of all (resampled) trials."""
        weights = np.ones(len(self.counts)) if weight is None else weight
        n_bins = float(weights @ self.valid)
        mean = weights @ self.counts.sum(1, dtype=np.int64) / n_bins
        return correlation_matrix(second_moment(self.counts, weight) / n_bins, mean)


def count_density(histogram: Numbers, *, top: int) -> Numbers:
    """Compute the kernel density estimate of integers at 0 ... top, normalised to sum 1.

    The estimate equals `scipy.stats.gaussian_kde` on the integers (Scott's bandwidth, n^(-1/5) standard deviations),
    but is summed over distinct values. If all integers are equal, their value gets all weight.

    Args:
        histogram: Number of occurrences of 0, 1, 2, ...
        top: Last integer of the result.
    """
    value = np.arange(len(histogram))
    number = float(histogram.sum())
    mean = histogram @ value / number
    variance = histogram @ (value - mean) ** 2 / max(1.0, number - 1)
    points = np.arange(top + 1)
    if variance <= 0:
        return (points == round(float(mean))).astype(np.float64)
    width = number ** (-1 / 5) * np.sqrt(variance)
    if top > MOST_COUNTS:  # the table would not fit into memory: use only counts that occur, and parts of the table
        value = np.flatnonzero(histogram)
        parts = np.array_split(points, math.ceil(len(points) * len(value) / MOST_CELLS))
        rows = [np.exp(-0.5 * ((part[:, None] - value[None]) / width) ** 2) @ histogram[value] for part in parts]
        density = np.concatenate(rows)
        return density / density.sum()
    density = np.exp(-0.5 * ((points[:, None] - value[None]) / width) ** 2) @ histogram
    return density / density.sum()


def _divergence(p: Numbers, q: Numbers) -> float:
    """Compute KL(p || q) in nats; infinite if q is 0 where p is not."""
    positive = p > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(p[positive] * np.log(p[positive] / q[positive])))


def _triangle_rmse(first: Numbers, second: Numbers) -> float | None:
    """Compute the RMS difference of full matrices whose diagonal and upper triangle are set to zero, as published."""
    return rmse(np.tril(first, -1), np.tril(second, -1))
