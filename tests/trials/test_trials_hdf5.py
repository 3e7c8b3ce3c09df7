"""Trials files: a round trip changes nothing, and a damaged file is refused."""

import resource

import h5py
import numpy as np
import pytest

from spikeloom.errors import CorruptFileError, DataError, FileError
from spikeloom.seeds import generator
from spikeloom.trials import Trials, hdf5


def example(trials: int = 5, time: int = 7, neurons: int = 3) -> Trials:
    rng = generator(0, 99)
    return Trials(
        rng.poisson(0.5, (trials, time, neurons)),
        0.005,
        lengths=rng.integers(1, time + 1, trials),
        behavior={"hand_vel": rng.normal(size=(trials, time, 2)), "lick": rng.random((trials, time, 1)) < 0.5},
        units={"hand_vel": "m/s"},
        conditions={
            "angle": np.arange(trials) * 45.0,
            "target": rng.normal(size=(trials, 2)),
            "name": np.array(["left", "rechts", "µ-Ziel", "", "x"])[:trials],
            "go": np.arange(trials) % 2 == 0,
        },
        neuron_table={"tetrode": np.arange(neurons)},
        rates=rng.random((trials, time, neurons)),
        latents=rng.normal(size=(trials, time, 4)),
        codes=rng.normal(size=(trials, 6)),
        start_times=np.where(np.arange(trials) == 1, np.nan, np.arange(trials) * 1e9),
        source="Ein Versuch mit Übung",
    )


def assert_same(one: Trials, two: Trials) -> None:
    for name in ("counts", "lengths", "rates", "latents", "codes", "start_times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name, strict=True)
    for group in ("behavior", "conditions", "neuron_table"):
        mine, theirs = getattr(one, group), getattr(two, group)
        assert mine.keys() == theirs.keys()
        for name in mine:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
            assert mine[name].dtype.kind == theirs[name].dtype.kind
    assert (one.bin_width, one.source, one.units) == (two.bin_width, two.source, two.units)


def test_what_goes_in_comes_out(tmp_path):
    trials = example()
    trials.save(tmp_path / "t.h5")
    assert_same(Trials.load(tmp_path / "t.h5"), trials)
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5"]


def test_the_least_trials_can_hold(tmp_path):
    trials = Trials(np.zeros((0, 3, 2), int), 0.01)
    trials.save(tmp_path / "t.h5")
    assert Trials.load(tmp_path / "t.h5").counts.shape == (0, 3, 2)


def test_the_layout_is_the_documented_one(tmp_path):
    example().save(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5") as file:
        assert (file.attrs["format"], file.attrs["version"]) == (b"spikeloom-trials", 1)
        assert file.attrs["bin_width"] == 0.005
        assert file["counts"].dtype == np.uint8
        assert file["counts"].chunks == (1, 7, 3)
        assert file["behavior/hand_vel"].attrs["unit"] == b"m/s"
        assert set(file) == {
            "counts", "lengths", "rates", "latents", "codes", "start_times", "behavior", "conditions", "neurons",
        }  # fmt: skip
        every = [file[name] for name in ("counts", "lengths", "rates", "conditions/name", "neurons/tetrode")]
        assert all(data.fletcher32 and data.dtype.kind != "O" for data in every)
        compression = {name: file[name].compression for name in ("counts", "behavior/hand_vel", "rates", "latents")}
        assert compression == {"counts": "gzip", "behavior/hand_vel": "gzip", "rates": None, "latents": None}


def test_a_flipped_bit_is_refused_or_harmless(tmp_path):
    """A flipped bit is detected in the data, in attributes and in the structure."""
    trials = example()
    path = tmp_path / "t.h5"
    trials.save(path)
    full = path.read_bytes()
    refused, silent = 0, []
    for position in range(8, len(full), 29):
        bad = bytearray(full)
        bad[position] ^= 1 << (position % 8)
        path.write_bytes(bad)
        try:
            assert_same(Trials.load(path), trials)
        except FileError:
            refused += 1
        except AssertionError:
            silent.append(position)
    assert not silent
    assert refused > 0.2 * len(full) / 29


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_or_empty_file_is_refused(tmp_path, part):
    path = tmp_path / "t.h5"
    example().save(path)
    full = path.read_bytes()
    path.write_bytes(full[: int(part * len(full))])
    with pytest.raises(FileError, match=r"t\.h5"):
        Trials.load(path)


def test_other_kinds_of_files_are_named(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        Trials.load(tmp_path / "absent.h5")
    with pytest.raises(FileError, match="Is a directory"):
        Trials.load(tmp_path)
    (tmp_path / "text.h5").write_text("neither here nor there")
    with pytest.raises(FileError, match="it is not HDF5"):
        Trials.load(tmp_path / "text.h5")
    for attribute, word in (("nwb_version", "NWB"), ("other", "format is ''")):
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file.attrs[attribute] = "2.9.0"
        with pytest.raises(FileError, match=word) as caught:
            Trials.load(tmp_path / "other.h5")
        assert not isinstance(caught.value, CorruptFileError)


def test_a_newer_version_is_refused(tmp_path):
    example().save(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(FileError, match="Update spikeloom"):
        Trials.load(tmp_path / "t.h5")


def test_missing_counts_are_damage(tmp_path):
    example().save(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "a") as file:
        del file["counts"]
    with pytest.raises(CorruptFileError, match="counts"):
        Trials.load(tmp_path / "t.h5")


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "absent"):
        with pytest.raises(FileError, match="folder"):
            example().save(folder / "t.h5")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """The limit on the size of files makes real writes fail, as a full disk does."""
    path = tmp_path / "t.h5"
    example().save(path)
    before = path.read_bytes()
    big = Trials(generator(1, 99).integers(0, 200, (20, 500, 20)), 0.005)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(FileError, match=r"t\.h5"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t.h5"]


def test_names_and_values_that_hdf5_cannot_hold(tmp_path):
    counts = np.zeros((1, 2, 1), int)
    with pytest.raises(DataError, match="cannot be a name"):
        Trials(counts, 0.1, conditions={"a/b": np.zeros(1)}).save(tmp_path / "t.h5")
    with pytest.raises(DataError, match="numbers or text"):
        Trials(counts, 0.1, conditions={"day": np.zeros(1, "datetime64[D]")}).save(tmp_path / "t.h5")
    assert not list(tmp_path.iterdir())


def test_reading_runs_nothing(tmp_path):
    """Fields come back as plain arrays; no object dtype, hence nothing to unpickle."""
    example().save(tmp_path / "t.h5")
    fields = hdf5.read(tmp_path / "t.h5")
    arrays = [v for v in fields.values() if isinstance(v, np.ndarray)] + list(fields["conditions"].values())
    assert all(array.dtype.kind in "uifbU" for array in arrays)


def test_parts_make_the_file_of_the_whole(tmp_path):
    counts = np.arange(7 * 4 * 2).reshape(7, 4, 2) * 9  # later parts hold larger counts
    words = np.array(["a", "bb", "ccc", "a", "a", "dddd", "e"])  # and longer words
    full = Trials(
        counts,
        0.01,
        lengths=np.array([4, 3, 4, 4, 2, 4, 4]),
        behavior={"v": np.random.default_rng(0).normal(size=(7, 4, 1))},
        units={"v": "m/s"},
        conditions={"word": words},
        neuron_table={"depth": np.array([1.0, 2.0])},
        rates=np.ones((7, 4, 2), np.float32),
        codes=np.arange(14.0).reshape(7, 2),
        start_times=np.arange(7) / 3,
        conditioned_on=["word", "v"],
        source="x",
    )
    hdf5.write_parts(tmp_path / "parts.h5", (part.fields() for part in full.batches(3)))
    result = Trials.load(tmp_path / "parts.h5")
    for name, value in full.fields().items():
        if isinstance(value, dict):
            assert set(value) == set(getattr(result, name))
            for key, column in value.items():
                np.testing.assert_array_equal(getattr(result, name)[key], column)
        elif value is not None:
            np.testing.assert_array_equal(getattr(result, name), value)
    assert (tmp_path / "parts.h5").stat().st_size < 40_000


def test_a_failure_between_parts_leaves_nothing(tmp_path):
    def parts():
        yield Trials(np.ones((2, 3, 1), int), 0.01).fields()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        hdf5.write_parts(tmp_path / "parts.h5", parts())
    assert not list(tmp_path.iterdir())


def test_counts_that_do_not_fit_into_a_file_of_parts_are_refused(tmp_path):
    trials = Trials(np.array([[[70_000]]]), 0.01)
    with pytest.raises(DataError, match="70,000"):
        hdf5.write_parts(tmp_path / "parts.h5", [trials.fields()])
    assert not list(tmp_path.iterdir())
