"""One process at a time trains in a folder; the lock ends with its process."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from spikeloom.errors import FileError, StaleLockWarning
from spikeloom.simulate import lorenz
from spikeloom.training import lock
from spikeloom.training.lock import only_process

fcntl = pytest.importorskip("fcntl")

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "ACCELERATE_USE_CPU": "true"}
HOLD = (
    "import sys, time; from spikeloom.training.lock import only_process\n"
    "with only_process(sys.argv[1], 'training'):\n    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def hold(tmp_path):
    """Function that starts a process that holds the lock of a folder; all of them are killed at the end."""
    started = []

    def start():
        program = [sys.executable, "-c", HOLD, str(tmp_path)]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_second_process_is_refused_and_the_first_is_named(tmp_path, hold):
    holder = hold()
    with (
        pytest.raises(FileError, match=rf"Process {holder.pid} on {socket.gethostname()} is training there"),
        only_process(tmp_path, "training"),
    ):
        pass
    assert json.loads((tmp_path / ".lock").read_text())["process"] == holder.pid


def test_a_killed_process_is_taken_over_from_with_a_note(tmp_path, hold, recwarn):
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with (
        pytest.warns(StaleLockWarning, match=f"Process {holder.pid} on .* takes over"),
        only_process(tmp_path, "training"),
    ):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert (tmp_path / ".lock").read_text() == ""


def test_an_interrupted_process_leaves_no_trace(tmp_path, hold, recwarn):
    holder = hold()
    holder.send_signal(signal.SIGINT)
    holder.wait()
    with only_process(tmp_path, "training"):
        pass
    assert not recwarn.list


def test_one_process_cannot_work_twice_in_a_folder(tmp_path):
    with (
        only_process(tmp_path, "training"),
        pytest.raises(FileError, match=str(os.getpid())),
        only_process(tmp_path, "training"),
    ):
        pass


@pytest.fixture
def without_locks(monkeypatch):
    """A disk without locks."""

    def refuse(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"process": "x"}'])
def test_a_damaged_lock_file_is_no_traceback(tmp_path, text, recwarn):
    (tmp_path / ".lock").write_text(text)
    with only_process(tmp_path, "training"):
        pass


def test_without_locks_of_the_disk_the_file_decides(tmp_path, hold, without_locks):
    holder = hold()
    with pytest.raises(FileError, match=f"Process {holder.pid} .* delete .*lock"), only_process(tmp_path, "training"):
        pass
    holder.kill()
    holder.wait()
    with pytest.warns(StaleLockWarning), only_process(tmp_path, "training"):
        pass


def test_without_locks_of_the_disk_another_host_is_believed(tmp_path, without_locks):
    (tmp_path / ".lock").write_text(json.dumps({"process": 2**22 + 1, "host": "node17"}))
    with (
        pytest.raises(FileError, match=r"on node17 is training there.*If that process has ended, delete"),
        only_process(tmp_path, "training"),
    ):
        pass
    (tmp_path / ".lock").write_text(json.dumps({"process": lock.os.getpid(), "host": socket.gethostname()}))
    with only_process(tmp_path, "training"):  # an earlier process had the number that is ours now
        pass


@pytest.fixture
def data(tmp_path):
    """Words of a command that fits a tiny model for many minutes."""
    path = tmp_path / "t.h5"
    lorenz(12, n_neurons=3, n_bins=12, seed=0).save(path)
    plans = [f"--set={stage}_plan.updates={number}" for stage, number in (("autoencoder", 6000), ("diffusion", 5))]
    return ["-m", "spikeloom", "fit", "ldns-tiny", "--data", str(path), *plans, "--out", str(tmp_path / "run")]


def test_two_fits_at_once_in_one_folder(tmp_path, data):
    first = subprocess.Popen([sys.executable, *data], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.02)
    second = subprocess.run([sys.executable, *data], env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    assert second.returncode == 2, second.stderr
    assert f"Process {first.pid} on {socket.gethostname()} is training there" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=100)
    assert first.returncode == 130, said
    assert (tmp_path / "run" / ".lock").read_text() == ""
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    keys = [(line["stage"], line["update"]) for line in lines]
    assert len(keys) == len(set(keys)) > 0
