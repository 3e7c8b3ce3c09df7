r"""Process long trials in windows of the length on which a network was trained.

The kernels of state-space layers extend to any lag, but training determines them only at lags shorter than the training
trials. At longer lags their values are arbitrary, and the statistics of the output drift: on the Lorenz system the
agreement of pairwise correlations in samples 16 times as long fell from r = 0.999 to 0.6. In windows it stays above
0.99.

So a longer trial is processed in windows that overlap by half, and the outputs :math:`y^{(k)}` of the windows are
averaged with triangular weights w: with :math:`s_k` the first bin of window k,
:math:`y_t = \sum_k w_{t - s_k} y^{(k)}_{t - s_k} / \sum_k w_{t - s_k}`. Inside a window the network uses only lags on
which it was trained. The outputs of neighbouring windows agree because the windows share half of their bins. The
windows of a trial depend on its length only, so a trial is the same in any batch.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spikeloom.nn.condition import Condition


class Windows:
    """Overlapping windows over the trials of a batch; see the module.

    Args:
        x: Trials that will be cut (batch, time, channel). Only their shape and device are used.
        mask: Valid bins (batch, time), the first ones of each trial. `None` means that all are valid.
        window: Number of bins of a window: the length on which the network was trained.
        first: Number of bins from the beginning of the first window to the beginning of the second. `None` means half a
            window, as between all later windows.
    """

    def __init__(self, x: Tensor, mask: Tensor | None, *, window: int, first: int | None = None) -> None:
        self.time = x.shape[1]
        step = max(1, window // 2)  # from the beginning of a window to the next, after the second window
        device = x.device
        first = step if first is None else first
        valid = torch.ones(x.shape[:2], dtype=torch.bool, device=device) if mask is None else mask
        n_later = max(0, -(-(self.time - window - first) // step))  # windows after the second one; rounded up
        self.number = 1 if self.time <= window else 2 + n_later
        starts = step * torch.arange(self.number, device=device)
        bins = torch.arange(window, device=device)
        starts[1:] += first - step  # the second window begins at `first`
        self.index = starts[:, None] + bins  # (window, bin)
        # A trial needs a window only if the previous windows do not reach its end.
        covered = torch.cat((starts[:1], starts[:-1] + window))  # number of bins that the previous windows cover
        needed = covered < valid.sum(1, keepdim=True).clamp(min=1)
        self.weight = needed[:, :, None] * torch.minimum(bins + 1, window - bins)  # (batch, window, bin)
        self.mask = self.cut(valid)

    def cut(self, x: Tensor) -> Tensor:
        """Cut trials (batch, time, ...) into windows (batch x window, bin, ...), with zeros beyond the end."""
        n_missing = int(self.index[-1, -1]) + 1 - self.time
        padded = functional.pad(x, (*[0, 0] * (x.dim() - 2), 0, n_missing))
        return padded[:, self.index].flatten(0, 1)

    def repeat(self, x: Tensor) -> Tensor:
        """Repeat values of trials (batch, ...) for each of their windows (batch x window, ...)."""
        return x.repeat_interleave(self.number, 0)

    def condition(self, condition: Condition | None) -> Condition | None:
        """Return the condition of every window: vectors are repeated, sequences are cut."""
        if condition is None:
            return None
        vector = condition.vector
        sequence = condition.sequence
        present = condition.present
        return Condition(
            None if vector is None else self.repeat(vector),
            None if sequence is None else self.cut(sequence),
            None if present is None else self.repeat(present),
        )

    def blend(self, y: Float[Tensor, "rows bin channel"]) -> Float[Tensor, "batch time channel"]:
        """Return the weighted mean of the outputs of the windows in every bin of the trials.

        Args:
            y: Outputs of the windows (batch x window, bin, channel).
        """
        batch = len(self.weight)
        index = self.index.flatten()
        shape = (batch, int(index[-1]) + 1, y.shape[2])
        weight = self.weight.to(y.dtype).flatten(1)[..., None]
        weighted_sum = y.new_zeros(shape).index_add_(1, index, weight * y.reshape(batch, -1, y.shape[2]))
        weight_sum = y.new_zeros(*shape[:2], 1).index_add_(1, index, weight)
        return (weighted_sum / weight_sum.clamp(min=1))[:, : self.time]


def in_windows(
    network: Callable[[Tensor, Tensor | None], Tensor],
    x: Float[Tensor, "batch time channel"],
    mask: Tensor | None,
    *,
    window: int,
) -> Float[Tensor, "batch time out"]:
    """Return the output of a network for trials of any length, processed in windows; see the module.

    Args:
        network: Function of x (batch, time, channel) and its mask (batch, time) that returns (batch, time, out).
        x: Trials.
        mask: Valid bins (batch, time). `None` means that all bins are valid.
        window: Number of bins of a window. Trials with at most this number of bins are processed at once.
    """
    if x.shape[1] <= window:
        return network(x, mask)
    windows = Windows(x, mask, window=window)
    return windows.blend(network(windows.cut(x), windows.mask))
