"""Spikes from given rates have the history and shared noise of recorded trials; Poisson counts have not."""

import numpy as np
import pytest
import torch

import spikeloom as sl
from spikeloom.errors import DataError, ShapeError
from spikeloom.observation import ObservationModel, Poisson, Refractory
from spikeloom.seeds import Purpose, Streams
from spikeloom.trials import Trials

NEURONS = 4


def session(trials: int = 120, seed: int = 0) -> tuple[Trials, np.ndarray]:
    """Recorded trials of different lengths whose neurons do not fire in consecutive bins, and their true rates."""
    rng = np.random.default_rng(seed)
    rates = (0.25 * np.exp(0.4 * rng.normal(size=(trials, 60, NEURONS)))).astype(np.float32)
    counts = np.zeros(rates.shape, int)
    for t in range(60):
        free = counts[:, t - 1] == 0 if t else True
        counts[:, t] = np.minimum(rng.poisson(1.4 * rates[:, t]), 1) * free
    lengths = rng.integers(40, 61, trials)
    return Trials(counts, 0.005, lengths=lengths, conditions={"side": np.arange(trials) % 2}), rates


def repeats(trials: Trials) -> float:
    """Fraction of spikes that the next bin's spike follows."""
    fired = trials.counts > 0
    return float((fired[:, 1:] & fired[:, :-1]).sum() / fired[:, :-1].sum())


def test_spikes_have_the_history_of_the_trials():
    trials, rates = session()
    fake = sl.spikes(rates, like=trials, seed=1)
    poisson = sl.spikes(rates, like=trials, observation=ObservationModel(Poisson(), None, None), seed=1)
    assert repeats(trials) == 0
    assert repeats(fake) < 0.06
    assert repeats(poisson) > 0.15
    assert (fake.counts > 1).mean() < 0.1 * (poisson.counts > 1).mean()
    np.testing.assert_array_equal(fake.lengths, trials.lengths)
    np.testing.assert_array_equal(fake.conditions["side"], trials.conditions["side"])
    np.testing.assert_allclose(fake.counts.sum((0, 1)), trials.counts.sum((0, 1)), rtol=0.1)  # 1,100 spikes each


def test_spikes_are_those_of_the_seed():
    trials, rates = session(40)
    model = ObservationModel(Refractory(), None, None)
    first, again, other = (sl.spikes(rates, like=trials, observation=model, seed=seed).counts for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not list(model.buffers())  # a copy was fitted


def test_rates_of_other_trials_get_the_moments_of_the_recorded_ones():
    """Other rates, other numbers of trials and bins: the model is fitted to the recorded ones and adapted."""
    trials, rates = session()
    other = np.full((300, 50, NEURONS), 0.25)
    fake = sl.spikes(other, like=trials, like_rates=rates, seed=2)
    assert fake.counts.shape == other.shape
    assert repeats(fake) < 0.06
    mean = trials.counts.sum((0, 1)) / trials.n_valid_bins
    np.testing.assert_allclose(fake.counts.mean((0, 1)), mean, rtol=0.1)


def test_padding_of_the_rates_is_not_read():
    trials, rates = session(30)
    rates[~trials.mask] = np.nan
    model = ObservationModel(noise=None)
    fake = sl.spikes(rates, like=trials, observation=model)
    again = sl.spikes(np.nan_to_num(rates, nan=3.0), like=trials, observation=model)
    np.testing.assert_array_equal(fake.counts, again.counts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rates: rates[:5], "as like_rates"),
        (lambda rates: rates.transpose(2, 1, 0), r"\(trial, time, neuron\)"),
        (lambda rates: -rates, "at least 0.*at trial 0, bin 0, neuron 0"),
        (lambda rates: np.where(rates == rates[2, 3, 1], np.nan, rates), "trial 2, bin 3, neuron 1"),
        (lambda rates: rates[0], "must have the shape"),
    ],
)
def test_wrong_rates_are_refused(change, message):
    trials, rates = session(20)
    with pytest.raises((ShapeError, DataError), match=message):
        sl.spikes(change(rates), like=trials)


def test_rates_of_other_neurons_are_refused():
    trials, rates = session(20)
    with pytest.raises(ShapeError, match="must have the shape"):
        sl.spikes(rates[:7, :, :2], like=trials, like_rates=rates)


def test_counts_are_those_of_the_models_own_sample():
    trials, rates = session(20)
    plain = ObservationModel(Poisson(), None, None)
    fake = sl.spikes(rates, like=trials, observation=plain, seed=5)
    masked = np.where(trials.mask[..., None], rates, 0).astype(np.float32)
    wanted = plain.sample(plain.drive(torch.from_numpy(masked)), Streams(5, Purpose.SPIKES, 0, range(20)))
    np.testing.assert_array_equal(fake.counts, np.where(trials.mask[..., None], wanted, 0))
