"""Counts of every supported type."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
import torch
from scipy import sparse

from spikeloom.data.load import load
from spikeloom.errors import DataError, ShapeError
from spikeloom.trials import Trials

COUNTS = np.random.default_rng(0).poisson(1.0, (2, 5, 3))


class DataArray:
    """A stand-in with the attributes of xarray's DataArray."""

    attrs = ()
    dims = ("neuron", "trial", "time")

    def __array__(self, dtype=None, copy=None):
        return COUNTS.transpose(2, 0, 1)


KINDS = {
    "int8": COUNTS.astype(np.int8),
    "big-endian": COUNTS.astype(">i4"),
    "big-endian floats": COUNTS.astype(">f8"),
    "almost whole": COUNTS + 1e-12 * np.where(np.arange(3) == 1, -1, 1),
    "torch": torch.tensor(COUNTS, dtype=torch.float32, requires_grad=True),
    "bfloat16": torch.tensor(COUNTS).to(torch.bfloat16),
    "sparse torch": torch.tensor(COUNTS).to_sparse(),
    "lists": COUNTS.tolist(),
    "objects": COUNTS.astype(object),
    "fortran": np.asfortranarray(COUNTS),
    "masked nothing": np.ma.masked_array(COUNTS, False),
    "dimensionless": COUNTS * pq.dimensionless,
}


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_every_kind(kind):
    trials = Trials.from_array(KINDS[kind], axes="trial time neuron", bin_width=0.1)
    np.testing.assert_array_equal(trials.counts, COUNTS)
    assert trials.counts.dtype == np.uint8


def test_read_only_arrays_stay_as_they_are():
    counts = COUNTS.copy()
    counts.flags.writeable = False
    np.testing.assert_array_equal(Trials(counts, 0.1).counts, COUNTS)
    raster = COUNTS > 0
    np.testing.assert_array_equal(Trials(raster, 0.1).counts, raster)


def test_arrays_with_two_axes_or_names():
    one = COUNTS[0]
    for value in (sparse.csr_matrix(one), sparse.coo_array(one), pd.DataFrame(one)):
        np.testing.assert_array_equal(load(value, axes="time neuron", bin_width=100 * pq.ms).counts[0], one)
    ragged = load([sparse.csr_matrix(COUNTS[0]), torch.tensor(COUNTS[1, :2])], bin_width=0.1)
    np.testing.assert_array_equal(ragged.counts[1, :2], COUNTS[1, :2])
    np.testing.assert_array_equal(load(DataArray(), bin_width=0.1).counts, COUNTS)


def test_padding_of_nan_or_masked_bins_becomes_lengths():
    padded = COUNTS.astype(float)
    padded[1, 3:] = np.nan
    masked = np.ma.masked_array(COUNTS, np.isnan(padded))
    for value in (padded, masked, torch.tensor(padded)):
        trials = Trials.from_array(value, axes="trial time neuron", bin_width=0.1)
        assert trials.lengths.tolist() == [5, 3]
        np.testing.assert_array_equal(trials.counts[1, :3], COUNTS[1, :3])
        assert trials.counts[1, 3:].sum() == 0
    assert Trials(padded, 0.1, lengths=np.array([5, 3])).lengths.tolist() == [5, 3]
    assert Trials(padded, 0.1, lengths=np.array([4, 2])).lengths.tolist() == [4, 2]


def test_nan_that_is_no_padding_is_refused():
    for where in ((0, 2), (1, 4, 1)):
        holed = COUNTS.astype(float)
        holed[where] = np.nan
        with pytest.raises(DataError, match="whole numbers"):
            Trials(holed, 0.1)
        with pytest.raises(DataError, match="whole numbers"):
            Trials(np.ma.masked_array(COUNTS, np.isnan(holed)), 0.1)
    empty = COUNTS.astype(float)
    empty[1] = np.nan
    with pytest.raises(DataError, match="Trial 1 has none"):
        Trials(empty, 0.1)


def test_what_is_no_count_is_refused():
    for value in (COUNTS + 0.01, COUNTS - 1, COUNTS + 0j, COUNTS * pq.Hz, COUNTS.astype(str)):
        with pytest.raises(DataError):
            Trials(value, 0.1)
    with pytest.raises(DataError, match=r"cut by trial|needs a bin width"):
        load([COUNTS[0], COUNTS[1]])


def test_columns_and_cells_of_matlab_are_spike_times():
    times = [np.array([[0.1], [0.2], [0.7]]), np.array([[0.3]]), np.zeros((0, 0))]
    cells = np.empty((3, 1), object)
    cells[:, 0] = times
    for value in (times, cells, cells.T, cells.ravel()):
        trials = load(value, trial_table=[(0.0, 1.0)]).bin(0.5)
        np.testing.assert_array_equal(trials.counts[0], [[2, 1, 0], [1, 0, 0]])
    with pytest.raises(ShapeError, match="one axis"):
        load({"a": np.ones((2, 3))})


def test_missing_text_of_conditions_and_neurons_is_no_category():
    trials = Trials(
        COUNTS,
        0.1,
        conditions={"cue": np.array(["left", None], object)},
        neuron_table={"area": np.array(["CA1", np.nan, None], object)},
    )
    assert trials.conditions["cue"].tolist() == ["left", ""]
    assert trials.neuron_table["area"].tolist() == ["CA1", "", ""]


def test_masked_spike_times_are_left_out_with_a_note():
    masked = np.ma.masked_array([0.1, 0.2, 0.7], [False, True, False])
    with pytest.warns(UserWarning, match="1 masked spike time of neuron 0"):
        recording = load([masked], trial_table=[(0.0, 1.0)])
    assert recording.spikes[0].tolist() == [0.1, 0.7]
