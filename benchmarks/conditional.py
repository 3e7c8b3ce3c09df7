"""Check that generated trials follow their condition, with a decoder fitted to real spikes.

    python benchmarks/conditional.py runs/direction0 --data train.h5 --test test.h5 --out conditional
    python benchmarks/conditional.py runs/velocity --data train.h5 --test test.h5 --guidance 2 --out conditional

Samples one trial for each test trial, with its condition. Prints the accuracy of a decoder fitted to the training
trials, on real test trials and on generated trials, for each value of the condition, and writes the figures. A model
conditioned on the hand's velocity is also sampled with a circle and a figure eight. `--only NAME=VALUE` selects trials
of one value, such as a direction that was left out of training. `--shift 2` also decodes behaviour that is two bins
earlier. If the trials have a lag of 200 ms and bins of 50 ms, the decoder then has a lag of 100 ms.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeloom.diffusion.sampler import Sampler
from spikeloom.files import ensure_folder
from spikeloom.metrics import decoding
from spikeloom.metrics.conditional import DirectionReading, read_behavior, read_directions
from spikeloom.metrics.pair import Pair
from spikeloom.models.common.base import Model
from spikeloom.recipe import choose, load_model
from spikeloom.report import figures
from spikeloom.report.conditional import conditional_figures, drawn_figure
from spikeloom.trials import Trials

DRAWN_TRIALS = 40
VELOCITY = "hand_vel"


def circle(bins: int, speed: float) -> np.ndarray:
    """Return the velocity (bin, 2) of one turn around a circle at constant speed, m/s."""
    phase = 2 * np.pi * (np.arange(bins) + 0.5) / bins
    return speed * np.stack([-np.sin(phase), np.cos(phase)], 1)


def eight(bins: int, speed: float) -> np.ndarray:
    """Return the velocity (bin, 2) of one turn through a horizontal figure eight with this highest speed, m/s."""
    phase = 2 * np.pi * (np.arange(bins) + 0.5) / bins
    velocity = np.stack([np.cos(phase), np.cos(2 * phase)], 1)
    return speed * velocity / np.linalg.norm(velocity, axis=1).max()


def say_directions(reading: DirectionReading) -> None:
    """Print accuracy, error and bias of all trials and of each direction."""
    for side in ("real", "fake"):
        right = f", {reading.classified[side].mean():.3f} classified correctly" if reading.classified else ""
        print(f"{side}: mean error {reading.error(side).mean():.2f} deg{right}")
    for value in reading.values:
        line = f"  {value:6.1f} deg:"
        for side in ("real", "fake"):
            rows = reading.of(side, value)
            bias = reading.bias(side, value)
            if bias is not None:
                right = f", right {reading.classified[side][rows].mean():.3f}" if reading.classified else ""
                error = reading.error(side)[rows].mean()
                line += f"  {side} ({len(rows)}) error {error:5.1f}, bias {bias[0]:+6.1f}{right};"
        print(line)


def shifted(trials: Trials, bins: int) -> Trials:
    """Return the trials without their first bins; the behaviour of a bin is the one from `bins` earlier."""
    return replace(
        trials,
        counts=trials.counts[:, bins:],
        lengths=trials.lengths - bins,
        behavior={name: series[:, : trials.n_bins - bins] for name, series in trials.behavior.items()},
        rates=None,
        latents=None,
    )


def say_behavior(test: Trials, fake: Trials, train: Trials, bins: int) -> None:
    """Print R2 of the behaviour that is decoded from recorded and from generated spikes.

    Args:
        test: Recorded trials.
        fake: Generated trials.
        train: Trials to which the decoder is fitted.
        bins: Number of bins by which the behaviour is earlier; see the module.
    """
    read = read_behavior(Pair(shifted(test, bins), shifted(fake, bins), reference=shifted(train, bins)))
    if not isinstance(read, str):
        real = read.r_squared("real")
        made = read.r_squared("fake")
        assert real is not None
        assert made is not None
        share = made / real
        print(f"{read.name}, {bins} bins earlier: R2 {made:.4f} against {real:.4f} of real trials; {share:.3f} of it")


def draw_by_hand(model: Model, train: Trials, test: Trials, options: argparse.Namespace) -> None:
    """Sample a circle and an eight, print R2 of the decoded velocities, and write their figures."""
    speed = np.linalg.norm(train.behavior[VELOCITY], axis=2)[train.mask]
    bins = int(np.median(train.lengths))
    for name, path in (("circle", circle), ("figure eight", eight)):
        velocity = path(bins, 0.6 * float(np.quantile(speed, 0.99)))
        condition = {VELOCITY: velocity}
        drawn = model.sample(
            DRAWN_TRIALS, n_bins=bins, condition=condition, guidance=options.guidance, seed=options.seed
        )
        figure = drawn_figure(test, drawn, reference=train, name=name)
        print(f"{name}, {bins} bins: {figure.caption}")
        figures.save(figure, Path(options.out))


def main() -> None:
    """Print all results and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--data", required=True, help="training trials, to which the decoders are fitted")
    parser.add_argument("--test", required=True)
    parser.add_argument("--guidance", type=float, help="guidance strength; the calibrated one of the model by default")
    parser.add_argument("--sampler", help="sampler and number of denoising steps, NAME:STEPS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--shift", type=int, nargs="*", default=[], help="bins by which the decoded behaviour is earlier"
    )
    parser.add_argument("--only", help="use only trials of one condition value, NAME=VALUE")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    model = load_model(options.run)
    train = Trials.load(options.data)
    test = Trials.load(options.test)
    options.guidance = model.guidance if options.guidance is None else options.guidance
    names = model.facts.conditions.names
    sampler = None if options.sampler is None else choose(Sampler, options.sampler)
    if options.only:
        name, _, value = options.only.partition("=")
        test = test.select(np.isclose(test.conditions[name].astype(float), float(value)))
    fake = model.sample(like=test, condition=names, guidance=options.guidance, seed=options.seed, sampler=sampler)
    pair = Pair(test, fake, reference=train)
    print(f"{options.run}: {len(fake)} trials conditioned on {names}, ", end="")
    print(f"guidance {options.guidance:g}, seed {options.seed}")
    directions = read_directions(pair)
    if isinstance(directions, DirectionReading):
        say_directions(directions)
    read = read_behavior(pair)
    if not isinstance(read, str) and read.name in names:
        real = read.r_squared("real")
        made = read.r_squared("fake")
        share = decoding.decode_back(pair).value
        print(f"{read.name}: R2 {made:.4f} against {real:.4f} of real trials; {share:.3f} of it")
    for bins in options.shift:
        say_behavior(test, fake, train, bins)
    ensure_folder(options.out)
    for figure in conditional_figures(directions, read):
        figures.save(figure, Path(options.out))
    if VELOCITY in names and len(names) == 1:
        draw_by_hand(model, train, test, options)


if __name__ == "__main__":
    main()
