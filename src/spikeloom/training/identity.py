"""Identity of a run: an entry for everything that its training reads, stored in `run.json` of the run folder.

A run folder holds one run. Before a run resumes, or its finished model is loaded, the entries in `run.json` are
compared with the entries of the present call. If an entry differs, an error names the difference. Arrays are stored as
their SHA-256, other data as they are. Trials have these entries:

============================== ========================================================
number of trials; bin width, s the values
lengths, counts                hashes; of the counts in valid bins, so padding does not matter
rates, latents                 hashes, if the model learns from them
condition NAME, behavior NAME  hashes of those that the model is conditioned on
neurons                        hash of the columns `id` and `name` of the neuron table
============================== ========================================================

Data that training does not read (other columns and series, `source`) are not part of the identity.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.files import read_json, write_json
from spikeloom.shapes import Array
from spikeloom.text import counted
from spikeloom.training.plan import Plan
from spikeloom.training.stage import batch_size
from spikeloom.trials import Trials

FORMAT = "spikeloom-run"
VERSION = 2
FILE = "run.json"

NEURON_COLUMNS = ("id", "name")
"""Columns of the neuron table that identify the neurons."""

SHOWN = 3
"""Largest number of differences that a message names. Further differences are only counted."""

ABSENT = "absent"

Identity = dict[str, object]
"""Nested plain values by name, as in JSON."""


def trials_identity(trials: Trials, *, signal: str = "counts", columns: Iterable[str] = ()) -> Identity:
    """Return the identity of the data in trials that a model reads.

    Args:
        trials: Trials to identify.
        signal: Field from which the model learns besides the counts: "counts" (none), "rates" or "latents".
        columns: Names of the conditions and behaviour series on which the model is conditioned. A name that is missing
            in the trials has no entry.
    """
    identity: Identity = {
        "number of trials": len(trials),
        "bin width, s": trials.bin_width,
        "lengths": _hash_values(trials.lengths),
        "counts": _hash_bins(trials.counts, trials),
    }
    values = getattr(trials, signal)
    if signal != "counts" and values is not None:
        identity[signal] = _hash_bins(values, trials)
    for name in columns:
        if name in trials.behavior:
            identity[f"behavior {name}"] = _hash_bins(trials.behavior[name], trials, trials.units[name])
        elif name in trials.conditions:
            identity[f"condition {name}"] = _hash_values(trials.conditions[name])
    neurons = {name: trials.neuron_table[name] for name in NEURON_COLUMNS if name in trials.neuron_table}
    if neurons:
        identity["neurons"] = _hash_text(json.dumps({name: value.tolist() for name, value in neurons.items()}))
    return identity


def run_identity(
    settings: Mapping[str, object],
    training: Identity,
    validation: Identity | None,
    *,
    seed: int,
    start: str | None,
    plans: Mapping[str, Plan],
    n_processes: int,
) -> Identity:
    """Return the identity of a training run.

    Args:
        settings: Settings of the model as plain values.
        training: Identity of the training trials.
        validation: Identity of the validation trials, or None.
        seed: Random seed of the run.
        start: SHA-256 of the initial weights; None for random weights.
        plans: Plan of each stage by name.
        n_processes: Number of processes that train. It matters only if a batch cannot be divided evenly among them.
    """
    n_trials = training["number of trials"]
    assert isinstance(n_trials, int)
    return {
        "format": FORMAT,
        "version": VERSION,
        "seed": seed,
        "settings": dict(settings),
        "start weights": start,
        "training trials": training,
        "validation trials": validation,
        "trials per update": {name: batch_size(plan, n_trials, n_processes) for name, plan in plans.items()},
    }


def claim(folder: Path, identity: Identity, *, write: bool, later: Sequence[str] = ()) -> None:
    """Check that a run folder belongs to this run. An empty folder is marked as the folder of this run.

    Args:
        folder: Path of the run folder.
        identity: Identity of this run.
        write: True to write `run.json` into a folder that has none, or whose run gets a later stage.
        later: Settings of a stage that a run can add. The first is its plan.

    Raises:
        SettingError: if the folder belongs to another run; the message names the differences.
    """
    path = folder / FILE
    identity = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    if not path.exists():
        if write:
            _refuse_unknown(folder)
            write_json(path, identity)
        return
    recorded = read_json(path)
    if (recorded.get("format"), recorded.get("version")) != (FORMAT, VERSION):
        raise SettingError(
            f"The run in {folder} was started by another version of spikeloom.",
            "Its data and settings cannot be compared.",
            "Choose another folder for --out, or use the version that started it.",
        )
    # If the recorded run has no later stage yet, this run may add one, so the settings of that stage may differ.
    addable = bool(later) and setting_of(recorded, later[0]) is None
    left_out = later if addable else ()
    different = list(differences(_without(recorded, left_out), _without(identity, left_out)))
    if different:
        remainder = f", and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
        raise SettingError(
            f"The run in {folder} was started with other data or settings:",
            f"{'; '.join(different[:SHOWN])}{remainder}.",
            "Choose another folder for --out, or use the data and settings that the run was started with.",
        )
    if write and addable and setting_of(identity, later[0]) is not None:
        write_json(path, identity)


def setting_of(run: Mapping[str, object], name: str) -> object:
    """Return a setting as plain values, from the content of run.json or config.json; None if it is missing."""
    settings = run.get("settings")
    value = settings.get(name) if isinstance(settings, Mapping) else None
    return json.loads(json.dumps(value))  # plain values: tuples become lists, as in a file


def _without(identity: Mapping[str, object], names: Sequence[str]) -> Identity:
    """Return an identity without the entries of these names in its groups: settings, and trials per update of plans."""
    result: Identity = {}
    for group, entries in identity.items():
        if isinstance(entries, Mapping):
            result[group] = {key: value for key, value in entries.items() if key not in names}
        else:
            result[group] = entries
    return result


def _refuse_unknown(folder: Path) -> None:
    """Raise a SettingError if the folder has no `run.json` but files that the run would replace."""
    names = ("model", "checkpoints", "recipe.toml", "history.jsonl", "log.txt")
    existing = [name for name in names if (folder / name).exists()]
    if existing:
        raise SettingError(
            f"{folder} holds {', '.join(existing)}, but no {FILE} that describes the run.",
            "",
            "Choose another folder for --out.",
        )


def differences(recorded: Mapping[str, object], identity: Mapping[str, object]) -> Iterator[str]:
    """Yield a description of each entry that differs between two identities.

    Args:
        recorded: Identity in the folder.
        identity: Identity of this run.
    """
    for group, new in identity.items():
        old = recorded.get(group)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            old_values = _flat(old)
            new_values = _flat(new)
            for key in dict.fromkeys([*new_values, *old_values]):
                old_value = old_values.get(key, ABSENT)
                new_value = new_values.get(key, ABSENT)
                if old_value != new_value:
                    yield _difference(f"{group}: {key}", old_value, new_value)
        elif old != new:
            yield _difference(group, old, new)


def _difference(name: str, old: object, new: object) -> str:
    """Return the description of an entry that differs, for a message."""
    return f"{name} ({_short(old)} in the folder, {_short(new)} now)"


def _short(value: object) -> str:
    """Return a value as a short text for a message: trials as their number, hashes as their first digits."""
    if isinstance(value, Mapping):
        return counted(int(value["number of trials"]), "trial") if "number of trials" in value else "others"
    if value is None:
        return "none"
    if isinstance(value, str) and len(value) == 64:  # the digits of a SHA-256
        return f"sha256 {value[:12]}"
    return shorten(str(value), 60, placeholder=" ...")


def _flat(value: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return the values of nested mappings in one dictionary; keys of different depths are joined by dots."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def _hash_bins(values: Array, trials: Trials, unit: str = "") -> str:
    """Return the SHA-256 of the valid bins of an array (trial, time, ...), its kind of number, last axes and unit."""
    digest = hashlib.sha256(f"{values.dtype.kind} {values.shape[2:]} {unit}".encode())
    for row, length in zip(values, trials.lengths, strict=True):
        digest.update(np.ascontiguousarray(row[:length]).tobytes())
    return digest.hexdigest()


def _hash_values(values: Array) -> str:
    """Return the SHA-256 of values per trial. 1, 1.0 and "1" have different hashes, as they differ for a model."""
    return _hash_text(json.dumps(values.tolist()))


def _hash_text(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
