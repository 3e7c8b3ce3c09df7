"""`Live`: generation of trials one bin at a time, for conditions that are known up to the present bin only.

    live = model.live(seed=1, condition="hand_velocity")
    counts = live.step(velocity_of_this_bin)

Memory and time of a step are constant. A bin depends on earlier bins and conditions only. Its counts are those of the
same bin in a sample or a stream with the same seed and conditions.

A diffusion model is not causal: a bin depends on the conditions of the next `lookahead` bins. Its live trial is a
stream that is returned bin by bin. All conditions are passed at the beginning, a series as an array or as an iterator
that is read ahead. `step` is then called without an argument.
"""

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike

from spikeloom.errors import ConditionError, DataError, SettingError
from spikeloom.models.common.conditions import ConditionArgument, Conditions, NamedCondition
from spikeloom.models.common.course import Course, State, StreamedCourse
from spikeloom.models.common.results import Generated
from spikeloom.models.common.rows import Rows
from spikeloom.nn.condition import Condition
from spikeloom.shapes import Array
from spikeloom.text import counted

StepCondition = ArrayLike | Mapping[str, ArrayLike] | None
"""Condition of a bin: name -> value, or the value alone if the model has one condition. None keeps the last value."""


class LiveConditions:
    """Conditions of live trials, which may change in every bin.

    Args:
        conditions: Conditions of the model.
        condition: Argument of `Model.live`: names, or name -> value in the first bins.
        batch: Number of trials.
        seed: Random seed for columns without a value, which are drawn from the training trials.

    Raises:
        ConditionError: if a name is unknown, or a condition is missing.
    """

    def __init__(self, conditions: Conditions, condition: ConditionArgument, *, batch: int, seed: int) -> None:
        requested = conditions.requested(condition)
        if requested:
            conditions.check_complete(requested)
        self.conditions = conditions
        self.batch = batch
        self.present = bool(requested)
        self.values: dict[str, Array] = {}
        self._encoded: Condition | None = None
        columns = {named.name: requested[named.name] for named in conditions.each if requested and not named.per_bin}
        if columns:
            constant = Conditions(tuple(named for named in conditions.each if named.name in columns))
            self.replace(constant.values(columns, None, Rows.whole(np.ones(batch, np.int64), seed=seed)))
        series = {named.name: requested[named.name] for named in conditions.each if requested and named.per_bin}
        self.update({name: np.asarray(value) for name, value in series.items() if value is not None})

    def update(self, condition: StepCondition) -> None:
        """Replace the values of some conditions from the next bin on; None keeps all of them.

        Raises:
            ConditionError: if the trials have no condition of this name, or a value has a wrong shape.
        """
        if condition is None or (isinstance(condition, Mapping) and not condition):
            return
        names = self.conditions.names if self.present else []
        if not isinstance(condition, Mapping):
            if len(names) != 1:
                raise ConditionError(
                    "A value without a name needs live trials with exactly one condition.",
                    f"These have {names or 'none'}.",
                    "Write live.step({name: value}).",
                )
            condition = {names[0]: condition}
        unknown = sorted(set(condition) - set(names))
        if unknown:
            raise ConditionError(
                f"These live trials have {names or 'no conditions'}.",
                f"The step names {unknown}.",
                "Name all conditions at the beginning: model.live(seed, condition=[...]).",
            )
        updated = [named for named in self.conditions.each if named.name in condition]
        rows = {named.name: self._rows(named, condition[named.name]) for named in updated}
        self.replace({**self.values, **rows})

    def replace(self, values: dict[str, Array]) -> None:
        """Set the values of all conditions that have a value. After an error, the previous values remain."""
        complete = self.present and set(values) == set(self.conditions.names)
        per_bin = {named.name for named in self.conditions.each if named.per_bin}
        # a series is encoded with an axis of time, here of one bin
        rows = {name: value[:, None] if name in per_bin else value for name, value in values.items()}
        self._encoded = self.conditions.encode(rows) if complete else None
        self.values = values

    def encode(self) -> Condition | None:
        """Return the encoded condition of the next bin. Raise a ConditionError if a series has no value yet."""
        if self.present and self._encoded is None:
            raise ConditionError(
                "Every condition needs a value in the first bin.",
                f"There is none for {[name for name in self.conditions.names if name not in self.values]}.",
                "Pass it to live.step, or with its name to model.live.",
            )
        return self._encoded

    def _rows(self, named: NamedCondition, value: ArrayLike) -> Array:
        """Return a value as one row for each trial: (batch,) for single values of columns, else (batch, dim)."""
        name = named.name
        size = named.size
        array = np.asarray(value)
        row_shape = (size,) if named.per_bin or size > 1 else ()
        if array.shape == () and row_shape == (1,):
            array = array.reshape(1)
        if array.shape == (self.batch,) and row_shape == (1,):
            array = array[:, None]
        if array.shape not in (row_shape, (self.batch, *row_shape)):
            raise ConditionError(
                f"{name} needs {counted(size, 'number')} in each bin, for all trials or for each of {self.batch}.",
                f"It had shape {array.shape}.",
                "Give one value, or one row per trial.",
            )
        return np.broadcast_to(array, (self.batch, *row_shape))


@final
class Live:
    """Trials that are generated one bin per step; see the module. `Model.live` returns one.

    Args:
        course: Trials of the model.
        conditions: Conditions of these trials.
        batch: Number of trials.

    Attributes:
        bins: Number of bins generated so far.
        lookahead: Largest number of later bins on whose condition a bin depends; 0 for causal models.
    """

    def __init__(self, course: Course, conditions: LiveConditions, *, batch: int) -> None:
        self.bins = 0
        self.lookahead = course.lookahead
        self._course = course
        self._conditions = conditions
        self._batch = batch
        self._last: Generated | None = None

    def step(self, condition: StepCondition = None) -> Array:
        """Generate the next bin and return its counts (neuron,), or (trial, neuron) for several trials.

        Args:
            condition: Condition of this bin: name -> value, or the value alone if the model has one condition. `None`
                keeps the condition of the previous bin.

        Raises:
            ConditionError: if a value is missing or invalid, or the model needs the conditions of later bins. The trial
                does not change.
        """
        if self.lookahead and condition is not None:
            raise ConditionError(
                f"A bin of this model depends on the conditions of up to {counted(self.lookahead, 'later bin')}.",
                f"The step got {condition!r}.",
                "Pass all conditions to model.live, a series as an array or an iterator, or use an AutoregressiveLDNS.",
            )
        self._conditions.update(condition)
        encoded = self._conditions.encode()
        with torch.inference_mode():
            self._last = self._course.advance(1, encoded)
        self.bins += 1
        return self._of(self._last.counts)

    @property
    def rates(self) -> Array:
        """Expected counts of the last bin without history and noise, spikes/bin: (neuron,) or (trial, neuron)."""
        return self._of(self._generated.rates)

    @property
    def latents(self) -> Array:
        """Latents of the last bin: (latent,) or (trial, latent)."""
        return self._of(self._generated.latents)

    def state(self) -> dict[str, Array]:
        """Return the complete state on which the next bins depend, besides the model, as plain arrays."""
        values = {f"condition {name}": np.array(value) for name, value in self._conditions.values.items()}
        return {"bins": np.array(self.bins), **values, **self._course.state()}

    def restore(self, state: State) -> None:
        """Continue from a saved state of live trials.

        The saved trials must have the same model, the same conditions and the same number of trials.

        Raises:
            DataError: if the state does not fit these trials.
        """
        if self.lookahead:
            self._course.restore(state)  # raises an error: states of streams are not saved
        names = {name.removeprefix("condition ") for name in state if name.startswith("condition ")}
        try:
            course_state = {
                name: value for name, value in state.items() if name != "bins" and not name.startswith("condition ")
            }
            if not names <= set(self._conditions.conditions.names) or len(state["noise"]) != self._batch:
                raise ValueError("other conditions or another number of trials")
            self._course.restore(course_state)
            self.bins = int(state["bins"])
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(
                "A state must come from live trials with the same model, conditions and number of trials.",
                f"It does not fit: {error}.",
                "Begin with the same arguments of model.live.",
            ) from error
        self._conditions.replace({name: state[f"condition {name}"] for name in names})
        self._last = None

    @property
    def _generated(self) -> Generated:
        """The last bin. Raises a DataError before the first step."""
        if self._last is None:
            raise DataError("Rates and latents belong to the last bin.", "No bin was generated.", "Call live.step().")
        return self._last

    def _of(self, values: Array | None) -> Array:
        """Return the values of the last bin, without the axis of trials if there is one trial."""
        if values is None:
            raise DataError("This model generates no such values.", "There are none in its bins.", "Use the counts.")
        return values[0, -1] if self._batch == 1 else values[:, -1]


def live_stream(course: StreamedCourse, conditions: Conditions, *, batch: int) -> Live:
    """Return the live trial of a model that is not causal.

    Args:
        course: Course of the trial, which reads the conditions.
        conditions: Conditions of the model.
        batch: Number of requested trials.

    Raises:
        SettingError: if several trials are requested.
    """
    if batch > 1:
        raise SettingError(
            "A model that is not causal generates one live trial at a time.",
            f"batch={batch} was requested, and the model generates up to {course.lookahead} bins ahead.",
            "Begin several live trials with seed=0, seed=1, ..., or use an AutoregressiveLDNS.",
        )
    return Live(course, LiveConditions(conditions, (), batch=1, seed=0), batch=1)
