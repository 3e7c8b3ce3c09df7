r"""LDNS: latent diffusion for neural spiking data (Kapoor, Schulz, Vetter, Pei, Gao, Macke; NeurIPS 2024).

Training has three separate stages:

1. an autoencoder, counts s -> latents z (one vector per bin) -> rates r (`models.common.latent_autoencoder`);
2. a diffusion model of the standardised latents;
3. an observation model on the rates (`observation`), fitted to rates that the encoder inferred without the count of
   the same bin. Two copies of it are adapted to generated rates, one without and one with conditions.

A fourth stage is optional. It trains a student, a copy of the diffusion's network that samples with two evaluations
(`diffusion.student`). The diffusion itself needs 20 evaluations, or 40 with guidance.

The readout (`models.common.readout`) holds everything between latents and spikes.

Sampling: noise -> latents of any length -> rates -> counts.

Trials longer than the training trials are generated and encoded in overlapping windows (`nn.window`).

If there is a student, it generates all trials that resemble those on which it was trained: trials that are not longer
than the training trials, either without conditions or with the model's own strength of guidance. The diffusion
generates longer trials, trials with another guidance, trials for which a sampler is named, and streams.

Differences from the published code:

* channels are normalised in each bin separately;
* padding is masked before every operation along time;
* the mean and standard deviation of the latents are stored in the model;
* the loss of the autoencoder can include the counts that its encoder reads, not only the hidden ones;
* rates are calibrated (`observation.calibration`).
"""

import copy
from collections.abc import Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser, NetworkDenoiser, denoising_loss
from spikeloom.diffusion.guidance import Guided
from spikeloom.diffusion.sampler import DEFAULT, Sampler
from spikeloom.diffusion.schedule import LinearBeta, NoiseSchedule
from spikeloom.diffusion.student import Student, check_teacher
from spikeloom.diffusion.windowed import Windowed
from spikeloom.models.common.base import Capabilities
from spikeloom.models.common.calibration_samples import calibration_samples
from spikeloom.models.common.course import StreamedCourse
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings, StudentSettings
from spikeloom.models.common.readout import STUDENT_SOURCES, GeneratedSource, Source
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, in_order
from spikeloom.models.common.streaming import StreamRequest, latent_stream
from spikeloom.models.common.student_stages import student_stages
from spikeloom.nn.condition import Condition
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Streams
from spikeloom.text import counted
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage
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
        observation: Observation model, from rates to counts: distribution of the count of a bin, spike history, shared
            noise. The model keeps a copy.
        condition: Names of the conditions and behaviour series on which the diffusion is conditioned.
        guidance: Default strength with which samples follow the condition; see `diffusion.guidance`.
        autoencoder_plan: Optimisation of the first stage.
        diffusion_plan: Optimisation of the second stage.
        distill_plan: Optimisation of the student. `None` trains none. A finished run can add it.
        student_settings: Size of the student.

    Raises:
        SettingError: if `n_latents` does not divide the autoencoder's width, or if the sampler cannot be the teacher of
            a student.

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

    later_stage = ("distill_plan", "student_settings")

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
        distill_plan: Plan | None = None,
        student_settings: StudentSettings = StudentSettings(),
    ) -> None:
        super().__init__(
            n_neurons,
            n_latents=n_latents,
            autoencoder_settings=autoencoder_settings,
            autoencoder_plan=autoencoder_plan,
            observation=observation,
            student=distill_plan is not None,
        )
        if distill_plan is not None:
            check_teacher(sampler, student_settings.steps)
        self.denoiser_settings = denoiser_settings
        self.diffusion_plan = diffusion_plan
        self.distill_plan = distill_plan
        self.student_settings = student_settings
        self.schedule = schedule
        self.sampler = sampler
        self.condition = tuple(condition)
        self.guidance = guidance

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of an LDNS: conditions, streams, unseen rates and baselines; see `Model.capabilities`."""
        return Capabilities(
            options=("condition", "guidance", "sampler"), stream=True, unseen_rates=True, latent_baselines=True
        )

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the training stages in order; those of the student are optional."""
        student = () if self.distill_plan is None else ("samples_of_teacher", "student")
        return ("autoencoder", "diffusion", *student, "readout")

    @property
    def notes(self) -> Mapping[str, str]:
        """Number of evaluations of the student, if there is one, as text; see `Model.notes`."""
        if self.distill_plan is None:
            return {}
        return {"student": f"{counted(self.student_settings.steps, 'network evaluation')} per sample"}

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        self.build_autoencoder(facts)
        settings = self.denoiser_settings
        conditions = facts.conditions
        network = settings.network(self.n_latents, conditions.vector_size, conditions.sequence_size)
        self.diffusion = NetworkDenoiser(network, schedule=self.schedule, prediction=settings.prediction)
        if self.distill_plan is not None:
            self.student = Student(
                copy.deepcopy(self.diffusion), teacher=self.sampler, steps=self.student_settings.steps
            )

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Yield autoencoder and diffusion, then fit the observation model; see `Model.stages`."""
        yield self.autoencoder_stage(trials, validation)
        self.fit_scale(trials)
        data = self._diffused(trials)  # latents (trial, time, latent), mask and conditions
        held_out = None if validation is None else self._diffused(validation)
        yield Stage("diffusion", self.diffusion, self.denoising, data, self.diffusion_plan, held_out)
        if self.distill_plan is not None:
            yield from student_stages(
                self.student,
                Guided(self.diffusion, strength=self.guidance),
                data,
                self.distill_plan,
                n_samples=self.student_settings.samples,
                drop=self.denoiser_settings.drop,
                bf16=self.diffusion_plan.precision == "bf16",
            )
        yield self.readout_stage(trials)

    def denoising(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the denoising loss of a batch of latents, as a sum over valid entries, and the number of entries.

        An entry is one latent in one bin.
        """
        clean = batch["latents"]
        level = torch.from_numpy(streams.uniform()).to(clean.device)  # one diffusion level per trial
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        condition = None
        if self.condition:
            # trials without their condition teach the network to sample unconditionally
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

    def calibration_samples(self, trials: Trials) -> dict[GeneratedSource, Trials]:
        """Generate samples of the diffusion, and of the student if there is one; see `LatentModel`."""
        samples = super().calibration_samples(trials)  # a model with a student samples with the student by default
        if self.distill_plan is None:
            return samples
        of_diffusion = calibration_samples(self, trials, sampler=self.sampler)
        return of_diffusion | {STUDENT_SOURCES[source]: fake for source, fake in samples.items()}

    # --- generating -----------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate noise -> latents -> rates -> counts; see `Model.draw`.

        If the student generates only some of the trials, its trials and the other trials are two separate batches.
        """
        by_student = self._of_student(request)
        if by_student.any() and not by_student.all():
            groups = [np.flatnonzero(by_student), np.flatnonzero(~by_student)]
            return in_order(groups, [self.draw(request.select(rows)) for rows in groups])
        device = self.readout.mean.device
        lengths = request.lengths
        valid = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
        mask = None if valid.all() else valid.to(device)  # (trial, time); None if all trials are equally long
        condition = None if request.condition is None else request.condition.to(device)
        source: GeneratedSource = "generated" if condition is None else "conditional"

        def noise() -> Tensor:
            """Draw one normal number for each latent in each bin of each trial."""
            return torch.from_numpy(request.noise.series(lengths, self.n_latents)).to(device)

        if by_student.all() and self.distill_plan is not None:
            source = STUDENT_SOURCES[source]
            with self._precision(self.distill_plan):
                latents = self.student(noise(), condition, mask)[:, -1]
        else:
            sampler: Sampler = request.sampler or self.sampler
            denoiser: Denoiser = Windowed(self.diffusion, window=self.longest)
            if condition is not None:
                denoiser = Guided(denoiser, strength=request.guidance)
            with self._precision(self.diffusion_plan):
                latents = sampler.draw(denoiser, noise, condition=condition, mask=mask)
        return self.readout.draw(latents, source, request.spikes)

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
        spikes = self.readout.begin(source, request.spikes)
        for latents in stream:
            yield spikes.advance(latents.cpu().numpy())

    def ahead(self, request: StreamRequest) -> StreamedCourse:
        """Begin one trial of a stream; see `Model.ahead`. Each step of the sampler reads up to 1.5 windows ahead."""
        steps = (request.sampler or self.sampler).steps
        lookahead = steps * (self.longest + self.longest // 2)
        return StreamedCourse(self.unroll(request), request.conditions, lookahead=lookahead)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _of_student(self, request: Request) -> np.ndarray:
        """Return which trials of a request the student generates (trial,); see the head of the module."""
        conditional = request.condition is not None
        usable = self.distill_plan is not None and request.sampler is None
        usable = usable and (not conditional or request.guidance == self.guidance)
        return (request.lengths <= self.longest) & usable

    def _precision(self, plan: Plan) -> torch.autocast:
        """Return a context with the precision of a plan."""
        return torch.autocast(self.readout.mean.device.type, torch.bfloat16, enabled=plan.precision == "bf16")

    def _diffused(self, trials: Trials) -> dict[str, Tensor]:
        """Return the data of the second stage: standardised latents, mask and conditions of trials.

        Latents are clipped if `DenoiserSettings.clip` is set.
        """
        data = self.latents_of(trials)
        clip = self.denoiser_settings.clip
        if clip is not None:
            data["latents"] = data["latents"].clamp(-clip, clip)
        return data
