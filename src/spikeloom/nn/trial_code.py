r"""The code of a trial: a few numbers that describe its lasting deviation from other trials of the same condition.

A trial is summarised by the mean of its latents under each hat of a clock (`nn.clock`), smoothed to about the width of
a hat. A ridge regression under each hat subtracts the part that the condition predicts. The code is the whitened
leading principal components of the rest over the training trials,

.. math:: b = \Lambda^{-1/2} V^\top \mathrm{vec}(\bar z - W [1; \bar c]),

so codes of training trials have mean 0 and covariance I. Hats beyond the end of a trial count as predicted.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spikeloom.nn.clock import Clock
from spikeloom.nn.linear_autoregression import ridge_regression

SMALLEST_SD = 1e-6
"""Smallest sd of a component, where trials have fewer directions than the code has numbers."""


class TrialCode(nn.Module):
    """Map from the latents of trials to their codes; see the module.

    Args:
        n_latents: Latents per bin.
        n_codes: Numbers in a code.
        n_inputs: Numbers of the condition in each bin; 0 without a condition.
        n_hats: Hats of the clock.
    """

    predicted: Tensor  # W (hat, 1 + input, latent)
    components: Tensor  # V / sqrt(Lambda) (hat x latent, code)

    def __init__(self, n_latents: int, n_codes: int, *, n_inputs: int, n_hats: int) -> None:
        super().__init__()
        self.register_buffer("predicted", torch.zeros(n_hats, 1 + n_inputs, n_latents, dtype=torch.float64))
        self.register_buffer("components", torch.zeros(n_hats * n_latents, n_codes, dtype=torch.float64))

    def forward(
        self,
        clock: Clock,
        latents: Float[Tensor, "trial time latent"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
    ) -> Float[Tensor, "trial code"]:
        """Return the codes of trials with these latents, conditions and valid bins."""
        means, conditions, within = _summaries(clock, latents, inputs, mask)
        return self._rest(means, conditions, within) @ self.components

    def fit(
        self,
        clock: Clock,
        latents: Float[Tensor, "trial time latent"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
        *,
        ridge: float,
    ) -> None:
        """Fit prediction and components to training trials, with weight `ridge` of the squared coefficients."""
        means, conditions, within = _summaries(clock, latents, inputs, mask)
        for hat in range(clock.n_hats):
            rows = within[:, hat]
            self.predicted[hat] = ridge_regression(conditions[rows, hat], means[rows, hat], ridge)
        rest = self._rest(means, conditions, within)
        variance, directions = torch.linalg.eigh(rest.T @ rest / len(rest))  # rising variance
        n_codes = self.components.shape[1]
        leading = directions[:, -n_codes:].flip(1) / variance[-n_codes:].flip(0).clamp(min=SMALLEST_SD**2).sqrt()
        self.components.copy_(leading)

    def _rest(self, means: Tensor, conditions: Tensor, within: Tensor) -> Tensor:
        """Return the part of the means that the condition does not predict (trial, hat x latent)."""
        predicted = torch.einsum("bji,jid->bjd", conditions, self.predicted)
        return ((means - predicted) * within[..., None]).flatten(1)


def _summaries(clock: Clock, latents: Tensor, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return means of the latents and [1; means of the inputs] under each hat, and the hats within each trial."""
    means, within = clock.averages(latents, mask)
    conditions, _ = clock.averages(inputs, mask)
    one = conditions.new_ones(*conditions.shape[:2], 1)
    return means, torch.cat((one, conditions), 2), within
