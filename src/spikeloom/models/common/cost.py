"""What a model costs: to train, as its history says, and to sample, measured here and now.

*Network evaluations per sample* is how often the denoiser is called while one trial is drawn; it tells more about a
sampler than seconds do, for it is the same on every machine. Seconds name the device and threads they were taken with.
"""

import os
import platform
import time
from pathlib import Path

import torch

from spikeloom.diffusion.denoiser import NetworkDenoiser
from spikeloom.models.common.base import Model
from spikeloom.training.memory import peak_memory


def cost(model: Model, *, trials: int = 64, seed: int = 0) -> dict[str, str]:
    """Parameters, training time, and what it takes to draw some trials now, name -> words.

    Args:
        model: A trained model.
        trials: How many are drawn to be timed, after as many for warming up.
        seed: Of those.
    """
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    networks = [part for part in model.modules() if isinstance(part, NetworkDenoiser)]
    hooks = [network.register_forward_hook(count) for network in networks]
    try:
        drawn = model.sample(1, seed=seed, progress=False)
    finally:
        for hook in hooks:
            hook.remove()
    model.sample(trials, seed=seed, progress=False)
    began = time.perf_counter()
    model.sample(trials, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    words = {
        "parameters": f"{sum(value.numel() for value in model.parameters()):,}",
        "training": _training(model),
        "network evaluations per sample": f"{calls:,}" if networks else "none: one pass of the generator",
        "sampling": f"{1000 * seconds / trials:.3g} s per 1,000 trials of {int(drawn.lengths[0])} bins",
        "sampling, measured on": _device(model),
        "peak memory of this process": f"{peak_memory():.2g} GB",
    }
    return {name: told for name, told in words.items() if told}


def _training(model: Model) -> str:
    """Seconds and updates of each stage, and the most memory that training took, from the history."""
    last = {line["stage"]: line for line in model.history}
    if not last:
        return ""
    stages = ", ".join(f"{name} {line['seconds']:,.0f} s ({line['update']:,} updates)" for name, line in last.items())
    memory = max((line.get("memory_gb") or 0.0 for line in last.values()), default=0.0)
    return stages + (f"; at most {memory:.2g} GB" if memory else "")


def _device(model: Model) -> str:
    device = next(iter(model.buffers()), next(iter(model.parameters()), torch.empty(0))).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _processor() -> str:
    """Name of the processor, as Linux knows it; elsewhere what Python knows."""
    known = Path("/proc/cpuinfo")
    rows = known.read_text().splitlines() if known.exists() else []
    names = (row.partition(":")[2].strip() for row in rows if row.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
