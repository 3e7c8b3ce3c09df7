"""Measure the core-seconds of each part of a sample of an AutoregressiveLDNS per 1,000 trials, beside two limits.

    python -m benchmarks.sample_parts RUN                   # 512 trials of 140 bins, medians of 5 samples
    python -m benchmarks.sample_parts RUN --max-batch 64

A part is a method that `sample` calls. Its time does not include the parts that it calls itself. The limits are the
matrix products alone (of the autoregression and the decoder), and the drawing of the same number of normal and uniform
numbers. Everything runs on one thread, and processor time is measured, not time by the clock.

    python -m benchmarks.sample_parts RUN --blocks

prints only the matrix products of the autoregression, if it computed the latents of 1, 2 or 4 bins in one product.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps

import numpy as np
import torch

from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS, LatentCourse
from spikeloom.models.common import base
from spikeloom.models.common.readout import ReadoutCourse
from spikeloom.nn.encoder import ArrayDecoder
from spikeloom.nn.linear_autoregression import Recursion
from spikeloom.observation.course import CountCourse
from spikeloom.recipe import load_model
from spikeloom.seeds import Streams

PARTS = [
    (LatentCourse, "_drawn_code", "code"),
    (Recursion, "step", "autoregression"),
    (LatentCourse, "advance", "noise, conditions, joining bins"),
    (Streams, "normal", "normal numbers"),
    (ArrayDecoder, "__call__", "decoder"),
    (ReadoutCourse, "advance", "link and calibration"),
    (CountCourse, "advance", "observation model"),
    (CountCourse, "_random_numbers", "uniform numbers"),
    (base, "in_batches", "joining batches, streams"),
    (base, "Trials", "checks of the trials"),
]
"""Class or module, method or function, and the part that it belongs to."""


class Stopwatch:
    """Processor time of nested functions, each less that of those inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside: list[float] = []

    def measure(self, owner: object, name: str, part: str) -> None:
        """Replace a function of a class or module by one that is timed."""
        function = getattr(owner, name)

        @wraps(function)
        def timed(*args, **kwargs):
            start = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                used = time.process_time() - start
                self.seconds[part] += used - self._inside.pop()
                if self._inside:
                    self._inside[-1] += used

        setattr(owner, name, timed)


def core_seconds(function: Callable[[], object], repeats: int) -> float:
    """Return the median processor time of a call."""
    used = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        used.append(time.process_time() - start)
    return float(np.median(used))


def products(model: AutoregressiveLDNS, batch: int) -> Callable[[], object]:
    """Return a function that computes the matrix products of one bin of one batch, with the same sizes."""
    dynamics = model.conditional if model.condition else model.free
    recursion = Recursion(dynamics.autoregression, batch)
    decoder = model.readout.decoder
    weights = [recursion.later]
    weights += [np.zeros((layer.weight.shape[2], layer.weight.shape[1])) for layer in (decoder.leave,)]
    pairs = [(np.zeros((batch, len(weight))), weight) for weight in weights]
    out = [np.zeros((batch, weight.shape[1])) for weight in weights]
    return lambda: [np.matmul(x, weight, out=into) for (x, weight), into in zip(pairs, out, strict=True)]


def block_product(model: AutoregressiveLDNS, batch: int, n_bins: int) -> Callable[[], object]:
    """Return a function that computes the latents of some bins of one batch in one product, with the right sizes.

    The latents of all bins of a block depend on the past before the block, on the inputs, which are the same in all of
    its bins, and on the noise of each bin.
    """
    recursion = Recursion((model.conditional if model.condition else model.free).autoregression, batch)
    features = np.zeros((batch, recursion.inputs.stop + n_bins * model.n_latents))
    weights = np.zeros((features.shape[1], n_bins * model.n_latents))
    out = np.zeros((batch, n_bins * model.n_latents))
    return lambda: np.matmul(features, weights, out=out)


def print_blocks(model: AutoregressiveLDNS, batch: int, n_bins: int, repeats: int) -> None:
    """Print core-seconds per 1,000 trials of the products of blocks of bins, measured in turn."""
    sizes = (1, 2, 4)
    products_of = {size: block_product(model, batch, size) for size in sizes}
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats):
        for size, product in products_of.items():
            seconds[size].append(core_seconds(product, 20) / size)
    for size, values in seconds.items():
        print(f"blocks of {size}: {float(np.median(values)) * n_bins * 1000 / batch:.3f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="run folder or model folder")
    parser.add_argument("--trials", type=int, default=512)
    parser.add_argument("--bins", type=int, default=140)
    parser.add_argument("--max-batch", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--blocks", action="store_true", help="only compare products of blocks of bins")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.run)
    assert isinstance(model, AutoregressiveLDNS)
    condition = list(model.condition) or None
    trials = arguments.trials
    bins = arguments.bins
    batch = arguments.max_batch or model.batch
    if arguments.blocks:
        return print_blocks(model, batch, bins, arguments.repeats)

    def sample() -> None:
        model.sample(trials, n_bins=bins, condition=condition, seed=1, max_batch=batch, progress=False)

    sample()
    per_thousand = 1000 / trials
    bin_of_batch = products(model, batch)
    limits = {
        "limit: matrix products": core_seconds(bin_of_batch, 200) * bins * 1000 / batch,
        "limit: normal numbers": core_seconds(
            lambda: Streams(1, 3, 0, range(64)).normal(bins, model.n_latents + model.free.n_codes), arguments.repeats
        )
        * 1000
        / 64,
        "limit: uniform numbers": core_seconds(
            lambda: [rng.random((bins, model.n_neurons)) for rng in Streams(1, 4, 0, range(64)).generators],
            arguments.repeats,
        )
        * 1000
        / 64,
        "sample": core_seconds(sample, arguments.repeats) * per_thousand,
    }
    stopwatch = Stopwatch()
    for owner, name, part in PARTS:
        stopwatch.measure(owner, name, part)
    measured: list[dict[str, float]] = []
    for _ in range(arguments.repeats):
        stopwatch.seconds.clear()
        sample()
        measured.append(dict(stopwatch.seconds))
    print(f"{model!r}, {batch} trials together; core-seconds per 1,000 trials of {bins} bins")
    parts = {part: float(np.median([seconds[part] for seconds in measured])) * per_thousand for part in measured[0]}
    for part, seconds in {**dict(sorted(parts.items(), key=lambda row: -row[1])), **limits}.items():
        print(f"{part:34s}{seconds:8.3f}")


if __name__ == "__main__":
    main()
