"""Spike times that are cut by trial."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data.load import load
from spikeloom.errors import DataError, SettingError, ShapeError
from spikeloom.trials import Trials
from spikeloom.trials.by_trial import MissingTimesWarning, UnobservedTrialsWarning

NESTED = [[[0.1, 0.2], [0.3]], [[0.1], [0.2, 0.5]]]
COUNTS = [[[2, 0], [0, 1]], [[1, 1], [0, 0]]]  # bins of 0.25 s in (0, 0.5); 0.5 lies outside


def binned(times, **more):
    return Trials.from_spike_times(times, **{"window": (0, 0.5), "bin_width": 0.25, **more})


def cells(rows):
    """Object array (trial, neuron)."""
    out = np.empty((len(rows), len(rows[0])), object)
    for index in np.ndindex(out.shape):
        out[index] = np.array(rows[index[0]][index[1]])[:, None]  # columns, as of MATLAB
    return out


def block(rows, *, stop=1.0, start=0.0):
    neo = pytest.importorskip("neo")
    made = neo.Block()
    for row in rows:
        segment = neo.Segment()
        segment.spiketrains.extend(
            [neo.SpikeTrain(1000 * np.array(times) * pq.ms, t_start=start * pq.s, t_stop=stop * pq.s) for times in row]
        )
        made.segments.append(segment)
    return made


KINDS = {
    "lists": lambda: NESTED,
    "tuples": lambda: tuple(tuple(map(tuple, row)) for row in NESTED),
    "arrays": lambda: [[np.array(times) for times in row] for row in NESTED],
    "cells": lambda: cells(NESTED),
    "dicts": lambda: [{"a": row[0], "b": row[1]} for row in NESTED],
    "ms": lambda: [[1000 * np.array(times) * pq.ms for times in row] for row in NESTED],
    "timedelta": lambda: [[pd.to_timedelta(times, unit="s") for times in row] for row in NESTED],
    "generators": lambda: ((np.array(times) for times in row) for row in NESTED),
    "Block": lambda: block(NESTED),
    "Segments": lambda: block(NESTED).segments,
}


@pytest.mark.parametrize("kind", KINDS)
def test_times_of_every_kind_give_the_same_counts(kind):
    assert binned(KINDS[kind]()).counts.tolist() == COUNTS


def test_neuron_by_neuron():
    turned = [list(column) for column in zip(*NESTED, strict=True)]
    assert binned(turned, axes="neuron trial").counts.tolist() == COUNTS
    assert binned(cells(NESTED).T, axes="neuron trial").counts.tolist() == COUNTS
    named = binned({"a": turned[0], "b": turned[1]})
    assert named.counts.tolist() == COUNTS
    assert named.neuron_table["name"].tolist() == ["a", "b"]


def test_windows_and_widths_with_units_and_times_before_zero():
    trials = binned([[[-100.0, 50.0] * pq.ms]], window=(-250 * pq.ms, 250 * pq.ms), bin_width=250 * pq.ms)
    assert trials.counts.tolist() == [[[1], [1]]]
    assert trials.bin_width == 0.25


def test_silent_neurons_unsorted_and_missing_times():
    assert binned([[[], [0.3, 0.1]], [[0.2], []]]).counts.tolist() == [[[0, 1], [0, 1]], [[1, 0], [0, 0]]]
    with pytest.warns(MissingTimesWarning, match="3 missing spike times"):
        trials = binned([[[0.1, None], [0.3, np.nan]], [np.ma.masked_array([0.1, 0.2], [False, True]), []]])
    assert trials.counts.sum() == 3


def test_trials_that_were_not_observed_are_left_out_with_their_conditions():
    rows = block(NESTED)
    rows.segments[0] = block(NESTED[:1], stop=0.4).segments[0]
    with pytest.warns(UnobservedTrialsWarning, match="1 of 2 trials was not observed for the whole window"):
        trials = binned(rows, conditions={"cue": np.array(["left", "right"])})
    assert trials.conditions["cue"].tolist() == ["right"]
    with pytest.raises(DataError, match=r"observed from 0 to 1 s"):
        binned(block(NESTED), window=(0, 2))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([[0.1, 0.2], [0.3]], "lists of plain numbers"),
        ([0.1, 0.2], "A trial is float"),
        ([np.zeros(3)], "A trial is ndarray of shape"),
        ([[[0.1], [0.2]], [[0.1]]], "There are from 1 to 2"),
        ([{"a": [0.1]}, {"b": [0.1]}], "Trial 1 has b, trial 0 has a"),
        ([], "0 trials"),
        ([[], []], "2 trials without neurons"),
    ],
)
def test_times_that_are_not_nested_are_refused_with_the_form_that_works(times, message):
    with pytest.raises(ShapeError, match=message):
        binned(times)


def test_what_is_no_time_is_named_by_trial_and_neuron():
    with pytest.raises(DataError, match="Spike times of trial 1, neuron 0 must be"):
        binned([[[0.1]], [["0.1"]]])
    with pytest.raises(DataError, match=r"trial 0, neuron 0.*unit is mV"):
        binned([[[1.0, 2.0] * pq.mV]])
    with pytest.raises(SettingError, match=r"2\.5 bins"):
        binned(NESTED, bin_width=0.2)
    with pytest.raises(SettingError, match="trial neuron"):
        binned(NESTED, axes="neuron time")


def test_load_shows_the_form_that_works():
    for times in (NESTED, {"a": NESTED[0]}, block(NESTED), cells(NESTED)):
        with pytest.raises(DataError, match=r"sl\.Trials\.from_spike_times"):
            load(times)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 99), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.001, 0.01, 0.1]), st.integers(-5, 5)
)
def test_each_trial_counts_as_a_recording_of_its_own(seed, n_trials, n_neurons, width, first):
    rng = np.random.default_rng(seed)
    draw = lambda: np.sort(np.round(rng.uniform(-1, 2, rng.integers(0, 30)), 3))
    rows = [[draw() for _ in range(n_neurons)] for _ in range(n_trials)]
    rows[0][0] = np.array([0.5])
    window = (first * width, (first + 7) * width)
    trials = Trials.from_spike_times(rows, window=window, bin_width=width)
    for trial, row in enumerate(rows):
        low, high = (round(edge * 1e9) for edge in window)
        inside = [sum(low <= round(time * 1e9) < high for time in times) for times in row]
        assert trials.counts[trial].sum(0).tolist() == inside
