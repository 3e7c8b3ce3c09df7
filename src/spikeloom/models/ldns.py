r"""LDNS: latent diffusion for neural spiking data (Kapoor, Schulz, Vetter, Pei, Gao, Macke; NeurIPS 2024).

Three stages, nothing joint:

1. an autoencoder, counts s -> latents z (one vector per bin) -> rates r, trained with coordinated dropout: it sees
   s k / (1 - p), k ~ Bernoulli(1 - p), and is judged on the hidden entries,
   :math:`\frac{1}{M} \sum (1 - k)\,\mathrm{nll}(s \mid r) + \frac{\beta_1}{M} \sum z^2
   + \frac{\beta_2}{M} \sum_{j=1}^{5} \frac{1}{1+j} \sum_t \|z_t - z_{t+j}\|^2`, M valid entries of the batch;
2. a diffusion model of the standardised latents;
3. an observation model on the rates (`observation`), fitted between the two, where the encoder hides each count from
   its own rate, and adapted to generated rates at the end.

Sampling: noise -> latents of any length -> rates -> counts.

Trials longer than the training trials are generated and encoded in overlapping windows (`nn.window`).

Where we differ from the release: normalisation per bin, masks before every temporal operator, statistics inside the
model, optionally some loss on entries that were not hidden, and a calibration of the rates, measured for inferred ones,
for generated ones, and for those generated under conditions (`observation.calibration`).
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, final

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import Denoiser, NetworkDenoiser, denoising_loss
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DEFAULT, Sampler
from spikeloom.diffusion.schedule import LinearBeta, NoiseSchedule, Prediction
from spikeloom.diffusion.stream import Stream
from spikeloom.diffusion.windowed import Windowed
from spikeloom.errors import SettingError
from spikeloom.losses import coordinated_dropout, energy, smoothness
from spikeloom.models.common.base import Capabilities, Model, as_tensors
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.likelihood import hidden_in_turn
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.models.common.streaming import StreamRequest
from spikeloom.nn.condition import Condition
from spikeloom.nn.encoder import Decoder, Encoder
from spikeloom.nn.stack import Backbone
from spikeloom.nn.window import in_windows
from spikeloom.observation.calibration import Calibration
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.slots import Memory
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.settings import STRICT
from spikeloom.training.plan import Plan
from spikeloom.training.train import LossTerms, Stage
from spikeloom.trials import Trials

CALIBRATION_TRIALS = 400
"""Most trials that are generated to measure the calibration of generated rates."""

OBSERVATION_ENTRIES = 2**23
"""Most bins x neurons that the observation model is fitted to: what time and memory allow on a laptop."""


@dataclass(frozen=True, config=STRICT)
class AutoencoderSettings:
    """Networks and losses of the first stage.

    Args:
        width: Channels of encoder and decoder; a multiple of the latents.
        blocks: Residual blocks of the encoder.
        bidirectional: Whether latents may depend on later bins; False makes the encoder causal.
        mixed: Whether latents interact in the decoder; False is the additive decoder of the paper.
        dropout: Probability p that coordinated dropout hides an entry.
        kept: Weight of the loss on entries that were not hidden; 0 in the paper.
        energy: Weight beta_1 of the squared latents.
        smoothness: Weight beta_2 of the change of the latents within five bins.
        calibrate: Whether inferred and generated rates are calibrated; False is the paper.
    """

    width: Annotated[int, Field(ge=1)] = 64
    blocks: Annotated[int, Field(ge=0)] = 4
    bidirectional: bool = True
    mixed: bool = False
    dropout: Annotated[float, Field(gt=0, lt=1)] = 0.3
    kept: Annotated[float, Field(ge=0)] = 0.0
    energy: Annotated[float, Field(ge=0)] = 0.001
    smoothness: Annotated[float, Field(ge=0)] = 0.02
    calibrate: bool = True


@dataclass(frozen=True, config=STRICT)
class DenoiserSettings:
    """Network and loss of the second stage.

    Args:
        width: Channels.
        blocks: Residual blocks.
        bidirectional: Whether the state-space layers read both directions.
        prediction: What the network predicts.
        huber: Width of the smooth L1 loss, in units of the target's sd; None for the squared error.
        clip: Standardised latents are clipped to this many sd before the diffusion learns them; None: not.
        drop: Share of trials whose condition is withheld in training, so that one model also samples unconditionally
            and with guidance.
    """

    width: Annotated[int, Field(ge=1)] = 64
    blocks: Annotated[int, Field(ge=1)] = 4
    bidirectional: bool = True
    prediction: Prediction = "velocity"
    huber: Annotated[float | None, Field(gt=0)] = None
    clip: Annotated[float | None, Field(gt=0)] = None
    drop: Annotated[float, Field(gt=0, lt=1)] = 0.15


@final
class LDNS(Model):
    """Latent diffusion of neural spiking; see the module for the method.

    Args:
        neurons: Neurons of the recording, the last axis of the counts.
        latents: Latents per bin.
        autoencoder: Networks and losses of the first stage.
        denoiser: Network and loss of the second stage.
        schedule: Signal and noise of each diffusion level.
        sampler: How generation walks the levels.
        observation: Rates to counts: distribution of a bin's count, spike history, shared noise.
            The model keeps a copy.
        condition: Names of the conditions and behaviour series that the diffusion is told.
        guidance: How strongly samples follow them unless asked otherwise; see `diffusion.guidance`.
        autoencoder_plan: Optimisation of the first stage.
        diffusion_plan: Optimisation of the second stage.

    Raises:
        SettingError: if the latents do not divide the autoencoder's width.

    Example:
        >>> import spikeloom as sl
        >>> from spikeloom.training import Plan
        >>> trials = sl.simulate.lorenz(24, neurons=6, bins=30, seed=0)
        >>> few = Plan(updates=2, batch=8)
        >>> model = sl.LDNS(6, latents=4, autoencoder_plan=few, diffusion_plan=few)
        >>> model = model.fit(trials, seed=0, progress=False)
        >>> model.sample(3, seed=1).latents.shape
        (3, 30, 4)
    """

    latent_mean: Tensor  # of each latent, over training trials and bins
    latent_sd: Tensor

    def __init__(
        self,
        neurons: int,
        *,
        latents: int = 16,
        autoencoder: AutoencoderSettings = AutoencoderSettings(),
        denoiser: DenoiserSettings = DenoiserSettings(),
        schedule: NoiseSchedule = LinearBeta(),
        sampler: Sampler = DEFAULT,
        observation: ObservationModel = ObservationModel(),
        condition: tuple[str, ...] = (),
        guidance: float = 1.0,
        autoencoder_plan: Plan = Plan(updates=3000, batch=48, learning_rate=2e-3),
        diffusion_plan: Plan = Plan(updates=3000, batch=48, learning_rate=2e-3, average=0.9999),
    ) -> None:
        super().__init__()
        if neurons < 1 or latents < 1 or autoencoder.width % latents:
            raise SettingError(
                "LDNS needs neurons >= 1, and latents >= 1 that divide the width of the autoencoder.",
                f"It got neurons={neurons}, latents={latents}, autoencoder.width={autoencoder.width}.",
                f"For {latents} latents choose a width such as {max(1, latents) * 4}.",
            )
        self.neurons, self.latents = neurons, latents
        self.autoencoder, self.denoiser = autoencoder, denoiser
        self.schedule, self.sampler = schedule, sampler
        self.observation = copy.deepcopy(observation)
        self.condition, self.guidance = tuple(condition), guidance
        self.autoencoder_plan, self.diffusion_plan = autoencoder_plan, diffusion_plan

    @property
    def capabilities(self) -> Capabilities:
        """See `Model.capabilities`."""
        return Capabilities(
            options=("condition", "guidance", "sampler"), stream=True, unseen_rates=True, latent_gaussian=True
        )

    @property
    def size(self) -> str:
        """See `Model.size`."""
        return f"{self.latents} latents"

    def build(self, facts: Facts) -> None:
        """Networks and buffers; see `Model.build`."""
        first, second = self.autoencoder, self.denoiser
        self.longest = facts.longest  # longer trials are read and generated in windows of it
        size: dict[str, Any] = dict(latents=self.latents, width=first.width)
        self.encoder = Encoder(facts.neurons, blocks=first.blocks, bidirectional=first.bidirectional, **size)
        self.decoder = Decoder(neurons=facts.neurons, mixed=first.mixed, **size)
        told: dict[str, Any] = dict(vector=facts.conditions.vector_size, sequence=facts.conditions.sequence_size)
        shape: dict[str, Any] = dict(width=second.width, blocks=second.blocks, bidirectional=second.bidirectional)
        backbone = Backbone(self.latents, **shape, **told)
        self.diffusion = NetworkDenoiser(backbone, schedule=self.schedule, prediction=second.prediction)
        self.register_buffer("latent_mean", torch.zeros(self.latents))
        self.register_buffer("latent_sd", torch.ones(self.latents))
        self.inferred, self.generated = Calibration(facts.neurons), Calibration(facts.neurons)
        if self.condition:
            self.asked = Calibration(facts.neurons)  # of what is generated under conditions
        self.observation.build(facts.neurons, facts.bin_width)

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage]:
        """Autoencoder, then diffusion; see `Model.stages`."""
        data, held_out = as_tensors(trials), None if validation is None else as_tensors(validation)
        mean = data["counts"].sum((0, 1), dtype=torch.float32) / trials.bins
        self.decoder.start_at(self.observation.drive(mean))
        coder = nn.ModuleList((self.encoder, self.decoder))
        yield Stage("autoencoder", coder, self.reconstruction, data, self.autoencoder_plan, held_out)
        self._standardise(trials)
        self.fit_observation(trials)
        data, held_out = self._diffused(trials), None if validation is None else self._diffused(validation)
        yield Stage("diffusion", self.diffusion, self.denoising, data, self.diffusion_plan, held_out)
        self._calibrate_generated(trials)

    # --- losses --------------------------------------------------------------------------------------------------

    def reconstruction(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Loss of the first stage, a sum over the valid entries, and how many there are."""
        settings, counts, mask = self.autoencoder, batch["counts"].float(), batch["mask"]
        uniform = torch.from_numpy(streams.uniform(*counts.shape[1:])).to(counts.device)
        seen, hidden = coordinated_dropout(counts, uniform, probability=settings.dropout)
        latents = self.encoder(seen, mask)
        nll = -self.observation.plain.log_prob(counts, self.observation.rates(self.decoder(latents)))
        valid = mask.float()
        counted = torch.where(hidden, 1.0, settings.kept) * valid[..., None]
        data = (counted * nll).sum()
        total = data + settings.energy * energy(latents, valid) + settings.smoothness * smoothness(latents, valid)
        return LossTerms(total, valid.sum() * counts.shape[-1], {"nll": data.detach()})

    def denoising(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Loss of the second stage, a sum over the valid entries, and how many there are."""
        clean = batch["latents"]
        level = torch.from_numpy(streams.uniform()).to(clean.device)
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        told = None
        if self.condition:
            present = torch.from_numpy(streams.uniform()).to(clean.device) >= self.denoiser.drop
            told = Condition(batch.get("vector"), batch.get("sequence"), present)
        settings: dict[str, Any] = dict(mask=batch["mask"], huber=self.denoiser.huber)
        return LossTerms(*denoising_loss(self.diffusion, clean, level=level, noise=noise, condition=told, **settings))

    # --- speaking ------------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Noise -> latents -> rates -> counts; see `Model.draw`."""
        device, lengths = self.latent_mean.device, request.lengths
        mask = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
        fresh = lambda: torch.from_numpy(request.noise.series(lengths, self.latents)).to(device)  # noqa: E731
        told = None if request.condition is None else request.condition.to(device)
        sampler: Sampler = request.sampler or self.sampler
        denoiser: Denoiser = Windowed(self.diffusion, window=self.longest)
        denoiser = denoiser if told is None else Guided(denoiser, strength=request.guidance)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.diffusion_plan.precision == "bf16"):
            latents = sampler.draw(denoiser, fresh, condition=told, mask=None if mask.all() else mask.to(device))
        drive = self.decode(latents, self.generated if told is None else self.asked)
        rates = self.observation.rates(drive).cpu().numpy()
        counts = self.observation.sample(drive, request.spikes)
        return Generated(counts, rates, latents.cpu().numpy())

    def unroll(self, request: StreamRequest) -> Iterator[Generated]:
        """Noise -> latents -> rates -> counts of one trial without end; see `Model.unroll` and `diffusion.stream`."""
        device, noise = self.latent_mean.device, request.noise
        fresh: dict[int, Streams] = {}

        def drawn(bins: int, level: int | None = None) -> Tensor:
            streams = noise if level is None else fresh.setdefault(level, request.fresh(level))
            return torch.from_numpy(streams.normal(bins, self.latents)).to(device)

        def condition_of(bins: int) -> Condition | None:
            condition = request.conditions.read(bins)
            return None if condition is None else condition.to(device)

        stream = Stream(
            Guided(self.diffusion, strength=request.guidance),
            request.sampler or self.sampler,
            window=self.longest,
            noise=drawn,
            fresh=lambda level, bins: drawn(bins, level),
            condition=condition_of,
            bins=request.n_bins,
        )
        return self._spiking(stream, request.spikes, self.asked if request.conditions.present else self.generated)

    def _spiking(self, stream: Iterable[Tensor], spikes: Streams, calibration: Calibration) -> Iterator[Generated]:
        """Counts, rates and latents of pieces of a stream; the observation model remembers the pieces before."""
        memory: Memory = {}
        for latents in stream:
            with torch.no_grad():
                drive = self.decode(latents, calibration)
                rates, counts = self.observation.rates(drive), self.observation.sample(drive, spikes, memory)
            yield Generated(counts, rates.cpu().numpy(), latents.cpu().numpy())

    @torch.no_grad()
    def gaussian(self, reference: Trials, *, like: Trials, seed: int = 0) -> Trials:
        r"""Trials of a Gaussian fitted to the latents of recorded trials: the baseline that the diffusion must beat.

        :math:`z_t = \bar z_t + \sum_i w_i (z_{it} - \bar z_t) / \sqrt{n_t - 1}`, w standard normal, i over the n_t
        reference trials that reach bin t: a Gaussian with their mean and covariance over bins and latents.

        Args:
            reference: Training trials, at least as long as the longest trial of `like`.
            like: Trials whose lengths are copied.
            seed: Of the draws.
        """
        time = int(like.lengths.max())
        coded, mask = np.asarray(self.encode(reference, progress=False).latents)[:, :time], reference.mask[:, :time]
        number = mask.sum(0)[:, None]
        mean = coded.sum(0) / np.maximum(number, 1)
        spread = (coded - mean) * mask[..., None] / np.sqrt(np.maximum(number - 1, 1))
        noise, spikes = (Streams(seed, purpose, 0, range(len(like))) for purpose in (Purpose.SAMPLE, Purpose.SPIKES))
        latents = mean + np.einsum("bi,itk->btk", noise.normal(len(reference)), spread)
        drive = self.decode(torch.from_numpy(latents.astype(np.float32)).to(self.latent_mean.device), self.inferred)
        counts = self.observation.sample(drive, spikes)
        return Trials(
            counts,
            like.bin_width,
            lengths=like.lengths,
            neuron_table=self.facts.neuron_table,
            source="Gaussian on the latents of LDNS",
        )

    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Counts -> standardised latents and rates; see `Model.infer`."""
        device = self.latent_mean.device
        raw = in_windows(self.encoder, signal.to(device), mask.to(device), window=self.longest)
        latents = (raw - self.latent_mean) / self.latent_sd
        rates = self.observation.rates(self.decode(latents, self.inferred))
        return Inferred(rates.cpu().numpy(), latents.cpu().numpy())

    def decode(self, latents: Tensor, calibration: Calibration) -> Tensor:
        """Drive (batch, time, neuron) of standardised latents, calibrated as inferred or as generated rates are."""
        rates = self.observation.rates(self.decoder(latents * self.latent_sd + self.latent_mean))
        return self.observation.drive(calibration(rates))

    # --- between the stages --------------------------------------------------------------------------------------

    def _standardise(self, trials: Trials) -> None:
        """Measure mean and sd of each latent over the training trials' bins, then calibrate inferred rates."""
        self.latent_mean.fill_(0)
        self.latent_sd.fill_(1)
        self.inferred.reset()
        coded = self.encode(trials, progress=False)
        valid = np.asarray(coded.latents)[trials.mask].astype(np.float64)
        self.latent_mean.copy_(torch.from_numpy(valid.mean(0)))
        self.latent_sd.copy_(torch.from_numpy(valid.std(0).clip(min=1e-6)))
        if self.autoencoder.calibrate:
            beyond = self.observation.shared_bins
            self.inferred.measure(trials, np.asarray(coded.rates), lengths=trials.lengths, beyond=beyond)

    def fit_observation(self, trials: Trials) -> None:
        """Fit the observation model to rates of entries that the encoder did not see; the autoencoder stays as it is.

        Args:
            trials: Training trials.
        """
        if not list(self.observation.buffers()):
            return  # nothing to fit
        enough = max(2, OBSERVATION_ENTRIES // (trials.time * trials.neurons))
        if len(trials) > enough:
            trials = trials.select(np.sort(generator(0, Purpose.CALIBRATE, 3).permutation(len(trials))[:enough]))
        rates = self.unseen_rates(trials)
        own = Calibration(trials.neurons)
        own.measure(trials, rates, lengths=trials.lengths, beyond=self.observation.shared_bins)
        calibrated = own(torch.from_numpy(rates)).numpy()
        self.observation.fit(trials, calibrated, seed=int(generator(0, Purpose.CALIBRATE, 1).integers(2**31)))

    def unseen_rates(self, trials: Trials) -> np.ndarray:
        """Rates (trial, time, neuron) of trials, each inferred with its own count hidden; not calibrated."""

        def rates(seen: Tensor, mask: Tensor) -> Tensor:
            device = self.latent_mean.device
            latents = in_windows(self.encoder, seen.to(device), mask.to(device), window=self.longest)
            return self.observation.rates(self.decoder(latents))

        return hidden_in_turn(rates, trials, share=self.autoencoder.dropout)

    def _calibrate_generated(self, trials: Trials) -> None:
        """Generate as many trials as there are in training, up to a few hundred, and calibrate what is generated.

        A model with conditions does so twice: what follows them, as strongly as samples will, has more in common.
        """
        if not self.autoencoder.calibrate:
            return
        self.generated.reset()
        seed = int(generator(0, Purpose.CALIBRATE).integers(2**31))  # no caller's seed by accident
        fakes = [(self.generated, self.sample(min(len(trials), CALIBRATION_TRIALS), seed=seed, progress=False))]
        if self.condition:
            self.asked.reset()
            like = trials.select(np.sort(generator(seed, Purpose.ORDER).permutation(len(trials))[:CALIBRATION_TRIALS]))
            fakes.append((self.asked, self.sample(like=like, condition=self.condition, seed=seed, progress=False)))
        for calibration, fake in fakes:  # the observation model is adapted to what comes last
            beyond, rates = self.observation.shared_bins, np.array(fake.rates)
            calibration.measure(trials, rates, lengths=fake.lengths, beyond=beyond)
            calibrated = calibration(torch.from_numpy(rates)).numpy()
        self.observation.adapt(trials, calibrated, lengths=fake.lengths, seed=seed)

    def _diffused(self, trials: Trials) -> dict[str, Tensor]:
        """What the second stage learns from: standardised latents of complete trials, mask, and conditions."""
        latents = torch.from_numpy(np.array(self.encode(trials, progress=False).latents))
        clip = self.denoiser.clip
        data = {
            "latents": latents if clip is None else latents.clamp(-clip, clip),
            "mask": torch.from_numpy(trials.mask),
        }
        if self.condition:
            condition = self.facts.conditions.encode({**trials.conditions, **trials.behavior})
            parts = {"vector": condition.vector, "sequence": condition.sequence}
            data |= {name: value for name, value in parts.items() if value is not None}
        return data
