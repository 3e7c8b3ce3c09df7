"""`compare`: several models, or files, against the same recorded trials in one table and one figure.

    comparison = compare({"LDNS": {"a": [one, two], "b": [one, two]}, "LFADS": ...}, real=test, reference=train)
    comparison.save("comparison")

All models are compared with the same halves of the recorded trials, with the same number of trials and the same noise
floor. There are two spreads: over *runs* (the same recipe trained again with another seed) and over *samples* of one
run. A metric has a winner only if all models have at least three runs, if at most one model is at the noise floor, and
if the best model is closer to the ideal than every other model by more than the sum of their two standard deviations.
Otherwise the table gives the reason why there is no winner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.errors import DataError
from spikeloom.evaluation.evaluate import panel_rows, size_in_words, splits_words, stationarity
from spikeloom.evaluation.recorded import RecordedHalves, Results
from spikeloom.evaluation.sides import Condition, Fakes, Sides, named
from spikeloom.metrics.panel import Metric
from spikeloom.report.comparison import Comparison
from spikeloom.report.standings import Contender, Verdict
from spikeloom.trials import Trials

RUNS = 3
"""Smallest number of runs (training seeds) with which a model can win."""

Runs = Fakes | Mapping[str, Sequence[Trials]]
"""Generated trials of a model: one set, one per run, or several samples for each run by its name."""


def compare(
    models: Mapping[str, Runs],
    real: Trials,
    *,
    reference: Trials | None = None,
    condition: Condition = None,
    every: float | None = None,
    splits: int = 5,
    seed: int = 0,
    baselines: Mapping[str, Trials] | None = None,
    costs: Mapping[str, Mapping[str, str]] | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Compare several models, or files, against the same recorded trials.

    Args:
        models: Name -> generated trials: one set, a list or mapping with one set per run, or a mapping from each run
            to its samples.
        real: Held-out recorded trials.
        reference: Training trials.
        condition: Name of the condition that labels trials, or several names whose values together are the label;
            `None` chooses one (see `metrics.Pair`).
        every: Cut all trials into windows of this length in seconds; `None` compares whole trials.
        splits: Number of splits of the recorded trials.
        seed: Random seed.
        baselines: Trials of further baselines, by name, such as `Model.latent_baselines`. They cannot win.
        costs: Costs of each model, model -> name -> text.
        progress: Show a progress bar; `None` shows it only on a terminal.

    Raises:
        DataError: if there is no model, or for the reasons of `evaluate`.

    Example:
        >>> import spikeloom as sl
        >>> sets = [sl.simulate.lorenz(40, n_neurons=6, n_bins=60, seed=seed) for seed in range(4)]
        >>> train, test, first, second = sets
        >>> models = {"first": first, "second": second}
        >>> comparison = sl.compare(models, test, reference=train, splits=2, progress=False)
        >>> type(comparison).__name__
        'Comparison'
    """
    if not models:
        raise DataError("There is no model to compare.", "", "Name one or more.")
    sets = {name: _samples(runs) for name, runs in models.items()}
    everything = {
        f"{name}, {run}, {k}": trials for name, samples in sets.items() for (run, k), trials in samples.items()
    }
    everything |= {f"baseline, {name}": trials for name, trials in (baselines or {}).items()}
    sides = Sides.of(real, everything, reference, condition=condition, every=every)
    halves = RecordedHalves.build(
        sides.real,
        fakes=sides.fakes,
        reference=sides.reference,
        condition=sides.condition,
        every=every,
        splits=splits,
        seed=seed,
        progress=progress,
    )
    real = halves.real
    reference = sides.reference
    sets = {
        name: {(run, k): sides.fakes[f"{name}, {run}, {k}"] for run, k in samples} for name, samples in sets.items()
    }
    more = {name: halves.generated[f"baseline, {name}"] for name in baselines or {}}
    contenders = {
        name: _contender(halves, name, list(samples), (costs or {}).get(name, {}), more)
        for name, samples in sets.items()
    }
    verdicts = {metric.name: verdict(contenders, metric) for metric in halves.metrics}
    facts = {"real": size_in_words(real), "reference": "" if reference is None else size_in_words(reference)}
    facts |= {"splits": splits_words(halves), "stationarity": stationarity(halves)}
    facts |= {name: size_in_words(*samples.values()) for name, samples in sets.items()}
    facts = {name: words for name, words in facts.items() if words}
    return Comparison(tuple(halves.metrics), contenders, verdicts, facts, tuple(more))


def verdict(models: Mapping[str, Contender], metric: Metric) -> Verdict:
    """Return the winner of a metric, or the reason why there is none."""
    judged = {name: row for name, model in models.items() if (row := model.rows[metric.name]).value is not None}
    if metric.group == "memorisation":
        return Verdict(None, "memorisation is a fault, so it has no winner")
    if len(judged) < 2:
        return Verdict(None, "fewer than two models have a value")
    away = {name: metric.distance(row.value or 0.0) for name, row in judged.items()}
    best, *others = sorted(judged, key=lambda name: away[name])
    if judged[best].at_floor and judged[others[0]].at_floor:
        return Verdict(None, "several models are at the noise floor")
    few = [name for name in (best, *others) if models[name].runs < RUNS]
    if few:
        return Verdict(None, f"fewer than {RUNS} training seeds of {', '.join(few)}")
    for other in others:
        if away[other] - away[best] <= (judged[best].sd or 0.0) + (judged[other].sd or 0.0):
            return Verdict(None, f"{best} and {other} differ by less than their spread")
    return Verdict(best, "closer to the ideal than all others by more than their spread")


def _samples(runs: Runs) -> dict[tuple[str, int], Trials]:
    """Return every set of generated trials by its run and number."""
    each: Mapping[str, Trials | Sequence[Trials]] = runs if isinstance(runs, Mapping) else named(runs)
    several = {run: [sets] if isinstance(sets, Trials) else sets for run, sets in each.items()}
    return {(run, k): trials for run, sets in several.items() for k, trials in enumerate(sets)}


def _contender(
    halves: RecordedHalves,
    name: str,
    samples: Sequence[tuple[str, int]],
    cost: Mapping[str, str],
    more: Mapping[str, Sequence[Results]],
) -> Contender:
    """Return the rows of a model from the results of its samples, with the spreads over runs and over samples.

    Args:
        halves: Recorded halves, with the results of the generated trials.
        name: Name of the model.
        samples: Run and number of each set of generated trials.
        cost: Cost of the model, shown below the table.
        more: Results of further baselines, by name.
    """
    results = {f"{run}, {k}": halves.generated[f"{name}, {run}, {k}"] for run, k in samples}
    runs = list(dict.fromkeys(run for run, _ in samples))
    rows = {}
    sample_sd = {}
    for row in panel_rows(halves, results, more):
        values_of_run: dict[str, list[float]] = {run: [] for run in runs}
        for run, k in samples:
            if f"{run}, {k}" in row.values:
                values_of_run[run].append(row.values[f"{run}, {k}"])
        variances = [np.var(values, ddof=1) for values in values_of_run.values() if len(values) > 1]
        sample_sd[row.metric.name] = float(np.sqrt(np.mean(variances))) if variances else None
        means = [float(np.mean(values)) for values in values_of_run.values() if values]
        if len(means) > 1:
            row = replace(row, value=float(np.mean(means)), sd=float(np.std(means, ddof=1)))
        rows[row.metric.name] = row
    return Contender(rows, sample_sd, len(runs), cost)
