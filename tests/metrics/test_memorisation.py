"""Copies are found, and new trials are not reported as copies."""

import numpy as np
import pytest

from spikeloom.metrics import memorisation as m
from spikeloom.metrics.pair import Pair
from spikeloom.trials import Trials


def test_a_perfect_generator_is_clean(make):
    train, test, fake = (make(trials=120, seed=seed) for seed in (1, 2, 3))
    outcome = m.memorisation(Pair(test, fake, reference=train))
    # sd of the share is about 0.05 with 120 trials
    assert outcome.share == pytest.approx(0.5, abs=0.2)
    assert outcome.quantile_ratio == pytest.approx(1, abs=0.25)
    assert outcome.duplicates == 0
    assert outcome.level == "clean"
    assert "No sign" in outcome.verdict


def test_the_spread_of_the_share_is_that_of_random_labels(make):
    """Real trials cut at random into training and held-out ones: the share varies as much as its sd says."""
    pool, fake = make(trials=120, seed=1), make(trials=100, seed=2)
    rng, shares, spreads = np.random.default_rng(0), [], []
    for _ in range(40):
        order = rng.permutation(120)
        outcome = m.memorisation(Pair(pool.select(order[60:]), fake, reference=pool.select(order[:60])))
        shares.append(outcome.share)
        spreads.append(outcome.share_sd)
    assert np.std(shares) / np.mean(spreads) == pytest.approx(1, abs=0.35)  # sd of an sd of 40: 11 %
    assert np.mean(spreads) > 0.5 / np.sqrt(100)  # some trials are nearest to many


def test_training_trials_are_found_and_named(make):
    train, test = make(trials=120, seed=1), make(trials=120, seed=2)
    fake = make(trials=120, seed=3).concatenate(train.select([17, 5]))
    outcome = m.memorisation(Pair(test, fake, reference=train))
    assert outcome.duplicates == 2
    assert outcome.level == "copies"
    assert {tuple(pair) for pair in outcome.closest[:2].tolist()} == {(120, 17), (121, 5)}
    np.testing.assert_allclose(outcome.closest_distance[:2], 0, atol=1e-5)
    full = Pair(test, train, reference=train)
    assert m.memorisation_share(full).value == 1
    assert m.memorisation_quantile_ratio(full).value < 0.01
    assert m.duplicate_trials(full).value == 120
    assert "copies" in m.memorisation(full).verdict


def test_the_closest_pairs_have_the_distances_of_their_trials(make):
    """A short generated trial is not compared, so the trials after it have other positions than numbers."""
    train, test, fake = (make(trials=120, seed=seed) for seed in (1, 2, 3))
    counts, lengths = np.array(fake.counts), np.array(fake.lengths)
    lengths[0] //= 2
    counts[0, lengths[0] :] = 0
    outcome = m.memorisation(Pair(test, Trials(counts, fake.bin_width, lengths=lengths), reference=train))
    position = outcome.closest[:, 0] - 1
    np.testing.assert_array_equal(outcome.closest_distance, outcome.to_training[position])
    np.testing.assert_array_equal(outcome.closest_to_held_out, outcome.to_held_out[position])


def test_noisy_copies_are_found(make):
    train, test = make(trials=120, seed=1, neurons=20), make(trials=120, seed=2, neurons=20)
    rng = np.random.default_rng(0)
    noisy = Trials(rng.binomial(train.counts, 0.95), 0.005)  # one spike in twenty is lost
    outcome = m.memorisation(Pair(test, noisy, reference=train))
    assert outcome.duplicates == 0
    assert outcome.share > 0.9
    assert outcome.level == "copies"


def test_swapped_files_are_noticed(make):
    train, test = make(trials=120, seed=1), make(trials=120, seed=2)
    assert m.memorisation(Pair(test, test, reference=train)).level == "swapped"


def test_duplicates_look_at_valid_bins_and_spikes_only():
    counts = np.zeros((3, 4, 2), np.uint8)
    counts[0, 0, 0] = counts[1, 0, 0] = 1
    train = Trials(counts[:1, :3], 0.01)
    fake = Trials(counts.astype(np.int64), 0.01, lengths=np.array([3, 4, 3]))
    copies = m.duplicate_trials(Pair(fake, fake, reference=train))
    np.testing.assert_array_equal(copies.detail["trial"], [0])
    assert m.duplicate_trials(Pair(fake, fake, reference=Trials(counts[2:], 0.01))).value == 0  # silence is no secret


def test_what_cannot_be_judged_is_said(make):
    trials = make()
    for measure in (m.memorisation_share, m.memorisation_quantile_ratio, m.duplicate_trials):
        assert "reference" in measure(Pair(trials, trials)).note
    few = trials.select(slice(0, 8))
    result = m.memorisation_share(Pair(few, few, reference=trials))
    assert result.value is None
    assert "20 trials" in result.note
