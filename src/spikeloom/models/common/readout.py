r"""The readout: the map from the latents of a model to spikes.

::

    latents, standardised                                    z
       |    scale       times the sd, plus the mean of each latent over the training trials
       |    decoder     one vector per bin -> drive of every neuron
       |    link        drive -> rates, spikes/bin
       |    calibration of the source: r <- m r^g
       v
    drive(latents, source) --- observation model: history, noise, counts ---> counts

Latents come from several sources, whose rates vary differently. Each source has a separate calibration and observation
model (`SourceStatistics`):

===================  ===================================================================================================
inferred             by the encoder from recorded trials, without hidden counts
generated            from the diffusion, unconditionally
conditional          from the diffusion under conditions, with the strength `guidance` of the model
student              from the student of the diffusion (`diffusion.student`), if there is one, unconditionally
conditional student  from the student under conditions, with the strength `guidance` of the model
===================  ===================================================================================================

After the networks are trained, `fit_inferred` calibrates inferred rates and fits the observation model to the training
trials. For each other source, `fit_generated` calibrates the rates of this source and adapts a copy of the fitted
observation model to them. So the result for one source does not depend on the other sources or their order.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.models.common.results import Generated, batch_size, in_batches, in_pieces
from spikeloom.nn.encoder import ArrayDecoder, Decoder
from spikeloom.observation.calibration import Calibration
from spikeloom.observation.links import SMALLEST_RATE, array, rates_of
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.shapes import TrialLatents, TrialMask, TrialRates
from spikeloom.training.progress import show_parts
from spikeloom.trials import Trials

Source = Literal["inferred", "generated", "conditional", "student", "conditional student"]
"""Source of latents; see the module."""

SOURCES: tuple[Source, ...] = ("inferred", "generated", "conditional")
"""Sources of every model."""

GeneratedSource = Literal["generated", "conditional", "student", "conditional student"]
"""Sources whose latents come from the model of the latents."""

STUDENT_SOURCES: dict[GeneratedSource, GeneratedSource] = {
    "generated": "student",
    "conditional": "conditional student",
}
"""Source of the student for each source of its teacher."""

Latents = Float[Tensor, "batch time latent"]
"""Latents of trials, standardised or as the encoder returns them."""

NeuronSeries = Float[Tensor, "batch time neuron"]
"""One number for each neuron in each bin: counts, rates, drive or log-probabilities."""

MOST_ENTRIES = 2**23
"""Largest number of bins x neurons to which the observation model is fitted, chosen for the memory of a laptop."""

SMALLEST_SD = 1e-6
"""Smallest sd of a latent, used for latents that do not vary."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """Latents of trials from the encoder, not standardised, and their uncalibrated rates, spikes/bin."""

    latents: TrialLatents
    rates: TrialRates


@final
class SourceStatistics(nn.Module):
    """Calibration and observation model of one source.

    Args:
        observation: Observation model, from rates to counts. A copy is kept.
    """

    calibration: Calibration

    def __init__(self, observation: ObservationModel) -> None:
        super().__init__()
        self.observation = copy.deepcopy(observation)

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffers, before fitting and loading; `bin_width` in seconds."""
        self.calibration = Calibration(n_neurons)
        self.observation.build(n_neurons, bin_width)


@final
class Readout(nn.Module):
    """Map from latents to rates and counts; see the module for its parts.

    Args:
        observation: Observation model, from rates to counts. The readout keeps a copy for each source.
        calibrated: Whether rates are calibrated and the observation model is adapted to generated rates; the paper does
            neither.
        student: Whether latents also come from a student.
    """

    decoder: Decoder
    mean: Tensor  # mean of each latent over training trials and bins
    sd: Tensor

    def __init__(self, observation: ObservationModel, *, calibrated: bool = True, student: bool = False) -> None:
        super().__init__()
        self.inferred = SourceStatistics(observation)
        self.generated = SourceStatistics(observation)
        self.conditional = SourceStatistics(observation)
        self.sources = SOURCES
        if student:
            self.student = SourceStatistics(observation)
            self.conditional_student = SourceStatistics(observation)
            self.sources += tuple(STUDENT_SOURCES.values())
        self.calibrated = calibrated

    def build(self, network: Decoder, *, n_latents: int, n_neurons: int, bin_width: float) -> None:
        """Take the decoder network and make the buffers, before fitting and loading; `bin_width` in seconds."""
        self.decoder = network
        self.register_buffer("mean", torch.zeros(n_latents))
        self.register_buffer("sd", torch.ones(n_latents))
        for source in self.sources:
            self.of(source).build(n_neurons, bin_width)

    def of(self, source: Source) -> SourceStatistics:
        """Return the calibration and the observation model of a source."""
        statistics = getattr(self, source.replace(" ", "_"))
        assert isinstance(statistics, SourceStatistics)
        return statistics

    @property
    def observation(self) -> ObservationModel:
        """The observation model that was fitted to the training trials. Inferred rates use it."""
        return self.inferred.observation

    # --- from latents to spikes ------------------------------------------------------------------------------------

    def standardised(self, latents: Latents) -> Latents:
        """Return standardised latents: latents of the encoder minus their mean, divided by their sd."""
        return (latents - self.mean) / self.sd

    def drive(self, latents: Latents, source: Source) -> NeuronSeries:
        """Return the drive of standardised latents, with the calibration of this source."""
        statistics = self.of(source)
        rates = self._expected(latents * self.sd + self.mean)
        return statistics.observation.drive(statistics.calibration(rates))

    def rates(self, latents: Latents, source: Source) -> NeuronSeries:
        """Return expected counts of standardised latents, spikes/bin, with the calibration of this source."""
        return self.observation.rates(self.drive(latents, source))

    def draw(self, latents: Latents, source: Source, streams: Streams) -> Generated:
        """Draw the counts of complete trials with these standardised latents, with one random stream per trial."""
        return self.begin(source, streams).advance(latents.cpu().numpy())

    def begin(self, source: Source, streams: Streams) -> "ReadoutCourse":
        """Begin trials whose counts are drawn in consecutive pieces."""
        return ReadoutCourse(self, source, streams)

    def uncalibrated(self, latents: Latents) -> NeuronSeries:
        """Return expected counts, spikes/bin, of latents of the encoder (not standardised), without calibration."""
        # rates -> drive -> rates, as in `rates`, but without the calibration in between
        return self.observation.rates(self.observation.drive(self._expected(latents)))

    def encoded(self, trials: Trials, to_latents: Callable[[Tensor, Tensor], Latents]) -> Encoded:
        """Encode trials, and compute their rates without a calibration.

        Args:
            trials: Recorded trials.
            to_latents: Function from counts and mask of a batch to its latents.
        """

        def compute(rows: np.ndarray) -> Encoded:
            """Encode one batch of trials."""
            batch = trials.select(rows)
            n_bins = int(batch.lengths.max())
            counts = torch.from_numpy(batch.counts[:, :n_bins].astype(np.float32))
            latents = to_latents(counts, torch.from_numpy(batch.mask[:, :n_bins]))
            return Encoded(latents.cpu().numpy(), self.uncalibrated(latents).cpu().numpy())

        size = batch_size(trials.n_bins)
        return in_batches(compute, len(trials), trials.n_bins, batch=size, description="encode", progress=show_parts())

    def training_log_prob(self, counts: NeuronSeries, latents: Latents) -> NeuronSeries:
        """Return the Poisson log-probability of each count in nats, at the uncalibrated rates of latents."""
        return self.observation.plain.log_prob(counts, self._expected(latents))

    def unseen(self, latents: Latents) -> NeuronSeries:
        """Return uncalibrated rates from latents of the encoder, spikes/bin, for `hidden_in_turn`."""
        return self._expected(latents)

    def _expected(self, latents: Latents) -> NeuronSeries:
        """Return expected counts of latents of the encoder, spikes/bin, without calibration."""
        return self.observation.rates(self.decoder(latents))

    # --- fitting ---------------------------------------------------------------------------------------------------

    def start(self, trials: Trials) -> None:
        """Set the bias of the decoder so that training begins at the mean counts of the training trials."""
        mean = torch.from_numpy(trials.counts.sum((0, 1)).astype(np.float32)) / trials.n_valid_bins
        self.decoder.start_at(self.observation.drive(mean))

    def fit_scale(self, latents: TrialLatents, mask: TrialMask) -> None:
        """Set mean and sd of each latent of the encoder over the valid bins of the training trials."""
        valid = latents[mask].astype(np.float64)
        self.mean.copy_(torch.from_numpy(valid.mean(0)))
        self.sd.copy_(torch.from_numpy(valid.std(0).clip(min=SMALLEST_SD)))

    def calibrate_inferred(self, trials: Trials, rates: TrialRates) -> None:
        """Calibrate inferred rates, if rates are calibrated.

        Args:
            trials: Training trials.
            rates: Uncalibrated rates of these trials (trial, time, neuron), spikes/bin.
        """
        if self.calibrated:
            self._calibrate(self.inferred.calibration, trials, rates, trials.lengths)

    def fit_inferred(self, trials: Trials, rates: TrialRates, unseen: Callable[[Trials], TrialRates]) -> None:
        """Calibrate inferred rates, and fit the observation model; see `fit_observation`.

        Args:
            trials: Training trials.
            rates: Uncalibrated rates of these trials (trial, time, neuron), spikes/bin.
            unseen: Function from trials to their unseen rates; see `Model.unseen_rates`.
        """
        self.calibrate_inferred(trials, rates)
        self.fit_observation(trials, unseen)

    def fit_observation(self, trials: Trials, unseen: Callable[[Trials], TrialRates]) -> None:
        """Fit the observation model to the counts of training trials and their unseen rates.

        Rates are unseen if each was inferred while its count was hidden. Other inferred rates follow the counts, so the
        counts vary less around them than around the true rates.

        Args:
            trials: Training trials.
            unseen: Function from trials to their unseen rates; see `Model.unseen_rates`.
        """
        if not list(self.observation.buffers()):
            return  # the observation model has no statistics to fit
        largest_number = max(2, MOST_ENTRIES // (trials.n_bins * trials.n_neurons))
        if len(trials) > largest_number:
            # the seed is fixed, because the fit must depend on the trials only; 3 and 1 distinguish two uses of it
            rows = generator(0, Purpose.CALIBRATE, 3).permutation(len(trials))[:largest_number]
            trials = trials.select(np.sort(rows))
        calibrated = self._calibrate(Calibration(trials.n_neurons), trials, unseen(trials), trials.lengths)
        self.observation.fit(trials, calibrated, seed=int(generator(0, Purpose.CALIBRATE, 1).integers(2**31)))
        for source in self.sources:
            if source != "inferred":
                self.of(source).observation.load_state_dict(self.observation.state_dict())

    def fit_generated(self, trials: Trials, samples: Mapping[GeneratedSource, Trials], *, seed: int) -> None:
        """Calibrate generated rates, and adapt the fitted observation model to the samples of each source.

        Args:
            trials: Training trials.
            samples: Generated trials of each source, with their latents.
            seed: Random seed of the simulations.
        """
        for source, fake in samples.items():
            statistics = self.of(source)
            calibrated = self._calibrate(statistics.calibration, trials, self._uncalibrated_of(fake), fake.lengths)
            statistics.observation.load_state_dict(self.observation.state_dict())
            statistics.observation.adapt(trials, calibrated, lengths=fake.lengths, seed=seed)

    def _calibrate(
        self, calibration: Calibration, trials: Trials, rates: TrialRates, lengths: np.ndarray
    ) -> TrialRates:
        """Fit a calibration of these rates to the counts of training trials, and return the calibrated rates.

        Args:
            calibration: Calibration to fit.
            trials: Training trials.
            rates: Rates of the training trials or of generated trials (trial, time, neuron), spikes/bin.
            lengths: Valid bins of the trials to which the rates belong.
        """
        # At lags below `shared_bins` bins, the noise of the observation model adds to the covariance of the counts. So
        # the calibration is fitted to covariances at larger lags only.
        calibration.fit(trials, rates, lengths=lengths, beyond=self.observation.shared_bins)
        return calibration(torch.from_numpy(rates)).numpy()

    @torch.no_grad()
    def _uncalibrated_of(self, trials: Trials) -> TrialRates:
        """Compute the uncalibrated rates of generated trials from their latents, batch by batch."""
        latents = torch.from_numpy(np.array(trials.latents)) * self.sd.cpu() + self.mean.cpu()
        rates = np.zeros(trials.counts.shape, np.float32)
        size = batch_size(trials.n_bins)
        for first in range(0, len(trials), size):
            rows = slice(first, first + size)
            longest = int(trials.lengths[rows].max())
            rates[rows, :longest] = self.uncalibrated(latents[rows, :longest].to(self.mean.device)).cpu().numpy()
        return rates


@final
class ReadoutCourse:
    """Trials whose counts are drawn from latents in consecutive pieces of a few bins; computed in NumPy.

    Args:
        readout: Readout, whose numbers are copied.
        source: Source of the latents.
        streams: Random streams of the counts, one per trial.

    Attributes:
        counts: Observation model in the middle of these trials: it stores their past, and draws their next counts.
    """

    def __init__(self, readout: Readout, source: Source, streams: Streams) -> None:
        statistics = readout.of(source)
        self.mean = array(readout.mean)
        self.sd = array(readout.sd)
        self.decoder = ArrayDecoder(readout.decoder)
        self.link = statistics.observation.counts.link
        self.gain = np.float32(statistics.calibration.gain)  # g in the module
        self.match = array(statistics.calibration.match).astype(np.float32)  # m in the module
        self.counts = statistics.observation.begin(streams)

    def advance(self, latents: TrialLatents) -> Generated:
        """Draw the next bins of all trials from their standardised latents."""
        n_trials, n_bins, _ = latents.shape
        return in_pieces(lambda bins: self._drawn(latents[:, bins]), n_bins, entries=n_trials * len(self.match))

    def _drawn(self, latents: TrialLatents) -> Generated:
        """Compute the calibrated rates of the next bins, a few at a time, and draw their counts."""
        drive = self.decoder(latents * self.sd + self.mean)
        rates = np.maximum(rates_of(drive, self.link) ** self.gain * self.match, SMALLEST_RATE)
        return Generated(self.counts.advance(rates), rates, latents.astype(np.float32))
