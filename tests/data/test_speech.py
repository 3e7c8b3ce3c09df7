"""The speech layout, on small MATLAB files written in exactly that layout."""

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from spikeloom.cli.app import app
from spikeloom.data.load import load
from spikeloom.data.speech import paper_split, read_speech
from spikeloom.errors import CorruptFileError, DataError, FileError
from spikeloom.trials import Trials


def write_day(path, lengths, *, channels=256, seed=0):
    """A file of one day as in the release: cells of counts (bin, channel), sentences, and other variables."""
    rng = np.random.default_rng(seed)
    cells = np.empty((1, len(lengths)), object)
    for position, length in enumerate(lengths):
        cells[0, position] = rng.poisson(0.3, (length, channels)).astype(np.uint8)
    sentences = [f"sentence {position} of {path.stem}" for position in range(len(lengths))]
    words = dict(tx1=cells, tx2=cells, spikePow=cells, blockIdx=np.ones((len(lengths), 1)))
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {**words, "sentenceText": np.array(sentences)})
    return [cells[0, position] for position in range(len(lengths))]


@pytest.fixture
def release(tmp_path):
    write_day(tmp_path / "train" / "t12.2022.05.02.mat", [40, 513, 60], seed=1)
    write_day(tmp_path / "train" / "t12.2022.04.28.mat", [512, 30], seed=2)
    write_day(tmp_path / "test" / "t12.2022.04.28.mat", [20] * 9, seed=3)
    return tmp_path


def test_sentences_are_read_in_the_order_of_days(release):
    trials = read_speech(release / "train")
    first = write_day(release / "again" / "t12.2022.04.28.mat", [512, 30], seed=2)
    assert trials.lengths.tolist() == [512, 30, 40, 60]  # sorted names; the sentence of 513 bins is left out
    assert trials.counts.shape == (4, 512, 128)
    assert trials.bin_width == 0.02
    np.testing.assert_array_equal(trials.counts[1, :30], first[1][:, :128])
    assert trials.counts[1, 30:].sum() == 0
    assert trials.conditions["day"].tolist() == ["t12.2022.04.28"] * 2 + ["t12.2022.05.02"] * 2
    assert trials.conditions["sentence"][3] == "sentence 2 of t12.2022.05.02"


def test_the_papers_split_and_the_command(release, tmp_path):
    assert [len(part) for part in paper_split(Trials(np.ones((853, 1, 1), int), 0.02))] == [213, 640]
    names = [str(tmp_path / f"{name}.h5") for name in ("a", "b", "c")]
    done = CliRunner().invoke(app, ["published", "speech", str(release), "--out", *names])
    assert done.exit_code == 0, done.output
    parts = [Trials.load(name) for name in names]
    assert [len(part) for part in parts] == [4, 2, 7]
    assert parts[1].conditions["sentence"].tolist() == [f"sentence {k} of t12.2022.04.28" for k in (0, 1)]


def test_the_door_knows_them(release):
    assert load(release / "test").counts.shape == (9, 20, 128)
    assert load(release / "test" / "t12.2022.04.28.mat").n_neurons == 128


def test_wrong_files_get_one_message(tmp_path):
    with pytest.raises(FileError, match="holds none"):
        read_speech(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        read_speech(tmp_path / "absent.mat")
    savemat(tmp_path / "other.mat", {"x": np.zeros(3)})
    with pytest.raises(DataError, match="threshold crossings tx1"):
        read_speech(tmp_path / "other.mat")
    write_day(tmp_path / "few.mat", [5], channels=64)
    with pytest.raises(DataError, match="at least 128 channels"):
        read_speech(tmp_path / "few.mat")
    write_day(tmp_path / "long.mat", [600])
    with pytest.raises(DataError, match="at most 512 bins"):
        read_speech(tmp_path / "long.mat")
    (tmp_path / "bad.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(CorruptFileError, match="MATLAB files"):
        read_speech(tmp_path / "bad.mat")
