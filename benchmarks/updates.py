"""Judge the number of updates of the autoencoder by the trials that are generated in the end.

    python benchmarks/updates.py autoregressive-ldns-small-direction --data train.h5 --condition angle_deg \\
        --updates 500 1000 2000 --folds 0 1 2 --out runs/updates --csv updates.csv

The trials are divided at random into five folds. For each chosen fold, models are trained on the other four folds, with
the number of the fold as training seed, and judged on the trials of the fold. Give the training trials of a recording,
so that choices are made without its test trials.

The table has means and standard deviations over folds: metrics of trials under the conditions of the fold, of trials
without conditions, and of trials of the fold that are encoded, decoded and drawn again ("redrawn"). "noise floor"
compares two halves of the fold. Bits per spike are those of the fold, from rates that are inferred with the count of
the entry hidden. Runs that are finished are not trained again, and runs that were stopped are resumed.

`--optimizer soap` trains the autoencoder with an optimiser of `optimizers`. Such a run cannot be resumed.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from torch import nn

import spikeloom as sl
from causes import redrawn
from code_measures import write_table
from few_trials import bits, cell
from five_fold import folds_of
from optimizers import OPTIMIZERS
from spikeloom.files import ensure_folder
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.training import stage_run
from spikeloom.training.optimizer import adamw
from spikeloom.training.plan import Plan
from spikeloom.trials import Trials

METRICS = (
    "c2st_rbf",
    "c2st_network",
    "c2st_population",
    "psth_neuron_r",
    "noise_correlation_r",
    "fano_r",
    "fano_rmse",
    "population_count_kl",
)
"""Metrics of the table."""

FOLDS = 5
"""Number of folds into which the trials are divided."""

SAMPLE_SEED = 10
"""Random seed of the samples of the first fold. Each fold has another seed; see `five_fold`."""

BITS = "bits per spike"
FLOOR = "noise floor"
CONDITIONAL, UNCONDITIONAL, REDRAWN = "conditional", "unconditional", "redrawn"

Values = dict[tuple[str, str], float]
"""Value of each metric: kind of trials, name of the metric -> value."""


class InStage:
    """An optimiser of `optimizers` with the interface that a training stage needs.

    Its state is not in the checkpoints: `state` is empty.

    Args:
        name: Name of the optimiser.
        module: Module to train.
        plan: Plan of the stage.
    """

    def __init__(self, name: str, module: nn.Module, plan: Plan) -> None:
        self.module = module
        self.optimizer = OPTIMIZERS[name](module, plan)
        self.param_groups = [{"lr": 0.0, "share": 1.0}]  # the stage sets the learning rate here
        self.state: dict[nn.Parameter, dict[str, object]] = {}

    def zero_grad(self) -> None:
        """Remove the gradients."""
        self.module.zero_grad()

    def step(self) -> None:
        """Change the weights by their gradients."""
        self.optimizer.step(self.param_groups[0]["lr"])


def samples(model: LatentModel, tested: Trials, condition: str, seed: int, folder: Path) -> dict[str, Trials]:
    """Return `len(tested)` trials of each kind from a model. They are kept in the folder of its run."""
    drawn: dict[str, Trials] = {}
    for kind in (CONDITIONAL, UNCONDITIONAL, REDRAWN):
        path = folder / f"{kind}.h5"
        if not path.exists():
            if kind == REDRAWN:
                trials = redrawn(model, tested, seed=SAMPLE_SEED + seed)
            else:
                trials = model.sample(
                    like=tested, condition=(condition,) if kind == CONDITIONAL else (), seed=seed, progress=False
                )
            trials.save(path)
        drawn[kind] = Trials.load(path)
    return drawn


def judged(model: LatentModel, training: Trials, tested: Trials, drawn: dict[str, Trials]) -> tuple[Values, Values]:
    """Return the values of the model's trials, and of the noise floor."""
    values: Values = {("", BITS): bits(model, tested)}
    floors: Values = {("", BITS): np.nan}
    for kind, generated in drawn.items():
        report = sl.evaluate(tested, generated, reference=training, progress=False)
        for name in METRICS:
            row = report[name]
            values[kind, name] = np.nan if row.value is None else row.value
            floors[kind, name] = np.nan if row.floor is None else row.floor
    return values, floors


def main() -> None:
    """Fit, sample and judge the models, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True, help="trials to divide into folds")
    parser.add_argument("--condition", required=True, help="condition of the model")
    parser.add_argument("--updates", type=int, nargs="+", required=True, help="numbers of updates of the autoencoder")
    parser.add_argument("--set", action="append", default=[], help="setting of the recipe, as in spikeloom fit")
    parser.add_argument("--optimizer", choices=["muon", "soap"], help="optimiser of the autoencoder; AdamW by default")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2], help="numbers of the folds, from 0")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and trials")
    parser.add_argument("--csv", type=Path, help="CSV file of the table")
    options = parser.parse_args()
    divided = list(folds_of(Trials.load(options.data), FOLDS))
    optimizer = adamw if options.optimizer is None else partial(InStage, options.optimizer)
    values: dict[int, list[Values]] = {number: [] for number in options.updates}
    floors: list[Values] = []
    for fold in options.folds:
        training, tested = divided[fold]
        for number in options.updates:
            folder = ensure_folder(options.out / f"{number}-updates" / f"fold{fold}")
            changes = [*options.set, f"autoencoder_plan.updates={number}"]
            start = time.process_time()
            with mock.patch.object(stage_run, "adamw", optimizer):
                model = sl.fit(options.recipe, training, out=folder / "run", seed=fold, changes=changes)
            print(f"fold {fold}, {number} updates: fit took {time.process_time() - start:.0f} core-seconds", flush=True)
            assert isinstance(model, LatentModel)
            drawn = samples(model, tested, options.condition, SAMPLE_SEED + fold, folder)
            of_model, of_halves = judged(model, training, tested, drawn)
            values[number].append(of_model)
            shown = ", ".join(f"{' '.join(key).strip()} {value:.3g}" for key, value in of_model.items())
            print(f"fold {fold}, {number} updates: {shown}", flush=True)
        floors.append(of_halves)  # the same for every number of updates
    spread = len(options.folds) > 1
    rows = [("trials", "metric", FLOOR, *(f"{number} updates" for number in options.updates))]
    for key in floors[0]:
        of_numbers = [cell([of_fold[key] for of_fold in values[number]], spread=spread) for number in options.updates]
        rows.append((*key, cell([of_fold[key] for of_fold in floors], spread=spread), *of_numbers))
    write_table(rows, options.csv)


if __name__ == "__main__":
    main()
