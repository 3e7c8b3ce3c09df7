"""Bins and edges, against exact arithmetic and against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data import binning

few = settings(deadline=None, max_examples=60)
widths = st.sampled_from([0.001, 0.005, 0.01, 0.05, 0.1, 1 / 3, 0.02, 0.0333])


def brute(spikes, starts, bins, width):
    """Counts by the definition, one comparison at a time."""
    full = lambda seconds: round(float(seconds) * 1e9)
    out = np.zeros((len(starts), bins, len(spikes)), int)
    for trial, start in enumerate(starts):
        edges = [full(start + k * width) for k in range(bins + 1)]
        for neuron, times in enumerate(spikes):
            for time in map(full, times):
                for k in range(bins):
                    out[trial, k, neuron] += edges[k] <= time < edges[k + 1]
    return out


@few
@given(st.data(), widths, st.integers(1, 12))
def test_counts_equal_brute_force_for_any_event_times(data, width, bins):
    """Random times, and times exactly on edges; trials may overlap."""
    start = st.floats(0, 3, allow_nan=False)
    starts = np.array(data.draw(st.lists(start, min_size=1, max_size=4)))
    on_edge = st.builds(
        lambda i, k: max(float(starts[i % len(starts)] + k * width), 0.0), start.map(int), st.integers(-2, 14)
    )
    times = st.lists(st.one_of(st.floats(0, 5), on_edge), max_size=8)
    spikes = [np.sort(np.array(data.draw(times), float)) for _ in range(data.draw(st.integers(1, 3)))]
    edges = binning.NANOSECONDS.edges(starts, bins, width)
    counts = binning.count_spikes(spikes, edges, np.full(len(starts), bins))
    np.testing.assert_array_equal(counts, brute(spikes, starts, bins, width))


@few
@given(st.data(), widths)
def test_bins_sum_to_the_spikes_of_the_window(data, width):
    """Each spike of a window is counted once, for every division into bins."""
    lengths = np.array(data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)))
    starts = np.cumsum(data.draw(st.lists(st.floats(0, 9), min_size=len(lengths), max_size=len(lengths))))
    spikes = [np.sort(np.array(data.draw(st.lists(st.floats(0, 40), max_size=12)), float))]
    edges = binning.NANOSECONDS.edges(starts, int(lengths.max()), width)
    counts = binning.count_spikes(spikes, edges, lengths)
    when = binning.NANOSECONDS.of(spikes[0])
    for trial, length in enumerate(lengths):
        inside = (when >= edges[trial, 0]) & (when < edges[trial, length])
        assert counts[trial].sum() == inside.sum()
        assert counts[trial, length:].sum() == 0


@pytest.mark.parametrize("width", [0.1, 0.005, 0.001])
def test_an_event_on_an_edge_belongs_to_the_bin_it_begins(width):
    """0.3 < 3 * 0.1 in floats; every k-th edge, written as people write it, must open bin k."""
    bins = 200
    times = np.array([float(f"{k * round(width * 1000)}e-3") for k in range(bins)])
    edges = binning.NANOSECONDS.edges(np.zeros(1), bins, width)
    assert (binning.count_spikes([times], edges, np.array([bins])) == 1).all()
    before = times[1:] - 1e-8
    counts = binning.count_spikes([before], edges, np.array([bins]))[0, :, 0]
    assert (counts[:-1] == 1).all()
    assert counts[-1] == 0


def test_moving_the_clock_by_whole_bins_changes_nothing():
    rng = np.random.default_rng(0)
    spikes = np.sort(rng.integers(0, 2000, 300)) * 1e-3  # on a millisecond grid, hence on edges
    count = lambda shift: binning.count_spikes(
        [spikes + shift], binning.NANOSECONDS.edges(np.array([0.2 + shift]), 300, 0.005), np.array([300])
    )
    for shift in (0.005, 1.0, 86_400.0, 1e6):
        np.testing.assert_array_equal(count(0.0), count(shift))


def test_bins_between_forgives_rounding_but_not_a_missing_bin():
    start = np.array([0.9800000190734863, 0.0, 0.0, 0.0])
    stop = np.array([2.8800000190734867, 0.29999, 0.299, 0.04])
    np.testing.assert_array_equal(binning.bins_between(start, stop, 0.1), [19, 3, 2, 0])


@few
@given(st.data())
def test_common_intervals_equal_brute_force(data):
    """On a grid of half units, a point is common when every neuron has an interval around it."""
    row = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)
    sets = [
        np.array(data.draw(st.lists(row, max_size=4)), float).reshape(-1, 2)
        for _ in range(data.draw(st.integers(1, 3)))
    ]
    result = binning.common_intervals(sets)
    inside = lambda rows, x: any(a < x < b for a, b in rows)
    for x in np.arange(0.5, 12):
        assert inside(result, x) == all(inside(rows, x) for rows in sets)
    assert (result[1:, 0] > result[:-1, 1]).all()


def test_covered_knows_the_edges():
    intervals = np.array([[0.0, 1.0], [2.0, 3.0]])
    starts, stops = np.array([0.0, 0.5, -0.5, 2.0, 1.2, 2.0 - 1e-6]), np.array([1.0, 2.5, 0.5, 3.1, 1.8, 3.0])
    got = binning.covered(starts, stops, intervals, slack=1e-5)
    np.testing.assert_array_equal(got, [True, False, False, False, False, True])
    assert not binning.covered(starts, stops, np.zeros((0, 2)), slack=0.0).any()


def test_a_series_is_averaged_where_dense_and_interpolated_where_sparse():
    edges = binning.NANOSECONDS.edges(np.array([0.0, 0.5]), 4, 0.1)
    lengths = np.array([4, 2])
    dense = np.arange(0, 2, 0.01)
    got = binning.resample(dense, np.stack([dense, dense**0], 1), edges, lengths)
    np.testing.assert_allclose(got[0, :, 0], [0.045, 0.145, 0.245, 0.345])
    np.testing.assert_array_equal(got[1, 2:], 0)
    sparse = np.arange(-1, 3, 0.25)
    got = binning.resample(sparse, 2 * sparse[:, None], edges, lengths)
    np.testing.assert_allclose(got[0, [0, 1, 3], 0], [0.0, 0.3, 0.7], atol=1e-12)  # a sample at 0.0; lines elsewhere


@few
@given(st.floats(-0.3, 0.3))
def test_lag_reads_the_series_later(lag):
    times = np.arange(-1, 2, 0.001)
    edges = binning.NANOSECONDS.edges(np.array([0.0]), 5, 0.02)
    still = binning.resample(times, times[:, None], edges, np.array([5]))
    moved = binning.resample(times, times[:, None], edges, np.array([5]), lag=lag)
    np.testing.assert_allclose(moved - still, lag, atol=1e-3)  # a sample more or less falls inside a bin


def test_gaps_and_missing_samples_are_nan_not_invented():
    edges = binning.NANOSECONDS.edges(np.array([0.0]), 10, 0.1)
    times = np.arange(0.05, 1, 0.1)
    values = np.arange(10.0)[:, None]
    values[4] = np.nan
    got = binning.resample(times, values, edges, np.array([10]))[0, :, 0]
    assert got[4] == pytest.approx(4.0)  # a single missing sample is bridged
    values[3:6] = np.nan
    got = binning.resample(times, values, edges, np.array([10]))[0, :, 0]
    np.testing.assert_array_equal(np.isnan(got), np.isin(np.arange(10), [3, 4, 5]))
    beyond = binning.resample(times[:5], np.ones((5, 1)), edges, np.array([10]))[0, :, 0]
    np.testing.assert_array_equal(np.isnan(beyond), np.arange(10) >= 5)
    nothing = binning.resample(times, np.full((10, 1), np.nan), edges, np.array([10]))
    assert np.isnan(nothing).all()


def test_a_session_is_binned_in_well_under_a_second():
    """728 trials x 97 neurons x 140 bins; CPU time, for the machine may be shared."""
    import time

    rng = np.random.default_rng(0)
    spikes = [np.sort(rng.random(5000) * 3000) for _ in range(97)]
    edges = binning.NANOSECONDS.edges(np.arange(728) * 4.0 + 1.3, 140, 0.005)
    begin = time.process_time()
    binning.count_spikes(spikes, edges, np.full(728, 140))
    assert time.process_time() - begin < 0.5
