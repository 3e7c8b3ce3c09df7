r"""The generator of LFADS: a recurrent network that runs from a start state, with or without inferred inputs.

The state g of the generator gives the factors f, and the factors give the rates r:

.. math:: g_t = \mathrm{GRU}(u_t, g_{t-1}), \quad f_t = W g_t, \quad \log r_t = W_r f_t + b,

with rows of W of unit length. The inputs u are inferred by a controller with state c. In every bin, the controller
reads the output e of an encoder and the factors of the previous bin, and gives the distribution q of the input:

.. math:: c_t = \mathrm{GRU}([e_t, f_{t-1}], c_{t-1}), \quad q(u_t) = N(A c_t + a, \mathrm{diag}\,e^{B c_t + b}).

**Difference from the papers.** A gated recurrent unit (GRU) with state h, input x and reset gate r computes a proposal
n for its next state. Here the proposal has torch's form, n = tanh(W x + r (U h)); the papers reset before the product,
n = tanh(W x + U (r h)). With torch's form a fused kernel runs the encoders, and also the generator if there is no
controller. The controller needs a loop over bins.

A new state lies between the previous state and a tanh. So a state that starts in [-5, 5] stays there.

Source: Pandarinath et al. 2018; METHODS 4.1.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LARGEST_STATE = 5.0
"""Largest absolute value of a number of the start state."""


class Generator(nn.Module):
    """Recurrent network: start state and inputs -> states -> factors.

    Args:
        inputs: Number of inputs per bin; 0 for a generator without inputs.
        width: Number of units of the state.
        factors: Number of factors per bin.
    """

    def __init__(self, inputs: int, width: int, factors: int) -> None:
        super().__init__()
        self.inputs = inputs
        # torch needs at least one input, so a generator without inputs gets one that is always 0
        self.units = nn.GRU(max(1, inputs), width, batch_first=True)
        self.mix = nn.Linear(width, factors, bias=False)

    def forward(
        self, start: Float[Tensor, "batch unit"], inputs: Float[Tensor, "batch time input"]
    ) -> Float[Tensor, "batch time unit"]:
        """Return the state in each bin.

        Args:
            start: State before the first bin.
            inputs: Inputs. A generator without inputs needs an empty array (batch, time, 0), which gives the number of
                bins.
        """
        network_inputs = inputs if self.inputs else inputs.new_zeros(*inputs.shape[:2], 1)
        states, _ = self.units(network_inputs, start[None])
        return states

    def factors(self, states: Float[Tensor, "*axes unit"]) -> Float[Tensor, "*axes factor"]:
        """Return the factors of states, by a linear map whose rows have unit length."""
        return functional.linear(states, functional.normalize(self.mix.weight, dim=1))


class Controller(nn.Module):
    """Network that infers inputs from counts and the factors of the generator, bin by bin.

    Args:
        n_neurons: Number of neurons of the recording.
        inputs: Number of inputs per bin.
        reader: Number of units of each direction of the encoder.
        width: Number of units of the controller.
        factors: Number of factors of the generator.
    """

    def __init__(self, n_neurons: int, inputs: int, *, reader: int, width: int, factors: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.width = width
        self.encoder = nn.GRU(n_neurons, reader, batch_first=True, bidirectional=True)
        self.units = nn.GRUCell(2 * reader + factors, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.leave = nn.Linear(width, 2 * inputs)  # mean and log-variance of each input

    def read(
        self, counts: Float[Tensor, "batch time neuron"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time twice"]:
        """Return the output of the encoder in every bin, both directions joined; padding is not read."""
        if bool(mask.all()):
            return self.encoder(counts)[0]
        packed = pack_padded_sequence(counts, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.encoder(packed)
        return pad_packed_sequence(out, batch_first=True, total_length=counts.shape[1])[0]

    def forward(
        self,
        encoded: Float[Tensor, "batch time twice"],
        start: Float[Tensor, "batch unit"],
        generator: Generator,
        *,
        noise: Float[Tensor, "batch time input"],
        kept: Float[Tensor, "batch time unit"] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run controller and generator together, because each needs the other's output of the previous bin.

        Args:
            encoded: Output of the encoder, from the method `read`.
            start: State of the generator before the first bin.
            generator: Generator that receives the inputs, and whose factors the controller reads.
            noise: Standard normal numbers, from which inputs are drawn. Zeros give the mean of q(u).
            kept: Dropout of the states before the factors are computed: 0 for a dropped unit and 1 / (1 - p) for a kept
                unit, with p the probability of dropping. `None` disables dropout.

        Returns:
            States of the generator, inputs, and mean and log-variance of q(u), all (batch, time, ...).
        """
        weights = generator.units.all_weights[0]
        state = start
        control = self.start.expand(len(encoded), -1)
        factors = generator.factors(start)
        results: list[tuple[Tensor, ...]] = []
        # `unbind` is used because the gradient of each slice `encoded[:, time]` would be an array of all bins.
        for time, bin_encoded in enumerate(encoded.unbind(1)):
            control = self.units(torch.cat((bin_encoded, factors), -1), control)
            mean, log_variance = self.leave(control).chunk(2, -1)
            value = mean + torch.exp(0.5 * log_variance) * noise[:, time]
            state = torch.gru_cell(value, state, *weights)
            factors = generator.factors(state if kept is None else state * kept[:, time])
            results.append((state, value, mean, log_variance))
        states, inputs, means, log_variances = (torch.stack(series, 1) for series in zip(*results, strict=True))
        return states, inputs, means, log_variances
