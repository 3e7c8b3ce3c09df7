"""Figures of traversals show what changed, in colours of the points, and refuse other trials."""

import numpy as np
import pytest

from spikeloom.errors import ConditionError, DataError
from spikeloom.report.traversal import code_figure, traversal_figures, traversal_page, weight_figure
from spikeloom.trials import Trials


def real(trials=80, time=20, seed=0):
    """Rates whose root is a linear image of the hand, so that the decoder is exact."""
    rng = np.random.default_rng(seed)
    goal = rng.uniform(-1, 1, (trials, 2))
    hand = goal[:, None] * np.linspace(0, 1, time)[:, None]
    return made(hand, {"goal_x": goal[:, 0], "goal_y": goal[:, 1]})


def made(hand, conditions):
    table = np.random.default_rng(5).normal(size=(2, 6)) * 0.2
    rates = np.square(hand @ table + 1.5)
    counts = np.random.default_rng(1).poisson(rates)
    behavior = {"speed": np.ones(hand.shape[:2]), "hand_pos": hand}
    fields = dict(behavior=behavior, units={"hand_pos": "m"}, conditions=conditions)
    return Trials(counts, 0.02, rates=rates, codes=hand[:, -1] @ np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.5]]), **fields)


def traversal():
    """Four trials, moved along x by -0.5, 0 and 0.5; y does not move."""
    amounts = np.repeat([-0.5, 0.0, 0.5], 4)
    start = np.tile([[-0.2, 0.1], [0.3, 0.3], [0.0, -0.5], [0.1, 0.6]], (3, 1))
    goal = start + np.stack([amounts, np.zeros(12)], 1)
    hand = goal[:, None] * np.linspace(0, 1, 20)[:, None]
    conditions = {
        "traversal": amounts,
        "traversal_trial": np.tile(np.arange(4), 3),
        "traversal_along": np.full(12, "goal_x"),
    }
    return made(hand, conditions)


def test_the_change_is_the_one_that_was_made():
    behavior, units = traversal_figures(traversal(), real(), smoothing=None)
    paths, dots, change = behavior.charts
    assert len(paths.series) == len(dots.series) == 3
    requested, x, y = change.series
    np.testing.assert_allclose(requested.y, [-0.5, 0, 0.5])
    np.testing.assert_allclose(x.y, [-0.5, 0, 0.5], atol=0.02)  # the decoder has a small penalty
    np.testing.assert_allclose(y.y, 0, atol=0.02)
    assert "hand_pos (m)" in paths.x_label
    assert len(units.charts) == 6  # all neurons there are
    spread = [np.std([line.y for line in chart.series], axis=0).mean() for chart in units.charts]
    assert spread == sorted(spread, reverse=True)  # those that change most come first
    np.testing.assert_allclose(units.charts[0].series[0].x[:2], [0.01, 0.03])


def test_without_a_path_only_units_are_shown():
    plain = Trials(real().counts, 0.02)
    assert [figure.key for figure in traversal_figures(traversal(), plain)] == ["traversal-units-goal_x"]
    assert [figure.key for figure in traversal_figures(traversal(), real(), series="speed")] == [
        "traversal-units-goal_x"
    ]


def test_what_is_no_traversal_is_refused():
    with pytest.raises(DataError, match="that `traverse` returned"):
        traversal_figures(real(), real())
    with pytest.raises(ConditionError, match="hand_pos"):
        traversal_figures(traversal(), real(), series="nose")


def test_the_page_is_whole_and_escapes_words():
    text = traversal_page(traversal(), real(), smoothing=None)
    assert text.startswith("<!doctype html>")
    assert text.count("<svg") == 3 + 6
    nasty = traversal()
    conditions = {**nasty.conditions, "traversal_along": np.full(12, "<script>alert(1)</script>")}
    assert "<script>alert" not in traversal_page(
        Trials(nasty.counts, 0.02, conditions=conditions), Trials(real().counts, 0.02)
    )


def test_codes_stand_where_they_say():
    trials = real()
    groups = np.where(trials.conditions["goal_x"] > 0, "right", "left")
    (chart,) = code_figure(trials, ("goal_x", "goal_y"), groups).charts
    dots = [one for one in chart.series if one.role != "guide"]
    assert [one.word for one in dots] == ["left", "right"]
    np.testing.assert_allclose(dots[1].x, trials.conditions["goal_x"][groups == "right"], atol=0.03)  # shrunk a little


def test_the_weight_curve_names_its_weights():
    figure = weight_figure([0, 1, 10], [0.3, 0.1, 0.05], [0.4, 0.5, 0.9], unit="cm")
    line, *dots = figure.charts[0].series
    np.testing.assert_allclose(line.x, [0.3, 0.1, 0.05])
    assert [one.word for one in dots] == ["0", "1", "10"]
