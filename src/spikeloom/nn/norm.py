r"""Normalisation per bin over channels, and gated sums, each as one step with an explicit gradient.

:math:`\mathrm{norm}(x) = x\,r` with :math:`r = 1 / \sqrt{\overline{x^2} + \epsilon}`, the mean over the channels of one
bin. It does not depend on other bins, so neither on padding nor on the future. (The released LDNS normalises each
channel over the whole trial, so that every latent depends on padding and on the future: METHODS 2.8.)

With y = x r and h = m (y (1 + s) + b), a gradient g of h (padding taken out: m g) gives

.. math:: \partial s = \sum g\,y, \qquad \partial b = \sum g, \qquad
          \partial x = r\,(g (1 + s) - y\,\overline{g\,y\,(1 + s)}),

with sums over the bins (and over trials, if s and b are shared by all trials), and the mean over channels. Autograd
would read main memory about fifteen times. Here a few trials at a time stay in the cache (`nn.portions`), which is
twice as fast for large batches.
"""

from typing import Any  # the types of torch have no `saved_tensors`, and refuse None in `save_for_backward`

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from spikeloom.nn.portions import portions, working_type

EPSILON = 1e-5


def rms_norm(x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "channel batch time"]:
    """Divide the channels of each bin by their root mean square. A bin of zeros stays zero."""
    return x * _size(x)


def modulated_norm(
    x: Float[Tensor, "channel batch time"],
    scale: Float[Tensor, "channel batch_or_one 1"],
    shift: Float[Tensor, "channel batch_or_one 1"],
    mask: Float[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "channel batch time"]:
    """Return m (norm(x) (1 + s) + b); under autocast in the precision of the next operator."""
    return _ModulatedNorm.apply(x, scale, shift, mask, working_type(x))


def gated_sum(
    x: Float[Tensor, "channel batch time"],
    y: Float[Tensor, "channel batch time"],
    gate: Float[Tensor, "channel batch_or_one 1"],
) -> Float[Tensor, "channel batch time"]:
    """Return x + g y in the precision of x, so that the residual stream is never rounded to half precision."""
    return _GatedSum.apply(x, y, gate)


class _ModulatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        size = x.new_empty(x.shape[1:])
        h = torch.empty_like(x, dtype=dtype)
        for rows in _trials(x):
            size[rows] = _size(x[:, rows])
            part = (x[:, rows] * size[rows]).mul_(1 + _of(scale, rows)).add_(_of(shift, rows))
            h[:, rows] = part if mask is None else part.mul_(mask[rows])
        ctx.save_for_backward(x, size, scale, mask)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, size, scale, mask = ctx.saved_tensors
        dx = torch.empty_like(x)
        dscale = x.new_empty(*x.shape[:2], 1)
        dshift = x.new_empty(*x.shape[:2], 1)
        for rows in _trials(x):
            g = grad[:, rows].to(x.dtype) if mask is None else grad[:, rows] * mask[rows]
            y = x[:, rows] * size[rows]
            factor = 1 + _of(scale, rows)
            dshift[:, rows] = g.sum(-1, keepdim=True)
            gy = g * y
            dscale[:, rows] = gy.sum(-1, keepdim=True)
            along = gy.mul_(factor).mean(0)
            torch.mul((g * factor).addcmul_(y, along, value=-1), size[rows], out=dx[:, rows])
        return dx, dscale.sum_to_size(scale.shape), dshift.sum_to_size(scale.shape), None, None


class _GatedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(y, gate)
        total = torch.empty_like(x)
        for rows in _trials(x):
            torch.addcmul(x[:, rows], y[:, rows].to(x.dtype), _of(gate, rows), out=total[:, rows])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, gate = ctx.saved_tensors
        dy = torch.empty_like(y)
        dgate = grad.new_empty(*y.shape[:2], 1)
        for rows in _trials(y):
            g = grad[:, rows]
            dgate[:, rows] = (g * y[:, rows]).sum(-1, keepdim=True)
            torch.mul(g, _of(gate, rows), out=dy[:, rows])
        return grad, dy, dgate.sum_to_size(gate.shape)


def _size(x: Tensor) -> Tensor:
    """Return 1 / root mean square of each bin (batch, time)."""
    return torch.rsqrt(x.square().mean(0) + EPSILON)


def _trials(x: Tensor) -> list[slice]:
    channels, trials, time = x.shape
    return portions(trials, channels * time, x.device)


def _of(values: Tensor, rows: slice) -> Tensor:
    """Return the columns of these trials, or the one column that all trials share."""
    return values if values.shape[1] == 1 else values[:, rows]
