"""Hand movements of the training trials, and the condition of a model that the user can draw.

The page shows the paths of the training trials, and compares a drawn path with their usual positions and speeds.
"""

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
        name: Name of the behaviour series from which the paths are computed.
        kind: Kind of that series, "position" or "velocity".
        paths: Positions (trial, bin, 2), NaN in padding. Paths that are integrated from velocities begin at (0, 0).
        usual: Usual range of positions and speeds.
    """

    name: str
    kind: Kind
    paths: Path2
    usual: Reach

    @property
    def extent(self) -> list[float]:
        """Smallest x, largest x, smallest y and largest y of the usual positions, with a margin of 5 %."""
        low = self.usual.low
        high = self.usual.high
        margin = 0.05 * float(max(*(high - low), 1e-9))  # 5 % of the larger range, above 0 if nothing moves
        return [low[0] - margin, high[0] + margin, low[1] - margin, high[1] + margin]

    def shown(self, bins: int = 60) -> list[Path2]:
        """Return the training paths that the page draws: at most 60, evenly spaced over the trials.

        Args:
            bins: Largest number of points of a path.
        """
        rows = np.linspace(0, len(self.paths) - 1, min(MOST_PATHS, len(self.paths))).astype(int)
        valid = [path[np.isfinite(path).all(1)] for path in self.paths[rows]]
        return [path[np.linspace(0, len(path) - 1, min(bins, len(path))).astype(int)] for path in valid if len(path)]

    def path_of(self, series: Path2, start: Path2, bin_width: float) -> Path2:
        """Return the positions of a series. If `kind` is "velocity", the series is integrated.

        Args:
            series: Positions or velocities (..., bin, 2).
            start: Position before the first bin (2,), from which velocities are integrated.
            bin_width: Width of a bin, s.
        """
        return series if self.kind == "position" else start + np.cumsum(series, axis=-2) * bin_width


def drawn_condition(conditions: Conditions) -> NamedCondition | None:
    """Return the condition that the user can draw, or None.

    This condition is the only series among the conditions, and has two numbers in each bin that are not angles. If the
    model has further conditions with one value per trial, their values are drawn from the training trials.
    """
    series = [condition for condition in conditions.each if condition.per_bin]
    return series[0] if len(series) == 1 and series[0].size == 2 and series[0].kind == "continuous" else None


def movements_of(trials: Trials, drawn: NamedCondition | None) -> Movements | None:
    """Return the movements of training trials, or None if they have no series in two dimensions.

    Movements come from the series of the drawn condition. Without such a condition, they come from a position of the
    training trials, preferably one with "pos" in its name, or else from any series in two dimensions.
    """
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
        if positions:
            positions_of_trials = np.asarray(trials.behavior[positions[0]], np.float64)
        else:
            positions_of_trials = np.cumsum(series, 1) * trials.bin_width
        paths = np.where(trials.mask[:, :, None], positions_of_trials, np.nan)
        velocities = series
    unit = trials.units[name].removesuffix("/s")
    return Movements(name, kind, paths, Reach.of(paths, velocities, np.asarray(trials.lengths, np.int64), unit))


def kind_of(name: str, unit: str) -> Kind:
    """Return "velocity" or "position" for a series. Its unit decides, or its name if it has no unit."""
    is_velocity = unit.endswith("/s") if unit else any(word in name.lower() for word in ("vel", "speed"))
    return "velocity" if is_velocity else "position"
