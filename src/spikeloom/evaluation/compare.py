"""`compare`: several models, or files, against the same recorded trials in one table and one figure.

    comparison = compare({"LDNS": {"a": [fake_1, fake_2], "b": [fake_3]}, "LFADS": ...}, real=test, reference=train)
    comparison.save("comparison")

All models are compared with the same halves of the recorded trials, with the same number of trials and the same noise
floor. There are two spreads: over *runs* (the same recipe trained again with another seed) and over *samples* of one
run. A metric has a winner only if

* all models have at least three runs,
* at most one model is at the noise floor, and
* the best model is closer to the ideal than every other model, by more than the sum of their two standard deviations.

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
"""Generated trials of a model: one set, one set per run, or name of a run -> several sets."""


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
        raise DataError("There is no model to compare.", "", "Name at least one model.")
    samples_of = {name: _samples(runs) for name, runs in models.items()}  # model -> (run, number) -> trials
    sets = {
        f"{name}, {run}, {number}": trials
        for name, samples in samples_of.items()
        for (run, number), trials in samples.items()
    }
    sets |= {f"baseline, {name}": trials for name, trials in (baselines or {}).items()}
    sides = Sides.of(real, sets, reference, condition=condition, every=every)
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
    real = halves.real  # cut into windows, if `every` is set
    reference = sides.reference
    more_baselines = {name: halves.generated[f"baseline, {name}"] for name in baselines or {}}
    contenders = {
        name: _contender(halves, name, list(samples), (costs or {}).get(name, {}), more_baselines)
        for name, samples in samples_of.items()
    }
    verdicts = {metric.name: verdict(contenders, metric) for metric in halves.metrics}
    facts = {"real": size_in_words(real), "reference": "" if reference is None else size_in_words(reference)}
    facts |= {"splits": splits_words(halves), "stationarity": stationarity(halves)}
    for name, samples in samples_of.items():
        facts[name] = size_in_words(*(sides.fakes[f"{name}, {run}, {number}"] for run, number in samples))
    facts = {name: text for name, text in facts.items() if text}
    return Comparison(tuple(halves.metrics), contenders, verdicts, facts, tuple(more_baselines))


def verdict(models: Mapping[str, Contender], metric: Metric) -> Verdict:
    """Return the winner of a metric, or the reason why there is none."""
    rows = {name: model.rows[metric.name] for name, model in models.items()}
    rows = {name: row for name, row in rows.items() if row.value is not None}
    if metric.group == "memorisation":
        return Verdict(None, "memorisation is a fault, so it has no winner")
    if len(rows) < 2:
        return Verdict(None, "fewer than two models have a value")
    distances = {name: metric.distance(row.value or 0.0) for name, row in rows.items()}  # distances from the ideal
    best, *others = sorted(rows, key=lambda name: distances[name])
    if rows[best].at_floor and rows[others[0]].at_floor:
        return Verdict(None, "several models are at the noise floor")
    few_runs = [name for name in (best, *others) if models[name].runs < RUNS]
    if few_runs:
        return Verdict(None, f"fewer than {RUNS} training seeds of {', '.join(few_runs)}")
    for other in others:
        if distances[other] - distances[best] <= (rows[best].sd or 0.0) + (rows[other].sd or 0.0):
            return Verdict(None, f"{best} and {other} differ by less than their spread")
    return Verdict(best, "closer to the ideal than all others by more than their spread")


def _samples(runs: Runs) -> dict[tuple[str, int], Trials]:
    """Return the generated trials of a model by the name of the run, and the number of the sample of this run."""
    by_run: Mapping[str, Trials | Sequence[Trials]] = runs if isinstance(runs, Mapping) else named(runs)
    samples_of = {run: [sets] if isinstance(sets, Trials) else sets for run, sets in by_run.items()}
    return {(run, number): trials for run, samples in samples_of.items() for number, trials in enumerate(samples)}


def _contender(
    halves: RecordedHalves,
    name: str,
    samples: Sequence[tuple[str, int]],
    cost: Mapping[str, str],
    more_baselines: Mapping[str, Sequence[Results]],
) -> Contender:
    """Return the rows of a model from the results of its samples, with the spreads over runs and over samples.

    Args:
        halves: Recorded halves, with the results of the generated trials.
        name: Name of the model.
        samples: Run and number of each set of generated trials.
        cost: Cost of the model, shown below the table.
        more_baselines: Results of further baselines, by name.
    """
    results = {f"{run}, {number}": halves.generated[f"{name}, {run}, {number}"] for run, number in samples}
    runs = list(dict.fromkeys(run for run, _ in samples))
    rows = {}
    sample_sd = {}
    for row in panel_rows(halves, results, more_baselines):
        values_of_run: dict[str, list[float]] = {run: [] for run in runs}
        for run, number in samples:
            if f"{run}, {number}" in row.values:
                values_of_run[run].append(row.values[f"{run}, {number}"])
        variances = [np.var(values, ddof=1) for values in values_of_run.values() if len(values) > 1]  # over samples
        sample_sd[row.metric.name] = float(np.sqrt(np.mean(variances))) if variances else None
        means = [float(np.mean(values)) for values in values_of_run.values() if values]
        if len(means) > 1:  # several runs: the row gets the mean and the spread over runs
            row = replace(row, value=float(np.mean(means)), sd=float(np.std(means, ddof=1)))
        rows[row.metric.name] = row
    return Contender(rows, sample_sd, len(runs), cost)
