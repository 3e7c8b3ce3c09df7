"""Summary of a recording or of trials as plain values, with warnings about data that could spoil a fit."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse

from spikeloom.data.recording import Recording
from spikeloom.shapes import Array
from spikeloom.trials import Trials

QUIET_HZ = 0.1
"""Mean rate, spikes/s, below which most statistics of a neuron cannot be estimated."""

IMPOSSIBLE_HZ = 300.0
"""Mean rate, spikes/s, above which counts are probably rates in Hz."""

COINCIDENCE = 0.001
"""Width of a bin, s, in which spikes of two neurons count as the same spike detected twice."""

ALIKE = 0.5
"""Fraction of coincident spikes, or correlation of counts, above which two neurons look like one sorted twice."""

SHORT = 10
"""Number of bins below which a trial is too short for most statistics."""

SHOWN = 12
"""Largest number of distinct values of a condition that are listed individually."""


def summarise(data: Recording | Trials) -> dict[str, object]:
    """Return shapes, units, rates, conditions, behaviour and cautions as plain values for JSON.

    Rates are the smallest, the quartiles and the largest of the neurons' mean rates in spikes/s.
    """
    facts: dict[str, object] = {"kind": type(data).__name__, "source": data.source, "neurons": data.n_neurons}
    if isinstance(data, Recording):
        plain = {name: column for name, column in data.trial_table.items() if column.ndim == 1}
        facts |= {
            "trials": data.n_trials,
            "spikes": data.spike_count,
            "observed_s": _duration(data),
            "bin_width": None if data.binned is None else data.binned.bin_width,
            "align": [name for name, column in plain.items() if column.dtype.kind == "f" and "time" in name],
            "conditions": {name: _values(column) for name, column in plain.items() if "time" not in name},
            "behavior": {
                name: {"unit": series.unit, "dim": series.values.shape[1], "samples": len(series.times)}
                | _range(series.values)
                for name, series in data.behavior.items()
            },
            "counts": [name for name, series in data.behavior.items() if series.countlike],
        }
    else:
        facts |= {
            "trials": len(data),
            "spikes": int(data.counts.sum(dtype=np.int64)),
            "bins": [int(data.lengths.min(initial=data.n_bins)), int(data.lengths.max(initial=0))],
            "bin_width": data.bin_width,
            "conditions": {name: _values(column) for name, column in data.conditions.items()},
            "behavior": {
                name: {"unit": data.units[name], "dim": values.shape[2]} | _range(values[data.mask])
                for name, values in data.behavior.items()
            },
            "with": [name for name in ("rates", "latents", "codes") if getattr(data, name) is not None],
        }
    rates = rates_hz(data)
    facts["rates_hz"] = [float(q) for q in np.quantile(rates, [0, 0.25, 0.5, 0.75, 1])] if rates.size else []
    facts["cautions"] = cautions(data)
    return facts


def rates_hz(data: Recording | Trials) -> Float[np.ndarray, " neuron"]:
    """Return the mean rate of each neuron over all observed times, in spikes/s; NaN if nothing was observed."""
    if isinstance(data, Trials):
        return data.mean_rates_hz() if data.n_valid_bins else np.full(data.n_neurons, np.nan)
    return data.mean_rates_hz()


def cautions(data: Recording | Trials) -> list[str]:
    """Return sentences about data that could spoil a fit; an empty list if there are none."""
    rates = rates_hz(data)
    texts = [
        _neurons(rates == 0, "never fire"),
        _neurons((rates > 0) & (rates < QUIET_HZ), f"fire below {QUIET_HZ:g} spikes/s"),
        _neurons(rates > IMPOSSIBLE_HZ, f"fire above {IMPOSSIBLE_HZ:g} spikes/s: are these rates in Hz, not counts?"),
    ]
    if isinstance(data, Recording):
        if data.spikes is not None:
            twice = np.array([int((np.diff(times) == 0).sum()) for times in data.spikes])
            texts.append(_neurons(twice > 0, f"have several spikes at the same time ({twice.sum()} in all)"))
        if not data.n_neurons:
            texts.append("There are no spike times; choose a series of counts with --counts.")
        for name, series in data.behavior.items():
            texts.append(_missing(name, series.values))
    else:
        for name, values in data.behavior.items():
            texts.append(_missing(name, values[data.mask]))
        short = int(np.count_nonzero(np.asarray(data.lengths, np.int64) < SHORT))
        texts.append(f"{short} trials are shorter than {SHORT} bins." if short else "")
    texts += [f"Neurons {a} and {b} share {share:.0%} of their spikes." for a, b, share in alike(data)]
    return [text for text in texts if text]


def alike(data: Recording | Trials) -> list[tuple[int, int, float]]:
    """Return pairs of neurons that look like one neuron sorted twice, with their similarity.

    For spike times, similarity is the fraction of the quieter neuron's spikes that have a partner in the same
    millisecond. For counts it is the correlation over bins. Pairs with at least one half are listed, without neurons
    with fewer than 20 spikes.
    """
    if isinstance(data, Recording) and data.spikes is not None:
        rows = np.repeat(np.arange(data.n_neurons), [len(times) for times in data.spikes])
        when = np.concatenate([np.floor(times.astype(np.float64) / COINCIDENCE) for times in data.spikes])
        _, column = np.unique(when, return_inverse=True)
        seen = sparse.csr_matrix((np.ones(len(rows)), (rows, column)))
        seen.data[:] = 1.0  # several spikes of one neuron in a millisecond are one
        spikes = np.asarray(seen.sum(1)).ravel()
        likeness = (seen @ seen.T).toarray() / np.maximum(np.minimum.outer(spikes, spikes), 1)
    else:
        counts = _bins_of(data)
        spikes = counts.sum(0, dtype=np.float64)
        centred = counts - counts.mean(0) if len(counts) else np.zeros((1, data.n_neurons))
        sd = np.sqrt((centred**2).sum(0))
        likeness = centred.T @ centred / np.maximum(np.outer(sd, sd), 1e-12)
    pairs = np.argwhere(np.triu(likeness >= ALIKE, 1) & (np.minimum.outer(spikes, spikes) >= 20))
    return [(int(a), int(b), float(likeness[a, b])) for a, b in pairs]


def _bins_of(data: Recording | Trials) -> NDArray[np.float32]:
    """Return the counts (bin, neuron) of the valid bins, at most about the first 50,000."""
    if isinstance(data, Trials):
        upto = int(np.searchsorted(np.cumsum(data.lengths), 50_000)) + 1
        return data.counts[:upto][data.mask[:upto]].astype(np.float32)
    counts = data.binned.counts if data.binned is not None else np.zeros((0, data.n_neurons))
    return counts[:50_000].astype(np.float32)


def _duration(recording: Recording) -> float:
    return float(np.diff(recording.intervals, axis=1).sum())


def _neurons(which: NDArray[np.bool_], what: str) -> str:
    numbers = np.flatnonzero(which)
    if not numbers.size:
        return ""
    listed = ", ".join(map(str, numbers[:8])) + (", ..." if numbers.size > 8 else "")
    return f"{numbers.size} of {which.size} neurons {what} (number {listed})."


def _missing(name: str, values: Array) -> str:
    bad = np.isnan(values.astype(np.float64)).sum(1) > 0
    return f"{name} is missing (NaN) in {bad.mean():.1%} of its samples." if bad.any() else ""


def _values(column: Array) -> dict[str, object]:
    """Return distinct values with their numbers of trials, or the range if there are too many."""
    if column.ndim > 1:
        return {"shape": list(column.shape)}
    values, counts = np.unique(column, return_counts=True)
    if len(values) <= SHOWN:
        return {"values": dict(zip((str(value) for value in values), counts.tolist(), strict=True))}
    return {"distinct": len(values)} | (_range(column) if column.dtype.kind in "iuf" else {})


def _range(values: Array) -> dict[str, object]:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return {"range": [float(finite.min()), float(finite.max())] if finite.size else []}
