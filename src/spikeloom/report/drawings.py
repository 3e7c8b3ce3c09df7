"""Make all figures of a report from the data in its findings."""

from collections.abc import Mapping

from spikeloom.metrics.panel import Result
from spikeloom.report import rasters, scatters, views
from spikeloom.report.chart import Figure
from spikeloom.report.conditional import conditional_figures
from spikeloom.report.findings import Shown
from spikeloom.report.neurons import worst_neurons
from spikeloom.trials import Trials


def figures_of(shown: Shown) -> tuple[Figure, ...]:
    """Return the figures of a report, in the order of the page."""
    figures = all_figures(shown.real, shown.fake, shown.results, condition=shown.condition, aligned=shown.aligned)
    worst = worst_neurons(shown.real, shown.fake, shown.results, aligned=shown.aligned)
    if worst is not None:
        figures += (worst,)
    figures += conditional_figures(shown.directions, shown.behavior)
    if shown.closest is not None:
        figures += (rasters.closest(shown.closest.fake, shown.closest.train, shown.closest.pairs),)
    return figures


def all_figures(
    real: Trials, fake: Trials, results: Mapping[str, Result], *, condition: str | None, aligned: bool = True
) -> tuple[Figure, ...]:
    """Return the figures of two sets of trials and their metrics, in the order in which the page shows them.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        results: Result of each metric by its name.
        condition: Condition by which trials are grouped and coloured, or None.
        aligned: True if trials are aligned to an event. PSTHs are left out otherwise.
    """
    return (
        rasters.rasters(real, fake, condition=condition),
        *([views.psths(real, fake, condition=condition)] if aligned else []),
        views.population_counts(real, fake),
        *scatters.scatters(results, real),
        views.autocorrelograms(real, fake),
        views.spectra(real, fake, results),
        views.trajectories(real, fake, condition=condition),
    )
