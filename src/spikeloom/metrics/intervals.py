r"""Interspike intervals: the time from one spike of a neuron to its next one in the same trial.

Binned counts determine spike times only up to a bin. The panel takes intervals between *non-empty bins* (a whole number
of bins, at least one); the LDNS protocol spreads the c spikes of a bin evenly inside it, at :math:`(j + 1)/(c + 1)` of
the bin. With intervals :math:`\delta_1 ... \delta_m` of a neuron, pooled over trials, the mean is :math:`\bar\delta`
and the coefficient of variation :math:`\mathrm{sd}(\delta)/\bar\delta`: 1 for a long Poisson process. It is smaller in
short trials, which cut off long intervals; therefore both sides must have trials of the same length.
"""

import numpy as np

from spikeloom.metrics.arrays import pearson, ratio, rmse
from spikeloom.metrics.pair import Pair
from spikeloom.metrics.result import Result
from spikeloom.shapes import Numbers

ENOUGH_INTERVALS = 50
"""Neurons with fewer intervals on either side are left out."""

WELL_KNOWN = 1500
"""Number of spikes with which a neuron's coefficient of variation has an error of about 0.02."""


def _moments(pair: Pair) -> tuple[dict[str, Numbers], str]:
    """Return mean and CV of the neurons with enough intervals on both sides, and a note with their number."""
    real = pair.real.intervals.pooled()
    fake = pair.fake.intervals.pooled()
    used = np.flatnonzero((real[0] >= ENOUGH_INTERVALS) & (fake[0] >= ENOUGH_INTERVALS))
    note = f"{len(used)} of {pair.n_neurons} neurons (at least {ENOUGH_INTERVALS} intervals on both sides)"
    moments: dict[str, Numbers] = {"neuron": used}
    for name, (_, mean, sd) in (("real", real), ("fake", fake)):
        moments[f"{name}_mean"], moments[f"{name}_cv"] = mean[used], ratio(sd, mean)[used]
    return moments, note


def _compare(pair: Pair, what: str, how: str) -> Result:
    moments, note = pair.once(_moments)
    if len(moments["neuron"]) < 3:
        return Result(None, f"too few spikes: {note}")
    real = moments[f"real_{what}"]
    fake = moments[f"fake_{what}"]
    value = pearson(real, fake) if how == "r" else rmse(real, fake)
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
    """Compute the mean absolute difference of the coefficient of variation, over neurons with over 1500 real spikes."""
    moments, _ = pair.once(_moments)
    well = pair.real.totals[moments["neuron"]] > WELL_KNOWN
    note = f"{well.sum()} of {pair.n_neurons} neurons (more than {WELL_KNOWN} real spikes)"
    if not well.any():
        return Result(None, f"no neuron has more than {WELL_KNOWN} real spikes")
    real = moments["real_cv"][well]
    fake = moments["fake_cv"][well]
    detail = {"real": real, "fake": fake, "neuron": moments["neuron"][well]}
    return Result(float(np.mean(np.abs(real - fake))), note, detail)
