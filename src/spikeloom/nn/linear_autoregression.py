r"""A linear autoregression with a memory of several time constants, driven by inputs through a clock.

.. math:: z_t = A \phi_t + L \varepsilon_t, \qquad \phi_t = [m_t^{(1)}; ...; m_t^{(K)};\; h(t) \otimes [1; u_t]],
          \qquad m_t^{(k)} = a_k m_{t-1}^{(k)} + (1 - a_k) z_{t-1}, \quad a_k = e^{-1/\tau_k},

with z the latents of a bin and white noise :math:`\varepsilon_t \sim N(0, I)`. The **features** :math:`\phi` are:

- the means :math:`m^{(k)}`, which summarise earlier bins. Each is an exponential moving average with the time constant
  :math:`\tau_k`; for :math:`\tau = 0` it is the last bin itself;
- the inputs u and a constant 1, each multiplied by the hats h of the clock (`nn.clock`), so that the effect of an input
  can change in the course of a trial.

The first bin has a separate regression, :math:`z_0 = S [1; u_0] + L_0 \varepsilon_0`. Its expectation
:math:`S [1; u_0]` is the value of all means before the first bin.

**Fit.** A and S are ridge regressions in closed form; a penalty :math:`\lambda` multiplies the squared coefficients.
:math:`L L^\top` is the sum of products of the residuals, divided by the number of bins minus the effective number of
coefficients. :math:`L_0 L_0^\top` is computed in the same way.

**Stability.** Without noise and inputs, the means of a bin are a linear map of the means of the previous bin. Trials of
any length stay bounded if the spectral radius of this map, its largest absolute eigenvalue, is below 1. If the radius
exceeds `LARGEST_RADIUS`, the coefficients of the slowest mean are scaled down until the radius is small enough. If even
0 is not enough, the coefficients of all means are scaled down instead. Then the effect of the inputs is fitted again.
"""

from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spikeloom.nn.clock import Clock
from spikeloom.nn.nonlinear_term import ArrayTerm, NonlinearTerm, on_grid

LARGEST_RADIUS = 0.998
"""Largest spectral radius: no memory decays with a time constant above 500 bins."""

JITTER = 1e-9
"""Small number that is added to the diagonal of a covariance, so that a latent without variance has a Cholesky
factor."""

Inputs = Float[Tensor, "trial input"]
"""Inputs u of one bin of each trial."""


class LinearAutoregression(nn.Module):
    """The autoregression; see the module. All numbers are in double precision.

    Args:
        n_latents: Number of latents z in each bin.
        n_inputs: Number of inputs u in each bin.
        clock: Clock of the trials.
        time_constants: Time constants of the means, bins. The constant 0, which stands for the last bin, is added.
    """

    recurrent: Tensor  # part of A that reads the means (time constant x latent, latent)
    driven: Tensor  # part of A that reads the inputs (hat, 1 + input, latent)
    opening: Tensor  # S (1 + input, latent)
    noise: Tensor  # L (latent, latent)
    first_noise: Tensor  # L_0 (latent, latent)

    def __init__(self, n_latents: int, n_inputs: int, *, clock: Clock, time_constants: Sequence[float]) -> None:
        super().__init__()
        self.clock = clock
        constants = torch.tensor([0.0, *time_constants], dtype=torch.float64)
        self.register_buffer("decay", torch.exp(-1 / constants)[:, None], persistent=False)  # a; exp(-1 / 0) is 0
        for name, shape in {
            "recurrent": (len(constants) * n_latents, n_latents),
            "driven": (clock.n_hats, 1 + n_inputs, n_latents),
            "opening": (1 + n_inputs, n_latents),
            "noise": (n_latents, n_latents),
            "first_noise": (n_latents, n_latents),
        }.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def radius(self) -> float:
        """Return the spectral radius of the map from the means of a bin to the means of the next bin, without inputs.

        Each mean keeps the share a of itself, and receives the share 1 - a of the new latents, which A computes from
        all means.
        """
        n_latents = self.recurrent.shape[1]
        decay = self.get_buffer("decay")[:, 0]
        means_to_latents = self.recurrent.T.contiguous()  # (latent, time constant x latent)
        identity = torch.eye(n_latents, dtype=torch.float64, device=means_to_latents.device)
        kept = torch.kron(torch.diag(decay), identity)
        received = torch.kron((1 - decay)[:, None], means_to_latents)
        return float(torch.linalg.eigvals(kept + received).abs().max())

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        latents: Float[Tensor, "trial time latent"],
        inputs: Float[Tensor, "trial time input"],
        mask: Bool[Tensor, "trial time"],
        *,
        ridge: float,
    ) -> None:
        """Fit A, L and S to the latents of training trials.

        Args:
            latents: Latents of the trials.
            inputs: Inputs of the trials.
            mask: Valid bins.
            ridge: Penalty of the squared coefficients.
        """
        latents = latents.to(self.noise)
        inputs = inputs.to(self.noise)
        mask = mask.to(latents.device)
        # S and L_0 from the first bins
        first = _Moments(len(self.opening), latents.shape[2], like=latents)
        first.add(_with_one(inputs[:, 0]), latents[:, 0])
        self.opening.copy_(first.solve(ridge))
        self.first_noise.copy_(_cholesky(first.residual(self.opening, ridge)))
        # A and L from the other bins
        moments = self._moments(latents, inputs, mask)
        coefficients = moments.solve(ridge)
        self._set(coefficients)
        if self.radius() > LARGEST_RADIUS:
            self._stabilise()
            # the effect of the inputs is fitted again, beside the scaled coefficients of the means
            coefficients = moments.solve(ridge, fixed=self.recurrent)
            self._set(coefficients)
        self.noise.copy_(_cholesky(moments.residual(coefficients, ridge)))

    def _set(self, coefficients: Tensor) -> None:
        """Copy coefficients of all features (feature, latent) into the two parts of A."""
        n_past = len(self.recurrent)
        self.recurrent.copy_(coefficients[:n_past])
        self.driven.copy_(coefficients[n_past:].reshape(self.driven.shape))

    def _moments(self, latents: Tensor, inputs: Tensor, mask: Tensor) -> "_Moments":
        """Return the sums of products of features and latents over valid bins, except the first bin of each trial."""
        n_features = len(self.recurrent) + self.driven[..., 0].numel()
        moments = _Moments(n_features, latents.shape[2], like=latents)
        hats = self.clock.weights(latents.shape[1]).to(latents)
        for time, means in enumerate(self.means(latents, inputs[:, 0])):
            if time:  # the first bin has a separate regression
                valid = mask[:, time]
                # inputs under each hat (trial, hat x (1 + input))
                driving = (hats[time][:, None] * _with_one(inputs[:, time])[:, None]).flatten(1)
                features = torch.cat((means.flatten(1), driving), 1)
                moments.add(features[valid], latents[valid, time])
        return moments

    def means(
        self, latents: Float[Tensor, "trial time latent"], inputs: Inputs
    ) -> Iterator[Float[Tensor, "trial constant latent"]]:
        """Yield the means of the past before each bin, from the first bin to the last.

        Args:
            latents: Latents of the trials.
            inputs: Inputs of the first bin.
        """
        decay = self.get_buffer("decay").to(latents)
        first = _with_one(inputs) @ self.opening.to(latents)  # expected latents of the first bin
        means = first[:, None].expand(-1, len(decay), -1)
        for present in latents.unbind(1):
            yield means
            means = torch.lerp(present[:, None], means, decay)  # a m + (1 - a) z

    def driven_part(self, inputs: Float[Tensor, "trial time input"]) -> Float[Tensor, "trial time latent"]:
        """Return the part of the linear term that does not depend on the past, in all bins of trials."""
        one_and_inputs = torch.nn.functional.pad(inputs, (1, 0), value=1.0)
        hats = self.clock.weights(inputs.shape[1]).to(inputs)
        # time t, hat j, trial b, input i, latent d
        later = torch.einsum("tj,bti,jid->btd", hats, one_and_inputs, self.driven.to(inputs))
        first = one_and_inputs[:, :1] @ self.opening.to(inputs)
        return torch.cat((first, later[:, 1:]), 1)

    def _stabilise(self) -> None:
        """Scale a part of A down until the spectral radius is at most `LARGEST_RADIUS`.

        The part is the coefficients of the slowest mean. If even a factor of 0 is not enough, the part is the
        coefficients of all means. Bisection finds the largest possible factor.
        """
        n_latents = self.recurrent.shape[1]
        slowest = int(self.get_buffer("decay").argmax())
        slowest_mean = slice(slowest * n_latents, (slowest + 1) * n_latents)
        all_means = slice(None)
        for part in (slowest_mean, all_means):
            low = 0.0
            high = 1.0
            full = self.recurrent.clone()
            for _ in range(12):  # the factor is then accurate to 1 / 4096
                middle = (low + high) / 2
                self.recurrent[part] = full[part] * middle
                low, high = (middle, high) if self.radius() <= LARGEST_RADIUS else (low, middle)
            self.recurrent[part] = full[part] * low
            if self.radius() <= LARGEST_RADIUS:
                return
            self.recurrent.copy_(full)


@final
class Recursion:
    r"""Trials of an autoregression that are generated bin after bin, in NumPy and double precision.

    Each trial has one row of features, :math:`[m_t; 1; u_t; \varepsilon_t]`. Their coefficients are
    :math:`[R; h(t) D; L^\top]`, with R and D the parts of A that read the means and the inputs. So the latents of a bin
    are one product. In the first bin the coefficients are :math:`[0; S; L_0^\top]`. The means are kept as sums,
    :math:`s_t = m_t / (1 - a) = a s_{t-1} + z_{t-1}`, which takes fewer operations. A nonlinear term, if there is one,
    is added to the latents (`nn.nonlinear_term`).

    Args:
        model: Autoregression, whose coefficients are copied.
        n_trials: Number of trials.
        term: Nonlinear term, whose weights are copied. `None` and a term that is not in use add nothing.

    Attributes:
        time: Number of bins since the beginning of the trials.
        sums: Sums of the past (trial, time constant, latent), the means divided by 1 - a.
    """

    def __init__(self, model: LinearAutoregression, n_trials: int, term: NonlinearTerm | None = None) -> None:
        recurrent, self.driven, self.opening, noise, first_noise, decay = (
            getattr(model, name).detach().cpu().numpy()
            for name in ("recurrent", "driven", "opening", "noise", "first_noise", "decay")
        )
        n_past, n_latents = recurrent.shape
        self.clock = model.clock
        self.time = 0
        self.last_bin_share = 1 - decay  # 1 - a, the share that a mean receives from the last bin (time constant, 1)
        self.term: ArrayTerm | None = None
        if term is not None and term.in_use:
            self.term = ArrayTerm(term, self.last_bin_share, n_trials)
            noise = self.term.noise  # a term has noise of its own, L and L_0
            first_noise = self.term.first_noise
        self.decay = np.repeat(decay, n_latents)
        # coefficients of the features in the first bin and in later bins
        self.first = np.concatenate((np.zeros_like(recurrent), self.opening, first_noise.T))
        self.later = np.concatenate((recurrent * np.repeat(self.last_bin_share, n_latents, 0), self.driven[0], noise.T))
        self.features = np.zeros((n_trials, len(self.later)))
        self.past = self.features[:, :n_past]  # the columns of the means
        self.sums = self.past.reshape(n_trials, len(decay), n_latents)  # a view of `past`
        self.inputs = slice(n_past, n_past + len(self.opening))  # the columns of 1 and u
        self.features[:, n_past] = 1

    def step(
        self, inputs: Float[np.ndarray, "trial input"], noise: Float[np.ndarray, "trial latent"]
    ) -> Float[np.ndarray, "trial latent"]:
        """Return the latents of the next bin.

        Args:
            inputs: Inputs u of the bin.
            noise: White noise of the bin.
        """
        self.features[:, self.inputs.start + 1 : self.inputs.stop] = inputs
        self.features[:, self.inputs.stop :] = noise
        if not self.time:  # begin with the means that the model expects in the first bin
            self.sums[:] = (self.features[:, self.inputs] @ self.opening)[:, None] / self.last_bin_share
        latents = self.features @ self._coefficients()
        if self.term is not None:
            latents = on_grid(latents + self.term.step(self.past, inputs, self.clock.weights_at(self.time)))
        self.past *= self.decay
        self.sums += latents[:, None]
        self.time += 1
        return latents

    def _coefficients(self) -> Float[np.ndarray, "feature latent"]:
        """Return the coefficients of the features in this bin."""
        if not self.time:
            return self.first
        hat, next_value = self.clock.position(self.time)
        driven = self.driven[hat]
        if next_value:  # between two hats
            driven = (1 - next_value) * driven + next_value * self.driven[hat + 1]
        self.later[self.inputs] = driven
        return self.later


class _Moments:
    """Sums over bins of products of features x and latents y, for a ridge regression."""

    def __init__(self, n_features: int, n_latents: int, *, like: Tensor) -> None:
        self.xx = like.new_zeros(n_features, n_features)
        self.xy = like.new_zeros(n_features, n_latents)
        self.yy = like.new_zeros(n_latents, n_latents)
        self.bins = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add the products of some bins."""
        self.xx.addmm_(x.T, x)
        self.xy.addmm_(x.T, y)
        self.yy.addmm_(y.T, y)
        self.bins += len(x)

    def solve(self, ridge: float, *, fixed: Tensor | None = None) -> Tensor:
        """Return the coefficients (feature, latent) of the regression.

        Args:
            ridge: Penalty of the squared coefficients.
            fixed: Coefficients of the first features, which are kept. The coefficients of the other features are then
                fitted to what the first features do not explain. `None` fits all coefficients.
        """
        if fixed is None:
            return torch.linalg.solve(self._with_ridge(self.xx, ridge), self.xy)
        n_fixed = len(fixed)
        unexplained = self.xy[n_fixed:] - self.xx[n_fixed:, :n_fixed] @ fixed
        fitted = torch.linalg.solve(self._with_ridge(self.xx[n_fixed:, n_fixed:], ridge), unexplained)
        return torch.cat((fixed, fitted))

    def residual(self, coefficients: Tensor, ridge: float) -> Tensor:
        """Return the covariance of the residuals y - C' x of coefficients C, fitted with this ridge."""
        explained = coefficients.T @ self.xy
        total = self.yy - explained - explained.T + coefficients.T @ self.xx @ coefficients
        n_effective = float(torch.linalg.solve(self._with_ridge(self.xx, ridge), self.xx).trace())
        return total / max(1.0, self.bins - n_effective)

    def _with_ridge(self, moments: Tensor, ridge: float) -> Tensor:
        """Return the matrix with the ridge added to its diagonal."""
        return moments + ridge * torch.eye(len(moments), dtype=moments.dtype, device=moments.device)


def ridge_regression(
    features: Float[Tensor, "row feature"], targets: Float[Tensor, "row target"], ridge: float
) -> Float[Tensor, "feature target"]:
    """Return the coefficients of a ridge regression of targets on features, with penalty `ridge` of their squares."""
    penalty = ridge * torch.eye(features.shape[1], dtype=features.dtype, device=features.device)
    return torch.linalg.solve(features.T @ features + penalty, features.T @ targets)


def _cholesky(covariance: Tensor) -> Tensor:
    """Return the Cholesky factor L of a covariance, with a tiny diagonal added."""
    diagonal = JITTER * (1 + covariance.diagonal().mean())
    return torch.linalg.cholesky(covariance + diagonal * torch.eye(len(covariance)).to(covariance))


def _with_one(inputs: Inputs) -> Float[Tensor, "trial one_and_input"]:
    """Return [1; u]: the inputs with a constant 1 in front."""
    return torch.cat((inputs.new_ones(len(inputs), 1), inputs), 1)
