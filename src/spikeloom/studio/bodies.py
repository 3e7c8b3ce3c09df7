"""Bodies of requests, checked by type and size before a model sees them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

MOST_POINTS, MOST_DRAWS = 20_000, 16
"""Largest number of points of a stroke, and of draws of one stroke."""

MOST_TRIALS = 200
"""Largest number of draws of one condition."""

Coordinate = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
Point = Annotated[list[Coordinate], Field(min_length=3, max_length=3)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=200)]
Guidance = Annotated[FiniteFloat, Field(ge=-20, le=20)]


class Body(BaseModel):
    """A request body. Unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Draw(Body):
    """Spikes for a drawn stroke."""

    points: Annotated[list[Point], Field(min_length=2, max_length=MOST_POINTS)]
    scale: Annotated[FiniteFloat, Field(gt=0, le=1000)] = 1.0
    smooth: bool = True
    bins: Annotated[int, Field(ge=1, le=3000)] | None = None
    draws: Annotated[int, Field(ge=1, le=MOST_DRAWS)] = 1
    seed: Seed = 1
    guidance: Guidance | None = None


class Turn(Body):
    """Trials of one value of each condition."""

    condition: Annotated[dict[Name, Coordinate | Text | bool], Field(min_length=1, max_length=20)]
    draws: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 20
    seed: Seed = 1
    guidance: Guidance | None = None


class Traverse(Body):
    """A trial whose code has these values of the variables, or is that of a training trial."""

    values: Annotated[dict[Name, Coordinate], Field(max_length=20)] = {}
    reset_to_trial: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    trial: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    seed: Seed = 1


class Quiz(Body):
    """Pairs of a recorded and a generated trial."""

    pairs: Annotated[int, Field(ge=1, le=20)] = 10
    seed: Seed = 1


class Answer(Body):
    """The side of a pair that the user believes to be recorded."""

    pair: Annotated[int, Field(ge=0, lt=20)]
    recorded: Literal["left", "right"]


class Request(Body):
    """A request whose result is repeated: its kind and its body."""

    kind: Literal["draw", "turn", "traverse"]
    body: Draw | Turn | Traverse

    @model_validator(mode="before")
    @classmethod
    def _by_kind(cls, value: object) -> object:
        """Read the fields beside `kind` as the body of that kind."""
        if not isinstance(value, dict):
            return value
        fields = {name: one for name, one in value.items() if name != "kind"}
        kind = value.get("kind")
        body = KINDS[kind].model_validate(fields) if isinstance(kind, str) and kind in KINDS else fields
        return {"kind": kind, "body": body}


KINDS: dict[str, type[Draw] | type[Turn] | type[Traverse]] = {"draw": Draw, "turn": Turn, "traverse": Traverse}
"""Maps the kind of a request to its body."""


class Download(Body):
    """A file of the trials of a request."""

    request: Request
    format: Literal["h5", "nwb", "csv"]


class Lines(Body):
    """The lines of Python and of the shell that repeat a request."""

    request: Request
    format: Literal["h5", "nwb", "csv"] = "h5"
