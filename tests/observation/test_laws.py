"""Laws of all observation models: sampling in pieces and batches, means, probabilities, gradients, files."""

import numpy as np
import pytest
import torch

from spikeloom.observation.history import SpikeHistory
from spikeloom.observation.model import ObservationModel
from spikeloom.observation.noise import SharedNoise
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.regular import Regular
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

NEURONS = 4
PUBLISHED = SpikeHistory(basis="bins", logarithmic=True, ceiling=5)
KINDS = {
    "Poisson": (Poisson(), None, None),
    "Poisson, exp": (Poisson("exp"), None, None),
    "Refractory": (Refractory(), None, None),
    "Refractory, exp": (Refractory("exp"), None, None),
    "Regular": (Regular(), None, None),
    "history": (Refractory(), SpikeHistory(), None),
    "history of Regular": (Regular(), SpikeHistory(), None),
    "history, published": (Poisson(), PUBLISHED, None),
    "noise": (Refractory(), SpikeHistory(), SharedNoise()),
    "noise without history": (Poisson(), None, SharedNoise(rank=2)),
}
"""Counts, history and noise: every slot with every other, or empty."""


def made(name: str, bin_width: float = 0.005) -> ObservationModel:
    """An observation model that is built and not fitted."""
    model = ObservationModel(*KINDS[name])
    model.build(NEURONS, bin_width)
    return model


def streams(trials) -> Streams:
    return Streams(3, Purpose.SPIKES, 0, trials)


def spoken(name: str) -> ObservationModel:
    """Return a model with statistics that differ from the initial ones."""
    model = made(name)
    lag, gen = torch.arange(1, 21)[:, None], torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, Refractory):
                part.q.copy_(torch.tensor([0.0, 0.3, 0.7, 0.5]))
            if isinstance(part, Regular):
                part.share.copy_(torch.tensor([0.0, 0.3, 1.0, 0.5]))
            if isinstance(part, SpikeHistory):
                shape = -2 * torch.exp(-lag / 2) + 0.4 * torch.exp(-((lag - 9) ** 2) / 8)
                part.filters.copy_(shape * torch.tensor([1.0, 0.5, 1.0, 0.0]))
            if isinstance(part, SharedNoise):
                part.weights.copy_(0.3 * torch.randn(part.weights.shape, generator=gen))
    return model


def drives(model: ObservationModel, trials: int = 5, time: int = 40) -> torch.Tensor:
    gen = torch.Generator().manual_seed(0)
    return model.drive(0.2 * torch.exp(torch.randn(trials, time, NEURONS, generator=gen)))


@pytest.mark.parametrize("name", KINDS)
def test_a_trials_spikes_do_not_depend_on_its_batch_or_on_later_bins(name):
    model = spoken(name)
    drive = drives(model)
    together = model.sample(drive, streams(range(5)))
    np.testing.assert_array_equal(model.sample(drive[3:4, :17], streams([3]))[0], together[3, :17])
    assert not np.array_equal(model.sample(drive[3:4], streams([4]))[0], together[3])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("pieces", [(13, 1, 26), (1, 1, 1, 37), (20, 20)])
def test_pieces_are_those_of_the_whole(name, pieces):
    """Recent counts and recent noise continue across a border, bit for bit."""
    model = spoken(name)
    course = model.begin(streams(range(5)))
    drive = drives(model)
    parts = [course.advance(model.rates(part).numpy()) for part in drive.split(pieces, 1)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), model.sample(drive, streams(range(5))))


@pytest.mark.parametrize("name", KINDS)
def test_unfitted_it_is_the_plain_model(name):
    model = made(name)
    drive = drives(model)
    counts, rates = torch.randint(0, 4, drive.shape).float(), model.rates(drive)
    torch.testing.assert_close(model.log_prob(counts, drive), model.plain.log_prob(counts, rates), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(rates, model.plain.rates(drive))


@pytest.mark.parametrize("name", KINDS)
def test_probabilities_add_up_to_one_and_are_those_of_the_samples(name):
    """First bins, which have no past: P(count = k) summed over k, and against 20,000 trials."""
    model = spoken(name)
    rates = torch.tensor([0.05, 0.3, 1.0, 2.0])
    drive = model.drive(rates).expand(20_000, 1, NEURONS)
    chance = np.stack([model.log_prob(torch.full((1, 1, NEURONS), float(k)), drive[:1]).exp()[0, 0] for k in range(80)])
    np.testing.assert_allclose(chance.sum(0), 1, atol=2e-4)  # the noise is averaged on nine nodes
    result = model.sample(drive, streams(range(20_000)))[:, 0]
    for k in range(5):
        sd = np.sqrt(chance[k] * (1 - chance[k]) / 20_000)
        assert (np.abs((result == k).mean(0) - chance[k]) < 4.5 * sd + 1e-3).all()  # 140 comparisons in all


@pytest.mark.parametrize("name", [name for name, (_, history, _) in KINDS.items() if history is None])
def test_rates_are_mean_counts(name):
    """Without history the mean is exact; with history `fit` matches it."""
    model = spoken(name)
    rates = torch.tensor([0.05, 0.3, 1.0, 3.0])
    counts = model.sample(model.drive(rates).expand(400, 50, NEURONS), streams(range(400)))
    mean = counts.mean(1)
    error = mean.std(0) / np.sqrt(400)  # bins of a trial share slow noise
    assert (np.abs(mean.mean(0) - rates.numpy()) < 4.5 * error).all()


@pytest.mark.parametrize("name", KINDS)
def test_the_drive_gets_a_gradient(name):
    model = spoken(name)
    drive = drives(model).requires_grad_()
    model.log_prob(torch.ones(drive.shape), drive).sum().backward()
    assert drive.grad.isfinite().all()
    assert (drive.grad != 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_extreme_drives_stay_finite(name):
    model = spoken(name)
    drive = torch.full((1, 3, NEURONS), -1e4)
    drive[:, 1] = 1e4
    for k in (0.0, 3.0):
        assert model.log_prob(torch.full(drive.shape, k), drive).isfinite().all()
    assert model.sample(drive, streams([0])).min() >= 0


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bin_width", [0.005, 0.05])
def test_fitting_again_finds_the_same_and_files_keep_it(name, bin_width):
    rng = np.random.default_rng(0)
    rates = 0.2 * np.exp(0.5 * rng.normal(size=(12, 30, NEURONS))).astype(np.float32)
    trials = Trials(rng.poisson(rates), bin_width, lengths=rng.integers(15, 31, 12))
    model, other = made(name, bin_width), made(name, bin_width)
    for _ in range(2):
        model.fit(trials, rates, seed=4)
        state = {key: value.clone() for key, value in model.state_dict().items()}
        other.load_state_dict(state)
    other.fit(trials, rates, seed=4)
    for key, value in model.state_dict().items():
        assert value.isfinite().all()
        assert torch.equal(value, other.state_dict()[key])


@pytest.mark.parametrize("name", KINDS)
def test_padding_is_not_seen(name):
    rng = np.random.default_rng(1)
    rates = 0.3 * np.exp(0.5 * rng.normal(size=(30, 24, NEURONS))).astype(np.float32)
    trials = Trials(rng.poisson(rates), 0.005, lengths=rng.integers(8, 25, 30))
    result = []
    for garbage in (0.1, 3.0):
        model = made(name)
        model.fit(trials, np.where(trials.mask[..., None], rates, np.float32(garbage)), seed=0)
        result.append(model.state_dict())
    for key, value in result[0].items():
        torch.testing.assert_close(value, result[1][key], rtol=1e-4, atol=1e-5)


def test_a_model_keeps_copies_of_its_slots():
    """Two models of the same objects do not share statistics."""
    history = SpikeHistory()
    models = [ObservationModel(Poisson(), history, None) for _ in range(2)]
    for model in models:
        model.build(NEURONS, 0.005)
    models[0].history.filters.fill_(1.0)
    assert not models[1].history.filters.any()
    assert not hasattr(history, "filters")


@pytest.mark.parametrize("name", KINDS)
def test_a_distribution_of_one_neuron_is_that_of_the_neuron_among_others(name):
    model = spoken(name)
    rates = model.rates(drives(model))
    counts = torch.randint(0, 3, rates.shape).float()
    for neuron in range(NEURONS):
        single = model.counts.of(torch.tensor([neuron])).log_prob(counts[..., [neuron]], rates[..., [neuron]])
        torch.testing.assert_close(single, model.counts.log_prob(counts, rates)[..., [neuron]])


def test_the_likelihood_of_independent_counts_is_the_sum_of_their_probabilities():
    model = made("history")
    drive, counts = drives(model), torch.randint(0, 3, (5, 40, NEURONS))
    total = model.log_likelihood(counts.float(), drive, streams(range(5)))
    torch.testing.assert_close(total, model.log_prob(counts.double(), drive.double()).sum(2))
