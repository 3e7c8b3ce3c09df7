"""The processes of a run: one process, or several started by `accelerate launch` or `torchrun`."""

import functools

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs


@functools.cache
def accelerator() -> Accelerator:
    """Return the Accelerator of this process, which stores the number of this process and of all processes.

    There is only one per process. A second object such as `PartialState()` would set the number of processes to one on
    machines without a GPU. The training loop handles mixed precision itself, because accelerate allows only one
    precision per process.
    """
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a dropped condition has no gradient
    return Accelerator(mixed_precision="no", kwargs_handlers=[unused])
