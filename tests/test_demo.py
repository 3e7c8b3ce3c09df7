"""A tiny demo: it writes data, model and report, prints each step as a command, and resumes."""

import json

import numpy as np

from spikeloom import cli, demo
from spikeloom.cli import conditions
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.recipe import read_recipe
from spikeloom.simulate.reaching_task import reaching
from spikeloom.trials import Trials


def test_demo_leaves_a_report_and_says_what_it_did(tmp_path, monkeypatch):
    for name, size in {"TRIALS": 120, "NEURONS": 6}.items():
        monkeypatch.setattr(demo, name, size)
    quick = {
        "ldns-demo": ["autoencoder_plan.updates=3", "diffusion_plan.updates=3", "autoencoder_settings.blocks=1"],
        "gnocchi-demo": ["plan.updates=3", "network_settings.width=16"],
    }
    monkeypatch.setattr(demo, "read_recipe", lambda name: read_recipe(name, quick[name]))
    said = []
    page = demo.demo(tmp_path / "demo", seed=0, say=said.append)
    assert page == tmp_path / "demo" / "report.html"
    text = page.read_text()
    assert all(f'id="figure-traversal-units-{along}"' in text for along in ("target_x", "target_y"))
    assert "Drawn: a circle" in text
    assert "network evaluations per sample" in text
    assert json.loads((page.parent / "metrics.json").read_text())["format"] == "spikeloom-metrics"
    steps = [line.split()[2] for line in said if line.startswith("$ spikeloom ")]
    assert steps == ["simulate", "split", "fit", "sample", "sample", "fit", "traverse", "traverse", "evaluate"]
    expected = {command.name for command in cli.app.registered_commands} | {"simulate"}
    assert set(steps) <= expected
    parts = [Trials.load(tmp_path / "demo" / name) for name in ("reaching.h5", "train.h5", "test.h5", "fake.h5")]
    assert [len(part) for part in parts] == [120, 84, 36, 36]
    traversal = Trials.load(tmp_path / "demo" / "target_x.h5")
    assert len(traversal) == 5 * 36


def test_the_circle_is_the_one_in_the_file(tmp_path):
    """The demo samples with the path that its command would read from circle.csv."""
    request = {}
    model = read_recipe("ldns-tiny").build(4)
    model.sample = lambda _trials, **how: request.update(how) or reaching(1)
    demo._circle(tmp_path, model, tmp_path, 0, lambda _line: None)
    velocity = NamedCondition("hand_velocity", "continuous", per_bin=True, size=2, unit="m/s")
    read = conditions._drawn_path(tmp_path / "circle.csv", velocity, 0.02, None)
    np.testing.assert_allclose(request["condition"]["hand_velocity"], read, atol=1e-6)
    speed = np.linalg.norm(read, axis=1)
    assert max(speed[0], speed[-1]) < 0.2 * speed.max()  # the hand speeds up and slows down, as in training
    np.testing.assert_allclose(read.sum(0) * 0.02, 0, atol=1e-3)  # and returns to its start
