"""The panel: every metric in one table, and the one call that measures them all.

A metric is a pure function of a pair of trial sets, with a name, a unit and an ideal value. Its answer is one number
with the arrays behind it, or no number and a sentence that says why: a metric never answers NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from spikeloom.metrics import correlation, counts, decoding, distance, dynamics, intervals, memorisation
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.trials import Trials

__all__ = ["METRICS", "Metric", "Pair", "Result", "measure"]


@dataclass(frozen=True)
class Metric:
    """One line of the panel.

    Args:
        name: Key in metrics.json, such as "population_count_kl".
        title: For people, such as "Population count, KL".
        unit: Such as "nats" or "spikes/s"; empty for a number without one.
        ideal: Value of a perfect generator with endless data.
        better: Which side of the ideal is worse: "lower" (above it), "higher" (below it), "ideal" (both).
        group: Heading it stands under: "rates", "counts", "intervals", "correlations", "dynamics", "distance",
            "conditions", "memorisation".
        measure: From a `Pair` to a `Result`.
        why: One sentence for a reader of the report: what a bad value says about the generated trials.
    """

    name: str
    title: str
    unit: str
    ideal: float
    better: Literal["lower", "higher", "ideal"]
    group: str
    measure: Callable[[Pair], Result]
    why: str

    def distance(self, value: float) -> float:
        """How far a value is from the ideal, in the metric's unit, >= 0; 0 beyond the ideal on the good side."""
        gap = value - self.ideal
        if self.better == "ideal":
            return abs(gap)
        return max(0.0, gap if self.better == "lower" else -gap)


# A table: name, title, unit, ideal, better, group / function / why.
# fmt: off
METRICS: tuple[Metric, ...] = (
    Metric("mean_rate_r", "Mean rate, r over neurons", "", 1.0, "higher", "rates",
           counts.mean_rate_r,
           "Neurons must fire as much as they do; any model passes, so a low value is a fault."),
    Metric("mean_rate_log_r", "Mean rate (log), r over neurons", "", 1.0, "higher", "rates",
           counts.mean_rate_log_r,
           "As above with slow neurons counting as much as fast ones."),
    Metric("mean_rate_rmse", "Mean rate, RMSE", "spikes/s", 0.0, "lower", "rates",
           counts.mean_rate_rmse,
           "How far single neurons are off, in spikes per second."),
    Metric("psth_r", "PSTH, r over all cells", "", 1.0, "higher", "rates",
           dynamics.psth_r,
           "Mean time courses per condition, dominated by rate differences between neurons."),
    Metric("psth_neuron_r", "PSTH, median r per neuron", "", 1.0, "higher", "rates",
           dynamics.psth_neuron_r,
           "Shape and tuning of single neurons; low when the generator ignores the condition or blurs time."),
    Metric("population_count_kl", "Population count, KL(real, fake)", "nats", 0.0, "lower", "counts",
           counts.population_count_kl,
           "Large when whole-population bursts or silences are missing from the generated trials."),
    Metric("population_count_kl_reverse", "Population count, KL(fake, real)", "nats", 0.0, "lower", "counts",
           counts.population_count_kl_reverse,
           "Large when generated bins hold more or fewer spikes than real ones ever do."),
    Metric("population_count_js", "Population count, Jensen-Shannon", "nats", 0.0, "lower", "counts",
           counts.population_count_js,
           "The two divergences in one bounded number."),
    Metric("population_count_w1", "Population count, Wasserstein", "spikes/bin", 0.0, "lower", "counts",
           counts.population_count_w1,
           "How many spikes per bin would have to be moved to make the distributions equal."),
    Metric("fano_median_ratio", "Fano factor, median, fake / real", "", 1.0, "ideal", "counts",
           counts.fano_median_ratio,
           "Below 1 the generated trials vary less from trial to trial than real ones."),
    Metric("fano_rmse", "Fano factor, RMSE over neurons", "", 0.0, "lower", "counts",
           counts.fano_rmse,
           "Whether the right neurons are variable."),
    Metric("fano_r", "Fano factor, r over neurons", "", 1.0, "higher", "counts",
           counts.fano_r,
           "Whether variable neurons are variable in the generated trials, too."),
    Metric("isi_mean_r", "ISI mean, r over neurons", "", 1.0, "higher", "intervals",
           intervals.isi_mean_r,
           "Nearly a function of the rate; low values are a fault."),
    Metric("isi_mean_rmse", "ISI mean, RMSE", "s", 0.0, "lower", "intervals",
           intervals.isi_mean_rmse,
           "How far the mean interval between spikes is off."),
    Metric("isi_cv_r", "ISI CV, r over neurons", "", 1.0, "higher", "intervals",
           intervals.isi_cv_r,
           "Regular neurons must be regular and bursting ones must burst."),
    Metric("isi_cv_rmse", "ISI CV, RMSE", "", 0.0, "lower", "intervals",
           intervals.isi_cv_rmse,
           "How far the regularity of spiking is off."),
    Metric("isi_cv_error", "ISI CV, mean error, busy neurons", "", 0.0, "lower", "intervals",
           intervals.isi_cv_error,
           "The same for neurons whose regularity is well known."),
    Metric("refractory_rmse", "Autocorrelation, lags 1-3 bins, RMSE", "", 0.0, "lower", "intervals",
           dynamics.refractory_rmse,
           "The dip or burst right after a spike, which rates alone cannot make."),
    Metric("pairwise_correlation_r", "Pairwise correlation, r over pairs", "", 1.0, "higher", "correlations",
           correlation.pairwise_correlation_r,
           "Which neurons fire together, within 20 ms, for whatever reason."),
    Metric("pairwise_correlation_slope", "Pairwise correlation, slope", "", 1.0, "ideal", "correlations",
           correlation.pairwise_correlation_slope,
           "Below 1 generated correlations are shrunk."),
    Metric("pairwise_correlation_rmse", "Pairwise correlation, RMSE beyond noise", "", 0.0, "lower", "correlations",
           correlation.pairwise_correlation_rmse,
           "How far correlations are off once sampling noise is taken away."),
    Metric("noise_correlation_r", "Noise correlation, r over pairs", "", 1.0, "higher", "correlations",
           correlation.noise_correlation_r,
           "Which neurons share trial-to-trial variability; zero for every model without latents."),
    Metric("noise_correlation_slope", "Noise correlation, slope", "", 1.0, "ideal", "correlations",
           correlation.noise_correlation_slope,
           "Below 1 shared trial-to-trial variability is too weak."),
    Metric("noise_correlation_abs_ratio", "Noise correlation, mean size, fake / real", "", 1.0, "ideal", "correlations",
           correlation.noise_correlation_abs_ratio,
           "How strong shared variability is, whichever pairs have it."),
    Metric("noise_correlation_mean_difference", "Noise correlation, mean difference", "", 0.0, "ideal", "correlations",
           correlation.noise_correlation_mean_difference,
           "Whether the population fluctuates together as much as it should."),
    Metric("autocorrelation_rmse", "Autocorrelation, RMSE", "", 0.0, "lower", "dynamics",
           dynamics.autocorrelation_rmse,
           "Time scales of single neurons up to 30 bins."),
    Metric("cross_correlogram_rmse", "Cross-correlogram, RMSE", "", 0.0, "lower", "dynamics",
           dynamics.cross_correlogram_rmse,
           "Timing between the neurons that fire together most."),
    Metric("spectral_distance_db", "Population spectrum, log distance", "dB", 0.0, "lower", "dynamics",
           dynamics.spectral_distance_db,
           "Rhythms and slow waves of the whole population, 1 to 50 Hz."),
    Metric("participation_ratio", "Dimensionality, fake / real", "", 1.0, "ideal", "dynamics",
           distance.participation_ratio_ratio,
           "Above 1 activity spreads over too many dimensions (independent noise), below 1 over too few."),
    Metric("subspace_captured", "Variance in the real subspace, fake / real", "", 1.0, "ideal", "dynamics",
           distance.subspace_captured,
           "Whether generated activity lives in the dimensions that real activity uses."),
    Metric("sliced_wasserstein", "Sliced Wasserstein, trajectories", "sd", 0.0, "lower", "distance",
           distance.sliced_wasserstein,
           "Distance of whole trajectories, feature by feature."),
    Metric("mmd", "MMD^2, trajectories", "", 0.0, "lower", "distance",
           distance.mmd,
           "Distance of the distributions of trajectories, with a p value."),
    Metric("c2st_rbf", "Classifier, components, RBF", "", 0.5, "lower", "distance",
           distance.c2st_rbf,
           "How often a classifier tells a generated trial from a real one; half is guessing."),
    Metric("c2st_logistic", "Classifier, components, logistic", "", 0.5, "lower", "distance",
           distance.c2st_logistic,
           "The same for a classifier that sees only differences of means."),
    Metric("c2st_network", "Classifier, components, small network", "", 0.5, "lower", "distance",
           distance.c2st_network,
           "The same for a network, which finds other differences than the Gaussian kernel."),
    Metric("c2st_population", "Classifier, population features", "", 0.5, "lower", "distance",
           distance.c2st_population,
           "The same from the summed activity alone."),
    Metric("condition_accuracy", "Condition read back, fake / real", "", 1.0, "ideal", "conditions",
           decoding.condition_accuracy,
           "Below 1 generated trials follow their condition less than real ones; above 1 they are too clean."),
    Metric("condition_angle_error", "Angle read back, error, fake - real", "deg", 0.0, "lower", "conditions",
           decoding.condition_angle_error,
           "How many degrees further off the direction read from generated spikes is."),
    Metric("condition_spread", "Spread over conditions", "", 0.0, "lower", "conditions",
           decoding.condition_spread,
           "Large when the generator forgets some conditions and prefers others."),
    Metric("decode_back", "Behaviour read back, R2, fake / real", "", 1.0, "ideal", "conditions",
           decoding.decode_back,
           "Whether a decoder of real spikes finds the movement that the generated trials were conditioned on."),
    Metric("memorisation_share", "Closer to training than to held-out", "", 0.5, "lower", "memorisation",
           memorisation.memorisation_share,
           "Above one half the generator repeats trials it was trained on."),
    Metric("memorisation_quantile_ratio", "Smallest distances, training / held-out", "", 1.0, "higher", "memorisation",
           memorisation.memorisation_quantile_ratio,
           "Well below 1 some generated trials are near copies of training trials."),
    Metric("duplicate_trials", "Exact copies of training trials", "trials", 0.0, "lower", "memorisation",
           memorisation.duplicate_trials,
           "Any exact copy is a fault of privacy and of science."),
)
# fmt: on
"""Every metric, in the order of the report."""


def measure(
    real: Trials,
    fake: Trials,
    *,
    reference: Trials | None = None,
    condition: str | None = None,
    metrics: Sequence[Metric] = METRICS,
    seed: int = 0,
    aligned: bool = True,
    conditioned_on: Sequence[str] | None = None,
) -> dict[str, Result]:
    """Every metric of the panel, name -> result, in the order of the table.

    Args:
        real: Held-out recorded trials.
        fake: Trials to judge: generated ones, a baseline, or another real half (the noise floor).
        reference: Training trials: decoders are fitted to them, and memorisation looks for them.
        condition: Name of the condition that defines "per condition"; found by itself if absent (see `Pair`).
        metrics: Which ones; all of them by default.
        seed: Random seed of permutations, folds and random directions; the same seed gives the same numbers.
        conditioned_on: What the fake trials were conditioned on: only that is read back. `None` reads back what they
            carry.
        aligned: False for windows cut from a continuous recording, whose time courses have no common beginning.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set holds no trials.
        ConditionError: if the condition is not among those of the real trials.
    """
    pair = Pair(
        real,
        fake,
        reference=reference,
        condition=condition,
        seed=seed,
        aligned=aligned,
        conditioned_on=conditioned_on,
    )
    return {metric.name: metric.measure(pair) for metric in metrics}
