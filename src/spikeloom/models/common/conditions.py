"""Convert conditions (columns and behaviour series of trials) to the numbers on which a network is conditioned.

A model is trained with named conditions, such as `LDNS(condition=("angle_deg", "hand_velocity"))`. `NamedCondition`
holds the name, kind and scale of one condition, `Conditions` holds all conditions of a model. `Conditions.values` finds
the value of each condition for the trials of a sample, and `Conditions.encode` turns the values into the
`Condition(vector, sequence)` that a network takes (`nn.condition`). Columns have one value per trial and make up the
vector. Behaviour series have one value per bin and make up the sequence.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from spikeloom.errors import ConditionError
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.models.common.rows import Rows
from spikeloom.nn.condition import Condition
from spikeloom.trials import Trials

ConditionArgument = str | Sequence[str] | Mapping[str, ArrayLike | Iterable[ArrayLike] | None] | None
"""The argument `condition` of `sample`, `stream` and `live`: names, or name -> value; a value may be None.

`None` draws all conditions from the training trials if each has one value per trial; `()` requests no conditions.
"""


@dataclass(frozen=True)
class Conditions:
    """All conditions that a model is trained with, in the order of its settings."""

    each: tuple[NamedCondition, ...] = ()

    @classmethod
    def fit(cls, trials: Trials, names: Sequence[str]) -> "Conditions":
        """Return the named conditions, with scales estimated from training trials."""
        return cls(tuple(NamedCondition.fit(trials, name) for name in names))

    @property
    def names(self) -> list[str]:
        """Names of the conditions."""
        return [condition.name for condition in self.each]

    @property
    def vector_size(self) -> int:
        """Size of the vector, the encoded columns of a trial."""
        return sum(condition.width for condition in self.each if not condition.per_bin)

    @property
    def sequence_size(self) -> int:
        """Size of the sequence in each bin, the encoded series."""
        return sum(condition.width for condition in self.each if condition.per_bin)

    def requested(self, condition: ConditionArgument) -> dict[str, ArrayLike | Iterable[ArrayLike] | None]:
        """Return name -> value of the argument `condition`; the value is None if the argument has only the name.

        The argument None requests all conditions, whose values are then drawn. A series cannot be drawn: if the model
        has one, None requests no conditions.

        Raises:
            ConditionError: if there are no names, or the model was not trained with one of them.
        """
        if condition is None:
            condition = () if any(named.per_bin for named in self.each) else self.names
        if isinstance(condition, Mapping):
            values = dict(condition)
        else:
            names = [condition] if isinstance(condition, str) else condition
            if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
                raise ConditionError(
                    "`condition` holds names of conditions, or name -> value.",
                    f"It is {condition!r}, of type {type(condition).__name__}.",
                    f"Write for example condition={{{self.names[0]!r}: ...}}." if self.each else "Leave it out.",
                )
            values = dict.fromkeys(names)
        unknown = [name for name in values if name not in self.names]
        if unknown:
            trained = f"with the conditions {self.names}" if self.each else "without conditions"
            raise ConditionError(
                f"This model was trained {trained}.",
                f"`condition` names {unknown}.",
                "Leave it out, or fit a model with condition=[...] first.",
            )
        return values

    def values(self, condition: ConditionArgument, like: Trials | None, rows: Rows) -> dict[str, np.ndarray]:
        """Return the values of the requested conditions, name -> (trial, ...); (trial, time, dim) for a series.

        Args:
            condition: As in `Model.sample`. Without conditions, the result is empty.
            like: Trials from which values are taken. They are not read if `condition` is None.
            rows: The trials to generate. If values are drawn, all values of a trial come from one training trial.

        Raises:
            ConditionError: if a name is unknown, or there is no value.

        Warns:
            ConditionRangeWarning: once for each condition that leaves the range of the training trials.
        """
        requested = self.requested(condition)
        if not requested:
            return {}
        named = {condition.name: condition for condition in self.each}
        source = None if condition is None else like
        values = {name: named[name].of_trials(value, source, rows) for name, value in requested.items()}
        for name, value in values.items():
            named[name].note_range(value, rows.lengths)
        return values

    def encode(self, values: Mapping[str, ArrayLike]) -> Condition:
        """Return the network's condition for a batch, from a value of every condition.

        Raises:
            ConditionError: if a condition has no value or a wrong value.
        """
        self.check_complete(values)
        vectors = [named.encode(values[named.name]) for named in self.each if not named.per_bin]
        sequences = [named.encode(values[named.name]) for named in self.each if named.per_bin]
        return Condition(vector=_joined(vectors), sequence=_joined(sequences))

    def with_features(self, condition: Condition, harmonics: int) -> Condition:
        """Return an encoded condition with further features, so that a linear map of it describes activity better.

        Each angle has cosine and sine of its first `harmonics` harmonics. Each series of several numbers per bin, such
        as a velocity, is followed by its length: the root of the sum of squares of its standardised numbers.
        """
        return replace(
            condition,
            vector=self._features(condition.vector, harmonics, per_bin=False),
            sequence=self._features(condition.sequence, harmonics, per_bin=True),
        )

    def size_with_features(self, harmonics: int, *, per_bin: bool) -> int:
        """Return the size of the vector, or of the sequence in each bin, after `with_features`."""
        return sum(
            named.width * (harmonics if named.kind == "circular" else 1) + int(_has_length(named))
            for named in self.each
            if named.per_bin is per_bin
        )

    def _features(self, encoded: Tensor | None, harmonics: int, *, per_bin: bool) -> Tensor | None:
        """Return an encoded vector (trial, dim) or sequence (trial, time, dim) with the features of each condition.

        Args:
            encoded: Vector or sequence, as `encode` returns it; None if there is none.
            harmonics: Number of harmonics of each angle.
            per_bin: True for a sequence, False for a vector.
        """
        if encoded is None:
            return None
        numbers = encoded.numpy()
        parts = []
        first = 0
        for named in self.each:
            if named.per_bin is not per_bin:
                continue
            part = numbers[..., first : first + named.width]
            first += named.width
            if named.kind == "circular":
                part = _harmonics(part, harmonics)
            parts.append(part)
            if _has_length(named):
                parts.append(np.linalg.norm(part, axis=-1, keepdims=True))
        return torch.from_numpy(np.concatenate(parts, -1, dtype=numbers.dtype))

    def check_complete(self, names: Iterable[str]) -> None:
        """Raise a ConditionError if the model has no conditions, or if the names lack a condition of the model."""
        missing = [name for name in self.names if name not in set(names)]
        if missing or not self.each:
            raise ConditionError(
                f"This model needs values of all its conditions together: {', '.join(self.names)}."
                if self.each
                else "This model has no conditions.",
                f"There is no value for {missing}." if missing else f"The request names {sorted(names)}.",
                "Give a value for each, or pass condition=() to sample without conditions.",
            )


def _joined(arrays: list[np.ndarray]) -> Tensor | None:
    """Return arrays side by side along the last axis as one tensor; None if there are none."""
    return torch.from_numpy(np.concatenate(arrays, -1)) if arrays else None


def _has_length(named: NamedCondition) -> bool:
    """Return True for a series of several numbers per bin: a velocity has a speed, an angle or a category has none."""
    return named.per_bin and named.kind == "continuous" and named.width > 1


def _harmonics(angles: np.ndarray, number: int) -> np.ndarray:
    """Return cosine and sine of the first harmonics of angles, which are encoded as all cosines, then all sines."""
    half = angles.shape[-1] // 2
    phase = angles[..., :half] + 1j * angles[..., half:]  # its power k is cosine + i sine of k times the angle
    powers = phase[..., None, :] ** np.arange(1, number + 1)[:, None]  # (..., k, angle)
    return np.stack((powers.real, powers.imag), -2).reshape(*angles.shape[:-1], number * angles.shape[-1])
