"""Perfect, copying, shuffled and baseline generators of the reach recording get the right verdicts.

Files of 364 trials (train and test halves of the recording); the halves that are compared hold about 180.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikeloom.evaluation.baselines import poisson_psth
from spikeloom.evaluation.evaluate import panel_rows
from spikeloom.evaluation.recorded import RecordedHalves
from spikeloom.metrics.memorisation import Memorisation, memorisation
from spikeloom.metrics.pair import Pair
from spikeloom.report.rows import Row
from spikeloom.trials import Trials

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def halves(recordings: Callable[[str], Path]) -> tuple[Trials, Trials]:
    """Train and test half of the recording, 5 ms bins, 97 neurons."""
    with np.load(recordings("shenoy_delayed_reach_train.npz")) as file:
        counts = np.zeros((728, 140, int(file["n_units"])), np.uint8)
        np.add.at(counts, (file["spk_trial"], file["spk_ms"] // 5, file["spk_unit"]), 1)
        angle = file["trial_angle_deg"].astype(float)
    return Trials(counts, 0.005, conditions={"angle_deg": angle}, source="reach").split(0.5, seed=0)


@pytest.fixture(scope="module")
def bench(halves: tuple[Trials, Trials]) -> RecordedHalves:
    train, test = halves
    return RecordedHalves.build(test, fakes={"train": train}, reference=train, splits=3)


def rows(bench: RecordedHalves, fake: Trials) -> dict[str, Row]:
    return {row.metric.name: row for row in panel_rows(bench, {"fake": bench.judge(fake)})}


def test_a_perfect_generator_is_at_every_floor_and_remembers_nothing(halves: tuple[Trials, Trials]) -> None:
    train, test = halves
    perfect, seen = train.split(0.5, seed=3)  # recorded trials that are in no other set
    result = rows(RecordedHalves.build(test, fakes={"perfect": perfect}, reference=seen, splits=3), perfect)
    for name, row in result.items():
        if row.value is None:
            assert name == "decode_back"  # these trials carry no behaviour
            continue
        # a random half is itself one draw: four standard deviations, or nearly all of the way
        room = 4 * np.hypot(row.floor_sd or 0.0, row.sd or 0.0)
        gap = row.metric.distance(row.value) - row.metric.distance(row.floor)
        assert gap <= room + 1e-9 or (row.closed or 0) > 0.85, (name, row.value, row.floor, row.floor_sd)
    judged = [row for row in result.values() if row.closed is not None]
    assert sum(bool(row.at_floor) for row in judged) >= 0.85 * len(judged)
    verdict = memorisation(Pair(test, perfect, reference=seen))
    assert isinstance(verdict, Memorisation)
    assert verdict.level == "clean"


def test_training_trials_given_as_generated_are_found(halves: tuple[Trials, Trials], bench: RecordedHalves) -> None:
    train, test = halves
    verdict = memorisation(Pair(test, train, reference=train))
    assert isinstance(verdict, Memorisation)
    assert verdict.level == "copies"
    assert verdict.duplicates == len(train)
    assert (verdict.closest[:, 0] == verdict.closest[:, 1]).all()
    result = rows(bench, train)
    assert not result["duplicate_trials"].at_floor


def test_the_baseline_closes_next_to_nothing(halves: tuple[Trials, Trials], bench: RecordedHalves) -> None:
    train, test = halves
    result = rows(bench, poisson_psth(train, test, seed=99))
    shares = {name: row.closed for name, row in result.items() if row.closed is not None}
    assert len(shares) >= 25
    assert abs(np.median(list(shares.values()))) < 0.05
    for name in ("population_count_kl", "noise_correlation_r", "fano_median_ratio", "pairwise_correlation_r"):
        assert shares[name] == pytest.approx(0, abs=0.15), name
        assert not result[name].at_floor


def test_shuffled_neurons_are_noticed(halves: tuple[Trials, Trials], bench: RecordedHalves) -> None:
    train, _ = halves
    result = rows(bench, train.select_neurons(np.random.default_rng(0).permutation(train.n_neurons)))
    for name in ("mean_rate_r", "psth_r", "isi_mean_r", "pairwise_correlation_r", "noise_correlation_r"):
        assert not result[name].at_floor, name
        assert result[name].value < 0.5
    assert result["population_count_kl"].at_floor  # the sum over neurons does not know their order
