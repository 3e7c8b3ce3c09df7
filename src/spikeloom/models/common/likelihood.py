r"""Bits per spike: the advantage of a model's prediction of counts over each neuron's mean.

.. math:: \frac{\log p_{\mathrm{model}}(s) - \log p_{\mathrm{null}}(s)}{\log 2\, \sum s},

with sums over trials, valid bins and neurons. The null model is Poisson with each neuron's mean count in these trials,
and log-probabilities include the factorial.

An entry is one neuron in one bin. While its rate is inferred, its count is hidden from the encoder. The encoder runs
several times, and each time another part of the entries is hidden. The observation model adds the effect of the
neuron's earlier counts. If the model has shared noise, the probability of each count is averaged over the noise; see
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
    """Return rates (trial, time, neuron). The rate of each entry is inferred while the count of this entry is hidden.

    Entries are assigned at random to n parts. The parts are hidden in turn, and the rates of the hidden entries are
    kept. The number n is chosen so that a part is about `share` of all entries, as in training.

    Args:
        rates: Function from counts and mask of a batch to rates, spikes/bin. It gets 0 for hidden counts. The other
            counts are multiplied by n / (n - 1), so that the expected sum of the counts does not change.
        trials: Trials with counts.
        share: Share of the entries that training hides.
    """
    n_parts = min(MOST_PARTS, max(2, round(1 / share))) if share else 2

    def infer(rows: np.ndarray) -> Inferred:
        """Infer the rates of one batch of trials, part after part."""
        streams = Streams(0, Purpose.CALIBRATE, 2, rows)  # 2 distinguishes this use of random numbers from others
        counts = torch.from_numpy(trials.counts[rows].astype(np.float32))
        mask = torch.from_numpy(trials.mask[rows])
        part = torch.from_numpy(streams.uniform(*counts.shape[1:]) * n_parts).long()  # number of the part of each entry
        unseen = torch.zeros_like(counts)
        for number in range(n_parts):
            hidden = part == number
            seen = torch.where(hidden, 0, counts * n_parts / (n_parts - 1))
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
    """Compute the bits per spike of held-out trials (training trials have larger values); nan without spikes.

    Args:
        observation: Observation model of a trained model.
        unseen: Unseen rates of these trials (`Model.unseen_rates`), spikes/bin: no rate depends on the count of its
            entry.
        trials: Trials with the neurons and the bin width of the training trials.
    """
    counts = torch.from_numpy(trials.counts.astype(np.float64))
    mask = torch.from_numpy(trials.mask)[..., None]
    drive = observation.drive(torch.from_numpy(unseen).double())
    log_prob = observation.log_prob(counts, drive)
    mean = (counts.sum((0, 1)) / trials.n_valid_bins).clamp(min=SMALLEST)
    null = counts * mean.log() - mean - torch.lgamma(counts + 1)  # log-probability under the null model
    gain: Tensor = torch.where(mask, log_prob - null, 0).sum()
    return float(gain / counts.sum() / math.log(2)) if counts.any() else math.nan


def bits_per_hidden_spike(counts: np.ndarray, rates: np.ndarray, hidden: np.ndarray) -> float:
    """Return the Poisson bits per spike of the hidden entries. The null model is each neuron's mean over these entries.

    The result is nan if the hidden entries have no spikes.

    Args:
        counts: Spikes in each bin (trial, time, neuron).
        rates: Expected spikes/bin (trial, time, neuron).
        hidden: True for the entries that are evaluated (trial, time, neuron).
    """
    spikes = np.where(hidden, counts, 0).astype(np.float64)
    n_hidden = np.maximum(hidden.sum((0, 1)), 1)
    mean = np.broadcast_to(np.maximum(spikes.sum((0, 1)) / n_hidden, SMALLEST), counts.shape)
    positive = np.maximum(rates.astype(np.float64), SMALLEST)
    # log-probability under the rates minus log-probability under the mean; the factorial of the count cancels
    gain = spikes * (np.log(positive) - np.log(mean)) - np.where(hidden, positive - mean, 0)
    return float(gain.sum() / spikes.sum() / math.log(2)) if spikes.any() else math.nan
