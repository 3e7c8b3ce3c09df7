r"""Map from counts, rates or latents to the signal that GNOCCHI generates by diffusion, and back.

The signal is smooth and standardised activity. It has either one vector per bin, or a few numbers for a complete trial
(space-time components). The steps from counts s or rates r to the signal y are:

1. *Smoothing*, for counts: :math:`y_t = \sum_u w_{t-u} m_u s_u / \sum_u w_{t-u} m_u`, with w a Gaussian cut at four
   standard deviations and m the mask. The padding has no weight, so activity does not fall at the end of a trial.
2. *Logarithm*, for rates: :math:`y = \log(r / \bar r_n + 0.05)`, with :math:`\bar r_n` the mean rate of the neuron. The
   constant keeps the logarithm of a silent neuron finite.
3. *Standardisation*: the mean of each neuron is subtracted, and the difference is divided by the sd of the neuron. Mean
   and sd are computed over the bins of all training trials.
4. *Components*, optional, for trials of equal length: each trial is a vector of bins times neurons. The mean trial is
   subtracted, and the vector is projected on its K leading principal components over the training trials. All
   components are divided by one scale. A diffusion model of K numbers then generates complete trials. The variance
   outside the components is lost; `kept` is the share of the variance within the components.

**Denoised components**, for counts. Smoothed counts contain Poisson noise. If a model generated this noise as activity,
its spikes would contain Poisson noise twice. Let Poisson counts have the mean :math:`\mu(u, n)` in bin u of neuron n,
and let W be the matrix of the smoothing. Then the noise of the smoothed counts has the covariance
:math:`N = W\,\mathrm{diag}(\mu)\,W^\top`. The covariance of the signal is the total covariance C minus N,
:math:`S = (C - N)_+`, where negative eigenvalues are set to 0. S is computed within the leading directions of C only.
A Wiener filter estimates the signal of each trial, :math:`S (S + N)^{-1} y`, and the components are principal
components of these estimates. In this case, step 3 divides each neuron by the root of its mean count, the sd of Poisson
noise, and not by its own sd.

All statistics are fitted to training trials and saved with the model.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from spikeloom.errors import DataError

SOFTENED = 0.05
"""Share of a neuron's mean rate that is added to its rate before the logarithm."""

WIDER = 4
"""Signal and noise are separated within `WIDER * components` leading directions."""

NO_VARIANCE = 1e-10
"""All trials count as equal if the mean squared difference of standardised trials from their mean is below this number:
such small differences are rounding errors."""

LEAST_SHARE = 1e-4
"""Smallest rate, as a share of the neuron's mean rate. A spike is therefore always possible."""


def smooth(
    counts: Float[Tensor, "batch time neuron"], mask: Bool[Tensor, "batch time"], *, sd: float
) -> Float[Tensor, "batch time neuron"]:
    """Smooth along time with a Gaussian; see the module for the formula.

    Args:
        counts: Counts or another signal, 0 in the padding.
        mask: Valid bins.
        sd: Standard deviation of the Gaussian, bins. 0 returns the input unchanged.

    Returns:
        The smoothed signal, 0 in the padding.
    """
    if sd <= 0:
        return counts
    reach = math.ceil(4 * sd)  # bins
    lags = torch.arange(-reach, reach + 1, device=counts.device, dtype=counts.dtype)
    weight = torch.exp(-0.5 * (lags / sd) ** 2)[None, None]  # (1, 1, lag)
    n_bins = counts.shape[1]
    series = counts.transpose(1, 2).reshape(-1, 1, n_bins)  # (batch x neuron, 1, time)
    weighted_sum = functional.conv1d(series, weight, padding=reach).view(len(counts), -1, n_bins).transpose(1, 2)
    valid = mask.to(counts.dtype)
    weight_sum = functional.conv1d(valid[:, None], weight, padding=reach)[:, 0]
    return weighted_sum / weight_sum.clamp(min=1e-9)[..., None] * valid[..., None]


class Activity(nn.Module):
    """Map from counts, rates or latents to the diffused signal, and back; see the module for the steps.

    Args:
        channels: Number of neurons, or of latents per bin.
        sd: Standard deviation of the smoothing, bins. 0 disables smoothing.
        log: Take the logarithm of the input, after a small constant is added.
        time: Number of bins of every trial, for components. 0 for a signal with one vector per bin.
        components: Number of space-time components. 0 for a signal with one vector per bin.
        wiener: Remove Poisson noise from the components.
    """

    mean: Tensor  # mean of each channel, for the standardisation
    sd: Tensor  # number by which each channel is divided, for the standardisation
    level: Tensor  # mean of each channel before the logarithm
    middle: Tensor  # mean standardised trial, (time x channel,)
    basis: Tensor  # orthonormal map from components to standardised activity, (time x channel, component)
    reader: Tensor  # map from standardised activity to components, same axes; equal to `basis` unless denoised
    scale: Tensor  # the one number by which all components are divided
    spread: Tensor  # sd of each component of the signal
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
    def fit(self, signal: Tensor, mask: Tensor) -> None:
        """Fit every statistic to training trials.

        Args:
            signal: Counts, rates or latents (trial, time, channel).
            mask: Valid bins (trial, time).

        Raises:
            DataError: if components are wanted and all trials have the same activity.
        """
        valid = signal[mask].double()
        self.level.copy_(valid.mean(0).clamp(min=1e-9))
        raw = self._raw(signal, mask)[mask].double()  # (valid bin, channel)
        self.mean.copy_(raw.mean(0))
        self.sd.copy_(self.level.sqrt() if self.wiener else raw.std(0).clamp(min=1e-6))
        if not self.components:
            return
        vectors = self._standard(signal, mask).flatten(1).double()  # (trial, time x channel)
        self.middle.copy_(vectors.mean(0))
        vectors = vectors - vectors.mean(0)
        if vectors.square().mean() < NO_VARIANCE:
            raise DataError(
                "Space-time components need trials that differ from each other.",
                f"All {len(vectors)} training trials have the same activity.",
                "Fit another model, or this one with --set signal_settings.form=sequence.",
            )
        if self.wiener:
            variances, basis, reader = self._denoised(vectors, signal.double().mean(0))
        else:
            variances, basis = _leading(vectors, self.components)
            reader = basis
        self.basis.copy_(basis)
        self.reader.copy_(reader)
        self.scale.copy_(variances.mean().sqrt())
        self.spread.copy_((variances / variances.mean()).sqrt())
        self.kept.copy_(variances.sum() * len(vectors) / vectors.square().sum())

    def forward(self, signal: Tensor, mask: Tensor) -> Tensor:
        """Return the signal of counts, rates or latents: (batch, time, channel), or (batch, 1, component)."""
        standardised = self._standard(signal, mask)
        if not self.components:
            return standardised
        return ((standardised.flatten(1) - self.middle) @ self.reader / self.scale)[:, None]

    def back(self, x: Tensor) -> Tensor:
        """Convert a signal to activity: undo the components and the standardisation.

        Args:
            x: Signal (batch, time, channel), or (batch, 1, component).

        Returns:
            Activity (batch, time, channel) in the unit of the input, or its logarithm for rates. Activity in spikes/bin
            may be slightly negative.
        """
        if self.components:
            x = (x[:, 0] * self.scale @ self.basis.T + self.middle).view(len(x), self.time, -1)
        return x * self.sd + self.mean

    def rates(self, x: Tensor) -> Tensor:
        """Return the rates, spikes/bin, of a signal of smoothed counts or of rates; they are above 0."""
        activity = self.back(x)
        # the bound keeps the exponential finite: no rate is e^10 times the mean rate
        rates = (activity.clamp(max=10).exp() - SOFTENED) * self.level if self.log else activity
        return torch.maximum(rates, LEAST_SHARE * self.level)

    def _raw(self, signal: Tensor, mask: Tensor) -> Tensor:
        """Return the smoothed signal or its logarithm, not standardised."""
        x = smooth(signal, mask, sd=self.smoothing)
        return torch.log(x / self.level + SOFTENED) if self.log else x

    def _denoised(self, rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the denoised components: their variances, `basis` and `reader`; see the module for the formulas.

        Args:
            rows: Standardised training trials minus their mean (trial, time x channel).
            mean: Mean count over training trials (time, channel).
        """
        n_directions = max(self.components, min(WIDER * self.components, len(rows) // 2, rows.shape[1]))
        variances, directions = _leading(rows, n_directions)
        valid = torch.ones(1, self.time, dtype=torch.bool, device=rows.device)
        kernel = smooth(torch.eye(self.time, device=rows.device)[None], valid, sd=self.smoothing)[0].double()  # W
        # The matrices C (`total`), N (`noise`) and S (`signal`) within the leading directions.
        # N = F' F with F = diag(sqrt(mean)) W' directions.
        scaled = directions.view(self.time, -1, n_directions) / self.sd.double()[:, None]
        noise_factor = torch.einsum("tu,tnk->unk", kernel, scaled) * mean.sqrt()[..., None]
        noise = noise_factor.flatten(0, 1).T @ noise_factor.flatten(0, 1)
        total = torch.diag(variances)
        eigenvalues, eigenvectors = torch.linalg.eigh(total - noise)
        signal = (eigenvectors * eigenvalues.clamp(min=0)) @ eigenvectors.T
        # The ridge keeps S + N invertible in the directions of silent neurons.
        ridge = 1e-9 * variances.mean() * torch.eye(n_directions, device=rows.device)
        wiener = torch.linalg.solve(signal + noise + ridge, signal).T
        # principal components of the estimated signals
        eigenvalues, eigenvectors = torch.linalg.eigh(wiener @ total @ wiener.T)
        component_variances = eigenvalues.flip(0)[: self.components].clamp(min=0)
        rotation = eigenvectors.flip(1)[:, : self.components]
        return component_variances, directions @ rotation, directions @ wiener.T @ rotation

    def _standard(self, signal: Tensor, mask: Tensor) -> Tensor:
        """Return the smoothed, standardised signal (batch, time, channel), 0 in the padding."""
        return ((self._raw(signal, mask) - self.mean) / self.sd).masked_fill(~mask[..., None], 0)


def _leading(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Return the leading principal directions of centred rows (row, feature).

    Returns:
        The variance along each direction, largest first, and the directions (feature, component) of unit length.
    """
    if rows.shape[0] < rows.shape[1]:  # with fewer rows than features, the matrix of products of rows is smaller
        variances, combinations = torch.linalg.eigh(rows @ rows.T / len(rows))
        variances = variances.flip(0)[:components]
        combinations = combinations.flip(1)[:, :components]  # each direction is a combination of rows
        lengths = (variances.clamp(min=1e-12) * len(rows)).sqrt()
        return variances.clamp(min=0), rows.T @ combinations / lengths
    variances, directions = torch.linalg.eigh(rows.T @ rows / len(rows))
    return variances.flip(0)[:components].clamp(min=0), directions.flip(1)[:, :components]
