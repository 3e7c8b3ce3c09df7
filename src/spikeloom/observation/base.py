"""Observation models: drive -> rates -> counts.

A drive is a real number per bin and neuron, before the link; a rate is the expected count, spikes/bin.
What a model adds is one small class that wraps another: `SharedNoise(SpikeHistory(Refractory(Poisson())))`. What a
class does not say is handed to the model inside it.

**Sampling** turns uniform random numbers into counts. Every bin of a trial uses the same number of them, in the order
of time, from the trial's own stream. So a trial is the same alone and in a batch, its first bins do not depend on how
many follow, and a trial may be drawn in consecutive pieces, which are those of the whole: what a piece leaves behind
(recent counts, recent noise) is kept in `memory`.

**The past** of a trial enters as a sum: given the counts before, bins are independent under the drive
`given(drive, past(counts))`.
"""

import abc
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Array, TrialCounts, TrialMask, TrialRates, mask_of
from spikeloom.trials import Trials

Memory = dict[str, Tensor]
"""What the end of a piece leaves to the next one: name -> tensor (trial, ...)."""

Real = Float[Tensor, "batch time neuron"]
Whole = Int[Tensor, "batch time neuron"]


SHARES = (1.0, 1.0, 0.5, 0.33, 0.25)
"""How far each correction goes; the falling ones average over the noise of the simulations."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What simulations are to share with the trials, per neuron.

    Args:
        mean: Mean count, spikes/bin.
        several: Share of bins with two spikes or more.
        repeats: Share of bins that hold a spike, and so does the one so many bins later (lag, neuron), lag 1 first.
        bins: Bins that were counted.
    """

    mean: Float[np.ndarray, " neuron"]
    several: Float[np.ndarray, " neuron"]
    repeats: Float[np.ndarray, "lag neuron"]
    bins: int

    @classmethod
    def of(cls, counts: TrialCounts, mask: TrialMask, lags: int) -> "Moments":
        """Moments of the valid bins, at so many lags."""
        bins, kept = int(mask.sum()), np.where(mask[..., None], counts, 0).astype(np.float32)
        fired = np.minimum(kept, 1)
        repeats = np.zeros((lags, counts.shape[2]))
        for lag in range(1, min(lags, counts.shape[1] - 1) + 1):
            pairs = max(1, int(mask[:, lag:].sum()))
            repeats[lag - 1] = np.einsum("btn,btn->n", fired[:, lag:], fired[:, :-lag]) / pairs
        several = (kept >= 2).sum((0, 1)) / bins
        return cls(kept.sum((0, 1), dtype=np.float64) / bins, several, repeats, bins)


class ObservationModel(nn.Module, abc.ABC):
    """Distribution of counts given the drive, independent of where the drive comes from.

    Args:
        inner: The model this one wraps; None for one that stands alone.
    """

    def __init__(self, inner: "ObservationModel | None" = None) -> None:
        super().__init__()
        self.inner = inner

    # --- what a model has to say ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin; history and noise are matched to keep them on average."""

    @abc.abstractmethod
    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are: the inverse of the link."""

    @abc.abstractmethod
    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Log-probability of each count given the trial's counts before it, in nats; not summed, not masked."""

    @abc.abstractmethod
    def counts(self, drive: Real, uniform: Float[Tensor, "batch time number"], memory: Memory) -> Whole:
        """Counts as a function of uniform random numbers, `numbers` of them per bin.

        Args:
            drive: Drive of a piece of each trial, double precision on the CPU.
            uniform: Numbers uniform in [0, 1).
            memory: What earlier pieces of these trials left; empty at their beginning. Updated for the next piece.
        """

    # --- what it may say, else the model inside is asked -----------------------------------------------------------

    def build(self, neurons: int, bin_width: float) -> None:
        """Make the buffers for so many neurons and bins of so many seconds; before fitting and before loading."""
        if self.inner is not None:
            self.inner.build(neurons, bin_width)

    def measure(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Fit what there is to fit; nothing, for a model without statistics of its own. Called again, it starts anew.

        Args:
            trials: Training trials.
            rates: Their rates (trial, time, neuron), spikes/bin, each inferred without looking at its own count.
            seed: Of simulations.
        """
        if self.inner is not None:
            self.inner.measure(trials, rates, seed=seed)

    def adapt(self, trials: Trials, rates: TrialRates, *, lengths: Array, seed: int) -> None:
        """Fit anew, to other rates, what needs no pairing of rates and counts; after `measure`.

        Generated rates are distributed a little differently from inferred ones, and counts drawn from them shall have
        the moments of the trials.

        Args:
            trials: Training trials.
            rates: Rates (trial, time, neuron), spikes/bin, such as those of generated trials.
            lengths: Valid bins of each row of `rates`.
            seed: Of simulations.
        """
        self.match(trials, rates, lengths=lengths, seed=seed)

    def correct(self, wanted: "Moments", found: "Moments", share: float) -> None:
        """Change what is fitted, by a share of the way, so that simulations find what is wanted."""
        if self.inner is not None:
            self.inner.correct(wanted, found, share)

    def numbers(self, neurons: int) -> int:
        """Uniform random numbers that one bin of one trial uses."""
        return neurons if self.inner is None else self.inner.numbers(neurons)

    def past(self, counts: Real) -> Real:
        """What the counts before each bin contribute to it; zeros for a model without memory."""
        return torch.zeros_like(counts) if self.inner is None else self.inner.past(counts)

    def given(self, drive: Float[Tensor, "*axes neuron"], past: Tensor) -> Float[Tensor, "*axes neuron"]:
        """Drive of a bin once its past is known."""
        return drive + past if self.inner is None else self.inner.given(drive, past)

    @property
    def reach(self) -> int:
        """Lags at which repeated spikes are compared."""
        return 0 if self.inner is None else self.inner.reach

    @property
    def shared_bins(self) -> int:
        """Lags, in bins, at which the model makes neurons vary together beyond their rates; 0: not at all."""
        return 0 if self.inner is None else self.inner.shared_bins

    @property
    def bins(self) -> "BinModel":
        """The model of single bins at the core, under what past and noise have made of the drive."""
        if self.inner is None:
            raise NotImplementedError(f"{type(self).__name__} wraps nothing and is no model of single bins")
        return self.inner.bins

    # --- for all ---------------------------------------------------------------------------------------------------

    @property
    def plain(self) -> "ObservationModel":
        """The innermost model, which has nothing to fit: what an autoencoder is trained with."""
        return self if self.inner is None else self.inner.plain

    @final
    def sample(
        self, drive: Real, streams: Streams, memory: Memory | None = None
    ) -> Integer[np.ndarray, "batch time neuron"]:
        """Counts drawn under the drive, one stream per trial, in the order of time.

        Args:
            drive: Drive of whole trials, or of a piece of each.
            streams: One per trial; for pieces, the same object at every call.
            memory: None for whole trials. For pieces, a dictionary: empty before the first, then as the last call left
                it. Pieces drawn so are, number for number, those of the whole trial.
        """
        time, numbers = drive.shape[1], self.numbers(drive.shape[2])
        uniform = np.stack([rng.random((time, numbers)) for rng in streams.generators])
        with torch.no_grad():
            kept = {} if memory is None else memory
            return self.counts(drive.detach().double().cpu(), torch.from_numpy(uniform), kept).numpy()

    @final
    def match(self, trials: Trials, rates: TrialRates, *, lengths: Array, seed: int) -> None:
        """Simulate and correct until counts drawn from the rates have the trials' moments; see `Moments`."""
        statistics = next(self.buffers(), None)
        if statistics is None:
            return  # nothing to correct
        wanted, mask = Moments.of(trials.counts, trials.mask, self.reach), mask_of(lengths, rates.shape[1])
        drive = self.drive(torch.from_numpy(rates).to(statistics.device))
        for number, share in enumerate(SHARES):
            fake = self.sample(drive, Streams(seed, Purpose.CALIBRATE, number, range(len(rates))))
            self.correct(wanted, Moments.of(fake, mask, self.reach), share)


class BinModel(ObservationModel):
    """Counts of one bin given its drive; bins are independent, so a quantile says everything about sampling."""

    @property
    def bins(self) -> "BinModel":
        """This model."""
        return self

    @abc.abstractmethod
    def quantile(
        self, drive: Float[Tensor, "*axes neuron"], uniform: Float[Tensor, "*axes neuron"]
    ) -> Int[Tensor, "*axes neuron"]:
        """The smallest count whose cumulative probability exceeds the uniform number."""

    @abc.abstractmethod
    def of(self, neuron: int) -> "BinModel":
        """The same model of one neuron alone."""

    @final
    def counts(
        self,
        drive: Real,
        uniform: Float[Tensor, "batch time number"],
        memory: Memory,  # noqa: ARG002
    ) -> Whole:
        """See `ObservationModel.counts`; nothing is left for the next piece."""
        return self.quantile(drive, uniform)
