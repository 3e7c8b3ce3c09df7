r"""Normalisation of each bin over its channels, and gated sums, each as one operation with an explicit gradient.

:math:`\mathrm{norm}(x) = x\,r` with :math:`r = 1 / \sqrt{\overline{x^2} + \epsilon}`, where the bar is the mean over
the channels of one bin. The result of a bin does not depend on other bins: neither on padding nor on later bins. (The
released LDNS normalises each channel over the complete trial, so every latent depends on padding and on later bins:
METHODS 2.8.)

The normalised y = x r is scaled, shifted and masked, h = m (y (1 + s) + b), with m = 0 in the padding. Let g be the
gradient of h, set to 0 in the padding. Then the gradients of s, b and x are

.. math:: \partial s = \sum g\,y, \qquad \partial b = \sum g, \qquad
          \partial x = r\,(g (1 + s) - y\,\overline{g\,y\,(1 + s)}),

with sums over the bins (and over trials, if s and b are shared by all trials), and the mean over channels.

The gradients are written out because PyTorch's automatic differentiation would read main memory about fifteen times.
Here a few trials at a time stay in the cache (`nn.portions`), which is twice as fast for large batches.
"""

from typing import Any  # the types of torch have no `saved_tensors`, and refuse None in `save_for_backward`

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from spikeloom.nn.portions import portions, working_type

EPSILON = 1e-5
"""Number that is added to the mean square, so that a bin of zeros is not divided by 0."""


def rms_norm(x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "channel batch time"]:
    """Divide the channels of each bin by their root mean square. A bin of zeros stays zero."""
    return x * _inverse_rms(x)


def modulated_norm(
    x: Float[Tensor, "channel batch time"],
    scale: Float[Tensor, "channel batch_or_one 1"],
    shift: Float[Tensor, "channel batch_or_one 1"],
    mask: Float[Tensor, "batch time"] | None = None,
) -> Float[Tensor, "channel batch time"]:
    """Return m (norm(x) (1 + s) + b), with scale s, shift b and mask m.

    Under autocast the result has the precision in which the next operation is computed.
    """
    return _ModulatedNorm.apply(x, scale, shift, mask, working_type(x))


def gated_sum(
    x: Float[Tensor, "channel batch time"],
    y: Float[Tensor, "channel batch time"],
    gate: Float[Tensor, "channel batch_or_one 1"],
) -> Float[Tensor, "channel batch time"]:
    """Return x + gate y in the precision of x, so that x is never rounded to half precision."""
    return _GatedSum.apply(x, y, gate)


class _ModulatedNorm(torch.autograd.Function):
    """The operation `modulated_norm` with its gradient; see the module for the formulas."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, mask: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return h in this type, a few trials at a time."""
        inverse = x.new_empty(x.shape[1:])  # r
        h = torch.empty_like(x, dtype=dtype)
        for rows in _trials(x):
            inverse[rows] = _inverse_rms(x[:, rows])
            part = (x[:, rows] * inverse[rows]).mul_(1 + _of_trials(scale, rows)).add_(_of_trials(shift, rows))
            h[:, rows] = part if mask is None else part.mul_(mask[rows])
        ctx.save_for_backward(x, inverse, scale, mask)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, scale and shift; mask and type have none."""
        x, inverse, scale, mask = ctx.saved_tensors
        dx = torch.empty_like(x)
        dscale = x.new_empty(*x.shape[:2], 1)
        dshift = x.new_empty(*x.shape[:2], 1)
        for rows in _trials(x):
            g = grad[:, rows].to(x.dtype) if mask is None else grad[:, rows] * mask[rows]
            y = x[:, rows] * inverse[rows]
            factor = 1 + _of_trials(scale, rows)
            dshift[:, rows] = g.sum(-1, keepdim=True)
            gy = g * y
            dscale[:, rows] = gy.sum(-1, keepdim=True)
            mean_over_channels = gy.mul_(factor).mean(0)
            # r (g (1 + s) - y mean)
            torch.mul((g * factor).addcmul_(y, mean_over_channels, value=-1), inverse[rows], out=dx[:, rows])
        return dx, dscale.sum_to_size(scale.shape), dshift.sum_to_size(scale.shape), None, None


class _GatedSum(torch.autograd.Function):
    """The operation `gated_sum`, h = x + a y with gate a, and its gradients: g for x, a g for y, and sum g y for a."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
        """Return x + a y (channel, trial, time), a few trials at a time."""
        ctx.save_for_backward(y, gate)
        total = torch.empty_like(x)
        for rows in _trials(x):
            torch.addcmul(x[:, rows], y[:, rows].to(x.dtype), _of_trials(gate, rows), out=total[:, rows])
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of x, y and the gate."""
        y, gate = ctx.saved_tensors
        dy = torch.empty_like(y)
        dgate = grad.new_empty(*y.shape[:2], 1)
        for rows in _trials(y):
            g = grad[:, rows]
            dgate[:, rows] = (g * y[:, rows]).sum(-1, keepdim=True)
            torch.mul(g, _of_trials(gate, rows), out=dy[:, rows])
        return grad, dy, dgate.sum_to_size(gate.shape)


def _inverse_rms(x: Tensor) -> Tensor:
    """Return r = 1 / root mean square over the channels of each bin (batch, time)."""
    return torch.rsqrt(x.square().mean(0) + EPSILON)


def _trials(x: Tensor) -> list[slice]:
    """Return slices of consecutive trials of x (channel, batch, time) that stay in the cache."""
    channels, trials, time = x.shape
    return portions(trials, channels * time, x.device)


def _of_trials(values: Tensor, rows: slice) -> Tensor:
    """Return the values (channel, batch, 1) of these trials, or the values (channel, 1, 1) that all trials share."""
    return values if values.shape[1] == 1 else values[:, rows]
