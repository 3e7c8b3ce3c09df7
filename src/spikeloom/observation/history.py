r"""Spike history: a neuron's counts in the last 100 ms change its drive,

.. math:: d'_t = d_t + b + \min\Big(\sum_{j=1}^{H} h_j s_{t-j},\; c\Big), \qquad \lambda_t = \log(1 + e^{d'_t}),

with s in spikes/bin, and b and h fitted for each neuron. With h = b = 0 counts do not depend on the past. The published
form of LDNS has :math:`a \log r_t + b` in place of :math:`d_t + b`, which for h = b = 0, a = 1 is :math:`\log(1 + r)`,
not r, so a fitted a > 1 compensates for it as a gain. It is available as `logarithmic=True`.

**Filters** are sums of a few raised cosines over the logarithm of the lag, or free in every bin.

**Stability.** The link's slope is at most 1 and the sum at most c, so a rate never exceeds
:math:`\log(1+e^{d_t+b}) + c` spikes/bin however often a neuron fired. Rates cannot diverge, and a neuron cannot sustain
firing at that bound by itself: one spike adds about :math:`\rho = \sum_j \max(h_j, 0)\, \sigma(d')` spikes, with the
slope :math:`\sigma` of the link where it fires, and excitation with :math:`\rho > 0.95` is scaled down to 0.95.

**Fit.** Each rate is inferred with its own count hidden. The penalised likelihood is maximised by Fisher scoring, one
neuron at a time, with the recorded counts before each bin; bins without a complete past are left out. When a trial is
drawn, each neuron is assumed to have fired at its mean rate before the trial. A simulated neuron depends on its
simulated past instead of the recorded one. So simulations correct b until mean counts are those of the trials, and h
at the shortest lags until quick repeats are.
"""

from itertools import pairwise
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from spikeloom.errors import SettingError
from spikeloom.observation.links import SMALLEST_RATE, SMALLEST_UNIFORM, array, drive_of, rates_of
from spikeloom.observation.moments import Moments
from spikeloom.observation.scoring import UsedBins, fisher_scoring, mean_slope
from spikeloom.observation.slots import (
    ROUNDING,
    Candidates,
    CountDistribution,
    Entries,
    History,
    Memory,
    Numbers,
    PerNeuron,
    Real,
    Values,
    Whole,
    batches,
)
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

COSINES = 8
"""Number of raised cosines."""

LARGEST_BRANCHING = 0.95
"""Most spikes that one spike of a neuron adds."""

LOWEST = -8.0
"""Lower bound of the sum: a rate is multiplied by at least about e^-8, which is almost 0."""

RIDGE = {"cosine": 2.0, "bins": 8.0}
"""Weight of the squared coefficients, in nats: a prior of sd 0.7 per cosine, 0.35 per bin."""

CORRECTION_RIDGE = 50.0
"""Weight of the prior of the corrections of the shortest lags, which are small."""


@final
class SpikeHistory(History):
    """History as one linear filter of each neuron's counts.

    Args:
        duration: Length of the filters in seconds.
        basis: "cosine", eight raised cosines (at most one per bin), or "bins", a weight per bin as published.
        bound: Largest amount that earlier counts add to the drive.
        logarithmic: Use the published form of the drive, a log r + b with a fitted.
        ceiling: Counts above are lowered to it, spikes/bin. `None` disables the ceiling.
    """

    slope: Tensor  # a of each neuron; 1 unless logarithmic
    filters: Tensor  # (bin, neuron), lag 1 first

    def __init__(
        self,
        *,
        duration: float = 0.1,
        basis: Literal["cosine", "bins"] = "cosine",
        bound: float = 1.5,
        logarithmic: bool = False,
        ceiling: int | None = None,
    ) -> None:
        super().__init__()
        if not (duration > 0 and 0 < bound < 10 and (ceiling is None or ceiling >= 1)):
            raise SettingError(
                "SpikeHistory needs duration > 0, bound between 0 and 10, and ceiling >= 1 if there is one.",
                f"It got duration={duration}, bound={bound}, ceiling={ceiling}.",
                "The defaults are 0.1 s, 1.5 and no ceiling.",
            )
        self.duration = duration
        self.basis = basis
        self.bound = bound
        self.logarithmic = logarithmic
        self.ceiling = ceiling

    def build(self, n_neurons: int, bin_width: float) -> None:
        """Make the buffers; see `History.build`."""
        super().build(n_neurons, bin_width)
        self.bins = max(1, round(self.duration / bin_width))
        self.register_buffer("slope", torch.ones(n_neurons))
        self.register_buffer("filters", torch.zeros(self.bins, n_neurons))

    def past(self, counts: Float[Tensor, "batch bins_and_time neuron"]) -> Real:
        """Return the bounded sum over a neuron's counts before each bin; see `History.past`."""
        before = counts[:, :-1].transpose(1, 2)
        kernel = self.filters.to(counts).flip(0).T[:, None]
        return self._bounded(functional.conv1d(before, kernel, groups=counts.shape[2]).transpose(1, 2))

    def present(self, drive: Values, counts: CountDistribution) -> Values:
        """Return the contribution of the rates alone: d + b, or a log r + b; see `History.present`."""
        if self._uses_logarithm():
            drive = self.slope.to(drive) * counts.rates(drive).log()
        return drive + self.offset.to(drive)

    def draw(self, candidates: Candidates, counts: CountDistribution, memory: Memory) -> Whole:
        """Draw counts in the order of time, all trials and neurons at once; see `History.draw`.

        Each spike is added to the past of the H bins after it. A candidate can fire if its expected count, raised by
        its past, is at least 1 - u (Markov's inequality), and only these few are drawn. The memory is the past of the
        next H bins, summed over the counts that are drawn.
        """
        (batch, n_bins, n_neurons), bins = candidates.shape, self.bins
        filters = array(self.filters).T.copy()
        offset = array(self.offset)
        slope = array(self.slope)
        past = np.zeros((batch * n_neurons, bins + n_bins))
        first = memory["past"] if "past" in memory else self._before_the_trial(filters)
        past.reshape(batch, n_neurons, -1)[..., :bins] = first
        row = candidates.trial * n_neurons + candidates.neuron
        alone = np.maximum(candidates.rates, SMALLEST_RATE)
        needed = self._needed(candidates, alone, offset)
        drawn = np.zeros(len(row), np.int64)
        for time, (start, end) in enumerate(pairwise(candidates.ends())):
            before = past[row[start:end], time]
            here = start + np.flatnonzero(before >= needed[start:end])
            neuron = candidates.neuron[here]
            rates = alone[here]
            drive = slope[neuron] * np.log(rates) if self._uses_logarithm() else drive_of(rates, counts.link)
            drive += offset[neuron] + before[here - start].clip(LOWEST, self.bound)
            count = counts.quantile(rates_of(drive, counts.link), candidates.uniform[here], neuron)
            if self.ceiling is not None:
                count = np.minimum(count, self.ceiling)
            drawn[here] = count
            fired = np.flatnonzero(count)
            past[row[here[fired]], time + 1 : time + 1 + bins] += count[fired, None] * filters[neuron[fired]]
        memory["past"] = past.reshape(batch, n_neurons, -1)[..., n_bins:].copy()
        return candidates.counts(drawn)

    def largest(self, rates: Numbers, counts: CountDistribution) -> Numbers:
        """Return the largest expected counts that the past can cause, since it adds at most c to a drive."""
        excited = array(self.filters).max(0) > 0  # a neuron whose counts only lower its drive is never raised
        offset = array(self.offset) + self.bound * excited
        if self._uses_logarithm():
            return rates_of(array(self.slope) * np.log(np.maximum(rates, SMALLEST_RATE)) + offset, counts.link)
        return rates * np.exp(np.maximum(offset, 0))  # both links grow at most like e^d

    def _needed(self, candidates: Candidates, rates: Entries, offset: NDArray[np.float64]) -> Entries:
        r"""Return the smallest past with which each candidate can fire; a candidate that always can has -inf.

        The past raises a rate at most by the factor :math:`e^{\max(0, b + \mathrm{past})}`.
        """
        if self._uses_logarithm():
            return np.full(len(candidates.rates), -np.inf)
        least = np.maximum(1 - candidates.uniform, SMALLEST_UNIFORM) / (rates * (1 + ROUNDING))
        return np.where(least <= 1, -np.inf, np.log(least) - offset[candidates.neuron])

    def _before_the_trial(self, filters: Float[NDArray[np.float64], "neuron bin"]) -> NDArray[np.float64]:
        """Return the past of the first H bins (neuron, bin) if each neuron fired at its mean rate before the trial."""
        past: NDArray[np.float64] = array(self.usual)[:, None] * filters[:, ::-1].cumsum(1)[:, ::-1]
        return past

    def branching(self, slope: PerNeuron) -> PerNeuron:
        """Return the expected number of spikes that one spike of each neuron causes, for this slope of the link."""
        return self.filters.clamp(min=0).sum(0).to(slope) * slope

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> None:
        """Fit the filters, then the counts with these filters, then the filters again; see `History.fit`."""
        self.slope.fill_(1)
        self.filters.zero_()
        basis = cosines(self.bins) if self.basis == "cosine" else torch.eye(self.bins)
        used = UsedBins(trials, rates, self.bins)
        start = torch.zeros(rates.shape[2], basis.shape[1] + 1 + self.logarithmic, dtype=torch.float64)
        start[:, basis.shape[1] + 1 :] = 1
        weights, _ = self._fit(used, basis, counts, start)
        counts.fit(trials, self._expected(trials, rates, counts))
        _, slope = self._fit(used, basis, counts, weights)
        self._limit(slope)

    def correct(self, target: Moments, drawn: Moments, share: float) -> None:
        """Change b and the shortest lags towards the target's mean counts and quick repeats; see `History.correct`.

        Where spikes are rare, the chance of a spike j bins after another is proportional to :math:`e^{h_j}`, so the log
        ratio of recorded to simulated pairs is the change of h_j. A ratio that also holds at later
        lags is due to slower changes and is subtracted.
        """
        super().correct(target, drawn, share)
        half = 0.5 / min(target.bins, drawn.bins)
        short = len(self.filters) // 6
        late = len(self.filters) // 4
        if not short:
            return  # wide bins
        ratio = np.log((target.repeats + half) / (drawn.repeats + half))
        pairs = (
            0.5 * min(target.bins, drawn.bins) * target.repeats[:short]
        )  # both sides of the ratio have sampling errors
        change = (ratio[:short] - ratio[late:].mean(0)).clip(-0.3, 0.3) * pairs / (pairs + CORRECTION_RIDGE)
        self.filters[:short] += torch.from_numpy(share * change).to(self.filters)

    @property
    def lags(self) -> int:
        """Number of lags at which repeated spikes are compared."""
        return len(self.filters) // 2

    def _fit(self, used: UsedBins, basis: Tensor, counts: CountDistribution, start: Tensor) -> tuple[Tensor, Tensor]:
        """Fit all neurons. Return their coefficients (neuron, base and term) and the mean slope over their spikes."""
        weights = start.clone()
        n_base = basis.shape[1]
        slope = torch.zeros(len(start), dtype=start.dtype)
        for neurons in used.blocks(start.shape[1]):
            logarithmic = self.logarithmic
            limits = (LOWEST, self.bound)
            design = used.design(neurons, basis, counts, logarithmic=logarithmic, limits=limits)
            chosen = torch.from_numpy(neurons)
            distribution = counts.of(chosen)
            weights[chosen] = fisher_scoring(distribution, design, start[chosen], ridge=RIDGE[self.basis])
            slope[chosen] = mean_slope(distribution, design, weights[chosen])
        self.filters.copy_(basis.double() @ weights[:, :n_base].T)
        self.offset.copy_(weights[:, n_base])
        if self.logarithmic:
            self.slope.copy_(weights[:, n_base + 1])
        return weights, slope

    def _expected(self, trials: Trials, rates: TrialRates, counts: CountDistribution) -> TrialRates:
        """Return the expected counts of each bin given the recorded counts before it, in batches."""
        expected = np.empty_like(rates)
        for rows in batches(len(rates), rates[0].size):
            recorded = torch.from_numpy(trials.counts[rows].astype(np.float32))
            drive = counts.drive(torch.from_numpy(rates[rows]).float())
            expected[rows] = counts.rates(self.present(drive, counts) + self.effect(recorded)).numpy()
        return expected

    def _limit(self, slope: Tensor) -> None:
        """Scale excitation down where a spike would add more than 0.95 spikes, at this slope of the link."""
        scale = (LARGEST_BRANCHING / self.branching(slope).clamp(min=1e-9)).clamp(max=1).to(self.filters)
        self.filters.copy_(torch.where(self.filters > 0, self.filters * scale, self.filters))

    def _uses_logarithm(self) -> bool:
        """Return True for the published form; before the fit, counts do not depend on the past."""
        return self.logarithmic and bool(self.filters.any())

    def _bounded(self, total: Tensor) -> Tensor:
        return total.clamp(LOWEST, self.bound)


def cosines(bins: int, number: int = COSINES) -> Float[Tensor, "bins base"]:
    """Return raised cosines over the logarithm of the lag, fine at short lags; free bins if there are few of them."""
    if bins <= number:
        return torch.eye(bins)
    lag = torch.log(torch.arange(1, bins + 1, dtype=torch.float64) + 1)
    centre = torch.linspace(float(lag[0]), float(lag[-1]), number, dtype=torch.float64)
    width = centre[1] - centre[0]
    phase = ((lag[:, None] - centre) / width * (torch.pi / 2)).clamp(-torch.pi, torch.pi)
    return ((1 + torch.cos(phase)) / 2).float()
