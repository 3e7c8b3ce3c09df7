"""The quiz holds recorded and generated trials and keeps its score; the classifier has a floor."""

import numpy as np

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
