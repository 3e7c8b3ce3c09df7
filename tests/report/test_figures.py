"""Each panel draws on the axes it is given, opens no window, and needs no global figure."""

import matplotlib

matplotlib.use("Agg")
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure as Sheet

from spikeloom.report import drawings, figures, rasters, scatters, views
from spikeloom.report.chart import Figure
from spikeloom.trials import Trials
from tests.helpers.report_toys import toy

PANELS = [
    lambda axes, real, fake: figures.raster(axes, real, trial=3),
    lambda axes, real, fake: figures.psth(axes, real, fake, neuron=2, condition="direction", value=90.0),
    figures.population_counts,
    figures.pairwise_correlations,
    figures.noise_correlations,
    figures.interval_means,
    figures.interval_variation,
    figures.fano_factors,
    figures.autocorrelogram,
    lambda axes, real, fake: figures.trajectories(axes, fake, condition="direction", basis=real),
    figures.spectrum,
]


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_draws_on_its_axes_only(panel) -> None:
    axes = Sheet().subplots()
    before = pyplot.get_fignums()
    panel(axes, toy(1), toy(3))
    assert axes.lines or axes.collections
    assert axes.get_title()
    assert pyplot.get_fignums() == before


def test_equal_figures_give_equal_files(tmp_path) -> None:
    figure = views.spectra(toy(1), toy(3))
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written.append([path.read_bytes() for path in figures.save(figure, tmp_path / name)])
    assert written[0] == written[1]


def test_long_dense_trials_stay_small() -> None:
    dense = toy(1, trials=8, time=2000, neurons=300)
    chart = rasters.one_raster(dense, trial=0, order=rasters.in_raster(dense, dense.n_bins))
    assert len(chart.series[0].x) <= rasters.MOST_SPIKES
    assert len(chart.rows) <= rasters.MOST_ROWS
    assert max(chart.series[0].x) > 0.95 * dense.n_bins * dense.bin_width  # few neurons, but the whole trial
    all_of_it = rasters.one_raster(dense, trial=0, order=views.by_rate(dense))
    assert len(all_of_it.series[0].x) == rasters.MOST_SPIKES


def test_smoothed_means_keep_the_mean_rate_up_to_the_ends() -> None:
    trials = toy(1)
    constant = type(trials)(np.full((5, 40, 2), 2), 0.01, lengths=np.array([40, 40, 30, 20, 10]))
    rates = views.mean_rates(constant, np.arange(5), sd=0.02, time=45)
    assert rates[:40] == pytest.approx(200.0)
    assert np.isnan(rates[40:]).all()


@pytest.mark.parametrize(("bin_width", "title"), [(0.005, "20 ms"), (0.1, "100 ms")])
def test_correlations_are_titled_by_the_bins_that_they_are_taken_over(bin_width: float, title: str) -> None:
    rng = np.random.default_rng(0)
    real, fake = (Trials(rng.poisson(1.0, (20, 40, 3)), bin_width) for _ in range(2))
    assert scatters.from_metric("pairwise_correlation_r", real, fake).title == f"Pairwise correlation, {title}"


def test_windows_of_a_continuous_recording_have_no_psth() -> None:
    for aligned in (True, False):
        result = drawings.all_figures(toy(1), toy(3), {}, condition=None, aligned=aligned)
        assert ("psths" in [figure.key for figure in result]) is aligned


def test_every_figure_has_words_and_axes() -> None:
    result = drawings.all_figures(toy(1), toy(3), {}, condition="direction")
    assert all(isinstance(figure, Figure) and figure.caption and figure.charts for figure in result)
    assert len({figure.key for figure in result}) == len(result)
