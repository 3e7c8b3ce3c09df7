r"""Fisher scoring of history filters, many neurons at once.

The drive of a bin is :math:`d' = d + b + a x + \mathrm{clamp}(\sum_k w_k X_k)`, X the counts before it weighted by each
basis function. The score g = d log p / d d' comes from the count distribution itself, so any distribution can be
fitted; the expected information of a Poisson count, :math:`(\partial r / \partial d')^2 / r`, replaces the curvature.
Steps that do not raise the penalised likelihood are halved.

**Used bins.** Most bins hold no spike and tell little. All bins with a spike are used, and bins without one with the
probability :math:`p = \min(1, C r + M / T)`, r the expected count, T the number of bins; their weight is 1 / p.
The sums over bins then have the same expectation. If r is small, the variance of the weights w is larger by at most the
factor 1 + 1 / C.
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
"""Smallest gain of a step; the fit of a neuron ends below it, nats."""

CONTROLS = 4.0
"""C, number of used bins without a spike per expected spike. It is raised if all neurons together use fewer bins than
`USED`."""

USED = 2**20
"""Number of used bins of all neurons up to which C is raised."""

FEWEST = 256
"""M: used bins without a spike of a neuron that hardly fires."""

BLOCK = 2**20
"""Largest number of entries of the matrix X of the neurons that are fitted at once."""

PerNeuron = Float[Tensor, "neuron _"]


@dataclass(frozen=True, eq=False)
class Design:
    """Used bins of some neurons. Rows beyond those of a neuron have weight 0.

    Args:
        counts: Counts (neuron, row).
        drive: Drive from the rates.
        weight: Weight of each bin.
        past: Counts before the bin, weighted by each basis function.
        extra: A constant 1 and, if its weight a is fitted, the term x.
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
        """Return the bins of some of the neurons, in their order; of all of them, this design."""
        if len(neurons) == len(self.counts):
            return self
        names = ("counts", "drive", "weight", "past", "extra")
        return replace(self, **{name: getattr(self, name)[neurons] for name in names})


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The penalised log-likelihood of each neuron, and what a step needs.

    Args:
        objective: Penalised log-likelihood, nats.
        score: Its gradient with respect to the coefficients, without the penalty.
        information: Expected information of the coefficients, without the penalty.
    """

    objective: Float[Tensor, " neuron"]
    score: PerNeuron
    information: Float[Tensor, "neuron _ _"]

    def of(self, neurons: Tensor) -> "Evaluation":
        """Return the values of some of the neurons."""
        return Evaluation(self.objective[neurons], self.score[neurons], self.information[neurons])

    def replaced(self, neurons: Tensor, other: "Evaluation") -> "Evaluation":
        """Return the evaluation with the values of some neurons replaced."""
        pairs = ((self.objective, other.objective), (self.score, other.score), (self.information, other.information))
        return Evaluation(*(mine.index_copy(0, neurons, theirs) for mine, theirs in pairs))


def fisher_scoring(
    distribution: CountDistribution, design: Design, start: PerNeuron, *, ridge: float
) -> Float[Tensor, "neuron _"]:
    """Return the coefficients (neuron, base and term) of the largest penalised likelihood.

    Args:
        distribution: Distribution of the counts of these neurons.
        design: Their used bins.
        start: Coefficients at which the fit begins.
        ridge: Weight of the squared coefficients of the basis functions, nats.
    """
    penalty = torch.zeros(start.shape[1], dtype=start.dtype)
    penalty[: design.past.shape[2]] = ridge
    weights = start.clone()
    active = torch.arange(len(start))
    best = _evaluated(distribution, design, weights, penalty)
    for _ in range(MOST_STEPS):
        gradient = best.score - penalty * weights[active]
        step = torch.linalg.solve(best.information + torch.diag(penalty + 1e-6), gradient)
        rest = torch.nonzero((step * gradient).sum(1) / 2 >= TOLERANCE)[:, 0]  # the gain that the step promises
        if not len(rest):
            break
        active = active[rest]
        step = step[rest]
        best = best.of(rest)
        design = design.of(rest)
        distribution = distribution.of(rest)
        new = _evaluated(distribution, design, weights[active] + step, penalty)
        for _ in range(HALVINGS):
            worse = torch.nonzero(~(new.objective >= best.objective))[:, 0]
            if not len(worse):
                break
            step[worse] /= 2
            halved = _evaluated(distribution.of(worse), design.of(worse), weights[active[worse]] + step[worse], penalty)
            new = new.replaced(worse, halved)
        better = torch.nonzero(new.objective >= best.objective)[:, 0]  # the others are at their largest value
        active = active[better]
        best = new.of(better)
        design = design.of(better)
        distribution = distribution.of(better)
        weights[active] += step[better]
    return weights


def _evaluated(distribution: CountDistribution, design: Design, weights: PerNeuron, penalty: Tensor) -> Evaluation:
    """Evaluate the likelihood of each neuron at these coefficients."""
    driven, inside = _driven(design, weights)
    with torch.enable_grad():
        free = driven.T.detach().requires_grad_()  # (row, neuron): neurons are the last axis of a distribution
        rates = distribution.rates(free)
        (slope,) = torch.autograd.grad(rates.sum(), free, retain_graph=True)
        likelihood = (distribution.log_prob(design.counts.T, rates) * design.weight.T).sum(0)
        (score,) = torch.autograd.grad(likelihood.sum(), free)
    # Beyond the bounds the past changes nothing.
    columns = torch.cat((design.past * inside[..., None], design.extra), 2)
    curvature = design.weight * (slope**2 / rates.detach()).T
    information = columns.mT @ (columns * curvature[..., None])
    objective = likelihood.detach() - (penalty * weights**2).sum(1) / 2
    return Evaluation(objective, (columns.mT @ score.T[..., None])[..., 0], information)


def _driven(design: Design, weights: PerNeuron) -> tuple[Tensor, Tensor]:
    """Return the drive of each used bin (neuron, row), and True where the past is within its bounds."""
    n_base = design.past.shape[2]
    total = (design.past @ weights[:, :n_base, None])[..., 0]
    inside = (total > design.lowest) & (total < design.highest)
    added = (design.extra @ weights[:, n_base:, None])[..., 0]
    return design.drive + total.clamp_(design.lowest, design.highest) + added, inside


def mean_slope(distribution: CountDistribution, design: Design, weights: PerNeuron) -> Float[Tensor, " neuron"]:
    """Return the mean slope of the link over the spikes of each neuron."""
    slope = _link_slope(distribution, _driven(design, weights)[0].T).T
    return (slope * design.counts).sum(1) / design.counts.sum(1).clamp(min=1)


class UsedBins:
    """The bins of each neuron that are used in the fit; see the module.

    Args:
        trials: Training trials.
        rates: Their rates, spikes/bin.
        bins: Number of bins before a bin that the history depends on.
    """

    def __init__(self, trials: Trials, rates: TrialRates, bins: int) -> None:
        self.rates = rates
        self.bins = bins
        n_trials, time, n_neurons = rates.shape
        padded = np.zeros((n_neurons, n_trials, bins + time), np.float32)
        padded[..., bins:] = trials.counts.transpose(2, 0, 1)
        self.windows = np.lib.stride_tricks.sliding_window_view(padded[..., :-1], bins, axis=2)
        self.counts = padded[..., bins:]
        late = late_bins(trials.mask, bins)
        uniform = generator(0, Purpose.CALIBRATE, 4).random(late.shape, dtype=np.float32)
        fired = np.greater(trials.counts, 0)
        self.controls = max(CONTROLS, USED / max(1, int(trials.counts.sum())))
        self.least = FEWEST / late.sum()
        used = fired | (uniform[..., None] < self.controls * rates + self.least)
        self.rows = [np.nonzero(used[..., neuron] & late) for neuron in range(n_neurons)]

    def blocks(self, width: int) -> Iterator[NDArray[np.int64]]:
        """Yield neurons with similar numbers of bins, as many at once as memory allows.

        Args:
            width: Number of columns of the matrix X.
        """
        sizes = np.array([len(trial) for trial, _ in self.rows])
        order = np.argsort(-sizes, kind="stable")
        first = 0
        while first < len(order):
            number = max(1, BLOCK // max(1, width * int(sizes[order[first]])))
            yield order[first : first + number]
            first += number

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
            basis: Basis functions over the lags.
            distribution: Distribution of the counts, for its link.
            logarithmic: Whether the log of the rate is a term x, in place of the drive.
            limits: Bounds of the contribution of earlier counts.
        """
        n_rows = max(1, *(len(self.rows[neuron][0]) for neuron in neurons))
        counts, rates, weight = (np.zeros((len(neurons), n_rows)) for _ in range(3))
        past = np.zeros((len(neurons), n_rows, basis.shape[1]))
        kernel = basis.flip(0).numpy()
        for row, neuron in enumerate(neurons):
            trial, time = self.rows[neuron]
            here = slice(0, len(trial))
            counts[row, here], rates[row, here] = self.counts[neuron, trial, time], self.rates[trial, time, neuron]
            past[row, here] = self.windows[neuron, trial, time] @ kernel
            chance = np.minimum(self.controls * rates[row, here] + self.least, 1)
            weight[row, here] = np.where(counts[row, here] > 0, 1, 1 / chance)
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
    """Return the valid bins whose complete past was recorded, or all valid bins in trials too short for that."""
    late = mask.copy()
    late[:, :bins] = False
    return late if late.any() else mask


def _link_slope(distribution: CountDistribution, drive: Values) -> Values:
    """Return the derivative of the rates with respect to the drive."""
    with torch.enable_grad():
        free = drive.detach().requires_grad_()
        (slope,) = torch.autograd.grad(distribution.rates(free).sum(), free)
    return slope
