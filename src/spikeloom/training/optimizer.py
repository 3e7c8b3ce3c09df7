"""The optimiser AdamW with two groups of parameters, and its state as named tensors.

Some parameters of a state-space layer set its time constants (`StateSpace.time_constants`: decay rates, frequencies,
step). Weight decay would pull these parameters towards 0, which is an arbitrary value for them. Large steps would
destroy the memory of the layer. These parameters form the second group, which has no weight decay and a limited
learning rate.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from spikeloom.nn.ssm import StateSpace
from spikeloom.training.plan import Plan

STATE_SPACE_RATE = 1e-3
"""Largest learning rate of parameters that set time constants."""


def adamw(module: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Return AdamW for all parameters of the module that require a gradient.

    The training loop sets the learning rate of a group to its entry "share" times the learning rate of the plan. The
    share of time constants is below 1 if the peak of the plan is above `STATE_SPACE_RATE`.
    """
    layers = [part for part in module.modules() if isinstance(part, StateSpace)]
    time_constant_ids = {id(value) for layer in layers for value in layer.time_constants()}
    trained = [value for value in module.parameters() if value.requires_grad]
    ordinary = [value for value in trained if id(value) not in time_constant_ids]
    time_constants = [value for value in trained if id(value) in time_constant_ids]
    groups = [
        {"params": ordinary, "weight_decay": plan.weight_decay, "share": 1.0},
        {"params": time_constants, "weight_decay": 0.0, "share": min(1.0, STATE_SPACE_RATE / plan.learning_rate)},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=plan.learning_rate, fused=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Return the state of the optimiser as tensors with the names `<parameter>.<entry>`."""
    return {
        f"{name}.{entry}": value
        for name, parameter in module.named_parameters()
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a saved state into the optimiser of a module; `tensors` has the names of `optimizer_tensors`."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, entry = key.rsplit(".", 1)
        optimizer.state[parameters[name]][entry] = value.to(parameters[name].device)
