r"""Requested conditions and conditions decoded from the spikes, trial by trial.

`decoding.py` reduces this comparison to one number. This module keeps the results of single trials, for figures and for
conditions that no recorded trial has. Results have a side: "real" for recorded trials, "fake" for generated trials.

*Direction*: ridge regression from each neuron's root mean count in pieces of a trial to :math:`(\cos\theta,
\sin\theta)`, fitted to real training trials; the decoded direction is the angle of the prediction. The regression has
no classes, so it can also decode directions that were never recorded. If the direction has few values, the linear
classifier of the panel is used, too.

*Behaviour*: the decoder of `decoding.decode_back`, bin by bin.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spikeloom.metrics.decoding import (
    FOLDS,
    Ridge,
    circular_error_deg,
    held_out_predictions,
    r_squared,
    reader,
    to_degrees,
)
from spikeloom.metrics.pair import Pair
from spikeloom.shapes import Numbers

FEWEST = 3
"""Smallest number of trials of one value for statistics of that value."""


@dataclass(frozen=True, eq=False)
class DirectionReading:
    """Requested and decoded directions of real and of fake trials.

    Args:
        name: Name of the condition.
        requested: Requested directions in degrees, side -> (trial,).
        read: Decoded directions in degrees from 0 to 360, side -> (trial,).
        classified: True where the classifier is correct, side -> (trial,); empty without classifier.
    """

    name: str
    requested: Mapping[str, Numbers]
    read: Mapping[str, Numbers]
    classified: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def values(self) -> Numbers:
        """Requested directions of both sides, sorted, in degrees; equal up to rounding are one direction."""
        return np.unique(np.round(np.concatenate([*self.requested.values()]) % 360, 6))

    def of(self, side: str, value: float) -> NDArray[np.int64]:
        """Return the indices of the trials of a side whose requested direction is `value`, in degrees."""
        # files may round angles, by less than 1e-4 degrees
        return np.flatnonzero(np.abs(circular_error_deg(self.requested[side], np.array(value))) < 1e-4)

    def error(self, side: str) -> Numbers:
        """Return the angle between requested and decoded direction of each trial, in degrees from 0 to 180."""
        return circular_error_deg(self.requested[side], self.read[side])

    def bias(self, side: str, value: float) -> tuple[float, float] | None:
        """Return the mean of decoded minus requested direction, and its circular sd, for one requested direction.

        Both are in degrees. The result is None with fewer than `FEWEST` trials of this direction.
        """
        rows = self.of(side, value)
        if len(rows) < FEWEST:
            return None
        # mean of the deviations as points on the unit circle: its length is 1 if all are equal
        mean = np.exp(1j * np.radians(self.read[side][rows] - value)).mean()
        return float(np.degrees(np.angle(mean))), float(np.degrees(np.sqrt(max(0.0, -2 * np.log(abs(mean))))))


def read_directions(pair: Pair) -> DirectionReading | str:
    """Decode directions from both sets, or return the reason why this is impossible."""
    teacher = pair.real_trials if pair.reference is None else pair.reference  # trials to which decoders are fitted
    names = (pair.condition or "", *pair.fake_trials.conditions)  # also conditions that do not label the trials
    name = next((name for name in names if to_degrees(name) is not None and pair.was_condition(name)), "")
    factor = to_degrees(name)  # degrees per unit of the condition
    sets = {"real": pair.real_trials, "fake": pair.fake_trials, "teacher": teacher}
    if factor is None or not all(name in trials.conditions for trials in sets.values()):
        return "real and generated trials have no direction in common"
    requested = {side: factor * np.asarray(trials.conditions[name], np.float64) for side, trials in sets.items()}
    if any(values.ndim != 1 for values in requested.values()) or len(requested["teacher"]) < 2 * FOLDS:
        return f"{name} is not one direction per trial, or there are too few trials"
    sides = {"real": pair.real, "fake": pair.fake}
    sides["teacher"] = pair.training or pair.real
    features = {side: pair.chunk_features(statistics) for side, statistics in sides.items()}
    fold = pair.rng(7).permutation(np.arange(len(teacher)) % FOLDS)
    target = _circle(requested["teacher"])  # (trial, 2)
    ridge = Ridge.fit(features["teacher"], target, fold)
    predicted = {side: ridge.predict(features[side]) for side in ("real", "fake")}
    if teacher is pair.real_trials:  # predictions for trials of the fit are cross-validated
        predicted["real"] = held_out_predictions(features["real"], target, fold)
    read = {side: np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360 for side, points in predicted.items()}
    return DirectionReading(
        name, {side: requested[side] for side in predicted}, read, _classified(pair, name, features)
    )


def _classified(pair: Pair, name: str, features: Mapping[str, Numbers]) -> dict[str, NDArray[np.bool_]]:
    """Return an array for each side that is True for trials in which the classifier is correct: side -> (trial,).

    The result is empty if the classifier was fitted to another condition, if there are no reference trials, if the
    labels were decoded instead of requested, or if a trial has no label (-1).
    """
    if pair.label_name != name or pair.labels_decoded or pair.reference is None:
        return {}
    labels_of = {"real": pair.real.labels, "fake": pair.fake.labels}
    if any((labels < 0).any() for labels in labels_of.values()):
        return {}
    return {side: pair.classifier.classify(features[side]) == labels for side, labels in labels_of.items()}


def _circle(degrees: Numbers) -> Numbers:
    """Return the points of directions on the unit circle (trial, 2)."""
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], 1)


@dataclass(frozen=True, eq=False)
class BehaviorReading:
    """Requested and decoded behaviour series of real and of fake trials, in wide bins.

    An angle is represented by its cosine and sine, all cosines first.

    Args:
        name: Name of the series.
        unit: Unit of the series.
        width: Width of a wide bin in seconds.
        requested: Requested series, side -> (trial, wide time, dim).
        read: Decoded series, side -> (trial, wide time, dim); NaN where decoding is impossible.
    """

    name: str
    unit: str
    width: float
    requested: Mapping[str, Numbers]
    read: Mapping[str, Numbers]

    def r_squared(self, side: str) -> float | None:
        """Return R^2 over all trials, bins and dimensions of a side."""
        is_decoded = np.isfinite(self.read[side]).all(2)
        return r_squared(self.requested[side][is_decoded], self.read[side][is_decoded])

    def path(self, side: str, trials: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """Return requested and decoded paths of trials in wide bins (trial, wide time, dim).

        A velocity, whose unit ends in "/s", is summed over the decoded bins; another series is returned unchanged.

        Args:
            side: "real" or "fake".
            trials: Indices of the trials.
        """
        decoded = self.read[side][trials]
        requested = np.where(np.isfinite(decoded), self.requested[side][trials], np.nan)
        if not self.unit.endswith("/s"):
            return requested, decoded
        requested_path, decoded_path = (
            np.where(np.isfinite(velocity), np.nancumsum(velocity, axis=1) * self.width, np.nan)
            for velocity in (requested, decoded)
        )
        return requested_path, decoded_path


def read_behavior(pair: Pair) -> BehaviorReading | str:
    """Decode behaviour from both sets, or return the reason why this is impossible."""
    decoder = pair.once(reader)
    if isinstance(decoder, str):
        return decoder
    sides = {"real": pair.real, "fake": pair.fake}
    requested = {}
    read = {}
    for side, statistics in sides.items():
        requested[side], read[side] = decoder.read(statistics)
    name = decoder.name
    unit = pair.real_trials.units[decoder.name]
    if decoder.period is not None:
        name = f"{name} (cosine, sine)"
        unit = ""
    return BehaviorReading(name, unit, pair.real.wide_width, requested, read)
