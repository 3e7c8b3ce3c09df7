"""Measure whether a setting helps if there are few trials of many neurons.

    python benchmarks/few_trials.py steinmetz2019_session11.h5 steinmetz2019_session12.h5 \\
        --recipe autoregressive-ldns-small --set autoencoder_plan.updates=300 --out few-trials.csv

The trials of each recording are divided at random into two halves. The recipe is trained on the first half, with and
without the setting, and each model generates as many unconditional trials as the second half has. The table has means
and standard deviations over training seeds. "noise floor" compares two parts of the second half. "recorded, learned
rates" are recorded trials whose mean rates have the sampling error of the training trials, see docs/explain/sampling-
error.md.

Bits per spike of training and test trials are computed from rates that are inferred with the count of the entry hidden.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import spikeloom as sl
from code_measures import write_table
from spikeloom.evaluation.recorded import LEARNED
from spikeloom.models.common.base import Model
from spikeloom.models.common.likelihood import bits_per_spike
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

METRICS = (
    "c2st_rbf",
    "c2st_network",
    "c2st_population",
    "memorisation_share",
    "psth_neuron_r",
    "pairwise_correlation_r",
    "pairwise_correlation_slope",
    "noise_correlation_r",
    "fano_r",
    "population_count_kl",
    "spectral_distance_db",
)
"""Metrics of the table."""

BITS = ("bits per spike, test trials", "bits per spike, training trials")
"""Names of the likelihoods of spikes, in addition to the metrics."""

COST = "training, core-seconds"
"""Name of the row with the cost of a fit."""

Values = dict[str, float]


def halves(trials: Trials) -> tuple[Trials, Trials]:
    """Divide trials at random into training and test trials of equal number."""
    n_trials = len(trials) // 2
    order = generator(0, Purpose.SPLIT).permutation(len(trials))
    return trials.select(np.sort(order[:n_trials])), trials.select(np.sort(order[n_trials : 2 * n_trials]))


def bits(model: Model, trials: Trials) -> float:
    """Return the bits per spike of trials whose counts are hidden in turn."""
    assert model.observation is not None
    return bits_per_spike(model.observation, model.unseen_rates(trials), trials)


def measured(recipe: str, changes: list[str], train: Trials, test: Trials, *, seed: int) -> dict[str, Values]:
    """Train and judge a model. Return the values of its trials, of the noise floor and of recorded trials."""
    start = time.process_time()
    model = sl.fit(recipe, train, seed=seed, changes=changes, progress=False)
    seconds = time.process_time() - start
    generated = model.sample(like=test, condition=() if model.condition else None, seed=1, progress=False)
    report = sl.evaluate(test, generated, reference=train, progress=False)
    values: dict[str, Values] = {"generated": {}, "noise floor": {}, LEARNED: {}}
    for name in METRICS:
        row = report[name]
        of_row = {"generated": row.value, "noise floor": row.floor, LEARNED: row.baselines.get(LEARNED)}
        for trials, value in of_row.items():
            values[trials][name] = np.nan if value is None else value
    values["generated"] |= dict(zip(BITS, (bits(model, test), bits(model, train)), strict=True))
    values["generated"][COST] = seconds
    return values


def cell(values: list[float], *, spread: bool) -> str:
    """Return mean, and standard deviation over seeds, as text; a dash without a value."""
    if not np.isfinite(values).all():
        return "–"
    mean = f"{np.mean(values):.3g}"
    return f"{mean} ± {np.std(values):.2g}" if spread else mean


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", help="files of trials")
    parser.add_argument("--recipe", default="autoregressive-ldns-small")
    parser.add_argument("--set", action="append", required=True, help="setting of the recipe, as in spikeloom fit")
    parser.add_argument("--base", action="append", default=[], help="setting of both models, for short tests")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="CSV file of the table")
    options = parser.parse_args()
    variants = {options.recipe: options.base, " ".join(options.set): [*options.base, *options.set]}
    rows = [("recording", "metric", "noise floor", LEARNED, *variants)]
    for path in options.recordings:
        train, test = halves(Trials.load(path))
        tables: dict[str, list[dict[str, Values]]] = {name: [] for name in variants}
        for seed in options.seeds:
            for name, changes in variants.items():
                tables[name].append(measured(options.recipe, changes, train, test, seed=seed))
                shown = ", ".join(f"{key} {value:.3g}" for key, value in tables[name][-1]["generated"].items())
                print(f"{Path(path).stem}, {name}, seed {seed}: {shown}", flush=True)
        first = tables[options.recipe][0]
        for metric in (*METRICS, *BITS, COST):
            recorded = [cell([first[trials].get(metric, np.nan)], spread=False) for trials in ("noise floor", LEARNED)]
            of_models = [
                cell([values["generated"][metric] for values in tables[name]], spread=len(options.seeds) > 1)
                for name in variants
            ]
            rows.append((Path(path).stem, metric, *recorded, *of_models))
    write_table(rows, options.out)


if __name__ == "__main__":
    main()
