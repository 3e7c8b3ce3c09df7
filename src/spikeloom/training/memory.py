"""Memory of the process: keep freed memory for the next update, and measure the peak.

On Linux, the C library glibc returns blocks of memory above about 32 MB to the system as soon as they are freed. The
next update requests the same blocks again, and the system fills them with zeros page by page. With large batches this
takes half of the training time. Three settings of glibc's allocator avoid this: large blocks come from the heap, the
heap never shrinks, and the heap grows in larger steps. Free blocks are used again, so the process needs no more memory
than its largest update.
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
    """Set glibc's allocator to keep freed memory for the rest of this process. Return True if all settings succeeded.

    The settings affect the whole process, so only the command line and its workers call this function. A Python program
    that trains models may call it once. It does nothing on systems without glibc (macOS, Windows, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # No large block outside the heap; -1: never shrink the heap; let the heap grow in steps of 64 MiB.
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 64 << 20))
    accepted = [mallopt(name, value) == 1 for name, value in settings]  # all are set, even if the first one fails
    return all(accepted)


def peak_memory() -> float:
    """Return the largest memory that this process has used, in GB: on the GPU if one is used, else in main memory.

    The result is 0 if the system does not report its memory.
    """
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, kilobytes on Linux
    return peak / (1e9 if sys.platform == "darwin" else 1e6)
