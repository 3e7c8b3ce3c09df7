"""Sample the trials of a request, for the page, for a download, and for the printed lines."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikeloom.errors import ConditionError, SpikeloomWarning
from spikeloom.models.common.coded import require_codes
from spikeloom.studio.bodies import Draw, Traverse, Turn
from spikeloom.studio.code_variables import CodeVariables
from spikeloom.studio.facts import LoadedModel
from spikeloom.studio.strokes import Path2, Stroke, read_stroke
from spikeloom.trials import Trials

MOST_VALUES = 6_000_000
"""Largest number of counts (draws x bins x neurons) of one request."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Trials of a request, and sentences about it.

    Args:
        trials: Generated trials.
        warnings: Sentences about values outside those of the training trials.
        stroke: The stroke of a drawn request.
        code: Code of a traversal.
    """

    trials: Trials
    warnings: tuple[str, ...] = ()
    stroke: Stroke | None = None
    code: NDArray[np.float64] | None = None


def drawn(loaded: LoadedModel, body: Draw) -> Sampled:
    """Sample the trials of a stroke.

    Raises:
        ConditionError: if the model has no series that a hand can draw, or the stroke is invalid or too long.
    """
    moves = loaded.movements
    bin_width = loaded.model.facts.bin_width
    if loaded.drawn is None or moves is None:
        raise ConditionError(
            f"The model {loaded.name} is not conditioned on a movement in the plane, so nothing can be drawn.",
            "",
            "Choose a model that is trained on a hand position or velocity.",
        )
    stroke = read_stroke(body.points, bin_width=bin_width, n_bins=body.bins, scale=body.scale, smooth=body.smooth)
    series = stroke.series(moves.kind)
    sentences = moves.usual.warnings(stroke, kind=moves.kind, bin_width=bin_width)
    check_size(loaded, body.draws, len(series))
    sampled = _sample(loaded, body.draws, drawn_series(loaded, series), len(series), body.seed, body.guidance)
    extra = () if sentences else sampled.warnings  # both say that the stroke leaves the training range
    return Sampled(sampled.trials, (*sentences, *extra), stroke)


def drawn_series(loaded: LoadedModel, series: Path2) -> dict[str, ArrayLike | None]:
    """Return the condition of a stroke; further conditions are drawn from the training trials."""
    name = loaded.drawn.name if loaded.drawn else ""
    return {one: series if one == name else None for one in loaded.model.facts.conditions.names}


def turned(loaded: LoadedModel, body: Turn) -> Sampled:
    """Sample trials of one value of each condition; conditions without a value are drawn from the training trials.

    Raises:
        ConditionError: if the model has no such condition, or a value is wrong.
    """
    if not loaded.abilities["turn"]:
        raise ConditionError(
            f"The model {loaded.name} is not conditioned on an angle, a category or a number of each trial.",
            "",
            "Choose a model that is.",
        )
    names = loaded.model.facts.conditions.names
    loaded.model.facts.conditions.requested(dict(body.condition))  # an unknown name raises an error
    for column in loaded.columns:
        if column.condition.name in body.condition:
            column.nearest(body.condition[column.condition.name])  # so does a value of another kind
    bins = loaded.model.facts.longest
    check_size(loaded, body.draws, bins)
    condition: dict[str, ArrayLike | None] = {name: body.condition.get(name) for name in names}
    return _sample(loaded, body.draws, condition, bins, body.seed, body.guidance)


def traversed(loaded: LoadedModel, body: Traverse) -> Sampled:
    """Sample a trial from a code whose variables have these values.

    Raises:
        ConditionError: if a variable or trial does not exist.
        SettingError: if the model has no codes.
    """
    variables = code_variables(loaded)
    start = body.trial if body.reset_to_trial is None else body.reset_to_trial
    code = variables.moved({} if body.reset_to_trial is not None else body.values, start)
    bins = loaded.model.facts.longest
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trials = loaded.model.sample(n_bins=bins, codes=code[None].astype(np.float32), seed=body.seed, progress=False)
    return Sampled(trials, _sentences(caught), code=code)


def code_variables(loaded: LoadedModel) -> CodeVariables:
    """Return the variables of the model's codes. Raise an error if it has none."""
    require_codes(loaded.model)
    if loaded.variables is None:
        raise ConditionError(
            f"The training trials of {loaded.name} have no variable of numbers, so its codes cannot be moved.", "", ""
        )
    return loaded.variables


def sample_of(loaded: LoadedModel, body: Draw | Turn | Traverse) -> Sampled:
    """Sample the trials of any request."""
    if isinstance(body, Draw):
        return drawn(loaded, body)
    return turned(loaded, body) if isinstance(body, Turn) else traversed(loaded, body)


def _sample(
    loaded: LoadedModel,
    draws: int,
    condition: dict[str, ArrayLike | None],
    bins: int,
    seed: int,
    guidance: float | None,
) -> Sampled:
    """Sample, and return the warnings as sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trials = loaded.model.sample(
            draws, n_bins=bins, condition=condition, guidance=guidance, seed=seed, progress=False
        )
    return Sampled(trials, _sentences(caught))


def _sentences(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return the texts of our own warnings, each once."""
    texts = [str(one.message) for one in caught if issubclass(one.category, SpikeloomWarning)]
    return tuple(dict.fromkeys(texts))


def check_size(loaded: LoadedModel, draws: int, bins: int) -> None:
    """Raise a ConditionError if a request would generate too much for a page."""
    values = draws * bins * loaded.model.n_neurons
    if values > MOST_VALUES:
        raise ConditionError(
            f"A request may generate at most {MOST_VALUES:,} counts.",
            f"{draws} draws of {bins} bins of {loaded.model.n_neurons} neurons are {values:,}.",
            "Ask for fewer draws, or draw a shorter stroke.",
        )
