"""Cost of a model: training time from its history, and sampling time measured on this machine.

*Network evaluations per sample* counts the calls of the denoiser while one trial is sampled. It is the same on every
machine. Seconds are reported with the device and the number of threads of the measurement.
"""

import os
import platform
import time
from pathlib import Path

import torch

from spikeloom.diffusion.denoiser import NetworkDenoiser
from spikeloom.models.common.base import Model
from spikeloom.training.memory import peak_memory


def cost(model: Model, *, n_trials: int = 64, seed: int = 0) -> dict[str, str]:
    """Return the number of parameters, the training time, and the cost of sampling on this machine, name -> text.

    Args:
        model: A trained model.
        n_trials: Number of trials whose sampling is timed. They are sampled twice, and the second time is reported.
        seed: Random seed of the sampled trials.
    """
    calls = 0

    def count(*_: object) -> None:
        """Count one call of a network."""
        nonlocal calls
        calls += 1

    networks = [part for part in model.modules() if isinstance(part, NetworkDenoiser)]
    hooks = [network.register_forward_hook(count) for network in networks]
    try:
        drawn = model.sample(1, seed=seed, progress=False)
    finally:
        for hook in hooks:
            hook.remove()
    model.sample(n_trials, seed=seed, progress=False)
    began = time.perf_counter()
    model.sample(n_trials, seed=seed, progress=False)
    seconds = time.perf_counter() - began
    texts = {
        "parameters": f"{sum(value.numel() for value in model.parameters()):,}",
        "training": _training(model),
        "network evaluations per sample": f"{calls:,}" if networks else "none: one pass of the generator",
        "sampling": f"{1000 * seconds / n_trials:.3g} s per 1,000 trials of {int(drawn.lengths[0])} bins",
        "sampling, measured on": _device(model),
        "peak memory of this process": f"{peak_memory():.2g} GB",
    }
    return {name: text for name, text in texts.items() if text}


def _training(model: Model) -> str:
    """Return seconds and updates of each stage, and the most memory that training took, from the history."""
    last_lines = {line["stage"]: line for line in model.history}  # the last line of each stage
    if not last_lines:
        return ""
    updates = {name: f" ({line['update']:,} updates)" if line["update"] else "" for name, line in last_lines.items()}
    stages = ", ".join(f"{name} {line['seconds']:,.0f} s{updates[name]}" for name, line in last_lines.items())
    memory = max((line.get("memory_gb") or 0.0 for line in last_lines.values()), default=0.0)
    return stages + (f"; at most {memory:.2g} GB" if memory else "")


def _device(model: Model) -> str:
    """Return the name of the GPU, or of the processor with the number of its threads in use."""
    device = next(iter(model.buffers()), next(iter(model.parameters()), torch.empty(0))).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _processor() -> str:
    """Return the name of the processor, from Linux or else from Python."""
    description = Path("/proc/cpuinfo")
    rows = description.read_text().splitlines() if description.exists() else []
    names = (row.partition(":")[2].strip() for row in rows if row.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
