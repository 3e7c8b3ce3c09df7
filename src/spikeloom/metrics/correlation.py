r"""Correlations between neurons, fast and slow, of real and of fake (generated) trials.

*Pairwise correlation*: Pearson r of the counts in 20 ms bins, over all bins. It combines the effects of
stimuli, states and fast common input. *Noise correlation*: Pearson r over trials of the trial counts, each minus the
mean of its condition. It measures variability that two neurons share beyond the stimulus. A model without
trial-to-trial latents cannot have noise correlations.

The coefficients of all pairs of neurons (i < j) are compared: their correlation r across pairs, the slope of fake on
real coefficients (below 1 if fake coefficients are too weak), and their mean size. Neurons with fewer than 50 spikes in
either set are left out. A coefficient estimated from finite data is noisy, so even real data do not reach r = 1 or
slope 1; the noise floor shows the values that real data reach.
"""

import numpy as np

from spikeloom.metrics.arrays import above_diagonal, pairs_of, pearson, slope
from spikeloom.metrics.pair import ENOUGH_SPIKES, Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.shapes import Numbers
from spikeloom.text import counted

FEWEST_TRIALS = 10
"""Smallest number of trials for a correlation over trials."""


def _pairs(pair: Pair, kind: str) -> tuple[dict[str, Numbers], Numbers, str]:
    """Return the coefficients of all pairs of neurons in both sets, the neurons used, and a note with their number.

    Args:
        pair: Both sets of trials.
        kind: Attribute of `Statistics` with the matrix of coefficients, "correlation" or "noise_correlation".
    """
    used = pair.active(ENOUGH_SPIKES)
    real = getattr(pair.real, kind)
    fake = getattr(pair.fake, kind)
    used = used[np.isfinite(np.diag(real)[used]) & np.isfinite(np.diag(fake)[used])]
    note = f"{counted(len(used), 'neuron', of=pair.n_neurons)} (at least {ENOUGH_SPIKES} spikes in both sets)"
    coefficients = {"real": above_diagonal(real, used), "fake": above_diagonal(fake, used), "pair": pairs_of(used)}
    return coefficients, used, note


def _pairwise(pair: Pair) -> tuple[dict[str, Numbers], Numbers, str]:
    """Return pairwise correlations of all pairs, the neurons used, and a note on neurons and bins; see `_pairs`."""
    coefficients, used, note = _pairs(pair, "correlation")
    width = pair.real.wide_width
    is_usual = abs(width - 0.02) < 1e-6  # the title of the metric says 20 ms
    return coefficients, used, note + ("" if is_usual else f"; bins of {1000 * width:g} ms")


def _noise(pair: Pair) -> tuple[dict[str, Numbers], Numbers, str]:
    """Return noise correlations of all pairs, the neurons used, and a note; no coefficients with too few trials."""
    n_trials = min(len(pair.real.residual_counts), len(pair.fake.residual_counts))
    if n_trials < FEWEST_TRIALS:
        empty: Numbers = np.empty(0)
        note = f"{counted(n_trials, 'trial')} whose condition has at least two trials, {FEWEST_TRIALS} needed"
        return {"real": empty, "fake": empty}, empty, note
    coefficients, used, note = _pairs(pair, "noise_correlation")
    return coefficients, used, "; ".join(filter(None, (note, pair.window_note, pair.label_note)))


def _across_pairs(coefficients: dict[str, Numbers], note: str, measure: str) -> Result:
    """Compare the coefficients of both sets by Pearson's "r" across pairs, or by the "slope" of fake on real.

    Args:
        coefficients: Coefficients of each pair, "real" and "fake" (pair,), as `_pairs` returns them.
        note: Note of the result.
        measure: "r" or "slope".
    """
    if len(coefficients["real"]) < 3:
        return Result(None, f"too few pairs of neurons: {note}")
    compute = pearson if measure == "r" else slope
    value = compute(coefficients["real"], coefficients["fake"])
    return Result(value, note if value is not None else f"the coefficients do not vary: {note}", coefficients)


def pairwise_correlation_r(pair: Pair) -> Result:
    """Correlate real and fake pairwise correlations (20 ms bins) across pairs of neurons."""
    coefficients, _, note = pair.once(_pairwise)
    return _across_pairs(coefficients, note, "r")


def pairwise_correlation_slope(pair: Pair) -> Result:
    """Compute the slope of the regression of fake on real pairwise correlations; below 1 if fake ones are too weak."""
    coefficients, _, note = pair.once(_pairwise)
    return _across_pairs(coefficients, note, "slope")


def pairwise_correlation_rmse(pair: Pair) -> Result:
    r"""Compute the difference of pairwise correlations beyond sampling noise.

    It is :math:`\sqrt{\max(0, \overline{\Delta r^2} - \bar v_{real} - \bar v_{fake})}`, with the difference
    :math:`\Delta r` of the coefficients of a pair of neurons, and their sampling variances v
    (`Statistics.correlation_variance`). Unlike the plain RMSE, it is about 0 for two halves of one recording.
    """
    coefficients, used, note = pair.once(_pairwise)
    if len(coefficients["real"]) < 3:
        return Result(None, f"too few pairs of neurons: {note}")
    if min(len(pair.real_trials), len(pair.fake_trials)) < FEWEST_TRIALS:
        return Result(None, f"the sampling noise needs at least {FEWEST_TRIALS} trials in both sets")
    noise = sum(side.once(Statistics.correlation_variance, used) for side in (pair.real, pair.fake))
    square = float(np.mean((coefficients["real"] - coefficients["fake"]) ** 2))
    detail = {**coefficients, "squared_difference": np.array(square), "sampling_variance": np.array(noise)}
    return Result(float(np.sqrt(max(0.0, square - noise))), note, detail)


def noise_correlation_r(pair: Pair) -> Result:
    """Correlate real and fake noise correlations of trial counts across pairs of neurons."""
    coefficients, _, note = pair.once(_noise)
    return _across_pairs(coefficients, note, "r")


def noise_correlation_slope(pair: Pair) -> Result:
    """Compute the slope of the regression of fake on real noise correlations."""
    coefficients, _, note = pair.once(_noise)
    return _across_pairs(coefficients, note, "slope")


def noise_correlation_abs_ratio(pair: Pair) -> Result:
    r"""Compute the mean absolute noise correlation, fake / real.

    Sampling noise alone gives :math:`\sqrt{2 / (\pi K)}` with K trials, so compare sets of equal size.
    """
    return _compare_means(pair, absolute=True)


def noise_correlation_mean_difference(pair: Pair) -> Result:
    """Compute the mean noise correlation over pairs, fake minus real; below 0 if shared fluctuations are too weak."""
    return _compare_means(pair, absolute=False)


def _compare_means(pair: Pair, *, absolute: bool) -> Result:
    """Compare mean noise correlations: the ratio fake / real of mean absolute values, or the difference of means."""
    coefficients, _, note = pair.once(_noise)
    if not len(coefficients["real"]):
        return Result(None, f"too few pairs of neurons: {note}")
    real, fake = (
        float(np.mean(np.abs(coefficients[name]) if absolute else coefficients[name])) for name in ("real", "fake")
    )
    if absolute and real <= 0:
        return Result(None, f"real trial counts do not vary: {note}")
    return Result(fake / real if absolute else fake - real, f"{fake:.3g} against {real:.3g}; {note}", coefficients)
