r"""What a search looks for, measured on validation trials that no attempt is trained on; more is better.

- **reconstruction**: bits per spike of a quarter of the entries of the validation trials, drawn once and hidden from
  the encoder, the others raised by 4/3 as in coordinated dropout:
  :math:`\sum_{hidden} \log p(s \mid r) - \log p(s \mid \bar r)` over :math:`\log 2 \sum_{hidden} s`, both Poisson, with
  :math:`\bar r` each neuron's mean count. It means the same whatever share the training hides and whatever it
  penalises, which a loss does not.
- **bound**: the evidence lower bound, nats per validation trial: log-likelihood minus the whole divergence, whatever
  weight the training gives it; for variational models.
- **samples**: as many generated trials as there are validation trials, judged by the panel of `spikeloom evaluate`: the
  share of the distance from independent Poisson spikes to the noise floor that is closed, mean over all metrics that
  can tell the two apart. A metric counts from -1 to 1, so that one alone does not decide; one without a value -1.

The first two can be measured at every validation, so that a hopeless attempt is stopped early; samples
can only be drawn from a model that is trained to the end.
"""

import abc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

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
from spikeloom.trials import Trials

Name = Literal["reconstruction", "bound", "samples"]
Line = Mapping[str, Any]
"""A line of history."""

HIDDEN = 0.25
"""Share of the entries of the validation trials that reconstruction is judged on."""

BATCH = 64
"""Trials that are encoded at once."""

SLOW = ("distance", "conditions", "memorisation")
"""Groups of metrics that a search leaves out: classifiers and searches for copies, minutes for each attempt."""

SPLITS = 3
"""Random splits of the validation trials behind a noise floor."""


class Objective(abc.ABC):
    """What a search maximises."""

    unit: str
    early: bool  # whether it can be measured while the first stage is being trained

    @abc.abstractmethod
    def check(self, model: Model) -> None:
        """Raise a SettingError if a model of this kind, trained or not, cannot be judged so."""

    @abc.abstractmethod
    def score(self, model: Model, history: Sequence[Line]) -> float:
        """How good the model is; nan where it cannot be said.

        Args:
            model: Trained, or at a validation.
            history: Lines of the training, or that of the look alone.
        """


@final
@dataclass(frozen=True, eq=False)
class Reconstruction(Objective):
    """Bits per spike of hidden entries; see the module.

    Args:
        validation: Trials to judge by.
        seed: Of the choice of entries.
    """

    validation: Trials
    seed: int = 0
    unit = "bits/spike"
    early = True

    def check(self, model: Model) -> None:
        """See `Objective.check`."""
        if model.reads != "counts":
            raise SettingError(
                "Only a model that reads counts can be searched by reconstruction: some are hidden from it.",
                f"{type(model).__name__} reads {model.reads}.",
                "Write --objective samples.",
            )

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """See `Objective.score`."""
        del history
        mode = model.training
        model.eval()
        with torch.inference_mode(), keep_kernels():
            rates = np.concatenate([self._rates(model, start) for start in range(0, len(self.validation), BATCH)])
        model.train(mode)
        return bits_per_hidden_spike(self.validation.counts, rates, self.hidden)

    @cached_property
    def hidden(self) -> np.ndarray:
        """True where an entry is hidden (trial, time, neuron)."""
        drawn = generator(self.seed, Purpose.SEARCH, 0).random(self.validation.counts.shape, np.float32) < HIDDEN
        return drawn & self.validation.mask[..., None]

    def _rates(self, model: Model, start: int) -> np.ndarray:
        """Rates of a batch of trials, their hidden entries not seen."""
        rows = slice(start, start + BATCH)
        seen = as_float(np.where(self.hidden[rows], 0, self.validation.counts[rows])) / (1 - HIDDEN)
        mask: Tensor = torch.from_numpy(self.validation.mask[rows])
        rates = model.infer(seen, mask).rates
        if rates is None:
            raise SettingError(
                "To search by reconstruction a model must infer rates.",
                f"{type(model).__name__} infers none.",
                "Write --objective samples.",
            )
        return rates


@final
@dataclass(frozen=True, eq=False)
class Bound(Objective):
    """Evidence lower bound of the validation trials, from the loss on them at the look whose weights are kept."""

    validation: Trials
    unit = "nats/trial"
    early = True

    def check(self, model: Model) -> None:
        """See `Objective.check`."""
        if not model.capabilities.bound:
            raise SettingError(
                "To search by bound a model must be validated by its evidence lower bound.",
                f"This {type(model).__name__} is not.",
                "Search an LFADS, with --set loss_settings.validation=bound; or write --objective samples.",
            )

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """See `Objective.score`."""
        del model
        looks = [line for line in history if line.get("validation") is not None]
        if not looks:
            return math.nan
        parts = min(looks, key=lambda line: line["validation"])["validation_parts"]
        spent = [value for name, value in parts.items() if name == "nll" or name.startswith("kl")]
        entries = self.validation.n_valid_bins / len(self.validation) * self.validation.n_neurons
        return -sum(spent) * entries if None not in spent else math.nan


@final
@dataclass(frozen=True, eq=False)
class Samples(Objective):
    """Share of the distance from independent Poisson spikes to the noise floor that samples close.

    Args:
        validation: Trials to judge by.
        bench: The validation trials prepared for judging.
    """

    validation: Trials
    bench: RecordedHalves
    unit = "of the distance closed"
    early = False

    def check(self, model: Model) -> None:
        """See `Objective.check`; every model generates."""

    def score(self, model: Model, history: Sequence[Line]) -> float:
        """See `Objective.score`."""
        del history
        condition = model.condition or None
        fake = model.sample(like=self.validation, condition=condition, seed=self.bench.seed, progress=False)
        if not fake.counts.any():
            return -1.0
        rows = [row for row in panel_rows(self.bench, {"fake": self.bench.judge(fake)}) if row.discriminates]
        closed = [-1.0 if row.closed is None else min(1.0, max(-1.0, row.closed)) for row in rows]
        return float(np.mean(closed)) if closed else math.nan


def objective(name: Name, *, train: Trials, validation: Trials, seed: int = 0) -> Objective:
    """The objective of that name.

    Args:
        name: What is looked for.
        train: Training trials.
        validation: Trials that no attempt is trained on; nor are they test trials.
        seed: Of hidden entries, generated trials and random splits.
    """
    if name == "reconstruction":
        return Reconstruction(validation, seed)
    if name == "bound":
        return Bound(validation)
    metrics = [metric for metric in METRICS if metric.group not in SLOW]
    bench = RecordedHalves.build(
        validation, fakes=[], reference=train, splits=SPLITS, seed=seed, metrics=metrics, progress=False
    )
    return Samples(validation, bench)
