r"""Shared near-instant noise: neurons that fire together within 10 ms beyond what their rates say,

.. math:: r'_{tn} = r_{tn} \exp\Big(\sum_k U_{nk} e_{kt} - \tfrac12 \sum_k U_{nk}^2\Big),

e Gaussian series of unit variance. Their correlation over lags is that of a **box** of 10 ms, and of slower ones if
asked; see `observation.components`. Noise keeps the mean rate. Bins wider than two boxes do not resolve it: there is no
box then, and what neurons share within a bin is left to the rates.

**Fit by moment matching.** Let D(lag) be the covariance of the counts about their mean at each time of the trial, data
minus simulation. Noise of covariance :math:`c(\mathrm{lag}) = \sum \rho(\mathrm{lag}) U U^\top` adds
:math:`E[r_i r_j] (e^{c_{ij}} - 1)`. So D is regressed on the :math:`\rho` and a constant, which takes what is slower
than any component: the rates' affair, not the noise's. One coefficient is noisier than it is large, together they have
a few directions that stand out: in units where the sampling error of every pair is the same, s, eigenvalues below
:math:`\epsilon \approx 2 s \sqrt N` are what no signal at all would give, and the others are shrunk to
:math:`\sqrt{\lambda^2 - \epsilon^2}`. Few trials thus mean few directions, down to none. Then simulate with the
noise, add what remains, and fit again.

**Likelihood.** Given the drive, counts are not independent any more. `log_prob` judges each count alone, the noise
averaged out; its sum is **not** the log-probability of a trial. `log_likelihood` is, by sequential importance sampling.
"""

import math
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spikeloom.errors import SettingError
from spikeloom.observation.base import Memory, ObservationModel, Real, Whole
from spikeloom.observation.components import Box, Component, Decay
from spikeloom.observation.covariance import lagged, low_rank, regressed
from spikeloom.observation.history import SpikeHistory
from spikeloom.seeds import Purpose, Streams
from spikeloom.shapes import Array, TrialCounts, TrialMask, TrialRates, mask_of
from spikeloom.trials import Trials

LARGEST_VARIANCE = 1.0
"""Of the noise of one neuron, on the log scale; a neuron with few spikes may be credited with much more."""

LARGEST_NOISE = 2.5
"""The noise of a bin is lowered to it: at most 12 times the rate."""

SLOWER_LAGS = 4
"""Lags beyond the box that say what is slower."""

ROUNDS, COPIES = 3, 2
"""Of simulating and refitting; simulations per round."""

QUADRATURE = 9


@final
class SharedNoise(ObservationModel):
    """Fast noise shared by neurons, around any observation model.

    Args:
        inner: What is driven; spike history over refractory bins if absent.
        duration: Of the box, s; none where it is shorter than half a bin.
        rank: Most directions that the box moves neurons along.
        slow: Slower noise, pairs of time constant (s) and rank; none by default.
    """

    inner: ObservationModel
    weights: Tensor  # U (neuron, rank), the box's directions first

    def __init__(
        self,
        inner: ObservationModel | None = None,
        *,
        duration: float = 0.01,
        rank: int = 8,
        slow: tuple[tuple[float, int], ...] = (),
    ) -> None:
        super().__init__(SpikeHistory() if inner is None else inner)
        if duration <= 0 or rank < 1 or any(seconds <= 0 or number < 1 for seconds, number in slow):
            raise SettingError(
                "SharedNoise needs durations > 0 and ranks >= 1.",
                f"It got duration={duration}, rank={rank}, slow={slow}.",
                "Leave them out for a box of 0.01 s and rank 8.",
            )
        self.duration, self.rank, self.slow = duration, rank, tuple(slow)

    def build(self, neurons: int, bin_width: float) -> None:
        """See `ObservationModel.build`."""
        super().build(neurons, bin_width)
        self.box_bins = math.floor(self.duration / bin_width + 0.5 + 1e-9)  # half a bin, but for rounding, is one
        box = [Box(self.box_bins, self.rank)] if self.box_bins else []
        slow = [Decay(math.exp(-bin_width / seconds), number) for seconds, number in self.slow]
        self.components: list[Component] = [*box, *slow]
        self.register_buffer("weights", torch.zeros(neurons, sum(each.rank for each in self.components)))

    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin; noise keeps them."""
        return self.inner.rates(drive)

    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are."""
        return self.inner.drive(rates)

    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Log-probability of each count alone, noise averaged out (Gauss-Hermite), in nats.

        Entries are not independent; for whole trials see `log_likelihood`.
        """
        if not self.weights.any():
            return self.inner.log_prob(counts, self._moved(drive, torch.zeros_like(drive)))
        nodes, mass = np.polynomial.hermite_e.hermegauss(QUADRATURE)
        sd = self._variance(drive).sqrt()
        each = [
            self.inner.log_prob(counts, self._moved(drive, node * sd)) + math.log(weight / mass.sum())
            for node, weight in zip(nodes, mass, strict=True)
        ]
        return torch.stack(each).logsumexp(0)

    def numbers(self, neurons: int) -> int:
        """Uniform random numbers that one bin of one trial uses."""
        return self.weights.shape[1] + self.inner.numbers(neurons)

    @property
    def shared_bins(self) -> int:
        """Lags, in bins, at which the noise makes neurons vary together; slow noise is not counted."""
        return self.box_bins

    def counts(self, drive: Real, uniform: Float[Tensor, "batch time number"], memory: Memory) -> Whole:
        """Noise from the first numbers of each bin, counts from the others."""
        rank = self.weights.shape[1]
        white = torch.special.ndtri(uniform[..., :rank].clamp(min=1e-300))
        moved = self._moved(drive, self._noise(white, memory))
        return self.inner.counts(moved, uniform[..., rank:], memory)

    @torch.no_grad()
    def log_likelihood(
        self, counts: Real, drive: Real, streams: Streams, *, particles: int = 256
    ) -> Float[Tensor, "batch time"]:
        r"""Log-probability of all counts of a bin given those of the bins before, by a particle filter.

        Each particle is a history of the noise; in every bin :math:`\hat p(s_t \mid s_{<t})` is the mean over particles
        of :math:`\prod_n p(s_{tn} \mid \mathrm{noise})`, then particles are drawn anew in proportion. The product over
        bins is an unbiased estimate of the trial's probability, so its logarithm lies a little low on average, the less
        the more particles.

        Args:
            counts: Counts of whole trials.
            drive: Their drive.
            streams: One per trial.
            particles: Histories per trial; memory and time grow with them.
        """
        counts, drive = counts.double().cpu(), drive.double().cpu()
        (batch, time, _), rank = counts.shape, self.weights.shape[1]
        past, memory, bins = self.inner.past(counts), Memory(), []
        for t in range(time):
            drawn = [(rng.standard_normal((particles, rank)), rng.random()) for rng in streams.generators]
            white = torch.from_numpy(np.concatenate([normal for normal, _ in drawn]))[:, None]
            noise = self._noise(white, memory).reshape(batch, particles, -1)
            known = self.inner.given(self._moved(drive[:, t, None], noise), past[:, t, None])
            weight = self.inner.bins.log_prob(counts[:, t, None].expand_as(known), known).sum(2)
            bins.append(weight.logsumexp(1) - math.log(particles))
            chosen = _resampled(weight, torch.tensor([uniform for _, uniform in drawn], dtype=torch.float64))
            memory.update({name: value[chosen] for name, value in memory.items()})
        return torch.stack(bins, 1)

    def _noise(self, white: Float[Tensor, "batch time rank"], memory: Memory) -> Real:
        """Noise of each neuron on the log scale, its series going on from the memory."""
        parts, start = [white[..., :0]], 0
        for number, component in enumerate(self.components):
            own, name = white[..., start : start + component.rank], f"noise{number}"
            series, memory[name] = component.series(own, memory.get(name, own[:, :0]))
            parts.append(series)
            start += component.rank
        return torch.cat(parts, 2) @ self.weights.to(white).T

    def _variance(self, like: Tensor) -> Float[Tensor, " neuron"]:
        return (self.weights**2).sum(1).to(like)

    def _moved(self, drive: Tensor, noise: Tensor) -> Tensor:
        """Drive under the noise, of any shapes that go together."""
        change = noise.clamp(max=LARGEST_NOISE) - self._variance(drive) / 2
        return self.drive(self.rates(drive) * change.exp())

    # --- fitting ---------------------------------------------------------------------------------------------------

    def measure(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Fit what is inside, then the noise; see `ObservationModel.measure`."""
        super().measure(trials, rates, seed=seed)
        self.adapt(trials, rates, lengths=trials.lengths, seed=seed)

    def adapt(self, trials: Trials, rates: TrialRates, *, lengths: Array, seed: int) -> None:
        """Fit the noise, then match; see `ObservationModel.adapt`."""
        self.weights.zero_()
        lags = self._lags(min(trials.time, rates.shape[1]))
        if self.components and min(len(trials), len(rates)) > 1 and len(lags) > 1:
            self._fit(trials, rates, mask_of(lengths, rates.shape[1]), lags, seed)
        self.match(trials, rates, lengths=lengths, seed=seed)

    def _fit(self, trials: Trials, rates: TrialRates, mask: TrialMask, lags: NDArray[np.int64], seed: int) -> None:
        drive, mean = self.drive(torch.from_numpy(rates).to(self.weights)), trials.counts.sum((0, 1)) / trials.bins
        recorded, root = lagged(trials.counts, trials.mask, lags), np.sqrt(np.maximum(mean, 1e-6))
        valid = rates[mask]
        # Rows and columns are weighted so that the sampling error of every pair is about the same.
        unit = np.outer(root, root) / np.maximum(valid.T @ valid / len(valid), 1e-12)
        spread = float(np.mean(np.diag(recorded[0]) / root**2))  # of a count, in units of its mean
        correlation = np.stack([each.correlation(lags) for each in self.components], 1)
        for number in range(ROUNDS):
            copies = [
                lagged(self._simulate(drive, mask, seed, COPIES * number + copy), mask, lags) for copy in range(COPIES)
            ]
            fitted, error = regressed((recorded - np.mean(copies, 0)) * unit, lags, correlation)
            error = error * spread * math.sqrt(1 / trials.bins + 1 / (COPIES * mask.sum()))
            self._set(fitted, error, root)

    def _set(self, fitted: NDArray[np.float64], error: NDArray[np.float64], root: NDArray[np.float64]) -> None:
        """Add what is missing to each component and reduce the sum to few directions."""
        start = 0
        for component, more, sd in zip(self.components, fitted, error, strict=True):
            place = slice(start, start + component.rank)
            old = self.weights[:, place].double().cpu().numpy() * root[:, None]
            new = low_rank(old @ old.T + more, rank=component.rank, error=float(sd)) / root[:, None]
            self.weights[:, place] = torch.from_numpy(new).to(self.weights)
            start += component.rank
        excess = (self._variance(self.weights) / LARGEST_VARIANCE).clamp(min=1).sqrt()
        self.weights /= excess[:, None]

    def _simulate(self, drive: Real, mask: TrialMask, seed: int, number: int) -> TrialCounts:
        drawn = self.sample(drive, Streams(seed, Purpose.CALIBRATE, 1000 + number, range(len(mask))))
        return np.where(mask[..., None], drawn, 0)

    def _lags(self, time: int) -> NDArray[np.int64]:
        """Those of the box, a few beyond, and further ones for slower noise."""
        slow = [-1 / math.log(each.factor) for each in self.components if isinstance(each, Decay)]
        box = max(1, self.box_bins)
        far = np.geomspace(box, max([2 * box, *(2 * bins for bins in slow)]), 8 if slow else 1)
        near = np.arange(box + SLOWER_LAGS)
        return np.array([lag for lag in np.unique(np.concatenate((near, far.round().astype(int)))) if lag < time])


def _resampled(weight: Float[Tensor, "batch particle"], uniform: Float[Tensor, " batch"]) -> Tensor:
    """Rows (batch x particle) of particles drawn in proportion to their weights, evenly (systematic resampling)."""
    batch, particles = weight.shape
    total = weight.softmax(1).cumsum(1).contiguous()
    wanted = (torch.arange(particles) + uniform[:, None]) / particles
    chosen = torch.searchsorted(total, wanted).clamp(max=particles - 1)
    return (chosen + particles * torch.arange(batch)[:, None]).flatten()
