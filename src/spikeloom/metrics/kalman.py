r"""Velocity Kalman filter: position and velocity of a hand or cursor, decoded from the counts of each bin.

The state is position p and velocity v. Position is the sum of velocities, and velocity changes slowly and at random,

.. math:: p_t = p_{t-1} + \Delta\, v_t, \qquad v_t = A v_{t-1} + w_t, \quad w_t \sim N(0, W),

with the bin width :math:`\Delta`. Counts y of a bin depend on the velocity of the bin,

.. math:: y_t = b + C v_t + q_t, \quad q_t \sim N(0, Q).

A, W, b, C and Q are least-squares estimates from recorded trials, in closed form. Counts do not depend on p in this
model, so only v is inferred. Its mean m and covariance P in the present bin follow from the mean :math:`m_{-}` and the
covariance :math:`P_{-}` in the previous bin:

.. math:: M = A P_{-} A^\top + W, \quad K = M C^\top (C M C^\top + Q)^{-1}, \quad
          m = A m_{-} + K (y - b - C A m_{-}), \quad P = (I - K C) M .

The covariances do not depend on the counts, so they are the same for all trials.

Source: Wu et al. 2006, Neural Computation 18:80 (Kalman filter of counts); Gilja et al. 2012, Nature Neuroscience
15:1752 (positions as sums of decoded velocities).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Integer

from spikeloom.errors import ConditionError, DataError
from spikeloom.trials import Trials

RIDGE = 1e-3
"""Number that is added to the diagonal of Q, as a fraction of its mean, so that silent neurons have no weight."""


@dataclass(frozen=True, eq=False)
class KalmanFilter:
    """Estimates of a velocity Kalman filter; see the module.

    Args:
        transition: A (dim, dim).
        drift: W (dim, dim).
        baseline: b (neuron,), spikes/bin.
        tuning: C (neuron, dim), spikes/bin per unit of velocity.
        noise: Q (neuron, neuron).
        bin_width: Width of a bin, s.
    """

    transition: Float[np.ndarray, "dim dim"]
    drift: Float[np.ndarray, "dim dim"]
    baseline: Float[np.ndarray, " neuron"]
    tuning: Float[np.ndarray, "neuron dim"]
    noise: Float[np.ndarray, "neuron neuron"]
    bin_width: float

    @classmethod
    def fit(cls, trials: Trials, *, velocity: str) -> "KalmanFilter":
        """Fit the filter to recorded trials.

        Args:
            trials: Training trials.
            velocity: Name of the behaviour series with the velocity, unit/s.

        Raises:
            ConditionError: if the trials have no such series.
            DataError: if there are fewer than two valid bins for each neuron.
        """
        if velocity not in trials.behavior:
            raise ConditionError(
                f"The trials have no series {velocity!r}.", f"They have {sorted(trials.behavior)}.", ""
            )
        mask = trials.mask
        series = trials.behavior[velocity].astype(np.float64)
        counts = trials.counts[mask].astype(np.float64)  # (bin, neuron)
        velocities = series[mask]  # (bin, dim)
        if len(counts) < 2 * trials.n_neurons:
            raise DataError(
                f"A Kalman filter of {trials.n_neurons} neurons needs {2 * trials.n_neurons} bins.",
                f"There are {len(counts)}.",
                "",
            )
        pairs = mask[:, 1:]  # trials have no gaps, so the bin before a valid bin is valid
        earlier = series[:, :-1][pairs]
        later = series[:, 1:][pairs]
        transition = np.linalg.lstsq(earlier, later, rcond=None)[0].T  # least squares give the transpose of A
        inputs = np.column_stack([np.ones(len(velocities)), velocities])
        weights = np.linalg.lstsq(inputs, counts, rcond=None)[0]  # b and the transpose of C (1 + dim, neuron)
        noise = np.atleast_2d(np.cov(counts - inputs @ weights, rowvar=False))
        noise += RIDGE * np.trace(noise) / len(noise) * np.eye(len(noise))
        drift = np.atleast_2d(np.cov(later - earlier @ transition.T, rowvar=False))
        return cls(transition, drift, weights[0], weights[1:].T, noise, trials.bin_width)

    def start(self, position: Float[np.ndarray, "trial dim"]) -> "KalmanDecoder":
        """Begin trials at rest at these positions."""
        return KalmanDecoder(self, position)


@final
class KalmanDecoder:
    """Trials that a Kalman filter decodes bin by bin.

    Args:
        model: The filter.
        position: Position of each trial before its first bin.

    Attributes:
        position: Decoded position of the last bin (trial, dim).
        velocity: Decoded velocity of the last bin (trial, dim), unit/s.
    """

    def __init__(self, model: KalmanFilter, position: Float[np.ndarray, "trial dim"]) -> None:
        self.model = model
        self.position = np.array(position, np.float64)
        self.velocity = np.zeros_like(self.position)
        self._covariance = np.zeros_like(model.drift)
        self._weighted = np.linalg.solve(model.noise, model.tuning).T  # C' Q^-1
        self._information = self._weighted @ model.tuning  # C' Q^-1 C

    def step(self, counts: Integer[np.ndarray, "trial neuron"]) -> Float[np.ndarray, "trial dim"]:
        """Decode the counts of the next bin, and return the velocity of each trial (trial, dim), unit/s."""
        model = self.model
        predicted = self.velocity @ model.transition.T
        predicted_covariance = model.transition @ self._covariance @ model.transition.T + model.drift
        # K = P C' Q^-1 with P = (M^-1 + C' Q^-1 C)^-1 equals the gain of the module and inverts (dim, dim) only
        self._covariance = np.linalg.inv(np.linalg.inv(predicted_covariance) + self._information)
        residual = counts - model.baseline - predicted @ model.tuning.T
        self.velocity = predicted + residual @ self._weighted.T @ self._covariance
        self.position = self.position + model.bin_width * self.velocity
        return self.velocity
