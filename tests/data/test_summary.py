"""What `inspect` can say about data, and every caution once."""

import json

import numpy as np
import pytest

from spikeloom.data.recording import Recording
from spikeloom.data.series import BinnedCounts, Series
from spikeloom.data.summary import alike, cautions, summarise
from spikeloom.trials import Trials


def test_a_recording_is_summarised_in_plain_values():
    recording = Recording(
        [np.arange(0, 10, 0.1), np.arange(0, 10, 0.5)],
        behavior={"pos": Series(np.arange(3.0), np.array([0.0, 1.0, np.nan]), "m")},
        trial_table={"start_time": np.zeros(4), "go_time": np.zeros(4), "side": np.array(["l", "r", "r", "r"])},
        observed=np.array([[0.0, 10.0]]),
        source="x.nwb",
    )
    facts = json.loads(json.dumps(summarise(recording)))
    assert (facts["neurons"], facts["trials"], facts["spikes"]) == (2, 4, 120)
    assert facts["align"] == ["start_time", "go_time"]
    assert facts["conditions"] == {"side": {"values": {"l": 1, "r": 3}}}
    assert facts["behavior"]["pos"] == {"unit": "m", "dim": 1, "samples": 3, "range": [0.0, 1.0]}
    np.testing.assert_allclose(facts["rates_hz"], [2, 4, 6, 8, 10])
    assert any("pos is missing (NaN) in 33.3%" in text for text in facts["cautions"])


def test_trials_are_summarised_in_plain_values():
    trials = Trials(
        np.ones((3, 20, 2), int),
        0.1,
        lengths=np.array([20, 15, 12]),
        conditions={"angle": np.array([0.0, 90.0, 90.0]), "xy": np.zeros((3, 2))},
        behavior={"vel": np.ones((3, 20, 1))},
        latents=np.zeros((3, 20, 4)),
    )
    facts = json.loads(json.dumps(summarise(trials)))
    assert facts["bins"] == [12, 20]
    assert facts["conditions"] == {"angle": {"values": {"0.0": 1, "90.0": 2}}, "xy": {"shape": [3, 2]}}
    assert facts["with"] == ["latents"]
    assert facts["rates_hz"] == pytest.approx([10] * 5)


def test_every_caution_is_found():
    rng = np.random.default_rng(0)
    busy = np.sort(rng.random(200) * 100)
    spikes = [busy, np.zeros(0), np.array([1.0, 1.0, 2.0]), busy + 1e-5, np.sort(rng.random(200) * 100)]
    text = " ".join(cautions(Recording(spikes, observed=np.array([[0.0, 100.0]]))))
    assert "1 of 5 neurons never fire (number 1)" in text
    assert "1 of 5 neurons fire below 0.1 spikes/s (number 2)" in text
    assert "several spikes at the same time (1 in all) (number 2)" in text
    assert "Neurons 0 and 3 share" in text
    assert "Neurons 0 and 4" not in text
    counts = rng.poisson(0.5, (50, 8, 3))
    counts[:, :, 2] = counts[:, :, 0]
    text = " ".join(cautions(Trials(counts, 0.001)))
    assert "fire above 300 spikes/s: are these rates in Hz" in text
    assert "50 trials are shorter than 10 bins" in text
    assert "Neurons 0 and 2 share" in text
    assert "no spike times" in cautions(Recording(behavior={}))[0]


def test_a_clean_recording_raises_no_caution():
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.1, (50, 100, 5))
    assert cautions(Trials(counts, 0.01)) == []
    flat = BinnedCounts(np.arange(5000) * 0.01, counts.reshape(-1, 5), 0.01)
    assert cautions(Recording(binned=flat)) == []
    assert alike(Recording(binned=flat)) == []
