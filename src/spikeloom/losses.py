r"""Losses and regularisers, each as a sum over valid entries, which the caller normalises.

Coordinated dropout (Keshtkaran & Pandarinath): the encoder receives a random part of the counts, and the loss is
computed on the other part. So the encoder cannot copy its input. In LDNS, a number k ~ Bernoulli(1 - p) is drawn for
each count s. The input of the encoder is s k / (1 - p), and the loss is computed where k = 0. With
the setting `kept`, it also includes the other counts, with this weight.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SMOOTHING_DEPTH = 5
"""Lags of the smoothness penalty, in bins."""

SMALLEST_SQUARE = 1e-9
"""Number that is added to squared distances, because the square root has no derivative at 0."""


def coordinated_dropout(
    counts: Float[Tensor, "batch time neuron"],
    uniform: Float[Tensor, "batch time neuron"],
    *,
    probability: float | Tensor,
) -> tuple[Float[Tensor, "batch time neuron"], Bool[Tensor, "batch time neuron"]]:
    """Return the input of the encoder, and which entries are hidden from it. Dividing by 1 - p keeps the mean count.

    Args:
        counts: Spikes/bin.
        uniform: Random numbers, uniform in [0, 1), one per entry.
        probability: Fraction p of the entries to hide, one for all trials or one per trial (batch, 1, 1).

    Returns:
        s k / (1 - p), and True where k = 0.
    """
    hidden = uniform < probability
    return torch.where(hidden, 0.0, counts / (1 - probability)), hidden


def smoothness(latents: Float[Tensor, "batch time latent"], mask: Float[Tensor, "batch time"]) -> Float[Tensor, ""]:
    r"""Return the penalty on changes of the latents within five bins. Only valid bins count.

    :math:`\sum_{j=1}^{5} \frac{1}{1+j} \sum_t \|z_t - z_{t+j}\|^2`

    Args:
        latents: Latents z (batch, time, latent).
        mask: 1 for valid bins, 0 for padding.
    """
    total = latents.new_zeros(())
    for lag in range(1, min(SMOOTHING_DEPTH, latents.shape[1] - 1) + 1):
        both = mask[:, lag:] * mask[:, :-lag]  # 1 if bins t and t + lag are both valid
        total = total + ((latents[:, lag:] - latents[:, :-lag]).square().sum(-1) * both).sum() / (1 + lag)
    return total


def energy(latents: Float[Tensor, "batch time latent"], mask: Float[Tensor, "batch time"]) -> Float[Tensor, ""]:
    r"""Return :math:`\sum_t \|z_t\|^2` over valid bins."""
    return (latents.square().sum(-1) * mask).sum()


def energy_score(
    draws: Float[Tensor, "draw *batch time latent"],
    truth: Float[Tensor, "*batch time latent"],
    mask: Bool[Tensor, "*batch time"],
) -> Float[Tensor, "*batch"]:
    r"""Return the energy score of draws from a distribution of series. Only valid bins count.

    :math:`\frac1n \sum_i \|X_i - y\| - \frac{1}{n (n - 1)} \sum_{i < j} \|X_i - X_j\|`, with n draws X, at least 2, and
    the true series y. Its expectation is smallest if the draws have the distribution of y. Source: Gneiting and Raftery
    2007.

    Args:
        draws: Draws X.
        truth: True series y.
        mask: True for valid bins.
    """

    def distance(first: Tensor, second: Tensor) -> Tensor:
        """Return the distance of two series over all valid bins, (*batch,)."""
        squares = ((first - second) * mask[..., None]).square().sum((-2, -1))
        return (squares + SMALLEST_SQUARE).sqrt()

    n_draws = len(draws)
    to_truth = torch.stack([distance(draw, truth) for draw in draws]).mean(0)
    pairs = [distance(draws[i], draws[j]) for i in range(n_draws) for j in range(i)]
    return to_truth - torch.stack(pairs).mean(0) / 2


SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Widths s of the inverse multiquadric kernel, as multiples of 2 L. This is the mean squared distance between two draws
from the prior, whose codes have L numbers."""


def mmd(codes: Float[Tensor, "batch code"], prior: Float[Tensor, "draw code"]) -> Float[Tensor, ""]:
    r"""Return the unbiased squared maximum mean discrepancy between codes x and draws y from their prior.

    :math:`\frac{1}{m(m-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{n(n-1)} \sum_{i \ne j} k(y_i, y_j)
    - \frac{2}{mn} \sum_{ij} k(x_i, y_j)`, with the kernel
    :math:`k(x, y) = \frac{1}{|S|} \sum_s 2 L s / (2 L s + \|x - y\|^2)`. L is the number of entries of a code, and S is
    the set of widths `SCALES`. If both distributions are equal, the discrepancy is 0 on average, so single values may
    be negative. The biased form would then be about (1/m + 1/n) / 2.

    Args:
        codes: m codes, at least 2.
        prior: n draws, at least 2.
    """
    m = len(codes)
    n = len(prior)
    # the diagonal holds k(x, x), which the unbiased form leaves out
    among_codes = _kernel(codes, codes)
    among_prior = _kernel(prior, prior)
    mean_codes = (among_codes.sum() - among_codes.diagonal().sum()) / (m * (m - 1))
    mean_prior = (among_prior.sum() - among_prior.diagonal().sum()) / (n * (n - 1))
    return mean_codes + mean_prior - 2 * _kernel(codes, prior).mean()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel of `mmd` between all rows of x (m, code) and of y (n, code), as a matrix (m, n)."""
    squared_distance = x.square().sum(-1)[:, None] + y.square().sum(-1) - 2 * x @ y.T
    squared_distance = squared_distance.clamp(min=0)  # rounding can make it negative
    width = 2 * x.shape[1]  # 2 L
    return torch.stack([width * scale / (width * scale + squared_distance) for scale in SCALES]).mean(0)
