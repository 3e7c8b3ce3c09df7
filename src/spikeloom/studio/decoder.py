r"""A linear decoder from spikes to a behaviour series, fitted to recorded training trials.

Counts are smoothed with a Gaussian of 50 ms. The inputs of bin t are the smoothed counts at t, 50 ms and 100 ms
earlier, and the output is the series at t; the penalty of the ridge regression is chosen by cross-validation over
trials. A fifth of the trials is held out, on which :math:`R^2` of recorded spikes is measured, trial by trial, as for
generated spikes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.arrays import smooth
from spikeloom.metrics.decoding import FOLDS, Ridge, r_squared
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

SMOOTHING, LAGS = 0.05, (0.0, 0.05, 0.1)
"""Standard deviation of the Gaussian, and lags of the inputs, s."""

MOST_TRIALS = 400
"""Largest number of recorded trials that the decoder uses."""

HELD_OUT = 0.2
"""Share of these trials that is held out."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A fitted decoder of one series.

    Args:
        name: Name of the series.
        ridge: The fitted regression.
        r2_real: Median over held-out recorded trials of R^2; None if the series does not vary in them.
        held_out: Number of held-out trials.
    """

    name: str
    ridge: Ridge
    r2_real: float | None
    held_out: int

    @classmethod
    def fit(cls, trials: Trials, name: str) -> "Decoder":
        """Fit a decoder of a series to recorded trials, and measure it on other ones."""
        rows = generator(0, int(Purpose.EVALUATE), 11).permutation(len(trials))[:MOST_TRIALS]
        test = max(1, round(HELD_OUT * len(rows)))
        recorded = trials.select(np.sort(rows[test:]))
        unseen = trials.select(np.sort(rows[:test]))
        x = inputs(recorded)
        mask = recorded.mask
        trial = np.nonzero(mask)[0]
        series = np.asarray(recorded.behavior[name], np.float64)[mask]
        finite = np.isfinite(series).all(1)
        ridge = Ridge.fit(x[mask][finite], series[finite], trial[finite] % FOLDS)
        unmeasured = cls(name, ridge, None, test)
        scores = [score for score in unmeasured.scores(unseen, unseen.behavior[name]) if score is not None]
        return cls(name, ridge, float(np.median(scores)) if scores else None, test)

    def decode(self, trials: Trials) -> NDArray[np.float64]:
        """Return the decoded series of trials (trial, bin, dim)."""
        x = inputs(trials)
        return np.asarray(self.ridge.predict(x.reshape(-1, x.shape[2])).reshape(*x.shape[:2], -1), np.float64)

    def scores(self, trials: Trials, series: Numbers) -> list[float | None]:
        """Return R^2 of each trial, decoded against its series (trial, bin, dim); None where it does not vary."""
        decoded = self.decode(trials)
        wanted = np.asarray(series, np.float64)
        pairs = zip(wanted, decoded, trials.lengths, strict=True)
        return [r_squared(truth[:n], guess[:n]) for truth, guess, n in pairs]


def inputs(trials: Trials) -> NDArray[np.float32]:
    """Return smoothed counts now and earlier (trial, bin, lag x neuron); the first bin stands for bins before it."""
    activity = smooth(np.asarray(trials.counts), sd=SMOOTHING / trials.bin_width, mask=trials.mask)
    bins = np.arange(trials.n_bins)
    lags = dict.fromkeys(round(lag / trials.bin_width) for lag in LAGS)
    return np.concatenate([activity[:, np.maximum(bins - lag, 0)] for lag in lags], 2)
