"""Baselines have the required rates and no other structure."""

import numpy as np
import pytest
from scipy import stats

from spikeloom.evaluation import baselines
from spikeloom.trials import Trials


def test_homogeneous_poisson_is_poisson():
    reference = Trials(np.full((4, 10, 1), 2), 0.01)
    like = Trials(np.zeros((200, 50, 1), int), 0.01)
    counts = baselines.homogeneous_poisson(reference, like, seed=1).counts.ravel()
    observed = np.bincount(np.minimum(counts, 7), minlength=8)
    expected = np.append(stats.poisson.pmf(np.arange(7), 2), stats.poisson.sf(6, 2)) * counts.size
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_psth_poisson_follows_each_condition(make):
    reference, like = make(trials=800, seed=1), make(trials=800, seed=2)
    fake = baselines.poisson_psth(reference, like, seed=3)
    for angle in range(4):
        mean, expected = (t.counts[angle::4].sum(1).mean(0) for t in (fake, reference))
        # 200 trials: sd of a mean count sqrt(30 / 200) = 0.4; the reference has a gain as well
        np.testing.assert_allclose(mean, expected, atol=2.5)
    assert fake.source == "Poisson PSTH"
    np.testing.assert_array_equal(fake.conditions["angle_deg"], like.conditions["angle_deg"])


@pytest.mark.parametrize("baseline", [baselines.homogeneous_poisson, baselines.poisson_psth])
def test_baselines_copy_lengths_and_depend_on_the_seed_alone(make, baseline):
    reference, like = make(ragged=True, seed=1, time=40), make(ragged=True, seed=2, time=60)
    fake = baseline(reference, like, seed=4)
    np.testing.assert_array_equal(fake.lengths, like.lengths)
    assert not fake.counts[~fake.mask].any()
    np.testing.assert_array_equal(fake.counts, baseline(reference, like, seed=4).counts)
    assert (fake.counts != baseline(reference, like, seed=5).counts).any()
    subset = baseline(reference, like.select(slice(0, 8)), seed=4)
    np.testing.assert_array_equal(subset.counts[:, : subset.n_bins], fake.counts[:8, : subset.n_bins])


def test_silent_neurons_stay_silent_and_bare_trials_get_the_overall_mean(make):
    reference = make()
    counts = np.array(reference.counts)
    counts[:, :, 2] = 0
    quiet = Trials(counts, 0.005, conditions=dict(reference.conditions))
    fake = baselines.poisson_psth(quiet, Trials(reference.counts, 0.005))
    assert fake.counts[:, :, 2].sum() == 0
    assert fake.counts.mean() == pytest.approx(quiet.counts.mean(), rel=0.1)
