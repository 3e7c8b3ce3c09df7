"""Memory of the process: keep freed memory for the next update, and measure the peak.

glibc returns blocks above some 32 MB to the system as soon as they are freed. The next update requests the same
blocks again, and the system zeroes them page by page (one page fault per 4 kB). With large batches this takes half of
the training time. Three settings of the allocator avoid it: no separate mappings, no trimming of the heap, and a heap
that grows in larger steps. Memory stays bounded by the largest update, because free blocks are used again.
"""

import ctypes
import functools
import sys

import torch

# Numbers of three settings of the allocator, named as in glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_TOP_PAD = -2
M_MMAP_MAX = -4


@functools.cache
def keep_freed_memory() -> bool:
    """Set glibc's allocator to keep freed memory for the rest of this process, and return whether that worked.

    The setting affects the whole process, so only the command line and its workers make it. A Python program that
    trains models may call this once. The function does nothing on systems without glibc (macOS, Windows, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 64 << 20))  # -1: never trim
    understood = [
        mallopt(name, value) == 1 for name, value in settings
    ]  # apply all of them, even if the first one fails
    return all(understood)


def peak_memory() -> float:
    """Return the peak memory of this process in GB: of the GPU if one is used, else of the machine; 0 if unknown."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e9 if sys.platform == "darwin" else 1e6)
