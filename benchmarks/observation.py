"""Evaluate each part of the observation model, on the frozen autoencoder and diffusion of a trained LDNS.

    spikeloom fit ldns-small --data train.h5 --out runs/reach
    python benchmarks/observation.py runs/reach --train train.h5 --test test.h5

The observation model begins with Poisson counts. Then the history, refractory bins and shared noise are added one after
the other, each fitted to the training trials. Counts are drawn from the rates inferred for the test trials, and from
generated rates. With all parts, counts are also drawn from the rates of a Gaussian that is fitted to the latents of the
training trials (`LDNS.gaussian`); the diffusion should be better than this Gaussian. The row "real" is the noise floor:
it compares training trials with the test trials, in equal numbers and with the same conditions. All rows are compared
with all test trials and are means over draws.
"""

import argparse
import copy
import time
from collections.abc import Sequence

import numpy as np
import torch

from spikeloom.evaluation.splits import matched
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.models.common.readout import SOURCES
from spikeloom.models.ldns import LDNS
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.recipe import load_model
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

SHOWN = {
    "population_count_kl": "KL",
    "isi_cv_error": "ISI-CV",
    "refractory_rmse": "refr.",
    "pairwise_correlation_r": "pair r",
    "pairwise_correlation_slope": "slope",
    "noise_correlation_r": "noise r",
    "noise_correlation_slope": "slope",
    "fano_median_ratio": "Fano/real",
    "condition_accuracy": "acc/real",
    "c2st_rbf": "C2ST pc",
    "c2st_population": "C2ST pop",
}

LADDER: dict[str, ObservationModel] = {
    "Poisson": ObservationModel(Poisson(), history=None, noise=None),
    "with history": ObservationModel(Poisson(), noise=None),
    "with history and refractory bins": ObservationModel(Refractory(), noise=None),
    "with history, refractory bins and shared noise": ObservationModel(),
}
FULL = "with history, refractory bins and shared noise"
OTHERS: dict[str, ObservationModel] = {
    "with history, raw bins, published form": ObservationModel(
        Poisson(), SpikeHistory(basis="bins", logarithmic=True), None
    ),
    "with history, raw bins, and refractory bins": ObservationModel(Refractory(), SpikeHistory(basis="bins"), None),
}


def row(real: Trials, fakes: Sequence[Trials], reference: Trials) -> list[float]:
    """Return the mean of the shown metrics over several sets of generated trials; NaN if a metric does not apply."""
    chosen = [metric for metric in METRICS if metric.name in SHOWN]
    values = []
    for seed, fake in enumerate(fakes):
        outcome = measure(real, fake, reference=reference, metrics=chosen, seed=seed)
        value = {name: np.nan if result.value is None else result.value for name, result in outcome.items()}
        values.append([value[name] for name in SHOWN])
    return [float(x) for x in np.mean(values, 0)]


def show(name: str, values: Sequence[float]) -> None:
    """Print one line of the table."""
    print(f"{name:60s}" + "".join(f"{value:10.4f}" for value in values), flush=True)


def fit(model: LDNS, kind: ObservationModel, train: Trials) -> None:
    """Fit an observation model to the frozen autoencoder and store it in the model."""
    for source in SOURCES:
        statistics = model.readout.of(source)
        statistics.observation = copy.deepcopy(kind)
        statistics.observation.build(model.n_neurons, train.bin_width)
    start = time.process_time()
    with torch.no_grad():
        model.readout.fit_observation(train, model.unseen_rates)
    print(f"# fitted in {time.process_time() - start:.1f} CPU seconds", flush=True)


def adapt(model: LDNS, coded: Trials, train: Trials) -> None:
    """Calibrate the rates of these latents, and adapt a copy of the fitted observation model to them."""
    with torch.no_grad():
        model.readout.fit_generated(train, {"generated": coded}, seed=0)


def counts(model: LDNS, coded: Trials, seed: int) -> Trials:
    """Return trials with new counts drawn from their latents, with the readout of the last `adapt`."""
    streams = Streams(seed, Purpose.SPIKES, 0, range(len(coded)))
    with torch.no_grad():
        drawn = model.readout.draw(torch.from_numpy(np.array(coded.latents, np.float32)), "generated", streams).counts
    return Trials(drawn, coded.bin_width, lengths=coded.lengths, conditions=coded.conditions, source="LDNS")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--others", action="store_true", help="also evaluate raw-bin filters")
    parser.add_argument("--only", nargs="*", default=[], help="names of the rows to compute; all by default")
    options = parser.parse_args()
    train = Trials.load(options.train)
    test = Trials.load(options.test)
    model = load_model(options.run)
    assert isinstance(model, LDNS)
    condition = list(model.condition) or None
    print(" " * 60 + "".join(f"{word:>10s}" for word in SHOWN.values()))
    floor = [
        matched(test, train.select(np.random.default_rng(k).permutation(len(train)))) for k in range(options.draws)
    ]
    show("real", row(test, [other for _, other in floor], train))
    inferred = model.encode(test, progress=False)
    learned = model.encode(train, progress=False)
    fakes = [model.sample(like=test, condition=condition, seed=100 + k, progress=False) for k in range(options.draws)]
    several = model.sample(min(400, 2 * len(train)), seed=99, condition=condition, progress=False)
    for name, kind in {**LADDER, **(OTHERS if options.others else {})}.items():
        if options.only and name not in options.only:
            continue
        fit(model, kind, train)
        adapt(model, learned, train)
        sets = [counts(model, inferred, 200 + k) for k in range(options.draws)]
        show(f"inferred   {name}", row(test, sets, train))
        if name == FULL:
            sets = [model.gaussian(train, like=test, seed=400 + k) for k in range(options.draws)]
            show(f"Gaussian   {name}", row(test, sets, train))
        adapt(model, several, train)
        print(f"# generated gain {float(model.readout.generated.calibration.gain):.3f}")
        sets = [counts(model, fake, 300 + k) for k, fake in enumerate(fakes)]
        show(f"generated  {name}", row(test, sets, train))


if __name__ == "__main__":
    main()
