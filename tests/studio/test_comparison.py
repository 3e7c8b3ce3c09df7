"""A recorded trial stands beside generated ones; the quiz keeps its score; the classifier has a floor."""

import numpy as np

import spikeloom as sl
from tests.studio.test_server import ask, counts_of


def test_a_quiz_mixes_recorded_and_generated_trials(served, recorded):
    quiz = ask(served, "draw", "quiz", pairs=10, seed=1)
    assert len(quiz["pairs"]) == 10
    assert "recorded" not in quiz
    trials = {counts.tobytes() for counts in recorded.counts.astype(np.int64)}
    sides = []
    for pair in quiz["pairs"]:
        of_recording = [counts_of(pair[side]["spikes"], 40).tobytes() in trials for side in ("left", "right")]
        assert sum(of_recording) == 1
        sides.append("left" if of_recording[0] else "right")
    assert set(sides) == {"left", "right"}
    for k, side in enumerate(sides):
        answer = side if k < 6 else {"left": "right", "right": "left"}[side]
        reply = served.client.post(f"/api/quiz/{quiz['id']}/answer", json={"pair": k, "recorded": answer}).json()
        assert reply == {"correct": k < 6, "score": min(k + 1, 6), "answered": k + 1}
    again = served.client.post(f"/api/quiz/{quiz['id']}/answer", json={"pair": 0, "recorded": "left"})
    assert again.status_code == 422


def test_equal_seeds_give_equal_quizzes(served):
    first, second = (ask(served, "codes", "quiz", pairs=3, seed=9) for _ in range(2))
    assert first["pairs"] == second["pairs"]
    assert first["id"] != second["id"]


def test_a_classifier_tells_a_poor_model_better_than_chance(served):
    result = served.client.get("/api/models/draw/classifier").json()
    assert result["trials"] == 60
    assert 0.25 < result["floor"] < 0.75
    assert 0.4 <= result["accuracy"] <= 1


def test_a_recorded_trial_stands_beside_trials_of_its_direction(served, recorded):
    pair = ask(served, "turn", "pair", trial=5, seed=2)
    np.testing.assert_array_equal(counts_of(pair["recorded"]["spikes"], 40), recorded.counts[5])
    direction = np.asarray(recorded.conditions["angle_deg"])
    same = np.flatnonzero(direction == direction[5])
    assert pair["condition"] == {"angle_deg": direction[5]}
    assert pair["recorded_trials"] == len(same) > 2
    assert pair["exact"]
    counts = recorded.counts[same].sum(1)
    np.testing.assert_allclose(pair["rates_hz"]["recorded"], recorded.counts[5].sum(0) / 0.8, atol=1e-3)
    expected = counts.var(0, ddof=1) / counts.mean(0)
    measured = np.array(pair["fano"]["recorded"], float)
    assert np.isfinite(measured).sum() > 6
    np.testing.assert_allclose(measured, np.where(np.isfinite(measured), expected, np.nan), atol=1e-3)
    model = sl.load_model(served.folder / "turn")
    fake = model.sample(20, n_bins=40, condition={"angle_deg": direction[5]}, seed=2, progress=False)
    drawn = [counts_of(one["spikes"], 40) for one in pair["draws"]]
    np.testing.assert_array_equal(drawn, fake.counts[:8])
    np.testing.assert_allclose(pair["rates_hz"]["generated"], fake.mean_rates_hz(), atol=1e-3)


def test_a_recorded_series_occurs_once(served, recorded):
    pair = ask(served, "draw", "pair", trial=3, draws=4, seed=1)
    assert (pair["recorded_trials"], pair["generated_trials"], len(pair["draws"])) == (1, 4, 4)
    assert pair["fano"]["recorded"] == [None] * 12
    fake = sl.load_model(served.folder / "draw").sample(
        like=recorded.select([3] * 4), condition=["hand_velocity"], seed=1, progress=False
    )
    np.testing.assert_array_equal([counts_of(one["spikes"], 40) for one in pair["draws"]], fake.counts)


def test_all_recorded_trials_are_alike_without_conditions(served):
    pair = ask(served, "codes", "pair", trial=119, draws=2, seed=1)
    assert (pair["condition"], pair["recorded_trials"], pair["trial"]) == ({}, 120, 119)
