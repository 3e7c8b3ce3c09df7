"""What GNOCCHI's codes are worth: every number of docs/gnocchi.md.

    python benchmarks/gnocchi.py arm                   # simulated reaching, three training seeds, beside no MMD
    python benchmarks/gnocchi.py weight                # the MMD weight: orthogonality against held-out error, a figure
    python benchmarks/gnocchi.py prior                 # where codes of unconditional samples come from
    python benchmarks/gnocchi.py speed                 # training gnocchi-small, sampling 1,000 trials
    python benchmarks/gnocchi.py recording TRIALS.h5 --angle angle_deg --leave 150

`--set key=value` changes the recipe, `--seeds`, `--recipe` and `--out` do what they say. Data of the arm: 3,600 trials
of `simulate reaching --seed 0`, six targets held out of everything; of the others 80 % to train, 10 % to watch (choices
are made on these) and 10 % to test.
"""

import argparse
import json
import time
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from spikeloom.data.reaching import reaching
from spikeloom.files import ensure_folder
from spikeloom.metrics.axes import axis_scores
from spikeloom.metrics.decoding import FOLDS, Ridge, circular_error_deg
from spikeloom.metrics.disentanglement import (
    Directions,
    Movement,
    Readout,
    code_snr,
    coverage,
    ends,
    group_snr,
    movement,
    orthogonality,
    point_error,
    unit_r2,
    variables,
)
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.nn.codes import CodeRangeWarning
from spikeloom.recipe import read_recipe
from spikeloom.report import figures
from spikeloom.report.walk import code_figure, weight_figure
from spikeloom.trials import Trials

NAMES = ("target_x", "target_y", "start_x", "start_y")
WALK = dict(span=(-0.06, 0.06), points=5)
EDGE = 0.10
"""Targets reach so far from the centre; walks inside the grid ask for none beyond."""

NEAR = 0.041
"""Targets nearer to each other than this are neighbours, m."""

HOWS = ("curved", "joint", "encode", "decode")


def arm_data(trials: int = 3600) -> tuple[Trials, Trials, Trials, Trials]:
    """Training, watch, test and held-out trials."""
    every = reaching(trials, seed=0)
    out = every.conditions["held_out"]
    train, rest = every.select(~out).split(0.8, seed=0)
    watch, test = rest.split(0.5, seed=0)
    return train, watch, test, every.select(out)


def fitted(recipe: str, settings: Sequence[str], train: Trials, *, seed: int) -> GNOCCHI:
    """A trained model, with its training time printed."""
    start, cpu = time.perf_counter(), time.process_time()
    model = read_recipe(recipe, settings).build(train.neurons).fit(train, seed=seed, progress=False)
    print(f"seed {seed}: trained in {time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} core-seconds")
    return model


# --- one model -------------------------------------------------------------------------------------------------------


def measure(model: GNOCCHI, train: Trials, test: Trials, unseen: Trials, *, scores: bool = True) -> dict[str, float]:
    """Every number of one model on simulated reaching; lengths in cm."""
    coded, tested, held = (model.encode(part, progress=False) for part in (train, test, unseen))
    directions = Directions.of(coded, NAMES)
    codes, values = np.asarray(tested.codes), variables(test, NAMES)
    found: dict[str, float] = {}
    rebuilt = model.reconstruct(test, seed=1)
    r2 = unit_r2(test.rates, rebuilt.rates, test.mask)
    low, middle, high = np.nanquantile(r2, (0.25, 0.5, 0.75))
    found |= {"unit R2": middle, "unit R2, lower quartile": low, "unit R2, upper quartile": high}
    rng = np.random.default_rng(0)
    dealt = Directions.fit(np.asarray(coded.codes)[rng.permutation(len(coded))], variables(train, NAMES), NAMES)
    target = np.unique(values[:, :2], axis=0, return_inverse=True)[1].ravel()
    for k, name in enumerate(NAMES):
        found[f"code SNR {name}"] = code_snr(directions, codes, values)[k]
        found[f"code SNR {name}, floor"] = code_snr(dealt, codes, values)[k]
    for k, name in enumerate(NAMES[:2]):
        found[f"SNR between targets {name}"] = group_snr(directions, codes, target)[k]
    for of in ("encode", "decode"):
        for whitened in (False, True):
            cosines = directions.cosines(of, whitened=whitened)
            word = f"|cos| {of}{', whitened' if whitened else ''}"
            found[f"{word}: target x, y"] = abs(cosines[0, 1])
            found[f"{word}: all pairs"] = orthogonality(cosines)
    found["|cos| of chance directions"] = np.sqrt(2 / (np.pi * model.codes))
    found["target error, held in"] = 100 * point_error(directions, codes, values[:, :2])
    found["target error, held out"] = 100 * point_error(
        directions, np.asarray(held.codes), variables(unseen, NAMES)[:, :2]
    )
    found |= _end_points(model, directions, coded, train, unseen)
    found |= _walks(model, train, test, HOWS if scores else HOWS[:1])
    fresh = np.asarray(model.sample(len(test), seed=2, progress=False).codes)
    half = np.asarray(coded.codes)[: len(test)]
    found |= {
        "coverage of the prior": coverage(codes, fresh),
        "coverage, floor (training codes)": coverage(codes, half),
    }
    if scores:
        found |= _scores((np.asarray(coded.codes), variables(train, NAMES)), (codes, values))
    return found


def _smoothing(model: GNOCCHI) -> float | None:
    return None if model.signal.of == "rates" else 0.05


def _end_points(
    model: GNOCCHI, directions: Directions, coded: Trials, train: Trials, unseen: Trials
) -> dict[str, float]:
    """How far decoded end points of trials for held-out targets are from those targets."""
    readout = Readout.fit(train, "hand_position", smoothing=_smoothing(model))
    goal = variables(unseen, NAMES[:2])

    def far(trials: Trials, points: np.ndarray) -> float:
        found = ends(readout.decode(trials), trials.lengths)[:, :2]
        return 100 * float(np.linalg.norm(found - points, axis=1).mean())

    codes, known = np.asarray(coded.codes), variables(train, NAMES[:2])
    rng, found = np.random.default_rng(1), {"end point, real trials to held-out targets": far(unseen, goal)}
    found["end point, generated from their codes"] = far(model.reconstruct(unseen, seed=1), goal)
    near = [np.flatnonzero(np.linalg.norm(known - point, axis=1) < NEAR) for point in goal]
    anywhere = np.arange(len(train))
    for word, choices in (("a neighbouring target", near), ("any target", [anywhere] * len(goal))):
        rows = np.array([rng.choice(rows) for rows in choices])
        changes = np.zeros((len(goal), len(NAMES)))
        changes[:, :2] = goal - known[rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CodeRangeWarning)
            made = model.sample(codes=directions.move(codes[rows], changes), seed=1, progress=False)
        found[f"end point, codes moved from {word}"] = far(made, goal)
    return found


def _walks(model: GNOCCHI, train: Trials, test: Trials, hows: Sequence[str]) -> dict[str, float]:
    """Gain and unintended movement along target x and y, mean of both."""
    readout = Readout.fit(train, "hand_position", smoothing=_smoothing(model))

    def read(trials: Trials) -> np.ndarray:
        return 100 * ends(readout.decode(trials), trials.lengths)

    found = {}
    for how, where in (*((how, "inside the grid") for how in hows), ("curved", "anywhere")):
        parts: list[Movement] = []
        for moved, name in enumerate(NAMES[:2]):
            inside = np.abs(variables(test, [name])[:, 0]) <= EDGE - WALK["span"][1] + 1e-9
            some = test.select(inside if where == "inside the grid" else slice(100))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CodeRangeWarning)
                walk = model.traverse(some, name, **WALK, how=how, reference=train, seed=3)
            asked = 100 * walk.conditions["walk"].reshape(WALK["points"], -1)
            still = read(model.reconstruct(some, seed=4))
            achieved = read(walk).reshape(*asked.shape, -1)
            parts.append(movement(asked, achieved, moved=moved, still=still))
        for word in ("gain", "unintended", "unintended_total", "floor"):
            found[f"walk, {how}, {where}: {word}"] = float(np.mean([getattr(part, word) for part in parts]))
    return found


def _scores(train: tuple, test: tuple) -> dict[str, float]:
    found = {}
    for regressor in ("trees", "lasso"):
        for name, score in axis_scores(train, test, regressor=regressor).items():
            found[f"DCI {regressor}, {name}: disentanglement"] = score.dci.disentanglement
            found[f"DCI {regressor}, {name}: completeness"] = score.dci.completeness
            found[f"DCI {regressor}, {name}: informativeness"] = score.dci.informativeness
            if regressor == "trees":
                found |= {f"MIG {name}": score.mig, f"SAP {name}": score.sap}
    return found


def show(title: str, tables: Iterable[dict[str, float]]) -> None:
    """Mean, spread over seeds, and each value."""
    tables = list(tables)
    print(f"\n{title}")
    for name in tables[0]:
        each = np.array([table[name] for table in tables])
        print(f"  {name:<52s} {each.mean():8.3f} ± {each.std():.3f}   {' '.join(f'{value:.3f}' for value in each)}")


# --- the commands ----------------------------------------------------------------------------------------------------


def arm(words: argparse.Namespace) -> None:
    """Simulated reaching, with MMD and without."""
    train, _, test, unseen = arm_data()
    tables: dict[str, list[dict[str, float]]] = {}
    for seed in words.seeds:
        for title, more in (("as the recipe says", ()), ("no MMD", ("network.mmd=0",))):
            if words.only in title:
                model = fitted(words.recipe, [*words.set, *more], train, seed=seed)
                found = measure(model, train, test, unseen, scores=words.scores and not more)
                print(f"{title}, seed {seed}: {json.dumps({name: round(value, 4) for name, value in found.items()})}")
                tables.setdefault(title, []).append(found)
    for title, each in tables.items():
        show(title, each)


INNER = ((2, 1), (1, 2), (3, 4), (4, 3), (2, 4), (3, 1))
"""Targets held out once more, from training, for choices: (row, column)."""


def chosen_on() -> tuple[Trials, Trials, Trials]:
    """Training, watch and inner held-out trials; test trials and the held-out targets are not looked at."""
    train, watch, _, _ = arm_data()
    points = np.array([[(column - 2.5) * 0.04, (row - 2.5) * 0.04] for row, column in INNER])
    apart = [np.abs(variables(part, NAMES[:2])[:, None] - points).sum(2).min(1) > 1e-6 for part in (train, watch)]
    return train.select(apart[0]), watch.select(apart[1]), train.select(~apart[0])


def weight(words: argparse.Namespace) -> None:
    """Trade-off curve of the MMD weight, on watch trials."""
    train, watch, unseen = chosen_on()
    found = []
    for value in words.weights:
        models = [fitted(words.recipe, [*words.set, f"network.mmd={value}"], train, seed=seed) for seed in words.seeds]
        tables = [measure(model, train, watch, unseen, scores=False) for model in models]
        show(f"MMD weight {value:g}", tables)
        keys = ("|cos| encode: target x, y", "|cos| encode: all pairs", "target error, held out")
        found.append([float(np.mean([table[key] for table in tables])) for key in keys])
    pairs = list(zip(*found, strict=True))
    figure = weight_figure(words.weights, pairs[1], pairs[2], unit="cm")
    for path in figures.save(figure, ensure_folder(words.out)):
        print(path)


def prior(words: argparse.Namespace) -> None:
    """Coverage and spread of codes from each prior; the encoder is the same."""
    train, watch, _ = chosen_on()
    model = fitted(words.recipe, [*words.set, "prior=diffusion"], train, seed=words.seeds[0])
    for kind in ("normal", "gaussian", "diffusion"):
        model.prior = kind  # all that they need has been measured
        real = np.asarray(model.encode(watch, progress=False).codes)
        fakes = [model.sample(len(watch), seed=seed, progress=False) for seed in (1, 2, 3)]
        each = [coverage(real, np.asarray(fake.codes)) for fake in fakes]
        readout = Readout.fit(train, "hand_position", smoothing=_smoothing(model))
        spread = [100 * ends(readout.decode(part), part.lengths)[:, :2].std(0).mean() for part in (watch, *fakes)]
        print(
            f"{kind:<10s} coverage {np.mean(each):.3f} ± {np.std(each):.3f}, spread of end points "
            f"{np.mean(spread[1:]):.2f} cm (real {spread[0]:.2f} cm)"
        )
    half = np.asarray(model.encode(train, progress=False).codes)[: len(watch)]
    print(f"training codes cover {coverage(real, half):.3f}")


def speed(words: argparse.Namespace) -> None:
    """Training time of the recipe on simulated spikes, and sampling 1,000 trials."""
    train, _, _, _ = arm_data()
    model = fitted(words.recipe, words.set, train, seed=0)
    start, cpu = time.perf_counter(), time.process_time()
    model.sample(1000, seed=0, progress=False)
    print(f"1,000 trials sampled in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} core-seconds")


# --- recordings ------------------------------------------------------------------------------------------------------

WINDOWS = 6
"""Windows whose spike counts a decoder of angles reads."""


class AngleDecoder:
    """Ridge regression from the roots of spike counts in six windows to cosine and sine of an angle."""

    def __init__(self, trials: Trials, angle: np.ndarray) -> None:
        inputs, turn = self._inputs(trials), np.deg2rad(angle)
        self.ridge = Ridge.fit(inputs, np.stack([np.cos(turn), np.sin(turn)], 1), np.arange(len(trials)) % FOLDS)

    def __call__(self, trials: Trials) -> np.ndarray:
        """Angle of each trial, degrees."""
        x, y = self.ridge.predict(self._inputs(trials)).T
        return np.rad2deg(np.arctan2(y, x))

    @staticmethod
    def _inputs(trials: Trials) -> np.ndarray:
        edges = np.linspace(0, trials.time, WINDOWS + 1).astype(int)
        sums = [trials.counts[:, a:b].sum(1, dtype=np.float64) for a, b in pairwise(edges)]
        return np.sqrt(np.concatenate(sums, 1))


def recording(words: argparse.Namespace) -> None:
    """Angles in codes of recorded reaches, one angle left out, and a walk through it."""
    train, test = Trials.load(words.recording).split(0.75, seed=0)
    angle = [part.conditions[words.angle] for part in (train, test)]
    known = np.unique(angle[0])
    place = int(np.flatnonzero(known == words.leave)[0])
    before, after = known[place - 1], known[(place + 1) % len(known)]
    seen, held_in = train.select(angle[0] != words.leave), test.select(angle[1] != words.leave)
    unseen = train.select(angle[0] == words.leave).concatenate(test.select(angle[1] == words.leave))
    turns = (f"{words.angle}.cos", f"{words.angle}.sin")
    decoder, tables = AngleDecoder(seen, seen.conditions[words.angle]), []
    for seed in words.seeds:
        model = fitted(words.recipe, words.set, seen, seed=seed)
        coded, tested, left = (model.encode(part, progress=False) for part in (seen, held_in, unseen))
        directions = Directions.of(coded, turns)
        found = _angle_numbers(words, directions, coded, tested, left)
        rebuilt = model.reconstruct(held_in, seed=1)
        found["decoded angle of test trials, error"] = _apart(decoder(held_in), held_in.conditions[words.angle])
        found["decoded angle of their reconstructions, error"] = _apart(
            decoder(rebuilt), held_in.conditions[words.angle]
        )
        found[f"decoded angle of real {words.leave:g} deg trials, error"] = _apart(decoder(unseen), words.leave)
        start = coded.select(coded.conditions[words.angle] == before)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            asked = before + share * ((after - before) % 360)
            turn = np.deg2rad([before, asked])
            change = np.array([[np.cos(turn[1]) - np.cos(turn[0]), np.sin(turn[1]) - np.sin(turn[0])]])
            moved = directions.move(np.asarray(start.codes), np.repeat(change, len(start), 0))
            read = np.deg2rad(decoder(model.sample(codes=moved, seed=1, progress=False)))
            mean = np.exp(1j * read).mean()
            found[f"walk from {before:g} deg, asked for {asked % 360:g}: decoded"] = np.rad2deg(np.angle(mean)) % 360
            found[f"walk, asked for {asked % 360:g}: length of the mean vector"] = abs(mean)
        tables.append(found)
    show(f"{words.recording}, {words.leave:g} degrees left out", tables)
    every = model.encode(Trials.load(words.recording), progress=False)
    groups = np.array([f"{value:g} deg" for value in every.conditions[words.angle]])
    for path in figures.save(code_figure(every, turns, groups, reference=coded), ensure_folder(words.out)):
        print(path)


def _angle_numbers(
    words: argparse.Namespace, directions: Directions, coded: Trials, tested: Trials, left: Trials
) -> dict[str, float]:
    """What codes say about the angle."""
    codes, values = np.asarray(tested.codes), variables(tested, directions.names)
    shuffled = np.random.default_rng(0).permutation(np.asarray(coded.codes))
    dealt = Directions.fit(shuffled, variables(coded, directions.names), directions.names)
    groups = np.unique(tested.conditions[words.angle], return_inverse=True)[1]
    read = [np.rad2deg(np.arctan2(*directions.predict(np.asarray(part.codes)).T[::-1])) for part in (tested, left)]
    return {
        "code SNR, mean of cos and sin": code_snr(directions, codes, values).mean(),
        "code SNR, floor": code_snr(dealt, codes, values).mean(),
        "SNR between targets": group_snr(directions, codes, groups).mean(),
        "SNR between targets, floor": group_snr(dealt, codes, groups).mean(),
        "|cos| of cos and sin, encode": abs(directions.cosines()[0, 1]),
        "angle read from test codes, error": _apart(read[0], tested.conditions[words.angle]),
        f"angle read from codes of {words.leave:g} deg trials, error": _apart(read[1], words.leave),
    }


def _apart(read: np.ndarray, asked: np.ndarray | float) -> float:
    """Mean angle between two directions, degrees; 90 by chance."""
    return float(circular_error_deg(np.asarray(asked, float), read).mean())


COMMANDS = {"arm": arm, "weight": weight, "prior": prior, "speed": speed, "recording": recording}


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(COMMANDS))
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--recipe", default="gnocchi-small")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", default="", help="one of the titles of `arm`")
    parser.add_argument("--no-scores", dest="scores", action="store_false", help="leave DCI, MIG and SAP out")
    parser.add_argument("--angle", default="angle_deg", help="condition of a recording, degrees")
    parser.add_argument("--leave", type=float, default=150.0, help="angle left out of training")
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 0.1, 0.3, 1, 3, 10])
    parser.add_argument("--out", type=Path, default=Path("."))
    words = parser.parse_args()
    COMMANDS[words.what](words)


if __name__ == "__main__":
    main()
