r"""Move a cursor to targets by decoded spikes, which a generator makes from the intended velocity.

    python -m benchmarks.closed_loop runs/path0 runs/path1 runs/path2 --data train.h5 --validation validation.h5 \
        --test test.h5 --figure closed-loop.svg

In each bin, the intended velocity is proportional to the vector from the cursor to the target, with a limited speed. A
generator makes the spikes of this bin for the intended velocity. It is an AutoregressiveLDNS in live generation, or
tuning curves of the same recording with Poisson spikes. A Kalman filter that was fitted to the recorded training trials
decodes the spikes, and moves the cursor. Nothing is learned in the loop, and no setting is chosen on its results. The
guidance of the model is the one with which the velocity of validation trials is decoded best from generated spikes.

Tuning curves have the form that public simulators use: :math:`r = b_0 + b_x v_x + b_y v_y + s |v|`, at least 0. They
are fitted by least squares.

Also printed: R2 of the velocity of recorded test trials, decoded from their own spikes and from generated ones, and the
time after which the decoder reads the new direction when the velocity is reversed in mid-trial.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import spikeloom as sl
from spikeloom.metrics.kalman import KalmanFilter
from spikeloom.models.common.base import Model
from spikeloom.models.common.live import Live
from spikeloom.trials import Trials

VELOCITY = "hand_vel"
DISTANCE = 0.10
"""Distance of the targets from the start, m."""

RADIUS = 0.02
"""Radius of the targets, m."""

HOLD = 0.25
"""Time in the target that counts as success, s."""

LIMIT = 4.0
"""Longest duration of a trial, s."""

REST = 1.0
"""Rest before the target appears, s."""

GAIN = 4.0
"""Intended velocity per distance from the target, 1/s."""

SPEED_QUANTILE = 0.99
"""The largest intended speed is this quantile of the speed in training."""

FLIP_AFTER = 1.0
"""Time before the reversal of the velocity, s."""

FLIP_SPEED = 0.15
"""Speed before and after the reversal, m/s."""

FLIP_LASTS = 1.0
"""Time after the reversal, s."""

GUIDANCE = (0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5)
"""Candidates of the guidance."""

REPEATS = 25
"""Trials per target and generator."""

Array = NDArray[np.float64]


class Generator(Protocol):
    """Spikes of many trials, bin by bin."""

    def step(self, velocity: Array) -> NDArray[np.integer]:
        """Return the counts (trial, neuron) of a bin with this velocity (trial, dim)."""
        ...


class LiveGenerator:
    """Live trials of a model."""

    def __init__(self, model: Model, n_trials: int, seed: int, guidance: float) -> None:
        start = {VELOCITY: np.zeros((n_trials, 2))}
        self.live: Live = model.live(seed, condition=start, batch=n_trials, guidance=guidance)

    def step(self, velocity: Array) -> NDArray[np.integer]:
        """See `Generator`."""
        return self.live.step({VELOCITY: velocity})


@dataclass
class TuningCurves:
    """Poisson spikes of tuning curves fitted by least squares.

    Args:
        weights: Weights (4, neuron) of 1, both velocities and the speed.
        rng: Source of the spikes.
    """

    weights: Array
    rng: np.random.Generator

    @classmethod
    def fit(cls, trials: Trials, seed: int) -> "TuningCurves":
        """Return the tuning curves of recorded trials."""
        inputs = cls.inputs(trials.behavior[VELOCITY][trials.mask].astype(np.float64))
        weights = np.linalg.lstsq(inputs, trials.counts[trials.mask].astype(np.float64), rcond=None)[0]
        return cls(weights, np.random.default_rng(seed))

    @staticmethod
    def inputs(velocity: Array) -> Array:
        """Return 1, both velocities and the speed (bin, 4)."""
        speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
        return np.concatenate([np.ones_like(speed), velocity, speed], -1)

    def step(self, velocity: Array) -> NDArray[np.integer]:
        """See `Generator`."""
        return self.rng.poisson(np.maximum(self.inputs(velocity) @ self.weights, 0.0))


@dataclass
class Reaches:
    """Cursors of all trials.

    Args:
        paths: Position (trial, bin, 2), m, from the appearance of the target.
        ends: Number of bins until the hold begins; the length of the paths without success.
        success: Whether the target was reached and held.
        bin_width: Width of a bin, s.
    """

    paths: Array
    ends: NDArray[np.int64]
    success: NDArray[np.bool_]
    bin_width: float

    def summary(self) -> tuple[float, float, float]:
        """Return success rate, and of successful trials the median time to the target, s, and path efficiency."""
        efficiency = []
        for path, end in zip(self.paths[self.success], self.ends[self.success], strict=True):
            steps = np.linalg.norm(np.diff(path[: end + 1], axis=0, prepend=np.zeros((1, 2))), axis=1)
            efficiency.append(np.linalg.norm(path[end]) / steps.sum())
        times = (self.ends[self.success] + 1) * self.bin_width
        return float(self.success.mean()), float(np.median(times)), float(np.median(efficiency))


def targets() -> Array:
    """Return the target of each trial (trial, 2), m."""
    angles = np.tile(np.arange(8) * np.pi / 4, REPEATS)
    return DISTANCE * np.stack([np.cos(angles), np.sin(angles)], 1)


def intended(target: Array, cursor: Array, largest: float) -> Array:
    """Return the velocity of the feedback law (trial, 2), m/s."""
    velocity = GAIN * (target - cursor)
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    return velocity * np.minimum(1.0, largest / np.maximum(speed, 1e-9))


def reach(generator: Generator | None, model: KalmanFilter, largest: float) -> Reaches:
    """Move the cursor to all targets; without a generator the cursor has the intended velocity itself."""
    target = targets()
    width = model.bin_width
    decoder = model.start(np.zeros_like(target))
    for _ in range(round(REST / width)):
        if generator is not None:
            decoder.step(generator.step(np.zeros_like(target)))
    cursor = np.zeros_like(target)
    paths = []
    for _ in range(round(LIMIT / width)):
        velocity = intended(target, cursor, largest)
        cursor = cursor + width * (velocity if generator is None else decoder.step(generator.step(velocity)))
        paths.append(cursor)
    path = np.stack(paths, 1)
    hold = round(HOLD / width)
    inside = np.linalg.norm(path - target[:, None], axis=2) < RADIUS
    held = np.lib.stride_tricks.sliding_window_view(inside, hold, axis=1).all(2)
    ends = np.where(held.any(1), held.argmax(1), path.shape[1])
    return Reaches(path, ends, held.any(1), width)


def flip(generator: Generator, model: KalmanFilter) -> Array:
    """Return the part of trials in each bin after the reversal that are read as moving in the new direction."""
    direction = targets() / DISTANCE
    decoder = model.start(np.zeros_like(direction))
    width = model.bin_width
    read = []
    for bins, sign in ((FLIP_AFTER, 1), (FLIP_LASTS, -1)):
        for _ in range(round(bins / width)):
            decoded = decoder.step(generator.step(sign * FLIP_SPEED * direction))
            read.append(((decoded * direction).sum(1) < 0).mean())
    return np.array(read[round(FLIP_AFTER / width) :])


def read_after(read: Array, part: float, width: float) -> float:
    """Return the time after the reversal, s, from which on this part of all trials is read as new; NaN if never."""
    below = np.flatnonzero(read < part)
    first = below[-1] + 1 if len(below) else 0
    return (first + 1) * width if first < len(read) else float("nan")


def decoded_r2(model: KalmanFilter, test: Trials, counts: NDArray[np.integer]) -> float:
    """Return the R2 of the velocity of test trials, decoded from counts (trial, time, neuron)."""
    decoder = model.start(np.zeros((len(test), 2)))
    mask = test.mask
    decoded = np.stack([decoder.step(counts[:, time]) for time in range(test.n_bins)], 1)[mask]
    real = test.behavior[VELOCITY][mask].astype(np.float64)
    return float(1 - ((decoded - real) ** 2).sum() / ((real - real.mean(0)) ** 2).sum())


def generated(generator: Generator, test: Trials) -> NDArray[np.integer]:
    """Return counts (trial, time, neuron) under the velocities of test trials."""
    velocity = np.where(test.mask[..., None], test.behavior[VELOCITY], 0.0)
    return np.stack([generator.step(velocity[:, time]) for time in range(test.n_bins)], 1)


def best_guidance(models: list[Model], decoder: KalmanFilter, trials: Trials) -> float:
    """Return the guidance with the largest R2 of the decoded velocity of validation trials, mean over models."""
    print(f"validation trials, recorded spikes: R2 {decoded_r2(decoder, trials, trials.counts):.3f}")
    scores = []
    for guidance in GUIDANCE:
        generators = [LiveGenerator(model, len(trials), 300 + k, guidance) for k, model in enumerate(models)]
        r2 = [decoded_r2(decoder, trials, generated(generator, trials)) for generator in generators]
        scores.append(np.mean(r2))
        print(f"validation trials, guidance {guidance:g}: R2 {scores[-1]:.3f}")
    return GUIDANCE[int(np.argmax(scores))]


def draw(panels: dict[str, Reaches], reads: dict[str, Array], width: float) -> Figure:
    """Return the paths of some cursors, and the readings after the reversal."""
    sheet = Figure((3.0 * (len(panels) + 1), 3.1), layout="constrained")
    axes = sheet.subplots(1, len(panels) + 1)
    for panel, (name, reaches) in zip(axes, panels.items(), strict=False):
        for path, end, good in zip(reaches.paths[:80], reaches.ends, reaches.success, strict=False):
            panel.plot(*(1000 * path[: end + 1].T), color="#D55E00" if good else "#8a8a8a", lw=0.7, alpha=0.7)
        for x, y in 1000 * targets()[:8]:
            panel.add_patch(_circle(x, y))
        panel.set(title=name, aspect="equal", xlabel="mm", xlim=(-150, 150), ylim=(-150, 150))
    for name, read in reads.items():
        color = "#8a8a8a" if name == TUNING else "#D55E00"
        axes[-1].plot(1000 * width * np.arange(1, len(read) + 1), 100 * read, color=color, label=name)
    axes[-1].set(title="velocity reversed at 0 ms", xlabel="ms", ylabel="trials read as new (%)", xlim=(0, 600))
    axes[-1].legend(frameon=False, loc="lower right")
    return sheet


def _circle(x: float, y: float) -> object:
    from matplotlib.patches import Circle

    return Circle((x, y), 1000 * RADIUS, fill=False, color="#00568C")


TUNING = "tuning curves, Poisson"
MODEL = "AutoregressiveLDNS, live"
PERFECT = "intended velocity itself"


def main() -> None:
    """Print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True, help="training trials, for decoder and tuning curves")
    parser.add_argument("--validation", required=True, help="validation trials, on which the guidance is chosen")
    parser.add_argument("--test", required=True)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    train = Trials.load(options.data)
    test = Trials.load(options.test)
    model = KalmanFilter.fit(train, velocity=VELOCITY)
    speed = np.linalg.norm(train.behavior[VELOCITY][train.mask], axis=1)
    largest = float(np.quantile(speed, SPEED_QUANTILE))
    width = model.bin_width
    print(f"largest intended speed {largest:.3f} m/s; {len(targets())} trials; test trials {len(test)}")
    print(f"recorded test trials: R2 {decoded_r2(model, test, test.counts):.3f}")
    perfect = reach(None, model, largest)
    print(f"{PERFECT}: success, time (s), efficiency", *(f"{value:.3f}" for value in perfect.summary()))
    panels = {}
    reads = {}
    n_trials = len(targets())
    models = [sl.load_model(run) for run in options.runs]
    guidance = best_guidance(models, model, Trials.load(options.validation))
    for number in range(max(3, len(models))):
        makers = {TUNING: lambda _, seed: TuningCurves.fit(train, seed)}
        if number < len(models):
            makers[MODEL] = lambda n, seed, trained=models[number]: LiveGenerator(trained, n, seed, guidance)
        for name, make in makers.items():
            reaches = reach(make(n_trials, number), model, largest)
            read = flip(make(n_trials, number + 100), model)
            r2 = decoded_r2(model, test, generated(make(len(test), number + 200), test))
            after = [1000 * read_after(read, part, width) for part in (0.5, 0.9)]
            print(f"{name}, seed {number}: success, time (s), efficiency", end=" ")
            print(*(f"{value:.3f}" for value in reaches.summary()), end="; ")
            print(f"50 %, 90 % read as new after {after[0]:.0f}, {after[1]:.0f} ms; R2 {r2:.3f}")
            panels.setdefault(name, reaches)
            reads.setdefault(name, read)
    if options.figure is not None:
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spikeloom"}):
            draw(panels, reads, width).savefig(options.figure, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
