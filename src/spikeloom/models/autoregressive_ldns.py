r"""AutoregressiveLDNS: a causal model of the latents of LDNS. It generates each bin from earlier bins alone.

It has the autoencoder, the readout and the observation model of LDNS (`models.common.latent_autoencoder`, `readout`). A
linear autoregression (`nn.linear_autoregression`) with one code per trial replaces the diffusion,

.. math:: z_t = A \phi_t + L \varepsilon_t, \qquad
          \phi_t = [z_{t-1};\; \text{means of } z_{<t} \text{ at several time constants};\; h(t) \otimes [1; c_t; b]],

or, for nonlinear dynamics, :math:`z_t = A \phi_t + g(s_t, \varepsilon_t)` with a recurrent network g.

* h(t), the clock, is a vector of hat functions of the time in a trial (`nn.clock`). With the clock, the coefficients
  change in the course of a trial. The clock is off if trials have no common time course, such as pieces of a continuous
  recording.
* :math:`c_t` is the condition: the first harmonics of an angle, one of K for a category, a standardised number, or the
  values of a series in bin t and their length, which is the speed if they are a velocity. The condition may change in
  any bin. Bin t does not depend on later conditions.
* b is the code of the trial. It describes how the trial deviates slowly from the prediction by c: whitened principal
  components of latents that are averaged under each hat (`nn.trial_code`). A small flow, conditioned on c, draws one
  code per trial.
* g, the nonlinear term (`nn.nonlinear_term`), is trained after A if there is a `nonlinear_plan`. It learns from series
  of bins that the model generates freely (`models.common.nonlinear_stage`). It is used only if it is better than
  :math:`L \varepsilon_t` on validation trials.

A, L and the components of the code are computed in closed form. The flow is trained by gradients. It is a
`NetworkDenoiser` that predicts the velocity of whitened codes, and its sampler adds no noise. (This is a rectified
flow, apart from the scale of its variable: with the signal scale a and the noise scale :math:`\sigma` of a level,
:math:`x / (a + \sigma)` lies on the straight line from the noise to the code.)

Samples without conditions come from a second set of A, L, b and flow, which is fitted without conditions and with a
larger code. So unconditional samples do not need conditions of training trials, and a model that is conditioned on
series can also sample unconditionally.

**Guidance** w replaces c by :math:`\bar c + w (c - \bar c)` in the autoregression, with the mean :math:`\bar c` of the
training trials. w = 1 is the model itself.

**Long trials.** Beyond the longest training trial the clock keeps its last value and the code drifts,
:math:`b_t = \rho b_{t-1} + \sqrt{1 - \rho^2}\,\eta_t`, which keeps its mean 0 and covariance I. The correlation time of
:math:`\rho` is a setting.

**Equal numbers.** Samples, streams and live trials run the same two loops over bins: one generates the latents
(`nn.linear_autoregression.Recursion`), the other the counts (`observation.course`). Codes and latents are in double
precision, so that the counts of a trial do not depend on the batch, the pieces or the rounding of sums on a machine.
"""

import math
from collections.abc import Iterator
from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.diffusion.denoiser import DoublePrecision
from spikeloom.diffusion.sampler import Sampler, UniPC
from spikeloom.models.common.base import Capabilities
from spikeloom.models.common.course import Course, Start, State, pieces
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.latent_autoencoder import LatentModel
from spikeloom.models.common.latent_dynamics import Dynamics, DynamicsSettings, per_bin
from spikeloom.models.common.latent_settings import AutoencoderSettings
from spikeloom.models.common.nonlinear_stage import nonlinear_stage
from spikeloom.models.common.request import Request
from spikeloom.models.common.results import Generated, in_pieces
from spikeloom.models.common.streaming import StreamRequest
from spikeloom.nn.condition import Condition
from spikeloom.nn.linear_autoregression import Recursion
from spikeloom.observation.links import array
from spikeloom.observation.model import ObservationModel
from spikeloom.shapes import Array
from spikeloom.training.plan import Plan
from spikeloom.training.stage import Calculation, Stage
from spikeloom.trials import Trials

CODE_SAMPLER: Sampler = UniPC(10, span=(20.0, 0.02))
"""Default sampler of codes, with 10 steps. With 400 steps, codes from the same noise differ by 0.02 to 0.03 (root mean
square; the sd of codes is 0.9), and the sd of codes differs by less than 1 %."""


@final
class AutoregressiveLDNS(LatentModel):
    """An autoregression with one code per trial on the latents of LDNS; see the module for the method.

    Args:
        n_neurons: Neurons of the recording, the last axis of the counts.
        n_latents: Latents per bin; this number must divide the width of the autoencoder.
        autoencoder_settings: Networks and losses of the autoencoder.
        dynamics_settings: Settings of the autoregression and of the code.
        sampler: Sampler that turns noise into a code.
        observation: Observation model, from rates to counts. The model keeps a copy.
        condition: Names of the conditions and behaviour series on which the latents are conditioned.
        guidance: Strength of the conditions unless `sample` sets another; see the module.
        autoencoder_plan: Optimisation of the autoencoder.
        code_plan: Optimisation of the flow that draws codes.
        nonlinear_plan: Optimisation of the nonlinear term. With `None`, there is no such term: the dynamics are linear.

    Raises:
        SettingError: if `n_latents` does not divide the autoencoder's width.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(24, n_neurons=6, n_bins=30, seed=0)
        >>> quick = ["autoencoder_plan.updates=2", "code_plan.updates=2"]
        >>> model = sl.fit("autoregressive-ldns-tiny", trials, changes=quick, seed=0, progress=False)
        >>> model.sample(3, seed=1).latents.shape
        (3, 30, 8)
    """

    conditional: Dynamics
    batch = 256  # part of the work per bin does not depend on the number of trials, so large batches are faster

    def __init__(
        self,
        n_neurons: int,
        *,
        n_latents: int = 96,
        autoencoder_settings: AutoencoderSettings = AutoencoderSettings(width=96),
        dynamics_settings: DynamicsSettings = DynamicsSettings(),
        sampler: Sampler = CODE_SAMPLER,
        observation: ObservationModel = ObservationModel(),
        condition: tuple[str, ...] = (),
        guidance: float = 1.0,
        autoencoder_plan: Plan = Plan(updates=3000, batch=32, learning_rate=2e-3),
        code_plan: Plan = Plan(updates=2000, batch=256, learning_rate=2e-3, average=0.999),
        nonlinear_plan: Plan | None = None,
    ) -> None:
        super().__init__(
            n_neurons,
            n_latents=n_latents,
            autoencoder_settings=autoencoder_settings,
            autoencoder_plan=autoencoder_plan,
            observation=observation,
        )
        self.dynamics_settings = dynamics_settings
        self.sampler = sampler
        self.code_plan = code_plan
        self.nonlinear_plan = nonlinear_plan
        self.condition = tuple(condition)
        self.guidance = guidance

    @property
    def capabilities(self) -> Capabilities:
        """Abilities of this model: all of LDNS, and causal live trials; see `Model.capabilities`."""
        return Capabilities(
            options=("condition", "guidance", "sampler"),
            stream=True,
            live=True,
            unseen_rates=True,
            latent_baselines=True,
        )

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the training stages in order; the nonlinear and the conditional ones are optional."""
        parts = ("code",) if self.nonlinear_plan is None else ("code", "nonlinear")
        conditional = [f"conditional_{part}" for part in parts] if self.condition else []
        return ("autoencoder", *parts, *conditional, "readout")

    # --- building and training -------------------------------------------------------------------------------------

    def build(self, facts: Facts) -> None:
        """Make networks and buffers; see `Model.build`."""
        self.build_autoencoder(facts)
        settings = self.dynamics_settings
        nonlinear = self.nonlinear_plan is not None
        new_dynamics = partial(Dynamics, settings, n_latents=self.n_latents, facts=facts, nonlinear=nonlinear)
        self.free = new_dynamics(n_codes=settings.n_free_codes, vector=0, sequence=0)
        if self.condition:
            self.conditional = new_dynamics(
                n_codes=settings.n_codes,
                vector=facts.conditions.size_with_features(settings.harmonics, per_bin=False),
                sequence=facts.conditions.size_with_features(settings.harmonics, per_bin=True),
            )

    def stages(self, trials: Trials, validation: Trials | None) -> Iterator[Stage | Calculation]:
        """Train the autoencoder, fit the dynamics and train their flows, then fit the readout; see `Model.stages`."""
        yield self.autoencoder_stage(trials, validation)
        self.fit_scale(trials)
        data = self.latents_of(trials)
        held_out = None if validation is None else self.latents_of(validation)
        free_held_out = None if held_out is None else self._without_condition(held_out)
        yield from self._dynamics_stages("", self.free, self._without_condition(data), free_held_out)
        if self.condition:
            conditional_held_out = None if held_out is None else self._with_condition(held_out)
            yield from self._dynamics_stages(
                "conditional_", self.conditional, self._with_condition(data), conditional_held_out
            )
        yield self.readout_stage(trials)

    def _dynamics_stages(
        self, prefix: str, dynamics: Dynamics, data: dict[str, Tensor], held_out: dict[str, Tensor] | None
    ) -> Iterator[Stage]:
        """Fit dynamics in closed form, then train their flow and, with a plan, their nonlinear term.

        Args:
            prefix: Beginning of the names of the stages.
            dynamics: Dynamics to fit, with or without conditions.
            data: Latents, mask and inputs of the training trials.
            held_out: The same data of the validation trials, or None.
        """
        dynamics.fit(data, self.dynamics_settings)

        def flow_data(latent_data: dict[str, Tensor]) -> dict[str, Tensor]:
            """Return the codes of trials (trial, 1, code), and the vectors of their conditions."""
            codes = {"codes": dynamics.codes(latent_data).float()[:, None]}
            return codes | {key: value for key, value in latent_data.items() if key == "vector"}

        held_out_flow = None if held_out is None else flow_data(held_out)
        yield Stage(prefix + "code", dynamics.flow, dynamics.flow_loss, flow_data(data), self.code_plan, held_out_flow)
        if self.nonlinear_plan is not None:
            segment = self.dynamics_settings.segment
            name = prefix + "nonlinear"
            yield from nonlinear_stage(dynamics, data, held_out, self.nonlinear_plan, segment=segment, name=name)

    def _without_condition(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return latents and mask of trials (as `latents_of` returns them), with inputs of size 0."""
        return {"latents": data["latents"], "mask": data["mask"], "inputs": data["latents"][..., :0]}

    def _with_condition(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return latents, mask, the vector with its harmonics, and the condition of each bin as inputs.

        Args:
            data: Latents, mask and encoded conditions of trials, as `latents_of` returns them.
        """
        condition = self.condition_features(Condition(data.get("vector"), data.get("sequence")))
        # (trial, time, input)
        inputs = per_bin(condition, len(data["latents"]), data["latents"].shape[1])
        vector = {} if condition.vector is None else {"vector": condition.vector}
        return {"latents": data["latents"], "mask": data["mask"], "inputs": inputs} | vector

    def condition_features(self, condition: Condition) -> Condition:
        """Return an encoded condition with the harmonics of its angles and the lengths of its series."""
        return self.facts.conditions.with_features(condition, self.dynamics_settings.harmonics)

    # --- generating --------------------------------------------------------------------------------------------------

    def draw(self, request: Request) -> Generated:
        """Generate codes -> latents -> rates -> counts; see `Model.draw`."""
        start = Start(request.noise, request.spikes, request.condition is not None, request.guidance, request.sampler)
        return self.begin(start).advance(int(request.lengths.max()), request.condition)

    def unroll(self, request: StreamRequest) -> Iterator[Generated]:
        """Generate consecutive pieces of one trial; see `Model.unroll`."""
        start = Start(request.noise, request.spikes, request.conditions.present, request.guidance, request.sampler)
        return pieces(self.begin(start), request, size=self.longest)

    def begin(self, start: Start) -> "LatentCourse":
        """Begin trials whose bins are generated on demand; see `Model.begin`."""
        return LatentCourse(self, start)


@final
class LatentCourse(Course):
    """Trials of an `AutoregressiveLDNS` that are generated bin after bin.

    Args:
        model: A trained model.
        start: Random streams and settings of the trials.
    """

    def __init__(self, model: AutoregressiveLDNS, start: Start) -> None:
        self.start = start
        self.model = model
        self.n_trials = len(start.noise.generators)
        self.dynamics = model.conditional if start.conditional else model.free
        self.usual = array(self.dynamics.usual)  # mean condition of the training trials (input,)
        self.recursion = Recursion(self.dynamics.autoregression, self.n_trials, self.dynamics.term)
        self.spikes = model.readout.begin("conditional" if start.conditional else "generated", start.spikes)
        drift = model.dynamics_settings.drift or model.longest * model.facts.bin_width  # correlation time, s
        self.rho = math.exp(-model.facts.bin_width / drift)  # correlation of a drifting code in neighbouring bins
        self.code: Float[np.ndarray, "trial code"] | None = None  # drawn under the condition of the first bin
        self.condition: Condition | None = None  # condition of the last call
        self.encoded = Condition()  # the same condition with its features

    def advance(self, n_bins: int, condition: Condition | None = None) -> Generated:
        """Generate the next bins of all trials; see `Course.advance`."""
        if condition is not self.condition:  # features are computed once per condition, not once per bin
            self.condition = condition
            self.encoded = Condition() if condition is None else self.model.condition_features(condition)
        inputs = per_bin(self.encoded, self.n_trials, n_bins).numpy()
        inputs = self.usual + self.start.guidance * (inputs - self.usual)  # guidance; see the module
        if self.code is None:
            self.code = self._drawn_code(self.encoded)
        entries = self.n_trials * self.model.n_latents  # latents of one bin, for the size of the pieces
        return in_pieces(lambda bins: self.spikes.advance(self._latents(inputs[:, bins])), n_bins, entries=entries)

    def _latents(self, inputs: Float[np.ndarray, "trial time input"]) -> Float[np.ndarray, "trial time latent"]:
        """Generate the latents of the next bins under their conditions, and let the code drift in long trials."""
        assert self.code is not None  # `advance` draws it
        n_trials, n_bins, _ = inputs.shape
        n_codes = self.code.shape[1]
        white = self.start.noise.normal(n_bins, n_codes + self.model.n_latents)
        code_noise = white[..., :n_codes]  # eta in the module, only used beyond the longest training trial
        noise = white[..., n_codes:]  # epsilon in the module
        latents = np.empty((n_trials, n_bins, self.model.n_latents))
        for time in range(n_bins):
            if self.recursion.time >= self.model.longest:
                self.code = self.rho * self.code + math.sqrt(1 - self.rho**2) * code_noise[:, time]
            driving = np.concatenate((inputs[:, time], self.code), 1)  # c_t and b in the module
            latents[:, time] = self.recursion.step(driving, noise[:, time])
        return latents

    def _drawn_code(self, condition: Condition) -> Float[np.ndarray, "trial code"]:
        """Draw the code of each trial from the flow, conditioned on the vector of the first bin."""
        device = self.dynamics.usual.device
        vector = None if condition.vector is None else condition.vector.double().to(device)
        if vector is not None and len(vector) == 1:  # one vector for all trials
            vector = vector.expand(self.n_trials, -1)
        sampler: Sampler = self.start.sampler or self.model.sampler

        def noise() -> Tensor:
            """Draw one normal number for each number of each code."""
            return torch.from_numpy(self.start.noise.normal(1, self.dynamics.n_codes)).double().to(device)

        codes = sampler.draw(DoublePrecision(self.dynamics.flow), noise, condition=Condition(vector))[:, 0]
        return codes.cpu().numpy()

    def state(self) -> dict[str, Array]:
        """Return streams, past, code and memory of the observation model; see `Course.state`."""
        state: dict[str, Array] = {"noise": self.start.noise.state(), **self.spikes.counts.state()}
        if self.code is not None:
            state |= {"code": self.code.copy(), "sums": self.recursion.sums.copy()}
            state |= {"time": np.array(self.recursion.time)}
            if self.recursion.term is not None:  # the network of the nonlinear term
                state["units"] = self.recursion.term.state.copy()
        return state

    def restore(self, state: State) -> None:
        """Continue from a state; see `Course.restore`."""
        self.start.noise.restore(state["noise"].astype(np.uint64))
        self.spikes.counts.restore(state)
        self.code = None
        self.recursion.time = 0
        if "code" in state:
            self.code = state["code"].astype(np.float64)
            self.recursion.sums[:] = state["sums"]
            self.recursion.time = int(state["time"])
            if self.recursion.term is not None:
                self.recursion.term.state = state["units"].astype(np.float64)
