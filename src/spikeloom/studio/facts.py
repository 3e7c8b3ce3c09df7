"""`LoadedModel`: a model with its training trials, and the facts about both that the page needs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from spikeloom.models.common.base import Model
from spikeloom.models.common.coded import Coded
from spikeloom.models.common.named_condition import NamedCondition
from spikeloom.shapes import Numbers
from spikeloom.studio.code_variables import CodeVariables, variable_names
from spikeloom.studio.columns import WORDS, Column, psth
from spikeloom.studio.decoder import Decoder
from spikeloom.studio.movements import Movements, drawn_condition, movements_of
from spikeloom.studio.results import Json, number, numbers
from spikeloom.trials import Trials


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained model and its training trials.

    Args:
        name: Name of the run.
        run: Path of the run, as the user wrote it.
        model: The trained model.
        trials: Its training trials, in the order of its neurons.
        note: Sentence about the trials, or an empty text.
    """

    name: str
    run: Path
    model: Model
    trials: Trials
    note: str = ""

    @cached_property
    def drawn(self) -> NamedCondition | None:
        """The condition that the user can draw as a hand path: a planar position or velocity, if the model has one."""
        return drawn_condition(self.model.facts.conditions)

    @cached_property
    def movements(self) -> Movements | None:
        """Hand movements of the training trials, or None if the trials have no series in the plane."""
        return movements_of(self.trials, self.drawn)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Conditions with a single value per trial, and their levels."""
        conditions = self.model.facts.conditions.each
        single = [condition for condition in conditions if not condition.per_bin and condition.size == 1]
        return tuple(Column.of(self.trials, condition) for condition in single)

    @cached_property
    def decoder(self) -> Decoder | None:
        """Decoder from recorded spikes to the movement, if there is a movement."""
        return None if self.movements is None else Decoder.fit(self.trials, self.movements.name)

    @cached_property
    def variables(self) -> CodeVariables | None:
        """Variables of the training trials along which a code can be moved, if the model has codes."""
        names = self.variable_names
        return CodeVariables.of(self.model, self.trials, names) if isinstance(self.model, Coded) and names else None

    @cached_property
    def variable_names(self) -> list[str]:
        """Names of the variables along which a code can be moved; empty for models without codes."""
        return variable_names(self.trials) if isinstance(self.model, Coded) else []

    @cached_property
    def abilities(self) -> dict[str, bool]:
        """Maps each way to use a model on the page to True if this model can be used in this way."""
        conditions = self.model.facts.conditions
        # a condition is chosen by one value, so no condition may be a series
        turn = bool(self.columns) and not any(condition.per_bin for condition in conditions.each)
        draw = self.drawn is not None and self.movements is not None
        return {
            "draw": draw,
            "turn": turn,
            "traverse": bool(self.variable_names),
            "live": draw and self.model.capabilities.live,
            "compare": True,
        }

    @cached_property
    def neuron_order(self) -> list[int]:
        """Neurons sorted by preferred direction of movement, or by mean rate if there is no movement."""
        if self.movements is None:
            return [int(k) for k in np.argsort(-self.trials.mean_rates_hz(), kind="stable")]
        slopes = _slopes(self.trials, self.movements)
        preferred = np.arctan2(slopes[:, 1], slopes[:, 0])  # rad
        return [int(k) for k in np.argsort(preferred, kind="stable")]

    def summary(self) -> Json:
        """Return the entry of this model in the list of models. The server adds the id."""
        recipe = f"{type(self.model).__name__}, {self.model.size}" if self.model.size else type(self.model).__name__
        return {"name": self.name, "kind": type(self.model).__name__, "recipe": recipe, "abilities": self.abilities}

    def details(self) -> Json:
        """Return everything that the page shows or needs when it opens the model. The server adds the id.

        Keys of a feature that the model lacks, such as `decoder` or `codes`, are None.
        """
        facts = self.model.facts
        moves = self.movements
        decoder: Json | None = None
        if self.decoder is not None:
            decoder = {
                "r2_real": number(self.decoder.r2_real),
                "series": self.decoder.name,
                "trials": self.decoder.held_out,
            }
        recorded_psths: list[list[object]] | None = None
        if self.abilities["turn"]:
            recorded_psths = [numbers(rates, 2) for rates in self._psths(self.columns[0])]
        return {
            **self.summary(),
            "bin_width": facts.bin_width,
            "bins": facts.longest,
            "neurons": facts.n_neurons,
            "neuron_order": self.neuron_order,
            "conditions": [self._condition(condition) for condition in facts.conditions.each],
            "training_paths": [] if moves is None else [numbers(path, 5) for path in moves.shown()],
            "path_unit": "" if moves is None else moves.usual.unit,
            "extent": None if moves is None else [number(side) for side in moves.extent],
            "decoder": decoder,
            "recorded_psth": recorded_psths,
            "codes": {"variables": self._variables()} if self.variable_names else None,
            "training": {"trials": len(self.trials)},
            "note": self.note,
        }

    def _condition(self, condition: NamedCondition) -> Json:
        """Return the data from which the page makes a control for a condition: kind, unit, levels and range."""
        column = next((column for column in self.columns if column.condition is condition), None)
        span = [number(side[0]) for side in (condition.low, condition.high)] if condition.low else None
        if condition.kind == "circular":
            span = [number(condition.origin), number(condition.origin + condition.period)]
        return {
            "name": condition.name,
            "kind": "series" if condition.per_bin else WORDS[condition.kind],
            "unit": condition.unit or ("deg" if condition.period == 360 else ""),
            "levels": [] if column is None else list(column.levels),
            "range": span,
            "dims": condition.size,
        }

    def _psths(self, column: Column) -> list[Numbers]:
        """Return the recorded PSTH of each level (neuron, bin); it is NaN for a level without trials."""
        missing = np.full((self.trials.n_neurons, self.trials.n_bins), np.nan)
        rows_of_levels = [column.rows(level) for level in range(len(column.levels))]
        return [psth(self.trials.select(rows)) if len(rows) else missing for rows in rows_of_levels]

    def _variables(self) -> list[Json]:
        """Return the name, range and unit of each variable along which a code can be moved."""
        from spikeloom.metrics.disentanglement import variables

        table = variables(self.trials, self.variable_names)
        units = {name: self.trials.units.get(name.partition(".")[0], "") for name in self.variable_names}
        return [
            {"name": name, "range": numbers(np.percentile(column, (1, 99)), 5), "unit": units[name]}
            for name, column in zip(self.variable_names, table.T, strict=True)
        ]


def _slopes(trials: Trials, movements: Movements) -> Numbers:
    """Return the slopes of a linear regression of each neuron's count on the velocity of the hand (neuron, 2)."""
    velocities = np.diff(movements.paths, axis=1)
    valid = np.isfinite(velocities).all(2)
    x = velocities[valid]
    y = trials.counts[:, 1:][valid].astype(np.float64)
    return np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=None)[0].T
