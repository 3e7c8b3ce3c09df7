"""AutoregressiveLDNS on the command line: conditions, variable length, a killed fit, tune, evaluate and compare."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from spikeloom import files
from spikeloom.trials import Trials
from tests.helpers.command import run
from tests.helpers.small_ldns import toy_trials

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
RECIPE = "autoregressive-ldns-tiny"
SMALL = ["n_latents=4", "autoencoder_settings.width=8", "dynamics_settings.n_hats=4"]
ALL = ["angle_deg", "side", "wave"]


def changed(*changes):
    """Return the words that set these values."""
    return [word for change in changes for word in ("--set", change)]


def quick(names, *, updates=6):
    """Return the words of a quick fit with these conditions."""
    plans = [f"autoencoder_plan.updates={updates}", f"code_plan.updates={updates}"]
    return changed(*SMALL, *plans, f"condition={json.dumps(list(names))}")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with trials of different lengths."""
    folder = tmp_path_factory.mktemp("house")
    for seed, name in enumerate(("train.h5", "test.h5", "validation.h5")):
        toy_trials(32, 24, variable=True, seed=seed).save(folder / name)
    return folder


@pytest.fixture(scope="module", params=[["angle_deg"], ["side"], ["wave"], ALL], ids=lambda names: "+".join(names))
def fitted(house, request, tmp_path_factory):
    """The run of a model with these conditions, and their names."""
    out = tmp_path_factory.mktemp("run")
    assert run("fit", RECIPE, "--data", house / "train.h5", *quick(request.param), "--out", out) == 0
    return out, request.param


def test_every_condition_is_sampled_encoded_and_judged(house, fitted, tmp_path):
    folder, names = fitted
    test = Trials.load(house / "test.h5")
    words = [word for name in names for word in ("--condition", name)]
    assert run("sample", folder, "--like", house / "test.h5", *words, "--out", tmp_path / "fake.h5") == 0
    fake = Trials.load(tmp_path / "fake.h5")
    np.testing.assert_array_equal(fake.lengths, test.lengths)
    assert set(fake.conditioned_on) == set(names)
    for name in {"angle_deg", "side"} & set(names):
        np.testing.assert_array_equal(fake.conditions[name], test.conditions[name])
    assert run("sample", folder, "--trials", 3, "--bins", 60, "--unconditional", "--out", tmp_path / "free.h5") == 0
    assert Trials.load(tmp_path / "free.h5").counts.shape == (3, 60, 6)
    assert run("encode", folder, "--data", house / "test.h5", "--out", tmp_path / "encoded.h5") == 0
    assert Trials.load(tmp_path / "encoded.h5").latents.shape == (32, 24, 4)
    assert run("inspect", folder) == 0
    if len(names) == 1:
        return  # the report does not depend on the kind of condition
    files_ = ["--real", house / "test.h5", "--fake", tmp_path / "fake.h5", "--reference", house / "train.h5"]
    assert run("evaluate", *files_, "--model", folder, "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert "linear autoregression on the latents" in report["panel_detail"]["mean_rate_r"]["baselines"]
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()


def test_a_stream_on_disk_is_the_live_trial(fitted, tmp_path):
    from spikeloom.recipe import load_model

    folder, _ = fitted
    words = ["--stream", "--trials", 4, "--bins", 15, "--seed", 3, "--unconditional"]
    assert run("sample", folder, *words, "--out", tmp_path / "stream.h5") == 0
    live = load_model(folder).live(3, condition=())
    counts = Trials.load(tmp_path / "stream.h5").counts
    np.testing.assert_array_equal(counts.reshape(60, 6), [live.step() for _ in range(60)])


def test_it_is_compared_with_another_model(house, tmp_path):
    data = ["--data", house / "train.h5"]
    assert run("fit", RECIPE, *data, *quick(["angle_deg"]), "--out", tmp_path / "causal") == 0
    plans = changed("n_latents=4", "autoencoder_plan.updates=4", "diffusion_plan.updates=4")
    assert run("fit", "ldns-tiny", *data, *plans, "--out", tmp_path / "diffusion") == 0
    words = ["--data", house / "test.h5", "--reference", house / "train.h5", "--samples", 1, "--out", tmp_path / "both"]
    assert run("compare", tmp_path / "causal", tmp_path / "diffusion", *words) == 0
    rows = list(csv.DictReader((tmp_path / "both" / "compare.csv").open()))
    assert {row["model"] for row in rows} == {"causal", "diffusion"}
    assert {f"linear autoregression on the latents of {name}" for name in ("causal", "diffusion")} < set(rows[0])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("stage", ["autoencoder", "conditional_code", "conditional_nonlinear"])
def test_a_killed_fit_resumes_to_the_same_weights(house, tmp_path, stage):
    plans = [f"{plan}.validate_every=3" for plan in ("autoencoder_plan", "code_plan", "nonlinear_plan")]
    plans += ["nonlinear_plan.updates=20", "nonlinear_plan.batch=8", "dynamics_settings.units=8"]
    words = ["fit", RECIPE, "--data", str(house / "train.h5"), *quick(ALL, updates=40), *changed(*plans)]
    killed, complete = tmp_path / "killed", tmp_path / "complete"
    program = [sys.executable, "-m", "spikeloom", *words, "--out"]
    process = subprocess.Popen([*program, str(killed)], env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list((killed / "checkpoints").glob(f"{stage}*")) and time.monotonic() < deadline:
        assert process.poll() is None, "the fit ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "model").exists()
    assert run(*words, "--out", killed) == 0
    assert run(*words, "--out", complete) == 0
    hashes = [files.sha256(folder / "model" / "model.safetensors") for folder in (killed, complete)]
    assert hashes[0] == hashes[1]


def test_it_is_tuned(house, tmp_path):
    data = ["--data", house / "train.h5", "--validation", house / "validation.h5"]
    vary = ["--vary", "autoencoder_settings.dropout=0.05..0.5", "--trials", 2]
    assert run("tune", RECIPE, *data, *vary, *quick(["side", "wave"]), "--out", tmp_path) == 0
    rows = list(csv.DictReader((tmp_path / "trials.csv").open()))
    assert len(rows) == 2
    assert run("sample", tmp_path, "--trials", 2, "--unconditional", "--out", tmp_path / "fake.h5") == 0
