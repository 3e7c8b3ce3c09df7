"""Compare samplers with few evaluations, and students, with the 20 steps of the default sampler.

    python benchmarks/few_steps.py runs/direction0 --data train.h5 --condition angle_deg
    python benchmarks/few_steps.py runs/direction0 runs/direction1 runs/direction2 --data train.h5 --test test.h5 \\
        --condition angle_deg --samplers UniPC:10 UniPC:8 UniPC:5 --draws 3 --out few.csv

Without test trials, the latents of each sampler are compared with those of 40 steps of the model's sampler, from the
same noise: squared error, variance, and variance of the changes from bin to bin, each relative to 40 steps.

With test trials, each row of the table is a way to sample, and each column a metric against held-out test trials, under
their conditions. The first row is the noise floor: recorded training trials. The teacher is the sampler of the model. A
run that was trained with a student has a row for it. The calibration of generated rates belongs to a sampler, so it is
fitted again for each of the other samplers.

All rows of a run share the noise of each draw. A row shows the difference from the teacher of the same run and draw,
mean over runs and draws, in units of the standard deviation of the teacher over its draws. "largest" names the metric
with the largest difference. Core-seconds are those of `model.sample` for the number of test trials, relative to the
teacher in the same process.
"""

import argparse
import copy
import csv
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from spikeloom.diffusion.sampler import Sampler
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.models.common.calibration_samples import CALIBRATION_SEED, calibration_samples
from spikeloom.models.ldns import LDNS
from spikeloom.recipe import choose, load_model
from spikeloom.trials import Trials

REFERENCE = 40
"""Steps of the default sampler with which latents are compared."""

TEACHER = "teacher"
STUDENT = "student"
FLOOR = "recorded training trials"
SECONDS = "core-seconds"
TIME = "core-seconds, relative to the teacher"
DIFFERENCE = ", sd from teacher"

Row = Mapping[str, float]


def with_sampler(model: LDNS, sampler: Sampler, train: Trials) -> LDNS:
    """Return a copy of the model with another sampler, calibrated to samples of it."""
    changed = copy.deepcopy(model)
    changed.sampler = sampler
    samples = calibration_samples(changed, train, sampler=sampler)
    with torch.no_grad():
        changed.readout.fit_generated(train, samples, seed=CALIBRATION_SEED)
    return changed


def ways(model: LDNS, names: Sequence[str], train: Trials) -> Iterator[tuple[str, LDNS, Sampler | None]]:
    """Yield name, model and sampler of each row; a sampler of None is the default, the student."""
    yield TEACHER, model, model.sampler
    if model.distill_plan is not None:
        yield STUDENT, model, None
    for name in names:
        sampler = choose(Sampler, name)
        yield name, with_sampler(model, sampler, train), sampler


def judged(real: Trials, fake: Trials, train: Trials, condition: str) -> dict[str, float]:
    """Return each metric of the panel that is a number."""
    results = measure(real, fake, reference=train, condition=condition)
    values = {name: result.value for name, result in results.items()}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def rows_of(
    model: LDNS, names: Sequence[str], train: Trials, test: Trials, condition: str, draws: int
) -> Iterator[tuple[str, int, Row]]:
    """Yield name, draw and metrics of each sample of one run."""
    for draw in range(draws):
        rows = np.sort(np.random.default_rng(draw).permutation(len(train))[: len(test)])
        yield FLOOR, draw, judged(test, train.select(rows), train, condition)
    for name, variant, sampler in ways(model, names, train):
        for draw in range(draws):
            start = time.process_time()
            fake = variant.sample(like=test, condition=condition, sampler=sampler, seed=100 + draw, progress=False)
            seconds = time.process_time() - start
            yield name, draw, {SECONDS: seconds, **judged(test, fake, train, condition)}


def latent_rows(
    model: LDNS, names: Sequence[str], train: Trials, condition: str, n_trials: int
) -> Iterator[tuple[str, Row]]:
    """Yield name and errors of the latents of each sampler, from the same noise as those of 40 steps."""
    like = train.select(np.sort(np.random.default_rng(0).permutation(len(train))[:n_trials]))

    def drawn(sampler: Sampler | None) -> np.ndarray:
        fake = model.sample(like=like, condition=condition, sampler=sampler, seed=0, progress=False)
        return np.asarray(fake.latents, np.float64)

    expected = drawn(replace(model.sampler, steps=REFERENCE))
    samplers: dict[str, Sampler | None] = {name: choose(Sampler, name) for name in names}
    if model.distill_plan is not None:
        samplers[STUDENT] = None
    valid = like.mask
    changes = valid[:, 1:] & valid[:, :-1]
    for name, sampler in samplers.items():
        latents = drawn(sampler)
        error = np.square(latents - expected)[valid].mean() / expected[valid].var()
        variance = latents[valid].var() / expected[valid].var()
        fast = np.diff(latents, axis=1)[changes].var() / np.diff(expected, axis=1)[changes].var()
        yield name, {"squared error / variance": error, "variance": variance, "variance of changes": fast}


def compared(rows: Sequence[tuple[str, str, int, Row]]) -> dict[str, dict[str, float]]:
    """Return the mean of each metric, name of the way -> metric -> value.

    Other ways than floor and teacher have a second entry with the name "WAY, sd from teacher": the mean difference to
    the teacher of the same run and draw, in standard deviations of the teacher over its draws.
    """
    by_key = {(run, name, draw): row for run, name, draw, row in rows}
    metrics = [metric.name for metric in METRICS if all(metric.name in row for row in by_key.values())]
    runs = list(dict.fromkeys(run for run, *_ in rows))
    draws = sorted({draw for _, _, draw, _ in rows})
    spread = {
        metric: math.sqrt(
            np.mean([np.var([by_key[run, TEACHER, draw][metric] for draw in draws], ddof=1) for run in runs])
        )
        for metric in metrics
    }
    table: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for _, name, _, _ in rows):
        keys = [key for key in by_key if key[1] == name]
        table[name] = {metric: float(np.mean([by_key[key][metric] for key in keys])) for metric in metrics}
        if name == FLOOR:
            continue
        ratios = [by_key[key][SECONDS] / by_key[key[0], TEACHER, key[2]][SECONDS] for key in keys]
        table[name][TIME] = float(np.median(ratios))
        if name == TEACHER:
            continue
        table[f"{name}{DIFFERENCE}"] = {
            metric: float(np.mean([by_key[key][metric] - by_key[key[0], TEACHER, key[2]][metric] for key in keys]))
            / max(spread[metric], 1e-12)
            for metric in metrics
        }
    return table


def cell(value: float | None, *, signed: bool) -> str:
    """Return a number of the table as text; "–" without one."""
    if value is None:
        return "–"
    return f"{value:+.1f}" if signed else f"{value:.3g}"


def lines_of(table: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return the lines of the table: a line per metric, a column per entry of `compared`."""
    names = list(dict.fromkeys(metric for values in table.values() for metric in values))
    result = [["metric", *table]]
    for metric in names:
        cells = [cell(values.get(metric), signed=way.endswith(DIFFERENCE)) for way, values in table.items()]
        result.append([metric if metric == TIME else f"`{metric}`", *cells])
    return result


def main() -> None:
    """Print the table, and write it with all metrics."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders of an LDNS")
    parser.add_argument("--data", required=True, help="training trials of the runs")
    parser.add_argument("--test", help="held-out trials; without them only latents are compared")
    parser.add_argument("--condition", required=True, help="condition of the runs")
    parser.add_argument("--samplers", nargs="*", default=["UniPC:10", "UniPC:8", "UniPC:5"], help="NAME:STEPS")
    parser.add_argument("--draws", type=int, default=3, help="sets of generated trials of each row, at least 2")
    parser.add_argument("--trials", type=int, default=24, help="trials of which latents are compared")
    parser.add_argument("--out", type=Path, default=Path("few.csv"), help="table with all metrics (CSV)")
    options = parser.parse_args()
    train = Trials.load(options.data)
    if options.test is None:
        for run in options.runs:
            model = load_model(run)
            assert isinstance(model, LDNS)
            for name, row in latent_rows(model, options.samplers, train, options.condition, options.trials):
                print(f"{run} | {name} |", ", ".join(f"{key} {value:.4f}" for key, value in row.items()), flush=True)
        return
    test = Trials.load(options.test)
    rows = []
    for run in options.runs:
        model = load_model(run)
        assert isinstance(model, LDNS)
        for name, draw, row in rows_of(model, options.samplers, train, test, options.condition, options.draws):
            print(f"# {run}, {name}, draw {draw}: {row.get(SECONDS, 0):.1f} core-seconds", flush=True)
            rows.append((run, name, draw, row))
    table = compared(rows)
    for name, values in table.items():
        if name.endswith(DIFFERENCE):
            largest = max(values, key=lambda metric: abs(values[metric]))
            within = sum(abs(value) <= 2 for value in values.values())
            time_ratio = table[name.removesuffix(DIFFERENCE)][TIME]
            print(f"{name}: {within} of {len(values)} metrics within 2 sd, largest {largest} {values[largest]:+.1f}")
            print(f"{name.removesuffix(DIFFERENCE)}: {time_ratio:.3f} times the core-seconds of the teacher")
    with options.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines_of(table))


if __name__ == "__main__":
    main()
