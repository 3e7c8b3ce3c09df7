r"""Objectives of a search, computed on validation trials. A larger value is better.

- **reconstruction**: bits per spike of hidden counts. A quarter of the counts s of the validation trials is drawn once
  and hidden from the encoder; the others are multiplied by 4/3, as in coordinated dropout. With r the inferred rates,
  :math:`\bar r` each neuron's mean over its hidden counts and Poisson probabilities p, the score is
  :math:`\sum_{hidden} (\log p(s \mid r) - \log p(s \mid \bar r))` divided by :math:`\log 2 \sum_{hidden} s`. Unlike a
  loss, it can be compared between attempts that hide different fractions or use different penalties in training.
- **bound**: the evidence lower bound in nats per validation trial, for variational models: log-likelihood minus the
  full divergence, without the weight that it has in training.
- **samples**: the distance closed between independent Poisson spikes (0) and the noise floor (1), for one
  generated trial per validation trial. It is the mean over all metrics of `spikeloom evaluate` that distinguish Poisson
  spikes from the noise floor. The distance closed of each metric is limited to -1 to 1, so that no single metric
  dominates; a metric without a value counts as -1.

Reconstruction and bound are computed at every validation, so that a bad attempt can be stopped early. Samples need a
model that is trained to the end.
"""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from spikeloom.errors import SettingError
from spikeloom.evaluation.evaluate import panel_rows
from spikeloom.evaluation.recorded import RecordedHalves
from spikeloom.metrics.panel import METRICS
from spikeloom.models.common.base import Model, as_float
from spikeloom.models.common.likelihood import bits_per_hidden_spike
from spikeloom.nn.ssm import keep_kernels
from spikeloom.seeds import Purpose, generator
from spikeloom.training.checkpoint import Line
from spikeloom.trials import Trials
from spikeloom.tuning.space import Drawn

Name = Literal["reconstruction", "bound", "samples"]

HIDDEN = 0.25
"""Fraction of the counts of the validation trials that is hidden, and on which reconstruction is computed."""

BATCH = 64
"""Number of trials that are encoded at once."""

SLOW = ("distance", "conditions", "memorisation")
"""Groups of metrics that a search omits: classifiers and searches for copies take minutes for each attempt."""

SPLITS = 3
"""Number of random splits of the validation trials for the noise floor."""


class Objective(abc.ABC):
    """The quantity that a search maximises."""

    unit: str
    early: bool  # true if the objective can be computed during the first stage of training

    @abc.abstractmethod
    def check(self, model: Model) -> None:
        """Raise a SettingError if the objective does not apply to a model of this kind, trained or not."""

    @abc.abstractmethod
    def score(self, model: Model, history: Sequence[Line]) -> float:
        """Return the score of a model; NaN if it is undefined.

        Args:
            model: Model that is trained or at a validation.
            history: Lines of the training, or only the line of this validation.
        """


@final
@dataclass(frozen=True, eq=False)
class Reconstruction(Objective):
    """Objective "reconstruction": bits per spike of hidden entries (see the module).

    Args:
        validation: Validation trials.
        seed: Random seed of the choice of entries.
    """

    validation: Trials
    seed: int = 0
    unit = "bits/spike"
    early = True

    def check(self, model: Model) -> None:
        """Raise a SettingError if the model does not read counts, which this objective hides from it."""
        if model.reads != "counts":
            raise SettingError(
                "The objective reconstruction needs a model that reads counts, because it hides counts from the model.",
                f"{type(model).__name__} reads {model.reads}.",
                "Write --objective samples.",
            )

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """Return the bits per spike of the hidden entries; see the module."""
        del history
        mode = model.training
        model.eval()
        with torch.inference_mode(), keep_kernels():  # each state space computes its kernel once
            rates = np.concatenate([self._rates(model, start) for start in range(0, len(self.validation), BATCH)])
        model.train(mode)
        return bits_per_hidden_spike(self.validation.counts, rates, self.hidden)

    @cached_property
    def hidden(self) -> np.ndarray:
        """True where an entry is hidden (trial, time, neuron)."""
        drawn = (
            generator(self.seed, Purpose.SEARCH, Drawn.HIDDEN).random(self.validation.counts.shape, np.float32) < HIDDEN
        )
        return drawn & self.validation.mask[..., None]

    def _rates(self, model: Model, start: int) -> np.ndarray:
        """Return the rates of a batch of trials, inferred without the hidden entries (trial, time, neuron), spikes/bin.

        Args:
            model: Model that infers the rates.
            start: Number of the first trial of the batch.
        """
        rows = slice(start, start + BATCH)
        # visible counts are scaled up, so that the expected sum of the counts does not change
        visible = as_float(np.where(self.hidden[rows], 0, self.validation.counts[rows])) / (1 - HIDDEN)
        mask: Tensor = torch.from_numpy(self.validation.mask[rows])
        rates = model.infer(visible, mask).rates
        if rates is None:
            raise SettingError(
                "The objective reconstruction needs a model that infers rates.",
                f"{type(model).__name__} infers none.",
                "Write --objective samples.",
            )
        return rates


@final
@dataclass(frozen=True, eq=False)
class Bound(Objective):
    """Objective "bound": evidence lower bound of the validation trials, from the validation with the smallest loss."""

    validation: Trials
    unit = "nats/trial"
    early = True

    def check(self, model: Model) -> None:
        """Raise a SettingError if the validation loss of the model is not an evidence lower bound."""
        if not model.capabilities.bound:
            raise SettingError(
                "The objective bound needs a model whose validation loss is its evidence lower bound.",
                f"This {type(model).__name__} has another validation loss.",
                "Use an LFADS with --set loss_settings.validation=bound, or write --objective samples.",
            )

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """Return the bound of the validation with the smallest loss, in nats per trial; see the module."""
        del model
        losses = {index: loss for index, line in enumerate(history) if (loss := line.get("validation")) is not None}
        if not losses:
            return math.nan
        best = min(losses, key=losses.__getitem__)  # index of the line with the smallest loss
        parts = history[best]["validation_parts"]  # nats per entry, that is per bin and neuron
        terms = [value for name, value in parts.items() if name == "nll" or name.startswith("kl")]
        finite = [value for value in terms if value is not None]
        entries_per_trial = self.validation.n_valid_bins / len(self.validation) * self.validation.n_neurons
        return -sum(finite) * entries_per_trial if len(finite) == len(terms) else math.nan


@final
@dataclass(frozen=True, eq=False)
class Samples(Objective):
    """Objective "samples": distance closed between independent Poisson spikes and the noise floor.

    Args:
        validation: Validation trials.
        bench: Recorded halves of the validation trials, with their noise floor and their baselines.
    """

    validation: Trials
    bench: RecordedHalves
    unit = "of the distance closed"
    early = False

    def check(self, model: Model) -> None:
        """Accept every model: this objective needs samples only."""

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """Return the mean distance closed of samples, -1 to 1, over metrics; see the module."""
        del history
        condition = model.condition or None
        fake = model.sample(like=self.validation, condition=condition, seed=self.bench.recorded.seed, progress=False)
        if not fake.counts.any():  # without spikes no metric has a value
            return -1.0
        rows = [row for row in panel_rows(self.bench, {"fake": self.bench.judge(fake)}) if row.discriminates]
        closed = [-1.0 if row.closed is None else min(1.0, max(-1.0, row.closed)) for row in rows]
        return float(np.mean(closed)) if closed else math.nan


def objective(name: Name, *, train: Trials, validation: Trials, seed: int = 0) -> Objective:
    """Return the objective with this name.

    Args:
        name: Name of the objective.
        train: Training trials.
        validation: Validation trials, disjoint from training and test trials.
        seed: Random seed of hidden entries, generated trials and random splits.
    """
    if name == "reconstruction":
        return Reconstruction(validation, seed)
    if name == "bound":
        return Bound(validation)
    metrics = [metric for metric in METRICS if metric.group not in SLOW]
    bench = RecordedHalves.build(
        validation, fakes={}, reference=train, splits=SPLITS, seed=seed, metrics=metrics, progress=False
    )
    return Samples(validation, bench)
