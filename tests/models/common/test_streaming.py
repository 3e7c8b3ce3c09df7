"""Streams of a model: the first trial of a sample, chunk by chunk, with conditions and of every length."""

from itertools import islice

import numpy as np
import pytest

from spikeloom.diffusion.sampler import SDEDPMSolver2M
from spikeloom.errors import ConditionError, SettingError
from spikeloom.models.ldns import LDNS
from spikeloom.trials import Trials
from tests.helpers.small_ldns import toy_model, toy_trials

FIXED = {"angle_deg": 45.0, "side": "left"}


@pytest.fixture(scope="module")
def plain() -> LDNS:
    return toy_model().fit(toy_trials(variable=True), progress=False)


@pytest.fixture(scope="module")
def conditioned() -> LDNS:
    return toy_model(condition=("angle_deg", "side", "wave")).fit(toy_trials(), progress=False)


def joined(chunks: list[Trials], name: str) -> np.ndarray:
    """One array (time, ...) of all chunks."""
    return np.concatenate([getattr(chunk, name)[0] for chunk in chunks])


@pytest.mark.parametrize("chunk", [None, 7, 100])
def test_a_stream_is_the_first_trial_of_a_sample(plain, chunk):
    full = plain.sample(1, n_bins=100, seed=3)
    chunks = list(plain.stream(n_bins=100, seed=3, chunk=chunk))
    assert {len(chunk) for chunk in chunks} == {1}
    assert chunks[0].n_bins == (chunk or 24)
    assert chunks[0].source == "LDNS"
    assert chunks[0].conditioned_on == full.conditioned_on == ()
    np.testing.assert_allclose(joined(chunks, "latents"), full.latents[0], atol=1e-4)
    np.testing.assert_allclose(joined(chunks, "rates"), full.rates[0], rtol=1e-3)
    np.testing.assert_array_equal(joined(chunks, "counts"), full.counts[0])
    other = list(plain.stream(n_bins=100, seed=4, chunk=chunk))
    assert not np.array_equal(joined(other, "counts"), joined(chunks, "counts"))


def test_a_stream_has_no_end_of_its_own(plain):
    assert sum(chunk.n_bins for chunk in islice(plain.stream(chunk=50), 9)) == 450


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("how", ["array", "bins", "pieces"])
def test_a_stream_follows_a_path_and_ends_with_it(conditioned, how, guidance):
    path = 0.9 * np.sin(np.arange(130) / 9)[:, None]  # inside the training range: no warnings
    full = conditioned.sample(1, n_bins=130, condition={**FIXED, "wave": path}, guidance=guidance, seed=2)
    ways = {"array": path, "bins": iter(path), "pieces": (path[k : k + 17] for k in range(0, 130, 17))}
    words = dict(condition={**FIXED, "wave": ways[how]}, guidance=guidance, chunk=40, seed=2)
    chunks = list(conditioned.stream(**words))
    assert [chunk.n_bins for chunk in chunks] == [40, 40, 40, 10]
    assert set(chunks[0].conditioned_on) == set(full.conditioned_on) == {"angle_deg", "side", "wave"}
    np.testing.assert_allclose(joined(chunks, "latents"), full.latents[0], atol=1e-4)
    np.testing.assert_allclose(np.concatenate([c.behavior["wave"][0] for c in chunks]), path, atol=1e-12)
    assert chunks[-1].units == {"wave": "m"}
    assert chunks[-1].conditions["side"].tolist() == ["left"]


def test_by_default_a_stream_keeps_the_conditions_of_one_training_trial():
    model = toy_model(condition=("angle_deg", "side")).fit(toy_trials(), progress=False)
    full = model.sample(1, n_bins=60, seed=3)
    chunks = list(model.stream(n_bins=60, chunk=25, seed=3))
    np.testing.assert_array_equal(joined(chunks, "counts"), full.counts[0])
    assert set(chunks[0].conditioned_on) == {"angle_deg", "side"}
    assert {chunk.conditions["angle_deg"][0] for chunk in chunks} == set(full.conditions["angle_deg"])
    free = list(model.stream(n_bins=60, condition=(), chunk=25, seed=3))
    assert free[0].conditioned_on == ()
    np.testing.assert_array_equal(joined(free, "counts"), model.sample(1, n_bins=60, condition=(), seed=3).counts[0])


def test_a_stream_reads_no_further_ahead_than_it_needs(conditioned):
    read = 0

    def drawn():
        nonlocal read
        while True:
            read += 1
            yield np.zeros(1)

    chunk = next(conditioned.stream(condition={**FIXED, "wave": drawn()}, chunk=5))
    assert chunk.n_bins == 5
    # at most three half windows of 12 bins for each of the sampler's levels are under way
    assert read <= 5 + 12 * (3 * conditioned.sampler.steps + 2)


def test_fresh_noise_is_drawn_block_by_block(plain):
    """A stochastic sampler gives another trial than `sample`, with the same statistics at borders as elsewhere."""
    chunks = list(plain.stream(n_bins=1200, seed=1, sampler=SDEDPMSolver2M(12)))
    latents = joined(chunks, "latents")
    again = joined(list(plain.stream(n_bins=120, seed=1, sampler=SDEDPMSolver2M(12), chunk=11)), "latents")
    np.testing.assert_allclose(again[:96], latents[:96], atol=1e-4)  # a stream that ends looks less far ahead
    step = np.square(np.diff(latents, axis=0)).mean(1)
    border, inside = step[11::12], np.delete(step, np.s_[11::12])
    # means of 99 borders against 1,100 other steps of a smooth process: four standard errors
    error = np.hypot(border.std() / np.sqrt(len(border)), inside.std() / np.sqrt(len(inside)))
    assert abs(border.mean() - inside.mean()) < 4 * error


BAD = [
    ({"angle_deg": 45.0, "side": "left"}, "no value for"),
    ({**FIXED, "wave": None}, "needs values"),
    ({**FIXED, "wave": 3.0}, "must be an array"),
    ({**FIXED, "wave": np.zeros((5, 2))}, "1 number"),
    ({**FIXED, "wave": np.full((5, 1), np.nan)}, "NaN"),
    ({**FIXED, "side": "middle", "wave": np.zeros((5, 1))}, "must be one of"),
    ({**FIXED, "colour": 1}, "names .*colour"),
]


@pytest.mark.parametrize(("condition", "message"), BAD)
def test_wrong_conditions_get_one_message(conditioned, condition, message):
    with pytest.raises(ConditionError, match=message):
        list(conditioned.stream(condition=condition))


def test_series_must_end_together():
    trials = toy_trials()
    behavior = {"wave": trials.behavior["wave"], "drift": trials.behavior["wave"] ** 2}
    both = Trials(trials.counts, 0.01, behavior=behavior)
    model = toy_model(updates=1, condition=("wave", "drift")).fit(both, progress=False)
    with pytest.raises(ConditionError, match="equally long"):
        list(model.stream(condition={"wave": np.zeros((30, 1)), "drift": np.zeros((31, 1))}))


def test_bad_requests_are_refused_at_once(plain):
    for words in ({"chunk": 0}, {"n_bins": 0}):
        with pytest.raises(SettingError, match="at least one bin"):
            plain.stream(**words)
