r"""Auto- and cross-correlograms of many trials at once.

With :math:`x_{kt}` the counts of a neuron minus their mean in trial k, and :math:`T_k` its bins, the autocorrelogram is
:math:`\frac{\sum_k \sum_t x_{kt} x_{k,t+l} / \sum_k (T_k - l)}{\sum_k \sum_t x_{kt}^2 / \sum_k T_k}`. The
cross-correlogram of two neurons i and j has the counts of both neurons in the numerator, and
:math:`\sqrt{\mathrm{var}_i \mathrm{var}_j}` in the denominator. Its expectation for shuffled trials of the second
neuron is subtracted: the average over all pairs of different trials. The sum over these pairs is the product of the
sums over trials, minus the sum over equal trials. All sums over trials are taken in the frequency domain, before the
transform back to lags, so that one transform per trial is sufficient.
"""

import numpy as np
import scipy.fft

from spikeloom.metrics.arrays import ratio
from spikeloom.shapes import Numbers
from spikeloom.trials import Trials

BLOCK = 1_000_000
"""Count of numbers that are transformed at once. They fit into the cache, which saves a quarter of the time."""


def correlograms(trials: Trials, *, pairs: Numbers, lags: int) -> tuple[Numbers, Numbers]:
    """Compute auto- and cross-correlograms over trials, as defined at the top of this module.

    Args:
        trials: The trials; a short trial contributes only to short lags.
        pairs: Pairs of neurons (pair, 2).
        lags: Longest lag, in bins.

    Returns:
        Autocorrelograms of lags 0 ... lags (lag, neuron), and cross-correlograms of lags -lags ... lags (lag, pair),
        where a positive lag means that the second neuron fires later. NaN for neurons without variance and for
        lags that no trial has.
    """
    lengths = trials.lengths
    n_neurons = trials.n_neurons
    size = scipy.fft.next_fast_len(trials.n_bins + lags, real=True)  # padded, so that lags do not wrap around
    n_frequencies = size // 2 + 1
    order = np.argsort(lengths, kind="stable")  # trials from short to long
    power = np.zeros((n_frequencies, n_neurons))  # power spectra, summed over trials
    cross = np.zeros((n_frequencies, len(pairs)), complex)  # cross-spectra within the same trial, summed over trials
    summed = np.zeros((n_frequencies, n_neurons), complex)  # Fourier transforms, summed over trials
    at_once = max(1, BLOCK // max(1, 2 * size * n_neurons))  # trials
    for start in range(0, len(trials), at_once):
        rows = order[start : start + at_once]
        x = trials.counts[rows].astype(np.float32)  # (trial, time, neuron)
        x -= x.sum(1, keepdims=True) / lengths[rows, None, None].astype(np.float32)  # minus the mean of the trial
        x *= trials.mask[rows][:, :, None]
        spectrum = scipy.fft.rfft(x, size, axis=1)  # (trial, frequency, neuron)
        power += np.square(spectrum.real).sum(0) + np.square(spectrum.imag).sum(0)
        summed += spectrum.sum(0)
        if len(pairs):
            cross += (spectrum[:, :, pairs[:, 0]].conj() * spectrum[:, :, pairs[:, 1]]).sum(0)
    shift = np.arange(-lags, lags + 1)  # negative lags are at the end of an inverse transform
    n_same, n_different = _overlaps(lengths, trials.n_bins, size, shift)
    auto = ratio(scipy.fft.irfft(power, size, axis=0)[: lags + 1], n_same[lags:, None])
    variance = np.where(auto[0] > 1e-9, auto[0], np.nan)  # smaller variances are rounding errors
    # cross-spectra of all pairs of different trials, summed
    shuffled = summed[:, pairs[:, 0]].conj() * summed[:, pairs[:, 1]] - cross
    covariance = ratio(scipy.fft.irfft(cross, size, axis=0)[shift], n_same[:, None])
    if len(trials) > 1:
        expected = ratio(scipy.fft.irfft(shuffled, size, axis=0)[shift], n_different[:, None])
        covariance = covariance - expected
    return auto / variance, covariance / np.sqrt(variance[pairs[:, 0]] * variance[pairs[:, 1]])


def _overlaps(lengths: Numbers, time: int, size: int, shift: Numbers) -> tuple[Numbers, Numbers]:
    """Return the number of overlapping bins at each shift: of trials with themselves, and of different trials.

    Args:
        lengths: Bins of each trial.
        time: Bins of the longest trial.
        size: Length of the Fourier transform.
        shift: Shifts in bins.

    Returns:
        Sum over trials of the bins in which a trial and its shifted copy overlap, and the same sum over all ordered
        pairs of different trials; (shift,) each.
    """
    same = np.maximum(0, lengths[:, None] - np.abs(shift)[None]).sum(0).astype(np.float64)
    n_trials_with_bin = (np.arange(time)[:, None] < lengths[None]).sum(1).astype(np.float64)
    # The autocorrelation of this number counts the overlaps of all ordered pairs, also of a trial with itself.
    spectrum = scipy.fft.rfft(n_trials_with_bin, size)
    all_pairs = np.round(scipy.fft.irfft(np.abs(spectrum) ** 2, size)[shift])
    return same, np.maximum(0, all_pairs - same)
