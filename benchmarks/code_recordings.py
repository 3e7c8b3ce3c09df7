"""Decode the angle of recorded reaches from codes, with one angle left out of training, and traverse through it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from spikeloom.metrics.arrays import smooth
from spikeloom.metrics.decoding import FOLDS, Ridge, circular_error_deg
from spikeloom.metrics.disentanglement import (
    Directions,
    code_snr,
    group_snr,
    unit_r2,
    variables,
)
from spikeloom.models.common.coded import Coded
from spikeloom.trials import Trials

WINDOWS = 6
"""Number of windows whose spike counts are inputs of a decoder of angles."""

SMOOTHED = 0.05
"""Standard deviation (s) of the Gaussian that smooths the spikes with which rates are compared."""

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Number of points of the traversal from the angle before the held-out one to the angle after it."""


class AngleDecoder:
    """Ridge regression from the roots of spike counts in six windows to cosine and sine of an angle.

    Windows are equal parts of each trial and shorter in short trials, so counts are counts per bin.
    """

    def __init__(self, trials: Trials, angle: np.ndarray) -> None:
        self.angles = np.unique(angle)
        inputs = self._inputs(np.asarray(trials.counts), trials.lengths)
        turn = np.deg2rad(angle)
        self.ridge = Ridge.fit(inputs, np.stack([np.cos(turn), np.sin(turn)], 1), np.arange(len(trials)) % FOLDS)

    def __call__(self, activity: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Decode the angle of each trial in degrees, from counts (trial, time, neuron) or from rates."""
        x, y = self.ridge.predict(self._inputs(np.asarray(activity), lengths)).T
        return np.rad2deg(np.arctan2(y, x))

    @staticmethod
    def _inputs(activity: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        rows = []
        for trial, length in zip(activity, lengths, strict=True):
            edges = np.linspace(0, length, WINDOWS + 1).astype(int)
            rows.append(np.concatenate([trial[a:b].mean(0, dtype=np.float64) for a, b in pairwise(edges)]))
        return np.sqrt(np.stack(rows))


def left_out(train: Trials, test: Trials, name: str, leave: float) -> tuple[Trials, Trials, Trials]:
    """Return training and test trials without one angle, and all trials of that angle."""
    seen, held_in = (part.select(part.conditions[name] != leave) for part in (train, test))
    unseen = [part.select(part.conditions[name] == leave) for part in (train, test)]
    return seen, held_in, unseen[0].concatenate(unseen[1])


def measure_angles(
    model: Coded, name: str, leave: float, seen: Trials, held_in: Trials, unseen: Trials
) -> dict[str, float]:
    """Compute every number of one model; angles in degrees."""
    turns = (f"{name}.cos", f"{name}.sin")
    decoder = AngleDecoder(seen, seen.conditions[name])
    coded, tested, left = (model.encode(part, progress=False) for part in (seen, held_in, unseen))
    directions = Directions.of(coded, turns)
    result = _said(directions, coded, tested, left, name, leave)
    rebuilt = model.reconstruct(held_in, seed=1)
    truth = held_in.conditions[name]
    result["decoded angle of test trials, error"] = apart(decoder(held_in.counts, held_in.lengths), truth)
    result["decoded angle of their reconstructions, error"] = apart(decoder(rebuilt.counts, rebuilt.lengths), truth)
    result["decoded angle of their expected spikes, error"] = apart(decoder(rebuilt.rates, rebuilt.lengths), truth)
    result[f"decoded angle of real {leave:g} deg trials, error"] = apart(decoder(unseen.counts, unseen.lengths), leave)
    if len({*seen.lengths, *held_in.lengths}) == 1:  # else there is no mean over trials
        result |= _activity(seen, held_in, rebuilt, name)
    angles = np.unique(seen.conditions[name])
    previous = angles[np.searchsorted(angles, leave) - 1]
    following = angles[np.searchsorted(angles, leave) % len(angles)]
    targets = [previous + share * ((following - previous) % 360) for share in SHARES]
    neighbour = coded.conditions[name] == previous
    starts = {f"training trials of {previous:g} deg": coded.select(neighbour), "test trials": tested}
    for word, start in starts.items():
        result |= _traversal(model, directions, decoder, start, targets, word)
    return result


def _traversal(
    model: Coded, directions: Directions, decoder: AngleDecoder, start: Trials, targets: Sequence[float], word: str
) -> dict[str, float]:
    """Compute the decoded direction of trials whose codes are moved to each of these angles."""
    values = variables(start, directions.names)
    codes = np.asarray(start.codes)
    off = []
    result = {}
    for requested in targets:
        turn = np.deg2rad(requested)
        changes = np.array([[np.cos(turn), np.sin(turn)]]) - values
        moved = directions.move(codes, changes)
        made = model.sample(codes=moved, seed=1, progress=False)
        mean = np.exp(1j * np.deg2rad(decoder(made.counts, made.lengths))).mean()
        result[f"traversal from {word}, requested {requested % 360:g}: decoded"] = np.rad2deg(np.angle(mean)) % 360
        result[f"traversal from {word}, requested {requested % 360:g}: length of the mean vector"] = abs(mean)
        off.append(apart(np.rad2deg(np.angle(mean)), requested))
    result[f"traversal from {word}: mean direction off the requested one"] = float(np.mean(off))
    return result


def _said(
    directions: Directions, coded: Trials, tested: Trials, left: Trials, name: str, leave: float
) -> dict[str, float]:
    """Compute the accuracy of angles decoded from codes."""
    codes = np.asarray(tested.codes)
    values = variables(tested, directions.names)
    shuffled = np.random.default_rng(0).permutation(np.asarray(coded.codes))
    dealt = Directions.fit(shuffled, variables(coded, directions.names), directions.names)
    groups = np.unique(tested.conditions[name], return_inverse=True)[1]
    read = [np.rad2deg(np.arctan2(*directions.predict(np.asarray(part.codes)).T[::-1])) for part in (tested, left)]
    return {
        "code SNR, mean of cos and sin": code_snr(directions, codes, values).mean(),
        "code SNR, floor": code_snr(dealt, codes, values).mean(),
        "SNR between targets": group_snr(directions, codes, groups).mean(),
        "SNR between targets, floor": group_snr(dealt, codes, groups).mean(),
        "|cos| of cos and sin, encode": abs(directions.cosines()[0, 1]),
        "angle read from test codes, error": apart(read[0], tested.conditions[name]),
        f"angle read from codes of {leave:g} deg trials, error": apart(read[1], leave),
    }


def _activity(seen: Trials, held_in: Trials, rebuilt: Trials, name: str) -> dict[str, float]:
    """Compute R2 of reconstructed rates for the smoothed spikes of test trials, beside the mean of their angle."""
    real = _smoothed(held_in.counts, held_in)
    rates = _smoothed(rebuilt.rates, rebuilt)
    training = _smoothed(seen.counts, seen)
    means = {}
    for angle in np.unique(seen.conditions[name]):
        means[float(angle)] = training[seen.conditions[name] == angle].mean(0)
    psth = np.stack([means[float(angle)] for angle in held_in.conditions[name]])
    angles = np.unique(held_in.conditions[name])
    grouped = [np.stack([x[held_in.conditions[name] == a].mean(0) for a in angles]) for x in (real, psth, rates)]
    each = np.ones(grouped[0].shape[:2], bool)
    spread = [np.asarray(part.counts).sum(1).var(0) for part in (held_in, rebuilt)]
    return {
        "unit R2 of smoothed test spikes, rates of their codes": float(
            np.nanmedian(unit_r2(real, rates, held_in.mask))
        ),
        "unit R2 of smoothed test spikes, training PSTH": float(np.nanmedian(unit_r2(real, psth, held_in.mask))),
        "PSTH of test trials, R2 of reconstructions": float(np.nanmedian(unit_r2(grouped[0], grouped[2], each))),
        "PSTH of test trials, R2 of training PSTH": float(np.nanmedian(unit_r2(grouped[0], grouped[1], each))),
        "variance of counts of a trial, generated / real": float(np.nanmedian(spread[1] / np.maximum(spread[0], 1e-9))),
    }


def _smoothed(values: np.ndarray, trials: Trials) -> np.ndarray:
    """Return counts or rates (trial, time, neuron), smoothed over time with a Gaussian."""
    return smooth(np.asarray(values), sd=SMOOTHED / trials.bin_width, mask=trials.mask)


def apart(read: np.ndarray, requested: np.ndarray | float) -> float:
    """Return the mean angle between two directions in degrees; the chance level is 90."""
    return float(circular_error_deg(np.asarray(requested, float), np.asarray(read)).mean())
