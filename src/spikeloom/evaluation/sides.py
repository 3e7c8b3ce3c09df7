"""`Sides`: the sets of trials of an evaluation (recorded, generated and training trials), prepared for comparison.

Neurons are sorted into the same order, all trials are cut into windows of the same length if that is requested, several
conditions are joined to one label, and each set is checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spikeloom.errors import DataError, SpikeloomError
from spikeloom.text import counted
from spikeloom.trials import Trials

MODELS = ("LDNS", "AutoregressiveLDNS", "GNOCCHI", "LFADS", "Poisson", "homogeneous")
"""First words of `source` that mark generated trials."""

Fakes = Trials | Sequence[Trials] | Mapping[str, Trials]
"""Generated trials: one set, several sets, or several sets by name."""

Condition = str | Sequence[str] | None
"""Name of the condition that labels trials, several names for their joint label, or None."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Recorded, generated and training trials that can be compared.

    Args:
        real: Held-out recorded trials, not cut.
        fakes: Sets of generated trials by name, cut into windows if `every` was set.
        reference: Training trials, cut in the same way, or None.
        condition: Name of the condition that labels trials; None to find one.
    """

    real: Trials
    fakes: Mapping[str, Trials]
    reference: Trials | None
    condition: str | None

    @classmethod
    def of(
        cls,
        real: Trials,
        fakes: Mapping[str, Trials],
        reference: Trials | None,
        *,
        condition: Condition = None,
        every: float | None = None,
    ) -> "Sides":
        """Check the trials, sort their neurons into the same order, join conditions, and cut windows.

        Args:
            real: Held-out recorded trials.
            fakes: Sets of generated trials by name.
            reference: Training trials, or None.
            condition: Name of the condition that labels trials, or several names whose values together are the label.
            every: Length of the windows, s; `None` cuts no windows.

        Raises:
            ShapeError: if neurons or bin widths differ.
            DataError: if a set is empty, a window is longer than all trials of a set, another set holds exactly the
                spikes of the real trials, or real and fake are swapped.
            ConditionError: if a condition is unknown.
        """
        real, fakes, reference = comparable(real, fakes, reference)
        names = [condition] if isinstance(condition, str) else list(condition or [])
        if len(names) > 1:
            real = real.with_joint_condition(names)
            fakes = {name: _joined(trials, names) for name, trials in fakes.items()}
            reference = None if reference is None else _joined(reference, names)
        elif names:
            real.condition(names[0])  # raises an error if the condition is unknown
        if every is not None:
            _windows("real", real, every)  # only checks the lengths: recorded trials are split first, and cut later
            fakes = {name: _windows(name, trials, every) for name, trials in fakes.items()}
            reference = None if reference is None else _windows("reference", reference, every)
        return cls(real, fakes, reference, ",".join(names) or None)


def _joined(trials: Trials, names: Sequence[str]) -> Trials:
    """Return trials with the joint label of these conditions, or unchanged if they lack one of the conditions."""
    if not set(names) <= set(trials.conditions):
        return trials
    return trials.with_joint_condition(names)


def _windows(name: str, trials: Trials, every: float) -> Trials:
    """Cut trials into windows of this length in seconds; an error names the set."""
    try:
        return trials.cut(every)
    except DataError as error:
        rule, came, remedy = error.args
        raise DataError(rule, f"The {name} trials are too short or the windows too narrow. {came}", remedy) from error


def named(fake: Fakes) -> dict[str, Trials]:
    """Return sets of generated trials by name: "fake" for one set, "seed 1", "seed 2", ... for a list.

    Raises:
        DataError: if there are no generated trials.
    """
    if isinstance(fake, Trials):
        return {"fake": fake}
    fakes = dict(fake) if isinstance(fake, Mapping) else {f"seed {k}": trials for k, trials in enumerate(fake, 1)}
    if not fakes:
        raise DataError("There are no generated trials to evaluate.", "", "Pass at least one set of trials.")
    return fakes


def comparable(
    real: Trials, fakes: Mapping[str, Trials], reference: Trials | None
) -> tuple[Trials, dict[str, Trials], Trials | None]:
    """Return real, generated and training trials with their neurons in the same order.

    Neurons are matched and sorted by their names or ids, if they have any. Results then do not depend on the order of
    the neurons in a file.

    Raises:
        ShapeError: if neurons or bin widths differ.
        DataError: if a set is empty, another set holds exactly the spikes of the real trials, or real and generated
            trials are swapped.

    Warns:
        NeuronOrderWarning: if a set holds the neurons of the real trials in another order.
    """
    sets = {"real": real, **fakes} | ({} if reference is None else {"reference": reference})
    for name, trials in sets.items():
        if not (len(trials) and trials.n_neurons and trials.counts.any()):
            raise DataError(
                "Each set of trials must hold at least one trial, one neuron and one spike.",
                f"{name!r} ({trials.source or 'no source'}) has {counted(len(trials), 'trial')} of "
                f"{counted(trials.n_neurons, 'neuron')}.",
                "Look at the file with `spikeloom inspect`.",
            )
    sets = {name: _like(real, trials, name).sort_neurons() for name, trials in sets.items()}
    real = sets["real"]
    reference = sets.get("reference") if reference is not None else None
    recorded = {"real": real} | ({} if reference is None else {"reference": reference})
    for name, trials in recorded.items():
        if trials.source.split(" ")[0] in MODELS:
            raise DataError(
                f"The {name} trials must be recorded trials.",
                f"According to their source, {trials.source!r} generated them.",
                "Swap --real and --fake. To compare two generated sets, remove the source of one set.",
            )
    for name, trials in sets.items():
        if name != "real" and trials.counts.shape == real.counts.shape and (trials.counts == real.counts).all():
            raise DataError(
                "The real trials must differ from the trials with which they are compared.",
                f"{name!r} holds exactly the same spikes as the real trials.",
                "Check that the same file is not used twice; the real trials must be held-out trials.",
            )
    return real, {name: sets[name] for name in fakes}, reference


def _like(real: Trials, trials: Trials, name: str) -> Trials:
    """Return trials with the neurons in the order of the real trials; an error names the set."""
    try:
        return real.match(trials, name="the real trials", other_name=f"{name!r}")
    except SpikeloomError as error:
        must, got, do = error.args
        raise type(error)(must, f"{name!r} does not match the real trials: {got}", do) from error
