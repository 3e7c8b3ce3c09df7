r"""The autoencoder of LDNS, shared by all models of its latents: counts s -> latents z -> rates r.

The autoencoder is trained with coordinated dropout. The encoder reads :math:`s k / (1 - p)` with :math:`k \sim
\mathrm{Bernoulli}(1 - p)` for every entry (one neuron in one bin); p is fixed, or drawn for each trial. The loss is
computed on the entries that the encoder did not read (k = 0), and with the weight w on the others (the setting `kept`,
0 in the paper),

.. math:: \frac{1}{M} \sum (1 - k + w k)\,\mathrm{nll}(s \mid r) + \frac{\beta_1}{M} \sum z^2
   + \frac{\beta_2}{M} \sum_{j=1}^{5} \frac{1}{1+j} \sum_t \|z_t - z_{t+j}\|^2,

with M valid entries in the batch and the negative log-likelihood nll of Poisson counts. The readout
(`models.common.readout`) maps latents to spikes.

A model of the latents is a `LatentModel`. Its `stages` have three parts: `autoencoder_stage`; then `fit_scale` and the
stages of the model itself, which learn from `latents_of`; and at the end `readout_stage`.

Trials longer than the training trials are encoded in overlapping windows (`nn.window`).

Source: Kapoor, Schulz, Vetter, Pei, Gao, Macke 2024 (LDNS).
"""

import abc
from collections.abc import Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from spikeloom.errors import SettingError
from spikeloom.losses import coordinated_dropout, energy, smoothness
from spikeloom.models.common.base import Model, as_tensors
from spikeloom.models.common.calibration_samples import CALIBRATION_SEED, calibration_samples
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_autoregression import latent_autoregression
from spikeloom.models.common.latent_gaussian import latent_gaussian
from spikeloom.models.common.latent_settings import AutoencoderSettings
from spikeloom.models.common.likelihood import hidden_in_turn
from spikeloom.models.common.readout import GeneratedSource, Readout
from spikeloom.models.common.results import Inferred
from spikeloom.nn.window import in_windows
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams
from spikeloom.text import counted
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage
from spikeloom.trials import Trials


class LatentModel(Model, abc.ABC):
    """A generative model of the latents of an autoencoder; see the module.

    Args:
        n_neurons: Neurons of the recording, the last axis of the counts.
        n_latents: Latents per bin.
        autoencoder_settings: Networks and losses of the autoencoder.
        autoencoder_plan: Optimisation of the autoencoder.
        observation: Observation model, from rates to counts. The model keeps a copy for each source of latents.
        student: Whether latents also come from a student; see `models.common.readout`.

    Raises:
        SettingError: if `n_latents` does not divide the autoencoder's width.
    """

    def __init__(
        self,
        n_neurons: int,
        *,
        n_latents: int,
        autoencoder_settings: AutoencoderSettings,
        autoencoder_plan: Plan,
        observation: ObservationModel,
        student: bool = False,
    ) -> None:
        super().__init__()
        if n_neurons < 1 or n_latents < 1 or autoencoder_settings.width % n_latents:
            raise SettingError(
                f"{type(self).__name__} needs n_neurons >= 1 and n_latents >= 1, and n_latents must divide the width "
                "of the autoencoder.",
                f"It got n_neurons={n_neurons}, n_latents={n_latents} and a width of {autoencoder_settings.width}.",
                f"For {counted(n_latents, 'latent')} choose a width such as {max(1, n_latents) * 4}.",
            )
        self.n_neurons = n_neurons
        self.n_latents = n_latents
        self.autoencoder_settings = autoencoder_settings
        self.autoencoder_plan = autoencoder_plan
        self.readout = Readout(observation, calibrated=autoencoder_settings.calibrate, student=student)

    @property
    def size(self) -> str:
        """Number of latents per bin in words, for `repr`."""
        return counted(self.n_latents, "latent")

    @property
    def observation(self) -> ObservationModel:  # type: ignore[override]  # a part of the readout, registered once
        """The observation model fitted to the training trials. Samples use copies adapted to them; see `Readout`."""
        return self.readout.observation

    @final
    def build_inference(self, facts: Facts) -> None:
        """Make the autoencoder without the model of its latents; see `Model.build_inference`."""
        self.build_autoencoder(facts)

    @final
    def inference_stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage]:
        """Yield the stage of the autoencoder, then calibrate its rates; see `Model.inference_stages`."""
        yield self.autoencoder_stage(trials, validation)
        self.fit_scale(trials)
        self.readout.calibrate_inferred(trials, self.readout.encoded(trials, self._encoder_latents).rates)

    @final
    @property
    def inference_stage_names(self) -> tuple[str, ...]:
        """Names of the stages that `inference_stages` yields: the autoencoder alone."""
        return ("autoencoder",)

    # --- the first stage ------------------------------------------------------------------------------------------

    @final
    def build_autoencoder(self, facts: Facts) -> None:
        """Make encoder, decoder and the buffers of the readout; see `Model.build`."""
        self.longest = facts.longest  # longer trials are encoded in windows of this length
        settings = self.autoencoder_settings
        self.encoder = settings.encoder(facts.n_neurons, self.n_latents)
        decoder = settings.decoder(facts.n_neurons, self.n_latents)
        self.readout.build(decoder, n_latents=self.n_latents, n_neurons=facts.n_neurons, bin_width=facts.bin_width)

    @final
    def autoencoder_stage(self, trials: Trials, validation: Trials | None) -> Stage:
        """Return the stage of the autoencoder, whose rates begin at the mean counts of the training trials."""
        self.readout.start(trials)
        data = as_tensors(trials)
        held_out = None if validation is None else as_tensors(validation)
        networks = nn.ModuleList((self.encoder, self.readout.decoder))
        return Stage("autoencoder", networks, self.reconstruction, data, self.autoencoder_plan, held_out)

    @final
    def reconstruction(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the loss of the autoencoder, as a sum over valid entries (see the module), and their number M."""
        settings = self.autoencoder_settings
        counts = batch["counts"].float()
        mask = batch["mask"]
        uniform = torch.from_numpy(streams.uniform(*counts.shape[1:])).to(counts.device)
        probability: float | Tensor = settings.dropout
        if settings.most_dropout is not None:
            span = settings.most_dropout - settings.dropout
            position = torch.from_numpy(streams.uniform()).to(counts.device)[:, None, None]  # one number per trial
            probability = settings.dropout + span * position
        seen, hidden = coordinated_dropout(counts, uniform, probability=probability)
        latents = self.encoder(seen, mask)
        nll = -self.readout.training_log_prob(counts, latents)
        valid = mask.float()
        weight = torch.where(hidden, 1.0, settings.kept) * valid[..., None]
        reconstruction = (weight * nll).sum()
        total = (
            reconstruction + settings.energy * energy(latents, valid) + settings.smoothness * smoothness(latents, valid)
        )
        return LossTerms(total, valid.sum() * counts.shape[-1], {"nll": reconstruction.detach()})

    # --- between the stages ---------------------------------------------------------------------------------------

    @final
    def fit_scale(self, trials: Trials) -> None:
        """Fit mean and sd of each latent to the training trials. The autoencoder must be trained."""
        self.eval()
        self.readout.fit_scale(self.readout.encoded(trials, self._encoder_latents).latents, trials.mask)

    @final
    def latents_of(self, trials: Trials) -> dict[str, Tensor]:
        """Return standardised latents of complete trials, their mask, and the encoded conditions of the model."""
        latents = torch.from_numpy(np.array(self.encode(trials, progress=False).latents))
        data = {"latents": latents, "mask": torch.from_numpy(trials.mask)}
        if self.condition:
            condition = self.facts.conditions.encode({**trials.conditions, **trials.behavior})
            parts = {"vector": condition.vector, "sequence": condition.sequence}
            data |= {name: value for name, value in parts.items() if value is not None}
        return data

    @final
    def readout_stage(self, trials: Trials) -> Calculation:
        """Return the stage that fits observation model and calibrations. All networks must be trained."""
        self.eval()
        samples: dict[GeneratedSource, Trials] = {}

        def fit_inferred() -> None:
            """Fit the observation model to the training trials, and calibrate inferred rates."""
            self.readout.fit_inferred(
                trials, self.readout.encoded(trials, self._encoder_latents).rates, self.unseen_rates
            )

        def draw_samples() -> None:
            """Generate samples of each source."""
            samples.update(self.calibration_samples(trials))

        def fit_generated() -> None:
            """Calibrate generated rates, and adapt the observation model to them."""
            self.readout.fit_generated(trials, samples, seed=CALIBRATION_SEED)

        parts = {"observation model": fit_inferred}
        if self.autoencoder_settings.calibrate:
            parts |= {"samples for calibration": draw_samples, "generated rates": fit_generated}
        return Calculation("readout", parts)

    def calibration_samples(self, trials: Trials) -> dict[GeneratedSource, Trials]:
        """Generate the samples of each source, with which the readout calibrates generated rates."""
        return calibration_samples(self, trials)

    # --- inferring ------------------------------------------------------------------------------------------------

    @final
    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer standardised latents and rates from counts; see `Model.infer`."""
        latents = self.readout.standardised(self._encoder_latents(signal, mask))
        rates = self.readout.rates(latents, "inferred")
        return Inferred(rates.cpu().numpy(), latents.cpu().numpy())

    @final
    def unseen_rates(self, trials: Trials) -> np.ndarray:
        """Infer the rate of each entry while the count of this entry is hidden; see `Model.unseen_rates`.

        These rates are not calibrated.
        """

        def rates(seen: Tensor, mask: Tensor) -> Tensor:
            """Infer rates of one batch from the counts that are not hidden."""
            return self.readout.unseen(self._encoder_latents(seen, mask))

        return hidden_in_turn(rates, trials, share=self.autoencoder_settings.dropout)

    @final
    def latent_baselines(self, reference: Trials, *, like: Trials, seed: int = 0) -> dict[str, Trials]:
        """Generate trials from a Gaussian and from a linear autoregression; see `Model.latent_baselines`."""
        draws = {"Gaussian": self.gaussian, "linear autoregression": self.autoregression}
        return {f"{name} on the latents": draw(reference, like=like, seed=seed) for name, draw in draws.items()}

    @final
    def gaussian(self, reference: Trials, *, like: Trials, seed: int = 0) -> Trials:
        """Generate trials from a Gaussian fitted to the latents of recorded trials; see `latent_gaussian`."""
        inferred = np.asarray(self.encode(reference, progress=False).latents)
        n_bins = int(like.lengths.max())
        drawn = latent_gaussian(inferred[:, :n_bins], reference.mask[:, :n_bins], n_trials=len(like), seed=seed)
        return self._decoded(drawn, "Gaussian", like=like, seed=seed)

    @final
    def autoregression(self, reference: Trials, *, like: Trials, seed: int = 0) -> Trials:
        """Generate trials from an autoregression fitted to latents of recorded trials; see `latent_autoregression`."""
        inferred = np.asarray(self.encode(reference, progress=False).latents)
        n_bins = int(like.lengths.max())
        drawn = latent_autoregression(inferred, reference.mask, n_trials=len(like), n_bins=n_bins, seed=seed)
        return self._decoded(drawn, "linear autoregression", like=like, seed=seed)

    @torch.no_grad()
    def _decoded(self, drawn: np.ndarray, name: str, *, like: Trials, seed: int) -> Trials:
        """Draw counts from the standardised latents of a baseline (trial, time, latent), and return them as trials.

        The baseline was fitted to inferred latents, so its latents are read out like inferred latents.
        """
        latents = torch.from_numpy(drawn.astype(np.float32))
        spikes = Streams(seed, Purpose.SPIKES, 0, range(len(like)))
        counts = self.readout.draw(latents.to(self.readout.mean.device), "inferred", spikes).counts
        return Trials(
            counts,
            like.bin_width,
            lengths=like.lengths,
            neuron_table=self.facts.neuron_table,
            conditioned_on=(),
            source=f"{name} on the latents of {type(self).__name__}",
        )

    @final
    def _encoder_latents(self, counts: Tensor, mask: Tensor) -> Tensor:
        """Return the latents (trial, time, latent) of one batch of counts from the encoder, not standardised."""
        device = self.readout.mean.device
        return in_windows(self.encoder, counts.to(device), mask.to(device), window=self.longest)
