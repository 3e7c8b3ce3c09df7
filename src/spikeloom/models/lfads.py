r"""LFADS: latent factor analysis via dynamical systems (Sussillo et al. 2016; Pandarinath et al. 2018).

LFADS is a sequential variational autoencoder. An encoder reads a trial s forwards and backwards and infers the
posterior of the initial condition z. A recurrent generator starts from z, and its factors f give the rates of all
neurons:

.. math:: q(z \mid s) = N(\mu, \mathrm{diag}\,\sigma^2), \quad g_0 = W z + b, \quad g_t = \mathrm{GRU}(u_t, g_{t-1}),
          \quad f_t = \hat W g_t, \quad s_t \sim \mathrm{Poisson}(e^{W_r f_t + b_r}).

A controller, if there is one, infers inputs u (`nn.generator`). The prior of z is :math:`N(\mu_p, v I)`; the prior of u
is an autoregression. The loss of a trial, in nats, is

.. math:: \sum_{t,n} \mathrm{nll} + \beta\,\mathrm{KL}(q(z) \| p(z)) + \beta_u \mathrm{KL}_u
          + \lambda \sum \|W_{hh}\|^2,

with sums over bins, neurons and dimensions, so that beta = 1 is the evidence lower bound. An implementation that
averages the first term over bins x neurons and sums the second has a KL scale kappa = beta / (bins x neurons);
published values are 1e-7 to 1e-3 (`beta="published"` is 1e-7). Beta and lambda grow linearly over the first updates.

Coordinated dropout (Keshtkaran & Pandarinath 2019): the encoder reads a random part of the entries. The
likelihood is computed on the hidden entries and divided by their share, which estimates the likelihood of the complete
trial. So z contains no information from the entries in the likelihood. On validation trials, the bound is computed from
complete trials.

Inferred rates of a trial are the mean rates over draws from its posterior. Samples start from the prior, or from the
aggregate posterior: a training trial is drawn, then z from its posterior. All other variability comes from Poisson
counts and u.

The implementation follows the papers. They leave some details open, which were chosen here: the gated units of torch,
dropout of encoder and generator states, cosine decay of the learning rate, and a limit on the norm of the gradient per
valid entry.
"""

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, final

import numpy as np
import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from spikeloom.errors import SettingError
from spikeloom.losses import coordinated_dropout
from spikeloom.models.common.base import Capabilities, as_float, as_tensors
from spikeloom.models.common.coded import Coded
from spikeloom.models.common.course import Start, pieces
from spikeloom.models.common.factor_course import FactorCourse
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.likelihood import hidden_in_turn
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, Inferred, in_batches
from spikeloom.models.common.streaming import StreamRequest
from spikeloom.nn.autoregressive import Autoregressive
from spikeloom.nn.codes import CodeSpace
from spikeloom.nn.generator import LARGEST_STATE, Controller, Generator
from spikeloom.nn.recurrent import TrialEncoder
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.settings import STRICT
from spikeloom.text import counted
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, LossTerms, Stage
from spikeloom.trials import Trials

PUBLISHED_KAPPA = 1e-7
"""KL scale of the published settings, for a likelihood averaged over bins and neurons."""

POSTERIOR_DRAWS = 64
"""Number of draws from the posterior of a trial over which rates are averaged."""


@dataclass(frozen=True, config=STRICT)
class LFADSNetworkSettings:
    """Sizes of the networks.

    Args:
        encoder: Units of each direction of each encoder.
        generator: Units of the generator.
        factors: Factors per bin.
        inputs: Inferred inputs per bin; 0 disables the controller.
        controller: Units of the controller; only used with inputs.
        dropout: Dropout probability of the output of the encoder and of the generator states that make the factors.
    """

    encoder: Annotated[int, Field(ge=1)] = 64
    generator: Annotated[int, Field(ge=1)] = 100
    factors: Annotated[int, Field(ge=1)] = 40
    inputs: Annotated[int, Field(ge=0)] = 0
    controller: Annotated[int, Field(ge=1)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3


@dataclass(frozen=True, config=STRICT)
class LossSettings:
    """Weights of the loss.

    Args:
        beta: Weight of the KL of the initial condition, nats per trial. 1 gives the evidence lower bound; "published"
            gives kappa = 1e-7, a weight of 1e-7 x bins x neurons.
        beta_inputs: Weight of the KL of the inputs.
        weight_penalty: Weight lambda, per trial, of the squared recurrent weights of generator and controller.
        ramp: Share of the updates, from the first update, over which these three weights grow from 0 to their values.
        hidden: Probability that coordinated dropout hides an entry from the encoder. With 0, the encoder reads all
            entries and the likelihood includes all of them.
        validation: Loss on the validation trials that selects the best weights: "bound" is the complete loss of
            complete trials, "reconstruction" the negative log-likelihood of hidden entries alone.
    """

    beta: Annotated[float, Field(ge=0)] | Literal["published"] = 1.0
    beta_inputs: Annotated[float, Field(ge=0)] = 1.0
    weight_penalty: Annotated[float, Field(ge=0)] = 0.0
    ramp: Annotated[float, Field(ge=0, le=1)] = 0.1
    hidden: Annotated[float, Field(ge=0, lt=1)] = 0.3
    validation: Literal["bound", "reconstruction"] = "bound"


@dataclasses.dataclass(frozen=True, eq=False)
class _Posterior:
    """Mean and standard deviation of the posterior of the initial condition z of each trial (trial, code)."""

    mean: np.ndarray
    sd: np.ndarray


@final
class LFADS(Coded):
    """A sequential variational autoencoder; see the module for the method.

    Args:
        n_neurons: Neurons of the recording, the last axis of the counts.
        n_codes: Numbers in the initial condition z, the code of a trial.
        network_settings: Sizes of the networks.
        loss_settings: Weights of the loss.
        prior_variance: Variance v of the prior of z.
        learned_variance: Whether v is learned.
        start: Distribution of z in samples: the prior, or the aggregate posterior of the training trials.
        observation: Observation model, from rates to counts. The model keeps a copy.
        plan: Optimisation of all networks.

    Example:
        >>> import spikeloom as sl
        >>> from spikeloom.training import Plan
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> model = sl.LFADS(6, n_codes=4, plan=Plan(updates=2, batch=8))
        >>> model = model.fit(trials, seed=0, progress=False)
        >>> model.encode(trials).rates.shape
        (24, 30, 6)
    """

    controller: Controller
    generator: Generator
    posterior_mean: Tensor  # means of the training trials (trial, code)
    posterior_sd: Tensor

    def __init__(
        self,
        n_neurons: int,
        *,
        n_codes: int = 64,
        network_settings: LFADSNetworkSettings = LFADSNetworkSettings(),
        loss_settings: LossSettings = LossSettings(),
        prior_variance: float = 0.1,
        learned_variance: bool = False,
        start: Literal["prior", "posterior"] = "prior",
        observation: ObservationModel = ObservationModel(Poisson("exp"), history=None, noise=None),
        plan: Plan = Plan(updates=3000, batch=64, learning_rate=4e-3, clip=5.0, weight_decay=0.0),
    ) -> None:
        super().__init__()
        if n_neurons < 1 or n_codes < 1 or not 0 < prior_variance < math.inf:
            raise SettingError(
                "LFADS needs n_neurons >= 1, n_codes >= 1 and a prior_variance > 0.",
                f"It got n_neurons={n_neurons}, n_codes={n_codes}, prior_variance={prior_variance}.",
                "Set n_codes=64, prior_variance=0.1.",
            )
        self.n_neurons = n_neurons
        self.n_codes = n_codes
        self.network_settings = network_settings
        self.loss_settings = loss_settings
        self.prior_variance = prior_variance
        self.learned_variance = learned_variance
        self.start = start
        self.observation = copy.deepcopy(observation)
        self.plan = plan

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of an LFADS: codes, streams, causal live trials, unseen rates; see `Model.capabilities`."""
        bound = self.loss_settings.validation == "bound"
        return Capabilities(options=("codes",), stream=True, live=True, unseen_rates=True, bound=bound)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the training stages in order, without "readout" if the observation model has nothing to fit."""
        return ("lfads", "readout") if list(self.observation.buffers()) else ("lfads",)

    @property
    def size(self) -> str:
        """Numbers of codes and factors in words, for `repr`."""
        return f"{counted(self.n_codes, 'code')}, {counted(self.network_settings.factors, 'factor')}"

    # --- building and training ------------------------------------------------------------------------------------

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        size = self.network_settings
        self.encoder = TrialEncoder(facts.n_neurons, 2 * self.n_codes, width=size.encoder)  # mean and log-variance
        self.opening = nn.Linear(self.n_codes, size.generator)  # from z to the state before the first bin
        self.generator = Generator(size.inputs, size.generator, size.factors)
        self.readout = nn.Linear(size.factors, facts.n_neurons)
        self.prior_mean = nn.Parameter(torch.zeros(self.n_codes))
        log_variance = torch.full((), math.log(self.prior_variance))  # log v
        self.prior_log_variance = nn.Parameter(log_variance, requires_grad=self.learned_variance)
        if size.inputs:
            self.controller = Controller(
                facts.n_neurons, size.inputs, reader=size.encoder, width=size.controller, factors=size.factors
            )
            self.input_prior = Autoregressive(size.inputs)
        self.space = CodeSpace(self.n_codes)
        self.register_buffer("posterior_mean", torch.zeros(facts.n_trials, self.n_codes))
        self.register_buffer("posterior_sd", torch.ones(facts.n_trials, self.n_codes))
        self.observation.build(facts.n_neurons, facts.bin_width)

    @property
    def beta(self) -> float:
        """Weight of the KL of the initial condition, nats per trial."""
        return PUBLISHED_KAPPA * self._entries if self.loss_settings.beta == "published" else self.loss_settings.beta

    @property
    def notes(self) -> dict[str, str]:
        """Scale of the KL divergence in both conventions, as text; see the module and `Model.notes`."""
        scale = f"beta {self.beta:.3g} nats per trial, kappa {self.beta / self._entries:.3g} per bin and neuron"
        return {"KL scale": scale}

    @property
    def _entries(self) -> float:
        """Mean number of bins x neurons of a training trial."""
        facts = self.facts
        return self.n_neurons * sum(length * number for length, number in facts.lengths.items()) / facts.n_trials

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Train all networks in one stage, then fit the statistics of the observation model; see `Model.stages`."""
        mean = torch.from_numpy(trials.counts.sum((0, 1)) / trials.n_valid_bins).float()  # spikes/bin (neuron,)
        with torch.no_grad():  # training begins at the mean counts
            self.readout.bias.copy_(self.observation.drive(mean))
        data = as_tensors(trials)
        held_out = None if validation is None else as_tensors(validation)
        yield Stage("lfads", self, self.bound, data, self.plan, held_out)
        posterior = in_batches(
            lambda rows: self._posterior_of(trials.select(rows)),
            len(trials),
            n_bins=1,  # not used: the arrays of a posterior have no axis of time
            batch=256,
            description="posterior",
        )
        self.posterior_mean.copy_(torch.from_numpy(posterior.mean))
        self.posterior_sd.copy_(torch.from_numpy(posterior.sd))
        self.space.fit(posterior.mean)
        if list(self.observation.buffers()):  # the observation model has statistics to fit
            yield Calculation("readout", {"observation model": lambda: self._fit_observation(trials)})

    def _fit_observation(self, trials: Trials) -> None:
        """Fit the observation model to unseen rates of the training trials; see `unseen_rates`."""
        # 5 distinguishes this use of random numbers from others
        seed = int(generator(0, Purpose.CALIBRATE, 5).integers(2**31))
        self.observation.fit(trials, self.unseen_rates(trials), seed=seed)

    def bound(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the loss, summed over the trials of a batch, and the number of valid entries; see the module.

        In validation the loss may be the reconstruction alone; see `LossSettings.validation`.
        """
        loss = self.loss_settings
        counts = batch["counts"].float()
        mask = batch["mask"]
        only_reconstruction = not self.training and loss.validation == "reconstruction"
        uniform = torch.from_numpy(streams.uniform(*counts.shape[1:])).to(counts.device)
        seen = counts
        weight = torch.ones_like(counts)  # weight of each entry in the likelihood
        if loss.hidden and (self.training or only_reconstruction):
            seen, hidden = coordinated_dropout(counts, uniform, probability=loss.hidden)
            weight = hidden.float() / loss.hidden  # estimates the likelihood of all entries
        mean, log_variance = self.posterior(seen, mask, streams)
        z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(streams.normal(self.n_codes)).to(mean)
        factors, kl_inputs = self._run(z, seen, mask, streams)
        nll = -self.observation.plain.log_prob(counts, self.observation.rates(self.readout(factors)))
        reconstruction = (weight * nll * mask[..., None]).sum()
        kl = self._divergence(mean, log_variance)
        ramp = self._ramp(streams.update)
        total = reconstruction
        if not only_reconstruction:
            penalty = loss.weight_penalty * len(counts) * self._recurrent_energy()
            total = reconstruction + ramp * (self.beta * kl + loss.beta_inputs * kl_inputs + penalty)
        parts = {"nll": reconstruction, "kl": kl, "kl_inputs": kl_inputs}
        return LossTerms(total, mask.sum() * counts.shape[-1], parts)

    def posterior(self, seen: Tensor, mask: Tensor, streams: Streams | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (batch, code) of the posterior of z.

        Args:
            seen: Counts that the encoder reads (batch, time, neuron).
            mask: Valid bins (batch, time).
            streams: Random streams of the dropout. `None` applies no dropout.
        """
        summary = self.encoder.read(seen, mask)  # last states of both directions (batch, 2 x units)
        if streams is not None:
            summary = summary * self._dropout(streams, 2 * self.network_settings.encoder).to(summary)
        # the network gives differences from the prior, so training starts near the prior
        mean, log_variance = self.encoder.leave(summary).chunk(2, -1)
        return self.prior_mean + mean, self.prior_log_variance + log_variance

    def _run(self, z: Tensor, seen: Tensor, mask: Tensor, streams: Streams) -> tuple[Tensor, Tensor]:
        """Return factors (batch, time, factor) from a draw of z, and the KL divergence of the inputs, summed.

        The divergence is estimated from one draw of the inputs: log posterior density minus log prior density.

        Args:
            z: Initial conditions (batch, code).
            seen: Counts that the controller reads (batch, time, neuron).
            mask: Valid bins (batch, time).
            streams: Random streams of the inputs and of the dropout.
        """
        n_bins = seen.shape[1]
        size = self.network_settings
        first_state = self._first_state(z)
        dropout = self._dropout(streams, n_bins, size.generator).to(z) if self.training else None
        if not size.inputs:
            states = self.generator(first_state, seen[..., :0])  # inputs of size 0
            divergence = z.new_zeros(())
        else:
            noise = torch.from_numpy(streams.normal(n_bins, size.inputs)).to(z)
            encoded = self.controller.read(seen, mask)
            states, inputs, mean, log_variance = self.controller(
                encoded, first_state, self.generator, noise=noise, kept=dropout
            )
            # log-density of the inputs under their posterior, a Gaussian
            log_density = -0.5 * (
                (inputs - mean).square() * torch.exp(-log_variance) + log_variance + math.log(2 * math.pi)
            )
            divergence = ((log_density - self.input_prior.log_prob(inputs)) * mask[..., None]).sum()
        return self.generator.factors(states if dropout is None else states * dropout), divergence

    def _dropout(self, streams: Streams, *shape: int) -> Tensor:
        """Return the factors of dropout (trial, *shape): 0 or 1 / (1 - probability) in training, and 1 otherwise."""
        probability = self.network_settings.dropout
        if not (self.training and probability):
            return torch.ones(len(streams.generators), *shape)
        return (torch.from_numpy(streams.uniform(*shape)) >= probability).float() / (1 - probability)

    def _divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return KL(q(z) || p(z)), summed over the numbers of a code and over trials."""
        prior_log_variance = self.prior_log_variance
        scaled = (log_variance.exp() + (mean - self.prior_mean).square()) / prior_log_variance.exp()
        return 0.5 * (scaled - 1 - log_variance + prior_log_variance).sum()

    def _ramp(self, update: int) -> float:
        """Return the factor of the weights beta, beta_u and lambda.

        It grows from 0 to 1 in the first updates. On validation trials it is 1.
        """
        n_updates = self.loss_settings.ramp * self.plan.updates
        return min(1.0, (update + 1) / n_updates) if self.training and n_updates else 1.0

    def _recurrent_energy(self) -> Tensor:
        """Return the sum of the squared recurrent weights of generator and controller."""
        weights: list[Tensor] = [self.generator.units.get_parameter("weight_hh_l0")]
        if self.network_settings.inputs:
            weights.append(self.controller.units.weight_hh)
        return torch.stack([weight.square().sum() for weight in weights]).sum()

    # --- sampling -------------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate factors, rates and counts from an initial condition; see `Model.draw`."""
        drawn = self._draw_z(request.noise)  # drawn also for requested codes, so that the later noise is the same
        z = (drawn if request.codes is None else torch.from_numpy(request.codes)).to(self.prior_mean)
        generated = self._course(z, Start(request.noise, request.spikes)).advance(int(request.lengths.max()))
        return dataclasses.replace(generated, codes=z.cpu().numpy())

    def unroll(self, request: StreamRequest) -> Iterator[Generated]:
        """Generate consecutive pieces of one trial; see `Model.unroll`."""
        return pieces(self.begin(Start(request.noise, request.spikes)), request, size=self.facts.longest)

    @torch.no_grad()
    def begin(self, start: Start) -> FactorCourse:
        """Begin trials whose bins are generated on demand; see `Model.begin`."""
        return self._course(self._draw_z(start.noise).to(self.prior_mean), start)

    def _course(self, z: Tensor, start: Start) -> FactorCourse:
        """Return trials that begin at initial conditions (trial, code)."""
        return FactorCourse(
            start,
            self._first_state(z),
            generator=self.generator,
            input_prior=self.input_prior if self.network_settings.inputs else None,
            readout=self.readout,
            observation=self.observation,
        )

    def infer(self, signal: Tensor, mask: Tensor) -> Inferred:
        """Infer the posterior mean of the initial condition, mean factors and mean rates; see `Model.infer`."""
        seen = signal.to(self.prior_mean)
        mask = mask.to(self.prior_mean.device)
        factors, rates = self._smoothed(seen, mask)
        codes, _ = self.posterior(seen, mask)
        return Inferred(rates.cpu().numpy(), factors.cpu().numpy(), codes.cpu().numpy())

    def _smoothed(self, seen: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return factors and rates (batch, time, ...), averaged over draws from the posterior of each trial.

        All trials use the same random numbers, so that the result does not depend on the batch.
        """
        n_inputs = self.network_settings.inputs
        mean, log_variance = self.posterior(seen, mask)
        encoded = self.controller.read(seen, mask) if n_inputs else None
        factors = torch.zeros(())  # the means grow to (batch, time, factor) and (batch, time, neuron)
        rates = torch.zeros(())
        for number in range(POSTERIOR_DRAWS):
            rng = generator(0, Purpose.CALIBRATE, 4, number)  # the same numbers for all trials; 4 is for this use
            z = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(rng.standard_normal(self.n_codes)).to(mean)
            first_state = self._first_state(z)
            if encoded is None:
                states = self.generator(first_state, seen[..., :0])
            else:
                noise = torch.from_numpy(rng.standard_normal((seen.shape[1], n_inputs))).to(mean)
                noise = noise.expand(len(seen), -1, -1)
                states = self.controller(encoded, first_state, self.generator, noise=noise)[0]
            drawn_factors = self.generator.factors(states)
            factors = factors + drawn_factors / POSTERIOR_DRAWS
            rates = rates + self.observation.rates(self.readout(drawn_factors)) / POSTERIOR_DRAWS
        return factors, rates

    def unseen_rates(self, trials: Trials) -> np.ndarray:
        """Infer the rate of each entry while the count of this entry is hidden; see `Model.unseen_rates`."""

        def rates(seen: Tensor, mask: Tensor) -> Tensor:
            """Infer rates of one batch from the counts that are not hidden."""
            _, rates = self._smoothed(seen.to(self.prior_mean), mask.to(self.prior_mean.device))
            return rates

        return hidden_in_turn(rates, trials, share=self.loss_settings.hidden)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _first_state(self, z: Tensor) -> Tensor:
        """Return the state of the generator before the first bin, from the initial condition z."""
        return self.opening(z).clamp(-LARGEST_STATE, LARGEST_STATE)

    def _draw_z(self, noise: Streams) -> Tensor:
        """Draw initial conditions (trial, code) from the prior or the aggregate posterior."""
        white = torch.from_numpy(noise.normal(self.n_codes))
        # number of a training trial, drawn uniformly for each sample
        row = (torch.from_numpy(noise.uniform()).double() * len(self.posterior_mean)).long()
        if self.start == "prior":
            return self.prior_mean.cpu() + torch.exp(0.5 * self.prior_log_variance).cpu() * white
        return self.posterior_mean.cpu()[row] + self.posterior_sd.cpu()[row] * white

    def _posterior_of(self, trials: Trials) -> _Posterior:
        """Return the posterior of z of complete trials."""
        counts = as_float(trials.counts).to(self.prior_mean)
        mask = torch.from_numpy(trials.mask)
        mean, log_variance = self.posterior(counts, mask.to(self.prior_mean.device))
        return _Posterior(mean.cpu().numpy(), torch.exp(0.5 * log_variance).cpu().numpy())
