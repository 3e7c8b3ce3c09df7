"""`Request`, one batch of trials to generate, and the rows and labels of the trials of a sample."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from spikeloom.diffusion.sampler import Sampler
from spikeloom.errors import DataError, SettingError, ShapeError
from spikeloom.models.common.conditions import Conditions
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.rows import Rows
from spikeloom.nn.condition import Condition
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Array
from spikeloom.text import counted
from spikeloom.trials import Trials

Signal = Literal["counts", "rates", "latents"]
"""Field of the trials that a model learns from and encodes."""


@dataclass(frozen=True, eq=False)
class Request:
    """One batch of trials that a model generates.

    Args:
        lengths: Bins of each trial (trial,).
        noise: Random streams of each trial for latents and codes.
        spikes: Random streams of each trial for the counts.
        condition: Encoded condition of each trial; None samples without conditions.
        guidance: Strength of the condition; 1 is the plain conditional model.
        sampler: Sampler that replaces the model's sampler, or None.
        codes: Code of each trial (trial, code), or None to let the model draw codes.
    """

    lengths: np.ndarray
    noise: Streams
    spikes: Streams
    condition: Condition | None = None
    guidance: float = 1.0
    sampler: Sampler | None = None
    codes: np.ndarray | None = None

    def select(self, rows: np.ndarray) -> "Request":
        """Return a request for the trials `rows` of this batch, with the same random streams."""
        lengths = self.lengths[rows]
        return replace(
            self,
            lengths=lengths,
            noise=self.noise.select(rows),
            spikes=self.spikes.select(rows),
            condition=None if self.condition is None else self.condition.select(rows, n_bins=int(lengths.max())),
            codes=None if self.codes is None else self.codes[rows],
        )


def signal_of(trials: Trials, field: Signal) -> np.ndarray:
    """Return the field of trials that a model reads (trial, time, ...). Raise a DataError if the trials lack it."""
    values = {"counts": trials.counts, "rates": trials.rates, "latents": trials.latents}[field]
    if values is None:
        raise DataError(
            f"This model reads the {field} of trials.",
            f"Trials from {trials.source or 'an unknown source'} have no {field}.",
            f"Use trials with {field} (a simulation, or the output of `encode` of another model), or fit to spikes.",
        )
    return values


def rows_of(
    facts: Facts,
    n_trials: int | None,
    n_bins: int | None,
    like: Trials | None,
    *,
    codes: Array | None,
    rows: Sequence[int] | None,
    seed: int,
) -> Rows:
    """Return the trials of a sample that are generated now, with their lengths.

    The trials get the lengths of `like`, or `n_bins` bins each. Without both, the lengths are drawn from the lengths
    of the training trials. The length of a trial does not depend on the other trials that are generated.

    Args:
        facts: Facts of the model.
        n_trials: Number of trials of the sample; None if `like` or the codes determine it.
        n_bins: Bins of every trial, or None.
        like: Trials whose lengths are copied, or None.
        codes: Codes, one for each trial.
        rows: Numbers of the trials to generate; None generates all trials of the sample.
        seed: Random seed of lengths that are drawn.

    Raises:
        SettingError: if the numbers of trials or bins are invalid.
        ShapeError: if there is not one code for each trial.
    """
    total = _number(facts, n_trials, n_bins, like, codes)
    numbers = np.arange(total)[slice(None) if rows is None else np.asarray(rows)]
    if like is not None:
        return Rows(numbers, np.asarray(like.lengths)[numbers], int(like.lengths.max()), total, seed)
    if n_bins is not None:
        return Rows(numbers, np.full(len(numbers), n_bins), n_bins, total, seed)
    return Rows(numbers, _drawn_lengths(facts, numbers, seed), facts.longest, total, seed)


def _drawn_lengths(facts: Facts, numbers: np.ndarray, seed: int) -> np.ndarray:
    """Draw the length of each trial from the lengths of the training trials."""
    lengths = np.array(list(facts.lengths))
    if len(lengths) == 1:
        return np.repeat(lengths, len(numbers))
    n_with_length = np.array(list(facts.lengths.values()))
    cumulative = np.cumsum(n_with_length) / n_with_length.sum()
    # 1 distinguishes this use of random numbers from others
    uniform = Streams(seed, Purpose.SAMPLE, 1, numbers).uniform()
    drawn = np.searchsorted(cumulative, uniform, side="right")
    return lengths[drawn.clip(max=len(lengths) - 1)]


def _number(facts: Facts, n_trials: int | None, n_bins: int | None, like: Trials | None, codes: Array | None) -> int:
    """Return the number of trials of a sample. Raise an error if the arguments disagree; see `rows_of`."""
    number = len(like) if like is not None else n_trials
    if codes is not None and number not in (None, len(codes)):
        raise ShapeError(
            "There must be one code for each trial.",
            f"It got {counted(len(codes), 'code')} for {counted(number, 'trial')}.",
            "Leave out the number of trials: it is the number of codes.",
        )
    if like is not None:
        _check_like(like, facts, n_trials, n_bins)
    if codes is not None:
        number = len(codes)
    numbers = [value for value in (number, n_bins) if value is not None]
    if number is None or not all(isinstance(value, int | np.integer) and value >= 1 for value in numbers):
        raise SettingError(
            "sample needs a whole number of trials, n_trials >= 1, and a whole number n_bins >= 1 or None.",
            f"It got n_trials={n_trials}, n_bins={n_bins}.",
            "Write model.sample(n_trials=100).",
        )
    return number


def _check_like(like: Trials, facts: Facts, n_trials: int | None, n_bins: int | None) -> None:
    """Raise a SettingError if `like` contradicts the requested numbers of trials and bins, or has another bin width."""
    if n_trials not in (None, len(like)) or n_bins is not None:
        raise SettingError(
            "`like` determines the number of trials and the length of each.",
            f"The request also has n_trials={n_trials}, n_bins={n_bins}.",
            "Leave n_trials and n_bins out, or select trials of `like`.",
        )
    if not np.isclose(like.bin_width, facts.bin_width):
        raise SettingError(
            f"`like` has bins of {1000 * like.bin_width:g} ms, but the model was trained on bins of "
            f"{1000 * facts.bin_width:g} ms.",
            "The same number of bins would be another duration.",
            f"Bin the recording again with --bin-width {facts.bin_width:g}.",
        )


@dataclass(frozen=True, eq=False)
class Labels:
    """Conditions, behaviour and units of generated trials."""

    conditions: dict[str, Array]
    behavior: dict[str, Array]
    units: dict[str, str]


def labels_of(conditions: Conditions, values: dict[str, np.ndarray], like: Trials | None, rows: Rows) -> Labels:
    """Return the labels of generated trials: their condition values, and the other columns and series of `like`.

    Args:
        conditions: Conditions of the model.
        values: Name -> value of each generated trial; if empty, the trials get no labels.
        like: Trials from which the other columns and series are taken, or None.
        rows: The generated trials. Series are cut to `rows.longest` bins, because `like` may have more padding.
    """
    if not values:
        return Labels({}, {}, {})
    columns: dict[str, Array] = (
        {} if like is None else {name: value[rows.numbers] for name, value in like.conditions.items()}
    )
    series: dict[str, Array] = (
        {} if like is None else {name: value[rows.numbers, : rows.longest] for name, value in like.behavior.items()}
    )
    units = {} if like is None else dict(like.units)
    for condition in conditions.each:
        if condition.per_bin:
            series[condition.name] = values[condition.name][:, : rows.longest]
            units[condition.name] = condition.unit
        else:
            columns[condition.name] = values[condition.name]
    return Labels(columns, series, units)
