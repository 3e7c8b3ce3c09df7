r"""Spike history: a neuron's own last 100 ms change its drive,

.. math:: d'_t = d_t + b + \min\Big(\sum_{j=1}^{H} h_j s_{t-j},\; c\Big), \qquad \lambda_t = \log(1 + e^{d'_t}),

s in spikes/bin; b and h of each neuron. With h = b = 0 this is the model inside. The published form of LDNS has
:math:`a \log r_t + b` in place of :math:`d_t + b`, which for h = b = 0, a = 1 is :math:`\log(1 + r)`, not r; its fitted
a > 1 is a gain in disguise. It is there as `logarithmic=True`.

**Filters** are sums of a few raised cosines over the logarithm of the lag, or free in every bin.

**Stability.** The link's slope is at most 1 and the sum at most c, so a rate never exceeds
:math:`\log(1+e^{d_t+b}) + c` spikes/bin however often a neuron fired: it cannot run away. Nor may a neuron keep itself
going there: one spike adds about :math:`\rho = \sum_j \max(h_j, 0)\, \sigma(d')` spikes, with the slope
:math:`\sigma` of the link where it fires, and excitation with :math:`\rho > 0.95` is scaled down to it.

**Fit**, on rates that did not see the counts they predict: penalised likelihood by Fisher scoring, one neuron at a
time, with the counts before each bin as recorded; bins without a whole past are left out. When a trial is drawn, a
neuron is taken to have fired at its mean rate before. Running freely it meets its own past instead of the recorded one,
so b is corrected by simulation until mean counts are those of the trials, and h at the
shortest lags for quick repeats.
"""

from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spikeloom.errors import SettingError
from spikeloom.observation.base import BinModel, Memory, Moments, ObservationModel, Real, Whole
from spikeloom.observation.refractory import Refractory
from spikeloom.observation.scoring import Design, fisher_scoring, link_slope
from spikeloom.shapes import TrialRates
from spikeloom.trials import Trials

COSINES = 8
LARGEST_BRANCHING = 0.95
LOWEST = -8.0
"""The sum is not lowered below; e^-8 of a rate is as good as none."""

RIDGE = {"cosine": 2.0, "bins": 8.0}
"""Weight of the squared coefficients, in nats: a prior of sd 0.7 per cosine, 0.35 per bin."""


CORRECTION_RIDGE = 50.0
"""The same for corrections of the shortest lags, which are small."""


@final
class SpikeHistory(ObservationModel):
    """Filters of each neuron's own counts, over a model of single bins.

    Args:
        inner: Counts in a bin; Poisson with bin refractoriness if absent.
        duration: How far back a neuron remembers, s.
        basis: "cosine", eight raised cosines (never more than bins), or "bins", the published one, a weight per bin.
        bound: Most that the past may add to the drive.
        logarithmic: The published form of the drive, a log r + b with a fitted.
        ceiling: Counts above are lowered to it, spikes/bin; None leaves them.
    """

    inner: BinModel
    offset: Tensor  # b of each neuron
    slope: Tensor  # a of each neuron; 1 unless logarithmic
    filters: Tensor  # (bin, neuron), lag 1 first
    usual: Tensor  # mean count of each neuron: what it is taken to have fired before a trial begins

    def __init__(
        self,
        inner: BinModel | None = None,
        *,
        duration: float = 0.1,
        basis: Literal["cosine", "bins"] = "cosine",
        bound: float = 1.5,
        logarithmic: bool = False,
        ceiling: int | None = None,
    ) -> None:
        super().__init__(Refractory() if inner is None else inner)
        if not (duration > 0 and 0 < bound < 10 and (ceiling is None or ceiling >= 1)):
            raise SettingError(
                "SpikeHistory needs duration > 0, bound between 0 and 10, and ceiling >= 1 if given.",
                f"It got duration={duration}, bound={bound}, ceiling={ceiling}.",
                "Leave them out for 0.1 s, 1.5 and no ceiling.",
            )
        self.duration, self.bound, self.ceiling = duration, bound, ceiling
        self.basis, self.logarithmic = basis, logarithmic

    def build(self, neurons: int, bin_width: float) -> None:
        """See `ObservationModel.build`."""
        super().build(neurons, bin_width)
        bins = max(1, round(self.duration / bin_width))
        self.register_buffer("offset", torch.zeros(neurons))
        self.register_buffer("slope", torch.ones(neurons))
        self.register_buffer("filters", torch.zeros(bins, neurons))
        self.register_buffer("usual", torch.zeros(neurons))

    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin; those of the model inside, which the history is matched to keep on average."""
        return self.inner.rates(drive)

    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are."""
        return self.inner.drive(rates)

    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Log-probability of each count given the trial's counts before it, in nats."""
        return self.inner.log_prob(counts, self.given(drive, self.past(counts)))

    def past(self, counts: Real) -> Real:
        """The bounded sum over a neuron's own counts before each bin; before the first, its mean count."""
        bins, neurons = self.filters.shape
        before = torch.cat((self.usual.to(counts).expand(len(counts), bins, -1), counts), 1)[:, :-1].transpose(1, 2)
        kernel = self.filters.to(counts).flip(0).T[:, None]
        return self._bounded(functional.conv1d(before, kernel, groups=neurons).transpose(1, 2))

    def given(self, drive: Float[Tensor, "*axes neuron"], past: Tensor) -> Float[Tensor, "*axes neuron"]:
        """Drive of a bin once its past is known."""
        return self.present(drive) + past

    def present(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """What the rates alone contribute: d + b, or a log r + b."""
        if self.logarithmic and self.filters.any():  # not fitted yet, the model inside holds
            drive = self.slope.to(drive) * self.rates(drive).log()
        return drive + self.offset.to(drive)

    def counts(self, drive: Real, uniform: Float[Tensor, "batch time number"], memory: Memory) -> Whole:
        """Left to right, all trials and neurons at once; the last counts are left for the next piece."""
        present, filters = self.present(drive), self.filters.to(drive).cpu()
        (batch, time, neurons), bins = drive.shape, len(filters)
        seen, past = drive.new_zeros(batch, bins + time, neurons), drive.new_zeros(batch, bins + time, neurons)
        seen[:, :bins] = memory["history"] if "history" in memory else self.usual.to(drive)
        for t in range(bins):  # what each bin adds to those after it, the oldest first
            past[:, : t + 1] += seen[:, t : t + 1] * filters[bins - 1 - t :]
        for t in range(time):
            drawn = self.inner.quantile(present[:, t] + self._bounded(past[:, t]), uniform[:, t])
            drawn = drawn if self.ceiling is None else drawn.clamp(max=self.ceiling)
            seen[:, bins + t] = drawn
            trial, neuron = torch.nonzero(drawn, as_tuple=True)  # few: most counts are 0
            past[trial, t + 1 : t + 1 + bins, neuron] += drawn[trial, neuron, None] * filters[:, neuron].T
        memory["history"] = seen[:, time:].clone()
        return seen[:, bins:].long()

    def branching(self, slope: Float[Tensor, " neuron"]) -> Float[Tensor, " neuron"]:
        """Spikes that one spike of each neuron adds, where the link has this slope."""
        return self.filters.clamp(min=0).sum(0).to(slope) * slope

    # --- fitting ---------------------------------------------------------------------------------------------------

    def measure(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Fit filters, then what is inside, then filters again, then match; see `ObservationModel.measure`."""
        self.offset.zero_()
        self.slope.fill_(1)
        self.filters.zero_()
        self.usual.copy_(torch.from_numpy(trials.counts.sum((0, 1)) / trials.bins))
        super().measure(trials, rates, seed=seed)
        counts, mask = torch.from_numpy(trials.counts.astype(np.float32)), torch.from_numpy(trials.mask)
        drive = self.drive(torch.from_numpy(rates).float())  # on the CPU, whatever the device of the model
        for again in (True, False):
            self._fit(counts.to(drive), drive, mask)
            if again:  # what is inside judges bins whose past is known
                known = self.inner.rates(self.given(drive, self.past(counts.to(drive))))
                super().measure(trials, known.cpu().numpy(), seed=seed)
        self._limit(counts.to(drive), drive)
        self.match(trials, rates, lengths=trials.lengths, seed=seed)

    def correct(self, wanted: Moments, found: Moments, share: float) -> None:
        """Move b and the shortest lags until mean counts and quick repeats are as wanted.

        Where spikes are rare, the chance of a spike j bins after another is proportional to :math:`e^{h_j}`: the log
        ratio of wanted to found pairs is the change of h_j. What later lags lack as well is slow, and not the past's.
        """
        super().correct(wanted, found, share)
        half = 0.5 / min(wanted.bins, found.bins)
        step = np.log((wanted.mean + half) / (found.mean + half))
        wide = wanted.mean / -np.expm1(
            -wanted.mean - 1e-9
        )  # change of the drive for a change of the log rate, softplus
        self.offset += torch.from_numpy((share * step * wide.clip(min=1)).clip(-1, 1)).to(self.offset)
        short, late = len(self.filters) // 6, len(self.filters) // 4
        if not short:
            return  # wide bins
        ratio = np.log((wanted.repeats + half) / (found.repeats + half))
        pairs = 0.5 * min(wanted.bins, found.bins) * wanted.repeats[:short]  # both sides of the ratio err
        change = (ratio[:short] - ratio[late:].mean(0)).clip(-0.3, 0.3) * pairs / (pairs + CORRECTION_RIDGE)
        self.filters[:short] += torch.from_numpy(share * change).to(self.filters)

    @property
    def reach(self) -> int:
        """Lags at which repeated spikes are compared."""
        return len(self.filters) // 2

    def _basis(self) -> Float[Tensor, "bins base"]:
        return cosines(len(self.filters)) if self.basis == "cosine" else torch.eye(len(self.filters))

    def _fit(self, counts: Real, drive: Real, mask: Tensor) -> None:
        basis = self._basis().to(drive)
        base = drive.new_zeros(drive.shape) if self.logarithmic else drive
        for neuron in range(drive.shape[2]):
            extra = self.rates(drive)[..., neuron].log() if self.logarithmic else None
            design = Design(counts[..., neuron], base[..., neuron], mask, basis, extra, self.bound, LOWEST)
            found = fisher_scoring(self.inner.of(neuron), design, ridge=RIDGE[self.basis])
            self.filters[:, neuron] = basis @ found.weights
            self.offset[neuron], self.slope[neuron] = found.offset, found.slope

    def _limit(self, counts: Real, drive: Real) -> None:
        """Scale excitation down where a spike would add more than 0.95 spikes, at the slope where the neuron fires."""
        slope = link_slope(self.inner, self.given(drive, self.past(counts)))
        fired = (slope * counts).sum((0, 1)) / counts.sum((0, 1)).clamp(min=1)
        scale = (LARGEST_BRANCHING / self.branching(fired).clamp(min=1e-9)).clamp(max=1).to(self.filters)
        self.filters.copy_(torch.where(self.filters > 0, self.filters * scale, self.filters))

    def _bounded(self, total: Tensor) -> Tensor:
        return total.clamp(LOWEST, self.bound)


def cosines(bins: int, number: int = COSINES) -> Float[Tensor, "bins base"]:
    """Raised cosines over the logarithm of the lag, fine at short lags; free bins if there are no more than cosines."""
    if bins <= number:
        return torch.eye(bins)
    lag = torch.log(torch.arange(1, bins + 1, dtype=torch.float64) + 1)
    centre = torch.linspace(float(lag[0]), float(lag[-1]), number, dtype=torch.float64)
    width = centre[1] - centre[0]
    phase = ((lag[:, None] - centre) / width * (torch.pi / 2)).clamp(-torch.pi, torch.pi)
    return ((1 + torch.cos(phase)) / 2).float()
