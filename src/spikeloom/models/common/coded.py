"""`Coded`: a model with one code per trial, and what one does with codes: rebuild trials, find directions, walk.

Final here, so that walks of two models are the same walks. A paper's file sets `codes`, makes `space` in `build`,
measures it in `stages`, returns codes from `infer`, and draws from `request.codes` where they are given.
"""

import abc
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np

from spikeloom.errors import SettingError
from spikeloom.metrics.disentanglement import Directions, How
from spikeloom.models.common.base import Model
from spikeloom.nn.codes import CodeRangeWarning, CodeSpace
from spikeloom.trials import Trials


class Coded(Model, abc.ABC):
    """A generative model of whole trials, each from one code (code,)."""

    codes: int  # numbers in a code
    space: CodeSpace  # where the training trials' codes lie

    @final
    def reconstruct(self, trials: Trials, *, seed: int = 0) -> Trials:
        """Trials generated from the codes of the given ones, with their lengths, conditions and behaviour."""
        codes = self.encode(trials, progress=False).codes
        fake = self.sample(like=trials, codes=codes, seed=seed, progress=False)
        return replace(fake, conditions=trials.conditions, behavior=trials.behavior, units=trials.units)

    @final
    def directions(self, trials: Trials, names: Sequence[str]) -> Directions:
        """Where in code space the named variables of these trials lie; see `Directions`."""
        return Directions.of(self.encode(trials, progress=False), names)

    @final
    def traverse(
        self,
        trials: Trials,
        along: str,
        *,
        span: tuple[float, float],
        points: int = 5,
        keep: Sequence[str] = (),
        how: How = "curved",
        reference: Trials | None = None,
        seed: int = 0,
    ) -> Trials:
        """Walk in code space: move one variable of each trial, keep the rest, and generate at every point.

        All points of a trial's walk start from the same noise, so what changes is what the code changes.

        Args:
            trials: Where the walks begin: their own codes.
            along: The variable to move: a condition of numbers, or "series.0", the last bin of a behaviour series.
            span: Least and largest change, in the variable's own unit.
            points: How many points, even over the span.
            keep: Further variables that shall not move; all conditions of single numbers if none are named.
            how: Curved or straight, and which way; see `metrics.disentanglement`.
            reference: Trials that the directions are measured on, the training trials; `trials` if absent.
            seed: Of noise and spikes.

        Returns:
            points x trials, point after point, with the conditions `walk` (the change asked for), `walk_trial` (the row
            in `trials`), `walk_along`, and those of the trial, the moved one as it was asked for.
        """
        if points < 1 or not np.isfinite(span).all():
            raise SettingError(
                "A walk needs points >= 1 and a finite span.",
                f"It got points={points}, span={span}.",
                "Give span=(-1, 1).",
            )
        source = trials if reference is None else reference
        kept = list(keep) or [name for name in source.conditions if source.conditions[name].dtype.kind == "f"]
        names = [along, *[name for name in kept if name != along]]
        directions = self.directions(source, names)
        codes = np.asarray(self.encode(trials, progress=False).codes)
        changes = np.linspace(*span, points)
        only = np.eye(1, len(names)).repeat(len(codes), 0)  # of all variables, only the first moves
        moved = np.stack([directions.move(codes, change * only, how=how) for change in changes])
        self.admit(moved.reshape(-1, self.codes).astype(np.float32))  # warns once, for the whole walk
        parts = []
        for change, these in zip(changes, moved, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CodeRangeWarning)
                fake = self.sample(like=trials, codes=these, seed=seed, progress=False)
            asked = {along: trials.conditions[along] + change} if along in trials.conditions else {}
            fields = ("walk_along", along), ("walk", change)
            walked = {name: np.full(len(trials), value) for name, value in fields} | {
                "walk_trial": np.arange(len(trials))
            }
            parts.append(replace(fake, conditions={**trials.conditions, **asked, **walked}))
        return parts[0].concatenate(*parts[1:])

    @final
    def admit(self, codes: np.ndarray) -> np.ndarray:
        """Codes a caller gave, checked; a warning says the distance of those that leave the training codes."""
        self._trained()
        return self.space.check(codes)
