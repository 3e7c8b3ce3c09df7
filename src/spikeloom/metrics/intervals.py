r"""Interspike intervals: the time from one spike of a neuron to its next spike in the same trial.

Binned counts determine spike times only up to a bin. The metrics of this module take intervals between *non-empty bins*
(a whole number of bins, at least one). The LDNS protocol (`metrics.ldns_protocol`) spreads the c spikes of a bin evenly
inside it, at :math:`(j + 1)/(c + 1)` of the bin, j = 0 ... c - 1.

With intervals :math:`\delta_1 ... \delta_m` of a neuron, pooled over trials, the mean is :math:`\bar\delta` and the
coefficient of variation (CV) is :math:`\mathrm{sd}(\delta)/\bar\delta`, 1 for a long Poisson process. The CV is smaller
in short trials, which cut off long intervals, so real and generated trials must have the same length.
"""

import numpy as np

from spikeloom.metrics.arrays import pearson, ratio, rmse
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.shapes import Numbers
from spikeloom.text import counted

ENOUGH_INTERVALS = 50
"""Smallest number of intervals of a neuron, in the real and in the generated trials. Other neurons are left out."""

WELL_KNOWN = 1500
"""Number of real spikes above which the error of a neuron's coefficient of variation is below about 0.02."""


def _moments(pair: Pair) -> tuple[dict[str, Numbers], str]:
    """Return mean and CV of the neurons with enough intervals in both sets of trials, and a note with their number."""
    n_real, real_mean, real_sd = pair.real.intervals.pooled()
    n_fake, fake_mean, fake_sd = pair.fake.intervals.pooled()
    used = np.flatnonzero((n_real >= ENOUGH_INTERVALS) & (n_fake >= ENOUGH_INTERVALS))
    note = f"{counted(len(used), 'neuron', of=pair.n_neurons)} (at least {ENOUGH_INTERVALS} intervals in both sets)"
    moments = {
        "neuron": used,
        "real_mean": real_mean[used],
        "real_cv": ratio(real_sd, real_mean)[used],
        "fake_mean": fake_mean[used],
        "fake_cv": ratio(fake_sd, fake_mean)[used],
    }
    return moments, note


def _compare(pair: Pair, moment: str, measure: str) -> Result:
    """Compare the "mean" or "cv" of the intervals by Pearson's "r" over neurons, or by the "rmse"."""
    moments, note = pair.once(_moments)
    if len(moments["neuron"]) < 3:
        return Result(None, f"too few spikes: {note}")
    real = moments[f"real_{moment}"]
    fake = moments[f"fake_{moment}"]
    value = pearson(real, fake) if measure == "r" else rmse(real, fake)
    return Result(value, note, {"real": real, "fake": fake, "neuron": moments["neuron"]})


def isi_mean_r(pair: Pair) -> Result:
    """Compute the correlation over neurons of the mean interval between non-empty bins (at least 50 intervals)."""
    return _compare(pair, "mean", "r")


def isi_mean_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference over neurons of the mean interval, in seconds."""
    return _compare(pair, "mean", "rmse")


def isi_cv_r(pair: Pair) -> Result:
    """Compute the correlation over neurons of the intervals' coefficient of variation."""
    return _compare(pair, "cv", "r")


def isi_cv_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference over neurons of the coefficient of variation."""
    return _compare(pair, "cv", "rmse")


def isi_cv_error(pair: Pair) -> Result:
    """Compute the mean absolute difference of the CV of intervals, over neurons with more than 1500 real spikes."""
    moments, _ = pair.once(_moments)
    well_known = pair.real.totals[moments["neuron"]] > WELL_KNOWN
    note = f"{counted(int(well_known.sum()), 'neuron', of=pair.n_neurons)} (more than {WELL_KNOWN} real spikes)"
    if not well_known.any():
        return Result(None, f"no neuron has more than {WELL_KNOWN} real spikes")
    real = moments["real_cv"][well_known]
    fake = moments["fake_cv"][well_known]
    detail = {"real": real, "fake": fake, "neuron": moments["neuron"][well_known]}
    return Result(float(np.mean(np.abs(real - fake))), note, detail)
