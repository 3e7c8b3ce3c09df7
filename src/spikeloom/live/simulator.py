"""A model for the package neural-data-simulator, whose encoder turns samples of behaviour into firing rates.

The settings of its encoder name a Python file with a function `create_model`. This one is enough:

    from spikeloom.live import simulator

    def create_model():
        return simulator.create_model("runs/reach", condition="hand_vel")

The encoder calls `encode` with several samples at a time. For each sample, `encode` returns the rates (spikes/s) of the
bin in which the sample lies. A bin is generated in the first call with samples of this bin, and the mean of these
samples is its condition. A bin without samples keeps the condition of the previous bin.
"""

from collections.abc import Callable
from os import PathLike
from typing import Protocol, runtime_checkable

import numpy as np

from spikeloom.errors import ConditionError, SettingError, ShapeError
from spikeloom.live.samples import ROUNDING, bin_value
from spikeloom.live.session import check_causal
from spikeloom.models.common.base import Model
from spikeloom.recipe import load_model
from spikeloom.shapes import Numbers

LONGEST_GAP = 10.0
"""Longest gap between samples for which bins are generated, s. A longer gap is skipped, and the trial continues."""


@runtime_checkable
class Samples(Protocol):
    """Samples of neural-data-simulator: times (sample,) or (sample, 1), s, and data (sample, dim)."""

    timestamps: Numbers
    data: Numbers


class LiveEncoder:
    """A live trial with the method `encode` of neural-data-simulator; see the module.

    Args:
        model: A trained model that can generate live.
        condition: Name of the condition that the samples hold. It may be left out if the model has only one.
        seed: Random seed.

    Raises:
        SettingError: if neural-data-simulator is not installed, or the model cannot generate live.
        ConditionError: if the condition is not the only one of the model.
    """

    def __init__(self, model: Model, *, condition: str | None = None, seed: int = 0) -> None:
        self._samples = _samples_class()
        check_causal(model)
        names = model.facts.conditions.names
        requested = condition or (names[0] if names else "")
        if names != [requested]:
            raise ConditionError(
                "The samples must hold the only condition of the model.",
                f"The model has {names or 'none'}, and the samples hold {condition or 'no named condition'}.",
                "Choose a run with one condition.",
            )
        self._condition = model.facts.conditions.each[0]
        self._live = model.live(seed, condition=names)
        self._n_neurons = model.n_neurons
        self._width = model.facts.bin_width
        self._start: float | None = None  # time of the first sample, s
        self._skipped = 0  # number of bins in long gaps, which are not generated

    def encode(self, data: Samples) -> Samples:
        """Return the rates (sample, neuron), spikes/s, at the times of samples (sample, dim) of the condition.

        Raises:
            ShapeError: if the samples have another number of dimensions than the condition.
        """
        times = np.asarray(data.timestamps, np.float64).reshape(-1)
        if not len(times):
            return self._samples(data.timestamps, np.zeros((0, self._n_neurons)))
        rows = np.asarray(data.data, np.float64).reshape(len(times), -1)
        if rows.shape[1] != self._condition.size:
            raise ShapeError(
                f"Samples of {self._condition.name} have {self._condition.size} dimensions (sample, dim).",
                f"These have shape {rows.shape}.",
                "",
            )
        numbers = self._bins_of(times)
        # the numbers of the bins never fall, so the rates have the order of the samples
        rates = [self._rates_in(int(number), rows[numbers == number]) for number in np.unique(numbers)]
        return self._samples(data.timestamps, np.concatenate(rates))

    def _bins_of(self, times: Numbers) -> Numbers:
        """Return the number of the bin of each sample (sample,). If the times go back, the bin stays the same."""
        if self._start is None:
            self._start = float(times[0])
        numbers = np.floor((times - self._start) / self._width + ROUNDING).astype(np.int64)
        return np.maximum.accumulate(numbers)

    def _rates_in(self, number: int, rows: Numbers) -> Numbers:
        """Generate all bins up to a bin. Return the rates of the last one, repeated for each sample (sample, neuron).

        Rates are in spikes/s.

        Args:
            number: Number of the bin.
            rows: Samples of the condition in this bin (sample, dim).
        """
        # Number of earlier bins that have not been generated yet; -1 if this bin has been generated already.
        n_missing = number - self._skipped - self._live.bins
        if n_missing * self._width > LONGEST_GAP:
            self._skipped += n_missing
            n_missing = 0
        for _ in range(n_missing):
            self._live.step()
        if n_missing >= 0:
            self._live.step(bin_value(self._condition, rows))
        rates = np.asarray(self._live.rates, np.float64) / self._width
        return np.repeat(rates[None], len(rows), axis=0)


def create_model(run: str | PathLike[str], *, condition: str | None = None, seed: int = 0) -> LiveEncoder:
    """Return the encoder of a run, for the function `create_model` of a plugin; see `LiveEncoder`."""
    return LiveEncoder(load_model(run), condition=condition, seed=seed)


def _samples_class() -> Callable[[Numbers, Numbers], Samples]:
    """Return the class of samples of neural-data-simulator. Raise a SettingError if the package is not installed."""
    try:
        from neural_data_simulator.core.samples import Samples as SimulatorSamples
    except ImportError as error:
        raise SettingError(
            "This model needs neural-data-simulator.", "It is not installed.", "Type: pip install neural-data-simulator"
        ) from error
    return SimulatorSamples
