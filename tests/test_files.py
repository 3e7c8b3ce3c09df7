"""Files are complete or absent, and damage is detected."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom import files
from spikeloom.errors import CorruptFileError, FileError, SpikeloomError


def test_a_failing_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.atomic_write(path, b"old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(path) as part:
        part.write_bytes(b"half of the ne") and 1 / 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_error(tmp_path):
    path = tmp_path / "a.txt"
    files.atomic_write(path, b"old")
    with pytest.raises(FileError, match="No space left") as caught, files.atomic_path(path):
        Path("/dev/full").write_bytes(b"x")  # the system's file that is always full
    assert len(caught.value.args) == 3
    assert "Free some space" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_keeps_its_three_sentences_between_processes():
    import pickle  # as multiprocessing does it; the package itself never unpickles

    error = pickle.loads(pickle.dumps(CorruptFileError("Must.", "Got.", "Do.")))
    assert str(error) == "Must. Got. Do."
    assert isinstance(error, OSError)
    assert isinstance(error, SpikeloomError)


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        files.atomic_write(tmp_path / "no" / "a.txt", b"")
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match="taken"):
        files.atomic_write(tmp_path / "taken", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="file"):
        files.ensure_folder(tmp_path / "file" / "sub")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_an_unwritable_folder_is_noticed_early(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FileError, match="Permission denied"):
        files.ensure_folder(tmp_path)


def test_only_forgotten_part_files_are_removed(tmp_path):
    for name, age in ((".old.1.part", 4000), (".new.1.part", 10), ("old.part", 4000)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / ".folder.1.part").mkdir()
    os.utime(tmp_path / ".folder.1.part", (time.time() - 4000,) * 2)
    files.ensure_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.1.part", "old.part"]


def test_tensors_come_back_bit_for_bit(tmp_path):
    base = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    given_ = {"strided": base.T, "shared": base, "scalar": torch.tensor(float("nan")), "whole": torch.tensor([1, 2])}
    files.write_tensors(tmp_path / "a.safetensors", given_)
    back = files.read_tensors(tmp_path / "a.safetensors")
    assert all(back[name].numpy().tobytes() == value.contiguous().numpy().tobytes() for name, value in given_.items())
    assert {name: value.dtype for name, value in back.items()} == {name: value.dtype for name, value in given_.items()}


@pytest.mark.parametrize("content", [b"", b"{}", b"\x10\0\0\0\0\0\0\0{", b"garbage that is no tensor file"])
def test_damaged_tensor_files_are_refused(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"a\.safetensors"):
        files.read_tensors(tmp_path / "a.safetensors")


def test_json_holds_numpy_and_no_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": (1, "ü")})
    assert files.read_json(tmp_path / "a.json") == {"a": 0.5, "b": [0, 1], "c": None, "d": [1, "ü"]}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(CorruptFileError, match=r"b\.json"):
        files.read_json(tmp_path / "b.json")
    with pytest.raises(FileError, match=r"c\.json"):
        files.read_json(tmp_path / "c.json")


@given(st.binary(min_size=1, max_size=40), st.data())
@settings(deadline=None, max_examples=30)
def test_any_flipped_bit_is_noticed(tmp_path_factory, content, data):
    folder = tmp_path_factory.mktemp("flip")
    files.atomic_write(folder / "a.bin", content)
    files.write_manifest(folder, ["a.bin"])
    assert files.check_manifest(folder) == ["a.bin"]
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    (folder / "a.bin").write_bytes(changed)
    with pytest.raises(CorruptFileError, match="damaged"):
        files.check_manifest(folder)


@pytest.mark.parametrize("name", ["../a.bin", "/etc/hostname", "sub/../../a.bin", "C:\\a.bin", ".."])
def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({name: files.sha256(tmp_path / "a.bin")}))
    with pytest.raises(CorruptFileError, match="inside its folder"):
        files.check_manifest(tmp_path / "run")


@pytest.mark.parametrize("manifest", [None, "", "[]", '{"a": 1}', '{"missing.bin": "00"}'])
def test_an_unfinished_folder_is_refused(tmp_path, manifest):
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(CorruptFileError):
        files.check_manifest(tmp_path)


@pytest.mark.parametrize("killed", [False, True])
def test_an_old_folder_survives_a_stop_while_it_is_replaced(tmp_path, monkeypatch, killed):
    def write(content: bytes) -> None:
        with files.atomic_folder(tmp_path / "model") as part:
            files.atomic_write(part / "a.bin", content)

    write(b"first")
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        """Rename, but stop before the new folder gets the name of the old one."""
        if target == tmp_path / "model" and not path.name.endswith(files.OLD):
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop)
        if killed:  # a killed process cleans nothing up
            patch.setattr(files, "_restore", lambda old, target: None)
            patch.setattr(files.shutil, "rmtree", lambda folder, ignore_errors: None)
        with pytest.raises(KeyboardInterrupt):
            write(b"second")
    assert (tmp_path / "model").exists() is not killed
    files.ensure_folder(tmp_path)  # as the next command does
    assert (tmp_path / "model" / "a.bin").read_bytes() == b"first"


def test_a_folder_appears_whole_and_replaces_an_old_one(tmp_path):
    for content in (b"first", b"second"):
        with files.atomic_folder(tmp_path / "model") as part:
            files.atomic_write(part / "a.bin", content)
            files.write_manifest(part, ["a.bin"])
            assert part.parent == tmp_path
        files.check_manifest(tmp_path / "model")
    with pytest.raises(ZeroDivisionError), files.atomic_folder(tmp_path / "model") as part:
        1 / 0
    assert (tmp_path / "model" / "a.bin").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
