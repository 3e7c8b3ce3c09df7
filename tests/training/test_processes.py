"""Several processes train one model, as one process does."""

import json
import os
import subprocess
import sys

import pytest
import torch

from spikeloom.errors import SettingError
from spikeloom.files import read_tensors
from spikeloom.simulate import lorenz
from spikeloom.training.processes import accelerator

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")},
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
}

LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
"""Start of the command in docs/guides/several-gpus.md; port 0 is any free one."""

PLANS = [
    f"--set={stage}_plan.{change}" for stage in ("autoencoder", "diffusion") for change in ("updates=12", "batch=8")
]


@pytest.fixture
def fit(tmp_path):
    """Function that trains in a folder with the command `fit`, started in this way, and returns the finished process.

    The number of validation trials is odd, so the processes get unequal shares of them.
    """
    trials = lorenz(25, n_neurons=3, n_bins=12, seed=0)
    trials.select(range(20)).save(tmp_path / "train.h5")
    trials.select(range(20, 25)).save(tmp_path / "validation.h5")
    files = ["--data", str(tmp_path / "train.h5"), "--validation", str(tmp_path / "validation.h5")]

    def call(out, launch=()):
        words = ["-m", "spikeloom", "fit", "ldns-tiny", *files, *PLANS, "--out", str(out)]
        return subprocess.run(
            [sys.executable, *launch, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=250
        )

    return call


def lines_of(run):
    """Return the lines of history of the stages with updates."""
    lines = [json.loads(text) for text in (run / "history.jsonl").read_text().splitlines()]
    return [line for line in lines if line["stage"] != "readout"]


@pytest.mark.slow
def test_two_processes_of_accelerate_launch_agree_with_one_to_rounding(tmp_path, fit):
    if torch.accelerator.is_available() and torch.accelerator.device_count() < 2:
        pytest.skip("one GPU cannot serve two processes")
    one, two = tmp_path / "one", tmp_path / "two"
    assert fit(one).returncode == 0
    done = fit(two, LAUNCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on") == 1  # only the main process reports
    assert "in 2 processes" in (two / "log.txt").read_text()
    assert (two / ".lock").read_text() == ""

    expected = read_tensors(one / "model" / "model.safetensors")
    weights = read_tensors(two / "model" / "model.safetensors")
    assert weights.keys() == expected.keys()
    networks = [name for name in expected if name.startswith(("encoder.", "readout.decoder.", "diffusion."))]
    assert len(networks) > 30
    for name in networks:  # the readout is fitted to sampled counts, which rounding could change
        torch.testing.assert_close(weights[name], expected[name], rtol=0, atol=1e-5)  # sums in float32
    for line, other in zip(lines_of(two), lines_of(one), strict=True):
        assert (line["stage"], line["update"]) == (other["stage"], other["update"])
        for loss in ("loss", "validation"):
            assert line[loss] == pytest.approx(other[loss], rel=1e-5)


def test_a_launch_that_starts_one_process_instead_of_several_is_an_error(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(SettingError, match="--multi_gpu"):
        accelerator.__wrapped__()
