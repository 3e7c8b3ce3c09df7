"""Sessions without sockets: clocks of clients, the beginning, equality with `model.live`, saved states."""

import json

import numpy as np
import pytest

from spikeloom.errors import ConditionError, DataError, SettingError, SpikeloomError
from spikeloom.live import Session
from spikeloom.live.session import Source
from tests.helpers.small_ldns import toy_model, toy_trials
from tests.live.test_protocol import HOSTILE
from tests.models.test_autoregressive_ldns import tiny


def packet(value: float, time: float | None = None) -> bytes:
    return json.dumps({"condition": {"wave": [value]}} | ({} if time is None else {"time": time})).encode()


def test_bins_are_those_of_a_live_trial_under_the_mean_of_their_samples(fitted):
    session, live, source = Session(fitted, seed=3), fitted.live(3, condition="wave"), Source()
    for k in range(40):  # five samples in each bin of 10 ms, on a clock that begins at 100 s
        for part in range(5):
            session.receive(packet(k + part / 10, 100 + 0.01 * k + 0.002 * part), source, now=7 + 0.01 * k)
        one = session.step()
        np.testing.assert_array_equal(one.counts, live.step([k + 0.2]))
        assert (one.number, one.late) == (k, 0)
        assert one.start == pytest.approx(0.01 * k)
    assert session.start == pytest.approx(6.999)
    assert session.due == pytest.approx(6.999 + 0.41)


def test_every_client_has_a_clock_of_its_own(fitted):
    session, one, other = Session(fitted), Source(), Source()
    session.receive(packet(1.0, 1000.0), one, now=50.0)
    session.receive(packet(3.0, -5.0), other, now=50.001)
    session.receive(packet(5.0), Source(), now=50.002)  # without a time
    np.testing.assert_array_equal(session.step().counts, fitted.live(0, condition="wave").step([3.0]))


def test_a_trial_begins_with_the_last_missing_value(several):
    session = Session(several, condition={"angle_deg": 10.0, "side": None, "wave": None})
    assert session.waiting == {"wave"}  # a single value per trial is drawn from the training trials
    with pytest.raises(DataError, match="waits for"):
        _ = session.due
    session.receive(b'{"condition": {"side": "left"}}', Source(), now=1.0)
    assert session.start is None
    session.receive(packet(0.5), Source(), now=2.0)
    assert session.start == pytest.approx(1.999)
    live = several.live(0, condition={"angle_deg": 10.0, "side": None, "wave": None})
    np.testing.assert_array_equal(session.step().counts, live.step({"side": "left", "wave": [0.5]}))


def test_a_session_without_conditions_can_begin_at_once(fitted):
    session = Session(fitted, condition={}, seed=2)
    assert not session.waiting
    np.testing.assert_array_equal(session.request(b"{}").counts, fitted.live(2).step())
    with pytest.raises(ConditionError, match="Its conditions: none"):
        session.request(packet(1.0))


def test_a_session_without_conditions_draws_none_from_the_training_trials():
    model = tiny(condition=("side",)).fit(toy_trials(32), progress=False)
    with pytest.raises(ConditionError, match="no conditions"):
        Session(model, condition={}).live.step({"side": "left"})
    Session(model).live.step({"side": "left"})


@pytest.mark.parametrize("fault", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_are_counted_and_change_nothing(fitted, fault):
    session, live = Session(fitted, seed=1), fitted.live(1, condition="wave")
    for method in (session.request, lambda one: session.receive(one, Source(), 0.0)):
        with pytest.raises(SpikeloomError):
            method(fault)
    assert session.statistics.refused == 2
    assert session.start is None
    np.testing.assert_array_equal(session.request(packet(0.1)).counts, live.step([0.1]))


def test_requests_need_values_and_no_times(fitted):
    session = Session(fitted)
    with pytest.raises(ConditionError, match="first bin"):
        session.request(b"{}")
    with pytest.raises(DataError, match="no time"):
        session.request(packet(0.1, 1.0))


def test_guidance_is_that_of_live_trials(fitted):
    live = fitted.live(1, condition="wave", guidance=2.0)
    session = Session(fitted, seed=1, guidance=2.0)
    for k in range(10):
        np.testing.assert_array_equal(session.request(packet(k / 5)).counts, live.step([k / 5]))


def test_late_samples_are_reported_with_the_next_bin(fitted):
    session, source = Session(fitted), Source()
    session.receive(packet(0.0, 0.0), source, now=0.0)
    session.step(), session.step(), session.step()
    for time in (0.005, 0.015):
        session.receive(packet(1.0, time), source, now=0.03)
    assert session.step().late == 2
    assert session.step().late == 0
    assert session.statistics.late == 2


def test_a_session_continues_from_a_state(fitted):
    session = Session(fitted, seed=5)
    first = [session.request(packet(k / 10)) for k in range(10)]
    again = Session(fitted, seed=9)
    again.restore(session.state())
    assert not again.waiting
    for _ in range(10):
        one, other = session.request(b"{}"), again.request(b"{}")
        np.testing.assert_array_equal(one.counts, other.counts)
        assert one.number == other.number > first[-1].number
    again.begin(100.0)
    assert again.due == pytest.approx(100.01)


def test_a_model_that_cannot_run_live_is_refused():
    with pytest.raises(SettingError, match="not causal"):
        Session(toy_model().fit(toy_trials(8), progress=False))
