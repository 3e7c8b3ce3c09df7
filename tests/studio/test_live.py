"""Live trials give the counts of `model.live`, one bin after the other, and refuse bad messages."""

import contextlib
import json
from collections.abc import Iterator

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import spikeloom as sl
from spikeloom.studio.decoder import Decoder
from spikeloom.trials import Trials
from tests.studio.conftest import TOKEN, Served

VELOCITIES = np.random.default_rng(0).normal(0, 0.2, (12, 2)).round(3).tolist()
FIRST = {"token": TOKEN, "model": "live", "seed": 3, "condition": {"hand_velocity": VELOCITIES[0]}}


@contextlib.contextmanager
def opened(served: Served, **changes: object) -> Iterator[ClientConnection]:
    """Open a live trial."""
    with connect(f"ws://127.0.0.1:{served.port}/api/live") as socket:
        socket.send(json.dumps({**FIRST, **changes}))
        yield socket


def test_live_bins_equal_those_of_python(served):
    live = sl.load_model(served.folder / "live").live(3, condition={"hand_velocity": VELOCITIES[0]})
    expected = [live.step({"hand_velocity": velocity}) for velocity in VELOCITIES]
    with opened(served) as socket:
        for velocity in VELOCITIES[:6]:
            socket.send(json.dumps({"condition": {"hand_velocity": velocity}}))
        socket.send(json.dumps({"conditions": [{"hand_velocity": velocity} for velocity in VELOCITIES[6:]]}))
        answers = [json.loads(socket.recv(20)) for _ in VELOCITIES]
    assert [answer["bin"] for answer in answers] == list(range(12))
    for answer, counts in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(np.bincount(np.array(answer["spikes"], int), minlength=12), counts)


def test_two_live_trials_do_not_disturb_each_other(served):
    with opened(served) as one, opened(served) as other:
        spikes = {id(one): [], id(other): []}
        for velocity in VELOCITIES:
            for socket in (one, other):
                socket.send(json.dumps({"condition": {"hand_velocity": velocity}}))
                spikes[id(socket)].append(json.loads(socket.recv(20))["spikes"])
    assert spikes[id(one)] == spikes[id(other)]


def test_places_are_free_again_after_clients_left(served):
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for socket in [stack.enter_context(opened(served)) for _ in range(4)]:
                socket.send(json.dumps({"condition": {"hand_velocity": [0, 0]}}))
                assert json.loads(socket.recv(20))["bin"] == 0
            fifth = stack.enter_context(opened(served))
            assert "can be live at once" in json.loads(fifth.recv(20))["error"]


@pytest.mark.parametrize(
    ("changes", "messages", "words"),
    [
        ({"token": "guess"}, [], "token is missing or wrong"),
        ({"token": 7}, [], "token is missing or wrong"),
        ({"model": "draw"}, [], "cannot be live"),
        ({"model": "../live"}, [], "cannot be live"),
        ({"seed": -1}, [], "A message must hold"),
        ({"condition": {"speed": [1, 2]}}, [], "trained with the conditions"),
        ({"extra": 1}, [], "A message must hold"),
        ({}, ['{"condition": {"hand_velocity": [NaN, 0]}}'], "not valid JSON"),
        ({}, ['{"condition": {"hand_velocity": [1e999, 0]}}'], "A message must hold"),
        ({}, ['{"condition": {"hand_velocity": [1, 2, 3]}}'], "hand_velocity needs 2"),
        ({}, ["[" * 5000], "nested"),
        ({}, ["no json"], "not valid JSON"),
        ({}, [b"\x00\x01"], "must be text"),
        ({}, [json.dumps({"conditions": [{}] * 201})], "A message must hold"),
    ],
)
def test_bad_messages_end_the_trial_with_a_sentence(served, changes, messages, words):
    with opened(served, **changes) as socket:
        for message in messages:
            socket.send(message)
        assert words in json.loads(socket.recv(20))["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(20)


def test_a_huge_message_closes_the_connection(served):
    with opened(served) as socket:
        socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed):
            socket.recv(20)


def test_other_pages_cannot_open_a_live_trial(served):
    from websockets.exceptions import InvalidStatus

    url = f"ws://127.0.0.1:{served.port}/api/live"
    with pytest.raises(InvalidStatus, match="403"), connect(url, origin="http://evil.example"):
        pass


def test_the_spikes_of_a_live_trial_are_decoded(served, recorded):
    velocities = np.asarray(recorded.behavior["hand_velocity"][0], float)
    with opened(served, condition={"hand_velocity": velocities[0].tolist()}) as socket:
        socket.send(json.dumps({"conditions": [{"hand_velocity": one} for one in velocities.tolist()]}))
        bins = [json.loads(socket.recv(20))["spikes"] for _ in velocities]
        socket.send(json.dumps({"decode": [0.1, -0.2]}))
        answer = json.loads(socket.recv(20))
        socket.send(json.dumps({"decode": [0.1]}))
        assert "A message must hold" in json.loads(socket.recv(20))["error"]
    counts = np.stack([np.bincount(np.array(one, int), minlength=12) for one in bins])
    trials = Trials(counts[None], recorded.bin_width)
    decoder = Decoder.fit(recorded, "hand_velocity")
    path = np.array([0.1, -0.2]) + np.cumsum(decoder.decode(trials)[0], 0) * recorded.bin_width
    np.testing.assert_allclose(answer["decoded"], path, atol=1e-5)
    assert answer["r2"] == pytest.approx(decoder.scores(trials, velocities[None])[0], abs=1e-4)
