"""Distribution of the codes of the training trials, and a check of other codes against it.

A code is a vector that describes a complete trial. The distribution is summarised by its mean and covariance.
"""

import warnings

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.errors import ShapeError, SpikeloomWarning


class CodeRangeWarning(SpikeloomWarning):
    """Warning that a code is farther from the mean of the training codes than every training code."""


class CodeSpace(nn.Module):
    """Mean and covariance of the training codes, saved with the model. Before fitting they are 0 and the identity.

    Distances from the mean are in standard deviations: the length of the whitened code (Mahalanobis distance).

    Args:
        n_codes: Numbers in a code.
    """

    mean: Tensor  # mean of the training codes
    root: Tensor  # lower triangular matrix L; L L' is the covariance
    reach: Tensor  # distance of the farthest training code from the mean, in standard deviations

    def __init__(self, n_codes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_codes))
        self.register_buffer("root", torch.eye(n_codes))
        self.register_buffer("reach", torch.zeros(()))

    def fit(self, codes: Float[np.ndarray, "trial code"]) -> None:
        """Set the mean, the root of the covariance, and the distance of the farthest code from the mean."""
        centred = codes.astype(np.float64) - codes.mean(0)
        covariance = centred.T @ centred / len(codes)
        # A small multiple of the identity makes the covariance invertible if codes do not vary in all directions.
        covariance += 1e-6 * max(np.trace(covariance) / len(covariance), 1e-12) * np.eye(len(covariance))
        self.mean.copy_(torch.from_numpy(codes.mean(0)))
        self.root.copy_(torch.from_numpy(np.linalg.cholesky(covariance)))
        self.reach.copy_(self.whiten(torch.tensor(codes)).norm(dim=-1).max())

    def whiten(self, codes: Float[Tensor, "trial code"]) -> Float[Tensor, "trial code"]:
        """Transform codes by the map after which the training codes have mean 0 and covariance I."""
        centred = (codes.to(self.mean) - self.mean).T
        return torch.linalg.solve_triangular(self.root, centred, upper=False).T

    def color(self, white: Float[Tensor, "trial code"]) -> Float[Tensor, "trial code"]:
        """Invert `whiten`. Standard normal numbers become draws with the mean and covariance of the training codes."""
        return self.mean + white @ self.root.T

    def check(self, codes: Float[np.ndarray, "trial any"]) -> Float[np.ndarray, "trial code"]:
        """Return the codes unchanged. Warn if a code is farther from the mean than every training code.

        Raises:
            ShapeError: if the codes do not have the axes (trial, code) or the right size, or are not finite.
        """
        size = len(self.mean)
        if codes.ndim != 2 or codes.shape[1] != size or not np.isfinite(codes).all():
            raise ShapeError(
                f"Codes must be finite, with axes (trial, {size}).",
                f"They have shape {codes.shape}" + ("." if np.isfinite(codes).all() else " and NaN or infinity."),
                "Use codes that this model encoded, or changed versions of them.",
            )
        distance = float(self.whiten(torch.tensor(codes)).norm(dim=-1).max()) if len(codes) else 0.0
        if distance > float(self.reach) * (1 + 1e-4):  # allows for rounding of the codes of training trials
            warnings.warn(
                f"A code lies {distance:.3g} standard deviations from the mean of the training codes; the farthest "
                f"training code lies {float(self.reach):.3g} from this mean. The model extrapolates.",
                CodeRangeWarning,
                stacklevel=4,
            )
        return codes
