r"""Fisher scoring of one neuron's history filter.

The drive of a bin is :math:`d' = d + b + a x + \mathrm{clamp}(\sum_k w_k X_k)`, X the counts before it seen by each
basis function. Score g = d log p / d d' comes from the observation model itself, so any model of single bins can be
fitted; the expected information of a Poisson count, :math:`(\partial r / \partial d')^2 / r`, stands for the curvature.
Steps that do not raise the penalised likelihood are halved.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spikeloom.observation.base import BinModel

MOST_STEPS, HALVINGS = 25, 8
ENOUGH = 1e-3
"""Gain in nats below which the fit ends."""


@dataclass(frozen=True, eq=False)
class Design:
    """What one neuron is fitted to.

    Args:
        counts: Counts (trial, time).
        drive: Drive from the rates.
        mask: Valid bins.
        basis: Basis functions over the lags.
        extra: Something whose weight a is fitted, too; None for a = 1 fixed.
        highest: Most that the past may add.
        lowest: Least.
    """

    counts: Float[Tensor, "trial time"]
    drive: Float[Tensor, "trial time"]
    mask: Bool[Tensor, "trial time"]
    basis: Float[Tensor, "bins base"]
    extra: Float[Tensor, "trial time"] | None
    highest: float
    lowest: float

    def columns(self) -> Float[Tensor, "rows base"]:
        """The counts before each valid bin, through each basis function; those of bins with a full past only."""
        bins = len(self.basis)
        before = functional.pad(self.counts[:, None], (bins, 0))[..., :-1]
        seen = functional.conv1d(before, self.basis.flip(0).T[:, None])  # (trial, base, time)
        return seen.transpose(1, 2)[self.used]

    @property
    def used(self) -> Bool[Tensor, "trial time"]:
        """Valid bins whose whole past was recorded; all of them in trials too short for that."""
        late = self.mask.clone()
        late[:, : len(self.basis)] = False
        return late if late.any() else self.mask


@dataclass(frozen=True, eq=False)
class Found:
    """Weights of the basis functions, b and a."""

    weights: Float[Tensor, " base"]
    offset: float
    slope: float


def fisher_scoring(model: BinModel, design: Design, *, ridge: float) -> Found:
    """Fit the history of one neuron.

    Args:
        model: Counts of this neuron in a bin.
        design: Counts, drive and basis.
        ridge: Weight of the squared coefficients, nats.
    """
    used, past = design.used, design.columns().double()
    counts, drive = design.counts[used].double(), design.drive[used].double()
    whole = [past, torch.ones(len(past), 1, dtype=torch.float64)]
    if design.extra is not None:
        whole.append(design.extra[used].double()[:, None])
    matrix, base = torch.cat(whole, 1), past.shape[1]
    penalty = torch.zeros(matrix.shape[1], dtype=torch.float64)
    penalty[:base] = ridge
    weights = torch.zeros(matrix.shape[1], dtype=torch.float64)
    weights[base + 1 :] = 1

    def value(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = past @ weights[:base]
        inside = (total > design.lowest) & (total < design.highest)
        whole = drive + total.clamp(design.lowest, design.highest) + matrix[:, base:] @ weights[base:]
        with torch.enable_grad():
            free = whole.detach().requires_grad_()
            likelihood = model.log_prob(counts[None, :, None], free[None, :, None]).sum()
            (score,) = torch.autograd.grad(likelihood, free)
        objective = likelihood.detach() - (penalty * weights**2).sum() / 2
        return objective, score, torch.stack((whole, inside.double()))

    best, score, state = value(weights)
    for _ in range(MOST_STEPS):
        felt = matrix.clone()
        felt[:, :base] *= state[1][:, None]  # beyond the bounds the past changes nothing
        slope, rate = link_slope(model, state[0][:, None])[:, 0], model.rates(state[0][:, None])[:, 0]
        information = felt.T @ (felt * (slope**2 / rate)[:, None]) + torch.diag(penalty + 1e-6)
        step = torch.linalg.solve(information, felt.T @ score - penalty * weights)
        for _ in range(HALVINGS):
            new, new_score, new_state = value(weights + step)
            if new >= best:
                break
            step = step / 2
        else:
            break
        gain, weights = float(new - best), weights + step
        best, score, state = new, new_score, new_state
        if gain < ENOUGH:
            break
    return Found(weights[:base].to(design.basis), float(weights[base]), float(weights[base + 1 :].sum() or 1))


def link_slope(model: BinModel, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
    """Derivative of the rates by the drive."""
    with torch.enable_grad():
        free = drive.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model.rates(free).sum(), free)
    return slope
