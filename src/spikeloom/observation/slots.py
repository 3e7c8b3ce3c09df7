r"""The contracts of the three slots of an observation model: counts, history and noise.

`ObservationModel` computes drive -> rates -> counts. Each slot answers one question:

=========  ========================  ==============================================================================
slot       contract                  question that it answers
=========  ========================  ==============================================================================
`counts`   `CountDistribution`       How probable is each count of a bin, if r spikes are expected?
`history`  `History`                 What do a neuron's earlier counts add to its drive?
`noise`    `Noise`                   By what factor do the rates of all neurons vary together from bin to bin?
=========  ========================  ==============================================================================

`build` makes the fitted statistics of a slot as buffers, so they are saved with the model. The last axis of every
buffer of a count distribution is the neuron. `docs/develop/extend.md` has a complete example of each slot.
"""

import abc
import copy
from collections.abc import Callable, Iterator
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.observation.links import LARGEST_DRIVE, SMALLEST_RATE, Link
from spikeloom.observation.moments import Moments
from spikeloom.shapes import TrialCounts, TrialMask, TrialRates
from spikeloom.trials import Trials

Memory = dict[str, NDArray[np.float64]]
"""State of the noise at the end of a piece of each trial, from which the next piece continues: name -> array
(trial, ...)."""

Values = Float[Tensor, "*axes neuron"]
"""Drives, rates or counts with any axes, of which the last one is the neuron."""

Real = Float[Tensor, "batch time neuron"]
"""Drives, rates or counts of each bin of trials."""

PerNeuron = Float[Tensor, " neuron"]
"""One number for each neuron."""

Entries = Float[NDArray[np.float64], " entry"]
"""Numbers of single entries; an entry is one bin of one neuron."""

Numbers = Float[NDArray[np.float64], "batch time neuron"]
"""Numbers of each bin of trials, in NumPy."""

ENTRIES_AT_ONCE = 2**18
"""Number of entries (trial x bin x neuron) of a batch of trials; its arrays fit into the cache of a processor."""

LARGEST_NOISE = 2.5
"""Largest noise of a bin. Higher values are lowered to it, so the noise multiplies a rate by at most e^2.5 = 12."""


class CountDistribution(nn.Module, abc.ABC):
    """Contract of the `counts` slot: the distribution of the count of a bin, conditional on the expected count.

    A distribution defines two methods, `log_prob` and `quantile`. A distribution with fitted statistics also defines
    `build` and `fit`, and `correct` if a comparison with simulated counts can improve the statistics.

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

        So if the uniform number is random, the count is a random count of this distribution.

        Args:
            rates: Expected count of each entry, spikes/bin. An entry is one bin of one neuron.
            uniform: Uniform number of each entry.
            neuron: Neuron of each entry, by which fitted statistics are selected.
        """

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffers, before fitting and before loading. The default makes none: most distributions need none.

        Args:
            n_neurons: Number of neurons.
            bin_width: Width of a bin, s.
        """

    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask | None = None) -> None:
        """Fit the statistics to trials and rates. The default does nothing.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin. Without `mask` they belong to the bins of `trials`, and each
                was inferred while its count was hidden.
            mask: `None` if the rates belong to the bins of `trials`. Otherwise the rates belong to other trials, such
                as generated trials, and `mask` holds their valid bins. The statistics are then fitted so that counts
                drawn from these rates resemble the counts of `trials`. A distribution that needs the rate of each
                recorded count keeps its statistics.
        """

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Correct the statistics after a simulation. The default does nothing.

        Args:
            target: Moments of the recorded counts.
            drawn: Moments of counts simulated with the present statistics.
            share: Share of the full correction that is applied, between 0 and 1.
        """

    @final
    def rates(self, drive: Values) -> Values:
        """Return the expected counts of a drive, spikes/bin."""
        rates = functional.softplus(drive) if self.link == "softplus" else drive.clamp(max=LARGEST_DRIVE).exp()
        return rates.clamp(min=SMALLEST_RATE)

    @final
    def drive(self, rates: Values) -> Values:
        r"""Return the drive of these rates, :math:`\log(e^r - 1)` for softplus or :math:`\log r` for exp."""
        rates = rates.clamp(min=SMALLEST_RATE)
        if self.link == "exp":
            return rates.log()
        return rates + torch.log(-torch.expm1(-rates))  # log(e^r - 1) = r + log(1 - e^-r) cannot overflow

    @final
    def of(self, neurons: Int[Tensor, " chosen"]) -> "CountDistribution":
        """Return the distribution for a part of the neurons, which are given by their indices."""
        if not any(True for _ in self.buffers(recurse=False)):
            return self  # without statistics, all neurons have the same distribution
        part = copy.deepcopy(self)
        for name, value in self.named_buffers(recurse=False):
            setattr(part, name, value[..., neurons].clone())
        return part


class History(nn.Module, abc.ABC):
    """Contract of the `history` slot: the change of a neuron's drive by its own earlier counts.

    A history defines three methods: `build`, `past` and `fit`. The change is added to the drive together with an
    offset. `correct` chooses the offset by simulation, so that mean counts are as recorded.
    """

    bins: int  # number of earlier bins that the history depends on, at least 1; set by `build`
    offset: Tensor  # added to the drive of each neuron
    usual: Tensor  # mean count of each neuron, the assumed count of each bin before a trial begins
    ceiling: int | None = None  # largest count, spikes/bin; higher counts are lowered to the ceiling

    @abc.abstractmethod
    def build(self, n_neurons: int, bin_width: float) -> None:
        """Set `bins` and make the buffers; call `super().build`, which makes `offset` and `usual`.

        Args:
            n_neurons: Number of neurons.
            bin_width: Width of a bin, s.
        """
        self.register_buffer("offset", torch.zeros(n_neurons))
        self.register_buffer("usual", torch.zeros(n_neurons))

    @abc.abstractmethod
    def past(self, counts: Float[Tensor, "batch bins_and_time neuron"]) -> Real:
        """Return the change of the drive of each bin by the counts before it.

        Args:
            counts: Counts. The first `bins` bins are the past of the first bin of the result. The result has the other
                bins.
        """

    @abc.abstractmethod
    def fit(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> None:
        """Fit the history, and fit `counts` again if its statistics depend on the history.

        Args:
            trials: Training trials.
            rates: Rates of these trials (trial, time, neuron), spikes/bin, each inferred while its count was hidden.
            counts: Distribution of the counts, fitted to these rates without a history.
        """

    def present(self, drive: Values, counts: CountDistribution) -> Values:
        """Return the drive before earlier counts change it. By default it is the drive plus the offset.

        Args:
            drive: Drive from the rates.
            counts: Distribution of the counts, for histories that depend on its link.
        """
        del counts
        return drive + self.offset.to(drive)

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change the offset so that the mean of simulated counts moves towards the recorded mean.

        Args:
            target: Moments of the recorded counts.
            drawn: Moments of counts simulated with the present offset.
            share: Share of the change that would make the means equal, between 0 and 1.
        """
        half = 0.5 / min(target.bins, drawn.bins)  # half a spike is added to both means, so that neither is 0
        log_ratio = np.log((target.mean + half) / (drawn.mean + half))
        # change of the drive per change of the log rate, with a softplus link; 1e-9 avoids 0 / 0 for a silent neuron
        slope = target.mean / -np.expm1(-target.mean - 1e-9)
        change = (share * log_ratio * slope.clip(min=1)).clip(-1, 1)  # at most 1 at a time
        self.offset += torch.from_numpy(change).to(self.offset)

    def begin(self, n_trials: int) -> "Past":
        """Return the past of trials before their first bin is drawn. A history with a faster past overrides this."""
        return RecordedPast(self, n_trials)

    @property
    def lags(self) -> int:
        """Number of lags at which `correct` compares how often a spike follows another; 0 by default."""
        return 0

    @final
    def start(self, trials: Trials) -> None:
        """Begin a fit: set the offset to 0, and compute the mean counts that are assumed before a trial begins."""
        self.offset.zero_()
        self.usual.copy_(torch.from_numpy(trials.counts.sum((0, 1)) / trials.n_valid_bins))

    @final
    def effect(self, counts: Real) -> Real:
        """Return the change of the drive of each bin of complete trials by the counts before it; see `past`."""
        usual_counts = self.usual.to(counts).expand(len(counts), self.bins, -1)  # assumed before the first bin
        return self.past(torch.cat((usual_counts, counts), 1))


class Past(abc.ABC):
    """The earlier counts of trials that are being drawn, bin after bin."""

    @abc.abstractmethod
    def change(self) -> Float[np.ndarray, "trial neuron"]:
        """Return the change of the drive of the next bin by the earlier counts."""

    @abc.abstractmethod
    def add(self, entry: Int[np.ndarray, " entry"], number: Int[np.ndarray, " entry"]) -> None:
        """Add the counts of the next bin to the past, and go on to the bin after it.

        Args:
            entry: Entries of the flattened array (trial, neuron) that hold spikes.
            number: Counts of these entries. All other counts are 0.
        """

    @abc.abstractmethod
    def state(self) -> Float[np.ndarray, "trial _ _"]:
        """Return all numbers on which the changes of the next bins depend."""

    @abc.abstractmethod
    def restore(self, state: Float[np.ndarray, "trial _ _"]) -> None:
        """Continue from a state."""


@final
class RecordedPast(Past):
    """The counts of the last bins. `History.past` computes each change from them; this works for every history.

    Args:
        history: History that the counts follow.
        n_trials: Number of trials.
    """

    def __init__(self, history: History, n_trials: int) -> None:
        self.history = history
        usual = history.usual.detach().cpu().float().numpy()
        self.counts = np.broadcast_to(usual, (n_trials, history.bins, len(usual))).copy()

    def change(self) -> Float[np.ndarray, "trial neuron"]:
        """Return the change of the drive of the next bin by the counts."""
        # `past` needs the bin whose change it returns; the count of this bin does not matter
        with_next = np.concatenate((self.counts, np.zeros_like(self.counts[:, :1])), 1)
        change: NDArray[np.float32] = self.history.past(torch.from_numpy(with_next))[:, 0].numpy()
        return change

    def add(self, entry: Int[np.ndarray, " entry"], number: Int[np.ndarray, " entry"]) -> None:
        """Append the counts of the next bin, and remove the first bin."""
        counts = np.zeros_like(self.counts[:, 0])
        counts.reshape(-1)[entry] = number
        self.counts = np.concatenate((self.counts[:, 1:], counts[:, None]), 1)

    def state(self) -> Float[np.ndarray, "trial _ _"]:
        """Return the counts (trial, bin, neuron)."""
        return self.counts.copy()

    def restore(self, state: Float[np.ndarray, "trial _ _"]) -> None:
        """Continue from counts that `state` has returned."""
        if state.shape != self.counts.shape:
            raise ValueError(f"the past has shape {state.shape}, not {self.counts.shape}")
        self.counts = state.astype(np.float32)


class Noise(nn.Module, abc.ABC):
    r"""Contract of the `noise` slot: random factors of the rates that are correlated between neurons.

    The rate of neuron n in bin t becomes :math:`r'_{tn} = r_{tn} \exp(e_{tn} - \mathrm{Var}(e_n) / 2)`, where the noise
    e is Gaussian with mean zero. The factors have mean 1, so they do not change mean rates.

    A noise defines four methods: `build`, `series`, `variance` and `fit`.
    """

    n_numbers: int  # number of standard normal numbers that one bin of one trial uses; set by `build`

    @abc.abstractmethod
    def build(self, n_neurons: int, bin_width: float) -> None:
        """Set `n_numbers` and make the buffers.

        Args:
            n_neurons: Number of neurons.
            bin_width: Width of a bin, s.
        """

    @abc.abstractmethod
    def series(self, white: Float[NDArray[np.float64], "batch time number"], memory: Memory) -> Numbers:
        """Return the noise e of a piece of each trial.

        Args:
            white: Standard normal numbers, `n_numbers` of them per bin.
            memory: State after earlier pieces; empty at the beginning of the trials. Updated for the next piece.

        Returns:
            Noise (trial, time, neuron).
        """

    @abc.abstractmethod
    def variance(self) -> PerNeuron:
        """Return the variance of each neuron's noise e."""

    @abc.abstractmethod
    def fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, simulate: Callable[[int], TrialCounts]) -> None:
        """Fit the noise to trials and rates.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin. They may belong to other trials.
            mask: Valid bins of the rates.
            simulate: Function that draws counts from the rates with the current noise, zero outside the mask. Its
                argument is the number of the simulation. Equal arguments give equal random numbers.
        """

    @property
    def shared_bins(self) -> int:
        """Number of lags (0, 1, ... bins) at which the noise adds covariance; calibrations of rates skip these lags."""
        return 0

    @final
    def factor(self, noise: Values) -> Values:
        """Return the factors of the rates, exp(e - variance / 2) for the noise e; if e is Gaussian, their mean is 1."""
        return (noise.clamp(max=LARGEST_NOISE) - self.variance().to(noise) / 2).exp()


def batches(number: int, entries: int) -> Iterator[slice]:
    """Yield slices of consecutive trials, or of bins, whose arrays fit into the cache of a processor.

    Args:
        number: Number of trials, or of bins.
        entries: Number of entries of one trial or of one bin, such as bins x neurons of a trial.
    """
    size = max(1, ENTRIES_AT_ONCE // entries)
    for first in range(0, number, size):
        yield slice(first, min(first + size, number))
