"""Generate the trials of a request. The page shows them, and downloads and lines of code repeat them."""

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
    """The generated trials of a request, with warnings and with the stroke or code of the request.

    Args:
        trials: Generated trials.
        warnings: Sentences that warn of a condition outside the range of the training trials.
        stroke: The drawn path in bins, if the request has one.
        code: The code from which the trial was generated, if the request has one.
    """

    trials: Trials
    warnings: tuple[str, ...] = ()
    stroke: Stroke | None = None
    code: NDArray[np.float64] | None = None


def drawn(loaded: LoadedModel, body: Draw) -> Sampled:
    """Generate trials whose condition is a drawn hand path.

    The result warns if the drawn path leaves the range of the training trials.

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
    stroke_warnings = moves.usual.warnings(stroke, kind=moves.kind, bin_width=bin_width)
    check_size(loaded, body.draws, len(series))
    sampled = _sample(loaded, body.draws, drawn_series(loaded, series), len(series), body.seed, body.guidance)
    # The model also warns that the condition is unusual. The warnings about the stroke say the same more precisely.
    return Sampled(sampled.trials, tuple(stroke_warnings) or sampled.warnings, stroke)


def drawn_series(loaded: LoadedModel, series: Path2) -> dict[str, ArrayLike | None]:
    """Return the condition for a drawn series. The other conditions are None: training trials supply their values."""
    drawn_name = loaded.drawn.name if loaded.drawn else ""
    return {name: series if name == drawn_name else None for name in loaded.model.facts.conditions.names}


def turned(loaded: LoadedModel, body: Turn) -> Sampled:
    """Generate trials with the requested value of each condition.

    Values that the request leaves out are drawn from the training trials.

    Raises:
        ConditionError: if the model has no such condition, or a value is wrong.
    """
    if not loaded.abilities["turn"]:
        raise ConditionError(
            f"The model {loaded.name} is not conditioned on an angle, a category or a number of each trial.",
            "",
            "Choose a model that is conditioned on one of these.",
        )
    names = loaded.model.facts.conditions.names
    loaded.model.facts.conditions.requested(dict(body.condition))  # raises an error if a name is unknown
    for column in loaded.columns:
        if column.condition.name in body.condition:
            column.nearest(body.condition[column.condition.name])  # raises an error if the value is wrong
    bins = loaded.model.facts.longest
    check_size(loaded, body.draws, bins)
    condition: dict[str, ArrayLike | None] = {name: body.condition.get(name) for name in names}
    return _sample(loaded, body.draws, condition, bins, body.seed, body.guidance)


def traversed(loaded: LoadedModel, body: Traverse) -> Sampled:
    """Generate a trial from a code that is moved to the requested values of variables.

    Raises:
        ConditionError: if a variable or trial does not exist.
        SettingError: if the model has no codes.
    """
    variables = code_variables(loaded)
    start_trial = body.trial if body.reset_to_trial is None else body.reset_to_trial
    requested = body.values if body.reset_to_trial is None else {}  # without values, the code is not moved
    code = variables.moved(requested, start_trial)
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
    """Generate the trials of any request."""
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
    """Generate trials, and return them with the warnings of the model as sentences.

    Args:
        loaded: The model.
        draws: Number of trials.
        condition: Condition by name, as in `Model.sample`.
        bins: Number of bins of every trial.
        seed: Random seed.
        guidance: Strength of the condition, or None for the model's setting.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trials = loaded.model.sample(
            draws, n_bins=bins, condition=condition, guidance=guidance, seed=seed, progress=False
        )
    return Sampled(trials, _sentences(caught))


def _sentences(caught: list[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return the texts of the warnings that spikeloom issued, without repetitions."""
    texts = [str(warning.message) for warning in caught if issubclass(warning.category, SpikeloomWarning)]
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
