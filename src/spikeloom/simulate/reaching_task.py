r"""Simulated reaching: neurons of a network that moves an arm between targets on a grid, with the true rates.

The network (`simulate.arm`) receives the target, a go cue and feedback from the arm, and drives six muscles. Starts and
targets lie on a grid of 6 x 6 points, 4 cm apart, around the centre of the workspace; start and target of a trial
always differ. A trial is simulated for 60 bins of 20 ms, with the go cue from bin 20 on, and bins 12 to 51 are kept.
Each neuron n follows one hidden unit h of the network, with the unit's mean and sd s in this task:

.. math:: \lambda_n = e^{b_n + 0.7 (h - \bar h) / s}\ \text{spikes/s}, \qquad b_n \sim N(\log 5, 0.5^2), \qquad
          \text{counts} \sim \mathrm{Poisson}(\lambda_n \Delta).

:math:`\Delta` is the width of a bin. The field `rates` of the trials holds the true rates, in spikes/bin. Trials to
some targets are marked by the condition `held_out`: a model can be trained without them, and later generate trials to
these targets.

The shipped controller was made by `spikeloom simulate controller --seed 0`. Source: METHODS 1.2 (chosen for this
package; the settings of the GNOCCHI paper's task are not available).
"""

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from os import PathLike

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from spikeloom.errors import CorruptFileError, SettingError
from spikeloom.files import read_bytes
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.shapes import Numbers
from spikeloom.simulate import arm
from spikeloom.trials import Trials

GRID = 6
"""Number of targets along each side of the square grid."""

SPACING = 0.04
"""Distance between neighbouring targets, m."""

HELD_OUT = ((1, 1), (1, 4), (2, 2), (3, 3), (4, 1), (4, 4))
"""Targets, as (row, column) from the lower left, whose trials are not used for training."""

GO_AT = 20
"""First bin with the go cue."""

BINS = 60
"""Simulated bins of a trial."""

WINDOW = (12, 52)
"""First bin that is kept, and first bin after the kept ones."""

MEDIAN_HZ = 5.0
"""Median firing rate of the neurons, spikes/s."""

SPREAD = 0.5
"""Standard deviation over neurons of the log rate."""

GAIN = 0.7
"""Standard deviation of the log rate of one neuron over time."""

SHIPPED = "controller.safetensors"
"""File of the weights that come with the package."""

CHUNK = 512
"""Number of trials that are simulated together. It changes results by rounding errors only."""


def reaching(
    n_trials: int = 3600,
    *,
    n_neurons: int = arm.UNITS,
    seed: int = 0,
    held_out: Sequence[tuple[int, int]] = HELD_OUT,
    controller: Mapping[str, Numbers] | None = None,
) -> Trials:
    """Simulate reaches with true rates, hand and muscles; see the module.

    Trial k does not depend on the number of trials. In every 36 consecutive trials each target occurs once. Conditions
    are `target_x`, `target_y`, `start_x` and `start_y` (m from the centre of the workspace), and `held_out`. Behaviour
    series are `hand_position` (m), `hand_velocity` (m/s) and `muscle_activity` (0 to 1).

    Args:
        n_trials: Number of trials.
        n_neurons: Number of neurons. With more than 64, several neurons follow the same hidden unit at different rates.
        seed: Random seed of movements, neurons and spikes.
        held_out: Targets that are marked, as (row, column) from the lower left.
        controller: Weights from `read_controller`. `None` uses the shipped ones.

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.reaching(4, n_neurons=6, seed=0)
        >>> sorted(trials.behavior)
        ['hand_position', 'hand_velocity', 'muscle_activity']
    """
    for name, value in (("n_trials", n_trials), ("n_neurons", n_neurons)):
        if value < 1:
            raise SettingError(f"{name} must be at least 1.", f"It was {value}.", f"Give {name}=1 or more.")
    marked = _cells(held_out)  # numbers of the held-out targets
    weights = read_controller() if controller is None else controller
    start, target = _places(n_trials, seed)
    parts = []
    for first in range(0, n_trials, CHUNK):
        rows = range(first, min(first + CHUNK, n_trials))
        noise = Streams(seed, Purpose.SIMULATE, 0, rows).normal(BINS, arm.INPUTS + arm.UNITS)
        parts.append(movements(weights, _position(start[rows]), _position(target[rows]), noise))
    # each (trial, bin, ...), only the bins that are kept
    hidden, activity, position = (np.concatenate(part)[:, slice(*WINDOW)] for part in zip(*parts, strict=True))
    all_positions = np.concatenate([part[2] for part in parts])
    previous_position = all_positions[:, WINDOW[0] - 1 : WINDOW[1] - 1]  # one bin earlier
    rates = _rates(hidden, weights, n_neurons, seed)
    generators = Streams(seed, Purpose.SPIKES, 0, range(n_trials)).generators
    points = {"target": _position(target), "start": _position(start)}  # (trial, 2), m
    conditions = {f"{name}_{axis}": value[:, k] for name, value in points.items() for k, axis in enumerate("xy")}
    single = np.float32
    return Trials(
        np.stack([rng.poisson(trial_rates) for rng, trial_rates in zip(generators, rates, strict=True)]),
        arm.BIN_WIDTH,
        rates=rates.astype(single),
        behavior={
            "hand_position": position.astype(single),
            "hand_velocity": ((position - previous_position) / arm.BIN_WIDTH).astype(single),
            "muscle_activity": activity.astype(single),
        },
        units={"hand_position": "m", "hand_velocity": "m/s", "muscle_activity": "1"},
        conditions=conditions | {"held_out": np.isin(target, marked)},
        source="reaching",
    )


def movements(
    weights: Mapping[str, Numbers],
    start: Float[np.ndarray, "trial 2"],
    target: Float[np.ndarray, "trial 2"],
    noise: Float[np.ndarray, "trial bin noise"],
) -> tuple[Numbers, Numbers, Numbers]:
    """Simulate movements from start to target.

    Args:
        weights: Weights of the controller.
        start: Position of the hand at the beginning, m from the centre of the workspace.
        target: Position of the target, m from the centre of the workspace.
        noise: Standard normal numbers of each bin, for the inputs and the hidden units.

    Returns:
        Hidden units, activity of the muscles, and position of the hand (m), all (trial, bin, ...).
    """
    double = {name: np.asarray(weights[name], np.float64) for name in arm.SHAPES}
    state = arm.rest(start, xp=np)
    series_by_bin: list[tuple[Numbers, Numbers, Numbers]] = []
    for time in range(noise.shape[1]):
        go = np.full((len(start), 1), float(time >= GO_AT))
        state = arm.step(double, state, target * (time >= arm.TARGET_AT), go, noise[:, time], xp=np)
        series_by_bin.append((state.hidden, state.activity, arm.hand(state.angle, xp=np)))
    hidden, activity, position = (np.stack(series, 1) for series in zip(*series_by_bin, strict=True))
    return hidden, activity, position


def add_hidden_statistics(weights: Mapping[str, Numbers], *, n_trials: int = 720) -> tuple[dict[str, Numbers], float]:
    """Add the mean and standard deviation of each hidden unit in this task, estimated by simulation, to the weights.

    Args:
        weights: Weights of a controller.
        n_trials: Number of simulated trials.

    Returns:
        The weights with the further entries `hidden_mean` and `hidden_sd`, and the mean distance of the hand from the
        target at the end of a trial, m.
    """
    start, target = (_position(cells) for cells in _places(n_trials, 0))
    noise = Streams(0, Purpose.CALIBRATE, 0, range(n_trials)).normal(BINS, arm.INPUTS + arm.UNITS)
    hidden, _, position = movements(weights, start, target, noise)
    rows = hidden[:, slice(*WINDOW)].reshape(-1, arm.UNITS)  # (trial x bin, unit)
    # a unit that never changes must not be divided by 0
    scale = {"hidden_mean": rows.mean(0), "hidden_sd": rows.std(0).clip(min=1e-6)}
    error = float(np.linalg.norm(position[:, WINDOW[1] - 1] - target, axis=1).mean())
    return {name: np.asarray(value, np.float32) for name, value in {**weights, **scale}.items()}, error


def read_controller(path: str | PathLike[str] | None = None) -> dict[str, Numbers]:
    """Read the weights of a controller from a safetensors file. Without a path, read the weights of the package.

    Raises:
        CorruptFileError: if the file does not hold a controller of this arm.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    shipped = resources.files("spikeloom") / "simulate" / SHIPPED
    content = shipped.read_bytes() if path is None else read_bytes(path)
    shapes = {**arm.SHAPES, "hidden_mean": (arm.UNITS,), "hidden_sd": (arm.UNITS,)}
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError):
        tensors = {}
    has_shapes = {name: array.shape for name, array in tensors.items()} == shapes
    if not has_shapes or not all(np.isfinite(array).all() for array in tensors.values()):
        raise CorruptFileError(
            "A controller file must hold the finite weights of this arm's network, as safetensors.",
            f"{path or SHIPPED} does not.",
            "Make one with `spikeloom simulate controller --out controller.safetensors`.",
        )
    return tensors


def read_target(text: str) -> tuple[int, int]:
    """Return row and column of a target from text such as "2,3"; raise a SettingError for other text."""
    parts = text.split(",")
    cell = tuple(int(part) for part in parts) if all(part.strip().isdigit() for part in parts) else ()
    if len(cell) != 2:
        raise SettingError(
            f"A target to hold out must be a row and a column from 0 to {GRID - 1}.",
            f"It was {text!r}.",
            "Write --held-out 2,3.",
        )
    _cells([cell])
    return cell


def _cells(held_out: Sequence[tuple[int, int]]) -> list[int]:
    """Return the numbers of the targets at (row, column)."""
    for cell in held_out:
        if len(cell) != 2 or not all(0 <= index < GRID for index in cell):
            raise SettingError(
                f"A target to hold out must be a row and a column from 0 to {GRID - 1}.",
                f"It was {cell}.",
                "Write --held-out 2,3.",
            )
    return [row * GRID + column for row, column in held_out]


def _places(n_trials: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the grid cells of start and target of each trial (trial,).

    Blocks of 36 trials have each target once, in a random order. The start is another random cell.
    """
    n_cells = GRID * GRID
    blocks = range(math.ceil(n_trials / n_cells))
    target = np.concatenate([generator(seed, Purpose.SIMULATE, 1, block).permutation(n_cells) for block in blocks])
    # start minus target, from 1 to 35: the start is never the target
    shift = np.concatenate(
        [generator(seed, Purpose.SIMULATE, 2, block).integers(1, n_cells, n_cells) for block in blocks]
    )
    return ((target + shift) % n_cells)[:n_trials], target[:n_trials]


def _position(cells: NDArray[np.int64]) -> Numbers:
    """Return the position of cells (trial, 2), m from the centre of the workspace: x by column, y by row."""
    return (np.stack([cells % GRID, cells // GRID], 1) - (GRID - 1) / 2) * SPACING


def _rates(hidden: Numbers, weights: Mapping[str, Numbers], n_neurons: int, seed: int) -> Numbers:
    """Return the rates (trial, bin, neuron), spikes/bin, of neurons that each follow a hidden unit; see the module.

    Args:
        hidden: Hidden units (trial, bin, unit).
        weights: Weights of the controller, with the mean and standard deviation of each hidden unit.
        n_neurons: Number of neurons.
        seed: Random seed.
    """
    rng = generator(seed, Purpose.SIMULATE, 3)
    n_rounds = math.ceil(n_neurons / arm.UNITS)  # in each round, every hidden unit is followed by one neuron
    unit = np.concatenate([rng.permutation(arm.UNITS) for _ in range(n_rounds)])[:n_neurons]  # of each neuron
    offset = rng.normal(np.log(MEDIAN_HZ), SPREAD, n_neurons)  # b, log of spikes/s
    # standardised activity of the unit that each neuron follows
    score = (hidden[..., unit] - weights["hidden_mean"][unit]) / weights["hidden_sd"][unit]
    return np.exp(offset + GAIN * score) * arm.BIN_WIDTH
