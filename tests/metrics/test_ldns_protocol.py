"""The published protocol against a slow and literal one."""

import numpy as np
import pytest
from scipy import stats

from spikeloom.errors import SettingError
from spikeloom.metrics.ldns_protocol import Score, count_density, ldns_protocol
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials


def literal(real, fake, bin_width):
    """METHODS 5.1, line by line, for arrays without padding."""
    top = max(real.sum(2).max(), fake.sum(2).max())
    p, q = (stats.gaussian_kde(x.sum(2).ravel().astype(float))(np.arange(top + 1)) for x in (fake, real))
    p, q = p / p.sum(), q / q.sum()
    a, b = (np.tril(np.corrcoef(x.reshape(-1, x.shape[2]).T), -1) for x in (fake, real))
    moments = []
    for x in (fake, real):
        pooled = []
        for neuron in range(x.shape[2]):
            result = []
            for trial in x[:, :, neuron]:
                times = [t + (j + 1) / (c + 1) for t, c in enumerate(trial) for j in range(c)]
                result += list(np.diff(times) * bin_width)
            pooled.append((np.mean(result), np.std(result)))
        moments.append(np.array(pooled))
    off = np.sqrt(np.mean((moments[0] - moments[1]) ** 2, axis=0))
    return np.sum(p * np.log(p / q)), np.sqrt(np.mean((a - b) ** 2)), off[0], off[1]


def test_protocol_is_the_literal_one(make):
    real, fake = make(trials=15, time=40, neurons=5, seed=1), make(trials=12, time=40, neurons=5, seed=2)
    result = ldns_protocol(real, fake, seed=3)
    assert list(result) == ["population_count_kl", "correlation_rmse", "mean_isi_rmse", "std_isi_rmse"]
    rng, rows = generator(3, int(Purpose.EVALUATE), 3), []
    tops = max(real.counts.sum(2).max(), fake.counts.sum(2).max())
    for _ in range(5):
        resample = fake.counts[rng.integers(12, size=12)]
        rows.append(literal(np.array(real.counts), resample, 0.005))
        # the histogram ends at the largest count of both sets, whether or not the resample holds it
        p, q = (
            stats.gaussian_kde(x.sum(2).ravel().astype(float))(np.arange(tops + 1)) for x in (resample, real.counts)
        )
        p, q = p / p.sum(), q / q.sum()
        rows[-1] = (np.sum(p * np.log(p / q)), *rows[-1][1:])
    for score, column in zip(result.values(), zip(*rows, strict=True), strict=True):
        assert score.value == pytest.approx(np.mean(column), rel=1e-6)
        assert score.sd == pytest.approx(np.std(column), rel=1e-5)


def test_density_is_scipys():
    counts = np.random.default_rng(0).poisson(6, 500)
    expected = stats.gaussian_kde(counts.astype(float))(np.arange(30))
    result = count_density(np.bincount(counts), top=29)
    np.testing.assert_allclose(result, expected / expected.sum(), rtol=1e-9)
    np.testing.assert_array_equal(count_density(np.array([0, 0, 4]), top=3), [0, 0, 1, 0])


def test_the_zero_triangle_shrinks_the_rmse(make):
    """Independent neurons: sqrt(2 / n) sqrt((N - 1) / (2 N)), and one more 1 / n from the resampling."""
    rng = np.random.default_rng(0)
    a, b = (Trials(rng.poisson(0.2, (50, 100, 30)), 0.005) for _ in range(2))
    expected = np.sqrt(3 / 5000) * np.sqrt(29 / 60)
    assert ldns_protocol(a, b)["correlation_rmse"].value == pytest.approx(expected, rel=0.1)


def test_cap_lengths_silence_and_settings(make):
    real, fake = make(ragged=True, seed=1), make(ragged=True, seed=2)
    capped = ldns_protocol(real, fake, cap=1)
    ones = [Trials(np.minimum(t.counts, 1), 0.005, lengths=t.lengths) for t in (real, fake)]
    assert capped == ldns_protocol(*ones)
    wide, plain = ldns_protocol(real, fake, largest=200), ldns_protocol(real, fake)
    assert wide["population_count_kl"].value == pytest.approx(plain["population_count_kl"].value, rel=0.01)
    silent = Trials(np.zeros_like(real.counts), 0.005, lengths=real.lengths)
    assert ldns_protocol(real, silent)["mean_isi_rmse"] == Score(None, None)
    with pytest.raises(SettingError, match="at least one resample"):
        ldns_protocol(real, fake, resamples=0)
