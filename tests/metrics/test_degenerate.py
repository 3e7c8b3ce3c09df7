"""Data without variance, with one trial, neuron or bin, or with huge counts: a correct number, or a reason."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from spikeloom.evaluation import baselines
from spikeloom.evaluation.recorded import RecordedHalves
from spikeloom.metrics.interval_sums import interval_sums
from spikeloom.metrics.ldns_protocol import count_density, ldns_protocol
from spikeloom.metrics.panel import METRICS, measure
from spikeloom.metrics.statistics import Statistics
from spikeloom.trials import Trials


def made(counts: np.ndarray, *, lengths: np.ndarray | None = None, bin_width: float = 0.01, side: str = "") -> Trials:
    """Trials of these counts, with a direction, a name and a hand velocity."""
    trials, time, _ = counts.shape
    rng = np.random.default_rng(trials + time)
    return Trials(
        counts,
        bin_width,
        lengths=np.full(trials, time) if lengths is None else lengths,
        conditions={"angle_deg": np.arange(trials) % 4 * 90.0},
        behavior={"hand_velocity": rng.normal(size=(trials, time, 2))},
        units={"hand_velocity": "m/s"},
        source=side,
    )


def poisson(rate: float, *, trials: int = 48, time: int = 20, neurons: int = 6) -> Callable[[int], Trials]:
    """Function from a seed to trials of independent Poisson counts."""
    return lambda seed: made(np.random.default_rng(seed).poisson(rate, (trials, time, neurons)))


def with_condition(values: list) -> Callable[[int], Trials]:
    """Function from a seed to trials whose only condition has these values in turn."""

    def make(seed: int) -> Trials:
        counts = np.random.default_rng(seed).poisson(0.4, (48, 20, 6))
        column = np.array([values[row % len(values)] for row in range(48)])
        return Trials(counts, 0.01, conditions={"side": column})

    return make


def with_behavior(value: float, dims: int) -> Callable[[int], Trials]:
    """Function from a seed to trials with a series that always has this value."""

    def make(seed: int) -> Trials:
        counts = np.random.default_rng(seed).poisson(0.4, (48, 20, 6))
        return Trials(counts, 0.01, behavior={"still": np.full((48, 20, dims), value)})

    return make


def unequal(seed: int) -> Trials:
    """One trial a hundred times as long as the others."""
    rng = np.random.default_rng(seed)
    lengths = np.r_[np.full(31, 10), 1000]
    counts = rng.poisson(0.4, (32, 1000, 4)) * (np.arange(1000)[None, :, None] < lengths[:, None, None])
    return made(counts, lengths=lengths)


def partly_silent(seed: int) -> Trials:
    """Trials in which all neurons but one are silent."""
    counts = np.random.default_rng(seed).poisson(1.0, (48, 20, 6))
    counts[:, :, 1:] = 0
    return made(counts)


def burst(seed: int) -> Trials:
    """Silence but for one bin with a count that needs 32 bits."""
    counts = np.zeros((24, 20, 4), np.int64)
    counts[seed, 3, 1] = 100_000
    return made(counts)


DATA: dict[str, Callable[[int], Trials]] = {
    "constant": lambda seed: made(np.ones((48, 20, 6), int)),
    "constant, hundreds": lambda seed: made(np.full((48, 20, 6), 300 + seed)),
    "silent": lambda seed: made(np.zeros((48, 20, 6), int)),
    "all but one neuron silent": partly_silent,
    "one trial": poisson(0.5, trials=1, time=400),
    "two trials": poisson(0.5, trials=2),
    "one neuron": poisson(0.5, neurons=1),
    "two neurons": poisson(0.5, neurons=2),
    "one bin": poisson(2.0, time=1),
    "two bins": poisson(2.0, time=2),
    "one of everything": poisson(3.0, trials=1, time=1, neurons=1),
    "hundreds per bin": poisson(400.0),
    "tens of thousands per bin": poisson(30_000.0, time=12),
    "one spike in all": lambda seed: made((np.arange(48 * 20 * 6) == 7 + seed).reshape(48, 20, 6).astype(int)),
    "one huge count": burst,
    "one trial much longer": unequal,
    "one condition": with_condition([3.0]),
    "a condition for each trial": with_condition(list(range(48))),
    "a condition with one trial": with_condition([0] * 24 + [1] * 23 + [2]),
    "conditions without a value": with_condition([np.nan]),
    "names, some missing": with_condition(["left", "right", ""]),
    "behaviour without a value": with_behavior(np.nan, 2),
    "behaviour that never changes": with_behavior(1.5, 1),
    "bins of one second": lambda seed: made(np.random.default_rng(seed).poisson(9.0, (48, 20, 6)), bin_width=1.0),
    "bins of a microsecond": lambda seed: made(np.random.default_rng(seed).poisson(0.1, (48, 20, 6)), bin_width=1e-6),
}


def judged(real: Trials, fake: Trials, reference: Trials | None) -> None:
    """Measure the panel: every metric has a finite value, or none and a reason."""
    results = measure(real, fake, reference=reference)
    for metric in METRICS:
        result = results[metric.name]
        if result.value is None:
            assert len(result.note) > 10, metric.name
            assert "nan" not in result.note, metric.name
        else:
            assert np.isfinite(result.value), metric.name


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("against", ["the same kind", "ordinary trials"])
def test_every_metric_has_a_value_or_a_reason(name: str, against: str) -> None:
    make = DATA[name]
    real, reference = make(1), make(3)
    fake = make(2)
    if against == "ordinary trials":
        shape = real.counts.shape
        counts = np.random.default_rng(9).poisson(0.5, shape)
        fake = Trials(counts, real.bin_width, conditions=dict(real.conditions), behavior=dict(real.behavior))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judged(real, fake, reference if against == "the same kind" else None)
        if against == "ordinary trials":
            judged(fake, real, reference)


@pytest.mark.parametrize("name", DATA)
def test_baselines_have_the_mean_of_what_they_imitate(name: str) -> None:
    make = DATA[name]
    real, reference = make(1), make(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for trials in (baselines.homogeneous_poisson(reference, real), baselines.poisson_psth(reference, real)):
            assert trials.counts.shape == real.counts.shape
            bins = reference.mask.sum()
            mean = reference.counts.sum() / (bins * reference.n_neurons)
            got = trials.counts.sum() / (trials.mask.sum() * trials.n_neurons)
            room = 6 * np.sqrt(mean / (trials.mask.sum() * trials.n_neurons)) + 0.05 * mean
            if len(real) > 20 and name != "one huge count":
                assert abs(got - mean) <= room + 1e-9


@pytest.mark.parametrize("name", DATA)
def test_the_published_protocol_has_numbers_or_none(name: str) -> None:
    real, fake = DATA[name](1), DATA[name](2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for score in ldns_protocol(real, fake).values():
            assert score.value is None or np.isfinite(score.value)


@pytest.mark.parametrize("name", [name for name in DATA if len(DATA[name](1)) >= 8])
def test_recorded_halves_can_be_built(name: str) -> None:
    real, fake = DATA[name](1), DATA[name](2)
    cheap = [metric for metric in METRICS if metric.group not in ("distance", "memorisation")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        halves = RecordedHalves.build(real, fakes={"fake": fake}, splits=2, metrics=cheap, progress=False)
    assert len(halves.generated["fake"]) == 2


@pytest.mark.parametrize("rate", [0.3, 300.0, 30_000.0])
def test_correlations_are_exact_for_counts_of_any_size(rate: float) -> None:
    rng = np.random.default_rng(0)
    gain = np.exp(rng.normal(0, 0.01, (40, 30, 1)))
    trials = Trials(rng.poisson(rate * gain * np.ones(4)), 0.02)
    statistics = Statistics(trials, np.zeros(40, int), conditions=1, window=30)
    expected = np.corrcoef(trials.counts.reshape(-1, 4).astype(float).T)
    np.testing.assert_allclose(statistics.correlation, expected, atol=1e-9)


def test_sums_of_huge_counts_do_not_overflow() -> None:
    trials = Trials(np.full((2, 3000, 2), 1_000_000), 0.02)
    statistics = Statistics(trials, np.zeros(2, int), conditions=1, window=3000)
    assert statistics.totals.tolist() == [6_000_000_000] * 2
    assert statistics.trial_counts.tolist() == [[3e9, 3e9]] * 2


def test_intervals_of_many_spikes_are_those_laid_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).poisson(1.5, (5, 30, 4)).astype(np.uint8)
    one_by_one = interval_sums(counts, 0.01, spread=True)
    monkeypatch.setattr("spikeloom.metrics.interval_sums.MOST_SPIKES", 0)
    summed = interval_sums(counts, 0.01, spread=True)
    for name in ("number", "total", "squares"):
        np.testing.assert_allclose(getattr(summed, name), getattr(one_by_one, name), rtol=1e-9, atol=1e-12)


def test_density_of_large_counts_is_that_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    histogram = np.random.default_rng(0).poisson(2.0, 300).astype(float)
    full = count_density(histogram, top=400)
    monkeypatch.setattr("spikeloom.metrics.ldns_protocol.MOST_COUNTS", 10)
    monkeypatch.setattr("spikeloom.metrics.ldns_protocol.MOST_CELLS", 1000)
    np.testing.assert_allclose(count_density(histogram, top=400), full, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("rate", [150.0, 4000.0])
def test_large_baseline_counts_are_poisson(rate: float) -> None:
    like = Trials(np.full((40, 50, 2), int(rate)), 0.01)
    counts = baselines.homogeneous_poisson(like, like, seed=3).counts.astype(float)
    assert abs(counts.mean() / rate - 1) < 5 / np.sqrt(rate * counts.size)
    assert abs(counts.var() / rate - 1) < 0.12  # 4,000 counts: sd of the variance 2 %
