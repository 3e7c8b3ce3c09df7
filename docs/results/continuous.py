"""Draw the figure of docs/results/continuous.md and print the strength of rhythms.

Run it in the folder in which the commands of that page were run: python docs/results/continuous.py continuous.png
"""

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import SubFigure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, welch

from spikeloom import Trials

COLOURS = ("#0072b2", "#d55e00")
"""Recorded, generated: as in the report."""
STRETCH = 80.0
"""Seconds of a stretch: what of each Aplysia recording is modelled."""
SHORTEST_PERIOD = 3.0
"""Seconds before which no peak of the autocorrelation is a rhythm."""


def end_to_end(trials: Trials) -> NDArray[np.int64]:
    """Counts (bin, neuron) of consecutive pieces, laid end to end."""
    return np.asarray(trials.counts, np.int64).reshape(-1, trials.counts.shape[2])


def population_rate(counts: NDArray[np.int64], bin_width: float, smoothing: float) -> NDArray[np.float64]:
    """Spikes per second of all neurons together, smoothed by a Gaussian of `smoothing` seconds."""
    return gaussian_filter1d(counts.sum(1) / bin_width, smoothing / bin_width)


def rhythm(rate: NDArray[np.float64], bin_width: float) -> tuple[float, float]:
    """Period in seconds and height of the first peak of the autocorrelation beyond `SHORTEST_PERIOD`; NaN without one.

    The autocorrelation is the unbiased one: lag k is divided by the number of pairs of bins.
    """
    centred = rate - rate.mean()
    n_bins = len(centred)
    full = np.correlate(centred, centred, "full")[n_bins - 1 :] / np.arange(n_bins, 0, -1)
    correlation = full[: n_bins // 2] / full[0]
    peaks = find_peaks(correlation, height=0.1)[0]
    peaks = peaks[peaks * bin_width > SHORTEST_PERIOD]
    if not len(peaks):
        return np.nan, np.nan
    return float(peaks[0] * bin_width), float(correlation[peaks[0]])


def stretches(counts: NDArray[np.int64], bin_width: float) -> list[NDArray[np.int64]]:
    """Consecutive stretches of `STRETCH` seconds."""
    size = round(STRETCH / bin_width)
    return [counts[first : first + size] for first in range(0, len(counts) - size + 1, size)]


def print_rhythm(name: str, parts: list[NDArray[np.int64]], bin_width: float) -> None:
    """Print the rhythm and the rate of several stretches of equal length."""
    rates = [population_rate(part, bin_width, 1.0) for part in parts]
    result = np.array([rhythm(rate, bin_width) for rate in rates])
    clear = np.isfinite(result[:, 0])
    periods, heights = result[clear, 0], result[clear, 1]
    spread = np.mean([rate.std() / rate.mean() for rate in rates])
    words = (
        f"{name}: {len(parts)} stretches of {STRETCH:g} s, population rate {np.mean([r.mean() for r in rates]):.0f} "
    )
    words += f"spikes/s, sd over time / mean {spread:.2f}; a peak of the autocorrelation in {clear.sum()}"
    if clear.any():
        words += f", at {np.median(periods):.1f} s (quartiles {np.quantile(periods, 0.25):.1f} to "
        words += f"{np.quantile(periods, 0.75):.1f}), height {np.median(heights):.2f}"
    print(words)


def theta(trials: Trials) -> float:
    """Power of the population count at 7 to 9.5 Hz over that at 4 to 6 and 11 to 14 Hz; 1 without theta."""
    count = np.asarray(trials.counts, float).sum(2)
    count -= count.mean(1, keepdims=True)
    hertz, power = welch(count, fs=1 / trials.bin_width, nperseg=80, axis=1)
    inside = (hertz >= 7) & (hertz <= 9.5)
    beside = ((hertz >= 4) & (hertz <= 6)) | ((hertz >= 11) & (hertz <= 14))
    mean = power.mean(0)
    return float(mean[inside].mean() / mean[beside].mean())


def draw_raster(
    axes: plt.Axes, counts: NDArray[np.int64], bin_width: float, order: NDArray[np.int64], ink: str
) -> None:
    """One row per neuron, one tick per bin with spikes."""
    time, row = np.nonzero(counts[:, order])
    axes.plot(time * bin_width, row, "|", color=ink, markersize=2.2, markeredgewidth=0.5, rasterized=True)
    axes.set(xlim=(0, len(counts) * bin_width), ylim=(-1, len(order)), yticks=[])


def in_order_of_activity(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Neurons in the order of their activity on the first component of the smoothed counts."""
    smooth = gaussian_filter1d(np.sqrt(counts), 10, axis=0)
    smooth -= smooth.mean(0)
    return np.argsort(np.linalg.svd(smooth, full_matrices=False)[2][0])


def draw(figure: SubFigure, title: str, recorded: Trials, pieces: Trials, stream: Trials, smoothing: float) -> None:
    """Rasters of single pieces on the left; on the right a recorded stretch above a stream, as population rates."""
    figure.suptitle(title, fontsize=9, x=0.01, ha="left", fontweight="bold")
    width = recorded.bin_width
    grid = figure.subplots(2, 4, width_ratios=(1, 1, 1, 2.6))
    order = in_order_of_activity(end_to_end(recorded))
    chosen = [len(recorded) * part // 6 for part in (1, 3, 5)]
    for row, (trials, word) in enumerate(((recorded, "recorded"), (pieces, "generated"))):
        for column in range(3):
            piece = chosen[column] if row == 0 else column
            draw_raster(grid[row, column], np.asarray(trials.counts[piece]), width, order, COLOURS[row])
            grid[row, column].set_xlabel("time (s)" if row else "")
        grid[row, 0].set_ylabel(f"{word}\n{len(order)} neurons")
    size = round(STRETCH / width)
    lines = [population_rate(end_to_end(trials)[:size], width, smoothing) for trials in (recorded, stream)]
    highest = 1.25 * max(line.max() for line in lines)
    for row, (line, word) in enumerate(zip(lines, ("recorded stretch", "stream"), strict=True)):
        axes = grid[row, 3]
        axes.plot(np.arange(len(line)) * width, line, color=COLOURS[row], linewidth=0.9, label=word)
        axes.set(xlim=(0, STRETCH), ylim=(0, highest), ylabel="spikes/s", xlabel="time (s)" if row else "")
        axes.legend(loc="upper right", frameon=False, fontsize=7, borderaxespad=0)


def main(out: Path) -> None:
    """Print the rhythms of recorded and generated activity, and draw the figure."""
    matplotlib.use("Agg")
    aplysia, session = Trials.load("aplysia/settled.h5"), Trials.load("ca1/pieces.h5")
    bouts = aplysia.conditions["source"]
    parts = [end_to_end(aplysia.select(bouts == bout)) for bout in dict.fromkeys(bouts.tolist())]
    print_rhythm("recorded bouts", parts, aplysia.bin_width)
    for path in sorted(Path("aplysia").glob("stream*.h5")):
        stream = Trials.load(path)
        print_rhythm(path.stem, stretches(end_to_end(stream), stream.bin_width), stream.bin_width)
    for name in ("test", "fake0"):
        print(f"ca1/{name}.h5: theta {theta(Trials.load(f'ca1/{name}.h5')):.2f}")
    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure = plt.figure(figsize=(9.2, 6.2), layout="constrained", facecolor="white")
        upper, lower = figure.subfigures(2, 1, hspace=0.04)
        draw(upper, "Aplysia, pieces of 10 s", aplysia.select(bouts == bouts[0]), Trials.load("aplysia/fake0.h5"),
             Trials.load("aplysia/stream0.h5"), 0.5)  # fmt: skip
        middle = session.select(np.arange(len(session)) >= 50)  # a stretch 200 s into the session
        draw(lower, "Rat CA1, pieces of 4 s", middle, Trials.load("ca1/fake0.h5"), Trials.load("ca1/stream0.h5"), 0.1)
        figure.savefig(out, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
