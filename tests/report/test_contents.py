"""The page of code contents shows every variable, the angles, and a chart for each held variable."""

import numpy as np

from spikeloom.metrics.contents import contents
from spikeloom.report.contents import code_space_figure, contents_page
from tests.metrics.test_contents import world


def test_one_chart_for_each_held_variable():
    all_contents = contents(world(400, 0), world(100, 1))
    figure = code_space_figure(all_contents)
    assert [chart.title.split(" ")[0] for chart in figure.charts] == [one.name for one in all_contents.held]
    for chart in figure.charts:
        assert sum(len(series.x) for series in chart.series) == 100
    numbers = figure.charts[[one.name for one in all_contents.held].index("x")]
    assert [len(series.x) for series in numbers.series] == [20] * 5


def test_the_page_names_every_variable_and_the_pair_of_models():
    all_contents = contents(world(400, 0), world(100, 1))
    page = contents_page(all_contents, {"seed 0, <seed 1>": np.array([0.9, 0.5, 0.1])})
    for one in all_contents.each:
        assert f"<td>{one.name}</td>" in page
    assert "seed 0, &lt;seed 1&gt;" in page
    assert "0.50" in page
    assert page.count("<svg") == len(all_contents.held)
