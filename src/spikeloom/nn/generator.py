r"""The generator of LFADS: a recurrent network that runs from a start state, with or without inferred inputs.

.. math:: g_t = \mathrm{GRU}(u_t, g_{t-1}), \quad f_t = W g_t, \quad \log r_t = W_r f_t + b,

with rows of W of unit length. Inputs u need a controller, which infers them from the output e of an encoder in every
bin and from the factors of the previous bin:

.. math:: c_t = \mathrm{GRU}([e_t, f_{t-1}], c_{t-1}), \quad q(u_t) = N(A c_t + a, \mathrm{diag}\,e^{B c_t + b}).

The gated units have torch's form, n = tanh(W x + r (U h)), where the papers reset before the product, n = tanh(W x + U
(r h)). So a fused kernel can run the encoders, and also the generator if there is no controller. The controller needs
a loop.

A state of such a unit lies between the previous state and a tanh, so a state that starts in [-5, 5] stays there.

Source: Pandarinath et al. 2018; METHODS 4.1.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

LARGEST_STATE = 5.0


class Generator(nn.Module):
    """Start state and inputs -> states -> factors.

    Args:
        inputs: Inputs per bin; 0 for a generator without inputs.
        width: Units.
        factors: Factors per bin.
    """

    def __init__(self, inputs: int, width: int, factors: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.units = nn.GRU(max(1, inputs), width, batch_first=True)  # a torch GRU needs an input: it is 0
        self.mix = nn.Linear(width, factors, bias=False)

    def forward(
        self, start: Float[Tensor, "batch unit"], inputs: Float[Tensor, "batch time input"]
    ) -> Float[Tensor, "batch time unit"]:
        """Return one state per bin of the inputs; with `inputs=0` these give the number of bins only."""
        driving = inputs if self.inputs else inputs.new_zeros(*inputs.shape[:2], 1)
        states, _ = self.units(driving, start[None])
        return states

    def factors(self, states: Float[Tensor, "*axes unit"]) -> Float[Tensor, "*axes factor"]:
        """Return the factors; the rows of the map have unit length."""
        return functional.linear(states, functional.normalize(self.mix.weight, dim=1))


class Controller(nn.Module):
    """Network that infers inputs from counts and the factors of the generator, bin by bin.

    Args:
        n_neurons: Neurons of the recording.
        inputs: Inputs per bin.
        reader: Units of each direction of the encoder.
        width: Units of the controller.
        factors: Factors of the generator.
    """

    def __init__(self, n_neurons: int, inputs: int, *, reader: int, width: int, factors: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.width = width
        self.encoder = nn.GRU(n_neurons, reader, batch_first=True, bidirectional=True)
        self.units = nn.GRUCell(2 * reader + factors, width)
        self.start = nn.Parameter(torch.zeros(width))
        self.leave = nn.Linear(width, 2 * inputs)

    def read(
        self, counts: Float[Tensor, "batch time neuron"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time twice"]:
        """Return the output of the encoder in every bin; padding is not read."""
        if bool(mask.all()):
            return self.encoder(counts)[0]
        packed = pack_padded_sequence(counts, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.encoder(packed)
        return pad_packed_sequence(out, batch_first=True, total_length=counts.shape[1])[0]

    def forward(
        self,
        read: Float[Tensor, "batch time twice"],
        start: Float[Tensor, "batch unit"],
        generator: Generator,
        *,
        noise: Float[Tensor, "batch time input"],
        kept: Float[Tensor, "batch time unit"] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Run controller and generator together.

        Args:
            read: Output of the encoder, from `read`.
            start: State of the generator before the first bin.
            generator: Generator whose factors the controller receives, and which it drives.
            noise: Standard normal numbers; zeros give the mean of q(u).
            kept: Dropout on the generator's states that make the factors, 0 or 1 / (1 - p). `None` disables dropout.

        Returns:
            States of the generator, inputs, and mean and log-variance of q(u), all (batch, time, ...).
        """
        weights = generator.units.all_weights[0]
        state = start
        control = self.start.expand(len(read), -1)
        factors = generator.factors(start)
        rows: list[tuple[Tensor, ...]] = []
        for time, here in enumerate(read.unbind(1)):  # the gradient of a slice per bin would cost bins x bins
            control = self.units(torch.cat((here, factors), -1), control)
            mean, log_variance = self.leave(control).chunk(2, -1)
            value = mean + torch.exp(0.5 * log_variance) * noise[:, time]
            state = torch.gru_cell(value, state, *weights)
            factors = generator.factors(state if kept is None else state * kept[:, time])
            rows.append((state, value, mean, log_variance))
        states, inputs, means, log_variances = (torch.stack(column, 1) for column in zip(*rows, strict=True))
        return states, inputs, means, log_variances
