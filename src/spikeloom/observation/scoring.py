r"""Fisher scoring of one neuron's history filter.

The drive of a bin is :math:`d' = d + b + a x + \mathrm{clamp}(\sum_k w_k X_k)`, X the counts before it weighted by each
basis function. The score g = d log p / d d' comes from the count distribution itself, so any distribution can be
fitted; the expected information of a Poisson count, :math:`(\partial r / \partial d')^2 / r`, replaces the curvature.
Steps that do not raise the penalised likelihood are halved.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spikeloom.observation.slots import CountDistribution, Values

MOST_STEPS = 25
"""Largest number of steps."""

HALVINGS = 8
"""Largest number of times that a step is halved."""

TOLERANCE = 1e-3
"""Smallest gain of a step; the fit ends below it, nats."""


@dataclass(frozen=True, eq=False)
class Design:
    """Data and basis of the fit of one neuron.

    Args:
        counts: Counts (trial, time).
        drive: Drive from the rates.
        mask: Valid bins.
        basis: Basis functions over the lags.
        extra: A term x whose weight a is fitted, too. `None` fixes a = 1.
        highest: Upper bound of the contribution of earlier counts.
        lowest: Lower bound of this contribution.
    """

    counts: Float[Tensor, "trial time"]
    drive: Float[Tensor, "trial time"]
    mask: Bool[Tensor, "trial time"]
    basis: Float[Tensor, "bins base"]
    extra: Float[Tensor, "trial time"] | None
    highest: float
    lowest: float

    def columns(self) -> Float[Tensor, "rows base"]:
        """Return the sum of the counts before each used bin, weighted by each basis function."""
        bins = len(self.basis)
        before = functional.pad(self.counts[:, None], (bins, 0))[..., :-1]
        weighted = functional.conv1d(before, self.basis.flip(0).T[:, None])  # (trial, base, time)
        return weighted.transpose(1, 2)[self.used]

    @property
    def used(self) -> Bool[Tensor, "trial time"]:
        """Valid bins whose complete past was recorded, or all valid bins in trials too short for that."""
        late = self.mask.clone()
        late[:, : len(self.basis)] = False
        return late if late.any() else self.mask


@dataclass(frozen=True, eq=False)
class Weights:
    """Fitted weights of the basis functions, b and a."""

    filters: Float[Tensor, " base"]
    offset: float
    slope: float


def fisher_scoring(distribution: CountDistribution, design: Design, *, ridge: float) -> Weights:
    """Fit the history of one neuron.

    Args:
        distribution: Distribution of this neuron's counts.
        design: Counts, drive and basis.
        ridge: Weight of the squared coefficients, nats.
    """
    used, past = design.used, design.columns().double()
    counts, drive = design.counts[used].double(), design.drive[used].double()
    columns = [past, torch.ones(len(past), 1, dtype=torch.float64)]
    if design.extra is not None:
        columns.append(design.extra[used].double()[:, None])
    matrix, base = torch.cat(columns, 1), past.shape[1]
    penalty = torch.zeros(matrix.shape[1], dtype=torch.float64)
    penalty[:base] = ridge
    weights = torch.zeros(matrix.shape[1], dtype=torch.float64)
    weights[base + 1 :] = 1

    def value(weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return penalised likelihood, score, drive of each bin, and 1 where the past is within its bounds."""
        total = past @ weights[:base]
        inside = (total > design.lowest) & (total < design.highest)
        driven = drive + total.clamp(design.lowest, design.highest) + matrix[:, base:] @ weights[base:]
        with torch.enable_grad():
            free = driven.detach().requires_grad_()
            rates = distribution.rates(free[None, :, None])
            likelihood = distribution.log_prob(counts[None, :, None], rates).sum()
            (score,) = torch.autograd.grad(likelihood, free)
        objective = likelihood.detach() - (penalty * weights**2).sum() / 2
        return objective, score, driven, inside.double()

    best, score, driven, inside = value(weights)
    for _ in range(MOST_STEPS):
        active = matrix.clone()
        active[:, :base] *= inside[:, None]  # beyond the bounds the past changes nothing
        slope, rate = link_slope(distribution, driven[:, None])[:, 0], distribution.rates(driven[:, None])[:, 0]
        information = active.T @ (active * (slope**2 / rate)[:, None]) + torch.diag(penalty + 1e-6)
        step = torch.linalg.solve(information, active.T @ score - penalty * weights)
        for _ in range(HALVINGS):
            new, new_score, new_driven, new_inside = value(weights + step)
            if new >= best:
                break
            step = step / 2
        else:
            break
        gain, weights = float(new - best), weights + step
        best = new
        score = new_score
        driven = new_driven
        inside = new_inside
        if gain < TOLERANCE:
            break
    return Weights(weights[:base].to(design.basis), float(weights[base]), float(weights[base + 1 :].sum() or 1))


def link_slope(distribution: CountDistribution, drive: Values) -> Values:
    """Return the derivative of the rates with respect to the drive."""
    with torch.enable_grad():
        free = drive.detach().requires_grad_()
        (slope,) = torch.autograd.grad(distribution.rates(free).sum(), free)
    return slope
