r"""The training of a nonlinear term (`nn.nonlinear_term`) on roll-outs, and the decision whether it is used.

A trial is divided into segments of K bins. The first segment begins with the trial, and the others follow each other
from a random bin on. Before a segment, the means of the past and the state of the network are those of the recorded
trial. In the segment, latents are generated freely, each bin from the generated bins before it. The loss of a segment
is the energy score of two such roll-outs X and X' of the segment's latents y,

.. math:: \tfrac12 (\|X - y\| + \|X' - y\|) - \tfrac12 \|X - X'\|,

whose expectation is smallest if roll-outs have the distribution of recorded segments given their past. (A score of
single bins does not suffice: errors that are small in one bin add up over many.) Gradients pass through all bins of a
roll-out. The linear term does not change.

After training, the term is used if it lowers the score of validation trials by more than two standard errors of the
mean difference over trials. Otherwise the linear autoregression is used alone. Without validation trials, every tenth
training trial is held out (`VALIDATION`). The same trials also choose the weights, so the gain is slightly too large.

Source: the energy score is that of Gneiting and Raftery 2007; its use for generating spikes follows Ge et al. 2026
(EAG).
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spikeloom.losses import energy_score
from spikeloom.models.common.latent_dynamics import Dynamics
from spikeloom.seeds import Purpose, Streams
from spikeloom.training.plan import Plan
from spikeloom.training.stage import LossTerms, Stage

DRAWS = 2
"""Roll-outs of each segment."""

VALIDATION = 10
"""Training trials whose number is a multiple of this are held out if there are no validation trials."""

AT_ONCE = 64
"""Trials whose scores are computed together for the decision."""

SEED = 0
"""Random seed of the roll-outs with which the decision is made."""

Scores = tuple[Float[Tensor, "trial segment"], Bool[Tensor, "trial segment"]]
"""Score of each segment, and True for segments that hold a bin of their trial."""


def nonlinear_stage(
    dynamics: Dynamics,
    data: Mapping[str, Tensor],
    held_out: Mapping[str, Tensor] | None,
    plan: Plan,
    *,
    segment: int,
    name: str,
) -> Iterator[Stage]:
    """Yield the training stage of the nonlinear term of dynamics, then decide whether the term is used.

    Args:
        dynamics: Dynamics, whose linear term is fitted.
        data: Latents, mask and inputs of the training trials.
        held_out: The same data of the validation trials, or None.
        plan: Optimisation of the term.
        segment: Bins K of a segment.
        name: Name of the stage.
    """
    training = _with_codes(dynamics, data)
    validation = None if held_out is None else _with_codes(dynamics, held_out)
    if validation is None:
        is_held_out = torch.arange(len(data["mask"])) % VALIDATION == 0
        validation = {key: value[is_held_out] for key, value in training.items()}
        training = {key: value[~is_held_out] for key, value in training.items()}
    term = dynamics.term
    assert term is not None  # the plan exists
    term.start_at(dynamics.autoregression.noise, dynamics.autoregression.first_noise)
    scores = partial(segment_scores, dynamics, segment=segment)
    # The term begins with the noise of the linear autoregression and adds nothing, so these are the scores without it.
    linear = _mean_scores(scores, validation, term.noise.device)

    def loss(batch: Mapping[str, Tensor], streams: Streams) -> LossTerms:
        """Return the sum of the scores of all segments, and their number."""
        values, valid = scores(batch, streams)
        return LossTerms((values * valid).sum(), valid.sum())

    yield Stage(name, term, loss, training, plan, validation)
    gain = linear - _mean_scores(scores, validation, term.noise.device)
    standard_error = gain.std() / len(gain) ** 0.5
    term.in_use.fill_(float(gain.mean() > 2 * standard_error))


def segment_scores(dynamics: Dynamics, batch: Mapping[str, Tensor], streams: Streams, *, segment: int) -> Scores:
    """Return the energy scores of roll-outs of all segments of trials.

    Args:
        dynamics: Dynamics with their linear and nonlinear term.
        batch: Latents, mask, inputs and codes of the trials.
        streams: Random streams of the trials. They give the bin where the second segment begins, and the noise.
        segment: Bins K of a segment.
    """
    latents = batch["latents"].float()
    mask = batch["mask"]
    n_trials, n_bins, n_latents = latents.shape
    n_segments = 1 + -(-n_bins // segment)  # the first one, and enough for all other bins (division rounded up)
    second = torch.from_numpy(1 + streams.uniform() * segment).long()  # bin where the second segment begins
    start = second[:, None] + segment * torch.arange(-1, n_segments - 1)  # first bin of each segment (trial, segment)
    start[:, 0] = 0
    time = (start[..., None] + torch.arange(segment)).to(latents.device)  # (trial, segment, bin)
    noise = torch.from_numpy(streams.normal(n_segments, segment, DRAWS, n_latents)).to(latents.device)
    noise = noise.movedim(3, 0)  # (draw, trial, segment, bin, latent)
    rows = torch.arange(n_trials, device=latents.device)[:, None, None]
    chosen = (rows, time.clamp(max=n_bins - 1))  # trial and bin; bins beyond the end are replaced, and not valid
    valid = (time < n_bins) & mask[chosen]
    drawn = _roll_outs(dynamics, {**batch, "latents": latents}, chosen, noise)
    return energy_score(drawn, latents[chosen], valid), valid.any(-1)


def _roll_outs(
    dynamics: Dynamics, batch: Mapping[str, Tensor], chosen: tuple[Tensor, Tensor], noise: Tensor
) -> Float[Tensor, "draw trial segment bin latent"]:
    """Return latents that are generated freely in each segment, after the recorded latents before it.

    Args:
        dynamics: Dynamics with their linear and nonlinear term.
        batch: Latents, inputs and codes of the trials.
        chosen: Trial and bin of each bin of the segments (trial, segment, bin).
        noise: White noise (draw, trial, segment, bin, latent).
    """
    autoregression = dynamics.autoregression
    term = dynamics.term
    assert term is not None  # its stage is running
    latents = batch["latents"]
    # conditions and code of each bin (trial, time, input)
    inputs = torch.cat((batch["inputs"], batch["codes"][:, None].expand(-1, latents.shape[1], -1)), 2).to(latents)
    driven = autoregression.driven_part(inputs)[chosen]  # the part of A phi that does not depend on the past
    hats = autoregression.clock.weights(latents.shape[1]).to(latents).expand(len(latents), -1, -1)  # (trial, time, hat)
    present = torch.cat((inputs, hats), 2)
    # means of the recorded past of each bin (trial, time, mean x latent)
    past = torch.stack(list(autoregression.means(latents, inputs[:, 0])), 1).flatten(2)
    states, _ = term.units(torch.cat((past, present), 2))  # states of the network after each bin of recorded trials
    states_before = nn.functional.pad(states, (0, 0, 1, 0))  # states before each bin; 0 before the first one
    first = (chosen[0][..., 0], chosen[1][..., 0])  # trial and bin at the beginning of each segment

    def rows(values: Tensor) -> Tensor:
        """Repeat values (trial, segment, ...) for each draw, with draws, trials and segments in one axis."""
        return values.expand(len(noise), *values.shape).flatten(0, 2)

    means = rows(past[first]).unflatten(1, (-1, latents.shape[2]))  # (row, mean, latent)
    state = rows(states_before[first])  # (row, unit)
    begins_trial = rows(first[1] == 0)[:, None]
    present = rows(present[chosen])
    driven = rows(driven)
    white = noise.flatten(0, 2)  # (row, bin, latent)
    recurrent = autoregression.recurrent.to(latents)  # the coefficients of the means of the past
    decay = autoregression.get_buffer("decay").to(latents)
    drawn = []
    for number in range(noise.shape[3]):  # number of the bin in its segment
        added, state = term.step(torch.cat((means.flatten(1), present[:, number]), 1), state)
        linear = means.flatten(1) @ recurrent
        residual = white[:, number] @ term.noise.T
        if not number:  # the first bin of a trial has no past, and its own noise
            linear = torch.where(begins_trial, 0.0, linear)
            residual = torch.where(begins_trial, white[:, 0] @ term.first_noise.T, residual)
        drawn.append(linear + driven[:, number] + added + residual)
        means = torch.lerp(drawn[-1][:, None], means, decay)  # the generated bin becomes a part of the past
    return torch.stack(drawn, 1).unflatten(0, noise.shape[:3])


@torch.no_grad()
def _mean_scores(
    scores: Callable[..., Scores], data: Mapping[str, Tensor], device: torch.device
) -> Float[Tensor, " trial"]:
    """Return the mean score of each trial's segments. Each trial has its own random numbers, the same in every call."""
    means = []
    n_trials = len(data["mask"])
    for first in range(0, n_trials, AT_ONCE):
        rows = range(first, min(first + AT_ONCE, n_trials))
        batch = {name: value[rows.start : rows.stop].to(device) for name, value in data.items()}
        values, valid = scores(batch, Streams(SEED, Purpose.VALIDATION, 0, rows))
        means.append((values * valid).sum(1) / valid.sum(1))
    return torch.cat(means)


def _with_codes(dynamics: Dynamics, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return latents, mask, inputs and codes of trials in single precision."""
    values = {"latents": data["latents"], "inputs": data["inputs"], "codes": dynamics.codes(data)}
    return {"mask": data["mask"]} | {name: value.float() for name, value in values.items()}
