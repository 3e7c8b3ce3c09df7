"""Messages: what is accepted, what is refused, and what is sent."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.errors import DataError
from spikeloom.live.protocol import (
    LARGEST_MESSAGE,
    LONGEST_ERROR,
    BinSpikes,
    counts_message,
    read_sample,
    refusal,
    spikes_message,
)

HOSTILE = {
    "empty": b"",
    "no json": b"hello",
    "half a message": b'{"condition": {"wave": [0.1',
    "binary": bytes(range(256)),
    "broken utf-8": b'{"condition": {"\xff\xfe": 1}}',
    "a number": b"7",
    "a list": b"[1, 2]",
    "null": b"null",
    "NaN": b'{"condition": {"wave": [NaN]}}',
    "infinity": b'{"time": -Infinity}',
    "a number that overflows": b'{"condition": {"wave": [1e999]}}',
    "an integer of 5,000 digits": b'{"time": ' + b"9" * 5000 + b"}",
    "time as text": b'{"time": "1.0"}',
    "time as truth": b'{"time": true}',
    "a truth as number": b'{"condition": {"wave": [true]}}',
    "unknown field": b'{"time": 1.0, "exec": "rm"}',
    "condition as list": b'{"condition": [["wave", 1]]}',
    "no numbers": b'{"condition": {"wave": []}}',
    "nested numbers": b'{"condition": {"wave": [[0.1]]}}',
    "nested objects": b'{"condition": {"wave": {"x": 1}}}',
    "null as value": b'{"condition": {"wave": null}}',
    "deep": b"[" * 8000 + b"]" * 8000,
    "deep value": b'{"condition": {"wave": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
    "many numbers": b'{"condition": {"wave": [' + b"0," * 100 + b"0]}}",
    "many conditions": json.dumps({"condition": {f"c{k}": 0 for k in range(100)}}).encode(),
    "a long name": json.dumps({"condition": {"x" * 1000: 0}}).encode(),
    "a long text": json.dumps({"condition": {"side": "x" * 1000}}).encode(),
    "too large": b" " * (LARGEST_MESSAGE + 1),
}
"""Messages that must be refused, by their fault."""


@pytest.mark.parametrize("packet", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_message_is_refused_with_a_sentence(packet):
    with pytest.raises(DataError, match="A message must") as error:
        read_sample(packet)
    answer = json.loads(refusal(error.value))
    assert set(answer) == {"error"}
    assert len(answer["error"]) <= LONGEST_ERROR


@given(st.binary(max_size=200))
def test_any_bytes_are_a_sample_or_an_error(packet):
    try:
        sample = read_sample(packet)
    except DataError:
        return
    assert sample.time is None or np.isfinite(sample.time)


def test_samples_are_read():
    sample = read_sample(b'{"time": 1.5, "condition": {"hand_vel": [0.1, -2], "side": "left", "angle_deg": 90}}')
    assert sample.time == 1.5
    assert sample.condition == {"hand_vel": [0.1, -2.0], "side": "left", "angle_deg": 90.0}
    assert read_sample(b"{}").condition == {}


def test_bins_become_messages():
    one = BinSpikes(7, 0.14, np.array([0, 2, 1]), 3)
    assert json.loads(counts_message(one)) == {"bin": 7, "time": 0.14, "counts": [0, 2, 1], "late": 3}
    message = json.loads(spikes_message(one, bin_width=0.02))
    assert message["spikes"] == [[1, 0.146667], [2, 0.15], [1, 0.153333]]
    assert (message["bin"], message["late"]) == (7, 3)
    assert counts_message(one).count(b"\n") == 1
