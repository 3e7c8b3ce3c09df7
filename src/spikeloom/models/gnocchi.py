r"""GNOCCHI: neural activity generated from disentangled codes (McCart, Sedler, Versteeg et al. 2024, arXiv 2407.21195).

An encoder maps the activity x of a trial to one code c, and a denoiser of x is conditioned on c. The noisy activity is
:math:`x_i = a x + \sigma\varepsilon`. The three losses of the paper reduce to two:

* the losses of score and reconstruction become the velocity loss. With the estimate
  :math:`\hat x_0 = (x_i - \sigma\hat\varepsilon) / a` of the activity, their sum with equal weights is
  :math:`\|\varepsilon - \hat\varepsilon\|^2 (1 + \sigma^2 / a^2) = \|\varepsilon - \hat\varepsilon\|^2 / a^2
  = \|v - \hat v\|^2`, so the network predicts the velocity v;
* the discrepancy between the codes of the batch and N(0, I), an unbiased estimate of the maximum mean discrepancy
  (MMD). A code may contain any information about its trial, but all codes together must be distributed like N(0, I),
  which favours independent directions.

A trial is generated for a code, which comes from a trial, from the prior, or from a traversal: noise -> activity ->
rates -> counts. Smooth activity lacks synchrony within a few milliseconds, which the noise of the observation model
adds. This noise is fitted to covariances of training trials minus covariances of counts drawn from generated rates.

The signal x that is diffused is smooth activity (`signal_settings`): rates, latents, or spikes that the model smooths
with a Gaussian kernel. Rates and latents come from the trials, or from another model that infers them from spikes
(`signal_model`). The stages of this other model are trained first, within the same run, and `encode` then needs spikes
only. The signal has one of two forms: the sequence of bins (`form="sequence"`, trials of any length), or the leading
principal components of whole trials, in space and time (`form="components"`, trials of equal length only, about ten
times faster).

The paper's hyperparameters are not available; these were chosen by experiments (docs/results/choices.md).
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal, final

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import NetworkDenoiser, denoising_loss
from spikeloom.diffusion.sampler import DEFAULT, Sampler
from spikeloom.diffusion.schedule import LinearBeta, NoiseSchedule
from spikeloom.errors import DataError, SettingError
from spikeloom.losses import mmd
from spikeloom.models.common.base import Capabilities, Model, as_float, as_tensors
from spikeloom.models.common.calibration_samples import CALIBRATION_SEED, calibration_samples
from spikeloom.models.common.coded import Coded
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.request import Request, Signal, signal_of
from spikeloom.models.common.results import Generated, Inferred
from spikeloom.nn.activity import Activity
from spikeloom.nn.codes import CodeSpace
from spikeloom.nn.condition import Condition
from spikeloom.nn.encoder import Decoder
from spikeloom.nn.perceptron import Perceptron, VectorBackbone
from spikeloom.nn.recurrent import TrialEncoder
from spikeloom.nn.stack import Backbone
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.seeds import Streams
from spikeloom.settings import STRICT
from spikeloom.text import counted
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage
from spikeloom.trials import Trials

PRIOR_DRAWS = 4
"""Number of draws from N(0, I) for each code of a batch, in the discrepancy."""

READS: dict[str, Signal] = {"spikes": "counts", "rates": "rates", "latents": "latents"}
"""`SignalSettings.of` -> field of the trials that holds this signal."""

HEAD_BATCH = 64
"""Number of trials that are projected to components at once, for the training of the head (latents -> rates)."""


@dataclass(frozen=True, config=STRICT)
class SignalSettings:
    """Settings of the diffused signal.

    Args:
        of: Field that is diffused: spikes, rates or latents of the trials. With a signal model, the rates or latents
            that the signal model infers.
        smoothing: Standard deviation of the Gaussian that smooths spikes, s; rates and latents are not smoothed.
        form: "components" for space-time components of whole trials, "sequence" for the sequence of bins.
        components: Number of space-time components; at most the number of training trials.
        wiener: Whether a Wiener filter removes Poisson noise; only used for components of spikes.
        n_latents: Latents per bin of the signal; only used for a signal of latents.
    """

    of: Literal["spikes", "rates", "latents"] = "spikes"
    smoothing: Annotated[float, Field(ge=0)] = 0.05
    form: Literal["components", "sequence"] = "components"
    components: Annotated[int, Field(ge=1)] = 64
    wiener: bool = True
    n_latents: Annotated[int, Field(ge=1)] = 16


@dataclass(frozen=True, config=STRICT)
class GNOCCHINetworkSettings:
    """Networks and losses.

    Args:
        width: Channels of the denoiser.
        blocks: Residual blocks of the denoiser.
        encoder_width: Channels of the encoder of components, or units per direction of the encoder of a sequence.
        encoder_blocks: Residual blocks of the encoder of components; with 0 this encoder is linear.
        mmd: Weight of the discrepancy between codes and N(0, I).
    """

    width: Annotated[int, Field(ge=1)] = 128
    blocks: Annotated[int, Field(ge=1)] = 3
    encoder_width: Annotated[int, Field(ge=1)] = 128
    encoder_blocks: Annotated[int, Field(ge=0)] = 0
    mmd: Annotated[float, Field(ge=0)] = 1.0


@final
class GNOCCHI(Coded):
    """Neural activity from one code per trial; see the module for the method.

    Args:
        n_neurons: Neurons of the recording, the last axis of the counts.
        n_codes: Numbers in a code.
        signal_settings: Settings of the diffused signal.
        network_settings: Networks and losses.
        signal_model: Model that infers rates and latents from spikes, such as an LDNS or LFADS without conditions. It
            is trained first, in the same run, and saved in the same folder. The model keeps an untrained copy. With
            `None`, the signal is read from the trials.
        prior: Distribution of the codes of unconditional samples: N(0, I), a Gaussian with the training codes' mean and
            covariance, or a small diffusion model of the training codes.
        schedule: Signal and noise of each diffusion level.
        sampler: Sampler that turns noise into activity, level by level.
        observation: Observation model, from rates to counts: Poisson without history, with or without noise that
            neurons share. The model keeps a copy.
        plan: Optimisation of encoder and denoiser.
        prior_plan: Optimisation of the prior's diffusion model.
        head_plan: Optimisation of the map from latents to rates; only used for a signal of latents.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.reaching(24, n_neurons=12, seed=0)
        >>> model = sl.read_recipe("gnocchi-tiny", ["n_codes=4", "plan.updates=2"]).build(12)
        >>> isinstance(model, sl.GNOCCHI)
        True
        >>> model = model.fit(trials, seed=0, progress=False)
        >>> model.sample(3, seed=1).codes.shape
        (3, 4)
    """

    def __init__(
        self,
        n_neurons: int,
        *,
        n_codes: int = 48,
        signal_settings: SignalSettings = SignalSettings(),
        network_settings: GNOCCHINetworkSettings = GNOCCHINetworkSettings(),
        signal_model: Model | None = None,
        prior: Literal["normal", "gaussian", "diffusion"] = "diffusion",
        schedule: NoiseSchedule = LinearBeta(),
        sampler: Sampler = DEFAULT,
        observation: ObservationModel = ObservationModel(Poisson(), history=None, noise=SharedNoise()),
        plan: Plan = Plan(updates=2000, batch=64, learning_rate=2e-3, weight_decay=1e-5, average=0.999),
        prior_plan: Plan = Plan(updates=1500, batch=64, learning_rate=2e-3, average=0.999),
        head_plan: Plan = Plan(updates=600, batch=32, learning_rate=3e-3),
    ) -> None:
        super().__init__()
        if n_neurons < 1 or n_codes < 1:
            raise SettingError(
                "GNOCCHI needs n_neurons >= 1 and n_codes >= 1.",
                f"It got n_neurons={n_neurons}, n_codes={n_codes}.",
                "Set n_codes=48.",
            )
        if not isinstance(observation.counts, Poisson) or observation.history is not None:
            slots = {"counts": observation.counts, "history": observation.history}
            chosen = ", ".join(f"{name}={type(slot).__name__}" for name, slot in slots.items() if slot is not None)
            raise SettingError(
                "GNOCCHI supports only Poisson counts without history, because it infers no rates of hidden counts.",
                f"Its observation model has {chosen}.",
                "Leave observation out, or use an LDNS or LFADS.",
            )
        if signal_model is not None:
            _check_signal_model(signal_model, n_neurons, signal_settings)
        self.n_neurons = n_neurons
        self.n_codes = n_codes
        self.signal_settings = signal_settings
        self.network_settings = network_settings
        self.signal_model = copy.deepcopy(signal_model)
        self.prior = prior
        self.schedule = schedule
        self.sampler = sampler
        self.observation = copy.deepcopy(observation)
        self.plan = plan
        self.prior_plan = prior_plan
        self.head_plan = head_plan
        self.field = READS[signal_settings.of]  # field of the trials, or of the signal model's results, with the signal
        self.reads = self.field if signal_model is None else "counts"
        self.smoothing = None if self.reads == "rates" else signal_settings.smoothing  # see `Coded`

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of a GNOCCHI. There is no guidance, because every trial is trained with its code."""
        return Capabilities(options=("codes", "sampler"))

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the training stages in order; only "denoiser" is in every model."""
        signal = () if self.signal_model is None else self.signal_model.inference_stage_names
        optional = {
            "prior": self.prior == "diffusion",
            "head": self.signal_settings.of == "latents",
            "noise": self.observation.noise is not None,
        }
        return (*(f"signal_{name}" for name in signal), "denoiser", *(name for name, used in optional.items() if used))

    @property
    def size(self) -> str:
        """Number of codes and source of the signal in words, for `repr`."""
        source = "" if self.signal_model is None else f" of the {self.field} of an {type(self.signal_model).__name__}"
        return f"{counted(self.n_codes, 'code')}{source}"

    # --- building and training ------------------------------------------------------------------------------------

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        if self.signal_model is not None:
            self.signal_model.build_for_inference(facts)
        signal = self.signal_settings
        network = self.network_settings
        whole_trials = signal.form == "components"
        time = facts.longest if whole_trials else 0  # bins of a trial; 0 for a sequence of any length
        channels = signal.n_latents if signal.of == "latents" else facts.n_neurons
        # n trials have at most n - 1 principal components
        components = min(signal.components, facts.n_trials - 1, time * channels) if whole_trials else 0
        smoothing = signal.smoothing / facts.bin_width if signal.of == "spikes" else 0.0  # in bins
        self.activity = Activity(
            channels,
            sd=smoothing,
            time=time,
            components=components,
            log=signal.of == "rates",
            wiener=whole_trials and signal.wiener and signal.of == "spikes",
        )
        width = network.width
        blocks = network.blocks
        if whole_trials:
            self.encoder: nn.Module = Perceptron(
                components, self.n_codes, width=network.encoder_width, blocks=network.encoder_blocks
            )
            backbone: nn.Module = VectorBackbone(
                components, schedule=self.schedule, width=width, blocks=blocks, vector=self.n_codes
            )
        else:
            self.encoder = TrialEncoder(channels, self.n_codes, width=network.encoder_width)
            backbone = Backbone(channels, grouped=False, width=width, blocks=blocks, vector=self.n_codes)
        self.denoiser = NetworkDenoiser(backbone, schedule=self.schedule, prediction="velocity")
        if self.prior == "diffusion":
            code_backbone = VectorBackbone(self.n_codes, schedule=self.schedule, width=128, blocks=3)
            self.code_denoiser = NetworkDenoiser(code_backbone, schedule=self.schedule, prediction="velocity")
        if signal.of == "latents":
            self.head = Decoder(channels, facts.n_neurons, width=64, mixed=True)
        self.space = CodeSpace(self.n_codes)
        self.observation.build(facts.n_neurons, facts.bin_width)

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Train signal model, encoder and denoiser, prior and head, and fit the noise; see `Model.stages`.

        Signal model, diffusion model of the prior, head (latents -> rates) and noise are optional.
        """
        if self.signal_settings.form == "components":
            _check_equal_lengths(trials, validation)
        if self.signal_model is not None:
            for stage in self.signal_model.inference_stages(trials, validation):
                yield replace(stage, name=f"signal_{stage.name}")
        signal = self._signal(trials)
        if signal.shape[2] != len(self.activity.mean):
            raise DataError(
                f"This model needs trials with {counted(len(self.activity.mean), 'latent')} per bin.",
                f"These trials have {signal.shape[2]}.",
                f"Fit with --set signal_settings.n_latents={signal.shape[2]}.",
            )
        self.activity.fit(signal, torch.from_numpy(trials.mask))
        if self.activity.components:  # the network standardises noisy components by their sd
            self.denoiser.backbone.get_buffer("sd").copy_(self.activity.spread)
        data = self._diffused(trials)
        held_out = None if validation is None else self._diffused(validation)
        yield Stage("denoiser", nn.ModuleList((self.encoder, self.denoiser)), self.denoising, data, self.plan, held_out)
        codes = np.array(self.encode(trials, progress=False).codes)
        self.space.fit(codes)
        if self.prior == "diffusion":
            data = {"codes": self.space.whiten(torch.from_numpy(codes))[:, None]}
            yield Stage("prior", self.code_denoiser, self.prior_denoising, data, self.prior_plan)
        if self.signal_settings.of == "latents":
            mask = torch.from_numpy(trials.mask)
            # Generated latents lie in the span of the components, so the head is trained on latents in this span.
            with torch.no_grad():
                batches = zip(signal.split(HEAD_BATCH), mask.split(HEAD_BATCH), strict=True)
                latents = torch.cat([self.activity.back(self.activity(*batch)) for batch in batches])
            data = {"latents": latents, **as_tensors(trials)}
            mean = torch.from_numpy(trials.counts.sum((0, 1)) / trials.n_valid_bins).float()  # spikes/bin (neuron,)
            self.head.start_at(self.observation.drive(mean))  # training begins at the mean counts
            yield Stage("head", self.head, self.spiking, data, self.head_plan)
        if self.observation.noise is not None:
            yield Calculation("noise", {"noise": lambda: self._fit_noise(trials)})

    def _fit_noise(self, trials: Trials) -> None:
        """Fit the noise to the covariances of training trials that counts drawn from generated rates do not have."""
        self.eval()
        fake = calibration_samples(self, trials)["generated"]
        self.observation.adapt(trials, np.asarray(fake.rates), lengths=fake.lengths, seed=CALIBRATION_SEED)

    def denoising(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the velocity loss plus the weighted discrepancy of the codes, and the number of valid entries.

        The loss is a sum over valid entries, so the discrepancy of the batch is multiplied by their number.
        """
        clean = batch["activity"]  # (trial, 1, component), or (trial, time, channel) for a sequence
        mask = batch.get("mask")
        level = torch.from_numpy(streams.uniform()).to(clean.device)
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        prior = torch.from_numpy(streams.normal(PRIOR_DRAWS, self.n_codes)).to(clean.device)  # (trial, draw, code)
        codes = self._codes(clean, mask)
        condition = Condition(vector=codes)
        total, entries = denoising_loss(self.denoiser, clean, level=level, noise=noise, condition=condition, mask=mask)
        parts = {"velocity": total.detach()}
        if len(codes) > 1:  # the discrepancy needs at least two codes
            discrepancy = mmd(codes, prior.flatten(0, 1)) * entries
            total = total + self.network_settings.mmd * discrepancy
            parts["mmd"] = discrepancy.detach()
        return LossTerms(total, entries, parts)

    def prior_denoising(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the velocity loss of the prior's diffusion model on whitened codes."""
        clean = batch["codes"]  # (trial, 1, code)
        level = torch.from_numpy(streams.uniform()).to(clean.device)
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        return LossTerms(*denoising_loss(self.code_denoiser, clean, level=level, noise=noise))

    def spiking(self, batch: Mapping[str, Tensor], _: Streams) -> LossTerms:
        """Return the Poisson loss of the counts under the rates of the head."""
        mask = batch["mask"]
        rates = self.observation.rates(self._drive(batch["latents"]))
        nll = -self.observation.plain.log_prob(batch["counts"].float(), rates)
        return LossTerms((nll * mask[..., None]).sum(), mask.sum() * nll.shape[-1])

    # --- sampling -------------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate activity, rates and counts from a code and noise; see `Model.draw`."""
        device = self.space.mean.device
        lengths = request.lengths
        # This noise is drawn even if codes are requested, so that the noise of the activity is the same in both cases.
        code_noise = torch.from_numpy(request.noise.normal(self.n_codes)).to(device)
        requested = request.codes
        codes = self._from_prior(code_noise) if requested is None else torch.from_numpy(requested).to(device)
        mask = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
        sampler: Sampler = request.sampler or self.sampler
        condition = Condition(vector=codes)
        if self.activity.components:
            self._check_bins(lengths)

            def noise() -> Tensor:
                """Draw one normal number for each component of each trial."""
                return torch.from_numpy(request.noise.normal(1, self.activity.components)).to(device)

            x = sampler.draw(self.denoiser, noise, condition=condition)  # (trial, 1, component)
        else:

            def noise() -> Tensor:
                """Draw one normal number for each channel in each bin of each trial."""
                return torch.from_numpy(request.noise.series(lengths, len(self.activity.mean))).to(device)

            # (trial, time, channel)
            x = sampler.draw(self.denoiser, noise, condition=condition, mask=None if mask.all() else mask.to(device))
        latents = None
        if self.signal_settings.of == "latents":
            latents = self.activity.back(x)
            drive = self._drive(latents)
        else:
            drive = self.observation.drive(self.activity.rates(x))
        rates = self.observation.rates(drive).cpu().numpy()
        counts = self.observation.draw(rates, request.spikes)
        return Generated(counts, rates, None if latents is None else latents.cpu().numpy(), codes.cpu().numpy())

    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer one code per trial from counts, rates or latents; see `Model.infer`.

        With a signal model, the rates and latents that the signal model infers are returned, too.
        """
        device = self.space.mean.device
        inferred = Inferred()
        if self.signal_model is not None:
            inferred = self.signal_model.infer(signal, mask)
            signal = torch.from_numpy(getattr(inferred, self.field))
        if self.activity.components:
            self._check_bins(mask.sum(1).numpy())
        x = self.activity(signal.to(device), mask.to(device))
        codes = self._codes(x, None if self.activity.components else mask.to(device))
        return replace(inferred, codes=codes.cpu().numpy())

    # --- inside ---------------------------------------------------------------------------------------------------

    def _codes(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the code of each trial (trial, code) from its diffused signal, (trial, 1 or time, channel)."""
        codes: Tensor = self.encoder(x[:, 0]) if self.activity.components else self.encoder(x, mask)
        return codes

    def _drive(self, latents: Tensor) -> Tensor:
        """Return the drive of each neuron, from latents that are not standardised."""
        drive: Tensor = self.head((latents - self.activity.mean) / self.activity.sd)
        return drive

    def _from_prior(self, noise: Tensor) -> Tensor:
        """Draw codes (trial, code) from the prior.

        Args:
            noise: Standard normal numbers (trial, code), from which the codes are computed.
        """
        if self.prior == "normal":
            return noise
        whitened = noise  # with the prior "gaussian", whitened codes are standard normal numbers
        if self.prior == "diffusion":
            whitened = DEFAULT.draw(self.code_denoiser, lambda: noise[:, None])[:, 0]
        return self.space.color(whitened)  # the inverse of `whiten`

    def _signal(self, trials: Trials) -> Tensor:
        """Return the diffused signal of trials (trial, time, channel): rates, latents, or counts before smoothing."""
        if self.signal_model is not None:
            only_spikes = replace(trials, rates=None, latents=None)  # true rates of simulated trials are not used
            trials = self.signal_model.encode(only_spikes, progress=False)
        return as_float(signal_of(trials, self.field))

    def _diffused(self, trials: Trials) -> dict[str, Tensor]:
        """Return the training data of encoder and denoiser: the activity, and its mask if it is a sequence.

        Components need no mask, because all trials then have the same length.
        """
        mask = torch.from_numpy(trials.mask)
        with torch.no_grad():
            data = {"activity": self.activity(self._signal(trials), mask)}
        return data if self.activity.components else {**data, "mask": mask}

    def _check_bins(self, lengths: np.ndarray) -> None:
        """Raise a SettingError unless all trials have the length of the space-time components."""
        if (lengths != self.activity.time).any():
            raise SettingError(
                f"This GNOCCHI samples and encodes whole trials of {self.activity.time} bins only.",
                f"A trial has {counted(int(lengths[lengths != self.activity.time][0]), 'bin')}.",
                "Leave n_bins (--bins) out, or fit with --set signal_settings.form=sequence, which takes any length.",
            )


def _check_signal_model(model: Model, n_neurons: int, settings: SignalSettings) -> None:
    """Raise a SettingError if a model cannot infer this signal from the spikes of these neurons."""
    kind = type(model).__name__
    if settings.of == "spikes":
        raise SettingError(
            "With a signal_model, the signal must be rates or latents that the signal_model infers.",
            f"signal_settings.of is spikes, with signal_model={kind}.",
            "Set signal_settings.of=rates.",
        )
    if not model.capabilities.unseen_rates or model.condition or model.is_trained or model.n_neurons != n_neurons:
        conditions = f", conditions {', '.join(model.condition)}" if model.condition else ""
        state = "trained" if model.is_trained else "untrained"
        raise SettingError(
            f"signal_model must be an untrained model without conditions that infers rates of "
            f"{counted(n_neurons, 'neuron')}.",
            f"It is {kind}: {state}, {counted(model.n_neurons, 'neuron')}{conditions}.",
            "Pass an LDNS or LFADS with the same n_neurons. It is trained within the run.",
        )


def _check_equal_lengths(trials: Trials, validation: Trials | None) -> None:
    """Raise a DataError unless all training and validation trials have the same length."""
    lengths = set(trials.lengths) | set(() if validation is None else validation.lengths)
    if len(lengths) > 1:
        raise DataError(
            "Space-time components need trials of equal length.",
            f"These have {min(lengths)} to {max(lengths)} bins.",
            "Cut equal windows, or fit with --set signal_settings.form=sequence, which takes any length.",
        )
