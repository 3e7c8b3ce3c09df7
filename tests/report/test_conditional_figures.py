"""Figures of conditional samples: content, drawings as SVG and with matplotlib, and those of the command."""

import numpy as np
import pytest

from spikeloom.errors import DataError
from spikeloom.metrics.conditional import read_behavior, read_directions
from spikeloom.metrics.pair import Pair
from spikeloom.report import svg
from spikeloom.report.chart import Figure
from spikeloom.report.conditional import conditional_figures, drawn_figure
from spikeloom.trials import Trials
from tests.helpers.tuned import every, tuned


def moving(trials: Trials, *, seed: int) -> Trials:
    """Return the trials with a hand velocity that follows their population count."""
    rng = np.random.default_rng(seed)
    turn = np.sin(np.arange(60) / 8 + rng.uniform(0, 6, (len(trials), 1)))
    velocity = np.stack([turn, -turn], 2)
    counts = rng.poisson(0.3 * np.exp(velocity[:, :, [0, 1] * 6]))
    words = dict(conditions=dict(trials.conditions), behavior={"hand_vel": velocity}, units={"hand_vel": "m/s"})
    return Trials(counts, 0.005, **words)


def read_back(real: Trials, fake: Trials, train: Trials) -> tuple[Figure, ...]:
    """Figures of what is read back from both sides."""
    pair = Pair(real, fake, reference=train)
    return conditional_figures(read_directions(pair), read_behavior(pair))


@pytest.fixture(scope="module")
def sets() -> list[Trials]:
    return [tuned(every(45), seed=seed) for seed in (1, 2, 3)]


def test_directions_requested_and_read(sets):
    (figure,) = read_back(sets[1], sets[2], sets[0])
    assert [chart.title for chart in figure.charts] == [
        "Requested and decoded",
        "Mean error",
        "Bias",
        "Decoded correctly",
    ]
    cloud = figure.charts[0].series
    assert [one.role for one in cloud] == ["real", "fake"]
    assert np.abs(cloud[1].y - cloud[1].x).max() < 185  # never across the circle
    assert "mean error" in figure.caption
    assert all(svg.draw(chart).startswith("<svg") for chart in figure.charts)


def test_behaviour_requested_and_read(sets):
    train, test, fake = (moving(trials, seed=k) for k, trials in enumerate(sets))
    bare = [Trials(t.counts, 0.005, behavior=dict(t.behavior), units=dict(t.units)) for t in (train, test, fake)]
    (figure,) = read_back(bare[1], bare[2], bare[0])
    assert [chart.title for chart in figure.charts][:2] == ["Requested and decoded", "hand_vel, dimension 1"]
    assert figure.charts[-1].x_label == "x (m)"  # velocity summed up
    assert "R²" in figure.caption
    assert all(svg.draw(chart).startswith("<svg") for chart in figure.charts)


def test_nothing_requested_shows_nothing(sets):
    bare = Trials(sets[2].counts, 0.005)
    assert read_back(sets[1], bare, sets[0]) == ()


def test_a_drawn_path(sets):
    train, test = moving(sets[0], seed=1), moving(sets[1], seed=2)
    circle = np.stack([np.cos(np.arange(60) / 8), -np.cos(np.arange(60) / 8)], 1)
    counts = np.random.default_rng(0).poisson(0.3 * np.exp(circle[None, :, [0, 1] * 6]).repeat(30, 0))
    drawn = Trials(counts, 0.005, behavior={"hand_vel": np.repeat(circle[None], 30, 0)}, units={"hand_vel": "m/s"})
    figure = drawn_figure(test, drawn, reference=train, name="a circle")
    titles = [chart.title for chart in figure.charts]
    assert titles == [
        "hand_vel, dimension 1",
        "hand_vel, dimension 2",
        "mean of 30 trials",
        "one trial",
        "spikes of one trial",
    ]
    requested, mean = figure.charts[0].series[0].y, figure.charts[0].series[2].y
    good = np.isfinite(mean)
    assert np.corrcoef(requested[good], mean[good])[0, 1] > 0.9
    assert figure.key == "drawn_a_circle"
    with pytest.raises(DataError, match="no behaviour in common"):
        drawn_figure(test, sets[2], reference=train)
