"""Compare steps that move a code, curved, straight, or by optimal transport, by the trials that moved codes generate.

    python benchmarks/code_traversals.py arm --out steps.csv
    python benchmarks/code_traversals.py recording reach.h5 --leave 150 --out steps.csv

On the simulated arm, the hand is decoded from generated rates by a decoder that was fitted to noiseless units. Codes
are moved in three ways: to targets that no training trial has, by up to 16 cm inside the grid of targets, and to points
outside the grid, in which no target is more than 10 cm from the centre in x or y. In a recording, the direction of
reaches is decoded from generated spikes by a ridge regression that was fitted to recorded spikes. One direction is left
out of training.

Steps: `curved`, the default of `traverse`; the curved step that is not divided by its gain; optimal transport between
Gaussians (`code_transport`); and the straight steps `joint`, `encode` and `decode`.

Because the comparison guides a choice, it uses validation trials and targets that are held out within the training
trials. `--final` uses test trials, and held-out targets that were used for no choice.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from code_measures import EDGE, NAMES, NEAR, arm_data, chosen_on, fitted, from_codes, with_codes, write_table
from code_recordings import SHARES, AngleDecoder, apart, left_out
from code_transport import Transport
from spikeloom.metrics.disentanglement import Directions, Readout, ends, movement, variables
from spikeloom.models.common.coded import Coded
from spikeloom.nn.codes import CodeRangeWarning
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

WIDTH = 1.0
"""Width of the weights of the local covariance of codes, in standard deviations of the variables."""

SIZES = (0.04, 0.08, 0.12, 0.16)
"""Sizes of moves on the arm, m. Targets are 4 cm apart."""

COORDINATES = (0.02, 0.06, 0.10, 0.14, 0.18)
"""Requested coordinates on the arm, m from the centre. No training trial has a target beyond `EDGE`."""

Mover = Callable[[Numbers, Numbers], Numbers]
"""Function from codes and changes of the variables to moved codes."""

Row = dict[str, float]


def movers_of(coded: Trials, names: tuple[str, ...]) -> dict[str, Mover]:
    """Fit every step to training trials with codes."""
    directions = Directions.of(coded, names)
    codes = np.asarray(coded.codes)
    values = variables(coded, names)
    constant = Transport.fit(directions, codes, values, width=None)
    local = Transport.fit(directions, codes, values, width=WIDTH)
    return {
        "curved (default)": directions.move,
        "curved, not divided by its gain": constant.move,
        "optimal transport": local.move,
        "straight, joint": lambda codes, changes: directions.move(codes, changes, how="joint"),
        "straight, encode": lambda codes, changes: directions.move(codes, changes, how="encode"),
        "straight, decode": lambda codes, changes: directions.move(codes, changes, how="decode"),
    }


# --- simulated arm ---------------------------------------------------------------------------------------------------


class Hand:
    """Decoder of the hand's end and start from generated rates, cm; fitted to noiseless units."""

    def __init__(self, train: Trials) -> None:
        self.readout = Readout.fit(train, "hand_position", smoothing=None)

    def __call__(self, trials: Trials) -> Numbers:
        """Decode end and start of the hand (trial, 4)."""
        return 100 * ends(self.readout.decode(trials), trials.lengths)


def arm(model: Coded, hand: Hand, parts: tuple[Trials, Trials, Trials]) -> dict[str, Row]:
    """Compute the measures of every step for one model of simulated reaches; lengths in cm."""
    coded, tested, held = (with_codes(model, part) for part in parts)
    movers = movers_of(coded, NAMES)
    still = hand(from_codes(model, tested, np.asarray(tested.codes), seed=3))
    held_out = hand(from_codes(model, held, np.asarray(held.codes), seed=1))
    goal = variables(held, NAMES[:2])
    result: dict[str, Row] = {
        "codes of the trials, not moved": {
            "end points, held-out targets": _far(held_out, goal),
            "end points, tested trials": _far(still, variables(tested, NAMES[:2])),
        }
    }
    for name, move in movers.items():
        result[name] = (
            _to_held_out(model, hand, move, coded, held)
            | _by_size(model, hand, move, tested, still)
            | _by_coordinate(model, hand, move, tested)
        )
    return result


def _to_held_out(model: Coded, hand: Hand, move: Mover, coded: Trials, held: Trials) -> Row:
    """Compute the distance of end points from held-out targets, from codes of training trials moved to them."""
    goal = variables(held, NAMES[:2])
    source = variables(coded, NAMES[:2])
    codes = np.asarray(coded.codes)
    rng = np.random.default_rng(1)
    near = [np.flatnonzero(np.linalg.norm(source - point, axis=1) < NEAR) for point in goal]
    anywhere = [np.arange(len(codes))] * len(goal)
    row: Row = {}
    for word, choices in (("a neighbouring target", near), ("any target", anywhere)):
        chosen = np.array([rng.choice(rows) for rows in choices])
        changes = np.zeros((len(goal), len(NAMES)))
        changes[:, :2] = goal - source[chosen]
        made = from_codes(model, held, move(codes[chosen], changes), seed=1)
        row[f"end points, held-out targets, moved from {word}"] = _far(hand(made), goal)
    return row


def _by_size(model: Coded, hand: Hand, move: Mover, tested: Trials, still: Numbers) -> Row:
    """Compute arrival and unintended movement of moves along x and y that stay inside the grid, by their size."""
    codes = np.asarray(tested.codes)
    target = variables(tested, NAMES[:2])
    row: Row = {}
    for size in SIZES:
        gains = []
        unintended = []
        distances = []
        for axis in (0, 1):
            for change in (-size, size):
                rows = np.flatnonzero(np.abs(target[:, axis] + change) <= EDGE + 1e-9)
                changes = np.zeros((len(rows), len(NAMES)))
                changes[:, axis] = change
                made = hand(from_codes(model, tested.select(rows), move(codes[rows], changes), seed=3))
                requested = 100 * np.repeat([[0.0], [change]], len(rows), 1)
                effect = movement(requested, np.stack([still[rows], made]), moved=axis)
                gains.append(effect.gain)
                unintended.append(effect.unintended_total)
                distances.append(_far(made, target[rows] + changes[:, :2]))
        row[f"{100 * size:g} cm: achieved / requested"] = float(np.mean(gains))
        row[f"{100 * size:g} cm: distance from the requested point"] = float(np.mean(distances))
        row[f"{100 * size:g} cm: unintended movement"] = float(np.mean(unintended))
    return row


def _by_coordinate(model: Coded, hand: Hand, move: Mover, tested: Trials) -> Row:
    """Compute the mean end point if x or y of every tested trial is moved to a coordinate, with either sign."""
    codes = np.asarray(tested.codes)
    target = variables(tested, NAMES[:2])
    row: Row = {}
    for coordinate in COORDINATES:
        outward = []
        for axis in (0, 1):
            for sign in (-1, 1):
                changes = np.zeros((len(codes), len(NAMES)))
                changes[:, axis] = sign * coordinate - target[:, axis]
                made = hand(from_codes(model, tested, move(codes, changes), seed=3))
                outward.append(sign * made[:, axis].mean())
        side = "inside" if coordinate <= EDGE else "outside"
        row[f"{100 * coordinate:g} cm from the centre, {side} the grid: mean end point"] = float(np.mean(outward))
    return row


def _far(read: Numbers, goal: Numbers) -> float:
    """Return the mean distance of decoded end points (cm) from their goals (m), in cm."""
    return float(np.linalg.norm(read[:, :2] - 100 * goal, axis=1).mean())


# --- recordings ------------------------------------------------------------------------------------------------------


def recording(model: Coded, name: str, leave: float, parts: tuple[Trials, Trials, Trials]) -> dict[str, Row]:
    """Compute the measures of every step for one model of recorded reaches; angles in degrees."""
    decoder = AngleDecoder(parts[0], parts[0].conditions[name])
    coded, tested, left = (with_codes(model, part) for part in parts)
    turns = (f"{name}.cos", f"{name}.sin")
    movers = movers_of(coded, turns)
    angles = np.unique(coded.conditions[name])
    before = angles[np.searchsorted(angles, leave) - 1]
    after = angles[np.searchsorted(angles, leave) % len(angles)]
    neighbour = coded.select(coded.conditions[name] == before)
    through = [before + share * ((after - before) % 360) for share in SHARES]
    held = f"{leave:g}, held out"
    between = f"{before:g} to {after:g}"
    result: dict[str, Row] = {
        "codes of the trials, not moved": {
            f"{held}: mean direction off": _off(model, decoder, np.asarray(left.codes), leave),
            f"{held}: error of single trials": _error(model, decoder, np.asarray(left.codes), leave),
            f"{held}: error of single recorded trials": apart(decoder(left.counts, left.lengths), leave),
        }
    }
    for step, move in movers.items():
        row: Row = {}
        for word, start, targets in (
            (f"{between}, from training trials of {before:g}", neighbour, through),
            (f"{between}, from other trials", tested, through),
            ("all angles of the training trials, from other trials", tested, list(angles)),
        ):
            off = [_off(model, decoder, _moved(move, start, turns, angle), angle) for angle in targets]
            row[f"{word}: mean direction off"] = float(np.mean(off))
            row[f"{word}: mean direction off, largest"] = float(np.max(off))
        moved = _moved(move, tested, turns, leave)
        row[f"{held}: mean direction off"] = _off(model, decoder, moved, leave)
        row[f"{held}: error of single trials"] = _error(model, decoder, moved, leave)
        result[step] = row
    return result


def _moved(move: Mover, start: Trials, turns: tuple[str, ...], angle: float) -> Numbers:
    """Return the codes of trials moved to one angle, degrees."""
    turn = np.deg2rad(angle)
    return move(np.asarray(start.codes), np.array([[np.cos(turn), np.sin(turn)]]) - variables(start, turns))


def _generated(model: Coded, decoder: AngleDecoder, codes: Numbers) -> Numbers:
    """Return the angle of each generated trial, degrees."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CodeRangeWarning)
        made = model.sample(codes=codes, seed=1, progress=False)
    return decoder(made.counts, made.lengths)


def _off(model: Coded, decoder: AngleDecoder, codes: Numbers, angle: float) -> float:
    """Return the distance of the mean generated direction from the requested angle."""
    mean = np.exp(1j * np.deg2rad(_generated(model, decoder, codes))).mean()
    return apart(np.rad2deg(np.angle(mean)), angle)


def _error(model: Coded, decoder: AngleDecoder, codes: Numbers, angle: float) -> float:
    """Return the mean distance of the direction of a generated trial from the requested angle."""
    return apart(_generated(model, decoder, codes), angle)


# --- all together ----------------------------------------------------------------------------------------------------


def table(results: list[dict[str, Row]]) -> list[list[str]]:
    """Return the rows of the table: one measure per row, one step per column, mean ± sd over seeds."""
    steps = list(results[0])
    measures = list(dict.fromkeys(name for step in steps for name in results[0][step]))
    rows = [["", *steps]]
    for name in measures:
        digits = 2 if name.endswith("/ requested") else 1
        cells = []
        for step in steps:
            values = np.array([result[step].get(name, np.nan) for result in results])
            spread = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
            cells.append("" if np.isnan(values).any() else f"{values.mean():.{digits}f}{spread}")
        rows.append([name, *cells])
    return rows


def main() -> None:
    """Fit every seed, compare the steps, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["arm", "recording"])
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--set", action="append", default=[], help="changes of gnocchi-small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--angle", default="angle_deg", help="condition of a recording, degrees")
    parser.add_argument("--leave", type=float, default=150.0, help="angle left out of training")
    parser.add_argument("--final", action="store_true", help="evaluate on test trials and held-out targets")
    parser.add_argument("--runs", type=Path, help="folder of the runs; finished ones are loaded")
    parser.add_argument("--out", type=Path, required=True, help="table, CSV")
    options = parser.parse_args()
    if options.what == "arm":
        train, _, test, unseen = arm_data()
        parts = (train, test, unseen) if options.final else chosen_on()
        hand = Hand(parts[0])
    else:
        train, test = Trials.load(options.recording).split(0.75, seed=0)
        if not options.final:
            train, test = train.split(0.8, seed=0)
        parts = left_out(train, test, options.angle, options.leave)
    results = []
    for seed in options.seeds:
        out = None if options.runs is None else options.runs / str(seed)
        model = fitted("gnocchi-small", [*options.set, "prior=gaussian"], parts[0], seed=seed, out=out)
        if options.what == "arm":
            results.append(arm(model, hand, parts))
        else:
            results.append(recording(model, options.angle, options.leave, parts))
        print(f"seed {seed}: {results[-1]}", flush=True)
    write_table(table(results), options.out)


if __name__ == "__main__":
    main()
