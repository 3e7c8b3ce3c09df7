"""Warnings of binning: clocks that differ, and trials that are mostly padding."""

import warnings
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from spikeloom.data.notes import FewSpikesWarning, RepeatedIdsWarning
from spikeloom.data.recording import Recording
from spikeloom.errors import DataError
from spikeloom.trials.padding import PaddingWarning


def recording(starts, stops, *, end: float = 60.0, neurons: int = 5) -> Recording:
    generator = np.random.default_rng(0)
    spikes = [np.sort(generator.uniform(0, end, int(10 * end))) for _ in range(neurons)]
    return Recording(spikes, trial_table={"start_time": np.asarray(starts), "stop_time": np.asarray(stops)})


def test_trial_times_in_milliseconds_are_noticed_although_the_first_trial_holds_all_spikes():
    starts = 3000.0 * np.arange(20)
    with pytest.warns(FewSpikesWarning, match="19 of 20 trials lie before .* the times of the trials are in millis"):
        recording(starts, starts + 2000).bin(1.0)


def test_trials_before_the_first_spike_are_noticed():
    starts = -3.0 * np.arange(20)
    with pytest.warns(FewSpikesWarning, match="1[89] of 20 trials lie before the first"):
        recording(starts, starts + 2).bin(0.5)


def test_a_few_trials_after_the_last_spike_are_nothing_to_speak_of():
    starts = 3.0 * np.arange(30)  # ten of them after the last spike
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording(starts, starts + 2).bin(0.5)


def test_one_trial_a_thousand_times_as_long_as_the_others_is_refused_before_its_memory_is_taken():
    starts = 2.0 * np.arange(1001)
    stops = starts + 1
    stops[-1] = starts[-1] + 1000
    with pytest.raises(DataError, match=r"lasts 1000 s, the median 1 s: 99.8% of the array would be padding"):
        recording(starts, stops, end=3000.0, neurons=100).bin(0.005)


def test_moderate_padding_is_said_once():
    starts = 2.0 * np.arange(21)
    stops = starts + 1
    stops[-1] = starts[-1] + 20
    with pytest.warns(PaddingWarning, match="longest of 21 trials lasts 20 s") as caught:
        recording(starts, stops, end=100.0).bin(0.1)
    assert sum(isinstance(one.message, PaddingWarning) for one in caught) == 1


def test_rates_are_those_of_the_valid_time_and_of_each_unit():
    generator = np.random.default_rng(1)
    spikes = [np.sort(generator.uniform(0, end, int(10 * end))) for end in (60.0, 60.0, 5.0)]
    observed = [np.array([[0.0, end]]) for end in (60.0, 60.0, 5.0)]
    lost = Recording(spikes, observed_each=observed)
    np.testing.assert_allclose(lost.mean_rates_hz(), 10, rtol=1e-6)
    spoiled = Recording(spikes[:2], invalid=[[10.0, 40.0]], observed=[[0.0, 60.0]])
    np.testing.assert_allclose(spoiled.mean_rates_hz(), 10, rtol=0.15)
    assert np.isnan(Recording(spikes[:1], invalid=[[-1.0, 70.0]]).mean_rates_hz()).all()


def test_a_recording_that_is_all_invalid_says_so():
    doubtful = replace(recording([0.0, 3.0], [2.0, 5.0]), invalid=np.array([[-10.0, 100.0]]), source="bad.nwb")
    for settings in ({}, {"every": 2.0}):
        with pytest.warns() if settings else nullcontext(), pytest.raises(DataError, match=r"All .* s of bad.nwb are"):
            doubtful.bin(0.1, **settings)


def test_ids_that_repeat_are_said():
    doubtful = replace(recording([0.0, 3.0], [2.0, 5.0]), neuron_table={"id": np.array([0, 0, 1, 1, 2])})
    with pytest.warns(RepeatedIdsWarning, match=r"same id \(0, 1\)"):
        doubtful.bin(0.1)
    named = replace(doubtful, neuron_table={"id": np.array([0, 0, 1, 1, 2]), "name": np.array(list("abcde"))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named.bin(0.1)
