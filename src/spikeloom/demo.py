"""The demo: simulate reaches, split, fit, sample, evaluate, and traverse codes.

The neurons belong to a network that moves an arm, so the true rates are available and nothing is downloaded. An LDNS is
trained on spikes conditioned on the hand velocity. It then generates trials for the hand paths of test trials, and for
a circle that occurs in no trial. A GNOCCHI learns one code per trial, and its codes are moved along the x and y of the
target. Each step prints the equivalent command and writes the same files. The sizes are chosen so that the demo takes
a few minutes on two cores.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.integrate import cumulative_trapezoid

from spikeloom.evaluation.evaluate import evaluate
from spikeloom.files import atomic_write, ensure_folder
from spikeloom.models.common.base import Model
from spikeloom.models.common.coded import require_codes
from spikeloom.models.common.cost import cost
from spikeloom.recipe import read_recipe
from spikeloom.report.chart import Figure
from spikeloom.report.conditional import drawn_figure
from spikeloom.report.traversal import traversal_figures
from spikeloom.simulate.arm import BIN_WIDTH
from spikeloom.simulate.reaching_task import reaching
from spikeloom.trials import Trials

TRIALS = 1500
"""Number of simulated trials."""

NEURONS = 64
"""Number of simulated neurons."""

LDNS_RECIPE = "ldns-demo"
"""Recipe of the model that is conditioned on the hand velocity."""

GNOCCHI_RECIPE = "gnocchi-demo"
"""Recipe of the model whose codes are traversed."""

SERIES = "hand_velocity"
"""Series that the LDNS is conditioned on."""

RADIUS = 0.04
"""Radius of the circle, m."""

SECONDS = 0.8
"""Duration of the trials on the circle, s."""

PEAK_TIME = 0.33
"""Time of the largest speed on the circle, s.

The hand speeds up and slows down as in a reach. A hand that moves at a constant speed from the first bin on differs
from all training trials, and the generated spikes follow it less accurately.
"""

PEAK_WIDTH = 0.15
"""Standard deviation of the bell-shaped speed around `PEAK_TIME`, s."""

STRENGTH = 3.0
"""Guidance strength for the circle: a path unlike the training paths needs more than 1."""

SPAN = 0.06
"""Largest change of the target position in each direction, m."""

Say = Callable[[str], object]
"""Function that prints a line of text."""


def demo(out: Path, *, seed: int, say: Say) -> Path:
    """Run all steps and write data, runs and report to a folder.

    Args:
        out: Folder to write to. An interrupted demo resumes.
        seed: Random seed of the simulation, the split, the training and the samples.
        say: Function that prints a line of text.

    Returns:
        Path of the report.
    """
    folder = ensure_folder(out)
    training_trials, test_trials = _data(folder, seed, say)
    train, test, run, fake = (folder / name for name in ("train.h5", "test.h5", "ldns", "fake.h5"))
    model = _fit(LDNS_RECIPE, training_trials, train, run, seed, say)

    say(f"$ spikeloom sample {run} --like {test} --condition {SERIES} --seed {seed} --out {fake}")
    generated = model.sample(like=test_trials, condition=SERIES, seed=seed)
    generated.save(fake)
    circle = _circle(folder, model, run, seed, say)
    traversals = _traversals(folder, training_trials, test_trials, seed, say)

    say(
        f"$ spikeloom evaluate --real {test} --fake {fake} --reference {train} "
        f"--drawn {folder / 'circle.h5'} --seed {seed} --out {folder}"
    )
    report = evaluate(test_trials, generated, reference=training_trials, seed=seed, cost=cost(model))
    circle_figure = drawn_figure(test_trials, circle, reference=training_trials, name="a circle", seed=seed)
    report.with_figures(circle_figure, *traversals).save(folder)
    say(report.summary)
    return folder / "report.html"


def models(out: Path, *, seed: int, say: Say) -> tuple[Path, Path]:
    """Simulate the data and train the two models, without samples and report.

    Args:
        out: Folder to write to. Models that are already in it are kept.
        seed: Random seed of the simulation, the split and the training.
        say: Function that prints a line of text.

    Returns:
        Run folders of the LDNS and of the GNOCCHI.
    """
    folder = ensure_folder(out)
    training_trials, _ = _data(folder, seed, say)
    runs = (folder / "ldns", folder / "gnocchi")
    for recipe, run in zip((LDNS_RECIPE, GNOCCHI_RECIPE), runs, strict=True):
        _fit(recipe, training_trials, folder / "train.h5", run, seed, say)
    return runs


def _fit(recipe: str, training_trials: Trials, train: Path, run: Path, seed: int, say: Say) -> Model:
    """Train a model of the demo.

    Args:
        recipe: Name of the recipe.
        training_trials: Training trials.
        train: File of the training trials, for the printed command.
        run: Run folder.
        seed: Random seed.
        say: Function that prints a line of text.
    """
    say(f"$ spikeloom fit {recipe} --data {train} --seed {seed} --out {run}")
    return read_recipe(recipe).build(training_trials.n_neurons).fit(training_trials, seed=seed, out=run)


def _data(folder: Path, seed: int, say: Say) -> tuple[Trials, Trials]:
    """Simulate trials and split them into training and test trials."""
    data, train, test = (folder / name for name in ("reaching.h5", "train.h5", "test.h5"))
    say(f"$ spikeloom simulate reaching --trials {TRIALS} --neurons {NEURONS} --seed {seed} --out {data}")
    trials = reaching(TRIALS, n_neurons=NEURONS, seed=seed)
    trials.save(data)
    say(f"$ spikeloom split {data} --fraction 0.7 --seed {seed} --out {train} {test}")
    training_trials, test_trials = trials.split(0.7, seed=seed)
    training_trials.save(train)
    test_trials.save(test)
    return training_trials, test_trials


def _circle(folder: Path, model: Model, run: Path, seed: int, say: Say) -> Trials:
    """Generate trials for a hand that moves around a circle once. No training trial has such a path.

    Args:
        folder: Folder of the demo.
        model: The model that is conditioned on the hand velocity.
        run: Its run folder, for the printed command.
        seed: Random seed.
        say: Function that prints a line of text.
    """
    path = folder / "circle.csv"
    out = folder / "circle.h5"
    time = np.linspace(0, SECONDS, 41)  # every 0.02 s
    speed = np.exp(-0.5 * ((time - PEAK_TIME) / PEAK_WIDTH) ** 2)  # in units of the largest speed, at first
    distance = cumulative_trapezoid(speed, time, initial=0)  # covered since the start
    angle = 2 * np.pi * distance / distance[-1]  # position of the hand on the circle, radians
    speed *= 2 * np.pi * RADIUS / distance[-1]  # now in m/s: the length of the path is one circumference
    velocity = speed[:, None] * np.stack([-np.sin(angle), np.cos(angle)], 1)  # (time, 2), m/s
    rows = [f"{t:.4f},{x:.6f},{y:.6f}" for t, (x, y) in zip(time, velocity, strict=True)]
    atomic_write(path, ("\n".join(["time,x (m/s),y (m/s)", *rows]) + "\n").encode())
    options = f"--condition {SERIES}={path} --guidance {STRENGTH:g}"
    say(f"$ spikeloom sample {run} --trials 50 {options} --seed {seed} --out {out}")
    centres = np.arange(BIN_WIDTH / 2, SECONDS, BIN_WIDTH)  # of the bins of the generated trials, s
    series = np.stack([np.interp(centres, time, column) for column in velocity.T], 1)  # velocity in each bin, m/s
    generated = model.sample(50, n_bins=len(series), condition={SERIES: series}, guidance=STRENGTH, seed=seed)
    generated.save(out)
    return generated


def _traversals(folder: Path, training_trials: Trials, test_trials: Trials, seed: int, say: Say) -> list[Figure]:
    """Train a GNOCCHI and return figures of traversals of its codes along the target's x and y.

    Args:
        folder: Folder of the demo.
        training_trials: Trials on which the model is trained.
        test_trials: Trials whose codes are moved.
        seed: Random seed.
        say: Function that prints a line of text.
    """
    train, test, run = (folder / name for name in ("train.h5", "test.h5", "gnocchi"))
    model = require_codes(_fit(GNOCCHI_RECIPE, training_trials, train, run, seed, say))
    figures: list[Figure] = []
    for along in ("target_x", "target_y"):
        out = folder / f"{along}.h5"
        say(
            f"$ spikeloom traverse {run} --data {test} --reference {train} --along {along} --span -{SPAN} {SPAN} "
            f"--seed {seed} --out {out}"
        )
        # 50 trials and 5 points are the defaults of the command
        traversal = model.traverse(
            test_trials.select(slice(50)), along, span=(-SPAN, SPAN), points=5, reference=training_trials, seed=seed
        )
        traversal.save(out)
        figures += traversal_figures(traversal, training_trials)
    return figures
