"""`Order`, a sample that is divided into parts, and the function that generates one part.

A part is a range of the trials of the sample. Trial k depends on the seed and on k, not on the part. Every part holds
whole batches, so each trial is computed in the same batch as in `Model.sample`. Hence the parts together are equal to
`Model.sample`, bit for bit on the same processor, with the same libraries and number of threads.
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from spikeloom import __version__
from spikeloom.diffusion.sampler import Sampler
from spikeloom.files import MANIFEST, sha256, write_json
from spikeloom.models.common.base import Model
from spikeloom.models.common.conditions import ConditionArgument
from spikeloom.models.common.results import batch_size
from spikeloom.recipe import choose, load_model, model_folder
from spikeloom.trials import Trials
from spikeloom.trials.hdf5 import write_parts

PARTS = 16
"""Number of parts of a sample of moderate size. It does not depend on the number of workers, so a sample can be resumed
with another number of workers."""

MOST_BATCHES = 8
"""Largest number of batches of one part. A core needs about 20 s for 8 batches of 64 trials."""


@dataclass(frozen=True)
class Order:
    """A sample that is divided into parts. All fields are plain values, which can be sent to another process.

    Args:
        run: Path of the run folder or model folder.
        n_trials: Number of trials.
        changes: Changes of settings that need no training, as in `load_model`.
        n_bins: Bins of every trial, or None.
        like: Path of a trials file, or None.
        condition: As in `Model.sample`.
        guidance: As in `Model.sample`.
        sampler: Name and number of steps of a sampler, such as "DDIM:50", or None.
        seed: Random seed.
        max_batch: Largest number of trials in memory at once. `None` uses `batch` of the model.
    """

    run: str
    n_trials: int
    changes: tuple[str, ...] = ()
    n_bins: int | None = None
    like: str | None = None
    condition: ConditionArgument = None
    guidance: float | None = None
    sampler: str | None = None
    seed: int = 0
    max_batch: int | None = None

    @property
    def size(self) -> int:
        """Number of trials of a part, a multiple of the batch size."""
        longest = self.n_bins or (_trials(self.like).n_bins if self.like else self.model().facts.longest)
        batch = batch_size(longest, largest=self.max_batch or self.model().batch)
        return batch * min(max(self.n_trials // (batch * PARTS), 1), MOST_BATCHES)

    @property
    def parts(self) -> list[range]:
        """Numbers of the trials of each part."""
        size = self.size
        return [range(start, min(start + size, self.n_trials)) for start in range(0, self.n_trials, size)]

    def model(self) -> Model:
        """Return the model, on a GPU if this process has one."""
        return _model(self.run, self.changes)

    def draw(self, rows: range, *, progress: bool = False) -> Trials:
        """Generate the trials with the numbers `rows`; see `Model.sample` for the errors."""
        return self.model().sample(
            None if self.like else self.n_trials,
            n_bins=self.n_bins,
            like=None if self.like is None else _trials(self.like),
            condition=self.condition,
            guidance=self.guidance,
            rows=rows,
            seed=self.seed,
            sampler=None if self.sampler is None else choose(Sampler, self.sampler),
            max_batch=self.max_batch,
            progress=progress,
        )

    def identity(self) -> dict[str, object]:
        """Return everything that determines the trials, as plain values. Hashes stand for files and arrays."""
        values = asdict(self)
        values["run"] = sha256(model_folder(self.run) / MANIFEST)
        values["like"] = None if self.like is None else sha256(self.like)
        values["condition"] = _plain(self.condition)
        return {"spikeloom": __version__, **values, "changes": list(self.changes)}


def draw_part(order: Order, rows: range, path: str) -> str:
    """Generate one part of an order, write it to a trials file, and return the SHA-256 of the file.

    The hash is also written to a JSON file beside the trials file. It is written last, and marks the part as finished.

    Args:
        order: The sample.
        rows: Numbers of the trials of the part.
        path: Trials file to write.
    """
    write_parts(path, [order.draw(rows).fields()])
    digest = sha256(path)
    write_json(Path(path).with_suffix(".json"), {"sha256": digest})
    return digest


@functools.lru_cache(maxsize=1)
def _model(run: str, changes: tuple[str, ...]) -> Model:
    """Load a model, once per process."""
    return load_model(run, changes).to("cuda" if torch.cuda.is_available() else "cpu")


@functools.lru_cache(maxsize=1)
def _trials(path: str) -> Trials:
    """Load a trials file, once per process."""
    return Trials.load(path)


def _plain(condition: ConditionArgument) -> object:
    """Return a condition as plain values. Shapes and hashes stand for arrays."""
    if isinstance(condition, Mapping):
        return {name: _plain_value(value) for name, value in condition.items()}
    return condition if condition is None or isinstance(condition, str) else list(condition)


def _plain_value(value: object) -> object:
    """Return the value of a condition as a plain value. Shape and hash stand for an array."""
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    return [list(array.shape), hashlib.sha256(np.ascontiguousarray(array.astype(str)).tobytes()).hexdigest()]
