"""Exponential moving average of the weights. A model with averaged weights generates better samples.

Let theta_n be the weights after update n, counted from 0. The average is m_n = d_n m_{n-1} + (1 - d_n) theta_n, with
the decay d_n = min(1 - (1 + n)^(-2/3), limit). The decay rises during training: d_0 = 0, so the random initial weights
have no influence, and d_7000 = 0.9973. Only parameters are averaged; buffers, which hold statistics, are not.
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
        module: Module with the weights. The average starts as a copy of these weights.
        limit: Largest decay, at least 0 and below 1.
    """

    def __init__(self, module: nn.Module, *, limit: float) -> None:
        self.limit = limit
        self.live = dict(module.named_parameters())  # the parameters of the module, which training changes
        self.weights = {name: value.detach().clone() for name, value in self.live.items()}  # average of each parameter

    @torch.no_grad()
    def add(self, update: int) -> None:
        """Add the present weights to the average. They are the weights after update n, counted from 0."""
        share = 1 - decay_at(update, self.limit)  # of the present weights in the average
        for name, value in self.live.items():
            self.weights[name].lerp_(value, share)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Replace the average by saved values."""
        for name, value in self.weights.items():
            value.copy_(weights[name])

    @torch.no_grad()
    def copy_to_module(self) -> None:
        """Replace the weights of the module by their average."""
        for name, value in self.live.items():
            value.copy_(self.weights[name])

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Return a context in which the module holds the average. At its end, the trained weights return."""
        trained = {name: value.detach().clone() for name, value in self.live.items()}
        self.copy_to_module()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.live.items():
                    value.copy_(trained[name])
