"""`evaluate`: recorded and generated trials in, a `Report` out.

    report = evaluate(real=test, fake=model.sample(like=test, seed=1), reference=train)
    report.save("report")

Real trials are held-out ones, never those a model was trained on: against its training trials a model that only copies
them is perfect. Training trials are the `reference`: decoders are fitted to them, rates of the baselines come from
them, copies are looked for among them, and the published LDNS protocol compares with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.evaluation.recorded import MEANS, RecordedHalves, Results
from spikeloom.evaluation.sides import Condition, Fakes, Sides, named
from spikeloom.metrics.conditional import read_behavior, read_directions
from spikeloom.metrics.ldns_protocol import FAULTS, ldns_protocol
from spikeloom.metrics.memorisation import Memorisation, memorisation
from spikeloom.metrics.panel import Metric, Pair
from spikeloom.report.findings import Closest, Shown
from spikeloom.report.report import Report
from spikeloom.report.rows import ProtocolRow, Row
from spikeloom.trials import Trials

GAUSSIAN = "Gaussian on the latents"
"""A Gaussian fitted to a model's latents, decoded by the same model: what its diffusion must beat."""


def evaluate(
    real: Trials,
    fake: Fakes,
    *,
    reference: Trials | None = None,
    condition: Condition = None,
    every: float | None = None,
    splits: int = 5,
    seed: int = 0,
    latent_gaussian: Trials | None = None,
    conditioned_on: Sequence[str] | None = None,
    facts: Mapping[str, str] | None = None,
    cost: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Report:
    """Judge generated trials: every metric beside its noise floor and baselines, the LDNS protocol, and memorisation.

    Args:
        real: Held-out recorded trials.
        fake: Generated trials; or several sets, from several seeds, in a list or by name: then their spread is given.
        reference: Training trials.
        condition: Name of the condition that labels trials, or several names whose values together are the label;
            found by itself if absent (see `metrics.Pair`).
        every: Cut all trials into windows of this length in seconds before they are compared; `None` compares whole
            trials. For continuous recordings, and for trials of a few minutes.
        splits: Splits of the recorded trials behind the noise floor and its spread: random halves, or blocks of time
            (at most 3 splits) where the trials are windows of a continuous recording.
        seed: Random seed; the same seed gives the same report.
        conditioned_on: Names of the conditions and series that the generated trials were conditioned on: only these are
            read back from their spikes. `None` reads back whatever the generated trials carry.
        latent_gaussian: Trials of a Gaussian fitted to the model's latents, as a further baseline.
        facts: More words about what is compared, such as file names, seeds and sampler.
        cost: What training and sampling cost, name -> words (see `models.cost`).
        progress: True or False to show a progress bar or not; on a terminal only if absent.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set is empty or too small, or if real and fake are swapped or the same trials.
        ConditionError: if a condition is unknown.

    Example:
        >>> import spikeloom as sl
        >>> train, test, fake = (sl.simulate.lorenz(40, n_neurons=6, n_bins=60, seed=seed) for seed in (1, 2, 3))
        >>> report = sl.evaluate(real=test, fake=fake, reference=train, splits=2, progress=False)
        >>> report["mean_rate_r"].value is not None
        True
    """
    everything = named(fake) | ({} if latent_gaussian is None else {GAUSSIAN: latent_gaussian})
    sides = Sides.of(real, everything, reference, condition=condition, every=every)
    fakes, reference = dict(sides.fakes), sides.reference
    halves = RecordedHalves.build(
        sides.real,
        fakes=list(fakes.values()),
        reference=reference,
        condition=sides.condition,
        every=every,
        splits=splits,
        seed=seed,
        progress=progress,
        conditioned_on=conditioned_on,
    )
    real, gaussian = halves.real, fakes.pop(GAUSSIAN, None)
    results = {name: halves.judge(trials, word=name) for name, trials in fakes.items()}
    more = {} if gaussian is None else {GAUSSIAN: halves.judge(gaussian, word=GAUSSIAN)}
    first = next(iter(fakes))
    pairs = {
        name: Pair(
            real,
            trials,
            reference=reference,
            condition=halves.condition,
            seed=seed,
            aligned=not halves.by_time,
            conditioned_on=conditioned_on,
        )
        for name, trials in fakes.items()
    }
    copies = {name: memorisation(pair) for name, pair in pairs.items()}
    worst = max(copies, key=lambda name: severity(copies[name]))
    facts_found = {
        "real": size_in_words(real),
        "fake": size_in_words(*fakes.values()),
        "figures": f"show {first}, the first of {len(fakes)} sets of generated trials" if len(fakes) > 1 else "",
        "reference": "" if reference is None else size_in_words(reference),
        "condition": condition_words(halves.condition, fakes[first]),
        "conditioned on": "" if conditioned_on is None else ", ".join(conditioned_on) or "nothing",
        "windows": "" if every is None else f"all trials were cut into windows of {every:g} s",
        "trials compared": f"{len(halves.splits[0].base)} on each side, in {splits_words(halves)} (seed {seed})",
        "stationarity": stationarity(halves),
    }
    return Report(
        rows=panel_rows(halves, results, more),
        protocol=protocol(real, fakes[first], reference, seed=seed),
        protocol_note=protocol_note(real, fakes[first], reference),
        memorisation=copies[worst],
        facts={**{name: words for name, words in facts_found.items() if words}, **(facts or {})},
        names=tuple(fakes),
        cost=cost or {},
        shown=Shown(
            real=real,
            fake=labelled(pairs[first]),
            condition=halves.condition,
            results=results[first][0],
            directions=read_directions(pairs[first]),
            behavior=read_behavior(pairs[first]),
            closest=closest(fakes[worst], reference, copies[worst]),
            aligned=not halves.by_time,
        ),
    )


def labelled(pair: Pair) -> Trials:
    """Generated trials with the condition that is read from their spikes, where they have none of their own."""
    fake = pair.fake_trials
    if not pair.labels_decoded or pair.label_name is None:
        return fake
    return replace(fake, conditions={**fake.conditions, pair.label_name: pair.label_values[pair.fake.labels]})


def closest(fake: Trials, reference: Trials | None, copies: Memorisation | str) -> Closest | None:
    """Generated trials beside the training trials nearest to them; None where these were not looked for."""
    if reference is None or isinstance(copies, str):
        return None
    return Closest(fake, reference, copies.closest)


# --- rows ----------------------------------------------------------------------------------------------------------


def panel_rows(
    halves: RecordedHalves,
    results: Mapping[str, Sequence[Results]],
    more: Mapping[str, Sequence[Results]] | None = None,
) -> tuple[Row, ...]:
    """One row per metric from the results of each fake, one per split; `more` are further baselines."""
    columns = {**halves.trivial, **(more or {})}
    return tuple(_row(metric, halves, results, columns) for metric in halves.metrics)


def _row(
    metric: Metric,
    halves: RecordedHalves,
    results: Mapping[str, Sequence[Results]],
    columns: Mapping[str, Sequence[Results]],
) -> Row:
    found = {name: _values(metric, one) for name, one in results.items()}
    values = {name: float(np.mean(one)) for name, one in found.items() if one}
    over = list(values.values()) if len(results) > 1 else next(iter(found.values()))
    floor = _values(metric, halves.floor)
    baselines = {name: _mean(_values(metric, one)) for name, one in columns.items()}
    notes = [one[metric.name].note for part in (*results.values(), halves.floor) for one in part[:1]]
    return Row(
        metric=metric,
        values=values,
        value=_mean(list(values.values())),
        sd=_sd(over),
        floor=_mean(floor),
        floor_sd=_sd(floor),
        baselines=baselines,
        trivial=baselines.get(MEANS),
        note=notes[0] or (notes[-1] if not floor else ""),
    )


def _values(metric: Metric, results: Sequence[Results]) -> list[float]:
    found = (one[metric.name].value for one in results if metric.name in one)
    return [float(value) for value in found if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _sd(values: Sequence[float]) -> float | None:
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


def protocol(real: Trials, fake: Trials, reference: Trials | None, *, seed: int) -> tuple[ProtocolRow, ...]:
    """The published LDNS table; held-out real trials stand in for the paper's leaky half split where there are both."""
    train = real if reference is None else reference
    sets = {"": fake} if reference is None else {"": fake, HELD_OUT: real}
    largest = max(int(trials.counts.sum(2, dtype=np.int64).max()) for trials in (train, *sets.values()))
    scores = {name: ldns_protocol(train, trials, largest=largest, seed=seed) for name, trials in sets.items()}
    return tuple(
        ProtocolRow(
            name=name,
            title=title,
            unit=unit,
            value=scores[""][name].value,
            sd=scores[""][name].sd,
            baselines={other: scores[other][name].value for other in scores if other},
        )
        for name, (title, unit) in PROTOCOL.items()
    )


def protocol_note(real: Trials, fake: Trials, reference: Trials | None) -> str:
    """What the published numbers were computed against, where that differs from the paper, and their faults."""
    train = real if reference is None else reference
    kind = "training trials, as published" if reference else "recorded trials, since no training trials were given"
    note = f"Computed against {len(train)} {kind}; ± is the spread over 5 resamples of the generated trials. "
    if len(fake) != len(train):
        note += f"The paper generates as many trials as it trains on; here there are {len(fake)}. "
    return note + "Only for comparison with papers. Its faults: " + FAULTS[0].lower() + FAULTS[1:]


def severity(found: Memorisation | str) -> tuple[int, float]:
    """Order of findings: the worst is the largest."""
    if isinstance(found, str):
        return (-1, 0.0)
    return (("clean", "swapped", "suspicious", "copies").index(found.level), found.share)


# --- words ---------------------------------------------------------------------------------------------------------


def splits_words(halves: RecordedHalves) -> str:
    """How the recorded trials were split, in words."""
    if not halves.by_time:
        return f"{len(halves.splits)} random splits"
    first = halves.real.lengths.max() * halves.real.bin_width
    number = len(halves.splits)
    splits = "one split into blocks" if number == 1 else f"{number} splits into blocks"
    spread = "one split gives no spread" if number == 1 else "so few splits tell only roughly the spread"
    return (
        f"{splits} of time, early against late{'' if number == 1 else ' first'}; windows of {first:g} s at the border "
        f"of two blocks are left out; {spread} of the noise floor"
    )


def stationarity(halves: RecordedHalves) -> str:
    """Whether early and late windows of a continuous recording differ by more than random halves do."""
    if not halves.by_time:
        return ""
    judged, changed = 0, []
    for metric in halves.metrics:
        early = _values(metric, halves.floor[:1])
        shuffled = [metric.distance(value) for value in _values(metric, halves.random_floor)]
        if early and len(shuffled) > 1:
            judged += 1
            if metric.distance(early[0]) > np.mean(shuffled) + 2 * np.std(shuffled, ddof=1) + 1e-12:
                changed.append(metric.title)
    if not judged:
        return "cannot be judged: there are too few windows"
    if len(changed) <= 0.1 * judged:
        same = judged - len(changed)
        return f"early and late windows differ no more than random halves do on {same} of {judged} metrics"
    return (
        f"on {len(changed)} of {judged} metrics early and late windows differ more than random halves do: the activity "
        "changed during the recording. The noise floor includes that change, so a model that misses it can still reach "
        f"the floor. The metrics are: {', '.join(changed)}"
    )


def condition_words(condition: str | None, fake: Trials) -> str:
    """Which condition labels the trials, and whether the generated ones brought it along."""
    if condition is None:
        return "none: all trials count as one, so differences between stimuli are part of every correlation"
    own = condition in fake.conditions
    return condition if own else f"{condition}, read from the spikes of the generated trials, which carry no labels"


def size_in_words(*sets: Trials) -> str:
    """Where trials come from and how many there are, such as "2 x test.h5 (182 trials, 97 neurons, 5 ms bins)"."""
    words: dict[str, int] = {}
    for trials in sets:
        kind = f"{len(trials)} trials, {trials.n_neurons} neurons, {1000 * trials.bin_width:g} ms bins"
        word = f"{trials.source or 'unnamed'} ({kind})"
        words[word] = words.get(word, 0) + 1
    return "; ".join(word if count == 1 else f"{count} x {word}" for word, count in words.items())
