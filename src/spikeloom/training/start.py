"""Start training from the weights of a trained model instead of random weights.

Only the parameters of networks are copied, for each stage before it is trained. The statistics that a model computes
between stages (means, scales) are computed again, and the optimiser starts with an empty state.
"""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from spikeloom.errors import SettingError
from spikeloom.files import check_manifest, read_tensors, sha256
from spikeloom.training.stage import Calculation, Stage

WEIGHTS = "model.safetensors"


def start_hash(start: str | PathLike[str] | None) -> str | None:
    """Return the SHA-256 of the weights in a model folder, which identifies the start; None without a folder."""
    return None if start is None else sha256(Path(start) / WEIGHTS)


def begun(
    stages: Iterable[Stage | Calculation], module: nn.Module, start: str | PathLike[str] | None
) -> Iterator[Stage | Calculation]:
    """Yield the stages, after setting the parameters of each stage to saved values.

    Args:
        stages: Stages of the module.
        module: Module with all parameters of the model.
        start: Model folder. `None` changes nothing.

    Raises:
        SettingError: if a parameter is missing in the folder, or has another shape there.
        CorruptFileError: if the folder is damaged.
    """
    if start is not None:
        check_manifest(start)
    saved = {} if start is None else read_tensors(Path(start) / WEIGHTS)
    for stage in stages:
        if start is not None and isinstance(stage, Stage):
            ids_in_stage = {id(value) for value in stage.module.parameters()}
            for name, value in module.named_parameters():
                if id(value) in ids_in_stage:
                    _copy(saved.get(name), value, name, start)
        yield stage


@torch.no_grad()
def _copy(saved: torch.Tensor | None, parameter: nn.Parameter, name: str, start: str | PathLike[str]) -> None:
    """Copy a saved tensor into a parameter of this name, after a check of its shape."""
    if saved is None or saved.shape != parameter.shape:
        state = "is missing" if saved is None else f"has the shape {tuple(saved.shape)}"
        raise SettingError(
            "The weights to start from must have the shapes of this model's networks.",
            f"{name} has the shape {tuple(parameter.shape)}; in {start} it {state}.",
            "Start from a model with the same sizes.",
        )
    parameter.copy_(saved)
