"""Fixtures shared by all tests, with the paths of the real recordings if they are available."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikeloom.trials import Trials

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def recordings() -> Callable[[str], Path]:
    """Function from the name of a real recording to its path; skips the test when the folder is absent."""

    def find(name: str) -> Path:
        if not DATA.is_dir():
            pytest.skip("the real recordings (../shared/data) are not on this machine")
        return DATA / name

    return find


@pytest.fixture(scope="session")
def make() -> Callable[..., Trials]:
    """Function that simulates trials with tuning to a direction, a shared gain and, by choice, unequal lengths."""

    def simulate(
        trials=80, time=60, neurons=12, *, seed=0, gain=0.4, ragged=False, width=0.005, conditions=True
    ) -> Trials:
        rng = np.random.default_rng(seed)
        direction = np.arange(trials) % 4
        tuning = np.random.default_rng(7).uniform(0.03, 0.5, (4, neurons))
        course = 1 + 0.5 * np.sin(np.linspace(0, 6, time))[None, :, None]
        shared = np.exp(gain * rng.standard_normal((trials, 1, 1)) - gain**2 / 2)
        rates = tuning[direction][:, None, :] * course * shared
        lengths = rng.integers(time // 2, time + 1, trials) if ragged else np.full(trials, time)
        position = np.cumsum(rates[:, :, :2] - rates[:, :, 2:4], axis=1)
        return Trials(
            rng.poisson(rates).astype(np.uint8),
            0.005,
            lengths=lengths,
            behavior={"hand_vel": rates[:, :, :2] - rates[:, :, 2:4], "position": position},
            conditions={"angle_deg": 90.0 * direction} if conditions else {},
        )

    return simulate


@pytest.fixture(scope="session")
def reach(recordings) -> Trials:
    """The delayed-reach recording in bins of 5 ms: 728 trials, 140 bins, 97 neurons, 8 directions."""
    with np.load(recordings("shenoy_delayed_reach_train.npz")) as file:
        counts = np.zeros((728, 140, 97), np.uint8)
        np.add.at(counts, (file["spk_trial"], file["spk_ms"] // 5, file["spk_unit"]), 1)
        return Trials(counts, 0.005, conditions={"angle_deg": file["trial_angle_deg"]}, source="reach")
