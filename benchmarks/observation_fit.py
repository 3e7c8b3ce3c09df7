"""Measure time and memory of fitting the observation model, and of its parts.

    spikeloom split recording.h5 --fraction 0.75 --out train.h5 test.h5
    python -m benchmarks.observation_fit train.h5
    python -m benchmarks.observation_fit train.h5 --test test.h5     # also bits per spike of the test trials

The networks are trained for 20 updates each; time and memory of the fit that follows do not depend on their training.
Run the command once for each recording, because the peak memory is measured for the complete process. Seconds are
core-seconds of one thread, which depend little on other programs. Parts may contain each other: calibration samples
include their encoding.
"""

import argparse
import functools
import json
import resource
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import spikeloom as sl
from spikeloom.models.common import latent_autoencoder
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.models.common.likelihood import bits_per_spike
from spikeloom.observation.calibration import Calibration
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.refractory import Refractory
from spikeloom.training import train as train_module

CHANGES = ["autoencoder_plan.updates=20", "diffusion_plan.updates=20"]

PARTS: list[tuple[str, type | Any, str]] = [
    ("whole", train_module, "calculate"),
    ("unseen rates", LatentModel, "unseen_rates"),
    ("calibration of rates", Calibration, "fit"),
    ("history", SpikeHistory, "fit"),
    ("refractoriness", Refractory, "fit"),
    ("noise", SharedNoise, "fit"),
    ("matching of moments", ObservationModel, "_match"),
    ("calibration samples", latent_autoencoder, "calibration_samples"),
]
"""Name, owner and function of each part."""


def peak_gb() -> float:
    """Return the largest resident memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def timed(seconds: dict[str, float], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its core time added to a part."""

    @functools.wraps(call)
    def measured(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        before = peak_gb()
        result = call(*arguments, **named)
        seconds[name] += time.process_time() - start
        if name == "whole":
            seconds["peak before, GB"] = before
            seconds["peak, GB"] = peak_gb()
        return result

    return measured


def main() -> None:
    """Print seconds and gigabytes of the fit of one recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train")
    parser.add_argument("--test", help="trials whose bits per spike are printed")
    parser.add_argument("--recipe", default="ldns-small")
    parser.add_argument("--save", type=Path, help="folder for the fitted model")
    parser.add_argument("--trials", type=int, help="number of training trials, from the beginning")
    options = parser.parse_args()
    torch.set_num_threads(1)
    train = sl.Trials.load(options.train)
    train = train if options.trials is None else train.select(range(options.trials))
    seconds: dict[str, float] = defaultdict(float)
    for name, owner, function in PARTS:
        setattr(owner, function, timed(seconds, name, getattr(owner, function)))
    cores = time.process_time()
    model = sl.fit(options.recipe, train, changes=CHANGES, seed=0, progress=False)
    seconds["core-seconds of all training"] = time.process_time() - cores
    if options.test:
        test = sl.Trials.load(options.test)
        seconds["bits per spike"] = bits_per_spike(model.observation, model.unseen_rates(test), test)
    if options.save:
        model.save(options.save)
    print(f"{train!r}")
    print(json.dumps({name: round(value, 4) for name, value in seconds.items()}, indent=1))


if __name__ == "__main__":
    main()
