"""Spikes from the rates of any model: `spikes` fits an observation model to a recording and draws counts with it."""

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

    An observation model is fitted to the recorded trials and their rates, and counts are drawn from the rates. Plain
    Poisson counts of the same rates would have no refractory period and would be independent between neurons.

    Args:
        rates: Expected spikes per bin (trial, time, neuron), >= 0, from any model. Without `like_rates` they must be
            the rates of the trials of `like`, in the same order.
        like: Recorded trials. If `rates` belong to these trials, the result copies their lengths, conditions and
            behaviour.
        like_rates: Rates of the trials of `like`. Pass them if `rates` belong to other trials, such as generated
            trials. The model is then fitted to `like_rates`, and adapted to `rates`.
        observation: Observation model, `ObservationModel()` by default. A copy of it is fitted.
        seed: Random seed of the fit and of the spikes.

    Returns:
        Trials with these `rates`, and with `counts` drawn from them.

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
    fit_seed = int(generator(seed, Purpose.CALIBRATE).integers(2**31))
    model.fit(like, fitted_to, seed=fit_seed)
    n_trials, n_bins, _ = drawn_from.shape
    if not paired:
        model.adapt(like, drawn_from, lengths=np.full(n_trials, n_bins), seed=fit_seed)
    counts = model.sample(model.drive(torch.from_numpy(drawn_from)), Streams(seed, Purpose.SPIKES, 0, range(n_trials)))
    source = "spikes drawn from rates"
    if paired:
        return dataclasses.replace(like, counts=counts, rates=drawn_from, latents=None, codes=None, source=source)
    return Trials(counts, like.bin_width, neuron_table=like.neuron_table, rates=drawn_from, source=source)


def _checked(values: Array, like: Trials, name: str, *, paired: bool) -> TrialRates:
    """Return rates as float32 after a check of their shape and values.

    Args:
        values: Rates (trial, time, neuron).
        like: Recorded trials.
        name: Name of the argument, for messages.
        paired: True if the rates belong to the recorded trials. Then all axes must agree, and the padding is set to 0.
            Otherwise only the number of neurons must agree.
    """
    shape = np.shape(values)
    if paired:
        fits = shape == like.counts.shape
        expected = f"{like.counts.shape} (trial, time, neuron) of the recorded trials"
        remedy = "If these are rates of other trials, pass the rates of the recorded trials as like_rates."
    else:
        fits = len(shape) == 3 and shape[2] == like.n_neurons
        expected = f"(trial, time, {like.n_neurons}), with the neurons of the recorded trials"
        remedy = ""
    if not fits:
        raise ShapeError(f"{name} must have the shape {expected}.", f"Its shape is {shape}.", remedy)
    rates = np.asarray(values, np.float32)
    if paired:
        rates = np.where(like.mask[..., None], rates, np.float32(0))
    valid = np.isfinite(rates) & (rates >= 0)
    if not valid.all():
        trial, time, neuron = np.argwhere(~valid)[0]
        raise DataError(
            f"{name} must be finite and at least 0, spikes/bin.",
            f"It is {rates[trial, time, neuron]} at trial {trial}, bin {time}, neuron {neuron}.",
            "",
        )
    return rates
