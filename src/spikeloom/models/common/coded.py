"""`Coded`: a model with one code per trial, with methods to reconstruct trials, find directions and traverse codes.

These methods are final, so that traversals of two models are comparable. A model sets `n_codes`, makes `space` in
`build`, fits `space` in `stages`, and returns codes from `infer`. Its `draw` uses `request.codes` unless they are None.
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
    """A generative model of whole trials, each from one code (code,).

    Attributes:
        n_codes: Numbers in a code.
        space: Distribution of the codes of the training trials.
        smoothing: Standard deviation, in seconds, of the Gaussian that smooths spikes before they are compared with
            the activity of this model; None if the model learns from rates.
    """

    n_codes: int
    space: CodeSpace
    smoothing: float | None = 0.05

    @final
    def reconstruct(self, trials: Trials, *, seed: int = 0) -> Trials:
        """Encode recorded trials and generate trials from their codes, with their lengths, conditions and behaviour."""
        codes = self.encode(trials, progress=False).codes
        fake = self.sample(like=trials, codes=codes, seed=seed, progress=False)
        # recorded trials may have more padding than generated ones
        behavior = {name: series[:, : fake.n_bins] for name, series in trials.behavior.items()}
        return replace(fake, conditions=trials.conditions, behavior=behavior, units=trials.units)

    @final
    def directions(self, trials: Trials, names: Sequence[str]) -> Directions:
        """Find the directions in code space along which the named variables of these trials change."""
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
        """Traverse code space: move one variable of each trial, keep the others, and generate at every point.

        All points of a trial start from the same noise, so they differ by the change of the code only.

        Args:
            trials: Trials whose codes are moved.
            along: Variable to move: a condition of numbers, or "series.0", the last bin of a behaviour series.
            span: Smallest and largest change, in the unit of the variable.
            points: Number of points, evenly spaced over the span.
            keep: Further variables to keep constant; by default, all conditions of real numbers.
            how: Curved or straight steps, and the direction of straight steps; see `metrics.disentanglement`.
            reference: Trials from which the directions are estimated, usually the training trials; by default,
                `trials`.
            seed: Random seed of noise and spikes.

        Returns:
            All trials at the first point, then all trials at the second point, and so on. Each generated trial has the
            conditions of its row in `trials`, with the requested value of the moved variable. Further conditions are
            `traversal` (the requested change), `traversal_trial` (the row in `trials`) and `traversal_along` (the
            variable).
        """
        if points < 1 or np.shape(span) != (2,) or not np.isfinite(span).all():
            raise SettingError(
                "A traversal needs points >= 1 and a span of two finite numbers.",
                f"It got points={points}, span={span}.",
                "Set span=(-1, 1).",
            )
        source = trials if reference is None else reference
        kept = list(keep) or [name for name in source.conditions if source.conditions[name].dtype.kind == "f"]
        names = [along, *[name for name in kept if name != along]]
        directions = self.directions(source, names)
        codes = np.asarray(self.encode(trials, progress=False).codes)
        changes = np.linspace(*span, points)
        unit_change = np.eye(1, len(names)).repeat(len(codes), 0)  # (trial, variable): 1 for `along`, 0 for the others
        moved = np.stack([directions.move(codes, change * unit_change, how=how) for change in changes])
        self.checked_codes(moved.reshape(-1, self.n_codes).astype(np.float32))  # warns once, for all points
        parts = []
        for change, point_codes in zip(changes, moved, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CodeRangeWarning)
                fake = self.sample(like=trials, codes=point_codes, seed=seed, progress=False)
            target = {along: trials.conditions[along] + change} if along in trials.conditions else {}
            labels = {
                "traversal_along": np.full(len(trials), along),
                "traversal": np.full(len(trials), change),
                "traversal_trial": np.arange(len(trials)),
            }
            parts.append(replace(fake, conditions={**trials.conditions, **target, **labels}))
        return parts[0].concatenate(*parts[1:])

    @final
    def checked_codes(self, codes: np.ndarray) -> np.ndarray:
        """Check codes that a caller has passed to `sample`, and return them.

        Raises:
            ShapeError: if a code has the wrong size.

        Warns:
            CodeRangeWarning: if codes are far from the training codes.
        """
        return self.space.check(codes)


def require_codes(model: Model) -> Coded:
    """Return the model if it has codes, else raise a SettingError."""
    if isinstance(model, Coded):
        return model
    raise SettingError(
        "A traversal needs a model with codes.",
        f"{type(model).__name__} has none.",
        "Fit one with `spikeloom fit gnocchi-small --data train.h5 --out RUN`.",
    )
