"""Ticks are round and inside; a chart becomes one SVG element that is well-formed, small and escaped."""

import json
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.report import svg
from spikeloom.report.chart import DARK, LIGHT, Chart, Series, ticks

NASTY = '<script>alert("x")</script> & "quotes"'


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 8))
def test_ticks_are_few_rising_and_inside(low: float, span: float, count: int) -> None:
    high = low + span
    if high - low < abs(low) * 1e-9:  # no floating-point numbers between them
        return
    result = ticks(low, high, count=count)
    room = 1e-6 * (high - low)
    assert len(result) <= count + 1
    assert all(low - room <= value <= high + room for value in result)
    assert all(a < b for a, b in pairwise(result))


def test_ticks_of_a_logarithmic_axis_are_decades_or_one_two_five() -> None:
    assert ticks(0.5, 2e4, log=True) == pytest.approx([1, 10, 100, 1000, 10000])
    assert ticks(1.5, 60, log=True) == pytest.approx([2, 5, 10, 20, 50])


def test_zero_is_written_without_a_minus() -> None:
    assert all(str(value) != "-0.0" for value in ticks(-1.0, 1.0))
    assert str(ticks(0.0, 0.7)[0]) == "0.0"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg.draw(chart))


def test_a_chart_is_well_formed_and_escapes_every_text() -> None:
    x = np.arange(3.0)
    series = (Series("points", "real", x, x, name=NASTY, labels=[NASTY] * 3),)
    chart = Chart(NASTY, series, NASTY, NASTY, diagonal=True)
    element = drawn(chart)
    assert not element.findall(".//script")
    assert "<script" not in svg.draw(chart)
    hover = json.loads(element.attrib["data-hover"])
    assert hover["s"][0]["l"][0] == NASTY


def test_missing_and_infinite_values_leave_gaps_not_faults() -> None:
    y = np.array([1.0, np.nan, 3.0, np.inf, 5.0])
    element = drawn(Chart("gaps", (Series("line", "fake", np.arange(5.0), y),)))
    path = element.findall(".//path")[-1].attrib["d"]
    assert "nan" not in path
    assert json.loads(element.attrib["data-hover"])["s"][0]["y"] == [1.0, None, 3.0, None, 5.0]


def test_an_empty_chart_can_be_drawn() -> None:
    nothing = np.empty(0)
    for log in ("", "xy"):
        drawn(Chart("empty", (Series("points", "real", nothing, nothing),), log=log))
    drawn(Chart("no series", ()))


def test_hover_scale_turns_values_into_the_pixels_drawn() -> None:
    x, y = np.array([1.0, 10.0, 100.0]), np.array([2.0, 4.0, 8.0])
    element = drawn(Chart("log", (Series("points", "real", x, y),), log="x"))
    hover = json.loads(element.attrib["data-hover"])
    offset, factor, log = hover["ax"]
    assert log == 1
    path = element.findall(".//path")[-1].attrib["d"]
    places = [float(word.split(" ")[0]) for word in path.split("M")[1:]]
    assert offset + factor * np.log10(x) == pytest.approx(places, abs=0.2)


def test_recorded_and_generated_stay_apart_in_grey() -> None:
    def lightness(color: str) -> float:
        red, green, blue = (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for palette in (LIGHT, DARK):
        assert abs(lightness(palette["real"]) - lightness(palette["fake"])) > 0.1
        assert set(palette) == set(LIGHT)
