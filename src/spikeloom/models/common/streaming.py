"""Streams, which generate one endless trial in chunks, and the conditions of streams.

Only one chunk is in memory at a time. A condition with one value per trial is constant in the whole stream. A series is
read while the stream is generated, and only the bins that the model needs next. If a series is an array, the stream
ends with the array. A series can also be an iterator of pieces, which may be endless.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from spikeloom.diffusion.denoiser import Denoiser
from spikeloom.diffusion.sampler import Sampler
from spikeloom.diffusion.stream import Stream
from spikeloom.errors import ConditionError, SettingError
from spikeloom.models.common.conditions import ConditionArgument, Conditions
from spikeloom.models.common.facts import Facts
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.models.common.request import Labels
from spikeloom.models.common.results import Generated, end_to_end
from spikeloom.models.common.rows import Rows
from spikeloom.nn.condition import Condition
from spikeloom.seeds import Purpose, Streams
from spikeloom.text import counted
from spikeloom.trials import Trials


class StreamConditions:
    """Conditions of a stream.

    Args:
        conditions: Conditions of the model.
        condition: As in `Model.sample`; a series is an array (time, dim), or an iterator of such arrays or of single
            bins (dim,).
        seed: Random seed for values that are drawn from the training trials.

    Raises:
        ConditionError: if a name is unknown or a condition has no value.
    """

    def __init__(self, conditions: Conditions, condition: ConditionArgument, *, seed: int) -> None:
        requested = conditions.requested(condition)
        if requested:
            conditions.check_complete(requested)
        # conditions with one value per trial get the values of the only trial of a sample
        columns = Conditions(tuple(named for named in conditions.each if not named.per_bin))
        constant = {name: value for name, value in requested.items() if name in columns.names}
        only_trial = Rows.whole(np.array([1]), seed=seed)
        values = columns.values(constant, None, only_trial)
        series = [named for named in conditions.each if named.per_bin and requested]
        self.series = Conditions(tuple(series))
        self.columns = {name: value[:1] for name, value in values.items()}
        self.vector = columns.encode(values).vector if values else None
        self._pieces = {named.name: _pieces(named, requested[named.name]) for named in series}
        # bins that were read, but not yet used by the model
        self._ahead = {named.name: np.zeros((0, named.size)) for named in series}
        # bins that the model used, but whose spikes were not yet returned
        self._used = {named.name: np.zeros((0, named.size)) for named in series}
        # series without a warning so far; each warns once, when it leaves the training range
        self._in_range = series

    @property
    def present(self) -> bool:
        """True if the stream has a condition."""
        return self.vector is not None or bool(self._pieces)

    @property
    def names(self) -> list[str]:
        """Names of the conditions that the stream follows."""
        return [*self.columns, *self._pieces]

    def read(self, n_bins: int) -> Condition | None:
        """Return the condition of the next bins, or None without conditions. Fewer than `n_bins` bins end the stream.

        Raises:
            ConditionError: if series end at different bins, or hold wrong values.
        """
        if not self._pieces:
            return Condition(self.vector) if self.present else None
        for name, pieces in self._pieces.items():
            # read pieces until `n_bins` bins are in memory or the series ends
            while len(self._ahead[name]) < n_bins and (piece := next(pieces, None)) is not None:
                self._ahead[name] = np.concatenate([self._ahead[name], piece])
        lengths = {name: min(n_bins, len(ahead)) for name, ahead in self._ahead.items()}
        if len(set(lengths.values())) > 1:
            raise ConditionError(
                "All series of a stream must be equally long.",
                f"Of the next {n_bins} bins, the series have {lengths}.",
                "Cut the longer series, or extend the shorter series.",
            )
        length = min(lengths.values())
        part = {name: ahead[:length] for name, ahead in self._ahead.items()}
        self._ahead = {name: ahead[length:] for name, ahead in self._ahead.items()}
        self._used = {name: np.concatenate([used, part[name]]) for name, used in self._used.items()}
        self._in_range = [named for named in self._in_range if not named.note_range(part[named.name])]
        return replace(self.series.encode({name: value[None] for name, value in part.items()}), vector=self.vector)

    def labels(self, n_bins: int) -> Labels:
        """Return conditions and behaviour of the next bins of the stream, and delete these bins from memory."""
        series = {name: used[None, :n_bins] for name, used in self._used.items()}
        self._used = {name: used[n_bins:] for name, used in self._used.items()}
        units = {condition.name: condition.unit for condition in self.series.each}
        return Labels(dict(self.columns), dict(series), units)


def _pieces(condition: NamedCondition, value: ArrayLike | Iterable[ArrayLike] | None) -> Iterator[np.ndarray]:
    """Return arrays (bins, dim) of a series, each checked when it is read."""
    if value is None:
        raise ConditionError(
            f"{condition.name} needs values.",
            "`condition` has only its name.",
            "Pass condition={name: values}, one row per bin or an iterator of rows.",
        )
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ConditionError(
            f"{condition.name} of a stream must be an array (time, {condition.size}), or an iterator of its pieces.",
            f"It was {value!r}.",
            "Give one row per bin.",
        )
    is_array = isinstance(value, np.ndarray | list | tuple) or hasattr(value, "__array__")  # the complete series
    pieces: Iterable[object] = [value] if is_array else value
    return (_bins_of_piece(condition, piece) for piece in pieces)


def _bins_of_piece(condition: NamedCondition, piece: object) -> np.ndarray:
    """Return a piece of a series as an array (bins, dim).

    A piece with one axis holds one number for each bin if the condition has one dimension, and one bin otherwise.
    """
    array = np.asarray(piece, np.float64)
    if array.ndim < 2:
        array = array.reshape(-1, 1) if condition.size == 1 else array.reshape(1, -1)
    if array.ndim != 2 or array.shape[1] != condition.size:
        raise ConditionError(
            f"{condition.name} must have {counted(condition.size, 'number')} in each bin.",
            f"A piece of it had shape {np.shape(array)}.",
            "Give arrays (bins, dimensions).",
        )
    return array


@dataclass(frozen=True, eq=False)
class StreamRequest:
    """One endless trial, which a model generates piece by piece.

    Args:
        seed: Random seed. The trial begins like `sample(1, seed=seed)`, unless the sampler draws fresh noise.
        conditions: Conditions that the stream follows.
        n_bins: Bins after which the trial ends. `None` ends it with its series, or never.
        guidance: Strength of the condition.
        sampler: Sampler that replaces the model's sampler, or None.
    """

    seed: int
    conditions: StreamConditions
    n_bins: int | None = None
    guidance: float = 1.0
    sampler: Sampler | None = None

    @property
    def noise(self) -> Streams:
        """Random stream of the latents, the same as for the first trial of a sample."""
        return Streams(self.seed, Purpose.SAMPLE, 0, [0])

    @property
    def spikes(self) -> Streams:
        """Random stream of the counts, the same as for the first trial of a sample."""
        return Streams(self.seed, Purpose.SPIKES, 0, [0])

    def fresh(self, level: int) -> Streams:
        """Return the random stream of the noise that a sampler adds at a level."""
        return Streams(self.seed, Purpose.SAMPLE, 1000 + level, [0])  # other noise of samples has numbers below 1000


def latent_stream(
    request: StreamRequest, denoiser: Denoiser, sampler: Sampler, *, window: int, n_latents: int, device: torch.device
) -> Stream:
    """Return the stream of denoised latents of one trial, which may be endless.

    Args:
        request: Random streams, conditions and length of the trial.
        denoiser: Denoiser of latents.
        sampler: Sampler that turns noise into latents with this denoiser.
        window: Bins that the denoiser sees at once.
        n_latents: Latents per bin.
        device: Device of the denoiser.
    """
    starting = request.noise
    streams_of_level: dict[int, Streams] = {}

    def noise(bins: int, streams: Streams) -> Tensor:
        """Draw the noise of the next bins."""
        return torch.from_numpy(streams.normal(bins, n_latents)).to(device)

    def fresh(level: int, bins: int) -> Tensor:
        """Draw the noise that the sampler adds at a noise level."""
        return noise(bins, streams_of_level.setdefault(level, request.fresh(level)))

    def condition(bins: int) -> Condition | None:
        """Read the conditions of the next bins."""
        values = request.conditions.read(bins)
        return None if values is None else values.to(device)

    return Stream(
        denoiser,
        sampler,
        window=window,
        noise=lambda bins: noise(bins, starting),
        fresh=fresh,
        condition=condition,
        bins=request.n_bins,
    )


def chunk_size(facts: Facts, n_bins: int | None, chunk: int | None) -> int:
    """Return the bins of a chunk, by default the length of the longest training trial.

    Args:
        facts: Facts of the model.
        n_bins: Bins after which the stream ends, or None; only checked.
        chunk: Requested bins of a chunk, or None.

    Raises:
        SettingError: if a number of bins is below 1.
    """
    size = facts.longest if chunk is None else chunk
    if size < 1 or (n_bins is not None and n_bins < 1):
        raise SettingError(
            "A stream needs chunks of at least one bin, chunk >= 1, and n_bins >= 1 or None.",
            f"It got n_bins={n_bins}, chunk={chunk}.",
            "Write model.stream(seed=1, chunk=1000).",
        )
    return size


def chunks(
    pieces: Iterator[Generated], size: int, conditions: StreamConditions, facts: Facts, *, source: str
) -> Iterator[Trials]:
    """Join or divide pieces of one trial, and yield chunks: `Trials` of one trial and `size` bins each.

    The last chunk may be shorter.

    Args:
        pieces: Consecutive pieces (1, bins, ...) of any length.
        size: Bins of a chunk.
        conditions: Conditions of the stream, which label the chunks.
        facts: Facts of the model: bin width and neurons.
        source: Source of the chunks.
    """

    def chunk(piece: Generated) -> Trials:
        """Return a piece as trials, with the conditions of its bins."""
        labels = conditions.labels(piece.counts.shape[1])
        return Trials(
            piece.counts,
            facts.bin_width,
            neuron_table=facts.neuron_table,
            rates=piece.rates,
            latents=piece.latents,
            conditions=labels.conditions,
            behavior=labels.behavior,
            units=labels.units,
            conditioned_on=conditions.names,
            source=source,
        )

    waiting: list[Generated] = []
    n_waiting = 0
    for piece in pieces:
        waiting.append(piece)
        n_waiting += piece.counts.shape[1]
        while n_waiting >= size:
            joined = end_to_end(waiting)
            yield chunk(joined.bins(0, size))
            waiting = [joined.bins(size, n_waiting)]
            n_waiting -= size
    if n_waiting:
        yield chunk(end_to_end(waiting))
