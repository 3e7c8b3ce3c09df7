"""Spikes from the rates of any model: an observation model as a separate tool."""

import copy
import dataclasses

import numpy as np
import torch

from spikeloom.errors import DataError, ShapeError
from spikeloom.observation.model import ObservationModel
from spikeloom.seeds import Purpose, Streams, generator
from spikeloom.shapes import Array, TrialRates
from spikeloom.trials import Trials


@torch.no_grad()
def spikes(
    rates: Array,
    *,
    like: Trials,
    like_rates: Array | None = None,
    observation: ObservationModel | None = None,
    seed: int = 0,
) -> Trials:
    """Draw spikes from rates, with the spike history and the shared noise of recorded trials.

    An observation model is fitted to the recorded trials and their rates, and counts are drawn from the rates. Without
    it, spikes of the same rates would be Poisson counts: with no refractory dip, and independent between neurons.

    Args:
        rates: Expected spikes per bin (trial, time, neuron), >= 0, from any model. Without `like_rates` they are the
            rates of the trials of `like`, in the same order.
        like: Recorded trials. Where `rates` are theirs, lengths, conditions and behaviour are copied.
        like_rates: Rates of the trials of `like`, if `rates` are those of other trials, such as generated ones. The
            model is fitted to these, and then adapted to `rates`.
        observation: Observation model, of which a copy is fitted; `ObservationModel()` by default.
        seed: Random seed of the fit and of the spikes.

    Returns:
        Trials of these rates, with `counts` drawn from them.

    Raises:
        ShapeError: if the rates do not have the axes of the trials.
        DataError: if a rate is negative or not finite.

    Example:
        >>> import spikeloom as sl
        >>> trials = sl.simulate.lorenz(40, n_neurons=6, n_bins=60, seed=0)
        >>> sl.spikes(trials.rates, like=trials, seed=1).counts.shape
        (40, 60, 6)
    """
    paired = like_rates is None
    drawn_from = _checked(rates, like, "rates", paired=paired)
    fitted_to = drawn_from if like_rates is None else _checked(like_rates, like, "like_rates", paired=True)
    model = ObservationModel() if observation is None else copy.deepcopy(observation)
    model.build(like.n_neurons, like.bin_width)
    simulations = int(generator(seed, Purpose.CALIBRATE).integers(2**31))
    model.fit(like, fitted_to, seed=simulations)
    n_trials, n_bins, _ = drawn_from.shape
    if not paired:
        model.adapt(like, drawn_from, lengths=np.full(n_trials, n_bins), seed=simulations)
    counts = model.sample(model.drive(torch.from_numpy(drawn_from)), Streams(seed, Purpose.SPIKES, 0, range(n_trials)))
    source = "spikes drawn from rates"
    if paired:
        return dataclasses.replace(like, counts=counts, rates=drawn_from, latents=None, codes=None, source=source)
    return Trials(counts, like.bin_width, neuron_table=like.neuron_table, rates=drawn_from, source=source)


def _checked(values: Array, like: Trials, name: str, *, paired: bool) -> TrialRates:
    """Return rates as float32, zero in the padding of paired trials, after a check of shape and values."""
    shape = np.shape(values)
    if shape != like.counts.shape if paired else len(shape) != 3 or shape[2] != like.n_neurons:
        wanted = str(like.counts.shape) if paired else f"(trial, time, {like.n_neurons})"
        raise ShapeError(
            f"{name} must have the shape {wanted} (trial, time, neuron) of the recorded trials.",
            f"Its shape is {shape}.",
            "If these are rates of other trials, pass the rates of the recorded trials as like_rates."
            if paired
            else "",
        )
    rates = np.asarray(values, np.float32)
    if paired:
        rates = np.where(like.mask[..., None], rates, np.float32(0))
    if not (np.isfinite(rates) & (rates >= 0)).all():
        trial, time, neuron = np.argwhere(~(np.isfinite(rates) & (rates >= 0)))[0]
        raise DataError(
            f"{name} must be finite and at least 0, spikes/bin.",
            f"It is {rates[trial, time, neuron]} at trial {trial}, bin {time}, neuron {neuron}.",
            "",
        )
    return rates
