r"""An arm with six muscles and the recurrent network that moves it, in steps of 20 ms.

The arm has two rigid links of lengths l in a plane, with joint angles q of shoulder and elbow. Its fingertip is at
:math:`p = (l_1 \cos q_1 + l_2 \cos(q_1 + q_2), \; l_1 \sin q_1 + l_2 \sin(q_1 + q_2))`, and it moves by

.. math:: M(q) \ddot q = \tau + \kappa(q, \dot q) - B \dot q, \qquad \tau = R^\top (f \odot a),

with mass matrix :math:`M_{11} = a_1 + 2 a_2 \cos q_2, M_{12} = a_3 + a_2 \cos q_2, M_{22} = a_3`, Coriolis
torque :math:`\kappa = a_2 \sin q_2 (\dot q_2 (2 \dot q_1 + \dot q_2), -\dot q_1^2)`, damping B, constant moment arms R
and largest forces f of the muscles. The muscles' activity a follows the output u of the controller with a time constant
of 50 ms, :math:`\dot a = (u - a) / 50\,ms`. The controller is a gated recurrent network (GRU) with hidden units h and
:math:`u = \sigma(W_o h + b_o)`. Integration is semi-implicit: the velocity is updated first, then the position.

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
"""Lengths of the two links, m."""

INERTIA = (0.025, 0.045)
"""Moments of inertia of the two links, kg m^2."""

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
"""Number of inputs of the controller in each bin."""

UNITS = 64
"""Number of hidden units of the controller. Each simulated neuron follows one of them."""

MUSCLES = 6
"""Number of muscles of the arm, and of outputs of the controller."""

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
    """State of arm and controller.

    Args:
        hidden: Hidden units of the controller (trial, unit).
        activity: Activity of the muscles (trial, muscle), 0 to 1.
        angle: Angles of shoulder and elbow (trial, 2), rad.
        speed: Angular velocities of the joints (trial, 2), rad/s.
        previous_hand: Position of the hand one bin earlier (trial, 2), m from the centre of the workspace. It is an
            input of the controller.
    """

    hidden: Values
    activity: Values
    angle: Values
    speed: Values
    previous_hand: Values


def rest(start: Values, *, xp: ModuleType) -> State:
    """Return the state of an arm at rest.

    Args:
        start: Position of the hand (trial, 2), m from the centre of the workspace.
        xp: numpy or torch.
    """
    x = start[:, 0] + WORKSPACE[0]  # from the shoulder
    y = start[:, 1] + WORKSPACE[1]
    first, second = LINKS
    elbow = xp.arccos((x**2 + y**2 - first**2 - second**2) / (2 * first * second))  # by the law of cosines
    # angle between the first link and the line from shoulder to hand
    first_to_hand = xp.arctan2(second * xp.sin(elbow), first + second * xp.cos(elbow))
    angle = xp.stack([xp.arctan2(y, x) - first_to_hand, elbow], -1)
    zeros = angle[:, :1] * 0  # (trial, 1), in the type of array of `xp`
    silent_units = xp.concatenate([zeros] * UNITS, -1)
    silent_muscles = xp.concatenate([zeros] * MUSCLES, -1)
    return State(silent_units, silent_muscles, angle, xp.zeros_like(angle), start)


def hand(angle: Values, *, xp: ModuleType) -> Values:
    """Return the position of the fingertip (trial, 2), m from the centre of the workspace, for these joint angles."""
    first_link = angle[:, 0]
    second_link = angle[:, 0] + angle[:, 1]
    x = LINKS[0] * xp.cos(first_link) + LINKS[1] * xp.cos(second_link) - WORKSPACE[0]
    y = LINKS[0] * xp.sin(first_link) + LINKS[1] * xp.sin(second_link) - WORKSPACE[1]
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
    # The factors and the offset bring all inputs to a similar range.
    inputs = xp.concatenate([8 * target, go, 8 * state.previous_hand, state.angle - 1.2, 0.1 * state.speed], -1)
    inputs = inputs + INPUT_NOISE * noise[:, :INPUTS]
    hidden = _gated(weights, state.hidden, inputs, xp) + HIDDEN_NOISE * noise[:, INPUTS:]
    output = _sigmoid(hidden @ weights["output"] + weights["output_bias"], xp)
    activity = state.activity + BIN_WIDTH / ACTIVATION * (output - state.activity)
    speed = state.speed + BIN_WIDTH * _acceleration(state.angle, state.speed, activity, xp)
    return State(hidden, activity, state.angle + BIN_WIDTH * speed, speed, hand(state.angle, xp=xp))


def _gated(weights: Mapping[str, Values], hidden: Values, inputs: Values, xp: ModuleType) -> Values:
    """Return the hidden units after one step of the GRU, whose gates are in the order reset, update, candidate.

    Args:
        weights: Weights of the controller.
        hidden: Present hidden units (trial, unit).
        inputs: Inputs of this bin (trial, input).
        xp: numpy or torch.
    """
    from_inputs = inputs @ weights["input"] + weights["input_bias"]
    from_hidden = hidden @ weights["recurrent"] + weights["recurrent_bias"]
    reset = _sigmoid(from_inputs[:, :UNITS] + from_hidden[:, :UNITS], xp)
    update = _sigmoid(from_inputs[:, UNITS : 2 * UNITS] + from_hidden[:, UNITS : 2 * UNITS], xp)
    candidate = xp.tanh(from_inputs[:, 2 * UNITS :] + reset * from_hidden[:, 2 * UNITS :])
    return candidate + update * (hidden - candidate)


def _acceleration(angle: Values, speed: Values, activity: Values, xp: ModuleType) -> Values:
    """Return the angular acceleration of the joints (trial, 2), rad/s^2: solve the equation of motion of the module.

    Args:
        angle: Angles of shoulder and elbow (trial, 2), rad.
        speed: Angular velocities of the joints (trial, 2), rad/s.
        activity: Activity of the muscles (trial, muscle), 0 to 1.
        xp: numpy or torch.
    """
    a1 = INERTIA[0] + INERTIA[1] + MASS * LINKS[0] ** 2
    a2 = MASS * LINKS[0] * CENTRE_OF_MASS
    a3 = INERTIA[1]
    cosine = xp.cos(angle[:, 1])
    sine = xp.sin(angle[:, 1])
    shoulder = speed[:, 0]
    elbow = speed[:, 1]
    muscles = list(zip(MOMENT_ARMS, FORCES, strict=True))
    # torque of all muscles about shoulder and elbow, N m
    torque = [sum(arms[joint] * force * activity[:, k] for k, (arms, force) in enumerate(muscles)) for joint in (0, 1)]
    # Coriolis torque and damping are added to the torque of the muscles.
    torque[0] = (
        torque[0] + a2 * sine * elbow * (2 * shoulder + elbow) - DAMPING[0][0] * shoulder - DAMPING[0][1] * elbow
    )
    torque[1] = torque[1] - a2 * sine * shoulder**2 - DAMPING[1][0] * shoulder - DAMPING[1][1] * elbow
    m11 = a1 + 2 * a2 * cosine
    m12 = a3 + a2 * cosine
    m22 = a3
    scale = 1 / (m11 * m22 - m12**2)  # 1 / determinant of the mass matrix, whose inverse gives the acceleration
    return xp.stack([scale * (m22 * torque[0] - m12 * torque[1]), scale * (m11 * torque[1] - m12 * torque[0])], -1)


def _sigmoid(x: Values, xp: ModuleType) -> Values:
    """Return the logistic function 1 / (1 + e^-x), computed by tanh, which cannot overflow."""
    return 0.5 + 0.5 * xp.tanh(0.5 * x)
