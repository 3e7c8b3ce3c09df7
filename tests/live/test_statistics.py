"""Durations: quantiles against NumPy."""

import math

import numpy as np
import pytest

from spikeloom.live.statistics import Durations, LiveStatistics


@pytest.mark.parametrize("fraction", [0.5, 0.99, 0.999, 1.0])
def test_quantiles_are_right_to_one_percent(fraction):
    seconds = np.random.default_rng(0).lognormal(-8, 1, 20_000)
    durations = Durations()
    for one in seconds:
        durations.add(one)
    expected = np.quantile(seconds, fraction, method="inverted_cdf")
    assert durations.quantile(fraction) == pytest.approx(expected, rel=0.0101)
    assert durations.largest == seconds.max()
    assert len(durations._cells) < 3000


def test_no_duration_has_no_quantile():
    assert math.isnan(Durations().quantile(0.5))
    assert "0 bins" in str(LiveStatistics())


def test_a_bin_that_is_sent_after_the_next_one_is_missed():
    statistics = LiveStatistics()
    statistics.sent(0.001, bin_width=0.02)
    statistics.sent(0.021, bin_width=0.02)
    statistics.sent(-1e-6, bin_width=0.02)
    assert statistics.missed == 1
    assert "1 bin missed" in str(statistics)
