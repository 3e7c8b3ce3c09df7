"""`Facts`: information about the training trials that a model saves in its config.json."""

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from pydantic import TypeAdapter, ValidationError

from spikeloom.errors import CorruptFileError, DataError, ShapeError, SpikeloomWarning
from spikeloom.models.common.conditions import Conditions
from spikeloom.shapes import Array
from spikeloom.text import counted
from spikeloom.trials import Trials
from spikeloom.trials.identity import note_order, order_like
from spikeloom.trials.padding import LARGE, check_padding

TRAINING = "the model's training trials"
"""Name of the training trials in messages about the neurons of other trials."""

BATCH = 64
"""Trials of a typical batch, from which the cost of padding is estimated."""

CHANNELS = 256
"""Values per bin of a typical layer, from which the cost of padding is estimated."""

WINDOW = 0.1
"""Seconds in which the spikes of a neuron are counted to judge whether there are enough training trials."""

WINDOWS_PER_NEURON = 2
"""Smallest number of such windows per neuron that causes no warning. With 1, even the covariance of the counts of all
neurons has no full rank. In the experiments of docs/explain/sampling-error.md, the rates that were learned with 1.2
windows per neuron were recognised by a classifier in 59 to 60 % of the trials, and with 0.8 windows in 65 %."""

_CONDITIONS = TypeAdapter(Conditions)


class FewTrialsWarning(SpikeloomWarning):
    """The training trials are short for their number of neurons, so a model will repeat their chance fluctuations."""


class StoredFacts(TypedDict):
    """The facts as the plain values of config.json."""

    n_neurons: int
    bin_width: float
    lengths: dict[str, int]
    source: str
    data: str
    conditions: Mapping[str, object]
    neuron_table: dict[str, list[float | str | None]]


@dataclass(frozen=True)
class Facts:
    """Facts about the training trials that a model needs to sample and encode.

    Args:
        n_neurons: Number of neurons.
        bin_width: Width of a bin, s.
        lengths: Valid bins of a trial -> number of training trials of that length.
        source: Where the training trials came from.
        data: SHA-256 of the training counts and lengths.
        conditions: Conditions that the model is trained with, and their scales.
        neuron_table: Columns with one value per neuron of the training trials, name -> (neuron,).
    """

    n_neurons: int
    bin_width: float
    lengths: Mapping[int, int]
    source: str
    data: str
    conditions: Conditions = field(default_factory=Conditions)
    neuron_table: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, trials: Trials, condition: Sequence[str] = ()) -> "Facts":
        """Return the facts about training trials, for a model that is trained with the named conditions."""
        content = hashlib.sha256(np.ascontiguousarray(trials.counts).tobytes() + trials.lengths.tobytes())
        lengths = {int(length): count for length, count in sorted(Counter(trials.lengths.tolist()).items())}
        conditions = Conditions.fit(trials, condition)
        # a column with several values per neuron would make config.json large
        neurons = {name: column for name, column in trials.neuron_table.items() if column.ndim == 1}
        return cls(trials.n_neurons, trials.bin_width, lengths, trials.source, content.hexdigest(), conditions, neurons)

    @classmethod
    def read(cls, plain: StoredFacts) -> "Facts":
        """Return the facts that config.json holds as plain values.

        Raises:
            CorruptFileError: if a fact is missing or wrong.
        """
        try:
            conditions = _CONDITIONS.validate_json(json.dumps(plain["conditions"]), strict=True)  # lists become tuples
            lengths = {int(length): int(count) for length, count in plain["lengths"].items()}
            neurons = {name: _column(values) for name, values in plain["neuron_table"].items()}
            return cls(
                plain["n_neurons"], plain["bin_width"], lengths, plain["source"], plain["data"], conditions, neurons
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise CorruptFileError(
                "config.json of the model folder does not fit this version of spikeloom.",
                f"Missing or wrong: {error}.",
                "Fit the model again, or use the version of spikeloom that wrote the folder.",
            ) from error

    def order_of(self, trials: Trials) -> np.ndarray | None:
        """Return the positions of the model's neurons in the trials (neuron,), or None if the order is the same.

        Raises:
            ShapeError: if both have names or ids and these differ.

        Warns:
            NeuronOrderWarning: if the order differs.
        """
        order = order_like(trials.neuron_table, self.neuron_table, name="these trials", like_name=TRAINING)
        if order is not None:
            note_order("these trials", TRAINING)
        return order

    def ordered(self, trials: Trials) -> tuple[Trials, np.ndarray | None]:
        """Sort the neurons of trials into the order of the training trials.

        Returns:
            The sorted trials, and for each neuron of the sorted trials its index in `trials`. The indices are None if
            the order is the same.

        Raises:
            ShapeError: if bin width or neurons differ from the training trials.
        """
        order = self.order_of(trials)
        if trials.n_neurons != self.n_neurons or not np.isclose(trials.bin_width, self.bin_width):
            raise ShapeError(
                f"This model was fitted to {counted(self.n_neurons, 'neuron')} in bins of {self.bin_width:g} s.",
                f"These trials have {counted(trials.n_neurons, 'neuron')} in bins of {trials.bin_width:g} s.",
                "Bin the same neurons with the same bin width.",
            )
        return (trials, None) if order is None else (trials.select_neurons(order), order)

    @property
    def n_trials(self) -> int:
        """Number of training trials."""
        return sum(self.lengths.values())

    @property
    def longest(self) -> int:
        """Bins of the longest training trial."""
        return max(self.lengths)


def _column(values: Sequence[object]) -> Array:
    """Return a column of the neuron table from its JSON values, where None stands for NaN."""
    return np.array([np.nan if value is None else value for value in values])


def check_fit(trials: Trials, validation: Trials | None) -> Trials | None:
    """Return the validation trials, with their neurons in the order of the training trials.

    Raises:
        DataError: if there are too few training trials or no spikes, or batches would be large and mostly padding.
        ShapeError: if the validation trials have other neurons or bins.
    """
    if len(trials) < 2 or not trials.counts.any():
        raise DataError(
            "Training needs at least two trials with spikes.",
            f"It got {counted(len(trials), 'trial')} and {counted(int(trials.counts.sum()), 'spike')}.",
            "Check the binning with `spikeloom inspect`.",
        )
    # `check_padding` takes all trials as one batch, so its limit is multiplied by the number of batches.
    n_batches = len(trials) / min(len(trials), BATCH)
    check_padding(np.asarray(trials.lengths, np.int64), CHANNELS, trials.bin_width, large=int(LARGE * n_batches))
    seconds = trials.n_valid_bins * trials.bin_width
    if seconds < WINDOWS_PER_NEURON * WINDOW * trials.n_neurons:
        warnings.warn(
            f"{counted(len(trials), 'training trial')} of {seconds:.3g} s together are little for "
            f"{counted(trials.n_neurons, 'neuron')}. The model will learn rates with large sampling errors, by which a "
            "classifier can recognise generated trials. Train on more trials, on fewer neurons, for example of one "
            "brain area, or with the recipe autoregressive-ldns-few-trials.",
            FewTrialsWarning,
            stacklevel=3,
        )
    if validation is None:
        return None
    return trials.match(validation, name="the training trials", other_name="the validation trials")
