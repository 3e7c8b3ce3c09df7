"""Test whether a clock helps a model conditioned on velocity, and how much of its effect is due to the code of a trial.

    python -m benchmarks.clock runs/off4 runs/on4 runs/off16 runs/on16 --data train.h5 --validation validation.h5

First, it prints how well the mean speed of the other training trials predicts the speed of a trial over time, as the
fraction of the variance: 1 if all trials have the same time course, 0 or less if they have none in common. Then, for
each run, it prints R2 of the velocity that a Kalman filter decodes from generated validation trials, at several
strengths of guidance: with the codes that the model draws, and with codes set to 0, their mean.
"""

import argparse

import numpy as np
import torch
from benchmarks.closed_loop import VELOCITY, LiveGenerator, decoded_r2, generated

import spikeloom as sl
from spikeloom.metrics.kalman import KalmanFilter
from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.nn.clock import Clock
from spikeloom.trials import Trials

GUIDANCE = (0.8, 1.0, 1.25)
"""Strengths of guidance."""

SEEDS = (300, 301)
"""Seeds of the generated trials."""

N_HATS = 14
"""Number of hat functions under which the speed is averaged, that of the recipes."""


def predicted_fraction(trials: Trials) -> tuple[float, int]:
    """Return the fraction of the variance of the speed over hats that other trials predict, and the number of hats.

    Hats that lie within at most half of the trials are left out. The mean over the hats of a trial is subtracted.
    """
    velocity = trials.behavior[VELOCITY]
    valid = torch.from_numpy(trials.mask)
    centred = (velocity - velocity[trials.mask].mean(0)) / velocity[trials.mask].std(0)
    speed = torch.from_numpy(np.linalg.norm(centred, axis=-1, keepdims=True)) * valid[..., None]
    means, within = Clock(N_HATS, longest=trials.n_bins).averages(speed, valid)
    enough = within.sum(0) > len(trials) / 2
    rows = within[:, enough].double()
    values = means[:, enough, 0] * rows
    others = (values.sum(0) - values) / (rows.sum(0) - 1)
    deviations = _centred(values, rows)
    residuals = deviations - _centred(others, rows)
    return float(1 - residuals.square().sum() / deviations.square().sum()), int(enough.sum())


def _centred(values: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return values (trial, hat) minus the mean of each trial over the hats within it."""
    mean = (values * rows).sum(1, keepdim=True) / rows.sum(1, keepdim=True)
    return (values - mean) * rows


def silence_code(model: AutoregressiveLDNS) -> None:
    """Remove the effect of the code of a trial."""
    n_codes = model.conditional.n_codes
    model.conditional.autoregression.driven[:, -n_codes:] = 0
    model.conditional.autoregression.opening[-n_codes:] = 0


def scores(model: AutoregressiveLDNS, decoder: KalmanFilter, trials: Trials) -> str:
    """Return R2 of the decoded velocity for each guidance as text, means over draws."""
    texts = []
    for guidance in GUIDANCE:
        generators = [LiveGenerator(model, len(trials), seed, guidance) for seed in SEEDS]
        r2 = [decoded_r2(decoder, trials, generated(generator, trials)) for generator in generators]
        texts.append(f"{np.mean(r2):.3f}")
    return ", ".join(texts)


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True, help="training trials")
    parser.add_argument("--validation", required=True)
    options = parser.parse_args()
    train = Trials.load(options.data)
    trials = Trials.load(options.validation)
    decoder = KalmanFilter.fit(train, velocity=VELOCITY)
    fraction, n_hats = predicted_fraction(train)
    print(f"fraction of the variance of the speed over {n_hats} hats that other trials predict: {fraction:.3f}")
    print(f"recorded validation trials: R2 {decoded_r2(decoder, trials, trials.counts):.3f}")
    print(f"guidance {', '.join(f'{value:g}' for value in GUIDANCE)}")
    for run in options.runs:
        model = sl.load_model(run)
        if not isinstance(model, AutoregressiveLDNS):
            raise SystemExit(f"{run} is no AutoregressiveLDNS.")
        print(f"{run}, codes drawn: R2 {scores(model, decoder, trials)}", flush=True)
        silence_code(model)
        print(f"{run}, codes set to 0: R2 {scores(model, decoder, trials)}", flush=True)


if __name__ == "__main__":
    main()
