"""Evaluate GNOCCHI's codes: every number of docs/results/arm.md.

    python benchmarks/gnocchi.py arm                   # simulated reaching, three training seeds, beside no MMD
    python benchmarks/gnocchi.py scores                # DCI, MIG and SAP only
    python benchmarks/gnocchi.py weight                # the MMD weight: orthogonality against held-out error, a figure
    python benchmarks/gnocchi.py prior                 # where codes of unconditional samples come from
    python benchmarks/gnocchi.py speed                 # training gnocchi-small, sampling 1,000 trials
    python benchmarks/gnocchi.py recording TRIALS.h5 --angle angle_deg --leave 150

`--recipe` names any model with codes (lfads-small, too), `--set key=value` changes the recipe, `--seeds` sets the
training seeds, and `--out` the output folder. `--latents RUN ...` first encodes all trials with trained LDNS runs (one,
or one per seed), for `--set signal_settings.of=latents`. `--choose` evaluates on validation trials and on targets held
out within training instead of test trials; the settings were chosen in this way. `--runs FOLDER` stores the runs of
`arm` and loads finished ones; `--trained RUN ...` evaluates finished runs, one per seed.

Data of the arm: 3,600 trials of `simulate reaching --seed 0`. Six targets are held out. Of the other trials, 80 % are
training, 10 % validation (for choices) and 10 % test trials.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from code_measures import (
    HOWS,
    NAMES,
    arm_data,
    axis_table,
    chosen_on,
    fitted,
    measure,
    readers,
    show,
    with_codes,
    with_latents,
)
from code_recordings import left_out, measure_angles
from spikeloom.files import ensure_folder
from spikeloom.metrics.disentanglement import coverage, variables
from spikeloom.models.common.coded import Coded
from spikeloom.recipe import load_model
from spikeloom.report import figures
from spikeloom.report.traversal import code_figure, weight_figure
from spikeloom.trials import Trials


def arm(options: argparse.Namespace) -> None:
    """Evaluate on simulated reaching, with and (if the recipe has it) without MMD."""
    parts = chosen_on() if options.choose else arm_data()
    train, validation, *tested = (parts[0], None, *parts[1:]) if options.choose else parts
    titles = [("as the recipe says", ())]
    if options.recipe.startswith("gnocchi") and not options.trained:
        titles.append(("no MMD", ("network_settings.mmd=0",)))
    tables: dict[str, list[dict[str, float]]] = {}
    for index, seed in enumerate(options.seeds):
        data = with_latents(latents_of(options, index), (train, *tested))
        for title, changes in titles:
            if options.only in title:
                model = trained(
                    options, index, title, [*options.set, *changes], data[0], validation if options.validation else None
                )
                result = measure(model, *data, scores=options.scores, hows=HOWS if options.hows else HOWS[:1])
                print(f"{title}, seed {seed}: {json.dumps({name: round(value, 4) for name, value in result.items()})}")
                tables.setdefault(title, []).append(result)
    for title, each in tables.items():
        show(title, each)


def scores(options: argparse.Namespace) -> None:
    """Compute DCI, MIG and SAP of codes on test trials of simulated reaching."""
    train, _, test, _ = arm_data()
    tables = []
    for index, seed in enumerate(options.seeds):
        model = trained(options, index, "as the recipe says", options.set, train, None)
        sides = [(np.asarray(with_codes(model, part).codes), variables(part, NAMES)) for part in (train, test)]
        tables.append(axis_table(*sides))
        print(f"seed {seed} done")
    show("scores of single axes", tables)


def trained(
    options: argparse.Namespace, index: int, title: str, settings: list[str], train: Trials, validation: Trials | None
) -> Coded:
    """Return the model of a seed, by its index among the seeds: load it, or train it."""
    if options.trained:
        return load_model(options.trained[index])
    seed = options.seeds[index]
    out = None if options.runs is None else options.runs / f"{options.recipe} {title} {seed}".replace(" ", "-")
    return fitted(options.recipe, settings, train, seed=seed, validation=validation, out=out)


def latents_of(options: argparse.Namespace, index: int) -> Path | None:
    """Return the run that infers latents for a seed, by its index among the seeds; None without `--latents`."""
    return options.latents[index % len(options.latents)] if options.latents else None


def weight(options: argparse.Namespace) -> None:
    """Compute the trade-off curve of the MMD weight, on validation trials."""
    train, validation, unseen = chosen_on()
    result = []
    for value in options.weights:
        settings = [*options.set, f"network_settings.mmd={value}"]
        models = [fitted(options.recipe, settings, train, seed=seed, out=None) for seed in options.seeds]
        tables = [measure(model, train, validation, unseen) for model in models]
        show(f"MMD weight {value:g}", tables)
        keys = ("|cos| encode: target x, y", "|cos| encode: all pairs", "target error, held out")
        result.append([float(np.mean([table[key] for table in tables])) for key in keys])
    pairs = list(zip(*result, strict=True))
    figure = weight_figure(options.weights, pairs[1], pairs[2], unit="cm")
    for path in figures.save(figure, ensure_folder(options.out)):
        print(path)


def prior(options: argparse.Namespace) -> None:
    """Compute coverage and spread of codes from each prior, with the same encoder."""
    train, validation, _ = chosen_on()
    model = fitted(options.recipe, [*options.set, "prior=diffusion"], train, seed=options.seeds[0], out=None)
    for kind in ("normal", "gaussian", "diffusion"):
        model.prior = kind  # all priors have been fitted
        real = np.asarray(model.encode(validation, progress=False).codes)
        fakes = [model.sample(len(validation), seed=seed, progress=False) for seed in (1, 2, 3)]
        each = [coverage(real, np.asarray(fake.codes)) for fake in fakes]
        read = next(iter(readers(model, train).values()))
        spread = [read(part)[:, :2].std(0).mean() for part in (validation, *fakes)]
        print(
            f"{kind:<10s} coverage {np.mean(each):.3f} ± {np.std(each):.3f}, spread of end points "
            f"{np.mean(spread[1:]):.2f} cm (real {spread[0]:.2f} cm)"
        )
    half = np.asarray(model.encode(train, progress=False).codes)[: len(validation)]
    print(f"training codes cover {coverage(real, half):.3f}")


def speed(options: argparse.Namespace) -> None:
    """Measure the training time of the recipe on simulated spikes, and the time of sampling 1,000 trials."""
    train, _, _, _ = arm_data()
    model = fitted(options.recipe, options.set, train, seed=0, out=None)
    start = time.perf_counter()
    cpu = time.process_time()
    model.sample(1000, seed=0, progress=False)
    print(f"1,000 trials sampled in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} core-seconds")


def recording(options: argparse.Namespace) -> None:
    """Evaluate angles in codes of recorded reaches, with one angle left out, and a traversal through it."""
    every = Trials.load(options.recording)
    tables = []
    train, test = every.split(0.75, seed=0)
    if options.choose:
        train, test = train.split(0.8, seed=0)
    for index, seed in enumerate(options.seeds):
        data = with_latents(latents_of(options, index), left_out(train, test, options.angle, options.leave))
        model = fitted(options.recipe, options.set, data[0], seed=seed, out=None)
        tables.append(measure_angles(model, options.angle, options.leave, *data))
    show(f"{options.recording}, {options.leave:g} degrees left out", tables)
    (full,) = with_latents(latents_of(options, index), (every,))
    full, coded = (model.encode(part, progress=False) for part in (full, data[0]))
    groups = np.array([f"{value:g} deg" for value in full.conditions[options.angle]])
    turns = (f"{options.angle}.cos", f"{options.angle}.sin")
    for path in figures.save(code_figure(full, turns, groups, reference=coded), ensure_folder(options.out)):
        print(path)


COMMANDS = {
    "arm": arm,
    "scores": scores,
    "weight": weight,
    "prior": prior,
    "speed": speed,
    "recording": recording,
}


def main() -> None:
    """Run the chosen benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(COMMANDS))
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--recipe", default="gnocchi-small")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", default="", help="one of the titles of `arm`")
    parser.add_argument("--scores", action="store_true", help="also compute DCI, MIG and SAP")
    parser.add_argument("--hows", action="store_true", help="also evaluate straight traversals")
    parser.add_argument("--choose", action="store_true", help="evaluate on validation trials instead of test trials")
    parser.add_argument(
        "--validation", action="store_true", help="keep the weights that are best on the validation trials"
    )
    parser.add_argument(
        "--latents", type=Path, nargs="+", default=[], help="runs that infer latents: one, or one per seed"
    )
    parser.add_argument("--trained", type=Path, nargs="+", default=[], help="finished runs, one per seed")
    parser.add_argument("--runs", type=Path, help="folder of the runs of `arm`; finished runs are loaded")
    parser.add_argument("--angle", default="angle_deg", help="condition of a recording, degrees")
    parser.add_argument("--leave", type=float, default=150.0, help="angle left out of training")
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 0.1, 0.3, 1, 3, 10])
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    COMMANDS[options.what](options)


if __name__ == "__main__":
    main()
