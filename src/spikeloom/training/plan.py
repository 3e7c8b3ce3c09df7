"""How long and how fast to train: the numbers of one stage.

The learning rate is a pure function of the update number k: it rises linearly to `learning_rate` over the first
`warmup` x `updates`, then follows half a cosine that would reach 0 at `horizon` x `updates`. With a horizon of 1.3
it ends near 0.13 of its peak, so that the last updates still move.
"""

import math
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from spikeloom.settings import STRICT

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Plan:
    r"""Settings of one training stage.

    Args:
        updates: Steps of the optimiser.
        batch: Trials per update, over all processes; all of them if the data set has fewer.
        learning_rate: Peak learning rate of AdamW; at most 1e-3 for parameters of a state space.
        warmup: Share of the updates during which the learning rate rises linearly, 0 to 1.
        horizon: The cosine reaches zero at `horizon` x `updates`, >= 1.
        weight_decay: Decoupled weight decay of AdamW; none for parameters of a state space.
        clip: Largest Euclidean norm of the gradient of all parameters together.
        average: Largest decay of the exponential average of the weights, below 1; None trains without one.
        precision: "bf16" runs what is safe in bfloat16 (autocast); weights and optimiser stay float32.
        micro: Trials per forward pass, to bound memory; 0 for the whole batch. Changes results by rounding only.
        validate_every: Updates between two validations (and two checkpoints); 0 for 20 looks in all.
    """

    updates: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=1)]
    learning_rate: Positive = 1e-3
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    horizon: Annotated[float, Field(ge=1)] = 1.3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 1.0
    average: Annotated[float, Field(ge=0, lt=1)] | None = None
    precision: Literal["float32", "bf16"] = "float32"
    micro: Count = 0
    validate_every: Count = 0

    def learning_rate_at(self, update: int) -> float:
        r"""Learning rate of update k, counted from 0.

        With :math:`w` warm-up updates and :math:`H` = horizon x updates: :math:`\rho\,(k+1)/w` while k < w, then
        :math:`\tfrac{\rho}{2}\,(1 + \cos(\pi\,(k - w)/(H - w)))`.
        """
        warm = self.warmup * self.updates
        if update < warm:
            return self.learning_rate * min(1.0, (update + 1) / warm)
        span = self.horizon * self.updates - warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (update - warm) / span)))

    def validates(self, update: int) -> bool:
        """Whether to validation once `update` updates are done; always after the last."""
        every = self.validate_every or max(1, math.ceil(self.updates / 20))
        return update % every == 0 or update == self.updates

    def logs(self, update: int) -> bool:
        """Whether to write a line of history once `update` updates are done: some 200 in all, and at each look."""
        return update % max(1, self.updates // 200) == 0 or self.validates(update)
