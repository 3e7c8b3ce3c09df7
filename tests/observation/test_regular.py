"""Regular counts: exact mean, quantiles, variance and share."""

import numpy as np
import pytest
import torch

from spikeloom.observation.model import ObservationModel
from spikeloom.observation.regular import Regular, _variance
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

RATES = torch.tensor([0.02, 0.4, 1.3, 4.0, 12.0], dtype=torch.float64)
COUNTS = torch.arange(80, dtype=torch.float64)


def model(share: float, neurons: int = 5) -> Regular:
    made = Regular()
    made.build(neurons, 0.1)
    made.share.fill_(share)
    return made


def alone(share: float) -> ObservationModel:
    return ObservationModel(model(share), history=None, noise=None)


def chances(made: Regular) -> torch.Tensor:
    """Probability of each count (count, neuron)."""
    rates = RATES.expand(1, len(COUNTS), 5)
    return made.log_prob(COUNTS[None, :, None].expand(1, -1, 5), rates)[0].exp()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_probabilities_sum_to_one_and_have_the_mean(share):
    result = chances(model(share))
    torch.testing.assert_close(result.sum(0), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close((COUNTS[:, None] * result).sum(0), RATES)


def test_the_variance_is_the_formulas_and_below_poisson():
    result = chances(model(1.0))
    variance = (COUNTS[:, None] ** 2 * result).sum(0) - RATES**2
    torch.testing.assert_close(variance, _variance(RATES))
    assert (variance / RATES).tolist() == pytest.approx([0.98, 0.66, 0.41, 0.29, 0.26], abs=0.06)


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_quantiles_undo_the_probabilities(share):
    made = model(share)
    below = torch.cat([torch.zeros(1, 5, dtype=torch.float64), chances(made).cumsum(0)])
    uniform = torch.from_numpy(np.random.default_rng(0).random((400, 5)))
    rates, neuron = np.tile(RATES.double().numpy(), 400), np.tile(np.arange(5), 400)
    counts = torch.from_numpy(made.quantile(rates, uniform.numpy().ravel(), neuron)).reshape(400, 5)
    assert (below.gather(0, counts) <= uniform).all()
    assert (uniform < below.gather(0, counts + 1) + 1e-12).all()


def test_the_share_is_found_again():
    made = alone(0.5)
    rates = np.random.default_rng(0).uniform(0.5, 6, (200, 50, 5)).astype(np.float32)
    counts = made.sample(made.drive(torch.from_numpy(rates)), Streams(0, Purpose.SPIKES, 0, range(200)))
    again = model(0.0)
    again.fit(Trials(counts, 0.1), rates)
    np.testing.assert_allclose(again.share, 0.5, atol=0.08)  # 10,000 bins: 4 standard errors of a variance, 2 %
    loud = np.random.default_rng(1).negative_binomial(2, 2 / (2 + rates))
    again.fit(Trials(loud, 0.1), rates)
    assert (again.share == 0).all()


def test_rates_that_hold_a_part_of_the_noise_get_less_of_it_again():
    """Law of total variance: 0.4 of the noise is in the rates, 0.16 of its variance, and is not added twice."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.5, 4, (300, 40, 5)).astype(np.float32)
    trials = Trials(rng.poisson(base), 0.1)
    rates = base + 0.4 * (trials.counts - base)
    made, excess = alone(0.0), []
    for share_of in (lambda: None, lambda: made.adapt(trials, rates, lengths=trials.lengths, seed=0)):
        share_of()
        counts = made.sample(made.drive(torch.from_numpy(rates)), Streams(0, Purpose.SPIKES, 0, range(300)))
        excess.append(counts.var((0, 1)) / trials.counts.var((0, 1)) - 1)
    assert (excess[0] > 0.06).all()  # Poisson counts of such rates
    np.testing.assert_allclose(excess[1], 0, atol=0.05)  # 12,000 bins: 2 x the standard error of two variances, 2 %


def test_gradients_reach_the_drive():
    drive = alone(0.5).drive(RATES).expand(1, 3, 5).clone().requires_grad_()
    alone(0.5).log_prob(torch.ones(1, 3, 5, dtype=torch.float64), drive).sum().backward()
    assert drive.grad.isfinite().all()
    assert (drive.grad != 0).all()
