"""Draw the README's picture from the files that `make demo` leaves: python docs/picture.py demo docs/picture.png."""

import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from spikeloom import Trials
from spikeloom.report import figures

TRIALS = 3
COLOURS = ("#0072b2", "#d55e00")
"""Recorded, generated: as in the report."""


def main(folder: Path, out: Path) -> None:
    """Rasters of recorded and generated trials, the population count, and the pairwise correlations."""
    matplotlib.use("Agg")
    real, fake = Trials.load(folder / "test.h5"), Trials.load(folder / "fake.h5")
    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "spikeloom"}
    with plt.rc_context(style):
        figure = plt.figure(figsize=(9.2, 3.6), layout="constrained", facecolor="white")
        left, right = figure.subfigures(1, 2, width_ratios=(3, 2), wspace=0.02)
        panels = left.subplots(2, TRIALS)
        for row, (trials, word) in enumerate(((real, "recorded"), (fake, "generated"))):
            for trial, axes in enumerate(panels[row]):
                figures.raster(axes, trials, trial=trial)
                for spikes in (*axes.collections, *axes.lines):
                    spikes.set_color(COLOURS[row])
                seconds = round(float(trials.lengths[trial]) * trials.bin_width, 1)
                axes.set(title="", xlabel="time (s)" if row else "", ylabel="", xticks=(0, seconds), yticks=[])
            panels[row][0].set_ylabel(f"{word}\n{trials.n_neurons} neurons")
        upper, lower = right.subplots(2, 1)
        figures.population_counts(upper, real, fake)
        figures.pairwise_correlations(lower, real, fake)
        upper.set_title("")
        lower.set_title("correlation of each pair of neurons", fontsize=8)
        figure.savefig(out, dpi=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
