"""The processes of a run: one process, or several started by `accelerate launch` or `torchrun`."""

import functools
import os

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from spikeloom.errors import SettingError


@functools.cache
def accelerator() -> Accelerator:
    """Return the Accelerator of this process, which knows the index of this process and the number of all processes.

    There is only one Accelerator per process. A second object such as `PartialState()` would set the number of
    processes to one on machines without a GPU. The training loop handles mixed precision itself, because accelerate
    allows only one precision per process. Parameters without a gradient are allowed: if the condition is dropped from
    all trials of a batch, the network that embeds the condition is not used.

    Raises:
        SettingError: if `accelerate launch` should have started several processes, but started one.
    """
    unused_allowed = DistributedDataParallelKwargs(find_unused_parameters=True)
    # On a machine without a GPU, accelerate connects the processes only with `cpu=True`.
    cpu = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available()
    result = Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[unused_allowed])
    # `accelerate launch` sets both variables for several processes, but without --multi_gpu it starts only one.
    if result.num_processes == 1 and {"ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"} <= os.environ.keys():
        raise SettingError(
            "accelerate launch starts several processes only with --multi_gpu, also on machines without a GPU.",
            "It got several processes, and has started one.",
            "Write accelerate launch --multi_gpu --num_processes N -m spikeloom fit ...",
        )
    return result
