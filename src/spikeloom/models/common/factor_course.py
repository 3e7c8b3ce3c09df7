"""`FactorCourse`: generation of trials from the recurrent network of an LFADS, bin by bin.

In each bin, the state of the network (the generator) gives factors, and the factors give the rates of all neurons. The
next bin depends on this state, on inputs drawn from their prior, and on the memory of the observation model. Bins are
computed one at a time even if a complete trial is requested. So samples, streams and live trials have identical
numbers, if the same number of trials is generated at once.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.models.common.course import Course, Start, State
from spikeloom.models.common.results import Generated
from spikeloom.nn.autoregressive import Autoregressive
from spikeloom.nn.condition import Condition
from spikeloom.nn.generator import Generator
from spikeloom.observation.model import ObservationModel
from spikeloom.shapes import Array


@final
class FactorCourse(Course):
    """Trials that are generated from the states of a generator.

    Args:
        start: Random streams of the trials.
        state: States of the generator before the first bin.
        generator: Generator of the factors.
        input_prior: Prior of the inputs of the generator; None for a generator without inputs.
        readout: Map from factors to the drive of all neurons.
        observation: Observation model, from drive to counts.
    """

    def __init__(
        self,
        start: Start,
        state: Float[Tensor, "trial unit"],
        *,
        generator: Generator,
        input_prior: Autoregressive | None,
        readout: nn.Linear,
        observation: ObservationModel,
    ) -> None:
        self.start = start
        self.generator = generator
        self.input_prior = input_prior
        self.readout = readout
        self.observation = observation
        self.count_course = observation.begin(start.spikes)
        self.units = state
        self.inputs: Float[Tensor, "trial input"] | None = None  # inputs of the previous bin; None in the first bin

    @torch.no_grad()
    def advance(self, n_bins: int, condition: Condition | None = None) -> Generated:
        """Generate the next bins of all trials; see `Course.advance`. These trials have no conditions."""
        if condition is not None:
            raise ValueError("the trials of a recurrent generator have no conditions")
        noise = torch.from_numpy(self.start.noise.normal(n_bins, self.generator.inputs)).to(self.units)
        factors = torch.stack([self._step(noise[:, time, None]) for time in range(n_bins)], 1)
        # bin by bin, because a product of several bins at once may be rounded differently
        drive = torch.stack([self.readout(bin_factors) for bin_factors in factors.unbind(1)], 1)
        rates = self.observation.rates(drive).cpu().numpy()
        counts = self.count_course.advance(rates)
        return Generated(counts, rates, factors.cpu().numpy())

    def _step(self, noise: Float[Tensor, "trial 1 input"]) -> Float[Tensor, "trial factor"]:
        """Advance the generator by one bin, and return its factors.

        Args:
            noise: Standard normal numbers, from which the prior computes the inputs. The last axis is empty for a
                generator without inputs.
        """
        inputs = noise
        if self.input_prior is not None:
            inputs = self.input_prior.draw(noise, self.inputs)
            self.inputs = inputs[:, 0]
        self.units = self.generator(self.units, inputs)[:, 0]
        return self.generator.factors(self.units)

    def state(self) -> dict[str, Array]:
        """Return the state that `restore` needs; see `Course.state`.

        It holds the random streams of the inputs, the units and last inputs of the generator, and the state of the
        observation model.
        """
        state: dict[str, Array] = {"noise": self.start.noise.state(), "units": self.units.cpu().numpy().copy()}
        if self.inputs is not None:
            state["inputs"] = self.inputs.cpu().numpy().copy()
        return state | self.count_course.state()

    def restore(self, state: State) -> None:
        """Continue from a state; see `Course.restore`."""
        units = torch.tensor(state["units"]).to(self.units)
        if units.shape != self.units.shape:  # a state of another model or of another number of trials
            raise ValueError(f"units have shape {tuple(units.shape)}, not {tuple(self.units.shape)}")
        self.start.noise.restore(state["noise"].astype(np.uint64))
        self.count_course.restore(state)
        self.units = units
        self.inputs = torch.tensor(state["inputs"]).to(units) if "inputs" in state else None
