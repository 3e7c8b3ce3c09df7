r"""The code of a trial: a few numbers that describe its lasting deviation from other trials of the same condition.

A clock divides a trial into overlapping parts, its hats (`nn.clock`). A trial is summarised by the weighted mean
:math:`\bar z` of its latents under each hat. For each hat a ridge regression W predicts this mean from the mean
:math:`\bar c` of the condition under the hat. The difference between the mean and its prediction is the part that the
condition does not predict. The code b is made of the leading principal components of this part over the training
trials, with directions V and variances :math:`\Lambda`:

.. math:: b = \Lambda^{-1/2} V^\top \mathrm{vec}(\bar z - W [1; \bar c]).

So codes of training trials have mean 0 and covariance I. Under hats beyond the end of a trial the difference is 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spikeloom.nn.clock import Clock
from spikeloom.nn.linear_autoregression import ridge_regression

SMALLEST_SD = 1e-6
"""Smallest sd by which a component is divided. Components have no variance if the code has more numbers than the trials
have directions."""


class TrialCode(nn.Module):
    """Map from the latents of trials to their codes; see the module.

    Args:
        n_latents: Number of latents per bin.
        n_codes: Size of a code.
        n_inputs: Size of the condition in each bin; 0 without a condition.
        n_hats: Number of hats of the clock.
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
        """Return the codes of trials.

        Args:
            clock: Clock with the number of hats of this map.
            latents: Latents of the trials.
            inputs: Condition of the trials in each bin.
            mask: Valid bins.
        """
        means, conditions, within = _summaries(clock, latents, inputs, mask)
        return self._unpredicted(means, conditions, within) @ self.components

    def fit(
        self,
        clock: Clock,
        latents: Float[Tensor, "trial time latent"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
        *,
        ridge: float,
    ) -> None:
        """Fit the predictions W and the components to training trials; see `forward` for the arguments.

        `ridge` is the penalty of the squared coefficients of W.
        """
        means, conditions, within = _summaries(clock, latents, inputs, mask)
        for hat in range(clock.n_hats):
            rows = within[:, hat]
            self.predicted[hat] = ridge_regression(conditions[rows, hat], means[rows, hat], ridge)
        unpredicted = self._unpredicted(means, conditions, within)
        variances, directions = torch.linalg.eigh(unpredicted.T @ unpredicted / len(unpredicted))  # rising variances
        n_codes = self.components.shape[1]
        leading_sd = variances[-n_codes:].flip(0).clamp(min=SMALLEST_SD**2).sqrt()
        self.components.copy_(directions[:, -n_codes:].flip(1) / leading_sd)

    def _unpredicted(self, means: Tensor, conditions: Tensor, within: Tensor) -> Tensor:
        """Return the part of the means that the condition does not predict (trial, hat x latent); see `_summaries`."""
        predicted = torch.einsum("bji,jid->bjd", conditions, self.predicted)
        return ((means - predicted) * within[..., None]).flatten(1)


def _summaries(clock: Clock, latents: Tensor, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Summarise trials under each hat of the clock.

    Returns:
        Means of the latents (trial, hat, latent); a 1 and the means of the condition (trial, hat, 1 + input); and True
        for hats that lie within the trial (trial, hat).
    """
    means, within = clock.averages(latents, mask)
    conditions, _ = clock.averages(inputs, mask)
    constant = conditions.new_ones(*conditions.shape[:2], 1)
    return means, torch.cat((constant, conditions), 2), within
