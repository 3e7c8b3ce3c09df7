"""Test whether generated trials get better if the second stage learns from latents that the autoencoder has not seen.

    python benchmarks/second_stage.py autoregressive-ldns-small-direction --set autoencoder_plan.updates=800 \\
        --data reach.h5 --condition angle_deg

The recorded trials are divided into test trials, which are not used, validation trials, trials of the autoencoder
("seen"), and as many other trials ("unseen"). A model is trained on the seen trials. The first rows compare trials
that are encoded, decoded and drawn again with recorded trials, for all pairs of the three sets. The last rows compare
generated trials with the validation trials. Second stage and readout are fitted

* to the seen trials, as `fit` does,
* to the unseen trials,
* to the seen trials, with latents inferred from counts of which a random part is hidden, as in training.

Each row is the mean over several draws.
"""

import argparse
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from causes import COLUMNS, Row, compare, redrawn
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.models.common.likelihood import bits_per_spike
from spikeloom.recipe import read_recipe
from spikeloom.seeds import Purpose, generator
from spikeloom.training.stage import Stage
from spikeloom.training.train import train
from spikeloom.trials import Trials

SHOWN = ("c2st_rbf", "c2st_network", "c2st_population", "noise_correlation_r", "psth_neuron_r", "fano_median_ratio")
"""Metrics of the table."""

TEST = 0.25
"""Fraction of all trials that is not used."""

VALIDATION = 0.2
"""Fraction of the other trials that are validation trials, with which the sets are compared."""

HIDDEN = (0.1, 0.8)
"""Range of the fraction of hidden entries in a trial."""


@contextmanager
def hiding(model: LatentModel, least: float, most: float) -> Iterator[None]:
    """Hide a random share of the entries of each trial from the encoder, as in training."""

    def hide(_: object, inputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        counts, mask = inputs
        numbers = torch.Generator().manual_seed(int(counts.sum()))
        share = least + (most - least) * torch.rand(len(counts), 1, 1, generator=numbers)
        hidden = torch.rand(counts.shape, generator=numbers) < share
        return torch.where(hidden, 0.0, counts / (1 - share)), mask

    hook = model.encoder.register_forward_pre_hook(hide)
    try:
        yield
    finally:
        hook.remove()


def refitted(model: LatentModel, trials: Trials, *, seed: int, hidden: tuple[float, float] = (0, 0)) -> LatentModel:
    """Return a copy of the model whose second stage and readout are fitted to these trials."""
    model = copy.deepcopy(model)
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    def stages() -> Iterator[Stage]:
        every = model.stages(trials, None)
        next(every)  # the autoencoder is trained; its stage sets the first bias of the decoder
        model.load_state_dict(weights)
        with hiding(model, *hidden):
            second = next(every)
        yield second
        yield from every

    train(stages(), seed=seed, progress=False)
    return model.eval()


def mean(rows: Sequence[Row]) -> Row:
    """Return the mean of each metric over several sets of trials."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def subset(trials: Trials, n_trials: int, seed: int) -> Trials:
    """Return trials chosen at random."""
    return trials.select(np.sort(generator(seed, Purpose.ORDER).permutation(len(trials))[:n_trials]))


def rows_of(
    model: LatentModel, parts: Mapping[str, Trials], condition: str, draws: int, seed: int
) -> Iterator[tuple[str, Row]]:
    """Compute every row of the table for one autoencoder, trained on the seen trials."""
    seen = parts["seen"]
    real = parts["validation"]
    n_trials = len(real)

    def judged(other: Trials, make: Callable[[int], Trials]) -> Row:
        rows = [compare(subset(other, n_trials, draw), make(draw), seen, condition, draw) for draw in range(draws)]
        return mean(rows)

    yield "recorded: unseen | validation", judged(real, lambda draw: subset(parts["unseen"], n_trials, draw))
    for name, trials in parts.items():
        again = redrawn(model, trials, seed=seed)
        for other in parts:
            if other != name:
                row = judged(parts[other], lambda draw, again=again: subset(again, n_trials, draw))
                yield f"redrawn: {name} | {other}", row

    def generated(fitted: LatentModel) -> Row:
        return judged(real, lambda draw: fitted.sample(like=real, condition=condition, seed=100 + draw, progress=False))

    yield "generated: seen | validation", generated(model)
    yield "generated: unseen | validation", generated(refitted(model, parts["unseen"], seed=seed))
    yield "generated: seen, hidden entries | validation", generated(refitted(model, seen, seed=seed, hidden=HIDDEN))


def divided(trials: Trials) -> dict[str, Trials]:
    """Divide trials into validation trials, and seen and unseen trials in equal numbers; the rest is for tests."""
    order = np.random.default_rng(0).permutation(len(trials))
    trials = trials.select(np.sort(order[round(TEST * len(trials)) :]))
    order = np.random.default_rng(1).permutation(len(trials))
    first = math.ceil(VALIDATION * len(trials))
    half = (len(trials) - first) // 2
    rows = {"validation": order[:first], "seen": order[first : first + half], "unseen": order[first + half :][:half]}
    return {name: trials.select(np.sort(row)) for name, row in rows.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="recipe of a model that generates latents")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], help="changes of the recipe, key=value")
    parser.add_argument("--data", required=True, help="recorded trials")
    parser.add_argument("--condition", required=True, help="condition of the model")
    parser.add_argument("--draws", type=int, default=4, help="sets of generated trials")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    parts = divided(Trials.load(options.data))
    tables = []
    for seed in options.seeds:
        model = read_recipe(options.recipe, options.changes).build(parts["seen"].n_neurons)
        assert isinstance(model, LatentModel)
        model.fit(parts["seen"], seed=seed, progress=False)
        bits = {name: bits_per_spike(model.observation, model.unseen_rates(part), part) for name, part in parts.items()}
        print(f"seed {seed}, bits per spike:", ", ".join(f"{name} {value:.3f}" for name, value in bits.items()))
        rows = {}
        for name, row in rows_of(model, parts, options.condition, options.draws, seed):
            rows[name] = row
            print(f"  {name:46s}", *(f"{row[metric]:8.3f}" for metric in SHOWN), flush=True)
        tables.append(rows)
    print("\nmedian ± half the range over seeds:", ", ".join(COLUMNS[name] for name in SHOWN))
    for name in tables[0]:
        values = np.array([[table[name][metric] for metric in SHOWN] for table in tables])
        cells = (f"{a:.3f} ± {b:.3f}" for a, b in zip(np.median(values, 0), np.ptp(values, 0) / 2, strict=True))
        print(f"  {name:46s}", *cells)


if __name__ == "__main__":
    main()
