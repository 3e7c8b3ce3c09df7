"""`Pair`: two sets of trials to compare, real and fake (generated), with their common window, neurons and labels.

**Window.** Comparisons of complete trials use a window, which starts at the first bin. It is the longest window that at
least nine tenths of all trials of both sets fill. With trials of equal length, the window is the trial.

**Neurons.** Neurons with names or ids are matched and sorted by names or ids in both sets. So the order of neurons in a
file has no effect on a metric.

**Condition.** Metrics "per condition" need one label per trial, the value of a condition. The caller may name this
condition. Otherwise it is the first condition that labels trials: one number or word per trial, 2 to 40 distinct
values, at least 5 trials of each. Conditions of both sets come before conditions of the real trials only. Fake trials
without labels (from an unconditional model) get labels decoded from their spikes, by a classifier fitted to the
reference trials or, without these, to the real trials. Noise correlation and Fano factor need labels, because without
labels the difference between conditions would count as noise. Results with decoded labels have a note. Without any
condition, all trials form one group, and a note says that differences between stimuli are included.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spikeloom.errors import ConditionError, DataError
from spikeloom.metrics.arrays import pairs_of
from spikeloom.metrics.classifier import Classifier, chunk_features, chunks_for, fit_classifier
from spikeloom.metrics.correlograms import correlograms
from spikeloom.metrics.features import Features
from spikeloom.metrics.once import Once, once_property
from spikeloom.metrics.statistics import Statistics
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import Numbers
from spikeloom.text import counted
from spikeloom.trials import Trials
from spikeloom.trials.pooling import SOURCE

MOST_CONDITIONS = 40
"""Largest number of distinct values of a condition that labels trials."""

FEWEST_TRIALS = 5
"""Smallest number of trials of each value, for a condition that the caller does not name."""

ENOUGH_SPIKES = 50
"""Smallest number of spikes of a neuron in each of both sets. Other neurons are left out of correlations."""

LAGS = 30
"""Longest lag of the correlograms, in bins."""

COACTIVE_PAIRS = 200
"""Number of pairs of neurons whose cross-correlograms are compared."""

Prepared = dict[tuple[int, int, bytes], Statistics]
"""Statistics of one set of trials, by window, number of conditions, and labels."""


@dataclass(frozen=True, eq=False)
class Pair(Once):
    """Real and fake trials, and the quantities that several metrics share.

    Args:
        real_trials: Held-out recorded trials.
        fake_trials: Trials to judge.
        reference: Training trials, or None.
        condition: Name of the condition that defines "per condition"; `None` chooses one as described above.
        seed: Random seed of all draws of the metrics.
        aligned: False for windows cut from a continuous recording: bins of different windows do not correspond,
            so mean time courses are not compared.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set holds no trials or no neurons.
        ConditionError: if the condition is unknown, or does not label trials.
    """

    real_trials: Trials
    fake_trials: Trials
    reference: Trials | None = None
    condition: str | None = None
    seed: int = 0
    aligned: bool = True
    # statistics that this comparison shares with others of the same real or reference trials
    _of_real: Prepared = field(default_factory=dict, init=False, repr=False)
    _of_reference: Prepared = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, trials in (("real", self.real_trials), ("fake", self.fake_trials), ("reference", self.reference)):
            if trials is not None and not (len(trials) and trials.n_neurons):
                raise DataError(
                    "Each set of trials must hold at least one trial and one neuron.",
                    f"The {name} set has {counted(len(trials), 'trial')} and {counted(trials.n_neurons, 'neuron')}.",
                    "Check how the file was made with `spikeloom inspect`.",
                )
        real = self.real_trials
        for field_name, trials, kind in (
            ("fake_trials", self.fake_trials, "generated"),
            ("reference", self.reference, "reference"),
        ):
            if trials is not None:
                matched = real.match(trials, name="the real trials", other_name=f"the {kind} trials")
                object.__setattr__(self, field_name, matched.sort_neurons())  # a frozen class sets its fields this way
        object.__setattr__(self, "real_trials", real.sort_neurons())
        if self.condition is not None:
            values = self.real_trials.condition(self.condition)
            if values.ndim != 1 or len(values_of(values)) > MOST_CONDITIONS:
                raise ConditionError(
                    f"A condition must have one value per trial and at most {MOST_CONDITIONS} distinct values.",
                    f"{self.condition!r} has shape {values.shape} and "
                    f"{counted(len(values_of(values)), 'distinct value')}.",
                    "Name another condition, or leave it out.",
                )

    @property
    def n_neurons(self) -> int:
        """Number of neurons, equal in both sets."""
        return self.real_trials.n_neurons

    def between(self, real: Trials, fake: Trials) -> "Pair":
        """Return the comparison of other trials, which shares the statistics of the reference."""
        other = replace(self, real_trials=real, fake_trials=fake)
        object.__setattr__(other, "_of_reference", self._of_reference)
        return other

    def against(self, fake: Trials) -> "Pair":
        """Return the comparison of the same real trials with other fake trials; both share the recorded statistics."""
        other = self.between(self.real_trials, fake)
        object.__setattr__(other, "_of_real", self._of_real)
        return other

    def rng(self, *key: int) -> np.random.Generator:
        """Return the random generator of one purpose of the comparison."""
        return generator(self.seed, int(Purpose.EVALUATE), *key)

    # --- common to both sets -------------------------------------------------------------------------------------

    @once_property
    def window(self) -> int:
        """Number of bins that at least nine tenths of all trials have."""
        lengths = np.concatenate([self.real_trials.lengths, self.fake_trials.lengths])
        return int(np.quantile(lengths, 0.1, method="lower"))

    @once_property
    def label_name(self) -> str | None:
        """Name of the condition that labels the trials; None if there is none."""
        return self.condition or find_condition(self.real_trials, self.fake_trials, self.reference)

    @once_property
    def label_values(self) -> Numbers:
        """Values of the labelling condition among real and reference trials, sorted; empty if there is none."""
        if self.label_name is None:
            return np.empty(0)
        values = [self.real_trials.condition(self.label_name)]
        if self.reference is not None and self.label_name in self.reference.conditions:
            values.append(self.reference.condition(self.label_name).ravel())
        return values_of(np.concatenate(values))

    @property
    def labels_decoded(self) -> bool:
        """True if the labels of the fake trials were decoded from their spikes."""
        return self.label_name is not None and self.label_name not in self.fake_trials.conditions

    def was_condition(self, name: str) -> bool:
        """Return True if the fake trials were conditioned on this condition or series, or if that is unknown."""
        conditions = self.fake_trials.conditioned_on
        # the name of a joint condition holds the names of its parts, with commas between them
        return conditions is None or name in conditions or all(part in conditions for part in name.split(","))

    @property
    def label_note(self) -> str:
        """Note on the labels behind a number; empty if the fake trials hold their labels."""
        if self.label_name is None:
            return "no conditions: all trials form one group, so differences between stimuli are included"
        return f"{self.label_name} of the generated trials was decoded from their spikes" if self.labels_decoded else ""

    @property
    def window_note(self) -> str:
        """Note on the compared part of the trials; empty if all trials have the same length."""
        lengths = np.concatenate([self.real_trials.lengths, self.fake_trials.lengths])
        if lengths.min() == lengths.max():
            return ""
        return f"first {self.window * self.real_trials.bin_width:g} s of the trials that are this long"

    # --- the two sets ---------------------------------------------------------------------------------------------

    @once_property
    def real(self) -> Statistics:
        """Statistics of the real trials."""
        return self._statistics(self.real_trials, self._labels(self.real_trials), self._of_real)

    @once_property
    def fake(self) -> Statistics:
        """Statistics of the fake trials."""
        trials = self.fake_trials
        if not self.labels_decoded:
            return self._statistics(trials, self._labels(trials))
        unlabelled = self._statistics(trials, np.zeros(len(trials), np.int64))
        return unlabelled.with_labels(self.classifier.classify(self.chunk_features(unlabelled)))

    @once_property
    def training(self) -> Statistics | None:
        """Statistics of the reference; None without a reference. Labels are all 0 if it does not have the condition."""
        if self.reference is None:
            return None
        labelled = self.label_name in self.reference.conditions
        labels = self._labels(self.reference) if labelled else np.zeros(len(self.reference), np.int64)
        return self._statistics(self.reference, labels, self._of_reference)

    @once_property
    def teacher(self) -> Statistics:
        """Statistics of the trials to which decoders are fitted.

        These are the reference trials, or the real trials if there is no reference or it lacks the condition.
        """
        if self.training is None or (self.label_name and self.label_name not in self.training.trials.conditions):
            return self.real
        return self.training

    @once_property
    def classifier(self) -> Classifier:
        """Classifier that decodes the condition from the spikes of a trial, fitted to the trials of `teacher`."""
        return self.teacher.once(fit_classifier, chunks=self.chunks, classes=len(self.label_values))

    @once_property
    def chunks(self) -> int:
        """Number of pieces of a trial in the input features of the classifier."""
        seconds = float(self.real_trials.lengths.mean()) * self.real_trials.bin_width
        return chunks_for(seconds, self.n_neurons)

    def chunk_features(self, statistics: Statistics) -> Numbers:
        """Return the input features of the classifier (trial, feature)."""
        return statistics.once(chunk_features, chunks=self.chunks)

    def _statistics(self, trials: Trials, labels: NDArray[np.int64], prepared: Prepared | None = None) -> Statistics:
        """Return the statistics of these trials, or the same statistics that another comparison has prepared.

        Args:
            trials: One set of trials.
            labels: Label of each trial.
            prepared: Statistics of this set from other comparisons. New statistics are added to them.
        """
        statistics = Statistics(trials, labels=labels, conditions=max(1, len(self.label_values)), window=self.window)
        if prepared is None:
            return statistics
        return prepared.setdefault((statistics.window, statistics.conditions, labels.tobytes()), statistics)

    def _labels(self, trials: Trials) -> NDArray[np.int64]:
        """Return the label of each trial: the index of its condition in `label_values`, or 0 without a condition."""
        if self.label_name is None:
            return np.zeros(len(trials), np.int64)
        return as_labels(trials.condition(self.label_name), self.label_values)

    def active(self, spikes: int) -> NDArray[np.int64]:
        """Return the neurons with at least `spikes` spikes in both sets (neuron,)."""
        return np.flatnonzero((self.real.totals >= spikes) & (self.fake.totals >= spikes))

    @once_property
    def features(self) -> Features:
        """Feature vectors of both sets, from the neurons with at least 50 real spikes."""
        return Features(self.real, self.fake, np.flatnonzero(self.real.totals >= ENOUGH_SPIKES), self.seed)

    # --- correlograms, shared by several metrics ------------------------------------------------------------------

    @once_property
    def coactive(self) -> NDArray[np.int64]:
        """Pairs of neurons (pair, 2) with the largest mean product of wide counts in the real trials."""
        pairs = pairs_of(self.active(ENOUGH_SPIKES))
        mean_products = self.real.products[pairs[:, 0], pairs[:, 1]]
        return pairs[np.argsort(-mean_products, kind="stable")[:COACTIVE_PAIRS]]

    @once_property
    def correlograms(self) -> tuple[tuple[Numbers, Numbers], tuple[Numbers, Numbers]]:
        """Auto- and cross-correlograms of the real and of the fake trials."""
        lags = min(LAGS, self.window - 1)
        real, fake = (
            statistics.once(_correlograms, pairs=self.coactive, lags=lags) for statistics in (self.real, self.fake)
        )
        return real, fake


def _correlograms(statistics: Statistics, *, pairs: NDArray[np.int64], lags: int) -> tuple[Numbers, Numbers]:
    """Return auto- and cross-correlograms of one set."""
    return correlograms(statistics.trials, pairs=pairs, lags=lags)


def find_condition(real: Trials, fake: Trials, reference: Trials | None = None) -> str | None:
    """Return the name of the first condition that labels the real trials, or None.

    Conditions of both sets come first. With a reference, a condition that labels the reference trials is accepted, too,
    because test sets may be small. The condition `source` (the recording of each pooled trial) is never returned: it is
    not a condition of an experiment, and generated trials do not come from a recording.
    """
    sets = [real] if reference is None else [real, reference]
    names = [name for name in real.conditions if name != SOURCE]
    labelling = [
        name
        for name in names
        if any(name in trials.conditions and _labels_trials(trials.condition(name)) for trials in sets)
    ]
    of_both = [name for name in labelling if name in fake.conditions]
    return next(iter([*of_both, *labelling]), None)


def _labels_trials(values: Numbers) -> bool:
    """Return whether the values of a condition can label trials; see the module."""
    if values.ndim != 1 or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        return False
    present = values[values != ""] if values.dtype.kind == "U" else values  # an empty text is a missing value
    distinct, sizes = np.unique(present, return_counts=True)
    return 2 <= len(distinct) <= MOST_CONDITIONS and bool(sizes.min() >= FEWEST_TRIALS)


def values_of(labels: Numbers) -> Numbers:
    """Return the distinct values of a condition, sorted, without missing values (NaN or empty text)."""
    distinct = np.unique(labels)
    return distinct[distinct != ""] if distinct.dtype.kind == "U" else distinct[distinct == distinct]  # NaN != NaN


def as_labels(values: Numbers, distinct: Numbers) -> NDArray[np.int64]:
    """Return the index of each value in `distinct` (trial,); -1 for a value that is not in it.

    Args:
        values: Value of each trial (trial,). If trials have several values each (trial, dim), all get -1.
        distinct: Distinct values in ascending order.
    """
    values = np.asarray(values)
    if values.ndim != 1:
        return np.full(len(values), -1)
    if "f" in (values.dtype.kind, distinct.dtype.kind):  # files may round angles
        values = np.round(values.astype(float), 6)
        distinct = np.round(distinct.astype(float), 6)
    if not len(distinct):
        return np.full(len(values), -1)
    # position of each value, or of the next larger one if the value is missing
    index = np.clip(np.searchsorted(distinct, values), 0, len(distinct) - 1)
    return np.where(distinct[index] == values, index, -1).astype(np.int64)
