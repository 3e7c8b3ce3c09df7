r"""Bits per spike: how much better a model predicts counts than each neuron's mean does.

.. math:: \frac{\log p_{\mathrm{model}}(s) - \log p_{\mathrm{null}}(s)}{\log 2\, \sum s},

in the sum over trials, valid bins and neurons; null is a Poisson of each neuron's mean count in these trials, with the
factorial. Every rate is inferred with its own count hidden from the encoder (coordinated dropout, turn by turn), and
the observation model adds what the neuron's earlier counts say. Where the model has shared noise, each count is judged
alone, the noise averaged out: see `observation.noise`.

Source: the Neural Latents Benchmark's definition (METHODS 5.5), without held-out neurons.
"""

import math

import numpy as np
import torch
from torch import Tensor

from spikeloom.observation.base import ObservationModel
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

SMALLEST = 1e-9
"""Mean count of a silent neuron, spikes/bin."""


@torch.no_grad()
def bits_per_spike(observation: ObservationModel, unseen: TrialRates, trials: Trials) -> float:
    """Bits per spike of trials, held-out ones for an honest number; nan without spikes.

    Args:
        observation: Of a trained model.
        unseen: Rates of these trials, each inferred without its own count, spikes/bin; `LDNS.unseen_rates`.
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
