r"""An arm with six muscles and the recurrent network that moves it, in steps of 20 ms.

Two rigid links in a plane, joint angles q, fingertip :math:`p = (l_1 \cos q_1 + l_2 \cos(q_1 + q_2), \ldots)`:

.. math:: M(q) \ddot q = \tau + \kappa(q, \dot q) - B \dot q, \qquad \tau = R^\top (f \odot a),

with mass matrix :math:`M_{11} = a_1 + 2 a_2 \cos q_2, M_{12} = a_3 + a_2 \cos q_2, M_{22} = a_3`, Coriolis
torque :math:`\kappa = a_2 \sin q_2 (\dot q_2 (2 \dot q_1 + \dot q_2), -\dot q_1^2)`, constant moment arms R and
largest forces f. Muscle activity follows the controller's output with a time constant of 50 ms,
:math:`\dot a = (u - a) / 50\,ms`. The controller is a gated recurrent unit (GRU), :math:`u = \sigma(W_o h + b_o)`.
Integration is semi-implicit: the velocity is updated first, then the position.

Each function takes `xp`, the library of its arrays: NumPy for simulation, torch for training (`simulate.controller`).
Arrays are (trial, ...); lengths are in metres, angles in radians.

Source: METHODS 1.2; no published simulator is copied.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

Values = Any  # arrays of NumPy or of torch, which have no type in common
"""Array of the library `xp`, (trial, ...)."""

LINKS = (0.30, 0.33)
INERTIA = (0.025, 0.045)
MASS = 1.65
"""Mass of the second link, kg."""

CENTRE_OF_MASS = 0.16
"""Distance of the centre of mass of the second link from the elbow, m."""

DAMPING = ((0.05, 0.025), (0.025, 0.05))
"""Damping matrix B of the joints, N m s."""

MOMENT_ARMS = ((0.04, 0.0), (-0.04, 0.0), (0.0, 0.025), (0.0, -0.025), (0.028, 0.028), (-0.035, -0.03))
"""Moment arms of each muscle about shoulder and elbow, m: flexor and extensor of the shoulder, the elbow, and both."""

FORCES = (125.0, 125.0, 75.0, 75.0, 62.5, 62.5)
"""Largest force of each muscle, N."""

ACTIVATION = 0.05
"""Time constant of a muscle, s."""

BIN_WIDTH = 0.02
"""Step of the simulation, s."""

WORKSPACE = (0.0, 0.40)
"""Centre of the workspace relative to the shoulder, m. Hand and target positions are relative to this centre."""

INPUTS = 9
"""Inputs of the controller in each bin."""

UNITS = 64
"""Hidden units of the controller, which are the recorded neurons."""

MUSCLES = 6
"""Muscles of the arm, which are the outputs of the controller."""

TARGET_AT = 3
"""First bin in which the target is shown."""

INPUT_NOISE = 0.01
"""Standard deviation of the noise added to the inputs in each bin."""

HIDDEN_NOISE = 0.01
"""Standard deviation of the noise added to the hidden units in each bin."""

SHAPES = {
    "input": (INPUTS, 3 * UNITS),
    "recurrent": (UNITS, 3 * UNITS),
    "input_bias": (3 * UNITS,),
    "recurrent_bias": (3 * UNITS,),
    "output": (UNITS, MUSCLES),
    "output_bias": (MUSCLES,),
}
"""Shapes of the weights of the controller. Gates are in the order reset, update, candidate."""


class State(NamedTuple):
    """State of arm and controller: hidden units, muscle activity, joint angles, their velocities, last hand."""

    hidden: Values
    activity: Values
    angle: Values
    speed: Values
    felt: Values


def rest(start: Values, *, xp: ModuleType) -> State:
    """Return the state of an arm that rests with its hand at `start` (trial, 2), m from the workspace centre."""
    x = start[:, 0] + WORKSPACE[0]
    y = start[:, 1] + WORKSPACE[1]
    first, second = LINKS
    elbow = xp.arccos((x**2 + y**2 - first**2 - second**2) / (2 * first * second))
    reach = xp.arctan2(second * xp.sin(elbow), first + second * xp.cos(elbow))
    angle = xp.stack([xp.arctan2(y, x) - reach, elbow], -1)
    none = xp.zeros_like(angle)
    wide = angle[:, :1] * 0
    return State(xp.concatenate([wide] * UNITS, -1), xp.concatenate([wide] * MUSCLES, -1), angle, none, start)


def hand(angle: Values, *, xp: ModuleType) -> Values:
    """Return the position of the fingertip (trial, 2), m from the centre of the workspace."""
    shoulder = angle[:, 0]
    both = angle[:, 0] + angle[:, 1]
    x = LINKS[0] * xp.cos(shoulder) + LINKS[1] * xp.cos(both) - WORKSPACE[0]
    y = LINKS[0] * xp.sin(shoulder) + LINKS[1] * xp.sin(both) - WORKSPACE[1]
    return xp.stack([x, y], -1)


def step(
    weights: Mapping[str, Values], state: State, target: Values, go: Values, noise: Values, *, xp: ModuleType
) -> State:
    """Return the state one bin later.

    Args:
        weights: Weights of the controller, with the shapes in `SHAPES`.
        state: Present state.
        target: Position of the target (trial, 2), m from the centre of the workspace; zero while it is not shown.
        go: Go cue (trial, 1), 1 once the hand may leave.
        noise: Standard normal numbers (trial, inputs + units).
        xp: numpy or torch.
    """
    seen = xp.concatenate([8 * target, go, 8 * state.felt, state.angle - 1.2, 0.1 * state.speed], -1)
    seen = seen + INPUT_NOISE * noise[:, :INPUTS]
    hidden = _gated(weights, state.hidden, seen, xp) + HIDDEN_NOISE * noise[:, INPUTS:]
    wanted = _sigmoid(hidden @ weights["output"] + weights["output_bias"], xp)
    activity = state.activity + BIN_WIDTH / ACTIVATION * (wanted - state.activity)
    speed = state.speed + BIN_WIDTH * _acceleration(state.angle, state.speed, activity, xp)
    return State(hidden, activity, state.angle + BIN_WIDTH * speed, speed, hand(state.angle, xp=xp))


def _gated(weights: Mapping[str, Values], hidden: Values, seen: Values, xp: ModuleType) -> Values:
    """Return the hidden units after one step of the GRU."""
    outside = seen @ weights["input"] + weights["input_bias"]
    inside = hidden @ weights["recurrent"] + weights["recurrent_bias"]
    reset = _sigmoid(outside[:, :UNITS] + inside[:, :UNITS], xp)
    update = _sigmoid(outside[:, UNITS : 2 * UNITS] + inside[:, UNITS : 2 * UNITS], xp)
    candidate = xp.tanh(outside[:, 2 * UNITS :] + reset * inside[:, 2 * UNITS :])
    return candidate + update * (hidden - candidate)


def _acceleration(angle: Values, speed: Values, activity: Values, xp: ModuleType) -> Values:
    """Return the angular acceleration of the joints, rad/s^2 (trial, 2)."""
    one = INERTIA[0] + INERTIA[1] + MASS * LINKS[0] ** 2
    two = MASS * LINKS[0] * CENTRE_OF_MASS
    three = INERTIA[1]
    cosine = xp.cos(angle[:, 1])
    sine = xp.sin(angle[:, 1])
    fast = speed[:, 0]
    slow = speed[:, 1]
    push = [
        sum(
            arms[joint] * force * activity[:, k]
            for k, (arms, force) in enumerate(zip(MOMENT_ARMS, FORCES, strict=True))
        )
        for joint in (0, 1)
    ]
    push[0] = push[0] + two * sine * slow * (2 * fast + slow) - DAMPING[0][0] * fast - DAMPING[0][1] * slow
    push[1] = push[1] - two * sine * fast**2 - DAMPING[1][0] * fast - DAMPING[1][1] * slow
    m11 = one + 2 * two * cosine
    m12 = three + two * cosine
    m22 = three
    scale = 1 / (m11 * m22 - m12**2)
    return xp.stack([scale * (m22 * push[0] - m12 * push[1]), scale * (m11 * push[1] - m12 * push[0])], -1)


def _sigmoid(x: Values, xp: ModuleType) -> Values:
    return 0.5 + 0.5 * xp.tanh(0.5 * x)
