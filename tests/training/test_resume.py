"""A run that was killed and resumed ends with the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spikeloom import files
from spikeloom.errors import DamagedCheckpointWarning, SettingError
from tests.helpers import training_toy as toy

PROGRAM = [sys.executable, str(Path(toy.__file__))]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "ACCELERATE_USE_CPU": "true"}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Function from kills to the answer of the program in training_toy.py, trained in a folder of its own."""
    with subprocess.Popen(PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as server:

        def call(kills):
            server.stdin.write(json.dumps([str(tmp_path_factory.mktemp("run")), kills]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield call
        server.stdin.close()


@pytest.fixture(scope="module")
def uninterrupted(ask):
    """Return the result of an uninterrupted run."""
    return ask([])


KILLS = st.lists(
    st.one_of(
        st.tuples(st.just("loss"), st.integers(1, 55)),  # 46 updates and some validations
        st.tuples(st.just("fsync"), st.integers(1, 170)),  # a checkpoint is some ten of them
    ),
    min_size=1,
    max_size=2,
)


@given(kills=KILLS)
@example(kills=[("loss", 1)])
@example(kills=[("loss", 40), ("loss", 12)])
@example(kills=[("fsync", 14)])
@settings(deadline=None, max_examples=7, suppress_health_check=list(HealthCheck), derandomize=True)
def test_killed_anywhere_it_ends_with_the_same_weights(ask, uninterrupted, kills):
    result = ask(kills)
    assert result["signals"][0] in (signal.SIGKILL, 0)  # 0: it was through before
    assert result["weights"] == uninterrupted["weights"]
    assert result["history"] == uninterrupted["history"]
    assert result["history_on_disk"]


def test_kills_really_happen(ask, uninterrupted):
    assert ask([["loss", 30], ["fsync", 5]])["signals"] == [signal.SIGKILL, signal.SIGKILL]
    assert uninterrupted["signals"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_keeps_everything_so_far(tmp_path, number):
    expected, lines = toy.run(None)
    calls, before = [], signal.getsignal(number)

    def ring():
        calls.append(None)
        if len(calls) == 5:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, before=ring)
    (saved,) = (tmp_path / "checkpoints").glob("first-*")
    assert saved.name in ("first-4", "first-5")  # at the next boundary; a validation is a call, too
    assert signal.getsignal(number) is before
    weights, history = toy.run(tmp_path)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
    assert history == lines


def stopped(folder, *, calls, plan=toy.PLAN):
    """Leave an unfinished run with checkpoints at each look."""
    left = [calls]

    def stop():
        left[0] -= 1
        if left[0] == 0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy.run(folder, before=stop, plan=plan)


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(toy.stage_run, "SAVE_PAUSE", 0.0)


@pytest.mark.parametrize("victim", ["model.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path, eager, victim):
    expected, _ = toy.run(None)
    stopped(tmp_path, calls=24)
    newest, *_ = sorted((tmp_path / "checkpoints").glob("first-*"), key=lambda path: -int(path.name[6:]))
    content = bytearray((newest / victim).read_bytes())
    content[len(content) // 2] ^= 4
    (newest / victim).write_bytes(content)
    with pytest.warns(DamagedCheckpointWarning, match=newest.name):
        weights, _ = toy.run(tmp_path)
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_the_last_two_and_the_best_are_kept(tmp_path, eager):
    stopped(tmp_path, calls=24)  # looks after 4, 8, 12 and 16 updates, each one call more
    folders = sorted((tmp_path / "checkpoints").glob("first-*"), key=lambda path: int(path.name[6:]))
    updates = [int(path.name[6:]) for path in folders]
    best = files.read_json(folders[-1] / "state.json")["best_update"]
    assert len(updates) >= 2
    assert set(updates) <= {updates[-1], updates[-2], best}


def test_a_finished_run_is_not_trained_again(tmp_path):
    weights, history = toy.run(tmp_path)

    def never():
        raise AssertionError("a finished stage was trained again")

    again, lines = toy.run(tmp_path, before=never)
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    assert lines == history
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["first-finished", "second-finished"]


def test_other_settings_do_not_resume(tmp_path, eager):
    stopped(tmp_path, calls=10)
    with pytest.raises(SettingError, match="plan"):
        toy.run(tmp_path, plan=toy.Plan(updates=23, batch=8, learning_rate=0.04, average=0.95, validate_every=4))
    with pytest.raises(SettingError, match="seed"):
        toy.run(tmp_path, seed=8)


@pytest.mark.slow
def test_two_processes_agree_with_one_to_rounding(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, str(Path(toy.__file__)), "once", str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "Address already in use" in done.stderr or "failed to bind" in done.stderr:
        pytest.skip("torchrun cannot listen here")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "world.json").read_text()) == 2
    expected, _ = toy.run(None)
    weights = files.read_tensors(tmp_path / "weights.safetensors")
    assert max(float((weights[name] - value).abs().max()) for name, value in expected.items()) < 1e-5  # float32 sums
