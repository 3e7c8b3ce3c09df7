"""A Gaussian fitted to latents: the first baseline of generative models of latents."""

import numpy as np

from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialLatents, TrialMask


def latent_gaussian(latents: TrialLatents, mask: TrialMask, *, n_trials: int, seed: int) -> np.ndarray:
    r"""Draw latents (trial, time, latent) from a Gaussian fitted to the latents of reference trials.

    The Gaussian has the mean of these latents, and their covariance between all bins and latents:
    :math:`z_t = \bar z_t + \sum_i w_i (z_{it} - \bar z_t) / \sqrt{n_t - 1}`, with one standard normal number w_i for
    each of the n_t reference trials that are long enough to have bin t.

    Args:
        latents: Latents of the reference trials.
        mask: Valid bins of the reference trials.
        n_trials: Number of trials to draw.
        seed: Random seed.
    """
    valid = mask[..., None]
    n_reaching = valid.sum(0)  # trials with bin t
    mean = latents.sum(0) / np.maximum(n_reaching, 1)  # (time, latent)
    deviations = (latents - mean) * valid / np.sqrt(np.maximum(n_reaching - 1, 1))
    weights = Streams(seed, Purpose.SAMPLE, 0, range(n_trials)).normal(len(latents))  # w (drawn trial, reference trial)
    return np.asarray(mean + np.einsum("bi,itk->btk", weights, deviations))
