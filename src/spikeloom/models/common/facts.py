"""`Facts`: what a model knows of the recording it was fitted to, kept in its config.json."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spikeloom.errors import DataError, ShapeError
from spikeloom.models.common.conditions import Variable, Variables
from spikeloom.shapes import Array
from spikeloom.trials import Trials
from spikeloom.trials.identity import note_order, order_like
from spikeloom.trials.padding import LARGE, check_padding

TRAINING = "the model's training trials"
"""What the other side is called when trials meet a model."""

BATCH, CHANNELS = 64, 256
"""Trials of a usual batch and values per bin of a usual layer: what padding costs in training."""


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
        neuron_table: Columns with one value per neuron of the training trials, name -> (neuron,).
    """

    neurons: int
    bin_width: float
    lengths: Mapping[int, int]
    source: str
    data: str
    variables: Variables = Variables()  # noqa: RUF009  # frozen
    neuron_table: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, trials: Trials, condition: Sequence[str] = ()) -> "Facts":
        """Facts of the training trials, for a model that is told the named conditions."""
        content = hashlib.sha256(np.ascontiguousarray(trials.counts).tobytes() + trials.lengths.tobytes())
        lengths = {int(length): count for length, count in sorted(Counter(trials.lengths.tolist()).items())}
        variables = Variables.of(trials, condition)
        neurons = {name: column for name, column in trials.neuron_table.items() if column.ndim == 1}
        return cls(trials.neurons, trials.bin_width, lengths, trials.source, content.hexdigest(), variables, neurons)

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Facts":
        """Facts from the plain values of config.json."""
        tuples: Any = lambda row: {key: tuple(item) if isinstance(item, list) else item for key, item in row.items()}  # noqa: E731
        each = tuple(Variable(**tuples(row)) for row in plain["variables"]["each"])
        lengths = {int(length): int(count) for length, count in plain["lengths"].items()}
        columns = plain.get("neuron_table", {}).items()
        neurons = {name: np.array([np.nan if value is None else value for value in column]) for name, column in columns}
        return cls(**{**plain, "lengths": lengths, "variables": Variables(each), "neuron_table": neurons})

    def labels(self, source: str) -> dict[str, Any]:
        """Fields of generated `Trials` that come from the training trials: bin width and neurons; and the source."""
        return {"bin_width": self.bin_width, "neuron_table": self.neuron_table, "source": source}

    def order_of(self, trials: Trials) -> np.ndarray | None:
        """Positions in the trials of the model's neurons (neuron,); None if they are in the model's order already.

        Raises:
            ShapeError: if both have names or ids and these differ.

        Warns:
            NeuronOrderWarning: if the order differs.
        """
        order = order_like(trials.neuron_table, self.neuron_table, mine="these trials", theirs=TRAINING)
        if order is not None:
            note_order("these trials", TRAINING)
        return order

    def ordered(self, trials: Trials) -> tuple[Trials, np.ndarray | None]:
        """The trials with their neurons in the model's order, and the positions they had; see `order_of`.

        Raises:
            ShapeError: if bin width or neurons are not those of the training trials.
        """
        order = self.order_of(trials)
        if trials.neurons != self.neurons or not np.isclose(trials.bin_width, self.bin_width):
            raise ShapeError(
                f"This model was fitted to {self.neurons} neurons in bins of {self.bin_width:g} s.",
                f"These trials have {trials.neurons} neurons in bins of {trials.bin_width:g} s.",
                "Bin the same neurons with the same bin width.",
            )
        return (trials, None) if order is None else (trials.select_neurons(order), order)


def check_fit(trials: Trials, watch: Trials | None) -> Trials | None:
    """The validation trials, with their neurons in the order of the training trials.

    Raises:
        DataError: if there are too few training trials or no spikes, or batches would be large and mostly padding.
        ShapeError: if the validation trials have other neurons or bins.
    """
    if len(trials) < 2 or not trials.counts.any():
        raise DataError(
            "Training needs at least two trials with spikes.",
            f"There are {len(trials)} trials and {int(trials.counts.sum())} spikes.",
            "Check the binning with `spikeloom inspect`.",
        )
    batches = len(trials) / min(len(trials), BATCH)  # each batch is padded to the longest of all trials
    check_padding(np.asarray(trials.lengths, np.int64), CHANNELS, trials.bin_width, large=int(LARGE * batches))
    if watch is None:
        return None
    return trials.match(watch, mine="the training trials", theirs="the validation trials")
