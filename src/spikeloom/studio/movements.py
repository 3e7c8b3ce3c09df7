"""Movements of the hand in the training trials: paths, velocities, and which series of a model can be drawn."""

from dataclasses import dataclass

import numpy as np

from spikeloom.models.common.conditions import Conditions
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.studio.strokes import Kind, Path2, Reach
from spikeloom.trials import Trials

MOST_PATHS = 60
"""Largest number of training paths that the page draws."""


@dataclass(frozen=True, eq=False)
class Movements:
    """Movements of the training trials in the plane.

    Args:
        name: Name of the series from which they come.
        kind: Kind of that series.
        paths: Positions (trial, bin, 2), NaN in padding. Paths that are integrated from velocities begin at 0.
        usual: Usual range of positions and speeds.
    """

    name: str
    kind: Kind
    paths: Path2
    usual: Reach

    @property
    def extent(self) -> list[float]:
        """Smallest and largest x, then y, of the usual positions, with a margin of 5 %."""
        low = self.usual.low
        high = self.usual.high
        margin = 0.05 * float(max(*(high - low), 1e-9))
        return [low[0] - margin, high[0] + margin, low[1] - margin, high[1] + margin]

    def shown(self, bins: int = 60) -> list[Path2]:
        """Return at most 60 training paths of at most `bins` points each, evenly spaced over the trials."""
        rows = np.linspace(0, len(self.paths) - 1, min(MOST_PATHS, len(self.paths))).astype(int)
        valid = [path[np.isfinite(path).all(1)] for path in self.paths[rows]]
        return [path[np.linspace(0, len(path) - 1, min(bins, len(path))).astype(int)] for path in valid if len(path)]

    def path_of(self, series: Path2, start: Path2, bin_width: float) -> Path2:
        """Return the path of a series of this kind (..., bin, 2); velocities are integrated from the start."""
        return series if self.kind == "position" else start + np.cumsum(series, axis=-2) * bin_width


def drawn_condition(conditions: Conditions) -> NamedCondition | None:
    """Return the series that a hand can draw: the only series of a model, with two numbers in each bin, no angles.

    Further conditions of one value per trial are drawn from the training trials.
    """
    series = [condition for condition in conditions.each if condition.per_bin]
    return series[0] if len(series) == 1 and series[0].size == 2 and series[0].kind == "continuous" else None


def movements_of(trials: Trials, drawn: NamedCondition | None) -> Movements | None:
    """Return the movements of training trials, of the drawn series or else of a position in two dimensions."""
    planar = [name for name, series in trials.behavior.items() if series.shape[2] == 2]
    positions = [name for name in planar if kind_of(name, trials.units[name]) == "position"]
    positions.sort(key=lambda name: "pos" not in name.lower())
    if drawn is not None:
        name = drawn.name
    elif planar:
        name = positions[0] if positions else planar[0]
    else:
        return None
    kind = kind_of(name, trials.units[name])
    series = np.where(trials.mask[:, :, None], np.asarray(trials.behavior[name], np.float64), np.nan)
    if kind == "position":
        paths = series
        velocities = np.diff(series, axis=1) / trials.bin_width
    else:
        at_rest = positions[0] if positions else ""
        stored = (
            np.asarray(trials.behavior[at_rest], np.float64) if at_rest else np.cumsum(series, 1) * trials.bin_width
        )
        paths = np.where(trials.mask[:, :, None], stored, np.nan)
        velocities = series
    unit = trials.units[name].removesuffix("/s")
    return Movements(name, kind, paths, Reach.of(paths, velocities, np.asarray(trials.lengths, np.int64), unit))


def kind_of(name: str, unit: str) -> Kind:
    """Return whether a series is a velocity, by its unit or, without a unit, by its name."""
    is_velocity = unit.endswith("/s") if unit else any(word in name.lower() for word in ("vel", "speed"))
    return "velocity" if is_velocity else "position"
