r"""LDNS: latent diffusion for neural spiking data (Kapoor, Schulz, Vetter, Pei, Gao, Macke; NeurIPS 2024).

Training has three separate stages:

1. an autoencoder, counts s -> latents z (one vector per bin) -> rates r (`models.common.latent_autoencoder`);
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

import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser, NetworkDenoiser, denoising_loss
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DEFAULT, Sampler
from spikeloom.diffusion.schedule import LinearBeta, NoiseSchedule
from spikeloom.diffusion.windowed import Windowed
from spikeloom.models.common.base import Capabilities
from spikeloom.models.common.course import StreamedCourse
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings
from spikeloom.models.common.readout import Source
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated
from spikeloom.models.common.streaming import StreamRequest, latent_stream
from spikeloom.nn.condition import Condition
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.slots import Memory
from spikeloom.seeds import Streams
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation
from spikeloom.training.train import LossTerms, Stage
from spikeloom.trials import Trials


@final
class LDNS(LatentModel):
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
        super().__init__(
            n_neurons,
            n_latents=n_latents,
            autoencoder_settings=autoencoder_settings,
            autoencoder_plan=autoencoder_plan,
            observation=observation,
        )
        self.denoiser_settings = denoiser_settings
        self.diffusion_plan = diffusion_plan
        self.schedule = schedule
        self.sampler = sampler
        self.condition = tuple(condition)
        self.guidance = guidance

    @property
    def capabilities(self) -> Capabilities:
        """See `Model.capabilities`."""
        return Capabilities(
            options=("condition", "guidance", "sampler"), stream=True, unseen_rates=True, latent_baselines=True
        )

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        self.build_autoencoder(facts)
        denoiser = self.denoiser_settings
        network = denoiser.network(self.n_latents, facts.conditions.vector_size, facts.conditions.sequence_size)
        self.diffusion = NetworkDenoiser(network, schedule=self.schedule, prediction=denoiser.prediction)

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Yield autoencoder and diffusion, then fit the observation model; see `Model.stages`."""
        yield self.autoencoder_stage(trials, validation)
        self.fit_scale(trials)
        data = self._diffused(trials)
        held_out = None if validation is None else self._diffused(validation)
        yield Stage("diffusion", self.diffusion, self.denoising, data, self.diffusion_plan, held_out)
        yield self.readout_stage(trials)

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

    # --- generating -----------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate noise -> latents -> rates -> counts; see `Model.draw`."""
        device = self.readout.mean.device
        lengths = request.lengths
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
        spikes = request.spikes
        memory = Memory()
        for latents in stream:
            with torch.no_grad():
                piece = self.readout.draw(latents, source, spikes, memory)
            yield piece

    def ahead(self, request: StreamRequest) -> StreamedCourse:
        """Begin one trial of a stream; see `Model.ahead`. Each step of the sampler reads up to 1.5 windows ahead."""
        steps = (request.sampler or self.sampler).steps
        lookahead = steps * (self.longest + self.longest // 2)
        return StreamedCourse(self.unroll(request), request.conditions, lookahead=lookahead)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _diffused(self, trials: Trials) -> dict[str, Tensor]:
        """Return the data of the second stage: standardised latents, clipped if that is set, mask, and conditions."""
        data = self.latents_of(trials)
        clip = self.denoiser_settings.clip
        return data if clip is None else {**data, "latents": data["latents"].clamp(-clip, clip)}
