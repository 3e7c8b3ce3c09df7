"""Exponential moving average of the weights, which generates better samples than the weights themselves.

After update n (from 0) the average is m_n = d_n m_{n-1} + (1 - d_n) theta_n with the warm-up form
d_n = min(1 - (1 + n)^(-2/3), limit): d_0 = 0, so the random initial weights have no influence; d_7000 = 0.9973.
Only parameters are averaged, not buffers (which hold statistics).
"""

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn


def decay_at(update: int, limit: float) -> float:
    """Return the decay d_n of the average at update n, counted from 0 (METHODS 2.5)."""
    return min(1 - (1 + update) ** (-2 / 3), limit)


class Average:
    """Exponential average of the parameters of a module.

    Args:
        module: Module with the weights. The average starts as a copy of them.
        limit: Largest decay, in [0, 1).
    """

    def __init__(self, module: nn.Module, *, limit: float) -> None:
        self.limit = limit
        self.live = dict(module.named_parameters())
        self.weights = {name: value.detach().clone() for name, value in self.live.items()}

    @torch.no_grad()
    def add(self, update: int) -> None:
        """Add the present weights, those after update n (counted from 0), to the average."""
        share = 1 - decay_at(update, self.limit)
        for name, value in self.live.items():
            self.weights[name].lerp_(value, share)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Load saved averages."""
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Copy the average into the module, for good."""
        for name, value in self.live.items():
            value.copy_(self.weights[name])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Use the average in the module during a block. Afterwards the weights are restored exactly."""
        raw = {name: value.detach().clone() for name, value in self.live.items()}
        self.copy_to_module()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.live.items():
                    value.copy_(raw[name])
