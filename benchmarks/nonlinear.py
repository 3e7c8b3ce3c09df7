"""Compare the trials of an AutoregressiveLDNS with its nonlinear term and without.

    python benchmarks/nonlinear.py runs/nonlinear --data fit.h5 --test validation.h5 --condition angle_deg --csv n.csv

Without the term, the model uses its linear autoregression, and the readout is fitted again. Each cell of the table is
the mean and the standard deviation over three samples, each compared with the trials of `--test`. The first line that
is printed says whether the term is used after training, for trials without conditions and with them.
"""

import argparse
from pathlib import Path

import numpy as np

import spikeloom as sl
from code_measures import write_table
from few_trials import cell
from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.training.train import train
from spikeloom.trials import Trials

METRICS = (
    "c2st_rbf",
    "c2st_network",
    "c2st_population",
    "pairwise_correlation_r",
    "noise_correlation_r",
    "psth_neuron_r",
    "fano_median_ratio",
    "spectral_distance_db",
    "population_count_kl",
    "isi_cv_error",
    "sliced_wasserstein",
    "condition_accuracy",
)
"""Metrics of the table."""

SEEDS = (1, 2, 3)
"""Random seeds of the samples."""

FLOOR = "noise floor"

Values = dict[str, list[float]]
"""Name of a metric -> one value per sample."""


def judged(
    model: AutoregressiveLDNS, condition: tuple[str, ...], training: Trials, tested: Trials
) -> tuple[Values, Values]:
    """Return the values of the samples, and of the noise floor."""
    values: Values = {name: [] for name in METRICS}
    floors: Values = {name: [] for name in METRICS}
    for seed in SEEDS:
        generated = model.sample(like=tested, condition=condition, seed=seed, progress=False)
        report = sl.evaluate(tested, generated, reference=training, progress=False)
        for name in METRICS:
            row = report[name]
            values[name].append(np.nan if row.value is None else row.value)
            floors[name].append(np.nan if row.floor is None else row.floor)
    return values, floors


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run of an AutoregressiveLDNS with conditions and a nonlinear term")
    parser.add_argument("--data", required=True, help="training trials of the run")
    parser.add_argument("--test", required=True, help="trials with which the samples are compared")
    parser.add_argument("--condition", required=True, help="condition of the model")
    parser.add_argument("--csv", type=Path, help="CSV file of the table")
    options = parser.parse_args()
    model = sl.load_model(options.run)
    if not isinstance(model, AutoregressiveLDNS) or model.free.term is None or model.conditional.term is None:
        raise SystemExit(f"{options.run} is no AutoregressiveLDNS with a nonlinear term.")
    terms = (model.free.term, model.conditional.term)
    print("used without conditions, used with conditions:", *(bool(term.in_use) for term in terms))
    training = Trials.load(options.data)
    tested = Trials.load(options.test)
    columns: dict[str, Values] = {}
    for kind in ("nonlinear term", "linear"):
        if kind == "linear":
            for term in terms:
                term.in_use.fill_(0)
            train([model.readout_stage(training)], seed=0, progress=False)
        for title, condition in (("conditional", (options.condition,)), ("unconditional", ())):
            columns[f"{kind}, {title}"], floors = judged(model, condition, training, tested)
    rows = [("metric", FLOOR, *columns)]
    for name in METRICS:
        cells = [cell(values[name], spread=True) for values in columns.values()]
        rows.append((name, cell(floors[name], spread=False), *cells))
    write_table(rows, options.csv)


if __name__ == "__main__":
    main()
