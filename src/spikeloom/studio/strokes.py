r"""Turn a drawn stroke into the series on which a model is conditioned.

A stroke is a list of points :math:`(x, y, t)`, in the unit of the hand position and in seconds. It is interpolated at
the edges :math:`t_k = k \Delta` of the bins and, on request, smoothed with a Gaussian. As in recorded trials, the
position of bin k is the position at its end, :math:`p_{k+1}`, and its velocity is :math:`(p_{k+1} - p_k) / \Delta`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spikeloom.errors import ConditionError
from spikeloom.text import counted

SMOOTHING = 0.03
"""Standard deviation of the Gaussian that smooths a stroke, s."""

MOST_BINS = 3000
"""Largest number of bins of a stroke."""

TOLERANCE = 0.02
"""Largest fraction of the bins of a stroke that may leave the training range without a warning."""

Path2 = NDArray[np.float64]
"""Positions or velocities in the plane (..., 2)."""

Kind = Literal["velocity", "position"]
"""Kind of a series in the plane."""


@dataclass(frozen=True, eq=False)
class Stroke:
    """A movement in bins.

    Args:
        path: Position at the end of each bin (bin, 2).
        start: Position at the start of the first bin (2,).
        velocity: Mean velocity in each bin (bin, 2), per second.
    """

    path: Path2
    start: Path2
    velocity: Path2

    def series(self, kind: Kind) -> Path2:
        """Return the velocity or the position of each bin (bin, 2)."""
        return self.velocity if kind == "velocity" else self.path


@dataclass(frozen=True, eq=False)
class Reach:
    """Usual range of the movements in the training trials. A stroke that leaves it gets a warning.

    Args:
        low: Smallest usual position (2,), the 0.1th percentile.
        high: Largest usual position (2,), the 99.9th percentile.
        speed: Largest usual speed, the 99.9th percentile over bins.
        first_speed: Largest usual speed in the first bin, the 99th percentile over trials.
        longest: Number of bins of the longest trial.
        unit: Unit of the position.
    """

    low: Path2
    high: Path2
    speed: float
    first_speed: float
    longest: int
    unit: str

    @classmethod
    def of(cls, paths: Path2, velocities: Path2, lengths: NDArray[np.int64], unit: str) -> "Reach":
        """Compute the usual range from the movements of the training trials.

        Args:
            paths: Positions (trial, bin, 2); NaN in padding.
            velocities: Velocities (trial, bin, 2); NaN in padding.
            lengths: Number of bins of each trial.
            unit: Unit of the position.
        """
        low, high = np.nanpercentile(paths.reshape(-1, 2), (0.1, 99.9), axis=0)
        speeds = np.linalg.norm(velocities, axis=2)
        fastest = float(np.nanpercentile(speeds, 99.9))
        return cls(low, high, fastest, float(np.nanpercentile(speeds[:, 0], 99)), int(lengths.max()), unit)

    def warnings(self, stroke: Stroke, *, kind: Kind, bin_width: float) -> list[str]:
        """Return a sentence for each way in which a stroke leaves the usual range.

        The speed, the speed in the first bin, the positions and the duration are compared.

        Args:
            stroke: The stroke.
            kind: Series on which the model is conditioned. Positions are compared only if it is "position".
            bin_width: Width of a bin, s.
        """
        sentences = []
        unit = f" {self.unit}" if self.unit else ""
        speeds = np.linalg.norm(stroke.velocity, axis=1)
        fast_start = max(2 * self.first_speed, 0.2 * self.speed)  # a faster first bin gets a warning
        if (speeds > self.speed).mean() > TOLERANCE:
            sentences.append(
                f"The hand moves at up to {speeds.max():.3g}{unit}/s; in the training trials it moved at up to "
                f"{self.speed:.3g}{unit}/s. The model extrapolates. Draw more slowly, or make the stroke smaller."
            )
        elif kind == "velocity" and speeds[0] > fast_start:
            sentences.append(
                f"The hand already moves at {speeds[0]:.3g}{unit}/s in the first bin; in the training trials it began "
                f"at up to {self.first_speed:.3g}{unit}/s. Begin slowly."
            )
        margin = 0.02 * (self.high - self.low)  # so that a stroke along the edge gets no warning
        outside = ((stroke.path < self.low - margin) | (stroke.path > self.high + margin)).any(1)
        if kind == "position" and outside.mean() > TOLERANCE:
            sentences.append(
                f"{100 * outside.mean():.0f} % of the stroke lies outside the positions of the training trials. The "
                "model extrapolates there. Draw inside the field of grey paths."
            )
        if len(stroke.path) > 1.25 * self.longest:
            sentences.append(
                f"The stroke lasts {len(stroke.path) * bin_width:.3g} s; the longest training trial lasts "
                f"{self.longest * bin_width:.3g} s. The model extrapolates in time."
            )
        return sentences


def read_stroke(
    points: Sequence[Sequence[float]], *, bin_width: float, n_bins: int | None = None, scale: float = 1, smooth: bool
) -> Stroke:
    """Convert the points of a stroke to positions and velocities in bins.

    Args:
        points: Points (x, y, t), with t in seconds that does not decrease.
        bin_width: Width of a bin, s.
        n_bins: Number of bins. The stroke is made slower or faster to fill them; None keeps its speed.
        scale: Factor by which the stroke is enlarged around its first point.
        smooth: Smooth the path with a Gaussian of 30 ms.

    Raises:
        ConditionError: if there are fewer than two points, the times decrease, or the stroke is too short or too long.
    """
    table = np.array(points, np.float64).reshape(len(points), 3)
    steps = np.diff(table[:, 2])
    if len(table) < 2 or (steps < 0).any() or not (steps > 0).any():
        raise ConditionError(
            "A stroke needs at least two points whose times increase.",
            f"It has {counted(len(table), 'point')}"
            + ("." if len(table) < 2 else ", and their times do not increase."),
            "Draw again, and keep the pen down while you draw.",
        )
    table = table[np.append(steps > 0, True)]  # if several points have the same time, keep the last one
    time = table[:, 2] - table[0, 2]
    bins = max(1, round(time[-1] / bin_width)) if n_bins is None else n_bins
    if bins > MOST_BINS:
        raise ConditionError(
            f"A stroke may last at most {MOST_BINS} bins, {MOST_BINS * bin_width:g} s.",
            f"It lasts {time[-1]:.3g} s.",
            "Draw a shorter one.",
        )
    if n_bins is not None:
        time = time * (bins * bin_width / time[-1])
    edges = np.arange(bins + 1) * bin_width
    positions = table[0, :2] + scale * (table[:, :2] - table[0, :2])
    path = np.stack([np.interp(edges, time, column) for column in positions.T], 1)  # (edge, 2)
    if smooth:
        path = gaussian_filter1d(path, SMOOTHING / bin_width, axis=0, mode="nearest")
    return Stroke(path[1:], path[0], np.diff(path, axis=0) / bin_width)
