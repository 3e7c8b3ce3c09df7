"""Text of `spikeloom inspect`: the kind of a file or folder, its contents, and warnings about the data."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spikeloom.cli.matrices import describe_matrices
from spikeloom.shapes import Numbers
from spikeloom.text import counted, verb

if TYPE_CHECKING:
    from spikeloom.data.recording import Recording
    from spikeloom.data.series import Series, StoredSeries
    from spikeloom.shapes import Array
    from spikeloom.trials import Trials

QUIET_HZ = 0.1
"""Mean rate, spikes/s, below which a neuron causes a warning, because most of its statistics cannot be estimated."""

CROWDED = 50
"""Smallest number of spikes in one bin that causes a warning, because such values are probably no counts."""

MOST_LISTED = 12
"""Largest number of distinct values of a column that are listed."""

FEW_TRIALS = 50
"""Number of trials below which a warning is printed."""


def describe(path: Path, *, counts: str | None = None) -> str:
    """Return the description of a recording, trials file, recipe, run or model folder as lines of text.

    Args:
        path: The file or folder.
        counts: Series of binned counts to describe, for a recording without spike times.
    """
    from spikeloom.data.hdf5 import is_zarr

    if path.is_dir() and not is_zarr(path):  # a Zarr store is a recording, for which `load` raises an error
        return "\n".join(_model(path))
    if path.suffix == ".toml":
        from spikeloom.recipe import read_recipe

        return read_recipe(path).dumps().rstrip()
    from spikeloom.data.load import load
    from spikeloom.data.matrices import is_matrix_file
    from spikeloom.data.recording import Recording

    if is_matrix_file(path):
        return describe_matrices(path)
    session = load(path, counts=counts)
    return "\n".join(_recording(session) if isinstance(session, Recording) else _trials(session))


def _recording(recording: "Recording") -> list[str]:
    """Return the lines about a recording."""
    observed_seconds = float(np.diff(recording.intervals, axis=1).sum())
    rates_hz = recording.mean_rates_hz()
    binned = recording.binned
    units = f"{recording.n_neurons}, {counted(recording.spike_count, 'spike')}" if rates_hz.size else "no spike times"
    units += "" if binned is None else f", counts in bins of {binned.bin_width:g} s"
    lines = [
        f"recording     {recording.source}",
        f"neurons       {units}",
        f"observed      {_observed(recording, observed_seconds)}",
        _rates_line(rates_hz),
    ]
    lines += _table("trial table", counted(recording.n_trials, "trial"), recording.trial_table)
    lines += _interval_tables(recording)
    lines += _table("neuron table", "", recording.neuron_table)
    for name, series in recording.behavior.items():
        lines.append(f"behavior      {name}: {_series(series)}")
    if not rates_hz.size:
        candidates = [name for name, series in recording.behavior.items() if series.countlike]
        lines.append(f"beware        {_without_units(candidates)}")
    lines += [f"beware        {text}" for text in _recording_warnings(recording) if text]
    # a continuous recording has no trials, and needs no warning about it
    continuous = rates_hz.size and not recording.n_trials
    # the largest count of a bin is unknown before the recording is binned
    return lines + _warnings(rates_hz, None if continuous else recording.n_trials, largest=0)


def _recording_warnings(recording: "Recording") -> list[str]:
    """Return warnings about units and tables of a recording. An empty text is no warning."""
    from spikeloom.data.notes import repeated_ids, short_units

    warnings = [repeated_ids(recording.neuron_table)]
    if recording.observed_each is not None:
        warnings.append(short_units(recording.observed_each, recording.neuron_names))
    if recording.n_neurons and not recording.n_trials:
        tables = [name for name in recording.tables if name != "invalid_times"]
        use = f"name a table with --trials ({', '.join(tables)}), or " if tables else ""
        warnings.append(f"there is no trial table: to bin, {use}cut pieces with --every")
    return warnings


def _observed(recording: "Recording", observed_seconds: float) -> str:
    """Describe the times in which the neurons were observed, such as "0 to 60 s, 50 s of it in 2 intervals"."""
    intervals = recording.intervals
    if not len(intervals) and recording.invalid is not None and len(recording.invalid):
        return "nothing, because all times are marked as invalid"
    if not len(intervals):
        return "no times"
    number = f" in {len(intervals)} intervals" if len(intervals) > 1 else ""
    text = f"{intervals.min():.10g} to {intervals.max():.10g} s, {observed_seconds:g} s of it{number}"
    if recording.invalid is not None and len(recording.invalid):
        text += f"; {np.diff(recording.invalid).sum():g} s in {counted(len(recording.invalid), 'interval')} are invalid"
    return text


def _interval_tables(recording: "Recording") -> list[str]:
    """Return the lines about each table of intervals and its columns."""
    lines = []
    for name, table in recording.tables.items():
        if name == "trials" and recording.trial_table:  # described as the trial table
            continue
        rows = len(next(iter(table.values()), ()))
        lines += _table(
            "intervals", f"{name}, {counted(rows, 'row')} (use it with --trials {shlex.quote(name)})", table
        )
    return lines


def _series(series: "Series | StoredSeries") -> str:
    """Describe the size, unit and missing samples of a behaviour series."""
    from spikeloom.data.sampling import glance, is_whole_glance

    values = np.asarray(glance(series), float)  # (sample, dim): parts of the series, if it is long
    missing = int(np.isnan(values).any(1).sum())
    gaps = ""
    if missing:
        total = "" if is_whole_glance(series) else f" of {len(values)} samples read"
        gaps = f", {missing}{total} missing"
    start, stop = series.span
    times = f" from {start:.10g} to {stop:.10g} s" if series.n_samples else ""
    return f"{series.n_dims} dim, {series.unit or 'no unit'}, {counted(series.n_samples, 'sample')}{times}{gaps}"


def _without_units(candidates: list[str]) -> str:
    """Return a warning about a recording without spike times, with the series that could hold counts."""
    if candidates:
        listed = ", ".join(candidates)
        return f"there are no spike times: if a series holds spike counts, choose it with --counts ({listed})"
    return "there are no spike times and no series that could hold spike counts: nothing can be binned"


def _trials(trials: "Trials") -> list[str]:
    """Return the lines about trials."""
    shortest, longest = (int(trials.lengths.min()), int(trials.lengths.max())) if len(trials) else (0, 0)
    rates_hz = trials.mean_rates_hz() if trials.n_valid_bins else np.zeros(0)
    largest = int(trials.counts.max()) if trials.counts.size else 0
    equal_lengths = shortest == longest
    lines = [
        f"trials        {len(trials)}, from {trials.source or 'an unknown source'}",
        f"neurons       {trials.n_neurons}, {counted(int(trials.counts.sum(dtype=np.int64)), 'spike')}, at most "
        f"{largest} in a bin",
        f"bins          {longest if equal_lengths else f'{shortest} to {longest}'} of {1000 * trials.bin_width:g} ms"
        f" ({longest * trials.bin_width:g} s{'' if equal_lengths else ' at most'})",
        _rates_line(rates_hz),
    ]
    if trials.start_times is not None and np.isfinite(trials.start_times).any():
        first = np.nanmin(trials.start_times)
        last = np.nanmax(trials.start_times)
        lines.append(f"start_time    trials begin at {first:g} to {last:g} s of the recording")
    if trials.conditioned_on is not None:
        lines.append(f"generated     conditioned on {trials.conditioned_on_in_words()}")
    lines += _table("conditions", "", trials.conditions)
    lines += _table("neuron table", "", trials.neuron_table)
    for name, values in trials.behavior.items():
        lines.append(f"behavior      {name}: {values.shape[2]} dim, {trials.units[name] or 'no unit'}")
    for name in ("rates", "latents", "codes"):
        value = getattr(trials, name)
        if value is not None:
            lines.append(f"{name:<14}{value.shape[-1]} per {'trial' if name == 'codes' else 'bin'}")
    return lines + _warnings(rates_hz, len(trials), largest=largest)


def _model(folder: Path) -> list[str]:
    """Return the lines about a trained model."""
    from spikeloom.recipe import load_model, model_folder

    model = load_model(folder)
    folder_of_model = model_folder(folder)
    facts = model.facts
    lengths = list(facts.lengths)
    weights = sum(parameter.numel() for parameter in model.parameters())
    return [
        f"model         {type(model).__name__}, {weights} weights, in {folder_of_model}",
        f"neurons       {facts.n_neurons}",
        f"bins          {min(lengths)} to {max(lengths)} of {1000 * facts.bin_width:g} ms",
        f"trained on    {counted(facts.n_trials, 'trial')} from {facts.source or 'an unknown source'}",
        *[f"{name:<14}{text}" for name, text in model.notes.items()],
        "",
        (folder_of_model / "recipe.toml").read_text().rstrip(),
    ]


def _rates_line(rates_hz: NDArray[np.float64]) -> str:
    """Return the line about the mean rates of neurons, spikes/s."""
    rates_hz = rates_hz[np.isfinite(rates_hz)]
    if not rates_hz.size:
        return "rates         none"
    low, middle, high = np.quantile(rates_hz, [0, 0.5, 1])
    return f"rates         mean {rates_hz.mean():.3g}, median {middle:.3g}, from {low:.3g} to {high:.3g} spikes/s"


def _table(title: str, text: str, table: "Mapping[str, Array]") -> list[str]:
    """Return the lines about a table: its title with a text beside it, and a line per column.

    Args:
        title: Title of the table.
        text: Text beside the title; it may be empty.
        table: Columns by name.
    """
    if not table and not text:
        return []
    return [
        f"{title:<14}{text}".rstrip(),
        *[f"  {name:<24}{_values(np.asarray(column))}" for name, column in table.items()],
    ]


def _values(column: Numbers) -> str:
    """Summarise the values of a column: its distinct values if they are few, else their range or number."""
    if column.dtype.kind == "f" and column.ndim == 1:
        finite = column[np.isfinite(column)]
        missing = f", {len(column) - len(finite)} missing" if len(finite) < len(column) else ""
        distinct = np.unique(finite)
        if 1 < len(distinct) <= MOST_LISTED:
            return f"{len(distinct)} values: {', '.join(f'{value:g}' for value in distinct)}{missing}"
        return (f"{finite.min():g} to {finite.max():g}" if len(finite) else "no value") + missing
    if column.ndim > 1:
        return f"shape {column.shape}"
    distinct = np.unique(column.astype(str) if column.dtype.kind == "O" else column)
    if len(distinct) == 1:
        return f"always {distinct[0]}"
    if len(distinct) <= MOST_LISTED:
        return f"{len(distinct)} values: {', '.join(map(str, distinct))}"
    whole_numbers = column.dtype.kind in "iu"
    return f"{distinct[0]} to {distinct[-1]}" if whole_numbers else f"{len(distinct)} different values"


def _warnings(rates_hz: NDArray[np.float64], n_trials: int | None, *, largest: int) -> list[str]:
    """Return the lines with warnings.

    Args:
        rates_hz: Mean rate of each neuron, spikes/s.
        n_trials: Number of trials. `None` gives no warning about few trials.
        largest: Largest count of a bin.
    """
    texts = []
    silent = int((rates_hz == 0).sum())
    quiet = int(((rates_hz > 0) & (rates_hz < QUIET_HZ)).sum())
    if silent:
        texts.append(f"{counted(silent, 'neuron')} never {verb(silent, 'fires', 'fire')}")
    if quiet:
        texts.append(f"{counted(quiet, 'neuron')} {verb(quiet, 'fires', 'fire')} below {QUIET_HZ:g} spikes/s")
    if largest >= CROWDED:
        texts.append(f"a bin holds {largest} spikes: are these counts, and is the bin width in seconds?")
    if n_trials is not None and n_trials < FEW_TRIALS:
        texts.append(f"only {counted(n_trials, 'trial')}: the noise floors of an evaluation will be uncertain")
    return [f"beware        {text}" for text in texts]
