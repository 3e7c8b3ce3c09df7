r"""Bits per spike: how much better a model predicts counts than each neuron's mean does.

.. math:: \frac{\log p_{\mathrm{model}}(s) - \log p_{\mathrm{null}}(s)}{\log 2\, \sum s},

in the sum over trials, valid bins and neurons; null is a Poisson of each neuron's mean count in these trials, with the
factorial. Every rate is inferred with its own count hidden from the encoder (coordinated dropout, turn by turn), and
the observation model adds what the neuron's earlier counts say. Where the model has shared noise, each count is judged
alone, the noise averaged out: see `observation.model`.

Source: the Neural Latents Benchmark's definition (METHODS 5.5), without held-out neurons.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeloom.models.common.base import BINS_AT_ONCE
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

SMALLEST = 1e-9
"""Mean count of a silent neuron, spikes/bin."""


MOST_PARTS = 10
"""Passes in which entries are hidden in turn; more would hide too few of them to be worth their time."""


def hidden_in_turn(
    rates: Callable[[Tensor, Tensor], Tensor], trials: Trials, *, share: float, in_batches: Callable[..., Any]
) -> np.ndarray:
    """Rates (trial, time, neuron) of trials, each inferred with its own count hidden.

    Entries are dealt out at random to as many parts as make one a share of the whole.

    Args:
        rates: Thinned counts, raised by what was hidden, and mask -> rates, spikes/bin.
        trials: The trials.
        share: Of the entries that training hides.
        in_batches: `Model._in_batches` of the model.
    """
    parts = min(MOST_PARTS, max(2, round(1 / share))) if share else 2

    def some(rows: np.ndarray) -> dict[str, np.ndarray]:
        streams = Streams(0, Purpose.CALIBRATE, 2, rows)
        counts, mask = torch.from_numpy(trials.counts[rows].astype(np.float32)), torch.from_numpy(trials.mask[rows])
        part = torch.from_numpy(streams.uniform(*counts.shape[1:]) * parts).long()
        found = torch.zeros_like(counts)
        for number in range(parts):
            hidden = part == number
            seen = torch.where(hidden, 0, counts * parts / (parts - 1))
            found = torch.where(hidden, rates(seen, mask).cpu(), found)
        return {"rates": found.numpy()}

    batch = max(1, min(64, BINS_AT_ONCE // trials.time))
    rows: np.ndarray = in_batches(some, len(trials), trials.time, batch, False, "unseen")["rates"]
    return rows


@torch.no_grad()
def bits_per_spike(observation: ObservationModel, unseen: TrialRates, trials: Trials) -> float:
    """Bits per spike of trials, held-out ones for an honest number; nan without spikes.

    Args:
        observation: Of a trained model.
        unseen: Rates of these trials, each inferred without its own count, spikes/bin; `unseen_rates` of the model.
        trials: With the neurons and bins of the training.
    """
    counts = torch.from_numpy(trials.counts.astype(np.float64))
    mask = torch.from_numpy(trials.mask)[..., None]
    drive = observation.drive(torch.from_numpy(unseen).double())
    found = observation.log_prob(counts, drive)
    mean = (counts.sum((0, 1)) / trials.bins).clamp(min=SMALLEST)
    null = counts * mean.log() - mean - torch.lgamma(counts + 1)
    gain: Tensor = torch.where(mask, found - null, 0).sum()
    return float(gain / counts.sum() / math.log(2)) if counts.any() else math.nan
