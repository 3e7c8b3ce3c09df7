"""Test whether the prediction of held-out targets from codes depends on the estimate of the rates (GNOCCHI, figure 5).

    python benchmarks/gnocchi_signal.py            # prints the table and writes docs/results/tables/codes-signal.csv

GNOCCHI is fitted to four estimates of the rates of simulated reaches: spikes smoothed with a Gaussian, the same with
Poisson noise filtered out (the default), and rates that LFADS or LDNS infer, as in the recipes `gnocchi-on-lfads-small`
and `gnocchi-on-ldns-small`. Trials to six targets are held out of all training: LFADS and LDNS have the same training
trials as GNOCCHI. LFADS and LDNS are trained once, and GNOCCHI is trained with every seed on the rates that they infer.

A linear map from codes to targets is fitted to training trials. The error is the distance between the decoded and the
true target. Differences are paired: the mean over trials of the difference of errors, averaged over seeds, with its
standard error over trials.

Because the comparison guides a choice, it uses validation trials and targets that are held out within the training
trials (`code_measures.chosen_on`). `--final` uses test trials, and six targets that were used for no choice.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from code_measures import NAMES, arm_data, chosen_on, from_codes, read_from_spikes, with_codes, write_table
from spikeloom.metrics.disentanglement import Directions, Readout, code_snr, ends, unit_r2, variables
from spikeloom.models.common.coded import Coded
from spikeloom.recipe import fit
from spikeloom.trials import Trials

TABLE = Path(__file__).parents[1] / "docs" / "results" / "tables" / "codes-signal.csv"

KERNEL = ("signal_settings.wiener=false", "signal_settings.smoothing=0.05", "signal_settings.components=64")
RATES = ("signal_settings.of=rates", "signal_settings.components=64")

SIGNALS = {
    "Gaussian kernel": (None, KERNEL),
    "Gaussian kernel, noise filtered": (None, ()),
    "LFADS": ("lfads", RATES),
    "LDNS": ("ldns", RATES),
}
"""First model and changes of `gnocchi-small`, by the name of the estimate."""

Result = dict[str, float | np.ndarray]


def measure(model: Coded, estimated: Sequence[Trials], parts: Sequence[Trials]) -> Result:
    """Compute the errors of decoded targets (trial,) in cm, and the accuracy of the rates that codes generate.

    Args:
        model: Model of the estimated rates.
        estimated: Training, tested and held-out trials with the rates that the model reads.
        parts: The same trials with their true rates.
    """
    train, test, unseen = parts
    coded, tested, held = (with_codes(model, part) for part in estimated)
    directions = Directions.of(coded, NAMES)
    codes = np.asarray(tested.codes)
    rebuilt = from_codes(model, tested, codes, seed=1)
    generated = from_codes(model, held, np.asarray(held.codes), seed=1)
    noiseless = Readout.fit(train, "hand_position", smoothing=None)
    reached = ends(noiseless.decode(generated), generated.lengths)[:, :2]
    inferred = np.nan
    if model.reads == "rates":
        inferred = float(np.nanmedian(unit_r2(test.rates, estimated[1].rates, test.mask)))
    spread = [np.asarray(part.rates)[test.mask].var(0) for part in (test, rebuilt)]
    return {
        "held in": _errors(directions.predict(codes), test),
        "held out": _errors(directions.predict(np.asarray(held.codes)), unseen),
        "end points, held out": _errors(reached, unseen),
        "inferred": inferred,
        "unit R2": float(np.nanmedian(unit_r2(test.rates, rebuilt.rates, test.mask))),
        "variance": float(np.median(spread[1] / spread[0])),
        "code SNR": float(np.mean(code_snr(directions, codes, variables(test, NAMES))[:2])),
    }


def _errors(decoded: np.ndarray, trials: Trials) -> np.ndarray:
    """Return the distance of decoded from true targets (trial,), cm."""
    return 100 * np.linalg.norm(decoded[:, :2] - variables(trials, NAMES[:2]), axis=1)


def with_inferred(kind: str, parts: Sequence[Trials], runs: Path | None) -> list[Trials]:
    """Return the trials with the rates that a first model infers; it is trained on the first of the parts."""
    out = None if runs is None else runs / kind
    changes = ["plan.updates=1", "prior=gaussian"]  # only the first stage is used
    model = fit(f"gnocchi-on-{kind}-small", parts[0], changes=changes, seed=0, out=out, progress=False)
    return [replace(part, rates=model.encode(part, progress=False).rates) for part in parts]


def rows_of(results: dict[str, list[Result]]) -> list[list[str]]:
    """Return the rows of the table: every measure by estimate, then paired differences from the Gaussian kernel."""
    first = next(iter(results))
    rows = []
    for measure_name, title in TITLES.items():
        means = [np.array([np.mean(seed[measure_name]) for seed in seeds]) for seeds in results.values()]
        rows.append([title, *map(_mean_and_sd, means)])
    for measure_name in ("held in", "held out"):
        cells = []
        for name, seeds in results.items():
            pairs = zip(seeds, results[first], strict=True)
            of_seeds = [np.asarray(seed[measure_name]) - np.asarray(base[measure_name]) for seed, base in pairs]
            difference = np.mean(of_seeds, 0)
            error = difference.std() / np.sqrt(len(difference))
            cells.append("" if name == first else f"{difference.mean():+.2f} ± {error:.2f}")
        rows.append([f"{TITLES[measure_name]}: difference from the first column ± its standard error", *cells])
    return rows


def _mean_and_sd(values: np.ndarray) -> str:
    """Return mean and standard deviation over seeds as text; empty if a value is missing."""
    return "" if np.isnan(values).any() else f"{values.mean():.2f} ± {values.std():.2f}"


TITLES = {
    "held out": "held-out targets read from codes, mean error (cm)",
    "held in": "held-in targets, test trials (cm)",
    "end points, held out": "end points of rates generated from codes of held-out trials (cm)",
    "code SNR": "code SNR, mean of target x and y",
    "inferred": "unit R² of noiseless units, rates inferred by the first model",
    "unit R2": "unit R² of noiseless units, rates generated from codes",
    "variance": "variance of rates over that of noiseless units (ideal 1)",
}


def main() -> None:
    """Fit every estimate and seed, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--updates", type=int, default=500, help="updates of GNOCCHI")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--final", action="store_true", help="evaluate on test trials and held-out targets")
    parser.add_argument("--runs", type=Path, help="folder of the first models; finished ones are loaded")
    parser.add_argument("--out", type=Path, default=TABLE)
    options = parser.parse_args()
    train, _, test, unseen = arm_data()
    parts = (train, test, unseen) if options.final else chosen_on()
    print(f"{len(parts[0])} training trials, {len(parts[1])} tested trials, {len(parts[2])} trials to held-out targets")
    for title, error in read_from_spikes(*parts).items():
        print(f"{title}: {error:.2f} cm")
    results: dict[str, list[Result]] = {}
    for name, (kind, changes) in SIGNALS.items():
        estimated = list(parts) if kind is None else with_inferred(kind, parts, options.runs)
        for seed in options.seeds:
            start = time.process_time()
            all_changes = [*changes, f"plan.updates={options.updates}", "prior=gaussian"]
            model = fit("gnocchi-small", estimated[0], changes=all_changes, seed=seed, progress=False)
            results.setdefault(name, []).append(measure(model, estimated, parts))
            numbers = {key: round(float(np.mean(value)), 3) for key, value in results[name][-1].items()}
            print(f"{name}, seed {seed}, {time.process_time() - start:.0f} core-seconds: {numbers}", flush=True)
    rows = rows_of(results)
    write_table([["", *results], *rows], options.out)


if __name__ == "__main__":
    main()
