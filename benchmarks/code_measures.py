"""Measures of codes on simulated reaching, for any model with codes; used by `gnocchi.py`.

A model of rates (noiseless units) is evaluated by its rates. Any other model is evaluated with three decoders of the
hand: "spikes" is fitted to real spikes and decodes generated spikes; "expected spikes" is the same decoder applied to
rates, which removes the noise of drawing spikes; "rates" is fitted to the noiseless units, which only a simulation has,
and decodes the model's rates. A decoder of noisy spikes underestimates the target on real trials, too: "slope on real
trials" is the decoded fraction of the movement.
"""

import csv
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from spikeloom.metrics.axes import axis_scores
from spikeloom.metrics.decoding import FOLDS, Ridge
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
from spikeloom.models.common.coded import Coded
from spikeloom.nn.codes import CodeRangeWarning
from spikeloom.recipe import load_model, read_recipe
from spikeloom.simulate.reaching_task import reaching
from spikeloom.trials import Trials

NAMES = ("target_x", "target_y", "start_x", "start_y")
TRAVERSAL = dict(span=(-0.06, 0.06), points=5)
EDGE = 0.10
"""Largest distance of targets from the centre; traversals inside the grid request no target beyond it."""

NEAR = 0.041
"""Largest distance between neighbouring targets, m."""

HOWS = ("curved", "joint", "encode", "decode")

WINDOWS = 6
"""Number of windows whose spike counts are inputs of a ridge regression."""

INNER = ((2, 1), (1, 2), (3, 4), (4, 3), (2, 4), (3, 1))
"""Targets held out of the training trials for the choice of settings: (row, column)."""


# --- data and models -------------------------------------------------------------------------------------------------


def arm_data(trials: int = 3600) -> tuple[Trials, Trials, Trials, Trials]:
    """Return training, validation, test and held-out trials."""
    every = reaching(trials, seed=0)
    out = every.conditions["held_out"]
    train, rest = every.select(~out).split(0.8, seed=0)
    validation, test = rest.split(0.5, seed=0)
    return train, validation, test, every.select(out)


def chosen_on() -> tuple[Trials, Trials, Trials]:
    """Return training, validation and inner held-out trials; test trials and the held-out targets are not used."""
    train, validation, _, _ = arm_data()
    points = np.array([[(column - 2.5) * 0.04, (row - 2.5) * 0.04] for row, column in INNER])
    apart = [np.abs(variables(part, NAMES[:2])[:, None] - points).sum(2).min(1) > 1e-6 for part in (train, validation)]
    return train.select(apart[0]), validation.select(apart[1]), train.select(~apart[0])


def fitted(
    recipe: str,
    settings: Sequence[str],
    train: Trials,
    *,
    seed: int,
    validation: Trials | None = None,
    out: Path | None,
) -> Coded:
    """Train a model and print its training time; a finished run in the folder `out` is loaded."""
    start = time.perf_counter()
    cpu = time.process_time()
    model = read_recipe(recipe, settings).build(train.n_neurons)
    model.fit(train, validation=validation, seed=seed, out=out, progress=False)
    print(f"seed {seed}: trained in {time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} core-seconds")
    return model


def with_latents(run: Path | None, parts: Sequence[Trials]) -> list[Trials]:
    """Return the trials with the latents that a trained model infers; unchanged if there is no run."""
    if run is None:
        return list(parts)
    coder = load_model(run)
    fields = [{name: getattr(part, name) for name in part.__dataclass_fields__} for part in parts]
    return [
        Trials(**{**fields_of_part, "latents": coder.encode(part, progress=False).latents})
        for fields_of_part, part in zip(fields, parts, strict=True)
    ]


# --- one model -------------------------------------------------------------------------------------------------------

Reader = Callable[[Trials], np.ndarray]
"""Function that decodes end and start of the hand from activity (trial, 4), cm."""


def readers(model: Coded, train: Trials) -> dict[str, Reader]:
    """Fit decoders of the hand to real trials, by the name of their inputs; the first evaluates the model."""
    noiseless = Readout.fit(train, "hand_position", smoothing=None)
    exact: dict[str, Reader] = {"rates": lambda trials: 100 * ends(noiseless.decode(trials), trials.lengths)}
    if model.reads == "rates":
        return exact
    readout = Readout.fit(train, "hand_position")
    return {
        "spikes": lambda trials: 100 * ends(readout.decode(trials), trials.lengths),
        "expected spikes": lambda trials: 100 * ends(readout.decode(trials, expected=True), trials.lengths),
        **exact,
    }


def measure(
    model: Coded,
    train: Trials,
    test: Trials,
    unseen: Trials,
    *,
    scores: bool = False,
    hows: Sequence[str] = HOWS[:1],
) -> dict[str, float]:
    """Compute every number of one model on simulated reaching; lengths in cm."""
    coded, tested, held = (with_codes(model, part) for part in (train, test, unseen))
    directions = Directions.of(coded, NAMES)
    codes = np.asarray(tested.codes)
    values = variables(test, NAMES)
    result: dict[str, float] = {}
    rebuilt = from_codes(model, tested, codes, seed=1)
    r2 = unit_r2(test.rates, rebuilt.rates, test.mask)
    low, middle, high = np.nanquantile(r2, (0.25, 0.5, 0.75))
    result |= {"unit R2": middle, "unit R2, lower quartile": low, "unit R2, upper quartile": high}
    spread = [np.asarray(part.rates)[test.mask].var(0) for part in (test, rebuilt)]
    result["variance of rates over that of noiseless units"] = float(np.median(spread[1] / spread[0]))
    inferred = model.encode(test, progress=False).rates
    if inferred is not None and model.reads != "rates" and not np.array_equal(inferred, test.rates):
        result["unit R2, inferred rates"] = float(np.nanmedian(unit_r2(test.rates, inferred, test.mask)))
    result |= said(directions, coded, codes, values)
    result["target error, held in"] = 100 * point_error(directions, codes, values[:, :2])
    goals = variables(unseen, NAMES)[:, :2]
    result["target error, held out"] = 100 * point_error(directions, np.asarray(held.codes), goals)
    if model.reads != "rates":
        result |= read_from_spikes(train, test, unseen)
    reading = readers(model, train)
    result |= _end_points(model, directions, coded, reading, held)
    result |= _traversals(model, directions, tested, reading, hows)
    fresh = model.sample(len(test), seed=2, progress=False).codes
    if fresh is not None:
        result["coverage of the prior"] = coverage(codes, np.asarray(fresh))
        result["coverage, floor (training codes)"] = coverage(codes, np.asarray(coded.codes)[: len(test)])
    if scores:
        result |= axis_table((np.asarray(coded.codes), variables(train, NAMES)), (codes, values))
    return result


def with_codes(model: Coded, trials: Trials) -> Trials:
    """Return the trials with their codes and all else unchanged, although some models infer rates, too."""
    fields = {name: getattr(trials, name) for name in trials.__dataclass_fields__}
    return Trials(**{**fields, "codes": model.encode(trials, progress=False).codes})


def from_codes(model: Coded, like: Trials, codes: np.ndarray, *, seed: int) -> Trials:
    """Generate trials from codes; codes far from the training codes are included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CodeRangeWarning)
        return model.sample(like=like, codes=codes, seed=seed, progress=False)


def read_from_spikes(train: Trials, test: Trials, unseen: Trials) -> dict[str, float]:
    """Compute the target error of a ridge regression from the spikes of six windows, a reference for codes."""

    def inputs(trials: Trials) -> np.ndarray:
        parts = np.array_split(np.asarray(trials.counts, np.float64), WINDOWS, 1)
        return np.sqrt(np.concatenate([part.sum(1) for part in parts], 1))

    ridge = Ridge.fit(inputs(train), variables(train, NAMES[:2]), np.arange(len(train)) % FOLDS)
    parts = {"held in": test, "held out": unseen}
    return {
        f"target error, {word}, ridge from spikes": _far(100 * ridge.predict(inputs(part)), variables(part, NAMES[:2]))
        for word, part in parts.items()
    }


def said(directions: Directions, coded: Trials, codes: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Compute the accuracy of variables decoded from codes, and the angles between their directions."""
    rng = np.random.default_rng(0)
    result = {}
    dealt = Directions.fit(rng.permutation(np.asarray(coded.codes)), variables(coded, NAMES), NAMES)
    target = np.unique(values[:, :2], axis=0, return_inverse=True)[1].ravel()
    for k, name in enumerate(NAMES):
        result[f"code SNR {name}"] = code_snr(directions, codes, values)[k]
        result[f"code SNR {name}, floor"] = code_snr(dealt, codes, values)[k]
    for k, name in enumerate(NAMES[:2]):
        result[f"SNR between targets {name}"] = group_snr(directions, codes, target)[k]
    for of in ("encode", "decode"):
        for whitened in (False, True):
            cosines = directions.cosines(of, whitened=whitened)
            word = f"|cos| {of}{', whitened' if whitened else ''}"
            result[f"{word}: target x, y"] = abs(cosines[0, 1])
            result[f"{word}: all pairs"] = orthogonality(cosines)
    result["|cos| of chance directions"] = np.sqrt(2 / (np.pi * codes.shape[1]))
    return result


def _end_points(
    model: Coded, directions: Directions, coded: Trials, reading: dict[str, Reader], unseen: Trials
) -> dict[str, float]:
    """Compute the distance of decoded end points of trials for held-out targets from these targets."""
    goal = variables(unseen, NAMES[:2])
    expected = variables(coded, NAMES[:2])
    codes = np.asarray(coded.codes)
    rng = np.random.default_rng(1)
    made = {"generated from their codes": from_codes(model, unseen, np.asarray(unseen.codes), seed=1)}
    near = [np.flatnonzero(np.linalg.norm(expected - point, axis=1) < NEAR) for point in goal]
    anywhere = np.arange(len(coded))
    for word, choices in (("a neighbouring target", near), ("any target", [anywhere] * len(goal))):
        rows = np.array([rng.choice(rows) for rows in choices])
        changes = np.zeros((len(goal), len(NAMES)))
        changes[:, :2] = goal - expected[rows]
        made[f"codes moved from {word}"] = from_codes(model, unseen, directions.move(codes[rows], changes), seed=1)
    result: dict[str, float] = {}
    for of, read in reading.items():
        if of != "expected spikes":  # real trials have spikes, and in a simulation noiseless units
            result[f"end point, real trials to held-out targets, {of}"] = _far(read(unseen), goal)
            ways = [np.polyfit(expected[:, k], read(coded)[:, k] / 100, 1)[0] for k in (0, 1)]
            result[f"slope on real trials, {of}"] = float(np.mean(ways))
    for word, trials in made.items():
        result |= {f"end point, {word}, {of}": _far(read(trials), goal) for of, read in reading.items()}
    return result


def _far(read: np.ndarray, goal: np.ndarray) -> float:
    """Return the mean distance of decoded end points (cm) from their goals (m), in cm."""
    return float(np.linalg.norm(read[:, :2] - 100 * goal, axis=1).mean())


def _traversals(
    model: Coded, directions: Directions, tested: Trials, reading: dict[str, Reader], hows: Sequence[str]
) -> dict[str, float]:
    """Compute gain and unintended movement of traversals along target x and y (mean of both), by `Coded.traverse`."""
    result = {}
    changes = np.linspace(*TRAVERSAL["span"], TRAVERSAL["points"])
    for how, where in (*((how, "inside the grid") for how in hows), ("curved", "anywhere")):
        parts: dict[str, list[Movement]] = {of: [] for of in reading}
        for moved, name in enumerate(NAMES[:2]):
            inside = np.abs(variables(tested, [name])[:, 0]) <= EDGE - TRAVERSAL["span"][1] + 1e-9
            subset = tested.select(inside if where == "inside the grid" else slice(100))
            codes = np.asarray(subset.codes)
            only = np.eye(len(NAMES))[[moved] * len(subset)]
            points = [directions.move(codes, change * only, how=how) for change in changes]
            traversal = [from_codes(model, subset, point, seed=3) for point in points]
            again = from_codes(model, subset, codes, seed=4)
            requested = 100 * np.repeat(changes[:, None], len(subset), 1)
            for of, read in reading.items():
                achieved = np.stack([read(point) for point in traversal])
                parts[of].append(movement(requested, achieved, moved=moved, still=read(again)))
        for of, each in parts.items():
            for word in ("gain", "unintended", "unintended_total", "floor"):
                mean = float(np.mean([getattr(part, word) for part in each]))
                result[f"traversal, {how}, {where}, {of}: {word}"] = mean
    return result


def axis_table(train: tuple, test: tuple) -> dict[str, float]:
    """Compute DCI, MIG and SAP by name; arguments as in `axis_scores`."""
    result = {}
    for regressor in ("trees", "lasso"):
        for name, score in axis_scores(train, test, regressor=regressor).items():
            result[f"DCI {regressor}, {name}: disentanglement"] = score.dci.disentanglement
            result[f"DCI {regressor}, {name}: completeness"] = score.dci.completeness
            result[f"DCI {regressor}, {name}: informativeness"] = score.dci.informativeness
            if regressor == "trees":
                result |= {f"MIG {name}": score.mig, f"SAP {name}": score.sap}
    return result


def write_table(rows: Iterable[Sequence[str]], path: Path | None) -> None:
    """Print a table, and write it to a CSV file if there is a path."""
    rows = list(rows)
    if path is not None:
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    for row in rows:
        print(" | ".join(row))


def show(title: str, tables: Iterable[dict[str, float]]) -> None:
    """Print the mean, the standard deviation over seeds, and each value."""
    tables = list(tables)
    print(f"\n{title}")
    for name in tables[0]:
        each = np.array([table[name] for table in tables])
        print(f"  {name:<60s} {each.mean():8.3f} ± {each.std():.3f}   {' '.join(f'{value:.3f}' for value in each)}")
