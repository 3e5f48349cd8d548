"""Weighted least squares by QR, with the traces that the heterogeneity estimators need."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

__all__ = ["WeightedFit", "weighted_fit"]


@dataclass(frozen=True, eq=False)
class WeightedFit:
    """A weighted least-squares fit; `P = W - W X (X'WX)^-1 X'W` is never formed.

    Attributes
    ----------
    coef : ndarray of shape (p,)
        Coefficients.
    covariance : ndarray of shape (p, p)
        `(X'WX)^-1`.
    rss : float
        Weighted residual sum of squares, `y'Py`.
    log_determinant : float
        Logarithm of the determinant of `X'WX`.
    weights, residuals : ndarray of shape (k,)
        Weights and raw residuals.
    basis : ndarray of shape (k, p)
        Orthonormal basis of the columns of `W^(1/2) X`.
    """

    coef: np.ndarray
    covariance: np.ndarray
    rss: float
    log_determinant: float
    weights: np.ndarray
    residuals: np.ndarray
    basis: np.ndarray

    def trace(self, d=1.0) -> float:
        """Return the trace of `P diag(d)`."""
        leverage = np.sum(self.basis**2, axis=1)
        return float(np.sum(self.weights * d * (1 - leverage)))

    def trace_square(self, d=1.0, e=1.0) -> float:
        """Return the trace of `P diag(d) P diag(e)`."""
        left, right = self.weights * d, self.weights * e
        leverage = np.sum(self.basis**2, axis=1)
        cross = (self.basis.T * left) @ self.basis  # [p, p]
        other = (self.basis.T * right) @ self.basis  # [p, p]
        return float(np.sum(left * right * (1 - 2 * leverage)) + np.sum(cross * other))

    def quadratic_square(self) -> float:
        """Return `y'PPy`."""
        return float(np.sum((self.weights * self.residuals) ** 2))


def weighted_fit(y: np.ndarray, design: np.ndarray, weights: np.ndarray) -> WeightedFit:
    """Regress `y` (k,) on `design` (k, p) with `weights` (k,).

    Examples
    --------
    >>> fit = weighted_fit(np.array([1.0, 3.0]), np.ones((2, 1)), np.array([3.0, 1.0]))
    >>> print(fit.coef, f"{fit.rss:.3f} {fit.trace():.3f}")
    [1.5] 3.000 1.500
    """
    root = np.sqrt(weights)
    basis, triangle = np.linalg.qr(root[:, None] * design)
    inverse = solve_triangular(triangle, np.eye(design.shape[1]))
    coef = inverse @ (basis.T @ (root * y))
    residuals = y - design @ coef
    return WeightedFit(
        coef=coef,
        covariance=inverse @ inverse.T,
        rss=float(np.sum(weights * residuals**2)),
        log_determinant=float(2 * np.sum(np.log(np.abs(np.diag(triangle))))),
        weights=weights,
        residuals=residuals,
        basis=basis,
    )
