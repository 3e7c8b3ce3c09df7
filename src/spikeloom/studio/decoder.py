r"""A linear decoder from spikes to a behaviour series, fitted to recorded training trials.

The decoder is a ridge regression. Counts are smoothed with a Gaussian of 50 ms. The inputs of bin t are the smoothed
counts at t, 50 ms earlier and 100 ms earlier; the output is the series at t. The penalty is chosen by cross-validation
over trials. A fifth of the trials is held out from the fit. The median :math:`R^2` of these trials says how well the
series can be decoded from recorded spikes, and is shown beside the :math:`R^2` of generated spikes.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.decoding import r_squared
from spikeloom.metrics.disentanglement import Readout
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

SMOOTHING = 0.05
"""Standard deviation of the Gaussian that smooths the counts, s."""

LAGS = (0.0, 0.05, 0.1)
"""Times by which the inputs precede the output, s."""

MOST_TRIALS = 400
"""Largest number of recorded trials that the decoder uses."""

HELD_OUT = 0.2
"""Fraction of the used trials that is held out from the fit."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A fitted decoder of one series.

    Args:
        name: Name of the series.
        readout: The fitted regression.
        r2_real: Median R^2 of the held-out recorded trials; None if the series does not vary in them.
        held_out: Number of held-out trials.
    """

    name: str
    readout: Readout
    r2_real: float | None
    held_out: int

    @classmethod
    def fit(cls, trials: Trials, name: str) -> "Decoder":
        """Fit a decoder of a series to recorded trials, and compute its R^2 on the held-out ones."""
        rng = generator(0, int(Purpose.EVALUATE), 11)  # 11 distinguishes this use of random numbers from others
        rows = rng.permutation(len(trials))[:MOST_TRIALS]
        n_held_out = max(1, round(HELD_OUT * len(rows)))
        recorded = trials.select(np.sort(rows[n_held_out:]))
        unseen = trials.select(np.sort(rows[:n_held_out]))
        decoder = cls(name, Readout.fit(recorded, name, lags=LAGS, smoothing=SMOOTHING), None, n_held_out)
        scores = [score for score in decoder.scores(unseen, unseen.behavior[name]) if score is not None]
        return replace(decoder, r2_real=float(np.median(scores)) if scores else None)

    def decode(self, trials: Trials) -> NDArray[np.float64]:
        """Return the decoded series of trials (trial, bin, dim)."""
        return np.asarray(self.readout.decode(trials), np.float64)

    def scores(self, trials: Trials, series: Numbers) -> list[float | None]:
        """Return R^2 between the decoded and the true series of each trial, or None if the true series does not vary.

        Args:
            trials: Trials from whose spikes the series is decoded.
            series: True series of these trials (trial, bin, dim).
        """
        true_series = np.asarray(series, np.float64)
        decoded_series = self.decode(trials)
        return [
            r_squared(truth[:n_bins], decoded[:n_bins])
            for truth, decoded, n_bins in zip(true_series, decoded_series, trials.lengths, strict=True)
        ]
