r"""S4D: a diagonal linear state space per channel, computed as a convolution or step by step.

Channel h has N complex modes with :math:`\dot x_n = A_n x_n + B_n u`, :math:`y = 2\,\mathrm{Re} \sum_n C_n x_n + D u`,
one of each conjugate pair. The bilinear rule with step :math:`\delta` gives

.. math:: \bar A_n = \frac{1 + \delta A_n / 2}{1 - \delta A_n / 2}, \qquad
          \bar B_n = \frac{\delta B_n}{1 - \delta A_n / 2}, \qquad
          K_l = 2\,\mathrm{Re} \sum_n C_n \bar A_n^l \bar B_n, \qquad y = K * u + D u .

The kernel is built in real arithmetic: with :math:`l = 16 j + i` it is a matrix product over the modes of
:math:`C \bar B \bar A^i` and :math:`\bar A^{16 j}`, so a kernel of L lags needs L/16 powers instead of L, and any
length follows from the parameters alone. A bidirectional layer has a second kernel for the future: the past one has
the lags >= 0, the future one the lags >= 1, so no bin is counted twice.

Inside the stack activations are (channel, batch, time): the channel mixing is then one matrix product and the
convolution runs along the contiguous axis, both without a transposition.

Source: Gu et al. 2020-2022 (HiPPO, S4, S4D). The rank-1 term of S4 is left out; B is the HiPPO-LegS vector, absorbed
in C.
"""

import abc
import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any  # the types of torch have no `saved_tensors` of a context

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from spikeloom.nn.portions import portions, working_type

LONGEST_MATRIX = 320
"""Bins up to which a Toeplitz matrix product beats the FFT (benchmarks/speed.py)."""

LARGEST_KEPT = 2**24
"""Largest size of the Toeplitz matrices of a layer that are cached outside of training: 64 MB in float32."""

_STRIDE = 16


def legs(modes: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return eigenvalues and input weights of the normal part of HiPPO-LegS, complex (modes,), one per conjugate pair.

    :math:`A_{nk} = -\sqrt{(2n+1)(2k+1)}` for n > k, :math:`-(n+1)` on the diagonal, 0 above; :math:`B_n = \sqrt{2n+1}`;
    :math:`A + PP^\top` with :math:`P_n = \sqrt{n + 1/2}` is normal: all its eigenvalues have real part -1/2.
    """
    n = np.arange(2 * modes)
    root = np.sqrt(2 * n + 1)
    normal = -np.tril(np.outer(root, root), -1) - np.diag(n + 1.0)
    normal = normal + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))
    imaginary, vectors = np.linalg.eigh(-1j * (normal + 0.5 * np.eye(2 * modes)))
    keep = imaginary > 0
    return -0.5 + 1j * imaginary[keep], vectors.conj().T[keep] @ root


@dataclass(frozen=True)
class _Built:
    """A kernel, its length, and copies of the parameters that it was built from."""

    kernel: Tensor
    length: int
    parameters: tuple[Tensor, ...]

    def holds(self, length: int, parameters: Sequence[Tensor]) -> bool:
        """Return whether the kernel has this length and the parameters have not changed."""
        return self.length == length and all(
            before.device == now.device and before.dtype == now.dtype and torch.equal(before, now)
            for before, now in zip(self.parameters, parameters, strict=True)
        )


KernelCache = dict[tuple["S4D", str], tuple[object, Tensor]]
"""Cache of tensors: (layer, name) -> (length or type, tensor that was built for it)."""

_CACHE: ContextVar[KernelCache | None] = ContextVar("kernel cache", default=None)


@contextlib.contextmanager
def keep_kernels(cache: KernelCache | None = None) -> Iterator[None]:
    """Return a context in which each S4D layer builds its kernel once, where no gradients are computed.

    A kernel depends on the parameters only, so a sampling run needs it once. Parameters must not change within the
    context. Each layer also remembers its last kernel, and compares its parameters before it takes that kernel again:
    once in a context, and at each call outside of every context.

    Args:
        cache: Kernels of earlier contexts of the same run. `None` uses those of the surrounding context, if any.
    """
    surrounding = _CACHE.get()
    if cache is None:
        cache = {} if surrounding is None else surrounding
    token = _CACHE.set(cache)
    try:
        yield
    finally:
        _CACHE.reset(token)


class StateSpace(abc.ABC):
    """Layer with parameters that set time constants, which are trained without weight decay and in small steps."""

    @abc.abstractmethod
    def time_constants(self) -> list[nn.Parameter]:
        """Return the parameters that set time constants."""


class S4D(nn.Module, StateSpace):
    """Convolution along time with a learned kernel of any length, (channel, batch, time) -> same.

    Args:
        channels: Independent state spaces, one per channel.
        modes: Complex modes of each channel, half the state size.
        bidirectional: Whether a second kernel reads the future; without it the layer is causal.
        step_range: Smallest and largest initial step of the discretisation, drawn log-uniformly.
    """

    def __init__(
        self,
        channels: int,
        *,
        modes: int = 32,
        bidirectional: bool = False,
        step_range: tuple[float, float] = (1e-3, 1e-1),
    ) -> None:
        super().__init__()
        poles, weights = legs(modes)
        low, high = (math.log(step) for step in step_range)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(channels, 1))
        self.log_decay = nn.Parameter(torch.full((channels, modes), math.log(0.5)))  # Re A = -exp(log_decay)
        self.frequency = nn.Parameter(torch.from_numpy(poles.imag).float().repeat(channels, 1))  # Im A
        directions = 2 if bidirectional else 1
        mix = torch.randn(directions, channels, modes, 2) / math.sqrt(2)
        turned = torch.view_as_complex(mix) * torch.from_numpy(weights).to(torch.complex64)
        self.output = nn.Parameter(torch.view_as_real(turned).contiguous())  # C B as real pairs
        self.skip = nn.Parameter(torch.randn(channels))  # D
        self.bidirectional = bidirectional
        self._built: _Built | None = None

    def time_constants(self) -> list[nn.Parameter]:
        """Return the logarithm of the step, and the decay rates and frequencies of the modes."""
        return [self.log_step, self.log_decay, self.frequency]

    def forward(self, x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "channel batch time"]:
        """Compute the convolution y = K * u + D u, by matrix product for short trials and by FFT for long ones."""
        time = x.shape[-1]
        if time > LONGEST_MATRIX:
            return _by_fft(x, self.kernel(time))
        x = x.to(working_type(x))
        if torch.is_grad_enabled() or len(x) * time * time > LARGEST_KEPT:
            return _ByMatrix.apply(x, self.kernel(time))
        return torch.bmm(x, self._kept("matrix", (time, x.dtype), lambda: _toeplitz(self.kernel(time).to(x.dtype))))

    def kernel(self, length: int) -> Float[Tensor, "channel lag"]:
        """Return the kernel at the lags -(length - 1) ... length - 1, with D at lag 0; zero at negative lags if causal.

        It depends on parameters only. Without gradients and within `keep_kernels` it is built once for each length, and
        the next run takes the same kernel if length and parameters are the same.
        """
        if torch.is_grad_enabled():
            return self._kernel(length)
        return self._kept("kernel", length, lambda: self._kernel_of_last_run(length))

    def _kept(self, name: str, kind: object, build: Callable[[], Tensor]) -> Tensor:
        """Return the cached tensor if its kind is the same, or build it."""
        cache = _CACHE.get()
        if cache is None:
            return build()
        kept = cache.get((self, name))
        if kept is None or kept[0] != kind:
            kept = cache[self, name] = (kind, build())
        return kept[1]

    def _kernel_of_last_run(self, length: int) -> Tensor:
        """Return the kernel of the last run if length and parameters are the same, or build it."""
        parameters = [value.detach() for value in self.parameters(recurse=False)]
        built = self._built  # one reading: another thread may replace it
        if built is None or not built.holds(length, parameters):
            built = self._built = _Built(self._kernel(length), length, tuple(value.clone() for value in parameters))
        return built.kernel

    def _kernel(self, length: int) -> Tensor:
        with torch.autocast(self.skip.device.type, enabled=False):  # half precision is too coarse for slow modes
            log_size, angle, re, im = self._modes()
            near = torch.arange(_STRIDE, device=angle.device)
            far = _STRIDE * torch.arange(-(-(length + 1) // _STRIDE), device=angle.device)
            size = (log_size[..., None] * near).exp()
            turn = angle[..., None] * near
            cos = size * turn.cos()
            sin = size * turn.sin()
            # (direction, channel, 2 modes, near): real and imaginary part of C B A^i
            first = torch.cat(
                (re[..., None] * cos - im[..., None] * sin, re[..., None] * sin + im[..., None] * cos), -2
            )
            size = (log_size[..., None] * far).exp()
            turn = angle[..., None] * far
            second = torch.cat((size * turn.cos(), -size * turn.sin()), -2)  # (channel, 2 modes, far)
            kernel = 2 * (second.transpose(-1, -2) @ first).flatten(-2)  # (direction, channel, lag)
            past = torch.cat((kernel[0, :, :1] + self.skip[:, None], kernel[0, :, 1:length]), -1)
            if self.bidirectional:
                return torch.cat((kernel[1, :, 1:length].flip(-1), past), -1)
            return functional.pad(past, (length - 1, 0))

    def _modes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return log |A_bar|, arg A_bar (channel, mode), and Re, Im of C B_bar (direction, channel, mode)."""
        step = self.log_step.exp()
        # z = step A / 2 = a + ib
        a = -0.5 * step * self.log_decay.exp()
        b = 0.5 * step * self.frequency
        below = (1 - a) ** 2 + b**2  # |1 - z|^2
        log_size = 0.5 * torch.log1p(4 * a / below)
        angle = torch.atan2(b, 1 + a) + torch.atan2(b, 1 - a)
        scale = step / below  # B_bar = step / (1 - z), times C B
        c_re, c_im = self.output.unbind(-1)
        return log_size, angle, scale * (c_re * (1 - a) - c_im * b), scale * (c_im * (1 - a) + c_re * b)

    # --- the same layer, one bin at a time -----------------------------------------------------------------------

    def start(self, batch: int) -> Float[Tensor, "channel batch mode two"]:
        """Return the state before the first bin: zero."""
        return self.output.new_zeros(len(self.skip), batch, self.frequency.shape[1], 2)

    def step(
        self, x: Float[Tensor, "channel batch"], state: Float[Tensor, "channel batch mode two"]
    ) -> tuple[Float[Tensor, "channel batch"], Float[Tensor, "channel batch mode two"]]:
        """Return the output of one more bin and the state after it, as the convolution has them; causal layers only."""
        if self.bidirectional:
            raise ValueError("a bidirectional layer reads the future and cannot run bin by bin")
        log_size, angle, re, im = (mode[0] if mode.dim() == 3 else mode for mode in self._modes())
        size = log_size.exp()
        a_re = (size * angle.cos())[:, None]
        a_im = (size * angle.sin())[:, None]
        s_re, s_im = state.unbind(-1)
        new_re = a_re * s_re - a_im * s_im + x[..., None]
        new_im = a_re * s_im + a_im * s_re
        y = 2 * (re[:, None] * new_re - im[:, None] * new_im).sum(-1) + self.skip[:, None] * x
        return y, torch.stack((new_re, new_im), -1)


class _ByMatrix(torch.autograd.Function):
    r"""The convolution as a matrix product, for a few channels at a time.

    With :math:`M_{st} = k_{t-s}`: y = x M. Given a gradient g of y, :math:`\partial x = g M^\top`, where the transpose
    is the Toeplitz matrix of the reversed kernel, and :math:`\partial k_l` is the sum of :math:`x^\top g` over the
    diagonal t - s = l. The matrices are as large as the activations, so they are built again for each portion.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, kernel: Tensor) -> Tensor:
        """Convolve x (channel, batch, T) with kernels (channel, 2T - 1); the result has the type of x."""
        ctx.save_for_backward(x, kernel)
        y = torch.empty_like(x)
        for part in _channels(x):
            torch.bmm(x[part], _toeplitz(kernel[part].to(x.dtype)), out=y[part])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and of the kernel."""
        x, kernel = ctx.saved_tensors
        dx = torch.empty_like(x)
        dkernel = torch.empty_like(kernel)
        reverse = kernel.flip(-1)
        time = x.shape[-1]
        parts = _channels(x)
        flat = kernel.new_zeros(len(x[parts[0]]), time * (2 * time + 1))
        rows = flat[:, : 2 * time * time].unflatten(1, (time, 2 * time))[..., :time]  # the other columns stay zero
        for part in parts:
            torch.bmm(grad[part], _toeplitz(reverse[part].to(x.dtype)), out=dx[part])
            few = len(kernel[part])
            rows[:few] = x[part].mT @ grad[part]
            lags = flat[:few].view(few, time, 2 * time + 1).sum(1)  # rows longer by one turn diagonals into columns
            dkernel[part] = torch.cat((lags[:, time + 2 :], lags[:, :time]), 1)
        return dx, dkernel


def _toeplitz(kernel: Tensor) -> Tensor:
    """Return the matrices M[s, t] = k[T - 1 + t - s] of kernels k (channel, 2T - 1)."""
    return kernel.unfold(-1, (kernel.shape[-1] + 1) // 2, 1).flip(1)


def _channels(x: Tensor) -> list[slice]:
    channels, _, time = x.shape
    return portions(channels, time * time, x.device)


def _by_fft(x: Tensor, kernel: Tensor) -> Tensor:
    time = x.shape[-1]
    size = _fast_size(2 * time - 1)  # the circular wrap reaches bins below time - 1 only, which are cut off
    with torch.autocast(x.device.type, enabled=False):  # half-precision FFTs need powers of two
        y = torch.fft.irfft(torch.fft.rfft(x.float(), n=size) * torch.fft.rfft(kernel.float(), n=size)[:, None], n=size)
    return y[..., time - 1 : 2 * time - 1]


def _fast_size(size: int) -> int:
    """Return the smallest 2^a 3^b 5^c >= size; FFTs of such lengths are fast."""
    best = 1 << (size - 1).bit_length()
    for five in (1, 5, 25):
        for three in (1, 3, 9, 27):
            odd = five * three
            best = min(best, odd << max(0, (-(-size // odd) - 1).bit_length()))
    return best
