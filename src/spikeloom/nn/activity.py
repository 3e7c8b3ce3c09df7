r"""What a model of whole trials looks at: smooth activity, standardised, bin by bin or in space-time components.

*Smoothing* (spikes): :math:`y_t = \sum_u w_{t-u} m_u s_u / \sum_u w_{t-u} m_u`, w a Gaussian cut at four standard
deviations, m the mask: it neither sees padding nor darkens the ends of a trial.

*Logarithm* (rates): :math:`y = \log(r / \bar r_n + 0.05)`, which stays finite for a silent neuron.

*Standardised*: each neuron's mean and sd over the training trials' bins.

*Components*: trials of equal length as vectors of time x neuron, less their mean, projected on their K leading
principal components over the training trials, all divided by one scale, so that a diffusion model of K numbers makes
whole trials. What the K leave out is lost; `kept` says how much of the variance they hold.

*Denoised* components (counts): smoothed counts hold the noise of spikes, and a generator that learns it as if it were
activity has it twice once it draws spikes. Of Poisson counts with mean m(u, n), smoothed by w, that noise has a known
covariance, :math:`N = W\,\mathrm{diag}(m)\,W^\top`; what the total covariance C holds beyond it is signal,
:math:`S = (C - N)_+`, within the leading directions of C. Components are those of the expected signal
:math:`S (S + N)^{-1} y` (Wiener), and each neuron is scaled by the root of its mean count, its noise, not by its sd.

Everything here is measured on training trials and saved with the model.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.errors import DataError

SOFTENED = 0.05
"""Share of a neuron's mean rate added before the logarithm."""

WIDER = 4
"""In so many times as many directions as there are components is noise told from signal."""

NO_VARIANCE = 1e-10
"""Mean square of the standardised difference between trials that is rounding only."""

SMALLEST = 1e-4
"""Rates are at least this share of the neuron's mean rate: a spike is never impossible."""


def smooth(
    counts: Float[Tensor, "batch time neuron"], mask: Bool[Tensor, "batch time"], *, sd: float
) -> Float[Tensor, "batch time neuron"]:
    """Gaussian smoothing along time, `sd` in bins; 0 leaves the counts as they are. Zero where the mask is False."""
    if sd <= 0:
        return counts
    reach = math.ceil(4 * sd)
    lags = torch.arange(-reach, reach + 1, device=counts.device, dtype=counts.dtype)
    weight = torch.exp(-0.5 * (lags / sd) ** 2)[None, None]
    rows = counts.transpose(1, 2).reshape(-1, 1, counts.shape[1])
    summed = functional.conv1d(rows, weight, padding=reach).view(len(counts), -1, counts.shape[1]).transpose(1, 2)
    valid = mask.to(counts.dtype)
    total = functional.conv1d(valid[:, None], weight, padding=reach)[:, 0]
    return summed / total.clamp(min=1e-9)[..., None] * valid[..., None]


class Activity(nn.Module):
    """From counts, rates or latents to what is diffused, and back.

    Args:
        channels: Neurons, or latents per bin.
        sd: Of the smoothing, in bins; 0 for none.
        log: Whether to take the (softened) logarithm of what comes in.
        time: Bins of every trial, for components; 0 for activity bin by bin.
        components: How many space-time components; 0 for activity bin by bin.
        wiener: Whether the noise of Poisson counts is taken out of the components.
    """

    mean: Tensor
    sd: Tensor
    level: Tensor  # mean of each channel before the logarithm
    middle: Tensor  # mean standardised trial, (time x channel,)
    basis: Tensor  # (time x channel, component), orthonormal: from components to activity
    reader: Tensor  # (time x channel, component): from activity to components, the same unless denoised
    scale: Tensor
    spread: Tensor  # sd of each component, as it is diffused
    kept: Tensor  # share of the training trials' variance that the components hold

    def __init__(
        self,
        channels: int,
        *,
        sd: float = 0.0,
        log: bool = False,
        time: int = 0,
        components: int = 0,
        wiener: bool = False,
    ) -> None:
        super().__init__()
        self.smoothing, self.log, self.time, self.components, self.wiener = sd, log, time, components, wiener
        for name, value in (
            ("mean", torch.zeros(channels)),
            ("sd", torch.ones(channels)),
            ("level", torch.ones(channels)),
        ):
            self.register_buffer(name, value)
        self.register_buffer("middle", torch.zeros(time * channels))
        for name in ("basis", "reader"):
            self.register_buffer(name, torch.zeros(time * channels, components))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("spread", torch.ones(components))
        self.register_buffer("kept", torch.ones(()))

    @torch.no_grad()
    def measure(self, given: Tensor, mask: Tensor) -> None:
        """Set every statistic from training trials (trial, time, channel)."""
        valid = given[mask].double()
        self.level.copy_(valid.mean(0).clamp(min=1e-9))
        raw = self._raw(given, mask)[mask].double()
        self.mean.copy_(raw.mean(0))
        self.sd.copy_(self.level.sqrt() if self.wiener else raw.std(0).clamp(min=1e-6))
        if not self.components:
            return
        rows = self._standard(given, mask).flatten(1).double()
        self.middle.copy_(rows.mean(0))
        rows = rows - rows.mean(0)
        if rows.square().mean() < NO_VARIANCE:
            raise DataError(
                "Space-time components need trials that differ from each other.",
                f"All {len(rows)} training trials have the same activity.",
                "Fit another model, or this one with --set signal_settings.form=sequence.",
            )
        if self.wiener:
            values, basis, reader = self._denoised(rows, given.double().mean(0))
        else:
            values, basis = _leading(rows, self.components)
            reader = basis
        self.basis.copy_(basis)
        self.reader.copy_(reader)
        self.scale.copy_(values.mean().sqrt())
        self.spread.copy_((values / values.mean()).sqrt())
        self.kept.copy_(values.sum() * len(rows) / rows.square().sum())

    def forward(self, given: Tensor, mask: Tensor) -> Tensor:
        """What is diffused: (batch, time, channel), or (batch, 1, component)."""
        x = self._standard(given, mask)
        return ((x.flatten(1) - self.middle) @ self.reader / self.scale)[:, None] if self.components else x

    def back(self, x: Tensor) -> Tensor:
        """Activity in its own unit (batch, time, channel) of what was diffused; rates are at least almost 0."""
        if self.components:
            x = (x[:, 0] * self.scale @ self.basis.T + self.middle).view(len(x), self.time, -1)
        return x * self.sd + self.mean

    def rates(self, x: Tensor) -> Tensor:
        """Rates, spikes/bin, of what was diffused, where that was smoothed spikes or rates."""
        raw = self.back(x)
        rates = (raw.clamp(max=10).exp() - SOFTENED) * self.level if self.log else raw
        return torch.maximum(rates, SMALLEST * self.level)

    def _raw(self, given: Tensor, mask: Tensor) -> Tensor:
        """Smoothed, and its logarithm if wanted, not standardised."""
        x = smooth(given, mask, sd=self.smoothing)
        return torch.log(x / self.level + SOFTENED) if self.log else x

    def _denoised(self, rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Variances of the denoised components, basis and reader; `mean` is the mean count (time, channel)."""
        most = max(self.components, min(WIDER * self.components, len(rows) // 2, rows.shape[1]))
        values, wide = _leading(rows, most)
        every = torch.ones(1, self.time, dtype=torch.bool, device=rows.device)
        kernel = smooth(torch.eye(self.time, device=rows.device)[None], every, sd=self.smoothing)[0].double()
        scaled = wide.view(self.time, -1, most) / self.sd.double()[:, None]
        each = torch.einsum("tu,tnk->unk", kernel, scaled) * mean.sqrt()[..., None]
        noise = each.flatten(0, 1).T @ each.flatten(0, 1)
        total = torch.diag(values)
        sizes, turn = torch.linalg.eigh(total - noise)
        signal = (turn * sizes.clamp(min=0)) @ turn.T
        ridge = 1e-9 * values.mean() * torch.eye(most, device=rows.device)  # directions of silent neurons
        wiener = torch.linalg.solve(signal + noise + ridge, signal).T
        sizes, turn = torch.linalg.eigh(wiener @ total @ wiener.T)
        sizes, turn = sizes.flip(0)[: self.components].clamp(min=0), turn.flip(1)[:, : self.components]
        return sizes, wide @ turn, wide @ wiener.T @ turn

    def _standard(self, given: Tensor, mask: Tensor) -> Tensor:
        return ((self._raw(given, mask) - self.mean) / self.sd).masked_fill(~mask[..., None], 0)


def _leading(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Second moment along the leading directions of the rows, and the directions (feature, component)."""
    if rows.shape[0] < rows.shape[1]:
        values, left = torch.linalg.eigh(rows @ rows.T / len(rows))
        values, left = values.flip(0)[:components], left.flip(1)[:, :components]
        return values, rows.T @ left / (values.clamp(min=1e-12) * len(rows)).sqrt()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    return values.flip(0)[:components], vectors.flip(1)[:, :components]
