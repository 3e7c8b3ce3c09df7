"""Live trials: equal to samples and streams, no look-ahead, saved state, bad conditions refused."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ConditionError, DataError, SettingError
from spikeloom.models.autoregressive_ldns import AutoregressiveLDNS
from spikeloom.observation.model import ObservationModel
from tests.helpers.small_ldns import toy_trials
from tests.models.test_autoregressive_ldns import tiny

NAMES = ["angle_deg", "side", "wave"]


@pytest.fixture(scope="module")
def fitted() -> AutoregressiveLDNS:
    """A model with an angle, a category and a series, history and noise."""
    return tiny(condition=tuple(NAMES), observation=ObservationModel()).fit(toy_trials(32), progress=False)


def stepped(live, n_bins: int, condition=lambda time: None) -> np.ndarray:
    """Counts of the next bins (bin, ...)."""
    return np.stack([live.step(condition(time)) for time in range(n_bins)])


def test_a_live_trial_is_the_first_of_a_sample(fitted):
    sample = fitted.sample(1, n_bins=40, seed=4)
    live = fitted.live(4)
    np.testing.assert_array_equal(stepped(live, 40), sample.counts[0])
    np.testing.assert_allclose(live.rates, sample.rates[0, -1], rtol=1e-5)
    np.testing.assert_allclose(live.latents, sample.latents[0, -1], atol=1e-6)
    assert (live.bins, live.lookahead) == (40, 0)


def test_live_trials_under_conditions_are_those_of_a_sample(fitted):
    like = toy_trials(3, 30, seed=9)
    sample = fitted.sample(like=like, condition=NAMES, seed=4)
    live = fitted.live(4, condition={**{name: like.conditions[name] for name in NAMES[:2]}, "wave": None}, batch=3)
    counts = stepped(live, 30, lambda time: {"wave": like.behavior["wave"][:, time]})
    np.testing.assert_array_equal(counts.transpose(1, 0, 2), sample.counts)


def test_by_default_live_trials_begin_with_conditions_of_training_trials():
    model = tiny(condition=("angle_deg", "side")).fit(toy_trials(32), progress=False)
    live, sample = model.live(4, batch=3), model.sample(3, n_bins=20, seed=4)
    np.testing.assert_array_equal(stepped(live, 20).transpose(1, 0, 2), sample.counts)
    live.step({"side": "left"})  # it follows conditions, so they can change
    free = model.live(4, condition=())
    np.testing.assert_array_equal(stepped(free, 20), model.sample(1, n_bins=20, condition=(), seed=4).counts[0])
    with pytest.raises(ConditionError, match="no conditions"):
        free.step({"side": "left"})


@settings(deadline=None, max_examples=15)
@given(
    changed=st.integers(1, 11),
    seed=st.integers(0, 5),
    waves=st.lists(st.floats(-1, 1), min_size=12, max_size=12),
    side=st.sampled_from(["left", "right"]),
    angle=st.floats(0, 359),
)
def test_the_first_bins_are_the_same_whatever_comes_later(fitted, changed, seed, waves, side, angle):
    begin = {"angle_deg": 10.0, "side": "left", "wave": 0.0}

    def counts(later: bool) -> np.ndarray:
        live = fitted.live(seed, condition=begin)
        new = {"wave": [1.0], "side": side, "angle_deg": angle}
        return stepped(live, 12, lambda time: new if later and time >= changed else {"wave": [waves[time]]})

    np.testing.assert_array_equal(counts(False)[:changed], counts(True)[:changed])


def test_a_condition_may_change_in_any_bin(fitted):
    begin = {"angle_deg": 10.0, "side": "left", "wave": 0.0}
    one, other = fitted.live(1, condition=begin), fitted.live(1, condition=begin)
    stepped(one, 5), stepped(other, 5)
    one.step(), other.step({"angle_deg": 190.0})
    assert not np.allclose(one.latents, other.latents)


@pytest.mark.parametrize("before", [0, 7])
def test_a_saved_state_continues_the_trial(fitted, before):
    begin = {"angle_deg": [10.0, 20.0], "side": "left", "wave": [[0.1], [0.2]]}
    live = fitted.live(2, condition=begin, batch=2)
    for _ in range(before):
        live.step()
    file = io.BytesIO()
    np.savez(file, **live.state())
    rest = stepped(live, 30)
    file.seek(0)
    again = fitted.live(99, condition=begin, batch=2)
    with np.load(file, allow_pickle=False) as state:
        again.restore(dict(state))
    np.testing.assert_array_equal(stepped(again, 30), rest)
    assert again.bins == before + 30
    with pytest.raises(DataError, match="number of trials"):
        fitted.live(0, condition={"angle_deg": 1.0, "side": "left", "wave": 0.0}).restore(live.state())


def test_memory_of_a_live_trial_is_constant(fitted):
    live = fitted.live(1)
    stepped(live, 30)
    sizes = {name: value.size for name, value in live.state().items()}
    stepped(live, 300)
    assert {name: value.size for name, value in live.state().items()} == sizes


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"sid": "left"}, "The step names"),
        (3.0, "exactly one condition"),
        ({"wave": [1.0, 2.0, 3.0]}, "number"),
        ({"side": "up"}, "one of"),
        ({"wave": [np.nan]}, "finite"),
    ],
)
def test_a_wrong_condition_is_refused_and_the_trial_goes_on_unchanged(fitted, step, message):
    begin = {"angle_deg": 10.0, "side": "left", "wave": 0.0}
    live, other = fitted.live(1, condition=begin), fitted.live(1, condition=begin)
    with pytest.raises(ConditionError, match=message):
        live.step(step)
    np.testing.assert_array_equal(live.step({"wave": [0.5]}), other.step({"wave": [0.5]}))


def test_what_cannot_be_live_says_so(fitted):
    with pytest.raises(DataError, match="last bin"):
        _ = fitted.live(0).rates
    with pytest.raises(ConditionError, match="value in the first bin"):
        fitted.live(0, condition={"angle_deg": 1.0, "side": "left", "wave": None}).step()
    with pytest.raises(SettingError, match="batch"):
        fitted.live(0, batch=0)
