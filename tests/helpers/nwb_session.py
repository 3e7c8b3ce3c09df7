"""NWB files of five units and twenty trials, which a test can extend or damage."""

import datetime
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
from numpy.typing import NDArray

SECONDS = 60.0
N_UNITS = 5
N_TRIALS = 20
STARTS = 3.0 * np.arange(N_TRIALS)


def spike_trains(seed: int = 0) -> list[NDArray[np.float64]]:
    """Five Poisson units of 10 spikes/s over a minute."""
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, SECONDS, rng.poisson(10 * SECONDS))) for _ in range(N_UNITS)]


def new_file() -> pynwb.NWBFile:
    """An NWB file without content."""
    utc = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return pynwb.NWBFile(session_description="d", identifier="i", session_start_time=utc)


def write(file: pynwb.NWBFile, path: Path) -> Path:
    """Write the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pynwb.NWBHDF5IO(path, "w") as out:
            out.write(file)
    return path


def session(
    path: Path,
    *,
    spikes: Sequence[NDArray[np.float64]] | None = None,
    ids: Sequence[int] | None = None,
    unit_columns: dict[str, Sequence[Any]] | None = None,
    observed: Sequence[NDArray[np.float64]] | None = None,
    starts: NDArray[np.float64] | None = STARTS,
    trial_columns: dict[str, Sequence[Any]] | None = None,
    more: Callable[[pynwb.NWBFile], None] | None = None,
) -> Path:
    """Write units of 10 spikes/s and trials of two seconds that begin at `starts`; `more` adds to the file."""
    file = new_file()
    trains = spike_trains() if spikes is None else spikes
    columns = unit_columns or {}
    for name in columns:
        file.add_unit_column(name, name)
    for unit, times in enumerate(trains):
        row: dict[str, Any] = {name: column[unit] for name, column in columns.items()}
        if ids is not None:
            row["id"] = ids[unit]
        if observed is not None:
            row["obs_intervals"] = observed[unit]
        file.add_unit(spike_times=times, **row)
    if starts is not None:
        for name in trial_columns or {}:
            file.add_trial_column(name, name)
        for trial, start in enumerate(starts):
            values = {name: column[trial] for name, column in (trial_columns or {}).items()}
            file.add_trial(start_time=start, stop_time=start + 2.0, **values)
    if more is not None:
        more(file)
    return write(file, path)


def table(file: pynwb.NWBFile, name: str, rows: Sequence[tuple[float, float]], **columns: Sequence[Any]) -> None:
    """Add a table of intervals to the file."""
    intervals = pynwb.epoch.TimeIntervals(name=name, description=name)
    for column in columns:
        intervals.add_column(column, column)
    for row, (start, stop) in enumerate(rows):
        values = {column: entries[row] for column, entries in columns.items()}
        intervals.add_row(start_time=start, stop_time=stop, **values)
    file.add_time_intervals(intervals)
