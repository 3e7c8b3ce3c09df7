"""Computation in portions that stay in the cache of a core.

For a CPU, reading a large tensor from main memory takes longer than most sums on it. So a chain of operations is
completed on a few trials (or channels) before the next few: each number is read from memory once, not once per
operation. An accelerator computes everything at once.
"""

import torch

IN_CACHE = 2**18
"""Numbers of one tensor in a portion: a megabyte in float32, half the cache of a present-day core."""


def portions(count: int, each: int, device: torch.device) -> list[slice]:
    """Return slices of `count` items of `each` numbers, in order; a single slice on an accelerator."""
    size = max(1, IN_CACHE // max(1, each)) if device.type == "cpu" else max(1, count)
    return [slice(start, start + size) for start in range(0, count, size)]


def working_type(x: torch.Tensor) -> torch.dtype:
    """Return the type in which matrix products of x are computed: the type of autocast, or of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
