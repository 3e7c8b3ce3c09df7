"""Figures in one call draw the values that the trials hold."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from spikeloom.errors import DataError, ShapeError
from spikeloom.report import plot
from spikeloom.trials import Trials

mpl.use("Agg")


def moving(trials=40, *, neurons=12, seed=0, phase=None):
    """Neurons whose rates follow a velocity of two dimensions; one path for all trials if its phase is given."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, trials)[:, None] if phase is None else np.full((trials, 1), phase)
    time = np.arange(60) * 0.02
    velocity = np.stack([np.sin(4 * time + phase), np.cos(4 * time + phase)], 2)
    weights = np.random.default_rng(7).standard_normal((2, neurons))
    rates = np.exp(velocity @ weights * 0.8 + 0.5)
    units = {"hand_vel": "m/s"}
    return Trials(rng.poisson(rates), 0.02, behavior={"hand_vel": velocity}, units=units)


def test_compare_draws_spikes_of_both_sides_and_three_panels():
    real, fake = moving(seed=0), moving(seed=1)
    sheet = plot.compare(real, fake)
    assert len(sheet.axes) == 7
    spikes = [sum(len(row.get_positions()) for row in axes.collections) for axes in sheet.axes[:4]]
    assert spikes == [int(side.counts[trial].sum()) for side in (real, fake) for trial in range(2)]
    with pytest.raises(ShapeError):
        plot.compare(real, moving(neurons=5))


def test_decoded_path_lies_near_the_requested_one():
    reference = moving(seed=0)
    drawn = moving(20, seed=1, phase=1.0)
    sheet = plot.decoded(drawn, "hand_vel", reference=reference)
    (axes,) = sheet.axes
    lines = {line.get_label(): line for line in axes.lines}
    wanted, read = lines["requested"].get_xydata(), lines["decoded, mean"].get_xydata()
    good = np.isfinite(read).all(1)
    assert np.abs(read - wanted)[good].max() < 0.3 * np.ptp(wanted[good])


def test_paths_that_differ_get_a_panel_each():
    sheet = plot.decoded(moving(10, seed=0), "hand_vel", reference=moving(seed=0))
    assert [axes.get_title(loc="left") for axes in sheet.axes] == ["trial 0", "trial 1", "trial 2"]


def test_a_series_that_one_side_lacks_is_named():
    reference = moving()
    with pytest.raises(DataError, match="generated trials have none"):
        plot.decoded(replace(reference, behavior={}, units={}), "hand_vel", reference=reference)


def test_a_traversal_is_drawn_point_by_point():
    real = moving()
    with pytest.raises(DataError, match="needs trials that `traverse` returned"):
        plot.traversal(real, "hand_vel", reference=real)
    moved = replace(real.select(slice(30)), conditions={plot.AMOUNT: np.repeat([-1.0, 0.0, 1.0], 10)})
    sheet = plot.traversal(moved, "hand_vel", reference=real)
    assert [text.get_text() for text in sheet.legends[0].get_texts()] == ["-1", "+0", "+1"]
    paths, ends = sheet.axes
    dots = [line.get_xydata()[0] for line in paths.lines if line.get_marker() == "o"]
    x, y = ends.lines
    np.testing.assert_allclose(np.stack([x.get_ydata(), y.get_ydata()], 1), dots)
    np.testing.assert_array_equal(x.get_xdata(), [-1, 0, 1])
