"""A small recording with structure: one shared sine per trial, whose phase is the condition."""

import numpy as np

from spikeloom.models.common.latent_settings import AutoencoderSettings, DenoiserSettings
from spikeloom.models.ldns import LDNS
from spikeloom.seeds import Purpose, generator
from spikeloom.training.plan import Plan
from spikeloom.trials import Trials

NEURONS = 6


def toy_trials(trials: int = 24, time: int = 24, *, variable: bool = False, seed: int = 0) -> Trials:
    """Poisson counts of a sine wave seen by six neurons."""
    rng = generator(seed, Purpose.SIMULATE)
    angle = rng.uniform(0, 360, trials)
    wave = np.sin(2 * np.pi * (np.arange(time)[None] / time + angle[:, None] / 360))
    rates = 0.4 * np.exp(wave[..., None] * rng.normal(size=NEURONS))
    return Trials(
        rng.poisson(rates),
        0.01,
        lengths=rng.integers(time // 2 if variable else time, time + 1, trials),
        conditions={
            "angle_deg": angle,
            "side": np.where(angle < 180, "left", "right"),
            "speed": rng.normal(size=trials),
        },
        behavior={"wave": wave[..., None]},
        units={"wave": "m"},
    )


def toy_model(*, updates: int = 4, **settings) -> LDNS:
    """A tiny LDNS; a few updates take a second."""
    plan = Plan(updates=updates, batch=8, learning_rate=2e-3)
    small = dict(
        n_latents=4,
        autoencoder_settings=AutoencoderSettings(width=8, blocks=1),
        denoiser_settings=DenoiserSettings(width=8, blocks=1),
        autoencoder_plan=plan,
        diffusion_plan=plan,
    )
    return LDNS(NEURONS, **{**small, **settings})
