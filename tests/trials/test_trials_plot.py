"""The picture of a trial shows its spikes, rates and behaviour, and nothing of other trials or of the padding."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from spikeloom.errors import DataError
from spikeloom.trials import Trials, plot

mpl.use("Agg")


@pytest.fixture
def trials():
    counts = np.zeros((2, 4, 3), int)
    counts[0, 1, 2] = 2
    counts[1, 0, 0] = 1
    rates = np.full((2, 4, 3), 0.5)
    hand = np.arange(16.0).reshape(2, 4, 2)
    return Trials(
        counts,
        0.1,
        lengths=np.array([3, 4]),
        rates=rates,
        behavior={"hand": hand},
        units={"hand": "m/s"},
        conditions={"direction": np.array(["left", "right"])},
    )


def test_spikes_of_one_bin_lie_inside_it(trials):
    sheet, (axes,) = plot.figure(1)
    plot.raster(axes, trials, trial=0)
    rows = [collection.get_positions() for collection in axes.collections]
    assert [len(row) for row in rows] == [0, 0, 2]
    assert rows[2] == pytest.approx([0.1 + 0.1 / 3, 0.1 + 0.2 / 3])
    assert sheet.axes == [axes]


def test_a_figure_has_a_row_for_spikes_rates_and_each_series(trials):
    sheet = trials.plot(trial=0)
    labels = [axes.get_ylabel() for axes in sheet.axes]
    assert labels == ["neuron", "neuron", "hand\n(m/s)", "rate (spikes/s)"]
    assert "direction left" in sheet.axes[0].get_title(loc="left")
    line = sheet.axes[2].lines[0]
    assert line.get_ydata() == pytest.approx([0, 2, 4])  # 3 valid bins: no padding
    assert sheet.axes[2].get_xlim() == pytest.approx((0, 0.3))


def test_the_line_of_an_angle_breaks_where_it_wraps(trials):
    heading = np.array([[[340.0], [350.0], [10.0], [20.0]], [[90.0], [100.0], [110.0], [120.0]]])
    turning = replace(trials, lengths=np.array([4, 4]), behavior={"heading": heading}, units={"heading": "deg"})
    _, (one, two) = plot.figure(2)
    plot.series(one, turning, "heading", trial=0)
    plot.series(two, turning, "heading", trial=1)
    np.testing.assert_array_equal(one.lines[0].get_ydata(), [340, 350, np.nan, 10, 20])
    np.testing.assert_allclose(one.lines[0].get_xdata()[[1, 3]], [0.15, 0.25])
    np.testing.assert_array_equal(two.lines[0].get_ydata(), [90, 100, 110, 120])


def test_the_line_of_a_number_does_not_break(trials):
    steps = np.array([[[0.0], [350.0], [10.0], [20.0]]] * 2)
    jumping = replace(trials, lengths=np.array([4, 4]), behavior={"force": steps}, units={"force": "N"})
    _, (axes,) = plot.figure(1)
    plot.series(axes, jumping, "force")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), steps[0, :, 0])


def test_without_rates_there_is_no_image(trials):
    bare = replace(trials, rates=None)
    assert [axes.get_ylabel() for axes in bare.plot(trial=1).axes] == ["neuron", "hand\n(m/s)"]
    _, (axes,) = plot.figure(1)
    with pytest.raises(DataError, match="no rates"):
        plot.rates(axes, bare)


def test_a_trial_or_series_that_is_not_there_is_named(trials):
    with pytest.raises(DataError, match=r"2 trials, numbered from 0\. Trial 5"):
        trials.plot(trial=5)
    _, (axes,) = plot.figure(1)
    with pytest.raises(DataError, match="'eye'"):
        plot.series(axes, trials, "eye")


def test_notebooks_get_a_table_with_escaped_text(trials):
    shown = replace(trials, source="<b>x</b>")._repr_html_()
    assert "3 to 4 bins of 100 ms" in shown
    assert ">4 bins of 100 ms<" in trials.select([1])._repr_html_()
    assert "(1 trial, 4 bins of 100 ms" in repr(trials.select([1]))
    assert "1 bin of 300 ms" in repr(trials.rebin(3))
    assert "hand (m/s)" in shown
    assert "&lt;b&gt;x&lt;/b&gt;" in shown
    assert "<b>x</b>" not in shown
