"""What a caller asks a model for: lengths and conditions, as one value per trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeloom.errors import ConditionError, DataError, SettingError, ShapeError
from spikeloom.models.common.conditions import Variable, Variables
from spikeloom.models.common.facts import Facts
from spikeloom.nn.condition import Condition
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials


@dataclass(frozen=True)
class Request:
    """What a model is asked to draw, one batch.

    Args:
        lengths: Bins of each trial (trial,).
        noise: Streams of the trials' own randomness, for latents and codes.
        spikes: Streams for the counts.
        condition: What the trials shall belong to; None draws unconditionally.
        guidance: Strength of the condition; 1 is the plain conditional model.
        sampler: Replaces the model's own; None keeps that.
        codes: Code of each trial (trial, code), for models that have codes; None lets the model draw them.
    """

    lengths: np.ndarray
    noise: Streams
    spikes: Streams
    condition: Condition | None = None
    guidance: float = 1.0
    sampler: Any = None
    codes: np.ndarray | None = None


def read(trials: Trials, field: str) -> np.ndarray:
    """What a model reads of trials, (trial, time, ...): their counts, rates or latents; DataError if they have none."""
    values: np.ndarray | None = getattr(trials, field)
    if values is None:
        raise DataError(
            f"This model reads the {field} of trials.",
            f"Trials from {trials.source or 'an unknown source'} have none.",
            "Give trials that have them (a simulation, or what another model encoded), or fit to spikes.",
        )
    return values


def asked_codes(model: Any, codes: Any) -> np.ndarray | None:
    """Codes (trial, code) as the model's own `admit` lets them pass; None if none are given.

    Raises:
        SettingError: if the model has no codes.
    """
    if codes is None:
        return None
    if not hasattr(model, "admit"):
        raise SettingError(
            "Codes can only be given to a model that has them.",
            f"{type(model).__name__} got codes.",
            "Leave codes out, or train a GNOCCHI.",
        )
    return model.admit(np.asarray(codes, np.float32))


def asked_lengths(
    facts: Facts,
    trials: int | None,
    bins: int | None,
    like: Trials | None,
    seed: int,
    *,
    codes: np.ndarray | None = None,
) -> np.ndarray:
    """Bins of each trial that is asked for (trial,): those of `like`, `bins`, or drawn from the training trials'.

    Codes that were given say how many trials there are.
    """
    number = len(like) if like is not None else trials
    if codes is not None and number not in (None, len(codes)):
        raise ShapeError(
            "There must be one code for each trial.",
            f"There are {len(codes)} codes for {number} trials.",
            "Leave the number of trials out: the codes say it.",
        )
    trials = len(codes) if codes is not None and like is None else trials
    if like is not None:
        if trials not in (None, len(like)) or bins is not None:
            raise SettingError(
                "like=... already says how many trials there are and how long each is.",
                f"It came with trials={trials}, bins={bins}.",
                "Leave trials and bins out, or select the trials you want from like.",
            )
        if not np.isclose(like.bin_width, facts.bin_width):
            raise SettingError(
                f"Trials to be like must have the bins of the training trials, {facts.bin_width:g} s.",
                f"Theirs are {like.bin_width:g} s, so lengths in bins mean another time.",
                "Bin the recording as the training trials were.",
            )
        return np.asarray(like.lengths)
    if trials is None or trials < 1 or (bins is not None and bins < 1):
        raise SettingError(
            "sample needs a number of trials >= 1, and bins >= 1 if given.",
            f"It got trials={trials}, bins={bins}.",
            "Write model.sample(trials=100).",
        )
    if bins is not None:
        return np.full(trials, bins)
    known, weight = np.array(list(facts.lengths)), np.array(list(facts.lengths.values()))
    chosen = Streams(seed, Purpose.SAMPLE, 1, range(trials)).uniform()
    return known[np.searchsorted(np.cumsum(weight) / weight.sum(), chosen, side="right").clip(max=len(known) - 1)]


def asked(
    variables: Variables,
    condition: str | Sequence[str] | Mapping[str, Any] | None,
    like: Trials | None,
    lengths: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Values of every variable that is asked for, (trial, ...) or, for a sequence, (trial, time, dim); empty for none.

    Args:
        variables: What the model can be told.
        condition: As in `Model.sample`.
        like: Trials to take values from.
        lengths: Bins of each trial.
        seed: For values drawn from the training trials.

    Raises:
        ConditionError: if a name is unknown, or there is nowhere to take a value from.
    """
    if condition is None:
        return {}
    names = [condition] if isinstance(condition, str) else list(condition)
    given = condition if isinstance(condition, Mapping) else {}
    known = {variable.name: variable for variable in variables.each}
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConditionError(
            f"This model can be told {sorted(known) or 'nothing: it was fitted without conditions'}.",
            f"It was told {names}.",
            "Fit with condition=[...] to condition on it, or leave it out.",
        )
    chosen = Streams(seed, Purpose.SAMPLE, 2, range(len(lengths))).uniform()
    return {name: _value(known[name], given.get(name), like, lengths, chosen) for name in names}


def labelled(
    variables: Variables, told: Mapping[str, np.ndarray], like: Trials | None, rows: np.ndarray, bins: int
) -> dict[str, Any]:
    """Conditions, behaviour and units that generated trials carry: what they were told, and the rest of `like`.

    Series are cut to so many bins, those of the longest trial: `like` may be padded further.
    """
    if not told:
        return {}
    sequences = {variable.name: variable.unit for variable in variables.each if variable.kind == "sequence"}
    behavior = {} if like is None else {name: value[rows, :bins] for name, value in like.behavior.items()}
    conditions = {} if like is None else {name: value[rows] for name, value in like.conditions.items()}
    units = {} if like is None else dict(like.units)
    for name, value in told.items():
        if name in sequences:
            behavior[name] = value[rows, :bins]
        else:
            conditions[name] = value[rows]
    return dict(behavior=behavior, conditions=conditions, units={**units, **sequences})


def _value(variable: Variable, value: Any, like: Trials | None, lengths: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    trials, sequence = len(lengths), variable.kind == "sequence"
    if value is None and like is not None:
        source = like.behavior if sequence else like.conditions
        if variable.name in source:
            return np.asarray(source[variable.name])
    if value is None:
        if sequence or like is not None:
            raise ConditionError(
                f"{variable.name} must come from somewhere: a value, or trials to be like.",
                "It was asked for by name only" + (", and the trials to be like do not have it." if like else "."),
                "Give condition={name: values}, or like=trials that hold it.",
            )
        known = np.array(variable.values)
        return known[(chosen * len(known)).astype(int)]
    array = np.asarray(value)
    per_trial = (2 if variable.size > 1 else 1) + sequence
    if array.ndim < per_trial or (sequence and array.ndim == 2):
        array = np.broadcast_to(array, (trials, *array.shape))  # one for all trials
    if len(array) != trials or (sequence and array.shape[1] < lengths.max()):
        raise ConditionError(
            f"{variable.name} must have one value for each of {trials} trials"
            + (f" and {int(lengths.max())} bins." if sequence else "."),
            f"It has shape {array.shape}.",
            "Give a single value for all trials, or as many as trials (and bins).",
        )
    return array
