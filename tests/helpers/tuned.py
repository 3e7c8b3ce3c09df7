"""Trials whose neurons are tuned to a direction, for tests of conditional samples."""

import numpy as np

from spikeloom.trials import Trials


def tuned(angles: np.ndarray, *, seed: int, name: str = "angle_deg") -> Trials:
    """Twelve neurons with cosine tuning to any direction, 60 bins of 5 ms."""
    rng = np.random.default_rng(seed)
    preferred = np.arange(12) * 30.0
    rates = 0.25 * np.exp(1.2 * (np.cos(np.radians(angles[:, None] - preferred)) - 1))
    value = np.radians(angles) if name.endswith("_rad") else angles
    return Trials(rng.poisson(np.repeat(rates[:, None], 60, 1)), 0.005, conditions={name: value})


def every(step: float, trials: int = 160) -> np.ndarray:
    """Return evenly spaced angles in degrees, repeated."""
    return (np.arange(trials) * step) % 360
