"""The same spikes give the same counts in every input format, in every unit and on every clock."""

import contextlib
import datetime as dt
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from spikeloom.data.load import load
from spikeloom.errors import SpikeloomWarning

pytest.importorskip("neo")

OFFSETS = (0.0, 1e4, 1.7e9, -3.0)
"""Seconds by which the clock is shifted: none, hours, Unix time, and a clock that began before zero."""

STARTS, LENGTH, WIDTH, N_TRIALS = 1.0, 1.0, 0.1, 3


def neo_train(times, unit, start, stop):
    import neo

    per = {"s": 1, "ms": 1e3, "us": 1e6}[unit]
    return neo.SpikeTrain(times * per, units=unit, t_start=start * per, t_stop=stop * per)


class TsGroup(dict):
    """A stand-in with the attributes of pynapple's TsGroup."""

    def __init__(self, trains, start, stop):
        super().__init__({key: SimpleNamespace(times=lambda t=times: t) for key, times in enumerate(trains)})
        self.time_support = SimpleNamespace(start=np.array([start]), end=np.array([stop]))


def timedelta(times):
    return np.rint(times * 1e9).astype(np.int64).astype("m8[ns]")


def through_every_door(trains, table, ends, folder):
    """Return recordings by the name of the input format."""
    start, stop = ends
    reference = {"trial_table": table, "observed": [ends]}
    frame = pd.DataFrame(table)
    yield "list", load(trains, **reference)
    yield "dict", load({f"n{k}": times for k, times in enumerate(trains)}, **reference)
    yield "lists of floats", load([times.tolist() for times in trains], **reference)
    yield "generator", load((times for times in trains), **reference)
    yield "columns", load([times[:, None] for times in trains], **reference)
    yield "big-endian", load([times.astype(">f8") for times in trains], **reference)
    for unit, factor in (("ms", 1e3), ("us", 1e6), ("s", 1)):
        yield f"quantities in {unit}", load([times * factor * getattr(pq, unit) for times in trains], **reference)
        neo = [neo_train(times, unit, start, stop) for times in trains]
        yield f"neo in {unit}", load(neo, trial_table=table)
        yield f"dict of neo in {unit}", load(dict(enumerate(neo)), trial_table=frame)
        columns = {name: column * factor * getattr(pq, unit) for name, column in table.items()}
        observed = np.array([ends]) * factor * getattr(pq, unit)
        yield f"table in {unit}", load(trains, trial_table=columns, observed=observed)
    yield "timedelta", load([timedelta(times) for times in trains], trial_table=frame, observed=[ends])
    yield (
        "pandas",
        load(
            [pd.to_timedelta(timedelta(times)) for times in trains],
            trial_table=frame.apply(timedelta_column),
            observed=[ends],
        ),
    )
    yield "pynapple", load(TsGroup(trains, start, stop), trial_table=table)
    flat, index = np.concatenate(trains), np.cumsum([len(times) for times in trains])
    np.savez(folder / "s.npz", spike_times=flat, spike_times_index=index, **table)
    cells = np.empty((1, len(trains)), object)
    cells[0] = trains
    savemat(folder / "s.mat", {"units": cells, **table})
    if start >= 0:  # a file of matrices cannot say that its clock began before zero, but by its trials
        yield "npz", load(folder / "s.npz")
        yield "mat", load(folder / "s.mat")


def timedelta_column(column):
    return pd.to_timedelta(timedelta(column.to_numpy()))


def written_by_pynwb(trains, table, ends, folder):
    pynwb = pytest.importorskip("pynwb")
    file = pynwb.NWBFile("a", "b", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    for times in trains:
        file.add_unit(spike_times=times, obs_intervals=np.array([ends]))
    for begin, end in zip(table["start_time"], table["stop_time"], strict=True):
        file.add_trial(start_time=begin, stop_time=end)
    with pynwb.NWBHDF5IO(folder / "s.nwb", "w") as io:
        io.write(file)
    return load(folder / "s.nwb")


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 999), st.sampled_from(OFFSETS), st.integers(1, 3))
def test_the_same_spikes_give_the_same_counts(tmp_path_factory, seed, offset, n_neurons):
    folder, rng = tmp_path_factory.mktemp("doors"), np.random.default_rng(seed)
    stop = 2.0 * N_TRIALS + 2
    # between 10 and 90 % of a bin, so that the rounding of large clocks moves no spike into another bin
    position = [np.sort(rng.choice(int(stop / WIDTH), 25, replace=False)) for _ in range(n_neurons)]
    trains = [(slots + rng.uniform(0.1, 0.9, 25)) * WIDTH for slots in position]
    starts = STARTS + 2.0 * np.arange(N_TRIALS)
    expected = np.array(
        [
            [[np.isin(round((begin + k * WIDTH) / WIDTH), slots).sum() for slots in position] for k in range(10)]
            for begin in starts
        ]
    )
    shifted = [times + offset for times in trains]
    table = {"start_time": starts + offset, "stop_time": starts + LENGTH + offset}
    ends = (offset, stop + offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)
        doors = list(through_every_door(shifted, table, ends, folder))
        with contextlib.suppress(pytest.skip.Exception):
            doors.append(("nwb", written_by_pynwb(shifted, table, ends, folder)))
        for name, recording in doors:
            for options in (
                {},
                {"align": "start_time", "window": (0.0, LENGTH)},
                {"align": "start_time", "window": [0, 1000] * pq.ms},
            ):
                counts = recording.bin(dt.timedelta(milliseconds=100), **options).counts
                np.testing.assert_array_equal(counts, expected, err_msg=f"{name}, {options}")
