"""Messages of a live connection: JSON objects, one per line over TCP and one per datagram over UDP.

===================== ===================================================================================
message               meaning
===================== ===================================================================================
sample                ``{"time": 1.234, "condition": {"hand_vel": [0.1, -0.2]}}``, from the client: values
                      of one or more conditions at a time of the client's own clock, s. If `time` is
                      absent, the values apply from their arrival. ``{}`` changes nothing.
description           ``{"n_neurons": 97, "bin_width": 0.02, "conditions": {"hand_vel": 2}}``, the first
                      message to a TCP client: the model, and the size of each condition
bin                   ``{"bin": 7, "time": 0.14, "counts": [0, 2, ...], "late": 0}``, to the client: the
                      count of each neuron in bin 7, which begins at 0.14 s. `late` is the number of
                      samples that, since bin 6 was sent, arrived too late for their bin.
bin with spike times  ``{"bin": 7, "time": 0.14, "spikes": [[1, 0.1467], [1, 0.1533]], "late": 0}``:
                      index of the neuron and time in s, for each spike
error                 ``{"error": "A message must be ..."}``, to the client: its message was ignored
===================== ===================================================================================

Messages come from a network, so their size, depth, names and numbers are checked before they are used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Integer
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from spikeloom.errors import DataError
from spikeloom.trials.nwb import spike_times

LARGEST_MESSAGE = 16_384
"""Largest message of a client, bytes."""

MOST_NUMBERS = 64
"""Largest number of conditions in a message, and of numbers in a condition."""

LONGEST_ERROR = 400
"""Longest error message to a client, characters."""

Text = Annotated[str, Field(max_length=200)]
Value = FiniteFloat | Text | Annotated[list[FiniteFloat], Field(min_length=1, max_length=MOST_NUMBERS)]
"""Value of a condition: a number, a category, or the numbers of its dimensions."""


class Sample(BaseModel):
    """Message of a client: values of conditions at a time.

    Args:
        time: Time on the client's clock, s. `None` is the time of arrival.
        condition: Name -> value of the conditions that the sample sets.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    time: FiniteFloat | None = None
    condition: dict[Text, Value] = Field(default_factory=dict, max_length=MOST_NUMBERS)


@dataclass(frozen=True, eq=False)
class BinSpikes:
    """Spikes of one bin.

    Args:
        number: Number of the bin, from 0.
        start: Time at which it begins, s since the beginning of bin 0.
        counts: Spikes of each neuron.
        late: Number of samples that arrived too late for their bin since the previous bin was sent.
    """

    number: int
    start: float
    counts: Integer[np.ndarray, " neuron"]
    late: int


def read_sample(packet: bytes) -> Sample:
    """Return the sample in a message of a client.

    Raises:
        DataError: if the message is too large, no JSON, or has other fields, types or numbers than a sample.
    """
    if len(packet) > LARGEST_MESSAGE:
        raise too_large(len(packet))
    try:
        return Sample.model_validate_json(packet)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"][:2])
        raise DataError(
            'A message must be {"time": seconds, "condition": {name: number, text or list of numbers}}.',
            f"{f'{field!r}: ' if field else ''}{first['msg']}.",
            "",
        ) from error


def too_large(size: int | None = None) -> DataError:
    """Return the error for a message of more than `LARGEST_MESSAGE` bytes, of known or unknown size."""
    return DataError(
        f"A message must have at most {LARGEST_MESSAGE} bytes.",
        "It was longer." if size is None else f"It had {size}.",
        "",
    )


def greeting(*, n_neurons: int, bin_width: float, conditions: Mapping[str, int]) -> bytes:
    """Return the first message to a client; `conditions` maps names to sizes."""
    return _line({"n_neurons": n_neurons, "bin_width": bin_width, "conditions": dict(conditions)})


def counts_message(spikes: BinSpikes) -> bytes:
    """Return a bin as a message with the count of each neuron."""
    return _line({"bin": spikes.number, "time": spikes.start, "counts": spikes.counts.tolist(), "late": spikes.late})


def spikes_message(spikes: BinSpikes, *, bin_width: float) -> bytes:
    """Return a bin as a message with the times of its spikes, s, in order of time.

    Several spikes of a neuron divide the bin evenly, as in the NWB files that spikeloom writes.
    """
    neurons, times = spikes_of(spikes, bin_width=bin_width)
    rows = [[neuron, round(time, 6)] for neuron, time in zip(neurons, times, strict=True)]
    return _line({"bin": spikes.number, "time": spikes.start, "spikes": rows, "late": spikes.late})


def spikes_of(spikes: BinSpikes, *, bin_width: float) -> tuple[list[int], list[float]]:
    """Return the neuron and the time, s, of each spike of a bin, in order of time."""
    times, _ = spike_times(spikes.counts[None, None], np.array([spikes.start]), bin_width)
    neurons = np.repeat(np.arange(len(spikes.counts)), spikes.counts)
    order = np.argsort(times, kind="stable")
    return neurons[order].tolist(), times[order].tolist()


def refusal(error: Exception) -> bytes:
    """Return the message to a client whose message was refused."""
    return _line({"error": str(error)[:LONGEST_ERROR]})


def _line(message: dict[str, object]) -> bytes:
    """Return a message as one line of JSON."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
