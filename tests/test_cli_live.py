"""The command live: a client gets the bins of `model.live`, Ctrl-C ends it with 130, mistakes end it with 2."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spikeloom.live import lsl
from spikeloom.recipe import load_model
from tests.helpers.command import run as command
from tests.helpers.small_ldns import toy_model, toy_trials
from tests.models.test_autoregressive_ldns import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a model that follows the series `wave` and the category `side`."""
    folder = tmp_path_factory.mktemp("run")
    tiny(condition=("wave", "side")).fit(toy_trials(16), out=folder, progress=False)
    return folder


def ignore_ctrl_c() -> None:
    """Let this process ignore SIGINT, like a command that a script starts in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def start(run: Path, *words: str) -> tuple[subprocess.Popen, str, int]:
    """Start the command on a free port; return the process, its first line and the port."""
    line = [sys.executable, "-m", "spikeloom", "live", str(run), "--port", "0", *words]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=ignore_ctrl_c,  # inherited by the command, which must end on SIGINT nevertheless
    )
    first = process.stdout.readline()
    port = re.search(r"127\.0\.0\.1:(\d+)\.", first)
    assert port, first + process.stderr.read()
    return process, first, int(port[1])


def interrupt(process: subprocess.Popen) -> str:
    """Press Ctrl-C and return the rest of the output."""
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in errors
    return output


def test_live_bins_state_and_the_end(run, tmp_path):
    """The second process continues the trial of the first; both together give the bins of `model.live`."""
    live = load_model(run).live(7, condition={"wave": None, "side": "left"})
    state = tmp_path / "trial.npz"
    for begin in (0, 10):
        process, first, port = start(
            run, "--pace", "request", "--seed", "7", "--condition", "side=left", "--state", str(state)
        )
        assert ("It begins with the first value of wave" in first) == (begin == 0)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client, client.makefile("rb") as lines:
            assert json.loads(lines.readline())["n_neurons"] == 6
            for k in range(begin, begin + 10):
                client.sendall(json.dumps({"condition": {"wave": k / 10}}).encode() + b"\n")
                answer = json.loads(lines.readline())
                assert (answer["bin"], answer["counts"]) == (k, live.step({"wave": [k / 10]}).tolist())
            client.sendall(b"[]\n")
            assert "A message must" in json.loads(lines.readline())["error"]
        output = interrupt(process)
        assert re.search(r"10 bins; time of a step: p50 \d+, p99 \d+", output)
        assert "1 message refused" in output
        assert f"state after {begin + 10} bins" in output
    assert set(np.load(state)) >= {"bins", "condition wave"}


def message(capsys, *words: object) -> str:
    """Return the message of a command that a mistake of the user ends."""
    assert command("live", *words) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    (line,) = [line for line in errors.splitlines() if not line.startswith("note: ")]
    return line


def test_mistakes_get_one_message(run, tmp_path, capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 is in use" in message(capsys, run, "--port", port)
    assert "address of this machine" in message(capsys, run, "--host", "203.0.113.1")
    assert "must be NAME=VALUE" in message(capsys, run, "--condition", "speed=1")
    assert "must be 1 number" in message(capsys, run, "--condition", "wave=left")
    assert "LSL has none" in message(capsys, run, "--protocol", "lsl", "--pace", "request")
    assert "must be an .npz file" in message(capsys, run, "--state", tmp_path / "no" / "trial.npz")
    (tmp_path / "trial.npz").write_text("no state")
    assert "not the saved state of a live trial" in message(capsys, run, "--state", tmp_path / "trial.npz")
    monkeypatch.setitem(sys.modules, "pylsl", None)
    assert "pip install 'spikeloom[lsl]'" in message(capsys, run, "--protocol", "lsl")
    assert lsl.NAME == "spikeloom"


def test_a_host_that_others_reach_gets_a_note(run, capsys):
    assert command("live", run, "--host", "203.0.113.1") == 2
    assert "note: any machine that reaches 203.0.113.1 can connect; there is no password." in capsys.readouterr().err


def test_a_model_that_is_not_causal_gets_one_message(tmp_path, capsys):
    toy_model(updates=2).fit(toy_trials(8), out=tmp_path / "run", progress=False)
    assert "LDNS is not causal" in message(capsys, tmp_path / "run")
