"""Computation in portions that stay in the cache of a processor core.

Reading a large tensor from main memory takes a CPU longer than adding or multiplying its numbers. Therefore all
operations of a chain are completed for a few trials (or channels) before the next few are read. Each number is then
read from memory once instead of once per operation. A GPU computes everything at once.
"""

import torch

IN_CACHE = 2**18
"""Largest size of one tensor in a portion: a megabyte in float32, half the cache of a present-day core."""


def portions(count: int, each: int, device: torch.device) -> list[slice]:
    """Return slices that divide items into portions, in order.

    Args:
        count: Number of items, such as trials.
        each: Number of entries of an item.
        device: Device of the tensors. All items are in one slice unless the device is a CPU.
    """
    size = max(1, IN_CACHE // max(1, each)) if device.type == "cpu" else max(1, count)
    return [slice(start, start + size) for start in range(0, count, size)]


def working_type(x: torch.Tensor) -> torch.dtype:
    """Return the type of matrix products of x: the type of autocast if autocast is enabled, else the type of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
