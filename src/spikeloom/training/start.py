"""Start training from the weights of a trained model instead of random ones.

Only parameters are copied, stage by stage, after the model has prepared the stage. Statistics between stages (means,
scales) are estimated again, and the optimiser starts with an empty state.
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
        SettingError: A parameter is missing in the folder, or has another shape there.
        CorruptFileError: The folder is damaged.
    """
    if start is not None:
        check_manifest(start)
    saved = {} if start is None else read_tensors(Path(start) / WEIGHTS)
    for stage in stages:
        if start is not None and isinstance(stage, Stage):
            inside = {id(value) for value in stage.module.parameters()}
            for name, value in module.named_parameters():
                if id(value) in inside:
                    _take(value, saved.get(name), name, start)
        yield stage


@torch.no_grad()
def _take(value: nn.Parameter, saved: torch.Tensor | None, name: str, start: str | PathLike[str]) -> None:
    if saved is None or saved.shape != value.shape:
        there = "is missing" if saved is None else f"is {tuple(saved.shape)}"
        raise SettingError(
            "The weights to start from must have the shapes of this model's networks.",
            f"{name} is {tuple(value.shape)}; in {start} it {there}.",
            "Start from a model with the same sizes.",
        )
    value.copy_(saved)
