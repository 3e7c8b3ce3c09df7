"""A Gaussian fitted to latents, the baseline of a generative model of them."""

import numpy as np

from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialLatents, TrialMask


def latent_gaussian(latents: TrialLatents, mask: TrialMask, *, n_trials: int, seed: int) -> np.ndarray:
    r"""Draw latents of trials from a Gaussian with the mean and covariance over bins and latents of other trials.

    :math:`z_t = \bar z_t + \sum_i w_i (z_{it} - \bar z_t) / \sqrt{n_t - 1}`, w standard normal, i over the n_t
    reference trials that reach bin t.

    Args:
        latents: Latents of the reference trials.
        mask: Valid bins of the reference trials.
        n_trials: Number of trials to draw.
        seed: Random seed.
    """
    valid = mask[..., None]
    number = valid.sum(0)
    mean = latents.sum(0) / np.maximum(number, 1)
    spread = (latents - mean) * valid / np.sqrt(np.maximum(number - 1, 1))
    weights = Streams(seed, Purpose.SAMPLE, 0, range(n_trials)).normal(len(latents))
    return np.asarray(mean + np.einsum("bi,itk->btk", weights, spread))
