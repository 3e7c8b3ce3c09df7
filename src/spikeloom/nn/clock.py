r"""The clock: the time since the beginning of a trial as J hat functions, which sum to 1.

.. math:: h_j(t) = \max\Big(0,\; 1 - \Big|\frac{J - 1}{T - 1}\min(t, T - 1) - j\Big|\Big), \quad j = 0, ..., J - 1,

with T bins in the longest training trial. Beyond them the clock stays at its last hat.

Pieces of a continuous recording have no common time course, so the time since their first bin has no meaning. For them
the clock is off: :math:`h_0 = 1` in every bin, and the other hats are 0.

The rule is a ratio of variances. Let u be the mean of a series under each hat. If trials are not aligned to anything,
its mean over n trials varies from hat to hat only because n is finite, by at most Var(u) / n. With "auto", the clock is
on if this mean varies `CLEAR` times as much, or if the mean product of u with a number of the condition does.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

ClockRule = Literal["auto", "on", "off"]
"""The clock is on if the trials have a common time course ("auto"), always ("on") or never ("off")."""

CLEAR = 4.0
"""Smallest ratio of variances that counts as a common time course. Without one, the ratio is at most 1."""


class Clock(nn.Module):
    """Hat functions of the time since the beginning of a trial.

    Args:
        n_hats: Number of hat functions J; at most one per bin.
        longest: Bins T of the longest training trial.
    """

    running: Tensor  # 1 if the clock is on, 0 if it is off

    def __init__(self, n_hats: int, *, longest: int) -> None:
        super().__init__()
        self.n_hats = min(n_hats, longest)
        self.longest = longest
        self.register_buffer("running", torch.ones((), dtype=torch.float64))

    def position(self, time: int) -> tuple[int, float]:
        """Return the number j of the hat at or before a bin, and the value of the next hat there, 1 - h_j."""
        position = self.running.item() * min(time, self.longest - 1) / max(1, self.longest - 1) * (self.n_hats - 1)
        hat = min(int(position), max(0, self.n_hats - 2))
        return hat, position - hat

    def weights(self, n_bins: int) -> Float[Tensor, "time hat"]:
        """Return the values of all hats in the first bins."""
        weights = torch.zeros(n_bins, self.n_hats, dtype=torch.float64)
        for time in range(n_bins):
            hat, later = self.position(time)
            weights[time, hat] = 1 - later
            if later:
                weights[time, hat + 1] = later
        return weights

    def averages(
        self, series: Float[Tensor, "trial time channel"], mask: Bool[Tensor, "trial time"]
    ) -> tuple[Float[Tensor, "trial hat channel"], Bool[Tensor, "trial hat"]]:
        """Return the mean of each series under each hat, and the hats that lie within each trial; 0 under the others.

        A hat lies within a trial if at least half of it does.
        """
        weights = self.weights(series.shape[1])
        total = mask.double() @ weights
        means = (
            torch.einsum("btc,tj->bjc", series.double() * mask[..., None], weights) / total.clamp(min=1e-9)[..., None]
        )
        within = total >= 0.5 * weights.sum(0).clamp(min=1e-9)
        return means * within[..., None], within

    def fit(
        self,
        series: Float[Tensor, "trial time channel"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
        rule: ClockRule,
    ) -> None:
        """Switch the clock on or off for training trials; see the module for the automatic rule."""
        self.running.fill_(float(rule != "off"))
        if rule == "auto" and self.n_hats > 1:
            centred = inputs - inputs[mask].mean(0)
            products = [series, *(series * number[..., None] for number in centred.unbind(2))]
            self.running.fill_(float(any(self._common(product, mask) > CLEAR for product in products)))

    def _common(self, series: Tensor, mask: Tensor) -> float:
        """Return the variance over hats of the mean over trials, over the variance that finite trials give it."""
        means, within = self.averages(series, mask)
        number = within.sum(0).clamp(min=1)[:, None]
        mean = means.sum(0) / number
        chance = ((means - mean).square() * within[..., None]).sum(0) / number / (number - 1).clamp(min=1)
        enough = within.sum(0) > len(series) // 2
        return float(mean[enough].var(0).mean() / chance[enough].mean().clamp(min=1e-12))
