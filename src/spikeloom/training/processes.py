"""The processes of a run: one process, or several started by `accelerate launch` or `torchrun`."""

import functools

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs


@functools.cache
def accelerator() -> Accelerator:
    """Return the Accelerator of this process, which knows the index of this process and the number of all processes.

    There is only one per process. A second object such as `PartialState()` would set the number of processes to one on
    machines without a GPU. The training loop handles mixed precision itself, because accelerate allows only one
    precision per process. Parameters without a gradient are allowed: if the condition is dropped from all trials of a
    batch, the network that embeds it is not used.
    """
    unused_allowed = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(mixed_precision="no", kwargs_handlers=[unused_allowed])
