r"""S4D: a linear layer along time with one diagonal state space per channel, computed by convolution or bin by bin.

Each channel has N complex modes x. They receive the input u of the channel and determine its output y:
:math:`\dot x_n = A_n x_n + B_n u`, :math:`y = 2\,\mathrm{Re} \sum_n C_n x_n + D u`. Modes come in conjugate pairs, and
only one of each pair is computed. In discrete time, by the bilinear rule with step :math:`\delta`, the output is a
convolution of the input with a kernel K:

.. math:: \bar A_n = \frac{1 + \delta A_n / 2}{1 - \delta A_n / 2}, \qquad
          \bar B_n = \frac{\delta B_n}{1 - \delta A_n / 2}, \qquad
          K_l = 2\,\mathrm{Re} \sum_n C_n \bar A_n^l \bar B_n, \qquad y = K * u + D u .

**Kernel.** A lag l is written as :math:`l = 16 j + i`. Then the kernel is a matrix product over the modes of
:math:`C \bar B \bar A^i` (16 columns) and :math:`\bar A^{16 j}` (L / 16 rows for L lags). Only 16 + L / 16
powers of :math:`\bar A` are computed, and a kernel can have any length L. A bidirectional layer has a second kernel for
the bins after the present one. The first kernel has the lags >= 0 and the second the lags >= 1, so no bin counts twice.

**Axes.** Activations are (channel, batch, time). A linear map of the channels is then one matrix product, and the
convolution runs along the contiguous axis. Neither operation needs a transposition.

Source: Gu et al. 2020-2022 (HiPPO, S4, S4D). The rank-1 term of S4 is left out. B is the vector of HiPPO-LegS
(`legs`); it is not a parameter, because only the product C B matters.
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
"""Number of bins up to which a product with a Toeplitz matrix is faster than the FFT (benchmarks/speed.py)."""

LARGEST_KEPT = 2**24
"""Largest size of the Toeplitz matrices of a layer that are cached outside of training: 64 MB in float32."""

_STRIDE = 16  # of the lags l = 16 j + i


def legs(modes: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute the initial modes: eigenvalues and input weights of the HiPPO-LegS state space without its rank-1 term.

    HiPPO-LegS has the input weights :math:`B_n = \sqrt{2n+1}` and the state matrix A with
    :math:`A_{nk} = -\sqrt{(2n+1)(2k+1)}` for n > k, :math:`A_{nn} = -(n+1)`, and 0 above the diagonal. The matrix
    :math:`A + PP^\top` with :math:`P_n = \sqrt{n + 1/2}` is normal, so a unitary matrix diagonalises it. All its
    eigenvalues have the real part -1/2.

    Args:
        modes: Number N of modes, half the size of A.

    Returns:
        Eigenvalues (mode,), and input weights in the basis of the eigenvectors (mode,); complex, one of each conjugate
        pair.
    """
    n = np.arange(2 * modes)
    input_weights = np.sqrt(2 * n + 1)  # B
    normal = -np.tril(np.outer(input_weights, input_weights), -1) - np.diag(n + 1.0)
    normal = normal + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))  # A + P P'
    # this matrix plus I / 2 is antisymmetric, so i times it is Hermitian and has real eigenvalues
    imaginary, vectors = np.linalg.eigh(-1j * (normal + 0.5 * np.eye(2 * modes)))
    keep = imaginary > 0  # one eigenvalue of each conjugate pair
    return -0.5 + 1j * imaginary[keep], vectors.conj().T[keep] @ input_weights


@dataclass(frozen=True)
class _Built:
    """A kernel, its length, and copies of the parameters from which it was built."""

    kernel: Tensor
    length: int
    parameters: tuple[Tensor, ...]

    def holds(self, length: int, parameters: Sequence[Tensor]) -> bool:
        """Return True if the kernel has this length and the parameters have not changed."""
        return self.length == length and all(
            copied.device == present.device and copied.dtype == present.dtype and torch.equal(copied, present)
            for copied, present in zip(self.parameters, parameters, strict=True)
        )


KernelCache = dict[tuple["S4D", str], tuple[object, Tensor]]
"""Cache of tensors that depend on parameters only: (layer, name) -> (length or type, tensor that was built for it)."""

_CACHE: ContextVar[KernelCache | None] = ContextVar("kernel cache", default=None)


@contextlib.contextmanager
def keep_kernels(cache: KernelCache | None = None) -> Iterator[None]:
    """Return a context in which each S4D layer builds its kernel only once, if no gradients are computed.

    A kernel depends on the parameters only, so a sampling run needs to build it once. Parameters must not change within
    the context. Each layer also remembers the kernel of its last run, and uses it again in the next context if a
    comparison shows that its parameters have not changed.

    Args:
        cache: Kernels of earlier contexts of the same run. `None` uses the cache of a surrounding context, if there is
            one.
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
    """Layer whose time constants are parameters. They are trained without weight decay and in small steps."""

    @abc.abstractmethod
    def time_constants(self) -> list[nn.Parameter]:
        """Return the parameters that set time constants."""


class S4D(nn.Module, StateSpace):
    """Convolution along time with a learned kernel of any length; input and output are (channel, batch, time).

    Args:
        channels: Number of channels; each has a separate state space.
        modes: Number of complex modes of each channel, half the size of the state.
        bidirectional: True for a second kernel that reads later bins. Otherwise the layer is causal.
        step_range: Smallest and largest initial step delta. Initial steps are drawn log-uniformly between them.
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
        eigenvalues, input_weights = legs(modes)  # A, B
        low, high = (math.log(step) for step in step_range)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(channels, 1))
        self.log_decay = nn.Parameter(torch.full((channels, modes), math.log(0.5)))  # Re A = -exp(log_decay)
        self.frequency = nn.Parameter(torch.from_numpy(eigenvalues.imag).float().repeat(channels, 1))  # Im A
        directions = 2 if bidirectional else 1
        output_weights = torch.randn(directions, channels, modes, 2) / math.sqrt(2)  # C
        products = torch.view_as_complex(output_weights) * torch.from_numpy(input_weights).to(torch.complex64)
        self.output = nn.Parameter(torch.view_as_real(products).contiguous())  # C B as pairs of real numbers
        self.skip = nn.Parameter(torch.randn(channels))  # D
        self.bidirectional = bidirectional
        self._built: _Built | None = None

    def time_constants(self) -> list[nn.Parameter]:
        """Return the logarithm of the step, and the decay rates and frequencies of the modes."""
        return [self.log_step, self.log_decay, self.frequency]

    def forward(self, x: Float[Tensor, "channel batch time"]) -> Float[Tensor, "channel batch time"]:
        """Return K * x + D x, by matrix product for short trials and by FFT for long ones; `kernel` includes D."""
        time = x.shape[-1]
        if time > LONGEST_MATRIX:
            return _by_fft(x, self.kernel(time))
        x = x.to(working_type(x))
        if torch.is_grad_enabled() or len(x) * time * time > LARGEST_KEPT:
            return _ByMatrix.apply(x, self.kernel(time))
        return torch.bmm(x, self._kept("matrix", (time, x.dtype), lambda: _toeplitz(self.kernel(time).to(x.dtype))))

    def kernel(self, length: int) -> Float[Tensor, "channel lag"]:
        """Return the kernel at the lags -(length - 1) ... length - 1, with D at lag 0; zero at negative lags if causal.

        Without gradients and within `keep_kernels`, the kernel is built once for each length. The next run uses the
        same kernel if length and parameters are the same.
        """
        if torch.is_grad_enabled():
            return self._kernel(length)
        return self._kept("kernel", length, lambda: self._kernel_of_last_run(length))

    def _kept(self, name: str, kind: object, build: Callable[[], Tensor]) -> Tensor:
        """Return the cached tensor of this name, or build it if there is none of this kind.

        Args:
            name: Name of the tensor within the layer.
            kind: Length or type for which the tensor is built.
            build: Function that builds it.
        """
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
        built = self._built  # read once, because another thread may replace it
        if built is None or not built.holds(length, parameters):
            built = self._built = _Built(self._kernel(length), length, tuple(value.clone() for value in parameters))
        return built.kernel

    def _kernel(self, length: int) -> Tensor:
        r"""Compute the kernel as the product of a matrix for i and a matrix for j, with lag l = 16 j + i; see `kernel`.

        All numbers are real. With :math:`\bar A = e^{a + \mathrm{i} b}`, the powers are
        :math:`\bar A^l = e^{a l} (\cos b l + \mathrm{i} \sin b l)`.
        """
        with torch.autocast(self.skip.device.type, enabled=False):  # half precision is too coarse for slow modes
            log_size, angle, re, im = self._modes()
            near_lags = torch.arange(_STRIDE, device=angle.device)  # i
            n_far_lags = -(-(length + 1) // _STRIDE)  # rounded up
            far_lags = _STRIDE * torch.arange(n_far_lags, device=angle.device)  # 16 j
            modulus = (log_size[..., None] * near_lags).exp()
            phase = angle[..., None] * near_lags
            cos = modulus * phase.cos()
            sin = modulus * phase.sin()
            real = re[..., None] * cos - im[..., None] * sin
            imaginary = re[..., None] * sin + im[..., None] * cos
            near = torch.cat((real, imaginary), -2)  # C B A^i (direction, channel, 2 modes, i)
            modulus = (log_size[..., None] * far_lags).exp()
            phase = angle[..., None] * far_lags
            far = torch.cat((modulus * phase.cos(), -modulus * phase.sin()), -2)  # A^(16 j) (channel, 2 modes, j)
            kernel = 2 * (far.transpose(-1, -2) @ near).flatten(-2)  # (direction, channel, lag)
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
        denominator = (1 - a) ** 2 + b**2  # |1 - z|^2
        # A_bar = (1 + z) / (1 - z), and |1 + z|^2 = |1 - z|^2 + 4 a
        log_size = 0.5 * torch.log1p(4 * a / denominator)
        angle = torch.atan2(b, 1 + a) + torch.atan2(b, 1 - a)  # of 1 + z, minus that of 1 - z
        scale = step / denominator  # C B_bar = C B step / (1 - z)
        c_re, c_im = self.output.unbind(-1)
        return log_size, angle, scale * (c_re * (1 - a) - c_im * b), scale * (c_im * (1 - a) + c_re * b)

    # --- the same layer, one bin at a time -----------------------------------------------------------------------

    def start(self, batch: int) -> Float[Tensor, "channel batch mode two"]:
        """Return the state before the first bin: zero."""
        return self.output.new_zeros(len(self.skip), batch, self.frequency.shape[1], 2)

    def step(
        self, x: Float[Tensor, "channel batch"], state: Float[Tensor, "channel batch mode two"]
    ) -> tuple[Float[Tensor, "channel batch"], Float[Tensor, "channel batch mode two"]]:
        """Return the output of one more bin, which equals the result of the convolution, and the state after this bin.

        Args:
            x: Input of the bin.
            state: Real and imaginary part of each mode before the bin.

        Raises:
            ValueError: if the layer is bidirectional.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer reads the future and cannot run bin by bin")
        # `re` and `im` have an axis of directions, of which a causal layer has one
        log_size, angle, re, im = (mode[0] if mode.dim() == 3 else mode for mode in self._modes())
        size = log_size.exp()
        a_re = (size * angle.cos())[:, None]
        a_im = (size * angle.sin())[:, None]
        s_re, s_im = state.unbind(-1)
        # the modes become A_bar x + u; B_bar is a factor of the output weights
        new_re = a_re * s_re - a_im * s_im + x[..., None]
        new_im = a_re * s_im + a_im * s_re
        y = 2 * (re[:, None] * new_re - im[:, None] * new_im).sum(-1) + self.skip[:, None] * x
        return y, torch.stack((new_re, new_im), -1)


class _ByMatrix(torch.autograd.Function):
    r"""The convolution of x with a kernel k as a matrix product, with its gradient, for a few channels at a time.

    The output is y = x M with the Toeplitz matrix :math:`M_{st} = k_{t-s}`. Let g be the gradient of y. Then the
    gradient of x is :math:`g M^\top`, and :math:`M^\top` is the Toeplitz matrix of the reversed kernel. The gradient of
    :math:`k_l` is the sum of :math:`x^\top g` over the diagonal t - s = l. The matrices are as large as the
    activations, so only those of a few channels exist at any time.
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
        # Sums over diagonals: x' g is written into rows of 2 T numbers and read in rows of 2 T + 1. Each row then
        # begins one number later, so the diagonals have become columns.
        memory = kernel.new_zeros(len(x[parts[0]]), time * (2 * time + 1))
        products = memory[:, : 2 * time * time].unflatten(1, (time, 2 * time))[..., :time]  # other columns stay zero
        for part in parts:
            torch.bmm(grad[part], _toeplitz(reverse[part].to(x.dtype)), out=dx[part])
            n_channels = len(kernel[part])
            products[:n_channels] = x[part].mT @ grad[part]
            lag_sums = memory[:n_channels].view(n_channels, time, 2 * time + 1).sum(1)
            dkernel[part] = torch.cat((lag_sums[:, time + 2 :], lag_sums[:, :time]), 1)  # lags below 0, then others
        return dx, dkernel


def _toeplitz(kernel: Tensor) -> Tensor:
    """Return the matrices M[s, t] = k[T - 1 + t - s] of kernels k (channel, 2T - 1)."""
    return kernel.unfold(-1, (kernel.shape[-1] + 1) // 2, 1).flip(1)


def _channels(x: Tensor) -> list[slice]:
    """Return slices of channels of x (channel, batch, time) whose Toeplitz matrices stay in the cache."""
    channels, _, time = x.shape
    return portions(channels, time * time, x.device)


def _by_fft(x: Tensor, kernel: Tensor) -> Tensor:
    """Return the convolution of x (channel, batch, T) with kernels (channel, 2T - 1) by FFT, in float32.

    The FFT computes a circular convolution. Wrapped values only reach its first T - 1 bins, which are cut off.
    """
    time = x.shape[-1]
    size = _fast_size(2 * time - 1)
    with torch.autocast(x.device.type, enabled=False):  # half-precision FFTs need powers of two
        spectrum = torch.fft.rfft(x.float(), n=size) * torch.fft.rfft(kernel.float(), n=size)[:, None]
        y = torch.fft.irfft(spectrum, n=size)
    return y[..., time - 1 : 2 * time - 1]


def _fast_size(size: int) -> int:
    """Return the smallest 2^a 3^b 5^c >= size with b <= 3 and c <= 2; FFTs of such lengths are fast."""
    smallest = 1 << (size - 1).bit_length()  # a power of two
    for five in (1, 5, 25):
        for three in (1, 3, 9, 27):
            odd = five * three
            quotient = -(-size // odd)  # rounded up
            power_of_two = max(0, (quotient - 1).bit_length())
            smallest = min(smallest, odd << power_of_two)
    return smallest
