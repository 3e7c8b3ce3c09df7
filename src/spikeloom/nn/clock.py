r"""The clock: the time since the beginning of a trial, expressed by J functions that each cover a part of the trial.

The functions are triangles (hats) whose peaks are equally spaced. In each bin t, at most two neighbouring hats are
above 0, and all hats sum to 1:

.. math:: h_j(t) = \max\Big(0,\; 1 - \Big|\frac{J - 1}{T - 1}\min(t, T - 1) - j\Big|\Big), \quad j = 0, ..., J - 1,

with T the number of bins of the longest training trial. In later bins the last hat stays 1. A coefficient for each hat
describes an effect that changes in the course of a trial.

**On or off.** Pieces of a continuous recording have no common time course, so the time since their first bin has no
meaning. For them the clock is off: :math:`h_0 = 1` in every bin, and the other hats are 0.

The rule "auto" decides by a ratio of variances. In each trial, a latent has one mean for each hat (over the bins of the
hat). These means are averaged over n trials. If trials are not aligned to an event, the averages of different hats
differ only because n is finite. Then their variance over hats is at most about the variance over trials divided by n.
The clock is on if their variance is more than `CLEAR` times this value for any latent, or for the product of any latent
with a number of the condition. Dynamics that are conditioned on a series have no clock under "auto"
(`models.common.latent_dynamics`).
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ClockRule = Literal["auto", "on", "off"]
"""Rule that switches the clock: on if the trials have a common time course ("auto"), always on, or always off."""

CLEAR = 4.0
"""Ratio of variances above which trials have a common time course. Without a common time course it is about 1 or
less."""


class Clock(nn.Module):
    """Hat functions of the time since the beginning of a trial.

    Args:
        n_hats: Number of hat functions J. It is reduced to `longest` if it is larger.
        longest: Number of bins T of the longest training trial.
    """

    running: Tensor  # 1 if the clock is on, 0 if it is off

    def __init__(self, n_hats: int, *, longest: int) -> None:
        super().__init__()
        self.n_hats = min(n_hats, longest)
        self.longest = longest
        self.register_buffer("running", torch.ones((), dtype=torch.float64))

    def position(self, time: int) -> tuple[int, float]:
        """Return the two hats that are above 0 in a bin.

        Args:
            time: Bin, counted from 0 at the beginning of the trial.

        Returns:
            The index j of the first of the two hats, and the value w of hat j + 1. The value of hat j is 1 - w.
        """
        # from 0 (first hat) at the beginning of the trial to n_hats - 1 (last hat); 0 if the clock is off
        position = self.running.item() * min(time, self.longest - 1) / max(1, self.longest - 1) * (self.n_hats - 1)
        hat = min(int(position), max(0, self.n_hats - 2))
        return hat, position - hat

    def weights_at(self, time: int) -> Float[np.ndarray, " hat"]:
        """Return the values of all hats in a bin, counted from 0 at the beginning of the trial."""
        hat, next_value = self.position(time)
        weights = np.zeros(self.n_hats)
        weights[hat] = 1 - next_value
        if next_value:
            weights[hat + 1] = next_value
        return weights

    def weights(self, n_bins: int) -> Float[Tensor, "time hat"]:
        """Return the values of all hats in the first `n_bins` bins of a trial."""
        return torch.from_numpy(np.stack([self.weights_at(time) for time in range(n_bins)]))

    def averages(
        self, series: Float[Tensor, "trial time channel"], mask: Bool[Tensor, "trial time"]
    ) -> tuple[Float[Tensor, "trial hat channel"], Bool[Tensor, "trial hat"]]:
        """Return the mean of each series under each hat, weighted by the hat.

        A hat lies within a trial if at least half of the hat's sum over bins lies within the trial.

        Args:
            series: Series whose means are computed.
            mask: Valid bins.

        Returns:
            The means, which are 0 for hats that do not lie within the trial; and True for hats that lie within the
            trial.
        """
        weights = self.weights(series.shape[1])  # (time, hat)
        weight_sums = mask.double() @ weights  # (trial, hat)
        weighted_sums = torch.einsum("btc,tj->bjc", series.double() * mask[..., None], weights)
        means = weighted_sums / weight_sums.clamp(min=1e-9)[..., None]
        within = weight_sums >= 0.5 * weights.sum(0).clamp(min=1e-9)
        return means * within[..., None], within

    def fit(
        self,
        series: Float[Tensor, "trial time channel"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
        rule: ClockRule,
    ) -> None:
        """Switch the clock on or off for training trials.

        Args:
            series: Latents of the training trials.
            inputs: Numbers of the condition in each bin.
            mask: Valid bins.
            rule: "on", "off", or "auto" for the rule of the module.
        """
        self.running.fill_(float(rule != "off"))
        if rule == "auto" and self.n_hats > 1:
            centred = inputs - inputs[mask].mean(0)
            # the latents, and the products of all latents with each number of the condition
            candidates = [series, *(series * number[..., None] for number in centred.unbind(2))]
            self.running.fill_(float(any(self._ratio(candidate, mask) > CLEAR for candidate in candidates)))

    def _ratio(self, series: Tensor, mask: Tensor) -> float:
        """Return the ratio of variances of the rule "auto", from hats that lie within more than half of the trials."""
        means, within = self.averages(series, mask)
        n_trials = within.sum(0).clamp(min=1)[:, None]
        average = means.sum(0) / n_trials  # (hat, channel)
        # variance over trials, divided by the number of trials
        variance_by_chance = (
            ((means - average).square() * within[..., None]).sum(0) / n_trials / (n_trials - 1).clamp(min=1)
        )
        in_most_trials = within.sum(0) > len(series) // 2  # (hat,)
        by_chance = variance_by_chance[in_most_trials].mean().clamp(min=1e-12)
        return float(average[in_most_trials].var(0).mean() / by_chance)  # variance over hats, mean over channels
