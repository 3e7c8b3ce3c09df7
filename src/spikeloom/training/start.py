"""Training that begins at the weights of a trained model instead of at random ones.

Only parameters are taken, stage by stage, after whatever a model sets up before a stage; what it measures between
stages (means, scales) it measures anew. The optimiser begins afresh.
"""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from spikeloom.errors import SettingError
from spikeloom.files import check_manifest, read_tensors, sha256
from spikeloom.training.stage import Stage

WEIGHTS = "model.safetensors"


def start_hash(start: str | PathLike[str] | None) -> str | None:
    """SHA-256 of the weights in a model folder, which tells runs apart; None without one."""
    return None if start is None else sha256(Path(start) / WEIGHTS)


def begun(stages: Iterable[Stage], module: nn.Module, start: str | PathLike[str] | None) -> Iterator[Stage]:
    """The stages, the parameters of each set to saved values just before its turn.

    Args:
        stages: Of the module.
        module: The whole model.
        start: Model folder; None changes nothing.

    Raises:
        SettingError: if a parameter is missing in the folder, or has another shape there.
        CorruptFileError: if the folder is damaged.
    """
    if start is not None:
        check_manifest(start)
    saved = {} if start is None else read_tensors(Path(start) / WEIGHTS)
    for stage in stages:
        if start is not None:
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
            "Weights to start from must be those of networks of the same shapes.",
            f"{name} is {tuple(value.shape)}; in {start} it {there}.",
            "Start from a model with the same sizes.",
        )
    value.copy_(saved)
