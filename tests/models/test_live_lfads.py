"""Live trials of LFADS: equal to samples and streams, no look-ahead, saved state, constant memory."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import DataError, SettingError
from spikeloom.models.lfads import LFADS
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from tests.models.test_lfads import TIME, model, toy
from tests.models.test_live import stepped


@pytest.fixture(scope="module", params=["plain", "inputs", "posterior"])
def fitted(request) -> LFADS:
    """A model without inputs, with inputs and spike history, or that starts from the aggregate posterior."""
    choices = {
        "plain": {},
        "inputs": {"inputs": 2, "observation": ObservationModel(Poisson("exp"))},
        "posterior": {"start": "posterior"},
    }
    return model(**choices[request.param]).fit(toy(), progress=False)


def test_a_live_trial_is_the_first_of_a_sample_and_the_stream(fitted):
    sample = fitted.sample(1, n_bins=50, seed=4, progress=False)
    live = fitted.live(4)
    np.testing.assert_array_equal(stepped(live, 50), sample.counts[0])
    np.testing.assert_array_equal(live.rates, sample.rates[0, -1])
    np.testing.assert_array_equal(live.latents, sample.latents[0, -1])
    assert (live.bins, live.lookahead) == (50, 0)
    stream = np.concatenate([chunk.counts[0] for chunk in fitted.stream(n_bins=50, chunk=7, seed=4)])
    np.testing.assert_array_equal(stream, sample.counts[0])


def test_live_trials_are_those_of_a_sample(fitted):
    sample = fitted.sample(5, n_bins=TIME, seed=2, progress=False)
    live = fitted.live(2, batch=5)
    np.testing.assert_array_equal(stepped(live, TIME).transpose(1, 0, 2), sample.counts)
    np.testing.assert_array_equal(live.rates, sample.rates[:, -1])


def test_an_empty_condition_is_no_condition(fitted):
    """A model that has no conditions takes `condition=()` in every form, as models with conditions do."""
    live = fitted.live(4, condition=())
    stream = np.concatenate([chunk.counts[0] for chunk in fitted.stream(n_bins=20, seed=4, condition=())])
    sample = fitted.sample(1, n_bins=20, seed=4, condition=(), progress=False)
    np.testing.assert_array_equal(sample.counts, fitted.sample(1, n_bins=20, seed=4, progress=False).counts)
    np.testing.assert_array_equal(stream, sample.counts[0])
    np.testing.assert_array_equal(stepped(live, 20), sample.counts[0])


@settings(deadline=None, max_examples=10)
@given(first=st.integers(1, 30), later=st.integers(1, 30), seed=st.integers(0, 5))
def test_the_first_bins_are_the_same_whatever_comes_later(fitted, first, later, seed):
    """Neither the number of later bins nor the lengths of other trials change the first bins."""
    alone = fitted.sample(2, n_bins=first, seed=seed, progress=False)
    longer = fitted.sample(2, n_bins=first + later, seed=seed, progress=False)
    np.testing.assert_array_equal(longer.counts[:, :first], alone.counts)
    np.testing.assert_array_equal(stepped(fitted.live(seed, batch=2), first).transpose(1, 0, 2), alone.counts)


def test_trials_of_different_length_are_the_beginnings_of_long_ones(fitted):
    like = toy(6, variable=True, seed=5)
    varied, longest = fitted.sample(like=like, seed=1, progress=False), fitted.sample(6, n_bins=TIME, seed=1)
    np.testing.assert_array_equal(varied.counts, np.where(like.mask[..., None], longest.counts, 0)[:, : varied.n_bins])


@pytest.mark.parametrize("before", [0, 7])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_saved_state_continues_the_trial(fitted, before, batch):
    live = fitted.live(2, batch=batch)
    for _ in range(before):
        live.step()
    file = io.BytesIO()
    np.savez(file, **live.state())
    rest = stepped(live, 30)
    file.seek(0)
    again = fitted.live(99, batch=batch)
    with np.load(file, allow_pickle=False) as state:
        again.restore(dict(state))
    np.testing.assert_array_equal(stepped(again, 30), rest)
    assert again.bins == before + 30


def test_memory_of_a_live_trial_is_constant(fitted):
    live = fitted.live(1)
    stepped(live, 30)
    sizes = {name: value.size for name, value in live.state().items()}
    stepped(live, 200)
    assert {name: value.size for name, value in live.state().items()} == sizes


def test_what_does_not_fit_is_refused(fitted):
    live = fitted.live(1)
    state = live.state()
    with pytest.raises(DataError, match="number of trials"):
        fitted.live(1, batch=2).restore(state)
    with pytest.raises(DataError, match="units"):
        live.restore({**state, "units": state["units"][:, :3]})
    with pytest.raises(SettingError, match="does not use condition"):
        fitted.live(1, condition="across")
