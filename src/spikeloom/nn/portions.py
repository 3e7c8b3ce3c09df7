"""Work in portions that stay in a core's cache.

Reading a large tensor from main memory takes a CPU longer than most sums on it. A chain of operations is therefore run
to its end on a few trials (or channels) before the next few are taken: each number comes from memory once, not once per
operation. An accelerator is fed everything at once.
"""

import torch

IN_CACHE = 2**18
"""Numbers of one tensor in a portion: a megabyte in float32, half the cache that a core of today has to itself."""


def portions(count: int, each: int, device: torch.device) -> list[slice]:
    """Slices of `count` items of `each` numbers, in order; a single one on an accelerator."""
    size = max(1, IN_CACHE // max(1, each)) if device.type == "cpu" else max(1, count)
    return [slice(start, start + size) for start in range(0, count, size)]


def working_type(x: torch.Tensor) -> torch.dtype:
    """Type that matrix products of x are computed in: autocast's, else its own."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
