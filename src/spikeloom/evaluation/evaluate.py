"""`evaluate`: compare generated with recorded trials and return a `Report`.

    report = evaluate(real=test, fake=model.sample(like=test, seed=1), reference=train)
    report.save("report")

`real` must be held-out trials. If they were training trials, a model that only copies its training trials would be
perfect. `reference` are the training trials. Decoders and the rates of the baselines are fitted to training trials,
generated trials are searched for copies of training trials, and the protocol of the LDNS paper compares generated with
training trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.evaluation.recorded import MEANS, RecordedHalves, Results
from spikeloom.evaluation.sides import Condition, Fakes, Sides, named
from spikeloom.metrics.conditional import read_behavior, read_directions
from spikeloom.metrics.ldns_protocol import FAULTS, ldns_protocol
from spikeloom.metrics.memorisation import Memorisation, memorisation
from spikeloom.metrics.panel import METRICS, Metric, Pair
from spikeloom.report.findings import Closest, Shown
from spikeloom.report.report import Report
from spikeloom.report.rows import ProtocolRow, Row
from spikeloom.text import counted
from spikeloom.trials import Trials


def evaluate(
    real: Trials,
    fake: Fakes,
    *,
    reference: Trials | None = None,
    condition: Condition = None,
    every: float | None = None,
    metrics: Sequence[Metric] = METRICS,
    splits: int = 5,
    seed: int = 0,
    baselines: Mapping[str, Trials] | None = None,
    conditioned_on: Sequence[str] | None = None,
    facts: Mapping[str, str] | None = None,
    cost: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Report:
    """Evaluate generated trials: every metric with noise floor and baselines, the LDNS protocol, and memorisation.

    Args:
        real: Held-out recorded trials.
        fake: Generated trials, or several sets from several seeds (list, or name -> trials), which also give a spread.
        reference: Training trials.
        condition: Name of the condition that labels trials, or several names whose values together are the label;
            `None` chooses one (see `metrics.Pair`).
        every: Cut all trials into windows of this length in seconds before they are compared; `None` compares whole
            trials. Windows are useful for continuous recordings and for trials of a few minutes.
        metrics: Metrics to compute, in the order of the report.
        splits: Number of splits of the recorded trials for the noise floor and its spread: random halves, or blocks of
            time (at most 3 splits) if the trials are windows of a continuous recording.
        seed: Random seed; the same seed gives the same report.
        baselines: Trials of further baselines, by name, such as `Model.latent_baselines`. These are simple models of
            the latents, and a generator of latents is useful only if its results are better.
        conditioned_on: Names of the conditions and series on which the generated trials were conditioned. Only these
            are decoded from their spikes. `None` uses the names that the generated trials record. If they record no
            names, all their conditions and series are decoded.
        facts: More facts about the comparison, name -> text, such as file names, seeds and sampler.
        cost: Costs of training and sampling, name -> text (see `models.cost`).
        progress: Show a progress bar; `None` shows it only on a terminal.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set is empty or too small, another set holds exactly the spikes of the real trials, or real and
            fake are swapped.
        ConditionError: if a condition is unknown.

    Example:
        >>> import spikeloom as sl
        >>> train, test, fake = (sl.simulate.lorenz(40, n_neurons=6, n_bins=60, seed=seed) for seed in (1, 2, 3))
        >>> report = sl.evaluate(real=test, fake=fake, reference=train, splits=2, progress=False)
        >>> report["mean_rate_r"].value is not None
        True
    """
    sets = named(fake) | dict(baselines or {})
    if conditioned_on is not None:
        sets = {name: replace(trials, conditioned_on=conditioned_on) for name, trials in sets.items()}
    sides = Sides.of(real, sets, reference, condition=condition, every=every)
    fakes = sides.fakes
    reference = sides.reference
    halves = RecordedHalves.build(
        sides.real,
        fakes=fakes,
        reference=reference,
        condition=sides.condition,
        every=every,
        metrics=metrics,
        splits=splits,
        seed=seed,
        progress=progress,
    )
    real = halves.real
    more_baselines = {name: halves.generated[name] for name in baselines or {}}
    fakes = {name: trials for name, trials in fakes.items() if name not in more_baselines}
    results = {name: halves.generated[name] for name in fakes}
    first = next(iter(fakes))
    pairs = {name: halves.recorded.against(trials) for name, trials in fakes.items()}
    copies = {name: memorisation(pair) for name, pair in pairs.items()}
    worst = max(copies, key=lambda name: severity(copies[name]))  # the set with the clearest copies of training trials
    facts_found = {
        "real": size_in_words(real),
        "fake": size_in_words(*fakes.values()),
        "figures": f"show {first}, the first of {len(fakes)} sets of generated trials" if len(fakes) > 1 else "",
        "reference": "" if reference is None else size_in_words(reference),
        "condition": condition_words(halves.condition, fakes[first]),
        "conditioned on": fakes[first].conditioned_on_in_words(),
        "windows": "" if every is None else f"all trials were cut into windows of {every:g} s",
        "trials compared": f"{len(halves.splits[0].base)} on each side, in {splits_words(halves)} (seed {seed})",
        "stationarity": stationarity(halves),
    }
    return Report(
        rows=panel_rows(halves, results, more_baselines),
        protocol=protocol(real, fakes[first], reference, seed=seed),
        protocol_note=protocol_note(real, fakes[first], reference),
        memorisation=copies[worst],
        facts={**{name: text for name, text in facts_found.items() if text}, **(facts or {})},
        names=tuple(fakes),
        cost=cost or {},
        shown=Shown(
            real=real,
            fake=labelled(pairs[first]),
            condition=halves.condition,
            results=results[first][0],  # of the first split
            directions=read_directions(pairs[first]),
            behavior=read_behavior(pairs[first]),
            closest=closest(fakes[worst], reference, copies[worst]),
            aligned=not halves.by_time,
        ),
    )


def labelled(pair: Pair) -> Trials:
    """Return the generated trials, with labels decoded from their spikes if they have none."""
    fake = pair.fake_trials
    if not pair.labels_decoded or pair.label_name is None:
        return fake
    return replace(fake, conditions={**fake.conditions, pair.label_name: pair.label_values[pair.fake.labels]})


def closest(fake: Trials, reference: Trials | None, copies: Memorisation | str) -> Closest | None:
    """Return the generated trials and their nearest training trials; None if copies were not searched."""
    if reference is None or isinstance(copies, str):
        return None
    return Closest(fake, reference, copies.closest)


# --- rows ----------------------------------------------------------------------------------------------------------


def panel_rows(
    halves: RecordedHalves,
    results: Mapping[str, Sequence[Results]],
    more_baselines: Mapping[str, Sequence[Results]] | None = None,
) -> tuple[Row, ...]:
    """Return one row of the report per metric.

    Args:
        halves: Recorded halves, with the results of noise floor and baselines.
        results: Results of each set of generated trials, name -> one for each split.
        more_baselines: Results of further baselines, name -> one for each split.
    """
    baselines = {**halves.baselines, **(more_baselines or {})}
    return tuple(_row(metric, halves, results, baselines) for metric in halves.metrics)


def _row(
    metric: Metric,
    halves: RecordedHalves,
    results: Mapping[str, Sequence[Results]],
    baselines: Mapping[str, Sequence[Results]],
) -> Row:
    """Return the row of one metric; see `panel_rows`. The spread is over sets, or over the splits of a single set."""
    values_of_splits = {name: _values(metric, of_set) for name, of_set in results.items()}
    values = {name: float(np.mean(of_set)) for name, of_set in values_of_splits.items() if of_set}
    spread_over = list(values.values()) if len(results) > 1 else next(iter(values_of_splits.values()))
    floor = _values(metric, halves.floor)
    baseline_values = {name: _mean(_values(metric, of_baseline)) for name, of_baseline in baselines.items()}
    # notes of the first split of each set of generated trials, and of the floor
    notes = [of_splits[0][metric.name].note for of_splits in (*results.values(), halves.floor) if of_splits]
    return Row(
        metric=metric,
        values=values,
        value=_mean(list(values.values())),
        sd=_sd(spread_over),
        floor=_mean(floor),
        floor_sd=_sd(floor),
        baselines=baseline_values,
        baseline=baseline_values.get(MEANS),
        note=notes[0] or (notes[-1] if not floor else ""),  # without a floor, its note says why
    )


def _values(metric: Metric, results: Sequence[Results]) -> list[float]:
    """Return the values of a metric in the splits in which it has a value."""
    values = (of_split[metric.name].value for of_split in results if metric.name in of_split)
    return [float(value) for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None without values."""
    return float(np.mean(values)) if len(values) else None


def _sd(values: Sequence[float]) -> float | None:
    """Return the standard deviation, or None with fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# --- the published protocol and copies -----------------------------------------------------------------------------

PROTOCOL = {
    "population_count_kl": ("KL of population counts", "nats"),
    "correlation_rmse": ("RMSE of pairwise correlations", ""),
    "mean_isi_rmse": ("RMSE of mean intervals", "s"),
    "std_isi_rmse": ("RMSE of the sd of intervals", "s"),
}
"""Title and unit of the published numbers."""

HELD_OUT = "held-out real trials"
"""Name of the row of the protocol that compares real with real trials."""


def protocol(real: Trials, fake: Trials, reference: Trials | None, *, seed: int) -> tuple[ProtocolRow, ...]:
    """Compute the four numbers of the published LDNS protocol for the generated trials.

    With a reference, the same numbers of the held-out real trials are the baseline.
    """
    train = real if reference is None else reference
    sets = {"": fake} if reference is None else {"": fake, HELD_OUT: real}  # generated trials have the name ""
    # largest population count of a bin in any of the sets
    largest = max(int(trials.counts.sum(2, dtype=np.int64).max()) for trials in (train, *sets.values()))
    scores = {set_name: ldns_protocol(train, trials, largest=largest, seed=seed) for set_name, trials in sets.items()}
    return tuple(
        ProtocolRow(
            name=name,
            title=title,
            unit=unit,
            value=scores[""][name].value,
            sd=scores[""][name].sd,
            baselines={set_name: scores[set_name][name].value for set_name in scores if set_name},
        )
        for name, (title, unit) in PROTOCOL.items()
    )


def protocol_note(real: Trials, fake: Trials, reference: Trials | None) -> str:
    """Return a note on the protocol of the LDNS paper: the trials compared with, deviations, and known faults."""
    train = real if reference is None else reference
    kind = "training trials, as published"
    if reference is None:
        kind = "recorded trials, because there are no training trials"
    note = f"Computed against {len(train)} {kind}; ± is the spread over 5 resamples of the generated trials. "
    if len(fake) != len(train):
        note += f"In the paper, both numbers are equal; here there are {counted(len(fake), 'generated trial')}. "
    return note + "Use the protocol only to compare with papers. Its faults: " + FAULTS[0].lower() + FAULTS[1:]


def severity(memorised: Memorisation | str) -> tuple[int, float]:
    """Return a sort key of verdicts on memorisation: the worst is the largest."""
    if isinstance(memorised, str):
        return (-1, 0.0)
    return (("clean", "swapped", "suspicious", "copies").index(memorised.level), memorised.share)


# --- words ---------------------------------------------------------------------------------------------------------


def splits_words(halves: RecordedHalves) -> str:
    """Return a description of the splits of the recorded trials."""
    if not halves.by_time:
        return counted(len(halves.splits), "random split")
    window = halves.real.lengths.max() * halves.real.bin_width
    n_splits = len(halves.splits)
    if n_splits == 1:
        splits = "one split into blocks of time, early against late"
        spread = "one split gives no spread of the noise floor"
    else:
        splits = f"{n_splits} splits into blocks of time; the first is early against late"
        spread = "with so few splits, the spread of the noise floor is a rough estimate"
    return f"{splits}; windows of {window:g} s at the border of two blocks are left out; {spread}"


def stationarity(halves: RecordedHalves) -> str:
    """Return a sentence on differences between early and late windows of a continuous recording, or an empty text.

    A metric has changed if its value for early against late windows is farther from the ideal than the mean of random
    halves, by more than two standard deviations of random halves.
    """
    if not halves.by_time:
        return ""
    n_judged = 0
    changed = []
    for metric in halves.metrics:
        early_against_late = _values(metric, halves.floor[:1])  # the first split of a continuous recording
        of_random_halves = [metric.distance(value) for value in _values(metric, halves.random_floor)]
        if early_against_late and len(of_random_halves) > 1:
            n_judged += 1
            # 1e-12 is for rounding errors, if all values are equal
            limit = np.mean(of_random_halves) + 2 * np.std(of_random_halves, ddof=1) + 1e-12
            if metric.distance(early_against_late[0]) > limit:
                changed.append(metric.title)
    if not n_judged:
        return "cannot be judged: there are too few windows"
    if len(changed) <= 0.1 * n_judged:  # a few metrics exceed the limit by chance
        n_same = n_judged - len(changed)
        return f"on {n_same} of {n_judged} metrics, early and late windows do not differ more than random halves"
    return (
        f"on {len(changed)} of {n_judged} metrics, early and late windows differ more than random halves: the "
        "activity changed during the recording. The noise floor includes this change, so a model without this change "
        f"can still reach the floor. The metrics are: {', '.join(changed)}"
    )


def condition_words(condition: str | None, fake: Trials) -> str:
    """Return the condition that labels the trials, and the source of the labels of generated trials."""
    if condition is None:
        return "none: all trials form one group, so every correlation includes differences between stimuli"
    labelled = condition in fake.conditions
    return condition if labelled else f"{condition}, read from the spikes of the generated trials, which have no labels"


def size_in_words(*sets: Trials) -> str:
    """Return source and size of trials, such as "2 x test.h5 (182 trials, 97 neurons, 5 ms bins)"."""
    number_of: dict[str, int] = {}  # description -> number of sets that have it
    for trials in sets:
        size = (
            f"{counted(len(trials), 'trial')}, {counted(trials.n_neurons, 'neuron')}, "
            f"{1000 * trials.bin_width:g} ms bins"
        )
        description = f"{trials.source or 'unnamed'} ({size})"
        number_of[description] = number_of.get(description, 0) + 1
    return "; ".join(text if number == 1 else f"{number} x {text}" for text, number in number_of.items())
