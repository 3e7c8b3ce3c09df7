r"""Losses and regularisers, each as a sum over valid entries; what to divide by is the caller's.

Coordinated dropout (Keshtkaran & Pandarinath): an encoder that sees only some entries of the counts and is judged on
the others cannot copy its input. LDNS: keep k ~ Bernoulli(1 - p), input s k / (1 - p), loss where k = 0.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMOOTHING_DEPTH = 5
"""Lags of the smoothness penalty, in bins."""


def coordinated_dropout(
    counts: Float[Tensor, "batch time neuron"], uniform: Float[Tensor, "batch time neuron"], *, probability: float
) -> tuple[Float[Tensor, "batch time neuron"], Bool[Tensor, "batch time neuron"]]:
    """What the encoder sees, and which entries are hidden from it.

    Args:
        counts: Spikes/bin.
        uniform: Numbers in [0, 1), one per entry.
        probability: Share p of the entries to hide.

    Returns:
        s k / (1 - p), and True where k = 0.
    """
    hidden = uniform < probability
    return torch.where(hidden, 0.0, counts / (1 - probability)), hidden


def smoothness(latents: Float[Tensor, "batch time latent"], mask: Float[Tensor, "batch time"]) -> Float[Tensor, ""]:
    r"""Penalty on change within five bins, valid bins only.

    :math:`\sum_{j=1}^{5} \frac{1}{1+j} \sum_t \|z_t - z_{t+j}\|^2`
    """
    total = latents.new_zeros(())
    for lag in range(1, min(SMOOTHING_DEPTH, latents.shape[1] - 1) + 1):
        both = mask[:, lag:] * mask[:, :-lag]
        total = total + ((latents[:, lag:] - latents[:, :-lag]).square().sum(-1) * both).sum() / (1 + lag)
    return total


def energy(latents: Float[Tensor, "batch time latent"], mask: Float[Tensor, "batch time"]) -> Float[Tensor, ""]:
    r""":math:`\sum_t \|z_t\|^2` over valid bins."""
    return (latents.square().sum(-1) * mask).sum()
