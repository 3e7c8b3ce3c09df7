"""Measure speed and memory of binning: spikes per second of `Recording.bin`, beside a copy of the same bytes.

Run `OMP_NUM_THREADS=1 python benchmarks/binning.py` (half a minute on an idle core). Each line is the best of seven
runs. The limit is a copy of the spike times and of the counts, measured in the same run.
"""

import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from spikeloom.data.recording import Recording
from spikeloom.data.series import Series

RUNS = 7


def session(n_neurons: int, seconds: float, rate_hz: float, n_trials: int) -> Recording:
    """Return a recording of Poisson neurons, with trials at random times and a position at 100 Hz."""
    rng = np.random.default_rng(0)
    spikes = [np.sort(rng.uniform(0, seconds, rng.poisson(rate_hz * seconds))) for _ in range(n_neurons)]
    times = np.arange(0, seconds, 0.01)
    return Recording(
        spikes,
        behavior={"position": Series(times, np.stack([np.sin(times), np.cos(times)], 1), "m")},
        trial_table={"on_time": np.sort(rng.uniform(1, seconds - 2, n_trials))},
        observed=np.array([[0.0, seconds]]),
    )


def best(call: Callable[[], object]) -> float:
    """Return the shortest wall time of several calls, in seconds."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Print the table."""
    print(f"{'neurons':>8} {'trials':>7} {'bin ms':>7} {'spikes':>9} {'Mspikes/s':>10} {'copy s':>8} {'ratio':>6}")
    for n_neurons, n_trials, width in ((50, 500, 0.005), (200, 500, 0.005), (200, 500, 0.001), (1000, 500, 0.02)):
        recording = session(n_neurons, 600.0, 20.0, n_trials)
        options = {"align": "on_time", "window": (-0.2, 0.8)}
        trials = recording.bin(width, **options)
        spikes = int(trials.counts.sum(dtype=np.int64))
        seconds = best(partial(recording.bin, width, **options))
        arrays = [*(recording.spikes or ()), trials.counts]
        copy = best(lambda arrays=arrays: [array.copy() for array in arrays])
        print(
            f"{n_neurons:>8} {n_trials:>7} {1000 * width:>7g} {spikes:>9} {spikes / seconds / 1e6:>10.2f} "
            f"{copy:>8.4f} {seconds / copy:>6.1f}"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
