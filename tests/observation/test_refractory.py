"""Bin refractoriness: the formula, the fit, and exact mean counts."""

import numpy as np
import torch

from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials


def refractory(q: list[float]) -> Refractory:
    model = Refractory()
    model.build(len(q), 0.005)
    model.q.copy_(torch.tensor(q))
    return model


def test_some_of_two_and_more_become_one():
    """The closed form against a simulation: draw Poisson counts and replace them with probability q."""
    rng, model = np.random.default_rng(0), refractory([0.0, 0.4, 0.9])
    drive = model.drive(torch.tensor([0.1, 0.5, 1.5]))[None, None].double()
    rate, q = model.raised(model.rates(drive))[0, 0].numpy(), model.q.numpy()
    counts = rng.poisson(rate, (200_000, 3))
    counts = np.where((counts >= 2) & (rng.random(counts.shape) < q), 1, counts)
    for k in range(4):
        chance = model.log_prob(torch.full((1, 1, 3), float(k)).double(), model.rates(drive)).exp()[0, 0].numpy()
        np.testing.assert_allclose((counts == k).mean(0), chance, atol=0.005)  # sd: 0.0011
    np.testing.assert_allclose(counts.mean(0), [0.1, 0.5, 1.5], atol=0.015)  # the expected counts are the rates


def test_the_raised_rate_has_the_derivative_of_the_solution():
    model = refractory([0.7])
    rates = torch.tensor([[[0.3]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.raised, rates)


def test_q_is_found_and_is_0_where_nothing_is_missing():
    true = refractory([0.0, 0.3, 0.8])
    rates = torch.full((300, 100, 3), 0.3)
    source = ObservationModel(true, history=None, noise=None)
    trials = Trials(source.sample(source.drive(rates), Streams(0, Purpose.SPIKES, 0, range(300))), 0.005)
    model = refractory([0.5, 0.5, 0.5])
    model.fit(trials, rates.numpy())
    np.testing.assert_allclose(model.q, [0.0, 0.3, 0.8], atol=0.06)  # 1,100 bins of several spikes: sd 0.03
    poisson = Trials(np.random.default_rng(0).poisson(4.0, (50, 100, 3)), 0.05)
    model.fit(poisson, np.full((50, 100, 3), 4.0, np.float32))
    assert model.q.max() < 0.01  # wide bins hold several spikes, as they should


def test_without_q_it_is_poisson():
    model, counts = refractory([0.0, 0.0]), torch.randint(0, 4, (2, 5, 2)).float()
    rates = model.rates(torch.randn(2, 5, 2))
    torch.testing.assert_close(model.log_prob(counts, rates), Poisson().log_prob(counts, rates), rtol=1e-4, atol=1e-5)
