"""Content of the report's figures of averages: mean rates, population counts, autocorrelograms, spectra, trajectories.

Each function computes a `Figure` from recorded and generated trials; `figures.py` and `svg.py` draw it. Recorded and
generated trials, the two sides of a figure, are treated alike: both have the same neurons in the same order, the same
smoothing and the same limits of the axes. Principal components are fitted to the recorded trials only. `rasters.py` has
the figures of single trials, and `scatters.py` the scatter plots of metrics.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from spikeloom.metrics.panel import Result
from spikeloom.report.chart import Chart, Figure, Role, Series
from spikeloom.shapes import mask_of
from spikeloom.trials import Trials
from spikeloom.trials.identity import identity

PSTH_SD = 0.02
"""Standard deviation of the Gaussian that smooths a PSTH, seconds (METHODS 5.3)."""

PATH_SD = 0.04
"""Standard deviation of the Gaussian that smooths trajectories, seconds."""

CONDITIONS: tuple[Role, ...] = ("c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7")
"""Roles of conditions. The role decides the colour."""


# --- helpers -------------------------------------------------------------------------------------------------------


def sides_of(real: Trials, fake: Trials) -> tuple[tuple[Trials, Role], tuple[Trials, Role]]:
    """Return both sides with their roles."""
    return (real, "real"), (fake, "fake")


def by_rate(trials: Trials) -> NDArray[np.intp]:
    """Return the neurons ordered by mean rate, lowest first."""
    return np.argsort(trials.mean_rates_hz(), kind="stable")


def neuron_word(trials: Trials, *neurons: int) -> str:
    """Return a label for neurons, such as "neuron 12", with their names or unit ids if they have any."""
    names = identity(trials.neuron_table)
    listed = ", ".join(str(neuron) if names is None else names[neuron] for neuron in neurons)
    return f"neuron{'s' if len(neurons) > 1 else ''} {listed}"


def groups(trials: Trials, condition: str | None) -> dict[object, NDArray[np.intp]]:
    """Return the numbers of the trials of each value of a condition, value -> numbers.

    Without such a condition there is one group with the value "".

    Args:
        trials: Trials.
        condition: Name of a condition, or None.
    """
    if condition is None or condition not in trials.conditions:
        return {"": np.arange(len(trials))}
    values = trials.condition(condition)
    return {value: np.flatnonzero(values == value) for value in np.unique(values).tolist()}


def mean_rates(trials: Trials, rows: NDArray[np.intp], *, sd: float, time: int) -> NDArray[np.float64]:
    """Compute the mean rates over trials, smoothed with a Gaussian.

    In each bin, the mean is over the trials that are long enough to contain this bin.

    Args:
        trials: Trials.
        rows: Indices of the trials that are averaged.
        sd: Standard deviation of the Gaussian, s.
        time: Number of bins of the result.

    Returns:
        Mean rates (time, neuron), spikes/s; NaN in bins that no trial has.
    """
    counts = trials.counts[rows][:, :time]
    lengths = trials.lengths[rows]
    n_trials = mask_of(lengths, counts.shape[1]).sum(0)[:, None]  # trials that have each bin (time, 1)
    sums = counts.sum(0, dtype=np.float64)  # (time, neuron)
    width = sd / trials.bin_width  # in bins
    # Sums of counts and numbers of trials are smoothed separately. Otherwise rates would fall at the ends of trials.
    smoothed_n_trials = gaussian_filter1d(n_trials.astype(float), width, axis=0, mode="constant")
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = gaussian_filter1d(sums, width, axis=0, mode="constant") / smoothed_n_trials / trials.bin_width
    rates[n_trials[:, 0] == 0] = np.nan
    return np.pad(rates, ((0, time - len(rates)), (0, 0)), constant_values=np.nan)


def name_of(condition: str | None, value: object) -> str:
    """Return a label for one condition value, such as "angle_deg 30"."""
    if condition is None or (isinstance(value, str) and value == ""):
        return "all trials"
    return f"{condition} {value:g}" if isinstance(value, int | float) else f"{condition} {value}"


def common_time(real: Trials, fake: Trials) -> int:
    """Return the median length of the recorded trials in bins, but at most the bins of the generated trials."""
    return int(min(float(np.median(np.asarray(real.lengths, float))), fake.n_bins))


# --- mean rates (PSTHs) --------------------------------------------------------------------------------------------


def one_psth(real: Trials, fake: Trials, *, neuron: int | None, condition: str | None, value: object = None) -> Chart:
    """Return the PSTHs of recorded and of generated trials: mean rates over trials, smoothed with a Gaussian of 20 ms.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        neuron: Number of the neuron. `None` takes the mean of all neurons.
        condition: Name of a condition. `None` takes all trials.
        value: Value of the condition whose trials are averaged. `None` takes all trials.
    """
    time = common_time(real, fake)
    series = []
    title = "all neurons" if neuron is None else neuron_word(real, neuron)
    for trials, role in sides_of(real, fake):
        members = groups(trials, condition)
        # a single group with the name "": these trials do not have the condition
        uses_all_trials = value is None or list(members) == [""]
        rows = members.get(value, np.arange(len(trials) if uses_all_trials else 0))
        rates = mean_rates(trials, rows, sd=PSTH_SD, time=time)
        rates = rates.mean(1) if neuron is None else rates[:, neuron]
        series.append(Series("line", role, (np.arange(time) + 0.5) * trials.bin_width, rates))
    return Chart(title, tuple(series), x_label="time (s)", y_label="rate (spikes/s)")


def psths(real: Trials, fake: Trials, *, condition: str | None = None, n_neurons: int = 3) -> Figure:
    """Return mean rates per condition: of all neurons together, and of the neurons whose rates change most.

    Args:
        real: Recorded trials. The change of a neuron's mean rate over time and conditions is computed from them.
        fake: Generated trials.
        condition: Condition whose values are drawn separately. `None` averages all trials.
        n_neurons: Number of single neurons; without a condition, twice this number and one more.
    """
    members = groups(real, condition)
    fake_members = groups(fake, condition)
    if not set(members) <= set(fake_members):  # generated trials lack conditions, so all trials are averaged
        condition = None
        members = groups(real, None)
        fake_members = groups(fake, None)
    values = list(members)[:: max(1, math.ceil(len(members) / len(CONDITIONS)))]  # at most one for each colour
    time = common_time(real, fake)
    centres = (np.arange(time) + 0.5) * real.bin_width
    real_rates = [mean_rates(real, members[value], sd=PSTH_SD, time=time) for value in values]
    fake_rates = [mean_rates(fake, fake_members[value], sd=PSTH_SD, time=time) for value in values]
    change = np.nan_to_num(np.stack(real_rates)).std((0, 1))  # over conditions and time (neuron,)
    n_chosen = n_neurons if condition else 2 * n_neurons + 1
    neurons: list[int | None] = [None, *np.argsort(-change)[:n_chosen].tolist()]
    charts = []
    for neuron in neurons:
        real_traces = [rates.mean(1) if neuron is None else rates[:, neuron] for rates in real_rates]
        fake_traces = [rates.mean(1) if neuron is None else rates[:, neuron] for rates in fake_rates]
        largest = max(float(np.nanmax(np.stack(traces))) for traces in (real_traces, fake_traces))
        limits = (0.0, time * real.bin_width, 0.0, 1.05 * largest or 1.0)  # 1 if no neuron fires
        label = "all neurons" if neuron is None else neuron_word(real, neuron)
        for value, real_trace, fake_trace in zip(values, real_traces, fake_traces, strict=True):
            series = (Series("line", "real", centres, real_trace), Series("line", "fake", centres, fake_trace))
            title = label if condition is None else f"{label}, {name_of(condition, value)}"
            charts.append(Chart(title, series, "time (s)", "rate (spikes/s)", limits=limits, size="compact", wide=1.5))
    caption = (
        f"Mean over trials in spikes/s against seconds, smoothed with a Gaussian of {1000 * PSTH_SD:g} ms. First the "
        "mean of all neurons, then the neurons whose recorded mean rate changes most. Independent Poisson spikes with "
        "the right rates agree here, too."
    )
    return Figure("psths", "Mean rates (PSTH)", caption, tuple(charts), columns=4)


# --- distributions over time bins ----------------------------------------------------------------------------------


def population_counts(real: Trials, fake: Trials) -> Figure:
    """Return the distribution of the spikes of all neurons in one bin, on linear and logarithmic axes."""
    sums = [trials.counts.sum(2, dtype=np.int64)[trials.mask] for trials in (real, fake)]
    largest = int(max(values.max(initial=0) for values in sums)) + 1  # one count more, at which the steps end
    fractions = [np.bincount(values, minlength=largest + 1) / max(len(values), 1) for values in sums]
    counts = np.arange(largest + 1)
    charts = []
    for log in ("", "y"):
        series = []
        for fraction, (_, role) in zip(fractions, sides_of(real, fake), strict=True):
            heights = np.where(fraction > 0, fraction, np.nan) if log else fraction  # 0 has no logarithm
            series.append(Series("line" if log else "steps", role, counts, heights))
        title = "Population count, tails" if log else "Population count"
        charts.append(Chart(title, tuple(series), "spikes of all neurons in one bin", "fraction of bins", log=log))
    caption = (
        "Fraction of bins in which all neurons together fire k spikes. A narrow distribution lacks shared fluctuations."
    )
    return Figure("population_counts", "Population counts", caption, tuple(charts), columns=2, tab="Neurons")


def one_autocorrelogram(real: Trials, fake: Trials, *, neuron: int | None = None, lags: int = 30) -> Chart:
    """Return the autocorrelation of one neuron's counts, or of the population count, at lags of 1 to `lags` bins.

    The mean of each trial is subtracted. The sum of products at each lag is divided by the number of overlapping bins,
    and by the variance.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        neuron: Number of the neuron. `None` takes the sum over all neurons.
        lags: Largest lag, bins.
    """
    series = []
    lags = int(min(lags, common_time(real, fake) - 1))
    for trials, role in sides_of(real, fake):
        counts = trials.counts.sum(2) if neuron is None else trials.counts[:, :, neuron]  # (trial, time)
        mask = trials.mask
        mean = counts.sum(1, dtype=float) / trials.lengths
        centred = np.where(mask, counts - mean[:, None], 0.0)
        variance = np.square(centred).sum() / mask.sum()
        values = []
        for lag in range(1, lags + 1):
            covariance = (centred[:, lag:] * centred[:, :-lag]).sum() / max(mask[:, lag:].sum(), 1)
            values.append(covariance / variance if variance > 0 else np.nan)
        series.append(Series("line", role, np.arange(1, lags + 1) * trials.bin_width, np.array(values)))
    title = "all neurons" if neuron is None else neuron_word(real, neuron)
    return Chart(title, tuple(series), "lag (s)", "autocorrelation")


def autocorrelograms(real: Trials, fake: Trials) -> Figure:
    """Return the autocorrelation of the population count and of the five most active neurons."""
    chosen: list[int | None] = [None, *by_rate(real)[::-1][:5].tolist()]
    caption = (
        "Correlation between counts of one trial against their lag, from one bin on. A dip at the shortest lags shows "
        "refractoriness, a peak shows bursts, and a slow decay shows rates that vary slowly within the trial."
    )
    charts = tuple(one_autocorrelogram(real, fake, neuron=neuron) for neuron in chosen)
    return Figure("autocorrelograms", "Autocorrelograms", caption, charts, columns=3, tab="Neurons")


def power(trials: Trials, *, time: int) -> NDArray[np.float64]:
    """Return the power spectrum of the population count, in spikes²/Hz: 2 w mean(|X(f)|²) / sum(h²).

    Here w is the width of a bin, h a Hann window, and X the Fourier transform of h times the counts of a trial, from
    which their mean is subtracted. The mean is over the trials that have at least `time` bins. Without such trials the
    result is NaN.

    Args:
        trials: Trials.
        time: Number of bins, from the beginning of each trial.
    """
    counts = trials.counts[np.asarray(trials.lengths, np.int64) >= time][:, :time].sum(2, dtype=np.float64)
    if not len(counts):
        return np.full(time // 2 + 1, np.nan)
    window = np.hanning(time)
    spectrum = np.fft.rfft((counts - counts.mean(1, keepdims=True)) * window, axis=1)
    return np.square(np.abs(spectrum)).mean(0) * 2 * trials.bin_width / np.square(window).sum()


def spectra(real: Trials, fake: Trials, results: Mapping[str, Result] | None = None) -> Figure:
    """Return the power spectrum of the population count, and the variance explained by principal components.

    The second chart is left out if there are no results of the panel.
    """
    time = max(common_time(real, fake), 3)  # the Hann window of 2 bins is 0
    frequency = np.fft.rfftfreq(time, real.bin_width)[1:]  # without 0 Hz, which a logarithmic axis cannot show
    series = tuple(Series("line", role, frequency, power(side, time=time)[1:]) for side, role in sides_of(real, fake))
    charts = [Chart("Population spectrum", series, "frequency (Hz)", "power (spikes²/Hz)", log="xy")]
    dimensions = (results or {}).get("participation_ratio")
    if dimensions is not None and "dimension" in dimensions.detail:
        roles: tuple[Role, Role] = ("real", "fake")
        lines = tuple(Series("line", role, dimensions.detail["dimension"], dimensions.detail[role]) for role in roles)
        charts.append(Chart("Dimensionality", lines, "components", "fraction of variance explained"))
    caption = (
        "Left: power of the population count, with the mean of each trial subtracted, shows rhythms and slow drifts. "
        "Right, if shown: variance explained by the leading components, fitted to each side separately."
    )
    return Figure("spectrum", "Spectrum and dimensions", caption, tuple(charts), columns=2, tab="Population")


def trajectories(real: Trials, fake: Trials, *, condition: str | None = None) -> Figure:
    """Return the activity on the first two principal components of the recorded trials.

    One line is the mean over the trials of a condition, if both sides have the condition, or else a single trial.

    Args:
        real: Recorded trials.
        fake: Generated trials.
        condition: Name of a condition, or None for single trials.
    """
    members = groups(real, condition)
    fake_members = groups(fake, condition)
    has_conditions = condition is not None and set(members) <= set(fake_members)
    most = len(CONDITIONS)
    values: list[object] = list(range(min(most, len(real), len(fake))))  # numbers of trials
    if has_conditions:
        values = list(members)[:: max(1, math.ceil(len(members) / most))]
    labels = [name_of(condition, value) if has_conditions else f"trial {value}" for value in values]
    time = common_time(real, fake)

    def rates(trials: Trials, rows_of: Mapping[object, NDArray[np.intp]]) -> NDArray[np.float64]:
        """Return the smoothed rates of each condition or trial (value, time, neuron), spikes/s."""
        rows = [rows_of[value] if has_conditions else np.array([value]) for value in values]
        return np.nan_to_num(np.stack([mean_rates(trials, row, sd=PATH_SD, time=time) for row in rows]))

    sides = [rates(real, members), rates(fake, fake_members)]
    flat = sides[0].reshape(-1, real.n_neurons)  # recorded rates (value x time, neuron)
    scale = np.sqrt(flat.mean(0) + 5.0)  # 5 spikes/s keep the noise of neurons with few spikes small
    center = flat.mean(0)
    components = np.linalg.svd((flat - center) / scale, full_matrices=False)[2][:2]  # (component, neuron)
    if len(components) < 2:  # a recording of one neuron
        components = np.pad(components, ((0, 2 - len(components)), (0, 0)))
    # coordinates of both sides (value, time, component)
    paths_of_sides = [((side - center) / scale) @ components.T for side in sides]
    points = np.concatenate([paths.reshape(-1, 2) for paths in paths_of_sides])
    middle = (points.max(0) + points.min(0)) / 2
    half_width = 0.54 * float(np.ptp(points, axis=0).max()) or 1.0  # the range of the paths and a margin
    left, bottom = (middle - half_width).tolist()
    right, top = (middle + half_width).tolist()
    charts = []
    for paths, title in zip(paths_of_sides, ("Recorded", "Generated"), strict=True):
        series = []
        for role, path, label in zip(CONDITIONS, paths, labels, strict=False):
            series.append(Series("line", role, path[:, 0], path[:, 1], name=label))
            series.append(Series("points", role, path[:1, 0], path[:1, 1], name=label, labels=["start"]))
        charts.append(
            Chart(title, tuple(series), "component 1", "component 2", limits=(left, right, bottom, top), wide=1.0)
        )
    legend = tuple(zip(CONDITIONS, labels, strict=False))
    kind = "mean of each condition" if has_conditions else "single trials"
    caption = (
        f"Activity ({kind}, Gaussian of 40 ms) on two principal components of the recorded side; dots mark the start."
    )
    return Figure("trajectories", "Trajectories", caption, tuple(charts), columns=2, tab="Population", legend=legend)
