"""Does the prediction of held-out targets from codes depend on how rates were estimated? Figure 5 of the GNOCCHI paper.

    python benchmarks/gnocchi_signal.py            # prints the table and writes docs/results/tables/codes-signal.csv

GNOCCHI is fitted to four estimates of the rates of simulated reaches: spikes smoothed with a Gaussian, the same with
Poisson noise filtered out (the default), and rates that LFADS or LDNS infer (recipes `gnocchi-on-lfads-*` and
`gnocchi-on-ldns-*`). Trials to six targets are held out of everything: the first models and GNOCCHI are trained in one
run, on the same training trials.

A linear map from codes to targets is fitted to training trials. The error is the distance between the decoded and the
true target. Differences are paired: the mean over trials of the difference of errors, averaged over seeds, with its
standard error over trials.

The default size is small, to need minutes of one core: 1,200 trials, the networks of the `-tiny` recipes, and 600
updates of each model. `--trials 3600 --size small --updates 2000` is the size of the other results on the arm.
`--choose` evaluates on targets held out within training and on validation trials.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from code_measures import NAMES, arm_data, chosen_within, from_codes, read_from_spikes, with_codes
from spikeloom.metrics.disentanglement import Directions, Readout, code_snr, ends, unit_r2, variables
from spikeloom.models.common.coded import Coded
from spikeloom.recipe import fit
from spikeloom.trials import Trials

TABLE = Path(__file__).parents[1] / "docs" / "results" / "tables" / "codes-signal.csv"

COMMON = ("n_codes=48", "prior=gaussian", "network_settings.encoder_blocks=0")
"""Changes of every recipe: those of `gnocchi-small`, and a prior that needs no training, as it is not used here."""

KERNEL = tuple(f"signal_settings.{change}" for change in ("wiener=false", "smoothing=0.05", "components=64"))
FILTERED = tuple(f"signal_settings.{change}" for change in ("smoothing=0.025", "components=24"))

SIGNALS = {
    "Gaussian kernel": ("gnocchi", KERNEL, ""),
    "Gaussian kernel, noise filtered": ("gnocchi", FILTERED, ""),
    "LFADS": ("gnocchi-on-lfads", ("signal_settings.components=64",), "signal_model.plan.updates"),
    "LDNS": ("gnocchi-on-ldns", ("signal_settings.components=64",), "signal_model.autoencoder_plan.updates"),
}
"""Recipe, changes, and the setting with the updates of the first model, by the name of the estimate."""

Result = dict[str, float | np.ndarray]


def measure(model: Coded, train: Trials, test: Trials, unseen: Trials) -> Result:
    """Compute the errors of decoded targets (trial,) in cm, and the accuracy of the rates that codes generate."""
    coded, tested, held = (with_codes(model, part) for part in (train, test, unseen))
    directions = Directions.of(coded, NAMES)
    codes = np.asarray(tested.codes)
    rebuilt = from_codes(model, tested, codes, seed=1)
    generated = from_codes(model, held, np.asarray(held.codes), seed=1)
    noiseless = Readout.fit(train, "hand_position", smoothing=None)
    reached = ends(noiseless.decode(generated), generated.lengths)[:, :2]
    accuracy = np.nan
    if not np.array_equal(inferred := model.encode(test, progress=False).rates, test.rates):
        accuracy = float(np.nanmedian(unit_r2(test.rates, inferred, test.mask)))
    spread = [np.asarray(part.rates)[test.mask].var(0) for part in (test, rebuilt)]
    return {
        "held in": _errors(directions.predict(codes), test),
        "held out": _errors(directions.predict(np.asarray(held.codes)), unseen),
        "end points, held out": _errors(reached, unseen),
        "inferred": accuracy,
        "unit R2": float(np.nanmedian(unit_r2(test.rates, rebuilt.rates, test.mask))),
        "variance": float(np.median(spread[1] / spread[0])),
        "code SNR": float(np.mean(code_snr(directions, codes, variables(test, NAMES))[:2])),
    }


def _errors(decoded: np.ndarray, trials: Trials) -> np.ndarray:
    """Return the distance of decoded from true targets (trial,), cm."""
    return 100 * np.linalg.norm(decoded[:, :2] - variables(trials, NAMES[:2]), axis=1)


def changes_of(name: str, updates: int) -> list[str]:
    """Return the changes of the recipe of one estimate."""
    _, changes, first = SIGNALS[name]
    return [*COMMON, *changes, f"plan.updates={updates}", *([f"{first}={updates}"] if first else [])]


def rows_of(results: dict[str, list[Result]]) -> list[list[str]]:
    """Return the rows of the table: every measure by estimate, then paired differences from the Gaussian kernel."""
    first = next(iter(results))
    rows = []
    for measure_name, title in TITLES.items():
        each = {name: np.array([np.mean(one[measure_name]) for one in ones]) for name, ones in results.items()}
        rows.append([title, *(_words(values) for values in each.values())])
    for measure_name in ("held in", "held out"):
        cells = []
        for name, ones in results.items():
            pairs = zip(ones, results[first], strict=True)
            apart = np.mean([np.asarray(one[measure_name]) - np.asarray(base[measure_name]) for one, base in pairs], 0)
            cells.append("" if name == first else f"{apart.mean():+.2f} ± {apart.std() / np.sqrt(len(apart)):.2f}")
        rows.append([f"{TITLES[measure_name]}: difference from the first column ± its standard error", *cells])
    return rows


def _words(values: np.ndarray) -> str:
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
    parser.add_argument("--trials", type=int, default=1200)
    parser.add_argument("--size", choices=["tiny", "small"], default="tiny", help="recipes of this size")
    parser.add_argument("--updates", type=int, default=600, help="updates of GNOCCHI and of each first model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--choose", action="store_true", help="evaluate on validation trials and inner targets")
    parser.add_argument("--runs", type=Path, help="folder of the runs; finished runs are loaded")
    parser.add_argument("--out", type=Path, default=TABLE)
    words = parser.parse_args()
    train, validation, test, unseen = arm_data(words.trials)
    parts = chosen_within(train, validation) if words.choose else (train, test, unseen)
    print(f"{len(parts[0])} training trials, {len(parts[1])} test trials, {len(parts[2])} trials to held-out targets")
    for title, error in read_from_spikes(*parts).items():
        print(f"{title}: {error:.2f} cm")
    results: dict[str, list[Result]] = {name: [] for name in SIGNALS}
    for seed in words.seeds:
        for name, (recipe, _, _) in SIGNALS.items():
            out = None if words.runs is None else words.runs / f"{name} {seed}".replace(" ", "-").replace(",", "")
            began = time.process_time()
            changes = changes_of(name, words.updates)
            model = fit(f"{recipe}-{words.size}", parts[0], changes=changes, seed=seed, out=out, progress=False)
            results[name].append(measure(model, *parts))
            numbers = {key: round(float(np.mean(value)), 3) for key, value in results[name][-1].items()}
            print(f"{name}, seed {seed}, {time.process_time() - began:.0f} core-seconds: {numbers}", flush=True)
    rows = rows_of(results)
    with words.out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["", *SIGNALS], *rows])
    for row in rows:
        print(" | ".join(row))


if __name__ == "__main__":
    main()
