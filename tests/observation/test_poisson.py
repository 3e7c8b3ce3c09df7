"""Poisson counts against scipy, and laws of all observation models."""

import numpy as np
import pytest
import scipy.stats
import torch

from spikeloom.observation.model import ObservationModel
from spikeloom.observation.poisson import Poisson
from spikeloom.seeds import Purpose, Streams

LINKS = ["softplus", "exp"]


def plain(link: str = "softplus") -> ObservationModel:
    return ObservationModel(Poisson(link), history=None, noise=None)


def streams(trials) -> Streams:
    return Streams(3, Purpose.SPIKES, 0, trials)


@pytest.mark.parametrize("link", LINKS)
def test_log_prob_is_scipys(link):
    drive, counts = torch.randn(2, 7, 3).double(), torch.randint(0, 6, (2, 7, 3)).double()
    model = plain(link)
    rates = np.log1p(np.exp(drive.numpy())) if link == "softplus" else np.exp(drive.numpy())
    np.testing.assert_allclose(model.log_prob(counts, drive), scipy.stats.poisson.logpmf(counts, rates), rtol=1e-6)


@pytest.mark.parametrize("link", LINKS)
def test_drive_undoes_rates(link):
    rates = torch.logspace(-6, 1.2, 50).double()
    model = plain(link)
    torch.testing.assert_close(model.rates(model.drive(rates)), rates, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_counts_have_the_mean_and_variance_of_the_rates(link):
    rates = torch.tensor([0.01, 0.3, 4.0]).expand(50, 400, 3)
    model = plain(link)
    counts = model.sample(model.drive(rates), streams(range(50))).reshape(-1, 3)
    error = np.sqrt(rates[0, 0].numpy() / len(counts))  # sd of the mean; five of them is one test in a million
    assert (np.abs(counts.mean(0) - rates[0, 0].numpy()) < 5 * error).all()
    np.testing.assert_allclose(counts.var(0) / counts.mean(0), 1, atol=0.06)  # sd of a Fano factor here: about 0.01


def test_a_trials_spikes_do_not_depend_on_its_batch_or_on_later_bins():
    drive, model = torch.randn(5, 30, 4), plain()
    together = model.sample(drive, streams(range(5)))
    np.testing.assert_array_equal(model.sample(drive[3:4, :11], streams([3]))[0], together[3, :11])


def test_extreme_drives_stay_finite():
    drive = torch.tensor([[[-1e4, 1e4]]])
    for model in (plain("softplus"), plain("exp")):
        assert model.log_prob(torch.tensor([[[0.0, 3.0]]]), drive).isfinite().all()
