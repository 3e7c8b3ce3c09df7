"""The readout: each source of rates has its own statistics, which do not depend on earlier fits."""

import copy

import numpy as np
import pytest
import torch

from spikeloom.models.common import latent_autoencoder
from spikeloom.models.common.calibration_samples import CALIBRATION_SEED, calibration_samples
from spikeloom.models.common.results import end_to_end
from spikeloom.observation import ObservationModel, Poisson, Refractory, Regular, SharedNoise, SpikeHistory
from spikeloom.seeds import Purpose, Streams
from tests.helpers.small_ldns import toy_model, toy_trials

OBSERVATIONS = {
    "every slot": ObservationModel(),
    "history": ObservationModel(Poisson(), SpikeHistory(), None),
    "noise": ObservationModel(Refractory(), None, SharedNoise()),
    "regular counts": ObservationModel(Regular(), None, None),
}


@pytest.fixture(scope="module", params=OBSERVATIONS)
def model(request):
    """A small fitted LDNS with a condition."""
    return toy_model(condition=("angle_deg",), observation=OBSERVATIONS[request.param]).fit(
        toy_trials(40), progress=False
    )


def states(readout) -> dict[str, dict[str, torch.Tensor]]:
    """Copies of the statistics of each source."""
    sources = {"inferred": readout.inferred, "generated": readout.generated, "conditional": readout.conditional}
    return {name: copy.deepcopy(statistics.state_dict()) for name, statistics in sources.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def refitted(model, sources):
    """The model with its readout fitted to samples of these sources, in this order, from the fitted state on."""
    again = copy.deepcopy(model)
    samples = calibration_samples(model, toy_trials(40))
    with torch.no_grad():
        for source in sources:
            again.readout.fit_generated(toy_trials(40), {source: samples[source]}, seed=CALIBRATION_SEED)
    return again


def test_the_order_of_fitting_does_not_matter(model):
    fitted = states(model.readout)
    for order in (("generated", "conditional"), ("conditional", "generated"), ("generated", "generated")):
        for name, state in states(refitted(model, order).readout).items():
            assert same(state, fitted[name]), (order, name)


def test_unconditional_samples_do_not_depend_on_conditional_ones(model, monkeypatch):
    trials = toy_trials(40)
    only = toy_model(condition=("angle_deg",), observation=model.observation)
    unconditional = lambda model, trials: {"generated": calibration_samples(model, trials)["generated"]}
    monkeypatch.setattr(latent_autoencoder, "calibration_samples", unconditional)
    only.fit(trials, progress=False)
    assert not same(only.readout.conditional.state_dict(), model.readout.conditional.state_dict())
    expected, result = (one.sample(12, condition=(), seed=3, progress=False) for one in (model, only))
    np.testing.assert_array_equal(result.counts, expected.counts)
    np.testing.assert_array_equal(result.rates, expected.rates)


def test_each_source_is_adapted_to_its_own_samples(model):
    """The three states differ, so a mistaken source would be noticed."""
    inferred, generated, conditional = (
        statistics.observation.state_dict()
        for statistics in (model.readout.inferred, model.readout.generated, model.readout.conditional)
    )
    assert not same(generated, conditional)
    assert not same(inferred, generated)


def test_held_out_likelihood_uses_the_observation_model_of_inferred_rates(model):
    """Return the statistics that were fitted to pairs of rate and count, which adapting to samples does not change."""
    fitted = copy.deepcopy(model)
    with torch.no_grad():
        fitted.readout.fit_observation(toy_trials(40), fitted.unseen_rates)
    assert same(fitted.observation.state_dict(), model.observation.state_dict())
    assert same(fitted.readout.generated.observation.state_dict(), model.observation.state_dict())


@pytest.mark.parametrize("source", ["inferred", "generated", "conditional"])
def test_drawn_rates_are_those_of_the_networks(model, source):
    """Rates in NumPy, with which trials are drawn, and in PyTorch; and pieces of trials are those of the complete."""
    latents = torch.randn(5, 32, model.n_latents, generator=torch.Generator().manual_seed(0))
    complete = model.readout.draw(latents, source, Streams(1, Purpose.SPIKES, 0, range(5)))
    with torch.no_grad():
        np.testing.assert_allclose(complete.rates, model.readout.rates(latents, source).numpy(), rtol=1e-4, atol=1e-6)
    course = model.readout.begin(source, Streams(1, Purpose.SPIKES, 0, range(5)))
    pieces = end_to_end([course.advance(part.numpy()) for part in latents.split((7, 1, 24), 1)])
    alone = model.readout.draw(latents[3:4], source, Streams(1, Purpose.SPIKES, 0, [3]))
    for name in ("counts", "rates"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(complete, name))
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(complete, name)[3])
