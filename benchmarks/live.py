"""Measure the latency of live trials, the time from a step to its counts, and the cost of complete samples.

    python -m benchmarks.live                     # 190 channels in bins of 20 ms, 20,000 steps
    python -m benchmarks.live --neurons 97 --bin-width 0.005 --steps 5000
    python -m benchmarks.live --run RUN           # a trained model
    python -m benchmarks.live --run RUN --values 30 150 270    # also with a new condition in each bin

Without a run, a model is trained for two updates only; the time of a step does not depend on the values of the weights.
Steps run one after another on one thread. `late` counts steps longer than a bin.
"""

import argparse
import itertools
import time

import numpy as np
import torch

import spikeloom as sl
from spikeloom.models.common.base import Model
from spikeloom.models.common.live import Live


def untrained(neurons: int, bin_width: float, n_latents: int) -> Model:
    """Return an AutoregressiveLDNS after two updates on simulated trials."""
    trials = sl.simulate.lorenz(60, n_neurons=neurons, n_bins=round(0.7 / bin_width), seed=0)
    counts = sl.Trials(np.minimum(trials.counts, 255), bin_width, source="benchmark")
    changes = [f"n_latents={n_latents}", "autoencoder_plan.updates=2", "code_plan.updates=2"]
    changes += ["autoencoder_plan.batch=16", "autoencoder_settings.blocks=1"]
    return sl.fit("autoregressive-ldns-small", counts, changes=changes, progress=False)


def report(name: str, model: Model, live: Live, conditions: list[float] | list[None], n_steps: int) -> None:
    """Print the latency of live steps, to which the conditions are passed in turn.

    Args:
        name: Name of the measurement.
        model: Model of the live trial.
        live: Live trial.
        conditions: Condition of each step; after the last, the first follows again. `None` keeps the condition.
        n_steps: Steps that are timed, after 200 others.
    """
    turns = itertools.cycle(conditions)
    for _ in range(200):
        live.step(next(turns))
    seconds = np.zeros(n_steps)
    start_cores = time.process_time()
    for step in range(n_steps):
        start = time.perf_counter()
        live.step(next(turns))
        seconds[step] = time.perf_counter() - start
    cores = (time.process_time() - start_cores) / n_steps
    quantiles = np.quantile(seconds, [0.5, 0.99, 0.999]) * 1e6
    late = int((seconds > model.facts.bin_width).sum())
    print(f"{n_steps} steps, {name}: p50 {quantiles[0]:.0f}, p99 {quantiles[1]:.0f}, p99.9 {quantiles[2]:.0f} us,")
    print(f"  largest {seconds.max() * 1e6:.0f} us, late {late}, core time of a step {cores * 1e6:.0f} us")


def main() -> None:
    """Print latencies of steps, and core-seconds of a sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="run folder or model folder")
    parser.add_argument("--neurons", type=int, default=190)
    parser.add_argument("--bin-width", type=float, default=0.02)
    parser.add_argument("--latents", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument(
        "--values", nargs="+", type=float, help="values of the condition, for new conditions in each bin"
    )
    parser.add_argument("--trials", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = (
        sl.load_model(arguments.run)
        if arguments.run
        else untrained(arguments.neurons, arguments.bin_width, arguments.latents)
    )
    print(f"{model!r}")
    condition = () if model.condition else None  # no conditions
    report("without conditions", model, model.live(seed=0, condition=condition), [None], arguments.steps)
    if arguments.values:
        live = model.live(seed=0, condition={model.condition[0]: arguments.values[0]})
        report("a new condition in each bin", model, live, arguments.values, arguments.steps)
    start = time.process_time()
    model.sample(arguments.trials, condition=condition, seed=1, progress=False)
    used = time.process_time() - start
    print(f"sample: {1000 * used / arguments.trials:.2f} core-seconds per 1,000 trials of {model.facts.longest} bins")


if __name__ == "__main__":
    main()
