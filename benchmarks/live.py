"""Measure the latency of live trials, the time from a step to its counts, and the cost of complete samples.

    python -m benchmarks.live                     # 190 channels in bins of 20 ms, 20,000 steps
    python -m benchmarks.live --neurons 97 --bin-width 0.005 --steps 5000
    python -m benchmarks.live --run RUN           # a trained model

Without a run, a model is trained for two updates only; the time of a step does not depend on the values of the weights.
Steps run one after another on one thread. `late` counts steps longer than a bin.
"""

import argparse
import time

import numpy as np
import torch

import spikeloom as sl
from spikeloom.models.common.base import Model


def untrained(neurons: int, bin_width: float, n_latents: int) -> Model:
    """Return an AutoregressiveLDNS after two updates on simulated trials."""
    trials = sl.simulate.lorenz(60, n_neurons=neurons, n_bins=round(0.7 / bin_width), seed=0)
    counts = sl.Trials(np.minimum(trials.counts, 255), bin_width, source="benchmark")
    changes = [f"n_latents={n_latents}", "autoencoder_plan.updates=2", "code_plan.updates=2"]
    changes += ["autoencoder_plan.batch=16", "autoencoder_settings.blocks=1"]
    return sl.fit("autoregressive-ldns-small", counts, changes=changes, progress=False)


def main() -> None:
    """Print latencies of steps, and core-seconds of a sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", help="run folder or model folder")
    parser.add_argument("--neurons", type=int, default=190)
    parser.add_argument("--bin-width", type=float, default=0.02)
    parser.add_argument("--latents", type=int, default=96)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--trials", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = (
        sl.load_model(arguments.run)
        if arguments.run
        else untrained(arguments.neurons, arguments.bin_width, arguments.latents)
    )
    condition = () if model.condition else None  # no conditions
    live = model.live(seed=0, condition=condition)
    for _ in range(200):  # to warm up
        live.step()
    seconds = np.zeros(arguments.steps)
    cores = time.process_time()
    for step in range(arguments.steps):
        start = time.perf_counter()
        live.step()
        seconds[step] = time.perf_counter() - start
    cores = (time.process_time() - cores) / arguments.steps
    quantiles = np.quantile(seconds, [0.5, 0.99, 0.999]) * 1e6
    late = int((seconds > model.facts.bin_width).sum())
    print(f"{model!r}")
    print(f"{arguments.steps} steps: p50 {quantiles[0]:.0f}, p99 {quantiles[1]:.0f}, p99.9 {quantiles[2]:.0f} us,")
    print(f"  largest {seconds.max() * 1e6:.0f} us, late {late}, core time of a step {cores * 1e6:.0f} us")
    start = time.process_time()
    model.sample(arguments.trials, condition=condition, seed=1, progress=False)
    used = time.process_time() - start
    print(f"sample: {1000 * used / arguments.trials:.2f} core-seconds per 1,000 trials of {model.facts.longest} bins")


if __name__ == "__main__":
    main()
