"""Generate every trial of a recording by a model that was trained without it, so that all trials are test trials.

    python benchmarks/five_fold.py autoregressive-ldns-small-direction --data reach.h5 --condition angle_deg --out folds
    spikeloom evaluate --real folds/recorded.h5 --fake folds/conditional.h5 --condition angle_deg \\
        --out folds/report-conditional

The trials are divided at random into five folds. For each fold, a model is trained on the other four folds, and as many
trials as the fold has are sampled from it, under the conditions of the fold and without conditions. The samples of the
five models are written together, in the order of the recorded trials. With all trials as test trials, noise floors are
about half as wide as with a quarter of them.

Trials of a fold are also encoded by the model of this fold, decoded, and drawn again ("redrawn"). They show the part of
a difference that is due to the autoencoder and the observation model.

Runs that are finished are not trained again, and runs that were stopped are resumed.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from causes import redrawn
from spikeloom.files import ensure_folder
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.recipe import fit
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

SAMPLE_SEED = 1
"""Seed of the samples of the first fold. Each fold has another seed. With equal random numbers, trials of different
folds would resemble each other, and a classifier could recognise them by this resemblance."""


def folds_of(trials: Trials, n_folds: int) -> Iterator[tuple[Trials, Trials]]:
    """Yield training and test trials of each fold."""
    order = generator(0, Purpose.ORDER).permutation(len(trials))
    for tested in np.array_split(order, n_folds):
        training = np.setdiff1d(order, tested)
        yield trials.select(training), trials.select(np.sort(tested))


def main() -> None:
    """Fit and sample the models, and write recorded and generated trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True, help="recorded trials")
    parser.add_argument("--condition", help="condition of the model")
    parser.add_argument("--set", action="append", default=[], help="setting of the recipe, as in spikeloom fit")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="training seed")
    parser.add_argument("--out", required=True, help="folder of runs and trials")
    options = parser.parse_args()
    folder = ensure_folder(Path(options.out))
    recorded: list[Trials] = []
    generated: dict[str, list[Trials]] = {"conditional": [], "unconditional": [], "redrawn": []}
    for fold, (training, tested) in enumerate(folds_of(Trials.load(options.data), options.folds)):
        model = fit(options.recipe, training, out=folder / f"fold{fold}", seed=options.seed, changes=options.set)
        recorded.append(tested)
        names = () if options.condition is None else (options.condition,)
        seed = SAMPLE_SEED + fold
        for kind, condition in (("conditional", names), ("unconditional", ())):
            generated[kind].append(model.sample(like=tested, condition=condition, seed=seed))
        assert isinstance(model, LatentModel)
        generated["redrawn"].append(redrawn(model, tested, seed=seed))
    recorded[0].concatenate(*recorded[1:]).save(folder / "recorded.h5")
    for kind, parts in generated.items():
        parts[0].concatenate(*parts[1:]).save(folder / f"{kind}.h5")


if __name__ == "__main__":
    main()
