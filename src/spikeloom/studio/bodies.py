"""The bodies of requests from the page. The type and size of every field are checked before the model is used."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

MOST_POINTS = 20_000
"""Largest number of points of a stroke."""

MOST_DRAWS = 16
"""Largest number of trials that are generated for one stroke."""

MOST_TRIALS = 200
"""Largest number of trials that are generated for one condition."""

Coordinate = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
"""One number of a position, a time or a condition."""

Point = Annotated[list[Coordinate], Field(min_length=3, max_length=3)]
"""Point of a stroke: x and y in the unit of the hand position, and the time in seconds."""

Seed = Annotated[int, Field(ge=0, lt=2**31)]
"""Random seed."""

Name = Annotated[str, Field(max_length=200)]
"""Name of a condition, a variable or a live trial."""

Text = Annotated[str, Field(max_length=200)]
"""Value of a category."""

Guidance = Annotated[FiniteFloat, Field(ge=-20, le=20)]
"""Strength of the condition."""


class Body(BaseModel):
    """Base class of request bodies. Unknown fields, and values of another type, are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Draw(Body):
    """Request for trials whose hand path is a drawn stroke.

    Args:
        points: Points of the stroke.
        scale: Factor by which the stroke is enlarged around its first point.
        smooth: True to smooth the stroke.
        bins: Number of bins of the trials. None keeps the duration of the stroke.
        draws: Number of trials.
        seed: Random seed.
        guidance: Strength of the condition; None uses the model's setting.
    """

    points: Annotated[list[Point], Field(min_length=2, max_length=MOST_POINTS)]
    scale: Annotated[FiniteFloat, Field(gt=0, le=1000)] = 1.0
    smooth: bool = True
    bins: Annotated[int, Field(ge=1, le=3000)] | None = None
    draws: Annotated[int, Field(ge=1, le=MOST_DRAWS)] = 1
    seed: Seed = 1
    guidance: Guidance | None = None


class Turn(Body):
    """Request for trials of one condition.

    Args:
        condition: Name -> value of each condition.
        draws: Number of trials.
        seed: Random seed.
        guidance: Strength of the condition; None uses the model's setting.
    """

    condition: Annotated[dict[Name, Coordinate | Text | bool], Field(min_length=1, max_length=20)]
    draws: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 20
    seed: Seed = 1
    guidance: Guidance | None = None


class Traverse(Body):
    """Request for one trial that is generated from a moved code.

    Args:
        values: Name -> value of each variable. The code is moved such that its variables have these values.
        reset_to_trial: Training trial whose code is used without any move. `values` and `trial` are then ignored.
        trial: Training trial whose code is moved; None moves the mean code of the training trials.
        seed: Random seed.
    """

    values: Annotated[dict[Name, Coordinate], Field(max_length=20)] = {}
    reset_to_trial: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    trial: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    seed: Seed = 1


class Quiz(Body):
    """Request for a quiz.

    Args:
        pairs: Number of pairs of a recorded and a generated trial.
        seed: Random seed.
    """

    pairs: Annotated[int, Field(ge=1, le=20)] = 10
    seed: Seed = 1


class Pair(Body):
    """Request for a recorded trial and for generated trials of the same condition.

    Args:
        trial: Number of the recorded trial.
        draws: Number of generated trials.
        seed: Random seed.
    """

    trial: Annotated[int, Field(ge=0, lt=2**31)]
    draws: Annotated[int, Field(ge=1, le=50)] = 20
    seed: Seed = 1


class Answer(Body):
    """Answer to one pair of a quiz.

    Args:
        pair: Number of the pair.
        recorded: Side that the user believes to be recorded.
    """

    pair: Annotated[int, Field(ge=0, lt=20)]
    recorded: Literal["left", "right"]


WORDS = {
    "Input should be": "it must be",
    "Field required": "it is missing",
    "Extra inputs are not permitted": "there is no such field",
    "List should": "it should",
    "Dictionary should": "it should",
    " after validation": "",
}
"""Maps phrases in the messages of pydantic to plainer ones."""


def fault_of(error: Mapping[str, Any]) -> str:
    """Return a sentence for the user about one error that pydantic found in a body."""
    # the path of the field, without the parts that fastapi and pydantic add to it
    field = ".".join(str(part) for part in error["loc"] if part not in ("body", "constrained-float"))[:80]
    message = str(error["msg"])
    for phrase, plain_phrase in WORDS.items():
        message = message.replace(phrase, plain_phrase)
    if error["type"] == "value_error":  # from `Repeated`, whose messages are complete sentences
        return message.removeprefix("Value error, ")
    start = f"The field {field} of the request is wrong" if field else "The request is wrong"
    value = repr(error["input"])
    return f"{start}: {message}. It was {value if len(value) < 60 else value[:56] + ' ...'}."


class Repeated(Body):
    """Request to generate the trials of an earlier request again, for a file or for lines of code.

    Args:
        request: Fields of the earlier request, and its `kind`: "draw", "turn" or "traverse".
        format: Ending of the file.
    """

    request: dict[str, object]
    format: Literal["h5", "nwb", "csv"] = "h5"

    @model_validator(mode="after")
    def _check(self) -> "Repeated":
        """Check the fields of the earlier request, which pydantic sees only as a dictionary."""
        try:
            _ = self.body
        except ValidationError as error:
            raise ValueError(fault_of(error.errors()[0])) from None
        return self

    @property
    def body(self) -> Draw | Turn | Traverse:
        """Checked body of the earlier request."""
        kind = self.request.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"The kind of a request must be one of {', '.join(KINDS)}. It was {kind!r:.60}.")
        return KINDS[kind].model_validate({name: value for name, value in self.request.items() if name != "kind"})


KINDS: dict[str, type[Draw] | type[Turn] | type[Traverse]] = {"draw": Draw, "turn": Turn, "traverse": Traverse}
"""Maps the kind of a request to its body."""

Vector = Annotated[list[Coordinate], Field(min_length=1, max_length=20)]
"""Value of a condition with several numbers in each bin."""

Step = Annotated[dict[Name, Vector | Coordinate], Field(max_length=20)]
"""Condition of one bin: name -> value."""


class LiveBegin(Body):
    """Request to begin a live trial: a trial whose bins are generated one by one while the hand moves.

    Args:
        session: Name of the trial, chosen by the server.
        seed: Random seed.
        condition: Condition of the first bin.
    """

    session: Name
    seed: Seed = 1
    condition: Step | None = None


class LiveSteps(Body):
    """Request for the spikes of the next bins of a live trial.

    Args:
        session: Name of the trial.
        conditions: Condition of each bin. An empty condition repeats the condition of the previous bin.
    """

    session: Name
    conditions: Annotated[list[Step], Field(min_length=1, max_length=200)]


class LiveDecode(Body):
    """Request for the hand path that is decoded from all spikes of a live trial.

    Args:
        session: Name of the trial.
        start: Position of the hand before the first bin.
    """

    session: Name
    start: Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
