r"""LDNS: latent diffusion for neural spiking data (Kapoor, Schulz, Vetter, Pei, Gao, Macke; NeurIPS 2024).

Training has three separate stages:

1. an autoencoder, counts s -> latents z (one vector per bin) -> rates r, trained with coordinated dropout: its input is
   s k / (1 - p), k ~ Bernoulli(1 - p), and its loss covers the hidden entries,
   :math:`\frac{1}{M} \sum (1 - k)\,\mathrm{nll}(s \mid r) + \frac{\beta_1}{M} \sum z^2
   + \frac{\beta_2}{M} \sum_{j=1}^{5} \frac{1}{1+j} \sum_t \|z_t - z_{t+j}\|^2`, M valid entries of the batch;
2. a diffusion model of the standardised latents;
3. an observation model on the rates (`observation`), fitted to rates that the encoder inferred without the count of
   the same bin. Two copies of it are adapted to generated rates, one without and one with conditions.

The readout (`models.common.readout`) holds everything between latents and spikes.

Sampling: noise -> latents of any length -> rates -> counts.

Trials longer than the training trials are generated and encoded in overlapping windows (`nn.window`).

Differences from the published code: normalisation per bin, masks before every temporal operator, statistics stored in
the model, an optional loss on entries that were not hidden, and a calibration of the rates (`observation.calibration`).
"""

from collections.abc import Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import Denoiser, NetworkDenoiser, denoising_loss
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DEFAULT, Sampler
from spikeloom.diffusion.schedule import LinearBeta, NoiseSchedule
from spikeloom.diffusion.windowed import Windowed
from spikeloom.errors import SettingError
from spikeloom.losses import coordinated_dropout, energy, smoothness
from spikeloom.models.common.base import Capabilities, Model, as_tensors
from spikeloom.models.common.calibration_samples import CALIBRATION_SEED, calibration_samples
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_gaussian import latent_gaussian
from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings
from spikeloom.models.common.likelihood import hidden_in_turn
from spikeloom.models.common.readout import Readout, Source
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.models.common.streaming import StreamRequest, latent_stream
from spikeloom.nn.condition import Condition
from spikeloom.nn.window import in_windows
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.slots import Memory
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.training.train import LossTerms, Stage
from spikeloom.trials import Trials


@final
class LDNS(Model):
    """Latent diffusion of neural spiking; see the module for the method.

    Args:
        n_neurons: Neurons of the recording, the last axis of the counts.
        n_latents: Latents per bin.
        autoencoder_settings: Networks and losses of the first stage.
        denoiser_settings: Network and loss of the second stage.
        schedule: Signal and noise of each diffusion level.
        sampler: Sampler that turns noise into latents, level by level.
        observation: Observation model, rates -> counts: distribution of a bin's count, spike history, shared noise.
            The model keeps a copy.
        condition: Names of the conditions and behaviour series on which the diffusion is conditioned.
        guidance: Default strength with which samples follow the condition; see `diffusion.guidance`.
        autoencoder_plan: Optimisation of the first stage.
        diffusion_plan: Optimisation of the second stage.

    Raises:
        SettingError: if the latents do not divide the autoencoder's width.

    Example:
        >>> import spikeloom as sl
        >>> from spikeloom.training import Plan
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> few = Plan(updates=2, batch=8)
        >>> model = sl.LDNS(6, n_latents=4, autoencoder_plan=few, diffusion_plan=few)
        >>> model = model.fit(trials, seed=0, progress=False)
        >>> model.sample(3, seed=1).latents.shape
        (3, 30, 4)
    """

    def __init__(
        self,
        n_neurons: int,
        *,
        n_latents: int = 16,
        autoencoder_settings: AutoencoderSettings = AutoencoderSettings(),
        denoiser_settings: DenoiserSettings = DenoiserSettings(),
        schedule: NoiseSchedule = LinearBeta(),
        sampler: Sampler = DEFAULT,
        observation: ObservationModel = ObservationModel(),
        condition: tuple[str, ...] = (),
        guidance: float = 1.0,
        autoencoder_plan: Plan = Plan(updates=3000, batch=48, learning_rate=2e-3),
        diffusion_plan: Plan = Plan(updates=3000, batch=48, learning_rate=2e-3, average=0.9999),
    ) -> None:
        super().__init__()
        if n_neurons < 1 or n_latents < 1 or autoencoder_settings.width % n_latents:
            raise SettingError(
                "LDNS needs n_neurons >= 1, and n_latents >= 1 that divide the width of the autoencoder.",
                f"It got n_neurons={n_neurons}, n_latents={n_latents} and a width of {autoencoder_settings.width}.",
                f"For {n_latents} latents choose a width such as {max(1, n_latents) * 4}.",
            )
        self.n_neurons, self.n_latents = n_neurons, n_latents
        self.autoencoder_settings, self.denoiser_settings = autoencoder_settings, denoiser_settings
        self.schedule, self.sampler = schedule, sampler
        self.readout = Readout(observation, calibrated=autoencoder_settings.calibrate)
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
        return f"{self.n_latents} latents"

    @property
    def observation(self) -> ObservationModel:  # type: ignore[override]  # a part of the readout, registered once
        """The observation model fitted to the training trials. The readout has adapted copies for samples."""
        return self.readout.observation

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        autoencoder, denoiser = self.autoencoder_settings, self.denoiser_settings
        self.longest = facts.longest  # longer trials are read and generated in windows of it
        self.encoder = autoencoder.encoder(facts.n_neurons, self.n_latents)
        decoder = autoencoder.decoder(facts.n_neurons, self.n_latents)
        self.readout.build(decoder, n_latents=self.n_latents, n_neurons=facts.n_neurons, bin_width=facts.bin_width)
        network = denoiser.network(self.n_latents, facts.conditions.vector_size, facts.conditions.sequence_size)
        self.diffusion = NetworkDenoiser(network, schedule=self.schedule, prediction=denoiser.prediction)

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage]:
        """Yield autoencoder and diffusion, then fit the observation model; see `Model.stages`."""
        self.readout.start(trials)
        data, held_out = as_tensors(trials), None if validation is None else as_tensors(validation)
        networks = nn.ModuleList((self.encoder, self.readout.decoder))
        yield Stage("autoencoder", networks, self.reconstruction, data, self.autoencoder_plan, held_out)

        self.eval()
        self.readout.fit_scale(self.readout.encoded(trials, self._read).latents, trials.mask)
        data, held_out = self._diffused(trials), None if validation is None else self._diffused(validation)
        yield Stage("diffusion", self.diffusion, self.denoising, data, self.diffusion_plan, held_out)

        self.eval()
        self.readout.fit_inferred(trials, self.readout.encoded(trials, self._read).rates, self.unseen_rates)
        if self.autoencoder_settings.calibrate:
            samples = calibration_samples(self, trials)
            self.readout.fit_generated(trials, samples, seed=CALIBRATION_SEED)

    # --- losses --------------------------------------------------------------------------------------------------

    def reconstruction(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Compute the loss of the first stage, summed over the valid entries, and their number."""
        settings, counts, mask = self.autoencoder_settings, batch["counts"].float(), batch["mask"]
        uniform = torch.from_numpy(streams.uniform(*counts.shape[1:])).to(counts.device)
        seen, hidden = coordinated_dropout(counts, uniform, probability=settings.dropout)
        latents = self.encoder(seen, mask)
        nll = -self.readout.training_log_prob(counts, latents)
        valid = mask.float()
        counted = torch.where(hidden, 1.0, settings.kept) * valid[..., None]
        data = (counted * nll).sum()
        total = data + settings.energy * energy(latents, valid) + settings.smoothness * smoothness(latents, valid)
        return LossTerms(total, valid.sum() * counts.shape[-1], {"nll": data.detach()})

    def denoising(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Compute the loss of the second stage, summed over the valid entries, and their number."""
        clean = batch["latents"]
        level = torch.from_numpy(streams.uniform()).to(clean.device)
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        condition = None
        if self.condition:
            present = torch.from_numpy(streams.uniform()).to(clean.device) >= self.denoiser_settings.drop
            condition = Condition(batch.get("vector"), batch.get("sequence"), present)
        total, entries = denoising_loss(
            self.diffusion,
            clean,
            level=level,
            noise=noise,
            condition=condition,
            mask=batch["mask"],
            huber=self.denoiser_settings.huber,
        )
        return LossTerms(total, entries)

    # --- generating and inferring --------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate noise -> latents -> rates -> counts; see `Model.draw`."""
        device, lengths = self.readout.mean.device, request.lengths
        mask = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
        condition = None if request.condition is None else request.condition.to(device)
        sampler: Sampler = request.sampler or self.sampler
        denoiser: Denoiser = Windowed(self.diffusion, window=self.longest)
        if condition is not None:
            denoiser = Guided(denoiser, strength=request.guidance)

        def noise() -> Tensor:
            return torch.from_numpy(request.noise.series(lengths, self.n_latents)).to(device)

        with torch.autocast(device.type, torch.bfloat16, enabled=self.diffusion_plan.precision == "bf16"):
            latents = sampler.draw(denoiser, noise, condition=condition, mask=None if mask.all() else mask.to(device))
        return self.readout.draw(latents, "generated" if condition is None else "conditional", request.spikes)

    def unroll(self, request: StreamRequest) -> Iterator[Generated]:
        """Generate one endless trial; see `Model.unroll` and `diffusion.stream`."""
        stream = latent_stream(
            request,
            Guided(self.diffusion, strength=request.guidance),
            request.sampler or self.sampler,
            window=self.longest,
            n_latents=self.n_latents,
            device=self.readout.mean.device,
        )
        source: Source = "conditional" if request.conditions.present else "generated"
        spikes, memory = request.spikes, Memory()
        for latents in stream:
            with torch.no_grad():
                piece = self.readout.draw(latents, source, spikes, memory)
            yield piece

    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer standardised latents and rates from counts; see `Model.infer`."""
        latents = self.readout.standardised(self._read(signal, mask))
        rates = self.readout.rates(latents, "inferred")
        return Inferred(rates.cpu().numpy(), latents.cpu().numpy())

    def unseen_rates(self, trials: Trials) -> np.ndarray:
        """Infer rates (trial, time, neuron), each with its own count hidden. They are not calibrated."""

        def rates(thinned: Tensor, mask: Tensor) -> Tensor:
            return self.readout.unseen(self._read(thinned, mask))

        return hidden_in_turn(rates, trials, share=self.autoencoder_settings.dropout)

    @torch.no_grad()
    def gaussian(self, reference: Trials, *, like: Trials, seed: int = 0) -> Trials:
        """Draw trials from a Gaussian fitted to the latents of recorded trials, the baseline of the diffusion.

        See `Model.gaussian` and `latent_gaussian`.
        """
        inferred = np.asarray(self.encode(reference, progress=False).latents)
        n_bins = int(like.lengths.max())
        drawn = latent_gaussian(inferred[:, :n_bins], reference.mask[:, :n_bins], n_trials=len(like), seed=seed)
        latents = torch.from_numpy(drawn.astype(np.float32))
        spikes = Streams(seed, Purpose.SPIKES, 0, range(len(like)))
        counts = self.readout.draw(latents.to(self.readout.mean.device), "inferred", spikes).counts
        return Trials(
            counts,
            like.bin_width,
            lengths=like.lengths,
            neuron_table=self.facts.neuron_table,
            source="Gaussian on the latents of LDNS",
        )

    # --- what the stages learn from ------------------------------------------------------------------------------

    def _read(self, counts: Tensor, mask: Tensor) -> Tensor:
        """Encode one batch of counts; the latents are not standardised."""
        device = self.readout.mean.device
        return in_windows(self.encoder, counts.to(device), mask.to(device), window=self.longest)

    def _diffused(self, trials: Trials) -> dict[str, Tensor]:
        """Return the data of the second stage: standardised latents of complete trials, mask, and conditions."""
        latents = torch.from_numpy(np.array(self.encode(trials, progress=False).latents))
        clip = self.denoiser_settings.clip
        data = {
            "latents": latents if clip is None else latents.clamp(-clip, clip),
            "mask": torch.from_numpy(trials.mask),
        }
        if self.condition:
            condition = self.facts.conditions.encode({**trials.conditions, **trials.behavior})
            parts = {"vector": condition.vector, "sequence": condition.sequence}
            data |= {name: value for name, value in parts.items() if value is not None}
        return data
