"""`Facts`: what a model knows of the recording it was fitted to, kept in its config.json."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeloom.errors import DataError
from spikeloom.models.common.conditions import Variable, Variables
from spikeloom.trials import Trials


@dataclass(frozen=True)
class Facts:
    """What a model knows about the recording it was fitted to.

    Args:
        neurons: Number of neurons.
        bin_width: Width of a bin, s.
        lengths: Valid bins of a trial -> number of training trials of that length.
        source: Where the training trials came from.
        data: SHA-256 of the training counts and lengths.
        variables: What the model can be told, with scales from the training trials.
    """

    neurons: int
    bin_width: float
    lengths: Mapping[int, int]
    source: str
    data: str
    variables: Variables = Variables()  # noqa: RUF009  # frozen

    @classmethod
    def of(cls, trials: Trials, condition: Sequence[str] = ()) -> "Facts":
        """Facts of the training trials, for a model that is told the named conditions."""
        content = hashlib.sha256(np.ascontiguousarray(trials.counts).tobytes() + trials.lengths.tobytes())
        lengths = {int(length): count for length, count in sorted(Counter(trials.lengths.tolist()).items())}
        variables = Variables.of(trials, condition)
        return cls(trials.neurons, trials.bin_width, lengths, trials.source, content.hexdigest(), variables)

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Facts":
        """Facts from the plain values of config.json."""
        tuples: Any = lambda row: {key: tuple(item) if isinstance(item, list) else item for key, item in row.items()}  # noqa: E731
        each = tuple(Variable(**tuples(row)) for row in plain["variables"]["each"])
        lengths = {int(length): int(count) for length, count in plain["lengths"].items()}
        return cls(**{**plain, "lengths": lengths, "variables": Variables(each)})


def check_fit(trials: Trials, watch: Trials | None) -> None:
    """Raise a DataError or ShapeError unless a model can be fitted to these trials, and watched on those."""
    if len(trials) < 2 or not trials.counts.any():
        raise DataError(
            "Training needs at least two trials with spikes.",
            f"There are {len(trials)} trials and {int(trials.counts.sum())} spikes.",
            "Check the binning with `spikeloom inspect`.",
        )
    if watch is not None:
        trials.check_like(watch)
