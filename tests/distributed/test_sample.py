"""Samples in parts: equal to one sample, whoever generates the parts and whatever is killed."""

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from spikeloom.distributed import sample_distributed
from spikeloom.distributed.order import Order, draw_part
from spikeloom.distributed.sample import DamagedPartWarning, write_order
from spikeloom.distributed.workers import processes, this_process
from spikeloom.errors import ConditionError, FileError, SettingError, TrainingError
from spikeloom.models.ldns import LDNS
from spikeloom.recipe import load_model
from spikeloom.trials import Trials
from tests.helpers.command import run as command
from tests.helpers.small_ldns import toy_model, toy_trials

N_TRIALS = 90
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "RAY_worker_niceness": "0",
}  # fast on a busy machine, too
REQUEST = dict(seed=5, max_batch=4, progress=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder whose model has a column and a series as conditions, and trials of several lengths."""
    folder = tmp_path_factory.mktemp("run")
    model = toy_model(updates=2, condition=("angle_deg",))
    model.fit(toy_trials(variable=True), out=folder, progress=False)
    return folder


@pytest.fixture
def order(run):
    return Order(str(run), N_TRIALS, **{name: value for name, value in REQUEST.items() if name != "progress"})


def check_equal(path, run, **request):
    """The trials of a file are those of one sample, bit for bit."""
    expected = load_model(run).sample(**({"n_trials": N_TRIALS, **REQUEST} | request)).fields()
    for name, value in Trials.load(path).fields().items():
        if isinstance(value, dict):
            assert value.keys() == expected[name].keys()
            for column in value:
                np.testing.assert_array_equal(value[column], expected[name][column])
        else:
            np.testing.assert_array_equal(value, expected[name])


def backwards(order, parts):
    """Workers that finish the last part first."""
    yield from this_process(order, dict(reversed(parts.items())))


@pytest.mark.parametrize(
    "request_", [{}, {"n_bins": 9}, {"condition": {"angle_deg": np.arange(90.0)}, "guidance": 2.0}, {"condition": ()}]
)
def test_parts_are_equal_to_one_sample(run, tmp_path, request_):
    path = sample_distributed(run, N_TRIALS, out=tmp_path / "fake.h5", **REQUEST, **request_)
    check_equal(path, run, **request_)
    assert list(tmp_path.iterdir()) == [path]


def test_parts_like_recorded_trials_keep_their_labels(run, tmp_path):
    like = toy_trials(30, variable=True, seed=4)
    like.save(tmp_path / "like.h5")
    names = dict(condition="angle_deg", **REQUEST)
    path = sample_distributed(run, like=tmp_path / "like.h5", out=tmp_path / "fake.h5", **names)
    check_equal(path, run, n_trials=None, like=like, condition="angle_deg")
    assert set(Trials.load(path).behavior) == {"wave"}


def test_parts_hold_whole_batches_and_every_trial_once(order):
    parts = order.parts
    assert [trial for rows in parts for trial in rows] == list(range(N_TRIALS))
    assert len(parts) > 10
    assert all(len(rows) % 4 == 0 for rows in parts[:-1])


def test_a_batch_is_that_of_the_model_by_default(run, monkeypatch):
    monkeypatch.setattr(LDNS, "batch", 4)
    assert Order(str(run), N_TRIALS).parts == Order(str(run), N_TRIALS, max_batch=4).parts
    monkeypatch.setattr(LDNS, "batch", 8)
    assert Order(str(run), N_TRIALS).parts == Order(str(run), N_TRIALS, max_batch=8).parts


def test_the_order_in_which_parts_finish_does_not_matter(order, run, tmp_path):
    write_order(order, tmp_path / "fake.h5", backwards, progress=False)
    check_equal(tmp_path / "fake.h5", run)


def interrupted(order, out, *, after):
    """Generate some parts of an order, then stop as Ctrl-C does."""

    def stopped(order, parts):
        yield from itertools.islice(this_process(order, parts), after)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_order(order, out, stopped, progress=False)
    return sorted(out.with_name("fake.h5.parts").glob("*.h5"))


def test_finished_parts_are_kept(order, run, tmp_path):
    out = tmp_path / "fake.h5"
    kept = interrupted(order, out, after=3)
    assert not out.exists()
    drawn = []

    def counted(order, parts):
        drawn.extend(parts)
        yield from this_process(order, parts)

    write_order(order, out, counted, progress=False)
    assert len(kept) == 3
    assert len(drawn) == len(order.parts) - 3
    assert not set(drawn) & set(map(str, kept))
    check_equal(out, run)


def test_a_damaged_part_is_generated_again(order, run, tmp_path):
    out = tmp_path / "fake.h5"
    victim = interrupted(order, out, after=3)[1]
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 4
    victim.write_bytes(content)
    with pytest.warns(DamagedPartWarning, match=victim.name):
        write_order(order, out, this_process, progress=False)
    check_equal(out, run)


def test_parts_of_another_sample_are_refused(order, run, tmp_path):
    interrupted(order, tmp_path / "fake.h5", after=2)
    with pytest.raises(SettingError, match=r"differs in guidance, seed\."):
        sample_distributed(run, N_TRIALS, out=tmp_path / "fake.h5", **{**REQUEST, "seed": 6}, guidance=2.0)


def test_a_mistake_leaves_nothing_that_a_corrected_call_must_delete(run, tmp_path):
    with pytest.raises(ConditionError, match="speed"):
        sample_distributed(run, N_TRIALS, out=tmp_path / "fake.h5", condition="speed", **REQUEST)
    check_equal(sample_distributed(run, N_TRIALS, out=tmp_path / "fake.h5", **REQUEST), run)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (dict(out="fake.nwb"), FileError),
        (dict(workers=0), SettingError),
        (dict(address="auto"), SettingError),
        (dict(n_trials=0), SettingError),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(run, tmp_path, words, reason):
    words = {"n_trials": N_TRIALS, "out": "fake.h5", **words}
    with pytest.raises(reason):
        sample_distributed(run, words.pop("n_trials"), **{**words, "out": tmp_path / words["out"]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--workers", 2, "--out", "fake.nwb"], "an .h5 file"),
        (["--workers", 2, "--stream", "--out", "fake.h5"], "without --stream"),
        (["--address", "auto", "--out", "fake.h5"], "Add --ray"),
        (["--workers", 1, "--condition", "speed", "--out", "fake.h5"], "speed"),
    ],
)
def test_the_command_refuses_wrong_options_in_one_line(run, tmp_path, monkeypatch, capsys, words, reason):
    monkeypatch.chdir(tmp_path)
    assert command("sample", run, "--trials", 9, *words) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert reason in said


@pytest.fixture
def interruptible():
    """SIGINT raises a KeyboardInterrupt also in a process that was started in the background, where it is ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
def test_the_command_resumes(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("spikeloom.distributed.sample.hdf5.join", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    words = ["sample", run, "--trials", N_TRIALS, "--workers", 1, "--max-batch", 4, "--seed", 5, "--out", "fake.h5"]
    assert command(*words) == 130
    assert "The same command resumes fake.h5" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert command(*words) == 0
    check_equal("fake.h5", run)


def kill_one(folder, killed):
    """Kill one worker process of this process once a first part is finished."""
    while not list(folder.glob("*.json")) or not multiprocessing.active_children():
        time.sleep(0.01)
    victim = multiprocessing.active_children()[0]
    victim.kill()
    killed.append(victim.pid)


@pytest.mark.slow
def test_a_killed_worker_is_replaced(run, tmp_path):
    order = Order(str(run), 800, seed=5, max_batch=4)
    killed = []
    thread = threading.Thread(target=kill_one, args=(tmp_path / "fake.h5.parts", killed), daemon=True)
    thread.start()
    starts = []

    def recorded(order, parts):
        for path in processes(2)(order, parts):
            starts.append(path)
            yield path

    write_order(order, tmp_path / "fake.h5", recorded, progress=False)
    thread.join(10)
    assert killed
    assert len(starts) == len(set(starts)) <= len(order.parts)
    check_equal(tmp_path / "fake.h5", run, n_trials=800)


def end_this_process(*_):
    """In place of generating a part: end the worker, as a full memory does."""
    os._exit(1)


@pytest.mark.slow
def test_workers_that_cannot_finish_end_the_sample(run, tmp_path, monkeypatch):
    monkeypatch.setattr("spikeloom.distributed.workers.draw_part", end_this_process)
    with pytest.raises(TrainingError, match="killed 3 times"):
        sample_distributed(run, N_TRIALS, out=tmp_path / "fake.h5", workers=2, **REQUEST)


def began(folder: Path, process: subprocess.Popen) -> dict[str, int]:
    """Wait for a first part of a sample, and return the times of the finished parts by name."""
    deadline = time.monotonic() + 300
    while not list(folder.glob("0*.json")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.json")}


def sampling(run, tmp_path, *words) -> subprocess.Popen:
    """The command sample in a process of its own; checked types of this process cannot be sent to others."""
    request = ["--trials", "1600", "--max-batch", "8", "--seed", "5", "--out", "fake.h5"]
    program = [sys.executable, "-m", "spikeloom", "sample", str(run), *request, *words]
    return subprocess.Popen(program, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def descendants(pid: int) -> dict[int, str]:
    """Processes below a process: number -> command line."""
    lines = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):
            lines[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            lines |= descendants(int(child))
    return lines


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the processes of a process are listed on Linux only")
def test_a_killed_driver_resumes_and_its_workers_end(run, tmp_path):
    first = sampling(run, tmp_path, "--workers", "2")
    folder = tmp_path / "fake.h5.parts"
    began(folder, first)
    workers = descendants(first.pid)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [line for pid, line in workers.items() if Path(f"/proc/{pid}").exists()]
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.json")}
    again = sampling(run, tmp_path, "--workers", "1")
    while again.poll() is None:  # the folder is deleted at the end
        for path in kept:
            with suppress(FileNotFoundError):
                assert (folder / path).stat().st_mtime_ns == kept[path]
        time.sleep(0.02)
    assert again.returncode == 0, again.stderr.read()
    assert not folder.exists()
    check_equal(tmp_path / "fake.h5", run, n_trials=1600, max_batch=8)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'spikeloom[ray]'")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the processes of a process are listed on Linux only")
def test_ray_replaces_a_killed_worker_and_resumes_a_killed_driver(run, tmp_path):
    folder = tmp_path / "fake.h5.parts"
    first = sampling(run, tmp_path, "--ray")
    began(folder, first)
    first.kill()
    first.wait()
    before = len(list(folder.glob("0*.json")))
    second = sampling(run, tmp_path, "--ray")
    killed = 0
    while second.poll() is None:
        drawing = [pid for pid, line in descendants(second.pid).items() if line.startswith("ray::_task")]
        if drawing and not killed:
            os.kill(drawing[0], signal.SIGKILL)
            killed = drawing[0]
        time.sleep(0.02)
    assert second.returncode == 0, second.stderr.read()
    assert before
    assert killed
    check_equal(tmp_path / "fake.h5", run, n_trials=1600, max_batch=8)


def test_the_hash_of_a_part_is_written_last(order, tmp_path, monkeypatch):
    monkeypatch.setattr("spikeloom.distributed.order.sha256", lambda _: "0" * 64)
    draw_part(order, range(4), str(tmp_path / "part.h5"))
    assert json.loads((tmp_path / "part.json").read_text()) == {"sha256": "0" * 64}
    assert len(Trials.load(tmp_path / "part.h5")) == 4
