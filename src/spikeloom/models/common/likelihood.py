r"""Bits per spike: the advantage of a model's prediction of counts over each neuron's mean.

.. math:: \frac{\log p_{\mathrm{model}}(s) - \log p_{\mathrm{null}}(s)}{\log 2\, \sum s},

with sums over trials, valid bins and neurons. The null model is Poisson with each neuron's mean count in these trials,
and log-probabilities include the factorial. Every rate is inferred with its own count hidden from the encoder
(coordinated dropout in several passes), and the observation model adds the effect of the neuron's earlier counts. If
the model has shared noise, the probability of each count is averaged over the noise separately: see
`observation.model`.

Source: the Neural Latents Benchmark's definition (METHODS 5.5), without held-out neurons.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from spikeloom.models.common.results import Inferred, batch_size, in_batches
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialRates
from spikeloom.training.progress import show_parts
from spikeloom.trials import Trials

SMALLEST = 1e-9
"""Smallest rate and mean count, spikes/bin, so that logarithms are finite."""


MOST_PARTS = 10
"""Largest number of passes in which entries are hidden in turn. More passes take longer and hide few entries each."""


def hidden_in_turn(rates: Callable[[Tensor, Tensor], Tensor], trials: Trials, *, share: float) -> np.ndarray:
    """Return rates (trial, time, neuron) of trials, each inferred with its own count hidden.

    Entries are assigned at random to parts, each about `share` of all entries, and the parts are hidden in turn.

    Args:
        rates: Function from counts without the hidden ones, raised by the share that was hidden, and mask to rates,
            spikes/bin.
        trials: The trials.
        share: Share of the entries that training hides.
    """
    parts = min(MOST_PARTS, max(2, round(1 / share))) if share else 2

    def infer(rows: np.ndarray) -> Inferred:
        streams = Streams(0, Purpose.CALIBRATE, 2, rows)
        counts = torch.from_numpy(trials.counts[rows].astype(np.float32))
        mask = torch.from_numpy(trials.mask[rows])
        part = torch.from_numpy(streams.uniform(*counts.shape[1:]) * parts).long()
        unseen = torch.zeros_like(counts)
        for number in range(parts):
            hidden = part == number
            seen = torch.where(hidden, 0, counts * parts / (parts - 1))
            unseen = torch.where(hidden, rates(seen, mask).cpu(), unseen)
        return Inferred(rates=unseen.numpy())

    batch = batch_size(trials.n_bins)
    joined = in_batches(
        infer, len(trials), trials.n_bins, batch=batch, description="unseen rates", progress=show_parts()
    ).rates
    assert joined is not None  # infer returns rates
    return joined


@torch.no_grad()
def bits_per_spike(observation: ObservationModel, unseen: TrialRates, trials: Trials) -> float:
    """Return the bits per spike of trials; nan without spikes. Use held-out trials: training trials score better.

    Args:
        observation: Observation model of a trained model.
        unseen: Rates of these trials, each inferred with its own count hidden, spikes/bin; see `Model.unseen_rates`.
        trials: Trials with the neurons and bins of the training.
    """
    counts = torch.from_numpy(trials.counts.astype(np.float64))
    mask = torch.from_numpy(trials.mask)[..., None]
    drive = observation.drive(torch.from_numpy(unseen).double())
    log_prob = observation.log_prob(counts, drive)
    mean = (counts.sum((0, 1)) / trials.n_valid_bins).clamp(min=SMALLEST)
    null = counts * mean.log() - mean - torch.lgamma(counts + 1)
    gain: Tensor = torch.where(mask, log_prob - null, 0).sum()
    return float(gain / counts.sum() / math.log(2)) if counts.any() else math.nan


def bits_per_hidden_spike(counts: np.ndarray, rates: np.ndarray, hidden: np.ndarray) -> float:
    """Return the Poisson bits per spike of some entries, against each neuron's mean over them; nan without spikes.

    Args:
        counts: Spikes in each bin (trial, time, neuron).
        rates: Expected spikes/bin, same axes.
        hidden: True where an entry is judged, same axes.
    """
    judged = np.where(hidden, counts, 0).astype(np.float64)
    number = np.maximum(hidden.sum((0, 1)), 1)
    mean = np.broadcast_to(np.maximum(judged.sum((0, 1)) / number, SMALLEST), counts.shape)
    safe = np.maximum(rates.astype(np.float64), SMALLEST)
    gain = judged * (np.log(safe) - np.log(mean)) - np.where(hidden, safe - mean, 0)
    return float(gain.sum() / judged.sum() / math.log(2)) if judged.any() else math.nan
