"""`Dynamics`: a linear autoregression of latents with one code per trial; see `models.autoregressive_ldns`.

The closed-form parts are `nn.linear_autoregression` and `nn.trial_code`. Codes come from a small flow, a denoiser of
whitened codes (`diffusion.denoiser`). A nonlinear term (`nn.nonlinear_term`) is optional.

**Clock and series.** With the clock rule "auto", dynamics with a series among their conditions, such as a hand
velocity, have no clock, even if trials have a common time course. With a clock, the code of a trial would describe
movements of this trial that the condition of the present bin does not explain. Codes are drawn without knowledge of the
series, so such a code would hide the response to the series (docs/results/closed-loop.md).
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from spikeloom.diffusion.denoiser import NetworkDenoiser, denoising_loss
from spikeloom.diffusion.schedule import Cosine
from spikeloom.models.common.facts import Facts
from spikeloom.nn.clock import Clock, ClockRule
from spikeloom.nn.condition import Condition
from spikeloom.nn.linear_autoregression import LinearAutoregression
from spikeloom.nn.nonlinear_term import NonlinearTerm
from spikeloom.nn.perceptron import VectorBackbone
from spikeloom.nn.trial_code import TrialCode
from spikeloom.seeds import Streams
from spikeloom.settings import STRICT
from spikeloom.training.stage import LossTerms

Positive = Annotated[float, Field(gt=0)]
Number = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=STRICT)
class DynamicsSettings:
    """Settings of the autoregression and of the code.

    Args:
        time_constants: Time constants of the means of the past, bins.
        clock: "on" if the effects of conditions and code change in the course of a trial, "off" if they are constant;
            "auto" decides from the training trials and conditions (see the module and `nn.clock`).
        n_hats: Number of hat functions of the clock.
        n_codes: Numbers in the code of a trial with conditions.
        n_free_codes: Numbers in the code of a trial without conditions.
        harmonics: Number of harmonics of an angle.
        ridge: Weight of the squared coefficients of the regressions.
        drift: Correlation time of the code in bins beyond the longest training trial, s. `None` uses the duration of
            the longest training trial.
        units: Units of the network of the nonlinear term, if there is one.
        segment: Bins that are generated freely in the training of the nonlinear term.
        width: Channels of the flow's network.
        blocks: Residual blocks of the flow's network.
    """

    time_constants: tuple[Positive, ...] = (2.0, 6.0, 15.0, 40.0, 150.0)
    clock: ClockRule = "auto"
    n_hats: Number = 14
    n_codes: Number = 16
    n_free_codes: Number = 24
    harmonics: Number = 4
    ridge: Positive = 20.0
    drift: Positive | None = None
    units: Number = 64
    segment: Number = 32
    width: Number = 128
    blocks: Number = 3


class Dynamics(nn.Module):
    """The distribution of latents over time, without conditions or with them: autoregression, code and flow.

    Args:
        settings: Settings of the autoregression, the code and the flow.
        n_latents: Latents per bin.
        n_codes: Numbers in a code; fewer if there are few training trials.
        facts: Facts about the training trials.
        vector: Size of a condition's vector, with harmonics; 0 without conditions.
        sequence: Size of a condition's sequence in each bin; 0 without series.
        nonlinear: Whether there is a nonlinear term.
    """

    usual: Tensor  # mean of the condition over training trials and bins (input,)

    def __init__(
        self,
        settings: DynamicsSettings,
        *,
        n_latents: int,
        n_codes: int,
        facts: Facts,
        vector: int,
        sequence: int,
        nonlinear: bool = False,
    ) -> None:
        super().__init__()
        n_inputs = vector + sequence  # size of the condition in each bin
        self.has_series = sequence > 0
        clock = Clock(settings.n_hats, longest=facts.longest)
        # n trials have at most n - 1 principal components
        self.n_codes = min(n_codes, facts.n_trials - 1, clock.n_hats * n_latents)
        self.code = TrialCode(n_latents, self.n_codes, n_inputs=n_inputs, n_hats=clock.n_hats)
        self.autoregression = LinearAutoregression(
            n_latents, n_inputs + self.n_codes, clock=clock, time_constants=settings.time_constants
        )
        self.term: NonlinearTerm | None = None
        if nonlinear:
            self.term = NonlinearTerm(
                n_latents,
                n_inputs + self.n_codes,
                n_means=1 + len(settings.time_constants),
                n_hats=clock.n_hats,
                width=settings.units,
            )
        schedule = Cosine()
        network = VectorBackbone(
            self.n_codes, schedule=schedule, width=settings.width, blocks=settings.blocks, vector=vector
        )
        self.flow = NetworkDenoiser(network, schedule=schedule, prediction="velocity")
        self.register_buffer("usual", torch.zeros(n_inputs, dtype=torch.float64))

    def fit(self, data: Mapping[str, Tensor], settings: DynamicsSettings) -> None:
        """Fit clock, code and autoregression to the latents, conditions and mask of training trials."""
        latents = data["latents"]
        inputs = data["inputs"]
        mask = data["mask"]
        self.usual.copy_(inputs[mask].mean(0))
        rule = "off" if settings.clock == "auto" and self.has_series else settings.clock
        self.autoregression.clock.fit(latents, inputs, mask, rule)
        self.code.fit(self.autoregression.clock, latents, inputs, mask, ridge=settings.ridge)
        codes = self.codes(data)[:, None].expand(-1, latents.shape[1], -1)  # (trial, time, code), the same in all bins
        self.autoregression.fit(latents, torch.cat((inputs, codes), 2), mask, ridge=settings.ridge)

    def codes(self, data: Mapping[str, Tensor]) -> Float[Tensor, "trial code"]:
        """Return the codes of trials from their latents, conditions and mask."""
        return self.code(self.autoregression.clock, data["latents"], data["inputs"], data["mask"])

    def flow_loss(self, batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the velocity loss of the flow on a batch of codes, as a sum over valid entries, and their number."""
        clean = batch["codes"]  # (trial, 1, code)
        level = torch.from_numpy(streams.uniform()).to(clean.device)
        noise = torch.from_numpy(streams.normal(*clean.shape[1:])).to(clean.device)
        condition = Condition(batch.get("vector"))
        return LossTerms(*denoising_loss(self.flow, clean, level=level, noise=noise, condition=condition))


def per_bin(condition: Condition, n_trials: int, n_bins: int) -> Float[Tensor, "trial time input"]:
    """Return the condition of each bin: the vector of the trial, then the sequence; of size 0 without conditions."""
    parts = []
    if condition.vector is not None:
        parts.append(condition.vector[:, None].expand(n_trials, n_bins, -1))
    if condition.sequence is not None:
        parts.append(condition.sequence[:, :n_bins].expand(n_trials, n_bins, -1))
    return torch.cat(parts, 2) if parts else torch.zeros(n_trials, n_bins, 0)
