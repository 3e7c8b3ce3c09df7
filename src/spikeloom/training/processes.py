"""The processes of a run: one, or several that `accelerate launch` or `torchrun` started."""

import functools

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs


@functools.cache
def accelerator() -> Accelerator:
    """Return the Accelerator of this process, which knows its number and how many processes there are.

    There is one per process, and everything asks it: another way in, such as `PartialState()`, would set the number of
    processes to one on machines without a GPU. Mixed precision is left to the training loop, because accelerate
    allows one precision per process.
    """
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a dropped condition has no gradient
    return Accelerator(mixed_precision="no", kwargs_handlers=[unused])
