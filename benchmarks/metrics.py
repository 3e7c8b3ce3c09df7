"""Measure time and memory of the metric panel: an evaluation with noise floor, one comparison, and larger sizes.

Run `OMP_NUM_THREADS=1 python benchmarks/metrics.py` (about a minute on an idle core; `--full` adds the largest sizes).
Limits, measured in the same run: copying the counts once, and the matrix product of the pairwise correlations.
"""

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

from spikeloom.evaluation.evaluate import evaluate
from spikeloom.metrics.panel import METRICS, Pair, measure
from spikeloom.trials import Trials


def simulate(trials: int, time_bins: int, neurons: int, *, seed: int) -> Trials:
    """Return trials of eight directions with a shared gain, about 10 spikes/s in bins of 5 ms."""
    rng = np.random.default_rng(seed)
    tuning = np.random.default_rng(0).gamma(2, 0.025, (8, 1, neurons)).astype(np.float32)
    direction = np.arange(trials) % 8
    counts = np.empty((trials, time_bins, neurons), np.uint8)
    gain = np.exp(0.3 * rng.standard_normal(trials))
    for trial in range(trials):
        counts[trial] = rng.poisson(tuning[direction[trial]] * gain[trial], (time_bins, neurons))
    return Trials(counts, 0.005, conditions={"direction": direction})


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds of a call."""
    wall = time.perf_counter()
    cpu = time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_gb() -> float:
    """Return the largest resident memory of this process until now, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whole", action="store_true", help="run only the evaluation of 2,000 trials")
    parser.add_argument("--full", action="store_true", help="also 8,000 trials and 1,000 neurons with 2,000 trials")
    options = parser.parse_args()
    measure(simulate(80, 40, 10, seed=1), simulate(80, 40, 10, seed=2))  # imports
    if not options.whole:
        panel(options.full)
    evaluation()


def panel(full: bool) -> None:
    """Time one comparison of several sizes, and each metric."""
    print("growth: one panel, real against fake of the same size")
    print(f"{'trials':>8} {'bins':>6} {'neurons':>8} {'wall s':>8} {'CPU s':>8} {'peak GB':>8}")
    sizes = [(250, 140, 180), (500, 140, 180), (1000, 140, 180), (500, 70, 180), (500, 280, 180), (500, 140, 90)]
    sizes += [(500, 140, 360), (500, 140, 1000), (2000, 140, 180)]
    sizes += [(8000, 140, 180), (2000, 140, 1000)] if full else []
    for size in sizes:
        real = simulate(*size, seed=1)
        fake = simulate(*size, seed=2)
        wall, cpu = timed(lambda real=real, fake=fake: measure(real, fake))
        print(f"{size[0]:8d} {size[1]:6d} {size[2]:8d} {wall:8.2f} {cpu:8.2f} {peak_gb():8.2f}")

    real = simulate(2000, 140, 180, seed=1)
    fake = simulate(2000, 140, 180, seed=2)
    pair = Pair(real, fake)
    print("\n2,000 x 140 x 180: CPU seconds of each metric, in this order (what is shared is paid by the first)")
    for metric in METRICS:
        _, cpu = timed(lambda metric=metric: metric.measure(pair))
        if cpu >= 0.05:
            print(f"  {metric.name:36s} {cpu:6.2f}")
    copy, _ = timed(lambda: real.counts.copy())
    wide = pair.real.wide.reshape(-1, 180)
    product, _ = timed(lambda: wide.T @ wide)
    print(f"  (limits: copying the counts {copy:.3f}, product of wide counts {product:.3f})")


def evaluation() -> None:
    """Time an evaluation of 2,000 trials."""
    complete = [simulate(2000, 140, 180, seed=seed) for seed in (1, 2, 3)]
    wall, cpu = timed(lambda: evaluate(complete[0], complete[1], reference=complete[2], progress=False).to_html())
    print(f"\nevaluate() with floor, baselines, memorisation, figures and page: {wall:.1f} s by the clock,")
    print(f"CPU {cpu:.1f} s, {peak_gb():.2f} GB")


if __name__ == "__main__":
    main()
