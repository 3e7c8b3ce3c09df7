"""The layout of the Neural Latents Benchmark: monkey reaches (MC_Maze and others), prepared as in the LDNS paper.

An NLB session is an NWB file whose units table has a column `heldout`, whose trials table has a column `split`
("train", "val"; "test" in the file of test trials, "none" for unused trials), and whose behaviour is in the
processing module `behavior`, in millimetres. Here

- spikes of held-in and held-out units are counted in bins of 5 ms; the column `heldout` distinguishes them;
- a trial is the window from 250 ms before to 450 ms after movement onset, 140 bins;
- behaviour is read later than the spikes of the same bin: by 100 ms for MC_Maze, 120 ms for its small versions,
  140 ms for MC_RTT and -20 ms for Area2_Bump. Its units are metres and m/s;
- `angle_deg` is the direction of the hand velocity in the bin of movement onset, not the direction of the target.

The paper trains on the benchmark's training trials and the first half of its validation trials, in the order of the
file. A random quarter of the other validation trials is used for validation, the rest for tests.

Source: Pei et al. 2021 (NLB); METHODS of Kapoor et al. 2024 (LDNS). Their released code has the same shifts and splits.
"""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spikeloom.data.nwb import read_nwb
from spikeloom.data.recording import Recording
from spikeloom.data.series import Series
from spikeloom.errors import DataError
from spikeloom.seeds import Purpose, generator
from spikeloom.trials import Trials

MAZE_WINDOW = (-0.25, 0.45)
"""Seconds around movement onset."""

MAZE_LAG = 0.1
"""Seconds by which hand behaviour follows the spikes in MC_Maze."""

METRES = {"mm": 1e-3, "cm": 1e-2}
"""Factors to metres."""

USED = ("train", "val")
"""Values of `split` whose trials have both spikes and behaviour."""


def read_nlb(
    path: str | os.PathLike[str],
    *,
    bin_width: float = 0.005,
    align: str = "move_onset_time",
    window: tuple[float, float] = MAZE_WINDOW,
    lag: float = MAZE_LAG,
    behavior: Sequence[str] = ("hand_vel",),
) -> Trials:
    """Read the training and validation trials of an NLB session, in the order of the file.

    Args:
        path: Path of the NWB file of training and validation trials.
        bin_width: Width of a bin in seconds.
        align: Column of the trial table with the time of the event that becomes time 0.
        window: Start and end in seconds relative to this event.
        lag: Seconds by which behaviour is read later than spikes. The `source` of the trials contains it.
        behavior: Series to keep, in metres and m/s. The velocity `hand_vel` adds a condition `angle_deg`.

    Returns:
        Trials with the condition `split`, and `heldout` in the neuron table.

    Raises:
        DataError: if the file has another layout.
    """
    recording = in_metres(read_nwb(path))
    missing = [name for name in ("split", align) if name not in recording.trial_table]
    if "heldout" not in recording.neuron_table:
        missing.append("heldout")
    if missing:
        raise DataError(
            f"An NLB session has trials with the columns split and {align}, and units with the column heldout.",
            f"{recording.source} has no {', '.join(missing)}.",
            "Bin other recordings with `spikeloom bin`.",
        )
    used = np.isin(recording.trial_table["split"], USED)
    table = {name: column[used] for name, column in recording.trial_table.items()}
    with_used_trials = replace(recording, trial_table=table)
    trials = with_used_trials.bin(
        bin_width, align=align, window=window, conditions=["split"], behavior=behavior, lag=lag
    )
    conditions = dict(trials.conditions)
    if "hand_vel" in trials.behavior:
        onset = min(max(round(-window[0] / bin_width), 0), trials.n_bins - 1)  # bin of the event
        x, y = trials.behavior["hand_vel"][:, onset, :2].T
        conditions["angle_deg"] = np.degrees(np.arctan2(y, x)) % 360
    return replace(trials, conditions=conditions, source=f"{trials.source}, behaviour {1000 * lag:g} ms after spikes")


def paper_split(trials: Trials, *, seed: int = 42) -> tuple[Trials, Trials, Trials]:
    """Return training, validation and test trials, divided as in the LDNS paper.

    MC_Maze then has 2008 training, 71 validation and 216 test trials.

    Args:
        trials: Trials of `read_nlb`, in the order of the file.
        seed: Random seed of the choice of validation trials.

    Raises:
        DataError: if there is no column `split` with training and validation trials.
    """
    split = trials.conditions.get("split", np.zeros(len(trials)))
    marked_train = np.flatnonzero(split == "train")
    marked_val = np.flatnonzero(split == "val")
    half = (len(marked_val) + 1) // 2
    held_back = marked_val[half:]  # for validation and tests
    if not len(marked_train) or len(held_back) < 4:
        raise DataError(
            "The paper's split needs training trials and at least eight validation trials.",
            f"There are {len(marked_train)} training and {len(marked_val)} validation trials.",
            "Use the NLB file of training trials, or divide other trials with `spikeloom split`.",
        )
    order = generator(seed, Purpose.SPLIT).permutation(held_back)
    n_validation = len(held_back) // 4
    train = trials.select(np.sort(np.concatenate([marked_train, marked_val[:half]])))
    validation = trials.select(np.sort(order[:n_validation]))
    test = trials.select(np.sort(order[n_validation:]))
    return train, validation, test


def in_metres(recording: Recording) -> Recording:
    """Convert behaviour in mm or cm to metres."""
    behavior = {}
    for name, series in recording.behavior.items():
        length_unit, _, time_unit = series.unit.strip().partition("/")
        factor = METRES.get(length_unit.strip().lower())
        if factor is None:
            behavior[name] = series
        else:
            unit = f"m/{time_unit.strip()}" if time_unit else "m"
            behavior[name] = Series(series.times, series.values.astype(np.float64) * factor, unit)
    return replace(recording, behavior=behavior)
