"""Measure by how much traversals of few recorded trials lag behind the requested angle, from training and other trials.

    python benchmarks/gnocchi_lag.py TRIALS.h5 --leave 90                 # prints the table, and writes it with --out

Three fifths of the trials are training trials, without the angle that is left out. Another fifth is for validation. The
last fifth, on which `gnocchi.py recording` evaluates, is not used. The codes of training and of validation trials are
moved by -90, -45, 45 and 90 degrees, to angles of the training trials only. The error is the decoded mean direction of
the generated trials minus the requested direction, along the move, averaged over angles. A negative error is a lag.

The distance of codes from their mean is also printed, in standard deviations of the training codes. It shows how much
farther codes of training trials are from the mean than codes of other trials.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from code_measures import write_table
from code_recordings import AngleDecoder, left_out
from spikeloom.metrics.disentanglement import Directions
from spikeloom.models.common.coded import Coded
from spikeloom.recipe import fit
from spikeloom.trials import Trials

MOVES = (90.0, 45.0, -45.0, -90.0)
"""Requested changes of the angle, degrees."""

DISTANCE = "distance from the mean code (sd)"
"""Title of the last column."""


def lag(model: Coded, directions: Directions, decoder: AngleDecoder, start: Trials, name: str) -> dict[str, float]:
    """Compute the mean lag of each move (degrees), and the mean distance of codes from the training mean."""
    angle = start.conditions[name]
    codes = np.asarray(start.codes)
    seen = decoder.angles
    result = {}
    for move in MOVES:
        target = (angle + move) % 360
        rows = np.isin(target, seen)
        points = [np.stack([np.cos(turn), np.sin(turn)], 1) for turn in (np.deg2rad(angle), np.deg2rad(target))]
        moved = directions.move(codes[rows], (points[1] - points[0])[rows])
        made = model.sample(codes=moved, seed=1, progress=False)
        off = np.exp(1j * np.deg2rad(decoder(made.counts, made.lengths) - target[rows]))
        targets = target[rows]
        means = [np.rad2deg(np.angle(off[targets == value].mean())) for value in np.unique(targets)]
        result[f"{move:+g}°".replace("-", "−")] = float(np.sign(move) * np.mean(means))
    distance = model.space.whiten(torch.tensor(codes)).norm(dim=-1)
    return result | {DISTANCE: float(distance.mean())}


def main() -> None:
    """Fit every seed, and print the lag from training and from validation trials."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--angle", default="angle_deg", help="condition of the recording, degrees")
    parser.add_argument("--leave", type=float, default=90.0, help="angle left out of training")
    parser.add_argument("--updates", type=int, nargs="+", default=[2000, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, help="folder of the runs; finished runs are loaded")
    parser.add_argument("--out", type=Path, help="table, CSV")
    options = parser.parse_args()
    train, _ = Trials.load(options.recording).split(0.75, seed=0)
    train, validation = train.split(0.8, seed=0)
    seen, others, _ = left_out(train, validation, options.angle, options.leave)
    decoder = AngleDecoder(seen, seen.conditions[options.angle])
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    for updates in options.updates:
        for seed in options.seeds:
            out = None if options.runs is None else options.runs / f"{updates}-{seed}"
            model = fit("gnocchi-small", seen, changes=[f"plan.updates={updates}"], seed=seed, out=out, progress=False)
            parts = {"training": seen, "validation": others}
            coded = {word: model.encode(part, progress=False) for word, part in parts.items()}
            directions = Directions.of(coded["training"], (f"{options.angle}.cos", f"{options.angle}.sin"))
            for word, part in coded.items():
                numbers = lag(model, directions, decoder, part, options.angle)
                results.setdefault((f"{updates:,}", word), []).append(numbers)
                shown = ", ".join(f"{key} {value:.1f}" for key, value in numbers.items())
                print(f"{updates} updates, seed {seed}, {word} trials: {shown}", flush=True)
    rows = []
    for row, seeds in results.items():
        values = np.array([list(numbers.values()) for numbers in seeds])
        cells = [f"{mean:.1f} ± {sd:.1f}" for mean, sd in zip(values.mean(0), values.std(0), strict=True)]
        rows.append([*row, *(cell.replace("-", "−") for cell in cells)])
    write_table([["updates", "moved codes", *numbers], *rows], options.out)


if __name__ == "__main__":
    main()
