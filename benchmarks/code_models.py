"""Compare the codes of GNOCCHI, LFADS, LDNS and principal components on simulated reaches, with three training seeds.

    python benchmarks/code_models.py                        # prints the table, and writes it with --out
    python benchmarks/code_models.py --only "PCA"           # models whose name contains a word
    python benchmarks/code_models.py --runs runs/codes      # finished runs are loaded, others stored
    python benchmarks/code_models.py --only "PCA" --recording reach.h5 --leave 150   # as `gnocchi.py recording`

All models read spikes, and only the training trials. The codes are:

* GNOCCHI, LFADS: the code of a trial;
* LDNS: the latents of `ldns-small`, averaged over a trial; there is no map from this average back to activity;
* PCA: scores of the leading principal components in space and time of smoothed spikes, 50 ms; the inverse map generates
  rates. "noise filtered" are the components that GNOCCHI reads.

The measures are those of `gnocchi.py arm`. Targets are decoded from codes by a linear map that is fitted to training
trials. End points and movements are decoded in two ways: from generated rates, by a decoder that is fitted to noiseless
units, and from generated spikes, by a decoder that is fitted to smoothed spikes of recorded trials. Contrastive codes
(CEBRA) are left out, because no library of this project's environment has them.

By default, validation trials and targets that are held out within the training trials are used. `--final` uses test
trials, and held-out targets that were used for no choice.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from code_measures import NAMES, arm_data, chosen_on, fitted, measure, said, show, write_table
from code_recordings import left_out, measure_angles
from spikeloom.metrics.disentanglement import Directions, point_error, variables
from spikeloom.models.common.base import Capabilities
from spikeloom.models.common.coded import Coded
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.nn.activity import Activity
from spikeloom.nn.codes import CodeSpace
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.training.stage import Calculation
from spikeloom.trials import Trials

ROWS = {
    "unit R2": "unit R² of noiseless units, rates generated from codes",
    "variance of rates over that of noiseless units": "variance of rates over that of noiseless units (ideal 1)",
    "target error, held in": "held-in targets read from codes, test trials (cm)",
    "target error, held out": "held-out targets read from codes (cm)",
    "code SNR target_x": "code SNR, target x",
    "code SNR target_y": "code SNR, target y",
    "code SNR start_x": "code SNR, start x",
    "code SNR start_y": "code SNR, start y",
    "|cos| encode: target x, y": "abs. cosine of target x and y, encode",
    "|cos| encode: all pairs": "abs. cosine, all pairs of four variables, encode",
    "|cos| decode: target x, y": "abs. cosine of target x and y, decode",
    "end point, generated from their codes, rates": "end points from codes of held-out trials (cm), rates",
    "end point, generated from their codes, spikes": "the same, spikes",
    "end point, codes moved from a neighbouring target, rates": "end points from moved codes of neighbours (cm), rates",
    "end point, codes moved from a neighbouring target, spikes": "the same, spikes",
    "end point, codes moved from any target, rates": "end points from moved codes of any target (cm), rates",
    "traversal, curved, inside the grid, rates: gain": "traversal of ±3, ±6 cm: achieved / requested, rates",
    "traversal, curved, inside the grid, spikes: gain": "the same, spikes",
    "traversal, curved, inside the grid, rates: unintended": "unintended per achieved movement (cm/cm), rates",
    "traversal, curved, inside the grid, spikes: unintended": "the same, spikes",
    "traversal, curved, inside the grid, rates: floor": "noise floor, rates: new noise, code unmoved (cm/cm)",
}
"""Titles of the rows, by the names of `code_measures.measure`."""


@final
class PrincipalComponents(Coded):
    """Standardised principal components of whole trials as codes, and their inverse as a generator without noise.

    Args:
        n_neurons: Neurons of the recording.
        n_codes: Components.
        smoothing: Standard deviation of the Gaussian that smooths spikes, s.
        wiener: Whether Poisson noise is filtered out.
    """

    def __init__(self, n_neurons: int, *, n_codes: int, smoothing: float, wiener: bool) -> None:
        super().__init__()
        self.n_neurons = n_neurons
        self.n_codes = n_codes
        self.smoothing = smoothing
        self.wiener = wiener
        self.observation = ObservationModel(Poisson(), history=None, noise=None)

    @property
    def capabilities(self) -> Capabilities:
        """See `Model.capabilities`."""
        return Capabilities(options=("codes",))

    def build(self, facts: Facts) -> None:
        """Make the buffers; see `Model.build`."""
        self.activity = Activity(
            facts.n_neurons,
            sd=self.smoothing / facts.bin_width,
            time=facts.longest,
            components=self.n_codes,
            wiener=self.wiener,
        )
        self.space = CodeSpace(self.n_codes)

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Calculation]:
        """Fit the components; see `Model.stages`. Nothing is chosen on validation trials."""
        del validation
        yield Calculation("components", {"components": lambda: self._fit(trials)})

    def _fit(self, trials: Trials) -> None:
        counts = torch.from_numpy(np.asarray(trials.counts, np.float32))
        self.activity.fit(counts, torch.from_numpy(trials.mask))
        self.space.fit(np.array(self.infer(counts, torch.from_numpy(trials.mask)).codes))

    def draw(self, request: Request) -> Generated:
        """Generate rates and counts from codes, which are drawn from their Gaussian if none are requested."""
        codes = request.codes
        if codes is None:
            codes = self.space.color(torch.from_numpy(request.noise.normal(self.n_codes))).numpy()
        rates = self.activity.rates(torch.from_numpy(codes)[:, None] * self.activity.spread)
        counts = self.observation.sample(self.observation.drive(rates), request.spikes)
        return Generated(counts, rates.numpy(), codes=codes)

    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer codes from counts; see `Model.infer`."""
        return Inferred(codes=(self.activity(signal, mask)[:, 0] / self.activity.spread).numpy())


Fit = Callable[[Trials, int, Path | None], Coded]
"""Function from training trials, seed and folder to a trained model."""


def _components(n_codes: int, smoothing: float, *, wiener: bool) -> Fit:
    def fit(train: Trials, seed: int, out: Path | None) -> Coded:
        del out  # fitted in seconds
        model = PrincipalComponents(train.n_neurons, n_codes=n_codes, smoothing=smoothing, wiener=wiener)
        model.fit(train, seed=seed, progress=False)
        return model

    return fit


def _recipe(name: str, *changes: str) -> Fit:
    return lambda train, seed, out: fitted(name, changes, train, seed=seed, out=out)


MODELS: dict[str, Fit] = {
    "GNOCCHI": _recipe("gnocchi-small", "prior=gaussian"),
    "PCA, 24 components, noise filtered": _components(24, 0.025, wiener=True),
    "PCA, 24 components": _components(24, 0.05, wiener=False),
    "PCA, 48 components": _components(48, 0.05, wiener=False),
    "LDNS, mean latents": _recipe("gnocchi-on-ldns-small", "plan.updates=1", "prior=gaussian"),  # its first model only
    "LFADS": _recipe("lfads-small"),
}
"""Models by name."""


def averages(model: Coded, parts: tuple[Trials, Trials, Trials]) -> dict[str, float]:
    """Compute the measures of codes for latents of the first model of a GNOCCHI, averaged over the trial."""
    latents = [model.encode(replace(part, rates=None, latents=None), progress=False).latents for part in parts]
    codes = [np.asarray(latents_of_part).mean(1) for latents_of_part in latents]
    coded = replace(parts[0], codes=codes[0])
    directions = Directions.of(coded, NAMES)
    values = [variables(part, NAMES) for part in parts]
    result = said(directions, coded, codes[1], values[1])
    for word, k in (("held in", 1), ("held out", 2)):
        result[f"target error, {word}"] = 100 * point_error(directions, codes[k], values[k][:, :2])
    return result


def recording(options: argparse.Namespace) -> None:
    """Print the measures of `gnocchi.py recording` for components: angles of recorded reaches, one left out."""
    data = left_out(*Trials.load(options.recording).split(0.75, seed=0), options.angle, options.leave)
    for name in MODELS:
        if name.startswith("PCA") and options.only in name:
            model = MODELS[name](data[0], 0, None)
            show(name, [measure_angles(model, options.angle, options.leave, *data)])


def main() -> None:
    """Fit every model and seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of the name of a model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--final", action="store_true", help="evaluate on test trials and held-out targets")
    parser.add_argument("--runs", type=Path, help="folder of the runs; finished ones are loaded")
    parser.add_argument("--out", type=Path, help="table, CSV")
    parser.add_argument("--recording", type=Path, help="recorded reaches instead of the arm; components only")
    parser.add_argument("--angle", default="angle_deg", help="condition of the recording, degrees")
    parser.add_argument("--leave", type=float, default=150.0, help="angle left out of training")
    options = parser.parse_args()
    if options.recording is not None:
        recording(options)
        return
    train, _, test, unseen = arm_data()
    parts = (train, test, unseen) if options.final else chosen_on()
    names = [name for name in MODELS if options.only in name]
    results: dict[str, list[dict[str, float]]] = {}
    for name in names:
        for seed in options.seeds[:1] if name.startswith("PCA") else options.seeds:  # PCA has no seed
            out = None if options.runs is None else options.runs / f"{name}-{seed}"
            model = MODELS[name](parts[0], seed, out)
            numbers = averages(model, parts) if name.startswith("LDNS") else measure(model, *parts)
            results.setdefault(name, []).append(numbers)
            print(name, seed, {key: round(float(value), 3) for key, value in numbers.items()}, flush=True)
    table = [["", *names]]
    for key, title in ROWS.items():
        cells = []
        for name in names:
            values = np.array([numbers.get(key, np.nan) for numbers in results[name]])
            spread = f" ± {values.std():.2f}" if len(values) > 1 else ""
            cells.append("–" if np.isnan(values).any() else f"{values.mean():.2f}{spread}")
        table.append([title, *cells])
    write_table(table, options.out)


if __name__ == "__main__":
    main()
