"""Downloads hold the counts that the page shows, and the printed lines make them again."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.cli import main
from tests.studio.conftest import STROKE
from tests.studio.test_server import ask, counts_of

REQUESTS = {
    "draw": {"points": STROKE, "draws": 2, "seed": 4, "scale": 0.8},
    "turn": {"condition": {"angle_deg": 135.0}, "draws": 3, "seed": 4},
    "codes": {"values": {"target_x": 0.05}, "seed": 4},
}
KINDS = {"draw": "draw", "turn": "turn", "codes": "traverse"}


def shown(served, model: str) -> np.ndarray:
    """Return the counts that the page shows for a request (trial, bin, neuron)."""
    answer = ask(served, model, KINDS[model], **REQUESTS[model])
    rasters = [draw["spikes"] for draw in answer.get("draws", [answer])]
    return np.stack([counts_of(one, answer["bins"]) for one in rasters])


def repeated(served, model: str, job: str, ending: str):
    """Repeat a request as a file or as lines."""
    body = {"request": {"kind": KINDS[model], **REQUESTS[model]}, "format": ending}
    answer = served.client.post(f"/api/models/{model}/{job}", json=body)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("model", KINDS)
def test_a_trials_file_holds_what_is_shown(served, model, tmp_path):
    answer = repeated(served, model, "download", "h5")
    assert f'filename="{model}-{KINDS[model]}.h5"' in answer.headers["content-disposition"]
    path = tmp_path / "studio.h5"
    path.write_bytes(answer.content)
    np.testing.assert_array_equal(sl.Trials.load(path).counts, shown(served, model))


def test_a_table_holds_what_is_shown(served):
    counts = np.zeros_like(shown(served, "draw"))
    rows = csv.DictReader(io.StringIO(repeated(served, "draw", "download", "csv").text))
    for row in rows:
        counts[int(row["trial"]), int(row["bin"]), int(row["neuron"])] = int(row["count"])
        assert float(row["time (s)"]) == pytest.approx(0.02 * int(row["bin"]), abs=1e-6)
    np.testing.assert_array_equal(counts, shown(served, "draw"))


def test_an_nwb_file_holds_what_is_shown(served, tmp_path):
    pytest.importorskip("pynwb")
    path = tmp_path / "studio.nwb"
    path.write_bytes(repeated(served, "draw", "download", "nwb").content)
    total = shown(served, "draw").sum((0, 1))
    np.testing.assert_array_equal([len(times) for times in sl.load(path).spikes], total)


@pytest.mark.parametrize("model", KINDS)
def test_the_lines_of_python_make_the_same_trials(served, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(repeated(served, model, "lines", "h5").json()["python"], {})
    np.testing.assert_array_equal(sl.Trials.load("studio.h5").counts, shown(served, model))


@pytest.mark.parametrize("model", ["draw", "turn"])
def test_the_lines_of_the_shell_make_the_same_trials(served, model, tmp_path, monkeypatch):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash on this machine")
    monkeypatch.chdir(tmp_path)
    script = repeated(served, model, "lines", "h5").json()["shell"]
    keep = "spikeloom() { printf '%s\\0' \"$@\" > arguments; }\n"  # the shell reads the line, and this process runs it
    subprocess.run(["bash", "-ec", keep + script], check=True, capture_output=True)
    with pytest.raises(SystemExit, match="0"):
        main(Path("arguments").read_text().split("\0")[:-1])
    np.testing.assert_array_equal(sl.Trials.load("studio.h5").counts, shown(served, model))
