"""The model folder: settings, facts, weights and history of a trained model, and their hashes.

config.json          format, class and settings of the model, facts about the training trials
model.safetensors    weights and buffers
recipe.toml          the settings as a recipe
history.jsonl        one line per logged update
manifest.json        SHA-256 of the other files, written last
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict, cast

from torch import Tensor

from spikeloom.errors import CorruptFileError
from spikeloom.files import (
    atomic_write,
    check_manifest,
    read_bytes,
    read_json,
    read_tensors,
    write_json,
    write_manifest,
    write_tensors,
)
from spikeloom.models.common.facts import Facts, StoredFacts
from spikeloom.training.checkpoint import Line

FORMAT = "spikeloom-model"
VERSION = 3
"""Version of the model folder. Version 2 names the tensors by the three slots of the observation model; in version 3 an
LDNS has one observation model for each source of rates."""


class Config(TypedDict):
    """Content of config.json of a model folder, besides format and version."""

    model: str
    settings: dict[str, object]
    facts: StoredFacts


def write_model(
    folder: Path,
    *,
    settings: Mapping[str, object],
    recipe: str,
    facts: Facts,
    weights: Mapping[str, Tensor],
    history: Sequence[Line],
) -> None:
    """Write a model folder.

    Args:
        folder: Path of an existing folder.
        settings: Settings of the model as plain values, with the name of its class.
        recipe: The same settings as the text of a recipe.
        facts: Facts about the training trials.
        weights: Weights and buffers by name.
        history: Lines of the history of training.

    Raises:
        FileError: if a file cannot be written.
    """
    from spikeloom import __version__

    settings_without_class = {name: value for name, value in settings.items() if name != "name"}
    # without its manifest the folder is not read as a model while its files are replaced
    (folder / "manifest.json").unlink(missing_ok=True)
    config = {"format": FORMAT, "version": VERSION, "spikeloom": __version__, "facts": asdict(facts)}
    write_json(folder / "config.json", {**config, "model": settings["name"], "settings": settings_without_class})
    write_tensors(folder / "model.safetensors", weights)
    atomic_write(folder / "recipe.toml", recipe.encode())
    atomic_write(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history).encode())
    write_manifest(folder, ["config.json", "model.safetensors", "recipe.toml", "history.jsonl"])


def read_config(folder: Path) -> Config:
    """Check the files of a model folder against the hashes of its manifest, and read config.json.

    Raises:
        CorruptFileError: if a file is damaged, or the folder was written by another version of spikeloom.
    """
    check_manifest(folder)
    config = read_json(folder / "config.json")
    if config.get("format") != FORMAT or config.get("version") != VERSION:
        raise CorruptFileError(
            f"This spikeloom reads model folders of format {FORMAT!r}, version {VERSION}.",
            f"{folder} has format {config.get('format')!r}, version {config.get('version')!r}.",
            "Fit the model again, or use the version of spikeloom that wrote the folder.",
        )
    if not Config.__required_keys__ <= config.keys():
        raise CorruptFileError(
            "config.json of a model folder must hold model, settings and facts.",
            f"The one in {folder} holds {', '.join(config)}.",
            "Restore the folder from a copy, or train again.",
        )
    return cast("Config", config)


def read_weights(folder: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the weights and buffers of a model folder.

    Args:
        folder: Path of the folder.
        expected: Tensors with the names, shapes and types that the weights must have.

    Raises:
        CorruptFileError: if names, shapes or types differ, or a number is not finite.
    """
    tensors = read_tensors(folder / "model.safetensors")
    wrong = sorted(set(expected) ^ set(tensors))  # names that are only expected, or only in the file
    if not wrong:
        wrong = [name for name, tensor in tensors.items() if not _fits(tensor, expected[name])]
    if wrong:
        raise CorruptFileError(
            "A model's tensors must have the names, shapes and types of its settings, and be finite.",
            f"In {folder} these do not fit: {', '.join(wrong[:5])}{' ...' if len(wrong) > 5 else ''}.",
            "Restore the folder from a copy, or train again.",
        )
    return tensors


def _fits(tensor: Tensor, expected: Tensor) -> bool:
    """Return whether a tensor has the expected shape and type, and finite numbers only."""
    same = tensor.shape == expected.shape and tensor.dtype == expected.dtype
    return same and bool(tensor.isfinite().all())


def read_history(folder: Path) -> list[Line]:
    """Read the history of training of a model folder."""
    return [json.loads(line) for line in read_bytes(folder / "history.jsonl").splitlines()]
