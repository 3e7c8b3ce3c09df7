"""What a stream of activity is asked for, what it is told as it goes, and how its pieces become `Trials`.

A stream is one trial that goes on; whoever reads it holds a chunk at a time. Values per trial are told once and hold
for ever. Series in time are told as they come: an array, after which the stream ends, or an iterator of pieces, which
may be endless; they are read no further ahead than the model needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spikeloom.errors import ConditionError, SettingError
from spikeloom.models.common.conditions import Variable, Variables
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.request import asked
from spikeloom.nn.condition import Condition
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials


class Told:
    """Conditions of a stream.

    Args:
        variables: What the model can be told.
        condition: As in `Model.sample`; a sequence is an array (time, dim), or an iterator of such arrays or of single
            bins (dim,).
        seed: For values drawn from the training trials.

    Raises:
        ConditionError: if a name is unknown or has no value.
    """

    def __init__(
        self, variables: Variables, condition: str | Sequence[str] | Mapping[str, Any] | None, *, seed: int
    ) -> None:
        given = dict(condition) if isinstance(condition, Mapping) else {}
        series = {variable.name: variable for variable in variables.each if variable.kind == "sequence"}
        blank = {name: np.array([series[name].mean]) for name in given if name in series and given[name] is not None}
        self.variables = variables
        told = asked(variables, {**given, **blank} if blank else condition, None, np.array([1]), seed)
        self.fixed = {name: value for name, value in told.items() if name not in series}
        self.feeds = {name: _pieces(series[name], given[name]) for name in blank}
        self.rest = {name: np.zeros((0, series[name].size)) for name in blank}  # read from a feed, not yet told
        self.shown = {name: np.zeros((0, series[name].size)) for name in blank}  # told, not yet handed out
        self.vector = variables.encode(told).vector if told else None

    @property
    def anything(self) -> bool:
        """Whether the stream is told anything at all."""
        return self.vector is not None or bool(self.feeds)

    def read(self, bins: int) -> Condition | None:
        """What so many further bins are told; fewer where a series ends, and None if the stream is told nothing.

        Raises:
            ConditionError: if series end at different bins, or hold what they must not.
        """
        if not self.feeds:
            return Condition(self.vector) if self.anything else None
        for name, feed in self.feeds.items():
            while len(self.rest[name]) < bins and (more := next(feed, None)) is not None:
                self.rest[name] = np.concatenate([self.rest[name], more])
        lengths = {name: min(bins, len(rest)) for name, rest in self.rest.items()}
        if len(set(lengths.values())) > 1:
            raise ConditionError(
                "All series that a stream is told must be equally long.",
                f"Of the next {bins} bins they have {lengths}.",
                "Cut the longer one, or let the shorter one go on.",
            )
        length = min(lengths.values())
        part = {name: rest[:length] for name, rest in self.rest.items()}
        self.rest = {name: rest[length:] for name, rest in self.rest.items()}
        self.shown = {name: np.concatenate([shown, part[name]]) for name, shown in self.shown.items()}
        only = Variables(tuple(variable for variable in self.variables.each if variable.name in part))
        return replace(only.encode({name: value[None] for name, value in part.items()}), vector=self.vector)

    def labels(self, bins: int) -> dict[str, Any]:
        """Conditions, behaviour and units of the next so many bins that are handed out, as `Trials` want them."""
        now = {name: shown[None, :bins] for name, shown in self.shown.items()}
        self.shown = {name: shown[bins:] for name, shown in self.shown.items()}
        units = {variable.name: variable.unit for variable in self.variables.each if variable.name in now}
        return dict(conditions=dict(self.fixed), behavior=now, units=units)


def _pieces(variable: Variable, value: Any) -> Iterator[np.ndarray]:
    """Arrays (bins, dim) of a series, each checked."""
    if isinstance(value, str | bytes) or not (hasattr(value, "__iter__") or hasattr(value, "__next__")):
        raise ConditionError(
            f"{variable.name} of a stream must be an array (time, {variable.size}), or an iterator of pieces of one.",
            f"It was {value!r}.",
            "Give one row per bin.",
        )
    whole = hasattr(value, "__array__") or isinstance(value, list | tuple)
    for piece in [value] if whole else value:
        array = np.asarray(piece, np.float64)
        if array.ndim < 2:
            array = array.reshape(-1, 1) if variable.size == 1 else array.reshape(1, -1)
        if array.ndim != 2 or array.shape[1] != variable.size:
            raise ConditionError(
                f"{variable.name} must have {variable.size} number(s) in each bin.",
                f"A piece of it had shape {np.shape(piece)}.",
                "Give arrays (bins, dimensions).",
            )
        yield array


@dataclass(frozen=True)
class StreamRequest:
    """What a model is asked to go on drawing, one trial.

    Args:
        seed: The trial is the one that `sample(1, seed=seed)` begins with, where the sampler draws no fresh noise.
        told: What the bins are told.
        bins: Where it ends; None where its series end, or never.
        guidance: Strength of the condition.
        sampler: Replaces the model's own; None keeps that.
    """

    seed: int
    told: Told
    bins: int | None = None
    guidance: float = 1.0
    sampler: Any = None

    @property
    def noise(self) -> Streams:
        """Randomness of the latents, as for the first trial of a sample."""
        return Streams(self.seed, Purpose.SAMPLE, 0, [0])

    @property
    def spikes(self) -> Streams:
        """Randomness of the counts, as for the first trial of a sample."""
        return Streams(self.seed, Purpose.SPIKES, 0, [0])

    def fresh(self, level: int) -> Streams:
        """Randomness of the fresh noise that a sampler draws below a level."""
        return Streams(self.seed, Purpose.SAMPLE, 1000 + level, [0])


def checked_chunk(facts: Facts, bins: int | None, chunk: int | None) -> int:
    """Bins of a chunk: as asked for, or those of the longest training trial; SettingError if they make no sense."""
    size = max(facts.lengths) if chunk is None else chunk
    if size < 1 or (bins is not None and bins < 1):
        raise SettingError(
            "A stream needs chunks of at least one bin, and bins >= 1 if it is to end.",
            f"It got bins={bins}, chunk={chunk}.",
            "Write model.stream(seed=1, chunk=1000).",
        )
    return size


def chunks(pieces: Iterator[dict[str, np.ndarray]], size: int, told: Told, **fields: Any) -> Iterator[Trials]:
    """Pieces (1, bins, ...) of any length -> Trials of one trial and `size` bins each; the last may be shorter.

    Args:
        pieces: Arrays by name, consecutive in time.
        size: Bins of a chunk.
        told: Labels the chunks.
        fields: Of every chunk: `bin_width`, `source`.
    """
    held: list[dict[str, np.ndarray]] = []
    waiting = 0

    def chunk(arrays: dict[str, Any], bins: int) -> Trials:
        return Trials(**{name: value[:, :bins] for name, value in arrays.items()}, **fields, **told.labels(bins))

    def joined() -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in held], 1) for name in held[0]}

    for piece in pieces:
        held.append(piece)
        waiting += piece["counts"].shape[1]
        while waiting >= size:
            whole = joined()
            yield chunk(whole, size)
            held, waiting = [{name: value[:, size:] for name, value in whole.items()}], waiting - size
    if waiting:
        yield chunk(joined(), waiting)
