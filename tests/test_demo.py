"""The demo, made tiny: it leaves data, model and report, says each step as a command, and goes on where it was."""

import json

from spikeloom import cli, demo
from spikeloom.recipe import read_recipe
from spikeloom.trials import Trials


def test_demo_leaves_a_report_and_says_what_it_did(tmp_path, monkeypatch):
    for name, size in {"TRIALS": 60, "NEURONS": 6, "BINS": 30}.items():
        monkeypatch.setattr(demo, name, size)
    quick = ["autoencoder_plan.updates=3", "diffusion_plan.updates=3", "latents=4"]
    monkeypatch.setattr(demo, "read_recipe", lambda _name: read_recipe("ldns-tiny", quick))
    said = []
    page = demo.demo(tmp_path / "demo", seed=0, say=said.append)
    assert page == tmp_path / "demo" / "report.html"
    assert "<svg" in page.read_text()
    assert json.loads((page.parent / "metrics.json").read_text())["format"] == "spikeloom-metrics"
    steps = [line.split()[2] for line in said if line.startswith("$ spikeloom ")]
    assert steps == ["simulate", "split", "fit", "sample", "evaluate"]
    known = {command.name for command in cli.app.registered_commands} | {"simulate"}
    assert set(steps) <= known
    parts = [Trials.load(tmp_path / "demo" / name) for name in ("lorenz.h5", "train.h5", "test.h5", "fake.h5")]
    assert [len(part) for part in parts] == [60, 42, 18, 18]
