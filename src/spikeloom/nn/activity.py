r"""The signal of a model of whole trials: smooth activity, standardised, bin by bin or in space-time components.

*Smoothing* (spikes): :math:`y_t = \sum_u w_{t-u} m_u s_u / \sum_u w_{t-u} m_u`, w a Gaussian cut at four standard
deviations, m the mask: padding has no weight, and activity does not fall at the ends of a trial.

*Logarithm* (rates): :math:`y = \log(r / \bar r_n + 0.05)`, which stays finite for a silent neuron.

*Standardised*: each neuron's mean and sd over the training trials' bins.

*Components*: trials of equal length as vectors of time x neuron, less their mean, projected on their K leading
principal components over the training trials, all divided by one scale, so that a diffusion model of K numbers
generates whole trials. The remaining variance is lost; `kept` is the share of the variance in the K components.

*Denoised* components (counts): smoothed counts contain Poisson noise. A generator that learned this noise as activity
would have it twice after spikes are drawn. For Poisson counts with mean m(u, n), smoothed by w, the noise has the
covariance :math:`N = W\,\mathrm{diag}(m)\,W^\top`; the rest of the total covariance C is signal, :math:`S = (C - N)_+`,
within the leading directions of C. Components are those of the expected signal :math:`S (S + N)^{-1} y` (Wiener), and
each neuron is divided by the root of its mean count (the sd of its noise) instead of its sd.

All statistics are fitted to training trials and saved with the model.
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
"""Signal and noise are separated in `WIDER * components` leading directions."""

NO_VARIANCE = 1e-10
"""Mean square of the standardised difference between trials below which trials count as equal, up to rounding."""

LEAST_SHARE = 1e-4
"""Rates are at least this share of the neuron's mean rate, so that a spike is always possible."""


def smooth(
    counts: Float[Tensor, "batch time neuron"], mask: Bool[Tensor, "batch time"], *, sd: float
) -> Float[Tensor, "batch time neuron"]:
    """Smooth along time with a Gaussian, `sd` in bins; 0 disables it. The result is 0 where the mask is False."""
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
    """Map from counts, rates or latents to the diffused signal, and back.

    Args:
        channels: Neurons, or latents per bin.
        sd: Standard deviation of the smoothing, bins; 0 disables smoothing.
        log: Whether to take the (softened) logarithm of the input.
        time: Bins of every trial, for components; 0 for activity bin by bin.
        components: Number of space-time components; 0 for activity bin by bin.
        wiener: Whether Poisson noise is removed from the components.
    """

    mean: Tensor
    sd: Tensor
    level: Tensor  # mean of each channel before the logarithm
    middle: Tensor  # mean standardised trial, (time x channel,)
    basis: Tensor  # (time x channel, component), orthonormal: from components to activity
    reader: Tensor  # (time x channel, component): from activity to components; equal to basis unless denoised
    scale: Tensor
    spread: Tensor  # sd of each diffused component
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
        self.smoothing = sd
        self.log = log
        self.time = time
        self.components = components
        self.wiener = wiener
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
    def measure(self, signal: Tensor, mask: Tensor) -> None:
        """Set every statistic from training trials (trial, time, channel)."""
        valid = signal[mask].double()
        self.level.copy_(valid.mean(0).clamp(min=1e-9))
        raw = self._raw(signal, mask)[mask].double()
        self.mean.copy_(raw.mean(0))
        self.sd.copy_(self.level.sqrt() if self.wiener else raw.std(0).clamp(min=1e-6))
        if not self.components:
            return
        rows = self._standard(signal, mask).flatten(1).double()
        self.middle.copy_(rows.mean(0))
        rows = rows - rows.mean(0)
        if rows.square().mean() < NO_VARIANCE:
            raise DataError(
                "Space-time components need trials that differ from each other.",
                f"All {len(rows)} training trials have the same activity.",
                "Fit another model, or this one with --set signal_settings.form=sequence.",
            )
        if self.wiener:
            values, basis, reader = self._denoised(rows, signal.double().mean(0))
        else:
            values, basis = _leading(rows, self.components)
            reader = basis
        self.basis.copy_(basis)
        self.reader.copy_(reader)
        self.scale.copy_(values.mean().sqrt())
        self.spread.copy_((values / values.mean()).sqrt())
        self.kept.copy_(values.sum() * len(rows) / rows.square().sum())

    def forward(self, signal: Tensor, mask: Tensor) -> Tensor:
        """Return the diffused signal: (batch, time, channel), or (batch, 1, component)."""
        x = self._standard(signal, mask)
        return ((x.flatten(1) - self.middle) @ self.reader / self.scale)[:, None] if self.components else x

    def back(self, x: Tensor) -> Tensor:
        """Return the activity (batch, time, channel) of a diffused signal, in its unit; rates may be just below 0."""
        if self.components:
            x = (x[:, 0] * self.scale @ self.basis.T + self.middle).view(len(x), self.time, -1)
        return x * self.sd + self.mean

    def rates(self, x: Tensor) -> Tensor:
        """Return the rates, spikes/bin, of a diffused signal of smoothed spikes or rates."""
        raw = self.back(x)
        rates = (raw.clamp(max=10).exp() - SOFTENED) * self.level if self.log else raw
        return torch.maximum(rates, LEAST_SHARE * self.level)

    def _raw(self, signal: Tensor, mask: Tensor) -> Tensor:
        """Return the smoothed signal or its logarithm, not standardised."""
        x = smooth(signal, mask, sd=self.smoothing)
        return torch.log(x / self.level + SOFTENED) if self.log else x

    def _denoised(self, rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return variances of the denoised components, basis and reader; `mean` is the mean count (time, channel)."""
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
        sizes = sizes.flip(0)[: self.components].clamp(min=0)
        turn = turn.flip(1)[:, : self.components]
        return sizes, wide @ turn, wide @ wiener.T @ turn

    def _standard(self, signal: Tensor, mask: Tensor) -> Tensor:
        return ((self._raw(signal, mask) - self.mean) / self.sd).masked_fill(~mask[..., None], 0)


def _leading(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Return the second moments along the leading directions of the rows, and the directions (feature, component)."""
    if rows.shape[0] < rows.shape[1]:
        values, left = torch.linalg.eigh(rows @ rows.T / len(rows))
        values = values.flip(0)[:components]
        left = left.flip(1)[:, :components]
        return values.clamp(min=0), rows.T @ left / (values.clamp(min=1e-12) * len(rows)).sqrt()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    return values.flip(0)[:components].clamp(min=0), vectors.flip(1)[:, :components]
