"""Time courses of real and fake (generated) trials: PSTHs, correlograms, and spectrum of the population count.

A PSTH is the mean rate of a neuron in each bin, over the trials of one condition.
"""

import numpy as np

from spikeloom.metrics.arrays import pearson, rmse
from spikeloom.metrics.pair import ENOUGH_SPIKES, LAGS, Pair
from spikeloom.metrics.result import Result
from spikeloom.metrics.statistics import Statistics
from spikeloom.shapes import Numbers
from spikeloom.text import counted

REFRACTORY_LAGS = 3
"""Longest lag of the autocorrelogram that shows refractoriness and bursts, in bins."""

SEGMENT = 1.0
"""Longest segment of the spectrum, in seconds."""

BAND = (1.0, 50.0)
"""Lowest and highest compared frequency, in Hz."""

UNALIGNED = "windows of a continuous recording have no common beginning, so a mean time course has no meaning"
"""Note of PSTH metrics that are not computed."""


# --- PSTH ---------------------------------------------------------------------------------------------------------


def psth_r(pair: Pair) -> Result:
    """Compute the correlation of smoothed PSTHs over all conditions, bins and neurons.

    Differences in mean rate between neurons dominate this value.
    """
    if not pair.aligned:
        return Result(None, UNALIGNED)
    real, fake, note = _psths(pair)
    value = pearson(real, fake)
    return Result(value, note if value is not None else f"no condition with trials in both sets: {note}")


def psth_neuron_r(pair: Pair) -> Result:
    """Compute the correlation of the PSTH over conditions and bins for each neuron, and return the median.

    The mean rates of neurons have no effect on this value.
    """
    if not pair.aligned:
        return Result(None, UNALIGNED)
    real, fake, note = _psths(pair)
    neuron = pair.active(ENOUGH_SPIKES)
    in_both = np.isfinite(real).all((1, 2)) & np.isfinite(fake).all((1, 2))  # conditions with trials in both sets
    values = [pearson(real[in_both][:, :, index], fake[in_both][:, :, index]) for index in neuron]
    correlations = np.array([np.nan if value is None else value for value in values], np.float64)  # (neuron,)
    finite = np.isfinite(correlations)
    note = (
        f"{counted(int(finite.sum()), 'neuron', of=pair.n_neurons)} (at least {ENOUGH_SPIKES} spikes in both "
        f"sets); {note}"
    )
    note = note.rstrip("; ")  # the note on window and labels may be empty
    if not finite.any():
        return Result(None, f"no neuron has enough spikes: {note}")
    return Result(float(np.median(correlations[finite])), note, {"r": correlations[finite], "neuron": neuron[finite]})


def _psths(pair: Pair) -> tuple[Numbers, Numbers, str]:
    """Return real and fake PSTHs (condition, time, neuron), spikes/s, and a note on window and labels."""
    return pair.real.psth, pair.fake.psth, "; ".join(filter(None, (pair.window_note, pair.label_note)))


# --- correlograms -------------------------------------------------------------------------------------------------


def autocorrelation_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference of autocorrelograms, over lags 1 to 30 bins and neurons."""
    return _auto(pair, LAGS)


def refractory_rmse(pair: Pair) -> Result:
    """Compute the root mean square difference of autocorrelograms over lags 1 to 3 bins: refractoriness and bursts."""
    return _auto(pair, REFRACTORY_LAGS)


def _auto(pair: Pair, lags: int) -> Result:
    """Compare the autocorrelograms of both sets over lags of 1 to `lags` bins."""
    neuron = pair.active(ENOUGH_SPIKES)
    real, fake = (auto[1 : lags + 1][:, neuron] for auto, _ in pair.correlograms)
    note = f"{counted(len(neuron), 'neuron', of=pair.n_neurons)} (at least {ENOUGH_SPIKES} spikes in both sets)"
    value = rmse(real, fake)
    if value is None:
        return Result(None, f"no neuron has enough spikes, or trials are shorter than two bins: {note}")
    lag = np.arange(1, len(real) + 1) * pair.real_trials.bin_width
    return Result(value, note, {"real": real, "fake": fake, "lag": lag, "neuron": neuron})


def cross_correlogram_rmse(pair: Pair) -> Result:
    """Compute the RMS difference of cross-correlograms, lags -30 to 30 bins, of the 200 most co-active real pairs."""
    pairs = pair.coactive
    (_, real), (_, fake) = pair.correlograms
    value = rmse(real, fake)
    if value is None:
        return Result(None, f"fewer than two neurons with at least {ENOUGH_SPIKES} spikes in both sets")
    lag = (np.arange(len(real)) - len(real) // 2) * pair.real_trials.bin_width
    return Result(value, counted(len(pairs), "pair"), {"real": real, "fake": fake, "lag": lag, "pair": pairs})


# --- spectrum -----------------------------------------------------------------------------------------------------


def population_spectrum(
    population: Numbers, lengths: Numbers, *, segment: int, bin_width: float
) -> tuple[Numbers, Numbers]:
    """Compute the spectrum of the population count, by Welch's method.

    The spectrum is the mean periodogram over segments of all trials. Neighbouring segments overlap by half. The mean of
    each segment is subtracted, and a Hann window is applied.

    Args:
        population: Population counts (trial, time).
        lengths: Valid bins of each trial.
        segment: Number of bins of a segment. Shorter trials are left out.
        bin_width: Bin width in seconds.

    Returns:
        Frequencies (Hz), and power in (spikes/bin)^2/Hz.
    """
    from scipy.signal import periodogram  # slow to import, and `fit` and `sample` do not need it

    starts = range(0, population.shape[1] - segment + 1, max(1, segment // 2))
    pieces = [population[lengths >= start + segment, start : start + segment] for start in starts]
    stacked = np.concatenate(pieces).astype(np.float64)  # (segment, time)
    frequency, power = periodogram(stacked, 1 / bin_width, window="hann", detrend="constant", axis=1)
    return frequency, power.mean(0)


def _spectrum(statistics: Statistics, *, segment: int, bin_width: float) -> tuple[Numbers, Numbers]:
    """Return frequencies and power of the population count of one set."""
    return population_spectrum(statistics.population, statistics.trials.lengths, segment=segment, bin_width=bin_width)


def spectral_distance_db(pair: Pair) -> Result:
    r"""Compute the log-spectral distance of the population count, 1 to 50 Hz.

    :math:`\sqrt{\mathrm{mean}_f (10 \log_{10} P_q/P_p)^2}`, p real and q fake. Segments are 1 s long. If a trial is
    shorter than 1 s, they have the length of the shortest trial of both sets.
    """
    width = pair.real_trials.bin_width
    shortest = int(min(pair.real_trials.lengths.min(), pair.fake_trials.lengths.min()))
    segment = min(round(SEGMENT / width), shortest)
    sides = (pair.real, pair.fake)
    if segment < 8:  # too few frequencies
        return Result(None, f"the spectrum needs trials of at least 8 bins; the shortest has {shortest}")
    spectra = [statistics.once(_spectrum, segment=segment, bin_width=width) for statistics in sides]
    frequency = spectra[0][0]
    band = (frequency >= BAND[0]) & (frequency <= BAND[1]) & (frequency > 0)
    real, fake = (power[band] for _, power in spectra)
    if not band.any() or real.min() <= 0 or fake.min() <= 0:
        return Result(None, "no power in the band of 1 to 50 Hz in one set")
    value = float(np.sqrt(np.mean((10 * np.log10(fake / real)) ** 2)))
    note = f"{band.sum()} frequencies from {frequency[band][0]:.2g} to {frequency[band][-1]:.3g} Hz"
    return Result(value, note, {"real": real, "fake": fake, "frequency": frequency[band]})
