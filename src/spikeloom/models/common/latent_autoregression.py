"""A linear autoregression fitted to latents: the second baseline of generative models of latents."""

import numpy as np
import torch

from spikeloom.models.common.latent_dynamics import DynamicsSettings
from spikeloom.nn.clock import Clock
from spikeloom.nn.linear_autoregression import LinearAutoregression, Recursion
from spikeloom.nn.trial_code import TrialCode
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import TrialLatents, TrialMask


@torch.no_grad()
def latent_autoregression(
    latents: TrialLatents, mask: TrialMask, *, n_trials: int, n_bins: int, seed: int
) -> np.ndarray:
    r"""Draw latents (trial, time, latent) from a linear autoregression fitted to the latents of reference trials.

    The autoregression :math:`z_t = A \phi_t + L \varepsilon_t` is that of `models.autoregressive_ldns` without
    conditions, but the code of a trial is drawn from a Gaussian, :math:`b \sim N(0, I)`. It is fitted in closed form,
    with the default settings.

    Args:
        latents: Latents of the reference trials.
        mask: Valid bins of the reference trials.
        n_trials: Number of trials to draw.
        n_bins: Bins of each drawn trial.
        seed: Random seed.
    """
    settings = DynamicsSettings()
    n_latents = latents.shape[2]
    reference = torch.from_numpy(latents.astype(np.float64))
    valid = torch.from_numpy(mask)
    no_inputs = reference[..., :0]  # conditions of size 0
    clock = Clock(settings.n_hats, longest=latents.shape[1])
    clock.fit(reference, no_inputs, valid, settings.clock)
    n_codes = max(0, min(settings.n_free_codes, len(latents) - 1, clock.n_hats * n_latents))
    code = TrialCode(n_latents, n_codes, n_inputs=0, n_hats=clock.n_hats)
    code.fit(clock, reference, no_inputs, valid, ridge=settings.ridge)
    codes = code(clock, reference, no_inputs, valid)  # (reference trial, code)
    model = LinearAutoregression(n_latents, n_codes, clock=clock, time_constants=settings.time_constants)
    model.fit(reference, codes[:, None].expand(-1, latents.shape[1], -1), valid, ridge=settings.ridge)
    streams = Streams(seed, Purpose.SAMPLE, 0, range(n_trials))
    drawn_codes = streams.normal(n_codes)
    noise = streams.normal(n_bins, n_latents)
    recursion = Recursion(model, n_trials)
    return np.stack([recursion.step(drawn_codes, noise[:, time]) for time in range(n_bins)], 1)
