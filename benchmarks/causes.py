"""Split the gap between generated and recorded trials into its causes.

    python benchmarks/causes.py runs/direction0 runs/direction1 runs/direction2 --data train.h5 --test test.h5 \\
        --condition angle_deg --out causes

Each row of the table is a set of trials. It is compared with held-out test trials, unless the row says otherwise. Two
consecutive rows differ in one respect, so their difference is the part of the gap that is due to it:

=============================  ========================================================================================
recorded training trials       the noise floor: the same number of recorded trials, which the model has seen
training trials, redrawn       training trials encoded, decoded and drawn again: the best that a second stage can do
... with Poisson counts        the same rates with independent Poisson counts: shows the effect of the observation model
test trials, redrawn           test trials encoded, decoded and drawn again, compared with recorded training trials,
                               which the autoencoder was fitted to (`second_stage.py` compares the other pairs)
generated, conditional         latents of the second stage, under the conditions of the test trials
generated, against training    generated under the conditions of training trials, and compared with these: without the
                               sampling error of the training trials (`sampling_error.py`)
generated, unconditional       without conditions, against test trials again
Gaussian on the latents        a second stage without learning
own samples, redrawn           the model's own samples encoded, decoded and drawn again, compared with other samples of
                               the model: the error of encoding and decoding, without any error of the second stage
own samples                    one set of the model's samples against another: the noise floor of the row above
=============================  ========================================================================================

Prints median and range over the runs (training seeds) and writes a table (CSV) and a figure.
"""

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from spikeloom.files import ensure_folder
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.recipe import load_model
from spikeloom.report import figures
from spikeloom.report.chart import Chart, Figure, Series
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.trials import Trials

COLUMNS = {
    "c2st_rbf": "classifier, rbf",
    "c2st_network": "classifier, network",
    "c2st_population": "classifier, population",
    "population_count_kl": "count KL",
    "psth_neuron_r": "PSTH r per neuron",
    "pairwise_correlation_r": "pairwise r",
    "pairwise_correlation_slope": "pairwise slope",
    "noise_correlation_r": "noise corr. r",
    "noise_correlation_slope": "noise corr. slope",
    "fano_median_ratio": "Fano ratio",
    "fano_rmse": "Fano RMSE",
    "isi_cv_error": "ISI CV error",
}
"""Metrics of the table and their headings."""

FIGURE = ("c2st_rbf", "c2st_network", "c2st_population")
"""Metrics of the figure, each with chance 0.5."""

REDRAW = 1000
"""Added to the seed of redrawn counts, so that they share no random numbers with the model's samples."""

Row = Mapping[str, float]


def copy_of(trials: Trials, counts: np.ndarray) -> Trials:
    """Return trials with other counts, and without rates and latents."""
    return Trials(
        counts,
        trials.bin_width,
        lengths=trials.lengths,
        conditions=trials.conditions,
        neuron_table=trials.neuron_table,
        source="redrawn",
    )


def redrawn(model: LatentModel, trials: Trials, *, seed: int) -> Trials:
    """Encode trials, decode the latents, and draw counts from them."""
    latents = np.array(model.encode(trials, progress=False).latents)
    device = model.readout.mean.device
    with torch.no_grad():
        drawn = model.readout.draw(
            torch.from_numpy(latents).to(device), "inferred", Streams(seed, Purpose.SPIKES, 0, range(len(trials)))
        )
    return copy_of(trials, drawn.counts)


def poisson(model: LatentModel, trials: Trials, *, seed: int) -> Trials:
    """Encode trials, and draw independent Poisson counts from their rates."""
    rates = np.asarray(model.encode(trials, progress=False).rates)
    return copy_of(trials, generator(seed, Purpose.SPIKES).poisson(rates) * trials.mask[..., None])


def compare(real: Trials, fake: Trials, train: Trials, condition: str | None, seed: int) -> Row:
    """Compute the metrics of the table."""
    metrics = [metric for metric in METRICS if metric.name in COLUMNS]
    results = measure(real, fake, reference=train, condition=condition, metrics=metrics, seed=seed)
    return {name: np.nan if result.value is None else result.value for name, result in results.items()}


def rows_of(model: LatentModel, train: Trials, test: Trials, condition: str | None, seed: int) -> dict[str, Row]:
    """Compute every row of the table for one training seed."""
    chosen = generator(seed, Purpose.ORDER).permutation(len(train))[: len(test)]
    seen = train.select(np.sort(chosen))
    names = model.facts.conditions.names
    fakes = {
        "recorded training trials": seen,
        "training trials, redrawn": redrawn(model, seen, seed=seed + REDRAW),
        "training trials, redrawn with Poisson counts": poisson(model, seen, seed=seed + REDRAW),
        "generated, unconditional": model.sample(like=test, condition=(), seed=seed, progress=False),
        "Gaussian on the latents": model.gaussian(train, like=test, seed=seed),
    }
    if names:
        fakes["generated, conditional"] = model.sample(like=test, condition=names, seed=seed, progress=False)
    rows = {name: compare(test, fake, train, condition, seed) for name, fake in fakes.items()}
    matched = model.sample(like=seen, condition=names, seed=seed, progress=False)
    rows["generated, against training trials"] = compare(seen, matched, train, condition, seed)
    rows["test trials, redrawn"] = compare(seen, redrawn(model, test, seed=seed + REDRAW), train, condition, seed)
    sampled = fakes.get("generated, conditional", fakes["generated, unconditional"])
    other = model.sample(like=test, condition=names, seed=seed + 1, progress=False)
    rows["own samples, redrawn"] = compare(sampled, redrawn(model, other, seed=seed + REDRAW), train, condition, seed)
    rows["own samples"] = compare(sampled, other, train, condition, seed)
    return rows


def figure_of(tables: Sequence[Mapping[str, Row]]) -> Figure:
    """Draw the classifiers of each row: a point per run."""
    names = list(tables[0])
    charts = []
    for metric in FIGURE:
        values = np.array([[table[name][metric] for name in names] for table in tables])
        x = np.tile(np.arange(1, len(names) + 1), len(tables))
        points = Series("points", "fake", x, values.ravel())
        floor = Series("dashes", "real", np.array([1, len(names)]), np.repeat(np.median(values[:, 0]), 2))
        charts.append(Chart(COLUMNS[metric], (floor, points), "row", "accuracy"))
    caption = "Dashes: recorded training trials. Rows: " + "; ".join(f"{n} {name}" for n, name in enumerate(names, 1))
    return Figure("causes", "Causes of the gap", caption, tuple(charts), columns=3)


def latent_model(run: str) -> LatentModel:
    """Load a model that generates latents; other models have no encoder to redraw trials with."""
    model = load_model(run)
    if not isinstance(model, LatentModel):
        raise SystemExit(f"{run} holds {type(model).__name__}, which has no latents of an autoencoder.")
    return model


def main() -> None:
    """Print the table of the runs and write it with its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders, one per training seed")
    parser.add_argument("--data", required=True, help="training trials")
    parser.add_argument("--test", required=True, help="held-out trials")
    parser.add_argument("--condition", help="condition that labels the trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="folder of table and figure")
    options = parser.parse_args()
    train = Trials.load(options.data)
    test = Trials.load(options.test)
    tables = [rows_of(latent_model(run), train, test, options.condition, options.seed) for run in options.runs]
    folder = ensure_folder(Path(options.out))
    with (folder / "causes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trials", *COLUMNS.values()])
        for name in tables[0]:
            cells = []
            for metric in COLUMNS:
                values = np.array([table[name][metric] for table in tables])
                spread = f" ± {np.ptp(values) / 2:.3f}" if len(values) > 1 else ""
                cells.append(f"{np.median(values):.3f}{spread}")
            writer.writerow([name, *cells])
            print(f"{name:46s}", *(f"{cell:>16s}" for cell in cells))
    figures.save(figure_of(tables), folder)


if __name__ == "__main__":
    main()
