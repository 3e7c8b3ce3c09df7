r"""The four numbers of the LDNS paper, computed as published, so that they can be put beside published ones.

Compare the generated trials with as many *training* trials (the paper: 2008 trials of 140 bins of 5 ms, 182 neurons).
Each number is the mean over five bootstrap resamples of the generated trials, and its +- their standard deviation.

Its faults, which is why the panel exists: the correlation RMSE is saturated (sampling noise alone gives 0.0023, all
published models 0.0024 to 0.0031, and zeros above the diagonal hide a factor 0.7); the smoothed count KL blurs a
discrete distribution and depends on the largest count of the methods compared; intervals within short trials are cut
off and nearly a function of the rate; the training set as reference rewards memorising it; and the +- is the noise of
resampling, not the spread over seeds.

Source: METHODS 5.1, from the released code of Kapoor et al. 2024 (arXiv 2407.08751) as described there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.metrics.arrays import Numbers, correlation_matrix, rmse
from spikeloom.metrics.interval_sums import IntervalSums, interval_sums
from spikeloom.metrics.statistics import second_moment
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

MOST_COUNTS = 4096
"""Population counts up to which their density is computed in one table."""

MOST_CELLS = 4_000_000
"""Numbers of that table that are computed at once for larger counts: 32 MB."""

FAULTS = (
    "Saturated correlation RMSE (a perfect generator reaches 0.0023), smoothed counts, intervals cut by short trials, "
    "training trials as reference, and a +- that is resampling noise only."
)
"""One sentence for reports, to stand below the table."""


@dataclass(frozen=True)
class Score:
    """Mean over the resamples, and their standard deviation; None where the data do not determine it."""

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
    """The LDNS table: "population_count_kl" (nats), "correlation_rmse", "mean_isi_rmse" (s), "std_isi_rmse" (s).

    Args:
        train: Training trials, the reference; not resampled.
        fake: Generated trials; the paper draws as many as there are training trials.
        largest: Largest population count of the histogram, over all methods compared; of these two sets if absent.
        cap: Cut counts at this value on both sides (the paper: 5 for rows with spike history).
        resamples: How many bootstrap resamples.
        seed: Of the resamples.

    Raises:
        ShapeError: if neurons or bin widths differ.
        SettingError: with fewer than one resample.
    """
    fake = train.match(fake, mine="the training trials", theirs="the generated trials").sort_neurons()
    train = train.sort_neurons()
    if resamples < 1:
        raise SettingError("There must be at least one resample.", f"It was {resamples}.", "The paper has 5.")
    real, model = _Side.of(train, cap), _Side.of(fake, cap)
    top = max(largest or 0, real.top, model.top)
    rng = generator(seed, int(Purpose.EVALUATE), 3)
    density, correlation = real.density(None, top), real.correlation(None)
    _, real_mean, real_sd = real.intervals.pooled()
    rows = []
    for _ in range(resamples):
        weight = np.bincount(rng.integers(len(fake), size=len(fake)), minlength=len(fake)).astype(np.float64)
        _, mean, sd = model.intervals.pooled(weight)
        rows.append(
            (
                _divergence(model.density(weight, top), density),
                _triangle_rmse(model.correlation(weight), correlation),
                rmse(mean, real_mean),
                rmse(sd, real_sd),
            )
        )
    names = ("population_count_kl", "correlation_rmse", "mean_isi_rmse", "std_isi_rmse")
    return {name: _score(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _score(values: tuple[float | None, ...]) -> Score:
    known = [value for value in values if value is not None and np.isfinite(value)]
    if len(known) < len(values):
        return Score(None, None)
    return Score(float(np.mean(known)), float(np.std(known)))


@dataclass(frozen=True, eq=False)
class _Side:
    """What one set of trials contributes, such that resampled trials need no second look at the spikes."""

    counts: Numbers
    valid: Numbers  # bins of each trial
    histogram: Numbers  # bins of each trial with 0, 1, 2, ... spikes of the population (trial, count)
    intervals: IntervalSums

    @property
    def top(self) -> int:
        """Largest population count."""
        return self.histogram.shape[1] - 1

    @classmethod
    def of(cls, trials: Trials, cap: int | None) -> "_Side":
        """Summarise trials, counts cut at `cap` if it is given."""
        counts = trials.counts if cap is None else np.minimum(trials.counts, cap)
        population = counts.sum(2, dtype=np.int64)
        most = int(population.max()) + 1
        trial, _ = np.nonzero(trials.mask)
        flat = np.bincount(trial * most + population[trials.mask], minlength=len(counts) * most)
        sums = interval_sums(counts, trials.bin_width, spread=True)
        return cls(counts, trials.lengths, flat.reshape(len(counts), most).astype(np.float64), sums)

    def density(self, weight: Numbers | None, top: int) -> Numbers:
        """Gaussian density estimate of the population count at 0 ... top, normalised to sum 1."""
        weight = np.ones(len(self.counts)) if weight is None else weight
        return count_density(weight @ self.histogram, top=top)

    def correlation(self, weight: Numbers | None) -> Numbers:
        """Pearson correlation of counts over all bins of all (resampled) trials."""
        once = np.ones(len(self.counts)) if weight is None else weight
        bins = float(once @ self.valid)
        mean = once @ self.counts.sum(1, dtype=np.int64) / bins
        return correlation_matrix(second_moment(self.counts, weight) / bins, mean)


def count_density(histogram: Numbers, *, top: int) -> Numbers:
    """Kernel density estimate of whole numbers, at the whole numbers 0 ... top, normalised to sum 1.

    Equal to `scipy.stats.gaussian_kde` on the numbers themselves (Scott's bandwidth, n^(-1/5) standard deviations),
    but summed over distinct values. A single distinct value gives all weight to it.

    Args:
        histogram: How often 0, 1, 2, ... occurred.
        top: Last number asked for.
    """
    value, number = np.arange(len(histogram)), float(histogram.sum())
    mean = histogram @ value / number
    variance = histogram @ (value - mean) ** 2 / max(1.0, number - 1)
    asked = np.arange(top + 1)
    if variance <= 0:
        return (asked == round(float(mean))).astype(np.float64)
    width = number ** (-1 / 5) * np.sqrt(variance)
    if (
        top > MOST_COUNTS
    ):  # a whole table would not fit into memory: only counts that occur, and a few numbers at a time
        value = np.flatnonzero(histogram)
        parts = np.array_split(asked, math.ceil(len(asked) * len(value) / MOST_CELLS))
        rows = [np.exp(-0.5 * ((part[:, None] - value[None]) / width) ** 2) @ histogram[value] for part in parts]
        density = np.concatenate(rows)
        return density / density.sum()
    density = np.exp(-0.5 * ((asked[:, None] - value[None]) / width) ** 2) @ histogram
    return density / density.sum()


def _divergence(p: Numbers, q: Numbers) -> float:
    """KL(p || q) in nats; infinite where q is 0 and p is not."""
    there = p > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(p[there] * np.log(p[there] / q[there])))


def _triangle_rmse(first: Numbers, second: Numbers) -> float | None:
    """Root mean square difference of whole matrices whose diagonal and upper triangle were set to zero (sic)."""
    return rmse(np.tril(first, -1), np.tril(second, -1))
