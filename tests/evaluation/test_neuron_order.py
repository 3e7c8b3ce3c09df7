"""The order in which a file holds named neurons changes no number of an evaluation."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import DataError, ShapeError
from spikeloom.evaluation.baselines import homogeneous_poisson, poisson_psth
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.evaluate import evaluate
from spikeloom.metrics.ldns_protocol import ldns_protocol
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.trials import Trials
from spikeloom.trials.identity import NeuronOrderWarning
from tests.helpers.report_toys import toy

NEURONS = 8
NAMES = np.array(["b2", "b10", "a", "c", "b1", "d", "e7", "e30"])
QUICK = [metric for metric in METRICS if not metric.name.startswith(("c2st", "sliced", "mmd", "memorisation"))]
orders = st.permutations(range(NEURONS))


def named(seed: int, **fields: int) -> Trials:
    """Toy trials whose neurons have names that are not sorted."""
    return replace(toy(seed, neurons=NEURONS, **fields), neuron_table={"name": NAMES})


def values(results) -> dict[str, float | None]:
    return {name: result.value for name, result in results.items()}


@settings(deadline=None, max_examples=8)
@given(orders, orders, orders)
def test_any_order_of_named_neurons_gives_the_same_panel(first, second, third):
    real, fake, train = named(1), named(3), named(2)
    expected = values(measure(real, fake, reference=train, metrics=QUICK))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NeuronOrderWarning)
        mixed = measure(
            real.select_neurons(first),
            fake.select_neurons(second),
            reference=train.select_neurons(third),
            metrics=QUICK,
        )
    assert values(mixed) == expected


@settings(deadline=None, max_examples=2)
@given(orders, orders)
def test_any_order_of_named_neurons_gives_the_same_evaluation(first, second):
    real, fake, train = named(1), named(3), named(2)
    one = evaluate(real, fake, reference=train, splits=2).to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NeuronOrderWarning)
        other = evaluate(real.select_neurons(first), fake.select_neurons(second), reference=train, splits=2).to_dict()
    assert other["panel"] == one["panel"]
    assert other["ldns_protocol"] == one["ldns_protocol"]


def test_reversed_names_are_matched_with_a_note():
    """Without names the reversed half has other pairwise correlations; with names it has its own."""
    full = named(1, trials=200)
    one, two = full.select(slice(0, 100)), full.select(slice(100, 200)).select_neurons(slice(None, None, -1))
    right = measure(one, full.select(slice(100, 200)), metrics=METRICS)["pairwise_correlation_r"].value
    bare = measure(*(replace(part, neuron_table={}) for part in (one, two)))["pairwise_correlation_r"].value
    with pytest.warns(NeuronOrderWarning, match="Neurons have different orders in the generated trials"):
        outcome = measure(one, two)["pairwise_correlation_r"].value
    assert outcome == right
    assert bare < right - 0.2


@pytest.mark.parametrize("baseline", [homogeneous_poisson, poisson_psth])
def test_the_baselines_match_neurons(baseline):
    real, train = named(1), named(2)
    with pytest.warns(NeuronOrderWarning):
        mixed = baseline(train.select_neurons(slice(None, None, -1)), real)
    np.testing.assert_array_equal(mixed.counts, baseline(train, real).counts)


def test_the_protocol_matches_neurons():
    real, train = named(1), named(2)
    with pytest.warns(NeuronOrderWarning):
        mixed = ldns_protocol(train.select_neurons(slice(None, None, -1)), real)
    assert mixed == ldns_protocol(train, real)


def test_other_neurons_are_refused_by_name():
    real, fake = named(1), named(3)
    other = replace(fake, neuron_table={"name": np.array([*NAMES[:-1], "new"])})
    for judge in (
        lambda: evaluate(real, other),
        lambda: evaluate(real, fake, reference=other),
        lambda: compare({"a": other}, real),
        lambda: measure(real, other),
        lambda: homogeneous_poisson(real, other),
    ):
        with pytest.raises(ShapeError, match=r"\(e30\).*\(new\)|\(new\).*\(e30\)"):
            judge()


def test_the_same_spikes_in_another_order_are_still_the_same_spikes():
    real = named(1)
    with pytest.warns(NeuronOrderWarning), pytest.raises(DataError, match="exactly the same spikes"):
        evaluate(real, real.select_neurons(slice(None, None, -1)))
