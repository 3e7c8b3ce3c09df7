r"""Fit of spike-history filters by Fisher scoring, that is Newton's method with the expected curvature.

Many neurons are fitted at once, each separately. The drive of a bin is

.. math:: d' = d + b + a x + \mathrm{clamp}\Big(\sum_k w_k X_k\Big),

with d the drive from the rates, :math:`X_k` the counts before the bin weighted by basis function k of the filter, and
the sum limited by two bounds. The weights w and the offset b are fitted. The term a x exists only in the published form
of the history, where x is the log of the rate, d is 0 and a is fitted too. w, b and a are the **coefficients**.

The gradient of the likelihood comes from the count distribution itself, so any distribution can be fitted. The
expected information of a Poisson count, :math:`(\partial r / \partial d')^2 / r`, is used as the curvature. Steps that
lower the penalised likelihood are halved.

**Used bins.** Most bins hold no spike and contribute little information. All bins with a spike are used. A bin without
a spike is used with the probability :math:`p = \min(1, C r + M / T)`, where r is the expected count, T the number of
bins, and C and M are constants below. Its weight is 1 / p, so sums over the used bins have the same expectation as sums
over all bins. If r is small, the variance of the fitted coefficients is larger by at most the factor 1 + 1 / C.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spikeloom.observation.slots import CountDistribution, Values
from spikeloom.seeds import Purpose, generator
from spikeloom.shapes import TrialMask, TrialRates
from spikeloom.trials import Trials

MOST_STEPS = 15
"""Largest number of steps."""

HALVINGS = 5
"""Largest number of times that a step is halved."""

TOLERANCE = 0.05
"""Smallest gain of log-likelihood, nats. The fit of a neuron ends if the expected gain of the next step is smaller."""

CONTROLS = 4.0
"""C, the number of used bins without a spike per expected spike. C is larger in small recordings; see `USED`."""

USED = 2**20
"""Expected number of used bins without a spike, over all neurons, in recordings with few spikes: C is raised to it."""

FEWEST = 256
"""M, the number of used bins without a spike of a neuron that hardly fires."""

BLOCK = 2**20
"""Largest number of entries (used bin x coefficient) of the neurons that are fitted at once."""

PerNeuron = Float[Tensor, "neuron _"]


@dataclass(frozen=True, eq=False)
class Design:
    """Used bins of some neurons, one per row. Neurons with fewer bins have further rows of weight 0.

    Args:
        counts: Count of each bin.
        drive: Drive d from the rates.
        weight: Weight 1 / p of each bin.
        past: X: counts before the bin, weighted by each basis function.
        extra: Terms beside the past: a constant 1, whose coefficient is b, and x if a is fitted.
        lowest: Lower bound of the contribution of earlier counts.
        highest: Upper bound of this contribution.
    """

    counts: Float[Tensor, "neuron row"]
    drive: Float[Tensor, "neuron row"]
    weight: Float[Tensor, "neuron row"]
    past: Float[Tensor, "neuron row base"]
    extra: Float[Tensor, "neuron row term"]
    lowest: float
    highest: float

    def of(self, neurons: Tensor) -> "Design":
        """Return the design of a part of the neurons, given by their positions in increasing order."""
        if len(neurons) == len(self.counts):
            return self
        names = ("counts", "drive", "weight", "past", "extra")
        return replace(self, **{name: getattr(self, name)[neurons] for name in names})


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Penalised log-likelihood of each neuron at its coefficients, with the derivatives that a step needs.

    Args:
        objective: Penalised log-likelihood, nats.
        score: Gradient of the log-likelihood with respect to the coefficients, without the penalty.
        information: Expected information matrix of the coefficients, without the penalty.
    """

    objective: Float[Tensor, " neuron"]
    score: PerNeuron
    information: Float[Tensor, "neuron _ _"]

    def of(self, neurons: Tensor) -> "Evaluation":
        """Return the values of a part of the neurons, given by their positions."""
        return Evaluation(self.objective[neurons], self.score[neurons], self.information[neurons])

    def replaced(self, neurons: Tensor, other: "Evaluation") -> "Evaluation":
        """Return a copy in which the values of these neurons come from `other`."""
        return Evaluation(
            self.objective.index_copy(0, neurons, other.objective),
            self.score.index_copy(0, neurons, other.score),
            self.information.index_copy(0, neurons, other.information),
        )


def fisher_scoring(
    distribution: CountDistribution, design: Design, start: PerNeuron, *, ridge: float
) -> Float[Tensor, "neuron _"]:
    """Return the coefficients with the largest penalised likelihood, for each neuron.

    Args:
        distribution: Distribution of the counts of these neurons.
        design: Used bins of these neurons.
        start: Coefficients at which the fit begins (neuron, base and term): w, then b, then a.
        ridge: Penalty of the squared weights w, nats. There is no penalty on b and a.

    Returns:
        Coefficients, with the axes of `start`.
    """
    penalty = torch.zeros(start.shape[1], dtype=start.dtype)
    penalty[: design.past.shape[2]] = ridge
    weights = start.clone()
    active = torch.arange(len(start))  # neurons whose fit has not ended; `best`, `design` and so on hold only these
    best = _evaluated(distribution, design, weights, penalty)
    for _ in range(MOST_STEPS):
        gradient = best.score - penalty * weights[active]
        # 1e-6 keeps the matrix invertible for a neuron without spikes
        step = torch.linalg.solve(best.information + torch.diag(penalty + 1e-6), gradient)
        expected_gain = (step * gradient).sum(1) / 2
        unfinished = torch.nonzero(expected_gain >= TOLERANCE)[:, 0]
        if not len(unfinished):
            break
        active = active[unfinished]
        step = step[unfinished]
        best = best.of(unfinished)
        design = design.of(unfinished)
        distribution = distribution.of(unfinished)
        new = _evaluated(distribution, design, weights[active] + step, penalty)
        for _ in range(HALVINGS):
            worse = torch.nonzero(~(new.objective >= best.objective))[:, 0]  # also NaN
            if not len(worse):
                break
            step[worse] /= 2
            halved = _evaluated(distribution.of(worse), design.of(worse), weights[active[worse]] + step[worse], penalty)
            new = new.replaced(worse, halved)
        better = torch.nonzero(new.objective >= best.objective)[:, 0]  # other neurons are finished: no step helps
        active = active[better]
        best = new.of(better)
        design = design.of(better)
        distribution = distribution.of(better)
        weights[active] += step[better]
    return weights


def _evaluated(distribution: CountDistribution, design: Design, weights: PerNeuron, penalty: Tensor) -> Evaluation:
    """Return the penalised likelihood of each neuron at these coefficients, with its derivatives."""
    total_drive, inside = _driven(design, weights)
    with torch.enable_grad():
        drive = total_drive.T.detach().requires_grad_()  # (row, neuron): neurons are the last axis of a distribution
        rates = distribution.rates(drive)
        (slope,) = torch.autograd.grad(rates.sum(), drive, retain_graph=True)  # of the link in each bin
        likelihood = (distribution.log_prob(design.counts.T, rates) * design.weight.T).sum(0)
        (drive_score,) = torch.autograd.grad(likelihood.sum(), drive)
    # Derivatives of the drive with respect to each coefficient. For w they are 0 where the sum exceeds its bounds.
    columns = torch.cat((design.past * inside[..., None], design.extra), 2)
    # expected information of each bin about its drive
    curvature = design.weight * (slope**2 / rates.detach()).T
    information = columns.mT @ (columns * curvature[..., None])
    objective = likelihood.detach() - (penalty * weights**2).sum(1) / 2
    score = (columns.mT @ drive_score.T[..., None])[..., 0]
    return Evaluation(objective, score, information)


def _driven(design: Design, weights: PerNeuron) -> tuple[Tensor, Tensor]:
    """Return the drive d' of each used bin (neuron, row), and True where the sum over the past is within its bounds."""
    n_base = design.past.shape[2]
    past_sum = (design.past @ weights[:, :n_base, None])[..., 0]
    inside = (past_sum > design.lowest) & (past_sum < design.highest)
    extra_sum = (design.extra @ weights[:, n_base:, None])[..., 0]
    return design.drive + past_sum.clamp_(design.lowest, design.highest) + extra_sum, inside


def mean_slope(distribution: CountDistribution, design: Design, weights: PerNeuron) -> Float[Tensor, " neuron"]:
    """Return the mean derivative of the rate with respect to the drive, over the spikes of each neuron."""
    slope = _link_slope(distribution, _driven(design, weights)[0].T).T
    return (slope * design.counts).sum(1) / design.counts.sum(1).clamp(min=1)


class UsedBins:
    """Selection of the bins of each neuron that enter the fit; see the module.

    Args:
        trials: Training trials.
        rates: Rates of these trials (trial, time, neuron), spikes/bin.
        bins: Length H of the history, bins.
    """

    def __init__(self, trials: Trials, rates: TrialRates, bins: int) -> None:
        self.rates = rates
        self.bins = bins
        n_trials, time, n_neurons = rates.shape
        padded = np.zeros((n_neurons, n_trials, bins + time), np.float32)  # counts after H bins of zeros
        padded[..., bins:] = trials.counts.transpose(2, 0, 1)
        # the H counts before each bin (neuron, trial, time, H)
        self.windows = np.lib.stride_tricks.sliding_window_view(padded[..., :-1], bins, axis=2)
        self.counts = padded[..., bins:]
        late = late_bins(trials.mask, bins)
        # a fixed seed: the same trials and rates always give the same used bins
        uniform = generator(0, Purpose.CALIBRATE, 4).random(late.shape, dtype=np.float32)
        fired = np.greater(trials.counts, 0)
        self.controls = max(CONTROLS, USED / max(1, int(trials.counts.sum())))  # C
        self.least = FEWEST / late.sum()  # M / T
        used = fired | (uniform[..., None] < self.controls * rates + self.least)
        # trials and times of the used bins of each neuron
        self.rows = [np.nonzero(used[..., neuron] & late) for neuron in range(n_neurons)]

    def blocks(self, width: int) -> Iterator[NDArray[np.int64]]:
        """Yield blocks of neurons that have similar numbers of used bins. A block has about `BLOCK` entries at most.

        Args:
            width: Number of coefficients of a neuron.
        """
        sizes = np.array([len(trial) for trial, _ in self.rows])
        order = np.argsort(-sizes, kind="stable")
        first = 0
        while first < len(order):
            most_bins = int(sizes[order[first]])  # sizes fall, so the first neuron of a block has the most bins
            n_block = max(1, BLOCK // max(1, width * most_bins))
            yield order[first : first + n_block]
            first += n_block

    def design(
        self,
        neurons: NDArray[np.int64],
        basis: Float[Tensor, "bins base"],
        distribution: CountDistribution,
        *,
        logarithmic: bool,
        limits: tuple[float, float],
    ) -> Design:
        """Return the used bins of some neurons.

        Args:
            neurons: Numbers of the neurons.
            basis: Basis functions over the lags, lag 1 first.
            distribution: Distribution of the counts, for its link.
            logarithmic: True for the published form, where the term x, the log of the rate, replaces the drive d.
            limits: Lower and upper bound of the sum over the past.
        """
        n_rows = max(1, *(len(self.rows[neuron][0]) for neuron in neurons))
        counts, rates, weight = (np.zeros((len(neurons), n_rows)) for _ in range(3))
        past = np.zeros((len(neurons), n_rows, basis.shape[1]))
        kernel = basis.flip(0).numpy()  # the windows begin with the longest lag
        for index, neuron in enumerate(neurons):
            trial, time = self.rows[neuron]
            rows = slice(0, len(trial))
            counts[index, rows] = self.counts[neuron, trial, time]
            rates[index, rows] = self.rates[trial, time, neuron]
            past[index, rows] = self.windows[neuron, trial, time] @ kernel
            probability = np.minimum(self.controls * rates[index, rows] + self.least, 1)
            weight[index, rows] = np.where(counts[index, rows] > 0, 1, 1 / probability)
        drive = distribution.drive(torch.from_numpy(rates))
        extra = [torch.ones_like(drive)]
        if logarithmic:
            extra.append(distribution.rates(drive).log())
            drive = torch.zeros_like(drive)
        lowest, highest = limits
        return Design(
            torch.from_numpy(counts),
            drive,
            torch.from_numpy(weight),
            torch.from_numpy(past),
            torch.stack(extra, 2),
            lowest,
            highest,
        )


def late_bins(mask: TrialMask, bins: int) -> TrialMask:
    """Return the valid bins whose complete past was recorded. If there are none, return all valid bins."""
    late = mask.copy()
    late[:, :bins] = False
    return late if late.any() else mask


def _link_slope(distribution: CountDistribution, drive: Values) -> Values:
    """Return the derivative of the rates with respect to the drive."""
    with torch.enable_grad():
        variable = drive.detach().requires_grad_()
        (slope,) = torch.autograd.grad(distribution.rates(variable).sum(), variable)
    return slope
