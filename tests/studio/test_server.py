"""Answers of a real server to honest requests."""

import numpy as np
import pytest

import spikeloom as sl
from tests.studio.conftest import STROKE, Served


def ask(served: Served, model: str, job: str, **body: object) -> dict:
    """Send a request and return its answer."""
    answer = served.client.post(f"/api/models/{model}/{job}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts_of(spikes: list[list[int]], bins: int) -> np.ndarray:
    """Return counts (bin, neuron) of a raster."""
    return np.stack([np.bincount(np.array(column, int), minlength=bins) for column in spikes], 1)


def test_models_and_their_abilities(served):
    table = {one["id"]: one["abilities"] for one in served.client.get("/api/models").json()["models"]}
    able = {key: {name for name, flag in flags.items() if flag} for key, flags in table.items()}
    assert able == {
        "draw": {"draw", "compare"},
        "turn": {"turn", "compare"},
        "codes": {"traverse", "compare"},
        "live": {"draw", "live", "compare"},
    }


def test_details_describe_the_training_trials(served, recorded):
    details = served.client.get("/api/models/draw").json()
    assert details["id"] == "draw"
    assert details["bin_width"] == recorded.bin_width
    assert (details["bins"], details["neurons"]) == (recorded.n_bins, recorded.n_neurons)
    assert sorted(details["neuron_order"]) == list(range(recorded.n_neurons))
    assert details["training"] == {"trials": len(recorded)}
    assert details["path_unit"] == "m"
    assert 0 < len(details["training_paths"]) <= 60
    xmin, xmax, ymin, ymax = details["extent"]
    inside = [xmin < x < xmax and ymin < y < ymax for path in details["training_paths"] for x, y in path]
    assert np.mean(inside) > 0.98
    assert details["conditions"][0]["kind"] == "series"


def test_details_of_directions_hold_recorded_psths(served, recorded):
    details = served.client.get("/api/models/turn").json()
    levels = details["conditions"][0]["levels"]
    assert levels == [45.0 * k for k in range(8)]
    rows = recorded.conditions["angle_deg"] == 90
    mean = recorded.counts[rows].mean((0, 1)) / recorded.bin_width
    np.testing.assert_allclose(np.mean(details["recorded_psth"][2], axis=1), mean, rtol=0.05, atol=0.3)


def test_a_stroke_gives_the_spikes_that_python_gives(served):
    answer = ask(served, "draw", "draw", points=STROKE, draws=3, seed=5)
    again = ask(served, "draw", "draw", points=STROKE, draws=3, seed=5)
    assert answer == again
    path = np.array(answer["path"])
    model = sl.load_model(served.folder / "draw")
    from spikeloom.studio.strokes import read_stroke

    velocity = read_stroke(STROKE, bin_width=0.02, smooth=True).velocity
    assert len(path) == answer["bins"] == len(velocity)
    fake = model.sample(3, n_bins=40, condition={"hand_velocity": velocity}, seed=5, progress=False)
    for k, draw in enumerate(answer["draws"]):
        np.testing.assert_array_equal(counts_of(draw["spikes"], 40), fake.counts[k])
        np.testing.assert_allclose(draw["rate"], fake.counts[k].mean(1) / 0.02, atol=1e-2)
        assert len(draw["decoded"]) == 40
        assert draw["r2"] <= 1
    other = ask(served, "draw", "draw", points=STROKE, draws=3, seed=6)
    assert other["draws"][0]["spikes"] != answer["draws"][0]["spikes"]


def test_a_direction_gives_trials_psth_and_fano(served, recorded):
    answer = ask(served, "turn", "turn", condition={"angle_deg": 50.0}, draws=12, seed=2)
    assert answer["nearest_level"] == 45
    assert len(answer["draws"]) == 8
    model = sl.load_model(served.folder / "turn")
    fake = model.sample(12, n_bins=40, condition={"angle_deg": 50.0}, seed=2, progress=False)
    np.testing.assert_array_equal(counts_of(answer["draws"][3]["spikes"], 40), fake.counts[3])
    total = fake.counts.sum(1, dtype=float)
    expected = np.divide(total.var(0, ddof=1), total.mean(0), out=np.zeros(12), where=total.mean(0) > 0)
    for value, number in zip(answer["fano"]["generated"], expected, strict=True):
        assert value is None or value == pytest.approx(number, abs=1e-3)
    assert np.shape(answer["psth"]) == np.shape(answer["recorded_psth"]) == (12, 40)


def test_a_code_moves_with_its_variables(served, recorded):
    still = ask(served, "codes", "traverse", values={}, seed=3)
    moved = ask(served, "codes", "traverse", values={"target_x": 0.08}, seed=3)
    assert moved["values"]["target_x"] == 0.08
    assert moved["nearest_training_distance"] > 0
    assert still["spikes"] != moved["spikes"]
    reset = ask(served, "codes", "traverse", reset_to_trial=7)
    assert reset["values"]["target_x"] == pytest.approx(recorded.conditions["target_x"][7])
    assert reset["nearest_training_distance"] == pytest.approx(0, abs=1e-3)


def test_a_moved_code_comes_with_the_rates_of_its_start(served):
    reset = ask(served, "codes", "traverse", reset_to_trial=7, seed=3)["rates"]
    assert reset["start_hz"] == reset["hz"]
    start = dict(zip(reset["neurons"], reset["hz"], strict=True))
    rates = ask(served, "codes", "traverse", trial=7, values={"target_x": 0.08}, seed=3)["rates"]
    for neuron, before in zip(rates["neurons"], rates["start_hz"], strict=True):
        np.testing.assert_allclose(before, start[neuron], atol=2e-3)
    change = np.abs(np.subtract(rates["hz"], rates["start_hz"])).mean(1)
    assert change[0] > 0
    assert (np.diff(change) <= 2e-3).all()
    assert ask(served, "codes", "traverse", values={"target_x": 0.08})["rates"]["start_hz"] is None


def test_every_answer_has_its_headers(served):
    for path in ("/", "/api/models", "/api/models/none", "/static/none.js"):
        headers = served.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
