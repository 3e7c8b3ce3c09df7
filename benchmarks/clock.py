"""Whether a clock helps or harms a model that follows a velocity, and how much of that is due to the code of a trial.

    python -m benchmarks.clock runs/off4 runs/on4 runs/off16 runs/on16 --data train.h5 --validation validation.h5

Prints the part of the variance over time of the speed in training trials that the other trials predict: 1 if all trials
have the same time course, 0 or less if they have none in common. Then, for each run, R2 of the velocity that a Kalman
filter decodes from generated validation trials, at several strengths of guidance: with the codes that the model draws,
and with codes set to 0, their mean.
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


def common_part(trials: Trials) -> tuple[float, int]:
    """Return the part of the variance of the speed over hats that other trials predict, and the number of hats.

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
    away = _centred(values, rows)
    rest = away - _centred(others, rows)
    return float(1 - rest.square().sum() / away.square().sum()), int(enough.sum())


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
    """Return R2 of the decoded velocity for each guidance in words, means over draws."""
    words = []
    for guidance in GUIDANCE:
        makers = [LiveGenerator(model, len(trials), seed, guidance) for seed in SEEDS]
        words.append(f"{np.mean([decoded_r2(decoder, trials, generated(one, trials)) for one in makers]):.3f}")
    return ", ".join(words)


def main() -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", required=True, help="training trials")
    parser.add_argument("--validation", required=True)
    words = parser.parse_args()
    train = Trials.load(words.data)
    trials = Trials.load(words.validation)
    decoder = KalmanFilter.fit(train, velocity=VELOCITY)
    part, n_hats = common_part(train)
    print(f"part of the variance of the speed over {n_hats} hats that other trials predict: {part:.3f}")
    print(f"recorded validation trials: R2 {decoded_r2(decoder, trials, trials.counts):.3f}")
    print(f"guidance {', '.join(f'{value:g}' for value in GUIDANCE)}")
    for run in words.runs:
        model = sl.load_model(run)
        if not isinstance(model, AutoregressiveLDNS):
            raise SystemExit(f"{run} is no AutoregressiveLDNS.")
        print(f"{run}, codes drawn: R2 {scores(model, decoder, trials)}", flush=True)
        silence_code(model)
        print(f"{run}, codes set to 0: R2 {scores(model, decoder, trials)}", flush=True)


if __name__ == "__main__":
    main()
