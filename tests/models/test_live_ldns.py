"""Live trials of LDNS: its stream bin by bin, with conditions that are read ahead, and refusals of the rest."""

from itertools import count

import numpy as np
import pytest

from spikeloom.diffusion.sampler import DDIM
from spikeloom.errors import ConditionError, SettingError
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.ldns import LDNS
from spikeloom.observation.model import ObservationModel
from spikeloom.training.plan import Plan
from tests.helpers.small_ldns import toy_model, toy_trials
from tests.models.test_live import stepped

QUICK = DDIM(4)


@pytest.fixture(scope="module")
def fitted() -> LDNS:
    """A model with an angle and a series, history and noise."""
    model = toy_model(condition=("angle_deg", "wave"), sampler=QUICK, observation=ObservationModel())
    return model.fit(toy_trials(32), progress=False)


def path(n_bins: int) -> np.ndarray:
    return 0.5 * np.sin(np.arange(n_bins) / 5)[:, None]


def test_a_live_trial_is_the_stream(fitted):
    stream = np.concatenate([chunk.counts[0] for chunk in fitted.stream(n_bins=100, chunk=30, seed=4)])
    live = fitted.live(4)
    np.testing.assert_array_equal(stepped(live, 100), stream)
    assert live.rates.shape == (6,)
    assert live.latents.shape == (4,)


def test_a_live_trial_without_a_series_is_the_stream_whose_conditions_are_drawn():
    one = toy_model(condition=("angle_deg",), sampler=QUICK).fit(toy_trials(16), progress=False)
    for condition in (None, (), {"angle_deg": 20.0}):
        stream = next(one.stream(n_bins=30, chunk=30, seed=4, condition=condition))
        np.testing.assert_array_equal(stepped(one.live(4, condition=condition), 30), stream.counts[0])


def test_a_live_trial_under_conditions_is_the_stream_and_ends_with_its_series(fitted):
    condition = {"angle_deg": 40.0, "wave": path(70)}
    stream = np.concatenate([chunk.counts[0] for chunk in fitted.stream(condition=condition, seed=4)])
    live = fitted.live(4, condition=condition)
    np.testing.assert_array_equal(stepped(live, 70), stream)
    with pytest.raises(ConditionError, match="no further bins"):
        live.step()


@pytest.mark.parametrize("sampler", [QUICK, DDIM(1), DDIM(11)])
def test_the_series_is_read_no_further_than_the_look_ahead(fitted, sampler):
    read = count()
    live = fitted.live(
        1, condition={"angle_deg": 1.0, "wave": ([0.5 * np.sin(next(read) / 5)] for _ in count())}, sampler=sampler
    )
    ahead = []
    for time in range(120):
        live.step()
        number = next(read)  # bins read so far, and as many calls of this line
        ahead.append(number - time - time - 1)
    assert max(ahead) <= live.lookahead == sampler.steps * 36
    assert max(ahead) > live.lookahead / 2  # the bound is not idle


def test_a_bin_does_not_depend_on_conditions_beyond_the_look_ahead(fitted):
    sampler = DDIM(1)
    one = path(200)
    other = one.copy()
    changed = 10 + fitted.live(1, sampler=sampler).lookahead + 1
    other[changed:] = -0.9
    first, second = (
        stepped(fitted.live(1, condition={"angle_deg": 1.0, "wave": wave}, sampler=sampler), 150)
        for wave in (one, other)
    )
    np.testing.assert_array_equal(first[:11], second[:11])
    assert (first != second).any()


def test_memory_of_a_live_trial_is_constant(fitted):
    live = fitted.live(1, condition={"angle_deg": 1.0, "wave": ([0.1] for _ in count())})
    held = []
    for _ in range(400):
        live.step()
        held.append(len(live._course.conditions._used["wave"]) + live._course.waiting.counts.shape[1])
    assert max(held[200:]) <= max(held[:200])


def test_what_cannot_be_live_says_so(fitted):
    live = fitted.live(1)
    with pytest.raises(ConditionError, match="later bins"):
        live.step({"angle_deg": 3.0})
    with pytest.raises(SettingError, match="causal"):
        live.state()
    with pytest.raises(SettingError, match="causal"):
        live.restore({})
    with pytest.raises(SettingError, match="one live trial at a time"):
        fitted.live(1, batch=2)
    with pytest.raises(ConditionError, match="one row per bin"):
        fitted.live(1, condition={"angle_deg": 1.0, "wave": None})
    gnocchi = GNOCCHI(6, n_codes=2, plan=Plan(updates=1, batch=4)).fit(toy_trials(8), progress=False)
    with pytest.raises(SettingError, match="not causal"):
        gnocchi.live(0)
