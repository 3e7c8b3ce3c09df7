"""AdamW with two parameter groups, and its state as named tensors.

Some parameters of a state space set its time constants (`StateSpace.time_constants`: decay rates, frequencies, step).
Weight decay would pull them towards arbitrary values, and large steps destroy the memory of the state space. These
parameters have no weight decay and a limited learning rate.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikeloom.nn.ssm import StateSpace
from spikeloom.training.plan import Plan

STATE_SPACE_RATE = 1e-3
"""Largest learning rate of parameters that set time constants."""


def adamw(module: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Return AdamW for all trainable parameters. A group's learning rate is its "share" times that of the plan."""
    layers = [part for part in module.modules() if isinstance(part, StateSpace)]
    slow = {id(value) for layer in layers for value in layer.time_constants()}
    trained = [value for value in module.parameters() if value.requires_grad]
    plain = [value for value in trained if id(value) not in slow]
    special = [value for value in trained if id(value) in slow]
    groups = [
        {"params": plain, "weight_decay": plan.weight_decay, "share": 1.0},
        {"params": special, "weight_decay": 0.0, "share": min(1.0, STATE_SPACE_RATE / plan.learning_rate)},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=plan.learning_rate, fused=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Return the state of the optimiser as tensors with the names `<parameter>.<entry>`."""
    return {
        f"{name}.{what}": value
        for name, parameter in module.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a saved state into the optimiser."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, what = key.rsplit(".", 1)
        optimizer.state[parameters[name]][what] = value.to(parameters[name].device)
