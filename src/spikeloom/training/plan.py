"""The plan of a training stage: updates, batch size, learning rate.

The learning rate depends only on the update number k. It rises linearly to its peak `learning_rate` over the first
`warmup` x `updates` updates. Then it follows half a period of a cosine that would reach 0 at `horizon` x `updates`.
With a horizon of 1.3, training ends at about 0.13 of the peak; the last updates still change the weights.
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
        updates: Number of optimiser steps.
        batch: Number of trials per update, over all processes. A smaller data set uses all its trials.
        learning_rate: Peak learning rate of AdamW, at most 1e-3 for time constants of a state space.
        warmup: Fraction of the updates during which the learning rate rises linearly, 0 to 1.
        horizon: Length of the learning rate curve, as a multiple of `updates`, at least 1. Its cosine would reach 0
            after `horizon` x `updates` updates.
        weight_decay: Decoupled weight decay of AdamW. It does not apply to time constants of a state space.
        clip: Largest Euclidean norm of the gradient over all parameters.
        average: Largest decay of the exponential average of the weights, below 1. `None` trains without an average.
        precision: "bf16" runs suitable operations in bfloat16 (autocast); weights and optimiser remain float32.
        micro: Number of trials per forward pass, to limit memory; 0 means the full batch. The number changes results
            only by rounding.
        validate_every: Number of updates between two validations (and checkpoints); 0 means 20 validations in total.
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
        r"""Return the learning rate of update k, counted from 0.

        With the peak :math:`\rho` (`learning_rate`), :math:`w` warm-up updates and :math:`H` = horizon x updates, the
        learning rate is :math:`\rho\,(k+1)/w` while k < w, and
        :math:`\tfrac{\rho}{2}\,(1 + \cos(\pi\,(k - w)/(H - w)))` afterwards.
        """
        warm = self.warmup * self.updates  # w
        if update < warm:
            return self.learning_rate * min(1.0, (update + 1) / warm)
        span = self.horizon * self.updates - warm  # H - w
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (update - warm) / span)))

    def validates(self, update: int) -> bool:
        """Return True if the loss on validation trials is computed after `update` updates; also after the last."""
        every = self.validate_every or max(1, math.ceil(self.updates / 20))
        return update % every == 0 or update == self.updates

    def logs(self, update: int) -> bool:
        """Return True if the history gets a line after `update` updates: about 200 times and at each validation."""
        return update % max(1, self.updates // 200) == 0 or self.validates(update)
