"""The command `spikeloom studio`: mistakes are one sentence, and a run or the demo is served until Ctrl-C."""

import builtins
import re
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from spikeloom import demo
from spikeloom.cli import main
from spikeloom.cli import studio as command
from spikeloom.errors import SettingError
from spikeloom.recipe import read_recipe
from spikeloom.studio import launch
from spikeloom.studio.launch import address, hosts_of, open_port, start_studio


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, which must end with exit code 2 and one message, and return the message."""
    with pytest.raises(SystemExit) as end:
        main(["studio", *arguments])
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_port_in_use_is_named(runs, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        message = mistake(capsys, str(runs / "draw"), "--port", str(port))
        assert (
            message
            == f"spikeloom: Port {port} of 127.0.0.1 is in use. Write --port {port + 1}, or stop the other program."
        )


def test_an_address_for_everybody_is_refused(capsys):
    assert "the address under which a browser reaches this machine" in mistake(capsys, "run", "--host", "0.0.0.0")


def test_an_unknown_address_is_refused(capsys):
    assert "cannot listen at 192.0.2.7" in mistake(capsys, "run", "--host", "192.0.2.7", "--port", "0")


def test_a_missing_package_is_named(monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "fastapi":
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return real(name, *arguments, **options)

    for name in [name for name in sys.modules if name.startswith(("fastapi", "spikeloom.studio"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'spikeloom[studio]'" in mistake(capsys, "run")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(SettingError, match="is not a folder"):
        start_studio([tmp_path / "none"], [], lambda _line: None)


def test_runs_of_one_name_get_different_ids(tmp_path):
    taken = []
    for run in ("a/reach", "b/reach/model", "c/reach"):
        (tmp_path / run).mkdir(parents=True)
        taken.append(launch._key(tmp_path / run, taken))
    assert taken == ["reach", "reach-2", "reach-3"]


def test_hosts_under_which_a_server_is_reached():
    assert hosts_of("127.0.0.1", 80) == {"127.0.0.1:80", "localhost:80", "[::1]:80"}
    assert hosts_of("Lab-PC", 80) == {"lab-pc:80"}
    assert hosts_of("fe80::1", 80) == {"[fe80::1]:80"}
    assert address("fe80::1", 80) == "http://[fe80::1]:80"


def test_port_0_chooses_a_free_one():
    with open_port("127.0.0.1", 0) as one, open_port("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_the_command_serves_until_ctrl_c(runs):
    arguments = [sys.executable, "-m", "spikeloom", "studio", str(runs / "draw"), "--port", "0"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        try:
            opened = next(
                match for line in process.stdout if (match := re.search(r"Open (http://\S+)/#token=(\S+)", line))
            )
            headers = {"Authorization": f"Bearer {opened[2]}"}
            models = httpx.get(f"{opened[1]}/api/models", headers=headers).json()["models"]
            assert [model["id"] for model in models] == ["draw"]
            assert httpx.get(f"{opened[1]}/api/models").status_code == 401
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert process.stderr.read() == ""
        finally:
            timer.cancel()
            process.kill()


def test_without_a_run_the_demo_is_trained_once(tmp_path, monkeypatch, capsys):
    for name, size in {"TRIALS": 60, "NEURONS": 5}.items():
        monkeypatch.setattr(demo, name, size)
    quick = {
        "ldns-demo": ["autoencoder_plan.updates=2", "diffusion_plan.updates=2", "autoencoder_settings.blocks=1"],
        "gnocchi-demo": ["plan.updates=2", "network_settings.width=16", "n_codes=4"],
    }
    monkeypatch.setattr(demo, "read_recipe", lambda name: read_recipe(name, quick[name]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    first = command._demo_runs()
    assert [run.name for run in first] == ["ldns", "gnocchi"]
    assert "trains the two models" in capsys.readouterr().out
    assert command._demo_runs() == first
    said = capsys.readouterr().out
    assert said.startswith("No run was named, so the studio shows the models of the demo")
    assert said.count("\n") == 1
