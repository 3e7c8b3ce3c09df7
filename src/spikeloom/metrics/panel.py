"""The panel: a table of all metrics, and `measure`, which computes them.

A metric is a pure function of a pair of trial sets, with a name, a unit and an ideal value. Its result is one
number with the arrays behind it, or None and a note with the reason; it is never NaN.
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
    """One metric of the panel.

    Args:
        name: Key in metrics.json, such as "population_count_kl".
        title: Title in reports, such as "Population count, KL".
        unit: Unit, such as "nats" or "spikes/s"; empty for a number without unit.
        ideal: Value of a perfect generator with infinite data.
        better: Direction of better values: "lower" (down to the ideal), "higher" (up to the ideal), or "ideal" (both
            sides of the ideal are worse).
        group: Group of metrics: "rates", "counts", "intervals", "correlations", "dynamics", "distance",
            "conditions", "memorisation".
        measure: Function from a `Pair` to a `Result`.
        why: Meaning of a bad value, one sentence for the report.
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
        """Return the distance of a value from the ideal, in the metric's unit; 0 for values better than the ideal."""
        gap = value - self.ideal
        if self.better == "ideal":
            return abs(gap)
        return max(0.0, gap if self.better == "lower" else -gap)


# A table: name, title, unit, ideal, better, group / function / why.
# fmt: off
METRICS: tuple[Metric, ...] = (
    Metric("mean_rate_r", "Mean rate, r over neurons", "", 1.0, "higher", "rates",
           counts.mean_rate_r,
           "Generated mean rates must match real ones. Every model should pass; a low value shows a fault."),
    Metric("mean_rate_log_r", "Mean rate (log), r over neurons", "", 1.0, "higher", "rates",
           counts.mean_rate_log_r,
           "Mean rates on a logarithmic scale, which gives slow and fast neurons the same weight."),
    Metric("mean_rate_rmse", "Mean rate, RMSE", "spikes/s", 0.0, "lower", "rates",
           counts.mean_rate_rmse,
           "Error of the mean rate of single neurons."),
    Metric("psth_r", "PSTH, r over all cells", "", 1.0, "higher", "rates",
           dynamics.psth_r,
           "Agreement of mean time courses per condition; differences in rate between neurons dominate it."),
    Metric("psth_neuron_r", "PSTH, median r per neuron", "", 1.0, "higher", "rates",
           dynamics.psth_neuron_r,
           "Time course and tuning of single neurons. Low if the generator ignores the condition or blurs time."),
    Metric("population_count_kl", "Population count, KL(real, fake)", "nats", 0.0, "lower", "counts",
           counts.population_count_kl,
           "Large if the generated trials lack bursts or silences of the whole population."),
    Metric("population_count_kl_reverse", "Population count, KL(fake, real)", "nats", 0.0, "lower", "counts",
           counts.population_count_kl_reverse,
           "Large if generated bins have population counts that real bins never have."),
    Metric("population_count_js", "Population count, Jensen-Shannon", "nats", 0.0, "lower", "counts",
           counts.population_count_js,
           "Symmetric, bounded combination of the two divergences above."),
    Metric("population_count_w1", "Population count, Wasserstein", "spikes/bin", 0.0, "lower", "counts",
           counts.population_count_w1,
           "Mean number of spikes per bin that must be added or removed to make the distributions equal."),
    Metric("fano_median_ratio", "Fano factor, median, fake / real", "", 1.0, "ideal", "counts",
           counts.fano_median_ratio,
           "Below 1, generated spike counts vary less from trial to trial than real ones."),
    Metric("fano_rmse", "Fano factor, RMSE over neurons", "", 0.0, "lower", "counts",
           counts.fano_rmse,
           "Error of the trial-to-trial variability of single neurons."),
    Metric("fano_rmse_below", "Fano factor, RMSE, neurons below 1", "", 0.0, "lower", "counts",
           counts.fano_rmse_below,
           "Error for neurons that are more regular than Poisson; a model needs spike history to generate them."),
    Metric("fano_rmse_above", "Fano factor, RMSE, neurons above 1", "", 0.0, "lower", "counts",
           counts.fano_rmse_above,
           "Error for neurons that are more variable than Poisson; this error has a larger sampling error."),
    Metric("fano_r", "Fano factor, r over neurons", "", 1.0, "higher", "counts",
           counts.fano_r,
           "High if neurons with variable counts in real trials also vary in generated trials."),
    Metric("isi_mean_r", "ISI mean, r over neurons", "", 1.0, "higher", "intervals",
           intervals.isi_mean_r,
           "Mean intervals are almost completely determined by mean rates, so a low value shows a fault."),
    Metric("isi_mean_rmse", "ISI mean, RMSE", "s", 0.0, "lower", "intervals",
           intervals.isi_mean_rmse,
           "Error of the mean interval between spikes."),
    Metric("isi_cv_r", "ISI CV, r over neurons", "", 1.0, "higher", "intervals",
           intervals.isi_cv_r,
           "High if neurons that fire regularly, or in bursts, do the same in generated trials."),
    Metric("isi_cv_rmse", "ISI CV, RMSE", "", 0.0, "lower", "intervals",
           intervals.isi_cv_rmse,
           "Error of the regularity of spiking."),
    Metric("isi_cv_error", "ISI CV, mean error, busy neurons", "", 0.0, "lower", "intervals",
           intervals.isi_cv_error,
           "Error of the regularity of spiking, for neurons with enough spikes to estimate it precisely."),
    Metric("refractory_rmse", "Autocorrelation, lags 1-3 bins, RMSE", "", 0.0, "lower", "intervals",
           dynamics.refractory_rmse,
           "Error of the dip or burst just after a spike, which independent Poisson spikes cannot show."),
    Metric("pairwise_correlation_r", "Pairwise correlation, r over pairs", "", 1.0, "higher", "correlations",
           correlation.pairwise_correlation_r,
           "Agreement of correlations between neurons in 20 ms bins, from all sources together."),
    Metric("pairwise_correlation_slope", "Pairwise correlation, slope", "", 1.0, "ideal", "correlations",
           correlation.pairwise_correlation_slope,
           "Below 1, generated correlations are too weak."),
    Metric("pairwise_correlation_rmse", "Pairwise correlation, RMSE beyond noise", "", 0.0, "lower", "correlations",
           correlation.pairwise_correlation_rmse,
           "Error of the correlations after subtraction of sampling noise."),
    Metric("noise_correlation_r", "Noise correlation, r over pairs", "", 1.0, "higher", "correlations",
           correlation.noise_correlation_r,
           "Agreement of shared trial-to-trial variability; 0 for models without shared latents."),
    Metric("noise_correlation_slope", "Noise correlation, slope", "", 1.0, "ideal", "correlations",
           correlation.noise_correlation_slope,
           "Below 1, shared trial-to-trial variability is too weak."),
    Metric("noise_correlation_abs_ratio", "Noise correlation, mean size, fake / real", "", 1.0, "ideal", "correlations",
           correlation.noise_correlation_abs_ratio,
           "Ratio of the strength of shared variability, regardless of its distribution over pairs."),
    Metric("noise_correlation_mean_difference", "Noise correlation, mean difference", "", 0.0, "ideal", "correlations",
           correlation.noise_correlation_mean_difference,
           "Below 0, the population fluctuates together less than in real trials; above 0, more."),
    Metric("autocorrelation_rmse", "Autocorrelation, RMSE", "", 0.0, "lower", "dynamics",
           dynamics.autocorrelation_rmse,
           "Error of the time scales of single neurons, up to 30 bins."),
    Metric("cross_correlogram_rmse", "Cross-correlogram, RMSE", "", 0.0, "lower", "dynamics",
           dynamics.cross_correlogram_rmse,
           "Error of the relative spike timing of the pairs that fire together most."),
    Metric("spectral_distance_db", "Population spectrum, log distance", "dB", 0.0, "lower", "dynamics",
           dynamics.spectral_distance_db,
           "Error of rhythms and slow fluctuations of the population count, 1 to 50 Hz."),
    Metric("participation_ratio", "Dimensionality, fake / real", "", 1.0, "ideal", "dynamics",
           distance.participation_ratio_ratio,
           "Above 1, activity has too many dimensions (independent noise); below 1, too few."),
    Metric("subspace_captured", "Variance in the real subspace, fake / real", "", 1.0, "ideal", "dynamics",
           distance.subspace_captured,
           "Below 1, generated activity varies outside the leading dimensions of real activity."),
    Metric("sliced_wasserstein", "Sliced Wasserstein, trajectories", "sd", 0.0, "lower", "distance",
           distance.sliced_wasserstein,
           "Distance between the distributions of trajectories, along random directions."),
    Metric("mmd", "MMD^2, trajectories", "", 0.0, "lower", "distance",
           distance.mmd,
           "Distance between the distributions of trajectories, with a p value."),
    Metric("c2st_rbf", "Classifier, components, RBF", "", 0.5, "lower", "distance",
           distance.c2st_rbf,
           "Accuracy of a classifier that separates generated from real trials; 0.5 is chance."),
    Metric("c2st_logistic", "Classifier, components, logistic", "", 0.5, "lower", "distance",
           distance.c2st_logistic,
           "Accuracy of a linear classifier, which detects only differences between means."),
    Metric("c2st_network", "Classifier, components, small network", "", 0.5, "lower", "distance",
           distance.c2st_network,
           "Accuracy of a small network, which detects other differences than a Gaussian kernel."),
    Metric("c2st_population", "Classifier, population features", "", 0.5, "lower", "distance",
           distance.c2st_population,
           "Accuracy of a classifier that uses only the summed activity of all neurons."),
    Metric("condition_accuracy", "Condition read back, fake / real", "", 1.0, "ideal", "conditions",
           decoding.condition_accuracy,
           "Below 1, generated trials follow their condition less than real ones; above 1, they vary too little."),
    Metric("condition_angle_error", "Angle read back, error, fake - real", "deg", 0.0, "lower", "conditions",
           decoding.condition_angle_error,
           "Angular error of directions decoded from generated spikes, minus the error for real spikes."),
    Metric("condition_spread", "Spread over conditions", "", 0.0, "lower", "conditions",
           decoding.condition_spread,
           "Large if the generator produces some conditions too rarely and others too often."),
    Metric("decode_back", "Behaviour read back, R2, fake / real", "", 1.0, "ideal", "conditions",
           decoding.decode_back,
           "Below 1, generated spikes follow the requested behaviour less than real spikes do."),
    Metric("memorisation_share", "Closer to training than to held-out", "", 0.5, "lower", "memorisation",
           memorisation.memorisation_share,
           "Above 0.5, generated trials resemble training trials more than new real trials do."),
    Metric("memorisation_quantile_ratio", "Smallest distances, training / held-out", "", 1.0, "higher", "memorisation",
           memorisation.memorisation_quantile_ratio,
           "Well below 1, some generated trials are near copies of training trials."),
    Metric("duplicate_trials", "Exact copies of training trials", "trials", 0.0, "lower", "memorisation",
           memorisation.duplicate_trials,
           "Generated trials with exactly the spikes of a training trial; there should be none."),
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
) -> dict[str, Result]:
    """Compute every metric of the panel and return name -> result, in the order of the table.

    Args:
        real: Held-out recorded trials.
        fake: Trials to evaluate: generated trials, trials of a baseline, or other recorded trials (for the noise
            floor).
        reference: Training trials, to which decoders are fitted and in which memorisation searches for copies.
        condition: Name of the condition that defines "per condition"; `None` chooses one (see `Pair`).
        metrics: Metrics to compute; all by default.
        seed: Random seed of permutations, folds and random directions; the same seed gives the same numbers.
        aligned: False for windows cut from a continuous recording, whose time courses have no common beginning.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set holds no trials.
        ConditionError: if the real trials do not have the condition.
    """
    pair = Pair(real, fake, reference=reference, condition=condition, seed=seed, aligned=aligned)
    return measure_pair(pair, metrics)


def measure_pair(pair: Pair, metrics: Sequence[Metric] = METRICS) -> dict[str, Result]:
    """Compute these metrics for one comparison and return name -> result, in the order of `metrics`."""
    return {metric.name: metric.measure(pair) for metric in metrics}
