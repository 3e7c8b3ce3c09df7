"""Calibration: shared variance and mean counts are those of the trials afterwards."""

import numpy as np
import pytest
import torch

from spikeloom.observation.calibration import Calibration
from spikeloom.trials import Trials


@pytest.mark.parametrize("paired", [True, False])
def test_the_gain_restores_shared_variance(paired):
    """Rates whose logarithm was shrunk by 1.25 come back with gain 1.25, to the sampling error of the counts."""
    rng = np.random.default_rng(0)
    weight = 0.5 * rng.uniform(0.5, 1.5, 20)
    draw = lambda trials: -1.5 + np.repeat(rng.normal(size=(trials, 10, 1)), 4, 1) * weight
    log_rates = draw(400)
    trials = Trials(rng.poisson(np.exp(log_rates)), 0.005)
    shrunk = (log_rates if paired else draw(800)) / 1.25 - 1
    calibration = Calibration(20)
    calibration.fit(trials, np.exp(shrunk).astype(np.float32), lengths=np.full(len(shrunk), 40))
    assert abs(float(calibration.gain) - 1.25) < (0.05 if paired else 0.1)  # sd over seeds: 0.012 and 0.025
    rates = calibration(torch.from_numpy(np.exp(shrunk))).numpy()
    np.testing.assert_allclose(rates.mean((0, 1)), trials.counts.mean((0, 1)), rtol=1e-5)


def test_padding_is_not_seen():
    rng = np.random.default_rng(1)
    lengths = rng.integers(20, 41, 60)
    rates = 0.3 * np.exp(0.5 * rng.normal(size=(60, 40, 1)) * np.ones(5)).astype(np.float32)
    trials = Trials(rng.poisson(rates), 0.005, lengths=lengths)
    result = []
    for garbage in (1.0, 1e3):
        calibration = Calibration(5)
        calibration.fit(trials, np.where(trials.mask[..., None], rates, np.float32(garbage)), lengths=lengths)
        result.append((float(calibration.gain), calibration.match.numpy()))
    assert result[0][0] == result[1][0]
    np.testing.assert_array_equal(result[0][1], result[1][1])
