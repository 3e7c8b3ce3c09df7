"""Search spaces from text and TOML, valid and invalid, and values that stay in their ranges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeloom.errors import FileError, SettingError
from spikeloom.recipe import read_recipe
from spikeloom.tuning.space import Choice, Range, changes, read_space, searches
from tests.helpers.toy_search import waves


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("network_settings.dropout=0..0.6", Range(0, 0.6)),
        ("plan.learning_rate = 1e-5..5e-3 log", Range(1e-5, 5e-3, log=True)),
        ("n_codes=4..64 log", Range(4, 64, log=True)),
        ("n_latents=8|16|32", Choice((8, 16, 32))),
        ("schedule=Cosine|LinearBeta", Choice(("Cosine", "LinearBeta"))),
        ("autoencoder_settings.mixed=true|false", Choice((True, False))),
        ("loss_settings.beta=-1..1", Range(-1, 1)),
    ],
)
def test_words(word, expected):
    space = read_space(None, [word])
    assert list(space.vary.values()) == [expected]
    assert list(space.vary) == [word.split("=")[0].strip()]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("network_settings.dropout", "low..high"),
        ("network_settings.dropout=0.3", "low..high"),
        ("=0..1", "low..high"),
        ("a=", "low..high"),
        ("a=0..1 linear", "low..high"),
        ("a=1..0", "low must be below high"),
        ("a=1..1", "low must be below high"),
        ("a=0..1 log", "low must be positive"),
        ("a=x..y", "It was 'x'"),
        ("a=0..inf", "inf"),
        ("a=nan..1", "nan"),
    ],
)
def test_bad_words_say_what_is_wrong(word, said):
    with pytest.raises(SettingError, match=said):
        read_space(None, [word])


def test_a_search_needs_something_to_vary():
    with pytest.raises(SettingError, match="at least one"):
        read_space(None)


def test_toml_says_the_same_as_words(tmp_path):
    (tmp_path / "a.toml").write_text(
        "[vary]\nnetwork_settings.dropout = { low = 0.0, high = 0.6, start = [0.1, 0.2] }\n"
        '"plan.learning_rate" = { low = 1e-5, high = 5e-3, log = true }\nn_latents = { among = [8, 16] }\n'
        "[fix]\nplan.horizon = 1000.0\n[population]\nmembers = 7\n[population.later]\nplan.warmup = 0.0\n"
    )
    space = read_space(tmp_path / "a.toml", ["n_codes=4..8"])
    assert space.vary == {
        "network_settings.dropout": Range(0.0, 0.6, start=(0.1, 0.2)),
        "plan.learning_rate": Range(1e-5, 5e-3, log=True),
        "n_latents": Choice((8, 16)),
        "n_codes": Range(4, 8),
    }
    assert space.fix == {"plan.horizon": 1000.0}
    assert space.schedule.members == 7
    assert space.schedule.later == {"plan.warmup": 0.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vary = 3", r"\[vary\]"),
        ("[vary]\na = 3", "low and high"),
        ("[vary]\na = { low = 1, hihg = 2 }", "hihg"),
        ("[vary]\na = { low = 0.0, high = 1.0, start = [0.5, 2.0] }", "start must lie between"),
        ("[vary]\na = { among = [1] }", "among"),
        ("[vary]\na = { low = 0, high = 1 }\n[population]\nmembers = 1", "members"),
        ("[vary]\na = { low = 0, high = 1 }\n[populaton]\nmembers = 1", "populaton"),
        ("[vary", "TOML"),
    ],
)
def test_bad_toml_says_what_is_wrong(tmp_path, text, said):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(SettingError, match=said):
        read_space(tmp_path / "bad.toml")


def test_an_unknown_search_lists_those_there_are():
    with pytest.raises(FileError, match="lfads-published"):
        read_space("lfads")


@pytest.mark.parametrize("name", searches())
def test_searches_that_are_shipped_go_with_their_recipe(name):
    space = read_space(name).of(waves())
    rng = np.random.default_rng(0)
    recipe = {"lfads-published": "lfads-maze"}[name]
    for fixed in (space.fix, {**space.fix, **space.schedule.later}):
        read_recipe(recipe, changes({**fixed, **space.draw(rng)})).build(5)


def test_a_range_per_entry_is_multiplied_by_bins_and_neurons():
    trials = waves(time=20)  # of 5 neurons: 100 entries
    space = read_space("lfads-published").of(trials)
    beta = space.vary["loss_settings.beta"]
    assert beta.initial_range == pytest.approx((1e-4, 1e-1))
    assert (beta.low, beta.high) == pytest.approx((1e-5, 1.0))
    assert space.of(trials) == space  # once is enough


RANGES = st.one_of(
    st.builds(lambda low, wide: Range(low, low + wide), st.integers(-5, 5), st.integers(1, 9)),
    st.builds(lambda low, by: Range(low, low * by, log=True), st.floats(1e-6, 10), st.floats(1.5, 1e4)),
    st.just(Range(0.0, 1.0, start=(0.5, 0.5))),
    st.just(Choice((1, "two", 3.0, False))),
)


@given(values=RANGES, seed=st.integers(0, 99))
def test_what_is_drawn_and_perturbed_stays_inside(values, seed):
    rng = np.random.default_rng(seed)
    value = values.draw(rng)
    for _ in range(20):
        assert values.contains(value)
        value = values.perturbed(value, rng, factors=(0.8, 1.2))


def test_a_copy_differs_by_a_factor_or_is_drawn_anew():
    space = read_space(None, ["a=1e-3..1e3 log"])
    made = [space.perturbed({"a": 1.0}, np.random.default_rng(seed))["a"] for seed in range(400)]
    near = sum(math.isclose(value, 0.8) or math.isclose(value, 1.2) for value in made)
    assert 270 < near < 330  # three in four of 400; four binomial sd are 35
    assert {0.8, 1.2} <= {round(value, 9) for value in made}
