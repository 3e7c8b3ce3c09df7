r"""Regular counts: in wide bins, of several spikes each, counts vary less than Poisson says.

A neuron that fires on every K-th event of a Poisson process of rate :math:`K r` fires regularly, with r spikes a bin.
Seen from a bin that begins anywhere, U of the K - 1 events between two spikes have passed already, so its count is
:math:`\lfloor (k + U) / K \rfloor`, k Poisson with mean K r and U uniform on 0, ..., K - 1. Its mean is r exactly,

.. math:: P_K(n) = \frac{1}{K} \sum_{|m| < K} (K - |m|)\, p_{K r}(K n + m), \quad
          P_K(N \le n) = \frac{1}{K} \sum_{u=1}^{K} P_{K r}(k < K n + u),

and its variance about r / K + 1/6 where r is large. A neuron does so in a share w of its bins and is Poisson in the
others. For rates inferred without looking at the counts, w is fitted to the variance of counts around them. Generated
rates vary like those that the encoder gives of complete trials, which saw the counts and hold a part of their noise. To
add all of it again would be too much, so there w follows from the law of total variance,

.. math:: \mathrm{Var}(s) = \mathrm{Var}(r) + w\,E[\mathrm{Var}_K(s \mid r)] + (1 - w)\,E[r].

Where that asks for no less than Poisson's variance, w is 0 and nothing changes.
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.observation.base import BinModel, Real
from spikeloom.observation.poisson import Poisson
from spikeloom.shapes import Array, TrialRates, mask_of
from spikeloom.trials import Trials

EVERY = 4
"""K: one spike for so many events; counts of a few spikes a bin can have half the variance of Poisson ones."""


@final
class Regular(BinModel):
    """Poisson counts in some bins, regular ones in the others.

    Args:
        inner: Poisson counts; with a softplus link if absent.
    """

    inner: Poisson
    share: Tensor  # of each neuron, w

    def __init__(self, inner: Poisson | None = None) -> None:
        super().__init__(Poisson() if inner is None else inner)

    def build(self, neurons: int, bin_width: float) -> None:
        """See `ObservationModel.build`."""
        super().build(neurons, bin_width)
        self.register_buffer("share", torch.zeros(neurons))

    def rates(self, drive: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """Expected counts, spikes/bin; those of the model inside."""
        return self.inner.rates(drive)

    def drive(self, rates: Float[Tensor, "*axes neuron"]) -> Float[Tensor, "*axes neuron"]:
        """The drive whose rates these are."""
        return self.inner.drive(rates)

    def log_prob(self, counts: Real, drive: Real) -> Real:
        """Log-probability of each count, in nats; not summed, not masked."""
        rates, share = self.rates(drive), self.share.to(drive)
        log_regular = _log_regular(counts, rates)
        plain = torch.log1p(-share) + self.inner.log_prob(counts, drive)
        return torch.where(share > 0, torch.logaddexp(plain, share.log() + log_regular), plain)

    def quantile(
        self, drive: Float[Tensor, "*axes neuron"], uniform: Float[Tensor, "*axes neuron"]
    ) -> Int[Tensor, "*axes neuron"]:
        """The smallest count whose cumulative probability exceeds the uniform number."""
        shape = torch.broadcast_shapes(drive.shape, uniform.shape)
        rates = self.rates(drive).double().expand(shape).flatten()
        share, u = self.share.to(rates).expand(shape).flatten(), uniform.double().expand(shape).flatten()
        counts, place, n = torch.zeros(rates.shape, dtype=torch.int64), torch.arange(len(rates)), 0
        while len(place):  # most counts are small: only the rest goes on
            below = _cumulative(n, rates[place], share[place])
            place = place[(u[place] >= below) & (below < 1)]
            n += 1
            counts[place] = n
        return counts.reshape(shape)

    def of(self, neuron: int) -> "Regular":
        """The same model of one neuron alone."""
        alone = Regular(self.inner)
        alone.share = self.share[neuron : neuron + 1].clone()
        return alone

    def measure(self, trials: Trials, rates: TrialRates, *, seed: int) -> None:
        """Set the share from the variance of counts around their rates; see `ObservationModel.measure`."""
        super().measure(trials, rates, seed=seed)
        mask = trials.mask
        expected = rates[mask].astype(np.float64)
        self._set(np.square(trials.counts[mask] - expected).mean(0), expected)

    def adapt(
        self,
        trials: Trials,
        rates: TrialRates,
        *,
        lengths: Array,
        seed: int,  # noqa: ARG002  # in closed form, nothing is simulated
    ) -> None:
        """Set the share so that counts drawn from these rates vary as the trials' do; see `ObservationModel.adapt`."""
        expected = rates[mask_of(lengths, rates.shape[1])].astype(np.float64)
        self._set(trials.counts[trials.mask].var(0, dtype=np.float64) - expected.var(0), expected)

    def _set(self, wanted: Array, rates: Array) -> None:
        """Share with which the variance of counts around their rates is as wanted, on average."""
        spare = wanted - rates.mean(0)
        possible = (_variance(torch.from_numpy(rates)).numpy() - rates).mean(0)  # of which w is taken; below 0
        self.share.copy_(torch.from_numpy(spare / np.minimum(possible, -1e-12)).clamp(0, 1))


def _log_regular(counts: Tensor, rates: Tensor) -> Tensor:
    """log P_K(n)."""
    m = torch.arange(1 - EVERY, EVERY, dtype=rates.dtype, device=rates.device)
    events = EVERY * counts[..., None] + m
    rate = EVERY * rates[..., None]
    logs = events * rate.log() - rate - torch.lgamma(events.clamp(min=0) + 1) + torch.log((EVERY - m.abs()) / EVERY)
    return torch.where(events < 0, -torch.inf, logs).logsumexp(-1)


def _cumulative(n: int, rates: Tensor, share: Tensor) -> Tensor:
    """P(N <= n) of the mixture."""
    at_most = lambda k, rate: torch.special.gammaincc(torch.full_like(rate, k + 1.0), rate)  # noqa: E731
    regular = sum((at_most(EVERY * n + u, EVERY * rates) for u in range(EVERY)), torch.zeros_like(rates)) / EVERY
    return (1 - share) * at_most(n, rates) + share * regular


def _variance(rates: Tensor) -> Tensor:
    r"""Variance of P_K: r / K from the events, and :math:`E[f (1 - f)]` from the phase, f = (k mod K) / K."""
    # E[e^{2 pi i j k / K}] = exp(K r (e^{2 pi i j / K} - 1)) gives the chances of k mod K
    turn = torch.exp(2j * torch.pi * torch.arange(EVERY) / EVERY).to(torch.complex128)
    waves = torch.exp(EVERY * rates[..., None].to(torch.complex128) * (turn - 1))
    left = torch.arange(EVERY, dtype=torch.float64)
    chances = (waves @ turn[None, :].conj().pow(left[:, None].to(torch.complex128)).T).real / EVERY
    part = left / EVERY
    return rates / EVERY + (chances * part * (1 - part)).sum(-1)
