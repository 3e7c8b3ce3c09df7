"""A model matches neurons by name: trials may hold them in any order, and other neurons are refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ShapeError
from spikeloom.models.ldns import LDNS
from spikeloom.recipe import load_model
from spikeloom.trials import Trials
from spikeloom.trials.identity import NeuronOrderWarning
from tests.helpers.small_ldns import NEURONS, toy_model, toy_trials

NAMES = np.array(["n1", "n2", "n3", "n10", "n11", "n12"])
DEPTH = np.array([1.5, np.nan, 3.0, 4.0, 5.0, 6.0])
REVERSED = slice(None, None, -1)


def named(seed: int = 0) -> Trials:
    return replace(toy_trials(variable=True, seed=seed), neuron_table={"name": NAMES, "depth": DEPTH})


@pytest.fixture(scope="module")
def model() -> LDNS:
    return toy_model(condition=("side",)).fit(named(), progress=False)


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(NEURONS)).filter(lambda order: list(order) != list(range(NEURONS))))
def test_rates_come_in_the_order_of_the_trials(model, order):
    expected, mixed = model.encode(named(1)), named(1).select_neurons(order)
    with pytest.warns(NeuronOrderWarning, match="model's training trials"):
        result = model.encode(mixed)
    np.testing.assert_array_equal(result.counts, mixed.counts)
    np.testing.assert_array_equal(result.neuron_table["name"], mixed.neuron_table["name"])
    np.testing.assert_array_equal(result.rates, expected.rates[:, :, order])
    np.testing.assert_array_equal(result.latents, expected.latents)


def test_samples_carry_the_neurons_also_through_files(model, tmp_path):
    model.save(tmp_path / "model")
    for one in (model, load_model(tmp_path / "model")):
        fake = one.sample(3, seed=1)
        np.testing.assert_array_equal(fake.neuron_table["name"], NAMES)
        np.testing.assert_array_equal(fake.neuron_table["depth"], DEPTH)
        assert fake.neuron_table["name"].dtype.kind == "U"
        chunk = next(iter(one.stream(n_bins=20, seed=1, condition=None)))
        np.testing.assert_array_equal(chunk.neuron_table["name"], NAMES)
    fake.save(tmp_path / "fake.h5")
    np.testing.assert_array_equal(Trials.load(tmp_path / "fake.h5").neuron_table["name"], NAMES)


def test_samples_like_trials_come_in_their_order(model):
    expected = model.sample(like=named(1), condition="side", seed=1)
    with pytest.warns(NeuronOrderWarning):
        fake = model.sample(like=named(1).select_neurons(REVERSED), condition="side", seed=1)
    np.testing.assert_array_equal(fake.neuron_table["name"], NAMES[::-1])
    np.testing.assert_array_equal(fake.counts, expected.counts[:, :, ::-1])


def test_validation_trials_are_brought_into_the_order_of_training():
    validation_trials = [named(1), named(1).select_neurons(REVERSED)]
    one = toy_model().fit(named(), validation=validation_trials[0], progress=False)
    with pytest.warns(NeuronOrderWarning, match="validation trials"):
        other = toy_model().fit(named(), validation=validation_trials[1], progress=False)
    assert [row.get("validation") for row in one.history] == [row.get("validation") for row in other.history]
    np.testing.assert_array_equal(one.sample(2, seed=0).counts, other.sample(2, seed=0).counts)


def test_other_neurons_are_refused_by_name(model):
    other = replace(named(1), neuron_table={"name": np.array([*NAMES[:-1], "new"])})
    for use in (
        lambda: model.encode(other),
        lambda: model.sample(like=other),
        lambda: toy_model().fit(named(), validation=other, progress=False),
        lambda: model.in_training_order(other),
    ):
        with pytest.raises(ShapeError, match=r"\(new\).*\(n12\)|\(n12\).*\(new\)"):
            use()


def test_trials_without_names_are_taken_in_their_order(model):
    bare = replace(named(1), neuron_table={})
    np.testing.assert_array_equal(model.encode(bare).rates, model.encode(named(1)).rates)
    np.testing.assert_array_equal(model.in_training_order(named(1).select_neurons(REVERSED)).counts, bare.counts)
