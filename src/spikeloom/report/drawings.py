"""Make all figures of a report from the data in its findings."""

from spikeloom.report import views
from spikeloom.report.chart import Figure
from spikeloom.report.conditional import conditional_figures
from spikeloom.report.findings import Shown
from spikeloom.report.neurons import worst_neurons


def figures_of(shown: Shown) -> tuple[Figure, ...]:
    """Return the figures of a report, in the order of the page."""
    figures = views.all_figures(shown.real, shown.fake, shown.results, condition=shown.condition, aligned=shown.aligned)
    worst = worst_neurons(shown.real, shown.fake, shown.results, aligned=shown.aligned)
    if worst is not None:
        figures += (worst,)
    figures += conditional_figures(shown.directions, shown.behavior)
    if shown.closest is not None:
        figures += (views.closest(shown.closest.fake, shown.closest.train, shown.closest.pairs),)
    return figures
