r"""Traversals by optimal transport between the codes of two conditions; a comparison for `code_traversals.py`.

The codes of trials with variables v are described as a Gaussian :math:`N(g(v), S(v))`, with g the polynomial of
`spikeloom.metrics.disentanglement` and S the covariance of the deviations :math:`c_i - g(v_i)`, averaged over trials
with the weights :math:`\exp(-\tfrac12 |v_i - v|^2 / h^2)` (v in standard deviations) and shrunk towards the covariance
of all trials. The optimal transport between two Gaussians changes codes least in the mean square:

.. math:: c' = g(v') + A\,(c - g(v)), \qquad A = S^{-1/2} (S^{1/2} S' S^{1/2})^{1/2} S^{-1/2},

with S = S(v) and S' = S(v'). If the covariance does not depend on v, A is the identity: :math:`c' = c + g(v') - g(v)`,
the curved step without its gain. `width=None` assumes this.

Source: Dowson, Landau 1982; Olkin, Pukelsheim 1982 (transport between Gaussians).
"""

from dataclasses import dataclass

import numpy as np

from spikeloom.metrics.disentanglement import Directions
from spikeloom.shapes import Numbers


@dataclass(frozen=True, eq=False)
class Transport:
    """Optimal transport of codes between conditions.

    Args:
        directions: Maps between codes and variables, with the polynomial g.
        values: Variables of the training trials (trial, variable).
        rest: Deviations of their codes from g (trial, code).
        offset: Constant part of g (code,).
        width: Width h of the weights, in standard deviations of the variables. None for a constant covariance.
    """

    directions: Directions
    values: Numbers
    rest: Numbers
    offset: Numbers
    width: float | None

    @classmethod
    def fit(cls, directions: Directions, codes: Numbers, values: Numbers, *, width: float | None) -> "Transport":
        """Fit to the codes and variables with which the directions were fitted."""
        curve = _curve(directions, values)
        offset = codes.mean(0) - curve.mean(0)
        return cls(directions, values, codes - offset - curve, offset, width)

    def move(self, codes: Numbers, changes: Numbers) -> Numbers:
        """Return codes moved by changes (trial, variable) of the variables that are decoded from them."""
        start = self.directions.predict(codes)
        start_mean = self.offset + _curve(self.directions, start)
        end_mean = self.offset + _curve(self.directions, start + changes)
        if self.width is None:
            return codes + end_mean - start_mean
        root, inverse = _roots(self._covariances(start))
        middle, _ = _roots(root @ self._covariances(start + changes) @ root)
        return end_mean + np.einsum("bij,bj->bi", inverse @ middle @ inverse, codes - start_mean)

    def _covariances(self, values: Numbers) -> Numbers:
        """Return the covariance of codes at each of these variables (trial, code, code)."""
        assert self.width is not None  # `move` needs no covariances otherwise
        distances = (values[:, None] - self.values) / self.directions.variable_sd
        weights = np.exp(-0.5 * np.square(distances).sum(2) / self.width**2)
        total = weights.sum(1)
        n_effective = total**2 / np.square(weights).sum(1)  # effective number of trials
        products = np.einsum("ti,tj->tij", self.rest, self.rest).reshape(len(self.rest), -1)
        local = (weights / total[:, None] @ products).reshape(len(values), *[self.rest.shape[1]] * 2)
        everywhere = self.rest.T @ self.rest / len(self.rest)
        weight = (n_effective / (n_effective + self.rest.shape[1]))[:, None, None]
        return weight * local + (1 - weight) * everywhere


def _curve(directions: Directions, values: Numbers) -> Numbers:
    """Return g without its constant (trial, code)."""
    scaled = (values - directions.variable_mean) / directions.variable_sd
    first, second = np.triu_indices(scaled.shape[1])
    products = scaled[:, first] * scaled[:, second]
    return scaled * directions.variable_sd @ directions.linear.T + products @ directions.quadratic.T


def _roots(matrices: Numbers) -> tuple[Numbers, Numbers]:
    """Return the symmetric square roots of positive definite matrices, and the inverses of these roots."""
    values, vectors = np.linalg.eigh(matrices)
    sizes = np.sqrt(np.maximum(values, 1e-10 * values[:, -1:]))[:, None]
    turned = vectors.transpose(0, 2, 1)
    return vectors * sizes @ turned, vectors / sizes @ turned
