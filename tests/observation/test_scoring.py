"""The used bins of a fit of history filters stand for all bins, and neurons are fitted independently of each other."""

import numpy as np
import pytest
import torch

from spikeloom.observation import scoring
from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.scoring import UsedBins
from spikeloom.trials import Trials

NEURONS = 5


def recorded(mean: float = 0.05) -> tuple[Trials, np.ndarray]:
    """Counts of neurons with different rates."""
    rng = np.random.default_rng(0)
    rates = mean * np.exp(rng.normal(size=(60, 80, 1)) * 0.5) * np.arange(1, NEURONS + 1) / NEURONS
    return Trials(rng.poisson(rates), 0.005), rates.astype(np.float32)


def fitted(trials: Trials, rates: np.ndarray) -> SpikeHistory:
    model = ObservationModel(Refractory(), SpikeHistory(), noise=None)
    model.build(trials.n_neurons, 0.005)
    model.counts.fit(trials, rates)
    model.history.start(trials)
    model.history.fit(trials, rates, model.counts)
    return model.history


def test_used_bins_hold_all_spikes_and_stand_for_all_bins(monkeypatch):
    monkeypatch.setattr(scoring, "USED", 0)
    monkeypatch.setattr(scoring, "FEWEST", 50)
    trials, rates = recorded()
    used = UsedBins(trials, rates, 20)
    neurons = np.arange(NEURONS)
    design = used.design(neurons, torch.eye(20), Refractory(), logarithmic=False, limits=(-8.0, 1.5))
    valid = design.weight > 0
    assert valid.sum() < 0.5 * trials.counts[:, 20:].size
    torch.testing.assert_close(design.counts.sum(1), torch.from_numpy(trials.counts[:, 20:].sum((0, 1))).double())
    assert (design.weight[design.counts > 0] == 1).all()
    expected = (design.weight * Refractory().rates(design.drive)).sum(1)
    ratio = expected.numpy() / rates[:, 20:].sum((0, 1), dtype=np.float64)
    np.testing.assert_allclose(ratio, 1, atol=0.15)  # 450 used bins and more: sd 0.03
    np.testing.assert_allclose(design.weight.sum(1) / (60 * 60), 1, atol=0.2)


def test_sampled_bins_give_the_filters_of_all_bins(monkeypatch):
    trials, rates = recorded(0.2)
    filters = []
    for fewest, budget in ((10**9, 0), (256, 0)):
        monkeypatch.setattr(scoring, "FEWEST", fewest)
        monkeypatch.setattr(scoring, "USED", budget)
        filters.append(fitted(trials, rates).filters)
    everything, sampled = filters
    # These neurons have no history, so the filters of all bins are their sampling error. By 1 / C, the change is half.
    assert (everything - sampled).square().mean().sqrt() < 0.8 * everything.square().mean().sqrt()


@pytest.mark.parametrize("block", [1, 40_000])
def test_the_number_of_neurons_at_once_does_not_matter(monkeypatch, block):
    trials, rates = recorded()
    everything = fitted(trials, rates)
    monkeypatch.setattr(scoring, "BLOCK", block)
    parts = fitted(trials, rates)
    torch.testing.assert_close(parts.filters, everything.filters, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(parts.offset, everything.offset, atol=1e-5, rtol=1e-5)


def test_a_neuron_with_a_single_spike_keeps_a_finite_offset():
    trials, rates = recorded()
    counts = np.array(trials.counts)
    counts[..., 0] = 0
    counts[3, 40, 0] = 1
    rates = np.where(np.arange(NEURONS) == 0, np.float32(2e-4), rates)
    history = fitted(Trials(counts, 0.005), rates)
    assert abs(float(history.offset[0])) < 3
