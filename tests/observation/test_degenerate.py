"""Observation models on data of any size and without variance: every fit works, and samples are finite."""

import warnings

import numpy as np
import pytest
import torch

from spikeloom.observation import ObservationModel, Poisson, Refractory, Regular, SharedNoise, SpikeHistory
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

N_TRIALS, N_BINS, N_NEURONS = 4, 24, 2


def poisson(mean, shape=(N_TRIALS, N_BINS, N_NEURONS)) -> np.ndarray:
    return np.random.default_rng(0).poisson(mean, shape)


def changed(where, value: int) -> np.ndarray:
    """Return counts with a subset set to a value."""
    counts = poisson(0.3)
    counts[where] = value
    return counts


def once() -> np.ndarray:
    counts = changed(np.s_[:, :, 1], 0)
    counts[3, 4, 1] = 1
    return counts


def of(counts, bin_width: float = 0.005, **fields) -> Trials:
    return Trials(counts, bin_width, **fields)


def flat_rates(trials: Trials) -> np.ndarray:
    """Each neuron's mean count as the rate of every valid bin."""
    mean = trials.counts.sum((0, 1)) / trials.n_valid_bins
    return np.where(trials.mask[..., None], mean, 0).astype(np.float32)


def own_counts(trials: Trials) -> np.ndarray:
    """Rates that are the counts themselves: zero in every silent bin."""
    return trials.counts.astype(np.float32)


DATA = {
    "800 spikes per bin": lambda: of(poisson(800)),
    "800 spikes in one neuron": lambda: of(poisson([0.1, 800])),
    "the same count everywhere": lambda: of(np.full((N_TRIALS, N_BINS, N_NEURONS), 3)),
    "a silent neuron": lambda: of(changed(np.s_[:, :, 1], 0)),
    "no spike at all": lambda: of(np.zeros((N_TRIALS, N_BINS, N_NEURONS), int)),
    "a neuron that fires once": lambda: of(once()),
    "one bin of 50,000 spikes": lambda: of(changed(np.s_[2, 5, 0], 50_000)),
    "one trial": lambda: of(poisson(0.5, (1, N_BINS, N_NEURONS))),
    "one neuron": lambda: of(poisson(0.5, (N_TRIALS, N_BINS, 1))),
    "one bin": lambda: of(poisson(0.5, (N_TRIALS, 1, N_NEURONS))),
    "one trial of one bin and one neuron": lambda: of(np.ones((1, 1, 1), int)),
    "neurons that fire together": lambda: of(np.repeat(poisson(0.3, (N_TRIALS, N_BINS, 1)), N_NEURONS, 2)),
    "trials of 1 to 24 bins": lambda: of(poisson(0.5), lengths=np.array([1, 2, 5, N_BINS])),
    "bins of half a second": lambda: of(poisson(20), 0.5),
}
OBSERVATIONS = {
    "default": ObservationModel,
    "Poisson": lambda: ObservationModel(Poisson(), None, None),
    "Refractory": lambda: ObservationModel(Refractory(), None, None),
    "Regular": lambda: ObservationModel(Regular(), None, None),
    "published history": lambda: ObservationModel(
        Poisson(), SpikeHistory(basis="bins", logarithmic=True, ceiling=5), None
    ),
    "noise alone": lambda: ObservationModel(Poisson(), None, SharedNoise(rank=2)),
    "exponential link": lambda: ObservationModel(Refractory("exp")),
}


@pytest.mark.parametrize("rates_of", [flat_rates, own_counts], ids=["flat rates", "rates equal to counts"])
@pytest.mark.parametrize("observation", OBSERVATIONS)
@pytest.mark.parametrize("data", DATA)
def test_it_fits_and_draws_finite_counts(data, observation, rates_of):
    trials, model = DATA[data](), OBSERVATIONS[observation]()
    model.build(trials.n_neurons, trials.bin_width)
    rates = rates_of(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(trials, rates, seed=0)
        model.adapt(trials, 1.2 * rates[:, ::-1].copy(), lengths=np.full(len(trials), trials.n_bins), seed=1)
        drive = model.drive(torch.from_numpy(rates).double())
        counts = model.sample(drive, Streams(0, Purpose.SPIKES, 0, range(len(trials))))
        log_prob = model.log_prob(torch.from_numpy(trials.counts.astype(np.float64)), drive)
    for name, value in model.named_buffers():
        assert torch.isfinite(value).all(), name
    assert counts.shape == trials.counts.shape
    assert counts.min() >= 0
    assert counts.max() <= 100 * max(1, int(trials.counts.max()))
    assert not torch.isnan(log_prob).any()
