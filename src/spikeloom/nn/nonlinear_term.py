r"""The nonlinear term g of an autoregression: a recurrent network that is added to the linear term.

.. math:: z_t = A \phi_t + g(s_t, \varepsilon_t), \qquad g(s_t, \varepsilon_t) = W s_t + b + L \varepsilon_t,
          \qquad s_t = \mathrm{GRU}([m_t; u_t; h(t)],\; s_{t-1}), \quad s_{-1} = 0,

with the symbols of `nn.linear_autoregression`: z the latents, :math:`A \phi_t` the linear term, m the means of the
past, u the inputs, h the clock and white noise :math:`\varepsilon`. The state s depends on the past latents only, so it
can be computed from recorded latents as well as from generated ones. L and, in the first bin, :math:`L_0` are trained.
Training begins with W = b = 0 and with the L and :math:`L_0` of the linear autoregression. So at first, the term adds
nothing to the linear autoregression.

**Stability.** The numbers of a state lie between -1 and 1, so W s is bounded. Without W s the autoregression is stable.
So latents stay bounded in trials of any length.

**Grid.** In a nonlinear system, a rounding error can grow until counts differ. Matrix products of one trial and of many
trials round differently. Therefore generated latents and states are rounded to multiples of `GRID`, which removes the
error of each bin before it can grow. Only a value that lies in the middle between two multiples, to within its rounding
error, could still differ.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

GRID = 2.0**-16
"""Distance between neighbouring values of generated latents (in sd) and states. The rounding errors of matrix products
are ten orders of magnitude smaller."""


class NonlinearTerm(nn.Module):
    """The nonlinear term; see the module.

    Args:
        n_latents: Number of latents z in each bin.
        n_inputs: Number of inputs u in each bin.
        n_means: Number of means of the past.
        n_hats: Number of hats of the clock.
        width: Number of units of the recurrent network.
    """

    in_use: Tensor  # 1 if the term is added, 0 if the linear autoregression is better without it

    def __init__(self, n_latents: int, n_inputs: int, *, n_means: int, n_hats: int, width: int) -> None:
        super().__init__()
        self.units = nn.GRU(n_means * n_latents + n_inputs + n_hats, width, batch_first=True)
        self.leave = nn.Linear(width, n_latents)
        self.noise = nn.Parameter(torch.zeros(n_latents, n_latents))
        self.first_noise = nn.Parameter(torch.zeros(n_latents, n_latents))
        self.register_buffer("in_use", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def start_at(self, noise: Float[Tensor, "latent latent"], first_noise: Float[Tensor, "latent latent"]) -> None:
        """Set the term to the noise of the linear autoregression: copy L and L_0, and set W and b to 0."""
        self.noise.copy_(noise)
        self.first_noise.copy_(first_noise)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def step(
        self, inputs: Float[Tensor, "row input"], state: Float[Tensor, "row unit"]
    ) -> tuple[Float[Tensor, "row latent"], Float[Tensor, "row unit"]]:
        """Return W s + b of a bin, and its state s.

        Args:
            inputs: Means, inputs and hats [m; u; h] of the bin.
            state: State of the previous bin.
        """
        state = torch.gru_cell(inputs, state, *self.units.all_weights[0])
        return self.leave(state), state


@final
class ArrayTerm:
    """The nonlinear term of trials that are generated bin after bin, in NumPy and double precision.

    Args:
        term: Nonlinear term, whose weights are copied.
        last_bin_share: 1 - a of each mean (time constant, 1). The past comes as sums m / (1 - a).
        n_trials: Number of trials.

    Attributes:
        state: State s of the last bin (trial, unit).
    """

    def __init__(self, term: NonlinearTerm, last_bin_share: Float[np.ndarray, "constant 1"], n_trials: int) -> None:
        enter, recur, enter_bias, recur_bias, leave, bias, self.noise, self.first_noise = (
            value.detach().cpu().double().numpy()
            for value in (*term.units.all_weights[0], term.leave.weight, term.leave.bias, term.noise, term.first_noise)
        )
        n_latents = len(leave)
        n_past = len(last_bin_share) * n_latents
        self.past = enter[:, :n_past].T * np.repeat(last_bin_share, n_latents, 0)  # reads the sums
        self.present = enter[:, n_past:].T  # reads the inputs, then the hats
        self.bias = enter_bias
        self.recur = recur.T
        self.recur_bias = recur_bias
        self.leave = leave.T
        self.leave_bias = bias
        self.state = np.zeros((n_trials, recur.shape[1]))

    def step(
        self,
        sums: Float[np.ndarray, "trial past"],
        inputs: Float[np.ndarray, "trial input"],
        hats: Float[np.ndarray, " hat"],
    ) -> Float[np.ndarray, "trial latent"]:
        """Return W s + b of the next bin, without the noise.

        Args:
            sums: Means of the past, divided by 1 - a.
            inputs: Inputs u of the bin.
            hats: Values of all hats in the bin.
        """
        n_inputs = inputs.shape[1]
        entering = sums @ self.past + inputs @ self.present[:n_inputs] + (hats @ self.present[n_inputs:] + self.bias)
        recurring = self.state @ self.recur + self.recur_bias
        reset_in, update_in, new_in = np.split(entering, 3, 1)
        reset_recurring, update_recurring, new_recurring = np.split(recurring, 3, 1)
        reset = _sigmoid(reset_in + reset_recurring)
        update = _sigmoid(update_in + update_recurring)
        new = np.tanh(new_in + reset * new_recurring)
        self.state = on_grid(new + update * (self.state - new))
        return self.state @ self.leave + self.leave_bias


def on_grid(values: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """Return values rounded to multiples of `GRID`; see the module."""
    return np.rint(values / GRID) * GRID


def _sigmoid(x: Float[np.ndarray, "*axes"]) -> Float[np.ndarray, "*axes"]:
    """Return the logistic function."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)
