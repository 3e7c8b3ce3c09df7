r"""The contracts of the three slots of an observation model: counts, history and noise.

`ObservationModel` computes drive -> rates -> counts. Each slot answers one question:

=========  ========================  ==============================================================================
slot       contract                  question that it answers
=========  ========================  ==============================================================================
`counts`   `CountDistribution`       How probable is each count of a bin, if r spikes are expected?
`history`  `History`                 What do a neuron's earlier counts add to its drive?
`noise`    `Noise`                   By what factor do the rates of all neurons vary together from bin to bin?
=========  ========================  ==============================================================================

The fitted statistics of a slot are buffers, which `build` makes and which are saved with the model. The last axis of
every buffer of a count distribution is the neuron. `docs/develop/extend.md` has a complete example of each slot.
"""

import abc
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.observation.links import LARGEST_DRIVE, SMALLEST_RATE, Link, array, drive_of, rates_of
from spikeloom.observation.moments import Moments
from spikeloom.shapes import TrialCounts, TrialMask, TrialRates
from spikeloom.trials import Trials

Memory = dict[str, NDArray[np.float64]]
"""State at the end of a piece of each trial, which the next piece needs: name -> array (trial, ...)."""

Values = Float[Tensor, "*axes neuron"]
Real = Float[Tensor, "batch time neuron"]
PerNeuron = Float[Tensor, " neuron"]

Entries = Float[NDArray[np.float64], " entry"]
Numbers = Float[NDArray[np.float64], "batch time neuron"]
AnyNumbers = Float[NDArray[np.float64], "*axes neuron"]
Whole = Int[NDArray[np.int64], "batch time neuron"]
Index = Int[NDArray[np.int64], " entry"]

ROUNDING = 1e-9
"""Relative margin for rounding when bins without spikes are excluded."""

ENTRIES_AT_ONCE = 2**18
"""Entries (trial x bin x neuron) of a batch, few enough for the cache of a processor."""

LARGEST_NOISE = 2.5
"""Noise of a bin is lowered to it, so that it multiplies a rate by 12 at most."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The bins of some trials that can hold a spike, in the order of time. All other counts are 0.

    Args:
        shape: Numbers of trials, bins and neurons.
        trial: Trial of each candidate.
        time: Bin of each candidate.
        neuron: Neuron of each candidate.
        rates: Expected counts without history, spikes/bin.
        uniform: Numbers uniform in [0, 1).
    """

    shape: tuple[int, int, int]
    trial: Index
    time: Index
    neuron: Index
    rates: Entries
    uniform: Entries

    @classmethod
    def joined(cls, batches: Sequence["Candidates"]) -> "Candidates":
        """Join the candidates of consecutive batches of trials, and sort them by time."""
        if len(batches) == 1:
            return batches[0]
        n_trials = [batch.shape[0] for batch in batches]
        first = np.repeat(np.cumsum([0, *n_trials[:-1]]), [len(batch.trial) for batch in batches])
        names = ("trial", "time", "neuron", "rates", "uniform")
        trial, time, *rest = (np.concatenate([getattr(batch, name) for batch in batches]) for name in names)
        _, n_bins, n_neurons = batches[0].shape
        order = np.argsort(time.astype(np.min_scalar_type(n_bins)), kind="stable")  # small integers sort fast
        columns = (column[order] for column in (trial + first, time, *rest))
        return cls((sum(n_trials), n_bins, n_neurons), *columns)

    def ends(self) -> list[int]:
        """Return the number of candidates before each bin, and the number of all."""
        return np.searchsorted(self.time, np.arange(self.shape[1] + 1)).tolist()

    def counts(self, drawn: Index) -> Whole:
        """Return the counts of all bins, given those of the candidates."""
        counts = np.zeros(self.shape, np.int64)
        fired = np.flatnonzero(drawn)
        counts[self.trial[fired], self.time[fired], self.neuron[fired]] = drawn[fired]
        return counts


class CountDistribution(nn.Module, abc.ABC):
    """Contract of the `counts` slot: the distribution of the count of a bin, conditional on the expected count.

    A distribution has two methods, `log_prob` and `quantile`. A distribution with fitted statistics also has `build`
    and `fit`, and `correct` where simulations can improve them.

    Args:
        link: Map from drive to rate: "softplus", :math:`r = \\log(1 + e^d)`, or "exp", :math:`r = e^d`.
    """

    def __init__(self, link: Link = "softplus") -> None:
        super().__init__()
        self.link = link

    @abc.abstractmethod
    def log_prob(self, counts: Values, rates: Values) -> Values:
        """Return the log-probability of each count in nats, not summed.

        Args:
            counts: Counts, spikes/bin.
            rates: Expected counts, spikes/bin, the mean of the distribution.
        """

    @abc.abstractmethod
    def quantile(
        self, rates: Entries, uniform: Entries, neuron: Int[NDArray[np.int64], " entry"]
    ) -> Int[NDArray[np.int64], " entry"]:
        """Return the smallest count whose cumulative probability exceeds a uniform number in [0, 1).

        Args:
            rates: Expected counts of some bins and neurons, spikes/bin.
            uniform: A uniform number for each.
            neuron: Neuron of each, by which fitted statistics are selected.
        """

    def build(self, n_neurons: int, bin_width: float) -> None:  # most distributions need none
        """Make the buffers for a number of neurons and a bin width in seconds, before fitting and before loading."""

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit the statistics to trials and rates.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin. Without `mask` they are the rates of the same bins, each
                inferred with its own count hidden.
            mask: Valid bins of `rates`, if these are the rates of other trials, such as generated ones, from which
                counts with the statistics of `trials` will be drawn. A distribution that needs pairs of rate and count
                then keeps its statistics. `None` if each rate belongs to a count.
        """

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change the statistics by a share of the step with which simulations would reach the target."""

    @final
    def rates(self, drive: Values) -> Values:
        """Return the expected counts of a drive, spikes/bin."""
        rates = functional.softplus(drive) if self.link == "softplus" else drive.clamp(max=LARGEST_DRIVE).exp()
        return rates.clamp(min=SMALLEST_RATE)

    @final
    def drive(self, rates: Values) -> Values:
        r"""Return the drive of these rates, :math:`\log(e^r - 1)` or :math:`\log r`."""
        rates = rates.clamp(min=SMALLEST_RATE)
        return rates + torch.log(-torch.expm1(-rates)) if self.link == "softplus" else rates.log()

    @final
    def of(self, neurons: Int[Tensor, " chosen"]) -> "CountDistribution":
        """Return the distribution of the counts of some neurons, by their numbers."""
        if not any(True for _ in self.buffers(recurse=False)):
            return self
        chosen = copy.deepcopy(self)
        for name, value in self.named_buffers(recurse=False):
            setattr(chosen, name, value[..., neurons].clone())
        return chosen


class History(nn.Module, abc.ABC):
    """Contract of the `history` slot: the change of a neuron's drive by its own earlier counts.

    A history has three methods: `build`, which sets `bins`, `past` and `fit`. The change is added to the drive together
    with an offset, which keeps mean counts as recorded; `correct` fits the offset by simulation.
    """

    bins: int  # bins before the present one that the history depends on, at least 1
    offset: Tensor  # added to the drive of each neuron
    usual: Tensor  # mean count of each neuron, the assumed count of each bin before a trial begins

    @abc.abstractmethod
    def build(self, n_neurons: int, bin_width: float) -> None:
        """Set `bins` and make the buffers for a bin width in seconds; call `super().build` for `offset` and `usual`."""
        self.register_buffer("offset", torch.zeros(n_neurons))
        self.register_buffer("usual", torch.zeros(n_neurons))

    @abc.abstractmethod
    def past(self, counts: Float[Tensor, "batch bins_and_time neuron"]) -> Real:
        """Return the change of the drive of each bin by the counts before it.

        Args:
            counts: Counts that begin `bins` bins before the first bin of the result.
        """

    @abc.abstractmethod
    def fit(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> None:
        """Fit the history, and `counts` again where its statistics depend on the history.

        Args:
            trials: Training trials.
            rates: Their rates (trial, time, neuron), spikes/bin, each inferred with its own count hidden.
            counts: Distribution of the counts, fitted to these rates without a history.
        """

    def present(self, drive: Values, counts: CountDistribution) -> Values:
        """Return the drive of a bin without the change by earlier counts: the drive plus the offset."""
        del counts
        return drive + self.offset.to(drive)

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change the offset by a share of the step to the target's mean counts."""
        half = 0.5 / min(target.bins, drawn.bins)
        step = np.log((target.mean + half) / (drawn.mean + half))
        slope = target.mean / -np.expm1(-target.mean - 1e-9)  # change of the drive per change of the log rate, softplus
        self.offset += torch.from_numpy((share * step * slope.clip(min=1)).clip(-1, 1)).to(self.offset)

    def largest(self, rates: Numbers, counts: CountDistribution) -> Numbers:
        """Return an upper bound of the expected counts of bins, whatever the earlier counts are; infinite by default.

        Bins that cannot hold a spike under this bound are not drawn.
        """
        del counts
        return np.full_like(rates, np.inf)

    def draw(self, candidates: Candidates, counts: CountDistribution, memory: Memory) -> Whole:
        """Draw counts in the order of time.

        Args:
            candidates: Bins that can hold a spike under the bound `largest`.
            counts: Distribution of the counts.
            memory: State after earlier pieces; empty at the beginning of the trials. Updated for the next piece.
        """
        batch, n_bins, n_neurons = candidates.shape
        present = array(
            self.present(torch.from_numpy(_spread(drive_of(candidates.rates, counts.link), candidates)), counts)
        )
        drawn = np.zeros((batch, self.bins + n_bins, n_neurons))
        drawn[:, : self.bins] = memory["history"] if "history" in memory else array(self.usual)
        for time, (first, last) in enumerate(pairwise(candidates.ends())):
            past = array(self.past(torch.from_numpy(drawn[:, time : time + self.bins + 1])))[:, 0]
            here = slice(first, last)
            trial = candidates.trial[here]
            neuron = candidates.neuron[here]
            rates = rates_of(present[trial, time, neuron] + past[trial, neuron], counts.link)
            drawn[trial, self.bins + time, neuron] = counts.quantile(rates, candidates.uniform[here], neuron)
        memory["history"] = drawn[:, n_bins:].copy()
        return drawn[:, self.bins :].astype(np.int64)

    @property
    def lags(self) -> int:
        """Number of lags at which `correct` compares repeated spikes."""
        return 0

    @final
    def start(self, trials: Trials) -> None:
        """Reset the offset, and compute the mean counts that are assumed before a trial begins."""
        self.offset.zero_()
        self.usual.copy_(torch.from_numpy(trials.counts.sum((0, 1)) / trials.n_valid_bins))

    @final
    def effect(self, counts: Real) -> Real:
        """Return the change of the drive of each bin of complete trials by the counts before it; see `past`."""
        before = self.usual.to(counts).expand(len(counts), self.bins, -1)
        return self.past(torch.cat((before, counts), 1))


class Noise(nn.Module, abc.ABC):
    r"""Contract of the `noise` slot: random factors of the rates, shared by neurons,

    :math:`r'_{tn} = r_{tn} \exp(e_{tn} - \mathrm{Var}(e_n) / 2)`, e Gaussian of mean zero. The factors keep mean rates.

    A noise has four methods: `build`, which sets `n_numbers`, `series`, `variance` and `fit`.
    """

    n_numbers: int  # standard normal numbers that one bin of one trial uses

    @abc.abstractmethod
    def build(self, n_neurons: int, bin_width: float) -> None:
        """Set `n_numbers` and make the buffers for a number of neurons and a bin width in seconds."""

    @abc.abstractmethod
    def series(self, white: Float[NDArray[np.float64], "batch time number"], memory: Memory) -> Numbers:
        """Return the noise e of a piece of each trial.

        Args:
            white: Standard normal numbers, `n_numbers` of them per bin.
            memory: State after earlier pieces; empty at the beginning of the trials. Updated for the next piece.
        """

    @abc.abstractmethod
    def variance(self) -> PerNeuron:
        """Return the variance of each neuron's noise e."""

    @abc.abstractmethod
    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, simulate: Callable[[int], TrialCounts]) -> None:
        """Fit the noise to trials and rates.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin; not necessarily those of the same trials.
            mask: Valid bins of the rates.
            simulate: Function that draws counts from the rates with the current noise, zero beyond the mask. Its
                argument is the number of the simulation: equal numbers give equal random numbers.
        """

    @property
    def shared_bins(self) -> int:
        """Number of lags, in bins, of covariances from the noise; calibrations of rates leave these lags out."""
        return 0

    @final
    def factor(self, noise: Values) -> Values:
        """Return the factor of the rates under a noise e."""
        return (noise.clamp(max=LARGEST_NOISE) - self.variance().to(noise) / 2).exp()

    @final
    def factors(self, noise: Numbers) -> Numbers:
        """Return the factor of the rates under a noise e in NumPy, for drawing."""
        factors: Numbers = np.exp(np.minimum(noise, LARGEST_NOISE) - array(self.variance()) / 2)
        return factors


def _spread(values: Entries, candidates: Candidates) -> Numbers:
    """Return the values of candidates in an array of all bins, 0 elsewhere."""
    spread = np.zeros(candidates.shape)
    spread[candidates.trial, candidates.time, candidates.neuron] = values
    return spread


def batches(n_trials: int, entries: int) -> Iterator[slice]:
    """Yield slices of trials whose arrays fit into the cache of a processor.

    Args:
        n_trials: Number of trials.
        entries: Bins x neurons of a trial.
    """
    size = max(1, ENTRIES_AT_ONCE // entries)
    for first in range(0, n_trials, size):
        yield slice(first, min(first + size, n_trials))


def can_fire(largest: AnyNumbers, uniform: AnyNumbers) -> Bool[NDArray[np.bool_], "*axes neuron"]:
    """Return True where the quantile of a uniform number may exceed 0, given the largest possible expected count.

    A count is at least 1 with a probability of at most its mean (Markov's inequality).
    """
    possible: NDArray[np.bool_] = 1 - uniform <= largest * (1 + ROUNDING)
    return possible
