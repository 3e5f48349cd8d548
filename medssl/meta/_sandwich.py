"""Cluster-robust covariance of the coefficients: CR0, CR1 and CR2 with their degrees of freedom.

With `E_j = A_j' W_j X_j` for each cluster, everything that a t or Wald test of any contrast needs is held by
three small arrays a cluster: the score `E_j' e_j`, `E_j' Phi_j E_j` and `X_j' E_j`.
"""

from dataclasses import dataclass

import numpy as np

from medssl.errors import UsageError
from medssl.meta._clusters import Clusters
from medssl.meta._likelihood import Basis

__all__ = ["KINDS", "Sandwich", "sandwich"]

KINDS = ("CR0", "CR1", "CR2")


@dataclass(frozen=True, eq=False)
class Sandwich:
    """Pieces of the robust covariance, for the design as orthonormal columns (`X` below is `Q`).

    Attributes
    ----------
    basis : Basis
        The orthonormal columns; contrasts and covariances of the methods are those of the design itself.
    bread : ndarray of shape (p, p)
        `(X' W X)^-1`.
    scores : ndarray of shape (clusters, p)
        `E_j' e_j`.
    spread : ndarray of shape (clusters, p, p)
        `E_j' Phi_j E_j`, the working variance of the scores before coefficients were estimated.
    reach : ndarray of shape (clusters, p, p)
        `X_j' E_j`.
    """

    basis: Basis
    bread: np.ndarray
    scores: np.ndarray
    spread: np.ndarray
    reach: np.ndarray

    def covariance(self) -> np.ndarray:
        """Return the robust covariance of the coefficients [p, p]."""
        terms = self.scores @ self.bread @ self.basis.inverse.T  # [clusters, p]
        return terms.T @ terms

    def variance(self, contrasts: np.ndarray) -> np.ndarray:
        """Return the robust variance of each contrast [q, p], without the rounding of `covariance`."""
        return np.sum((self.scores @ self.bread @ (contrasts @ self.basis.inverse).T) ** 2, axis=0)

    def satterthwaite(self, contrasts: np.ndarray) -> np.ndarray:
        """Return the degrees of freedom of each contrast [q, p] (Bell and McCaffrey 2002; Tipton 2015)."""
        own, shared = self._moments(contrasts @ self.basis.inverse)
        diagonal = np.einsum("jqq->qj", own)
        mean = diagonal.sum(axis=1) - np.einsum("jqm,jqm->q", shared, shared)
        variance = np.array([_covariance(own, shared, s, s, s, s) for s in range(len(contrasts))])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(variance > 0, mean**2 / variance, np.nan)

    def bias(self, contrasts: np.ndarray) -> np.ndarray:
        """Return the expected robust variance of each contrast over its model variance, under the model.

        It is 1 for CR2, but for a contrast that some cluster alone supports: its residuals are 0 whatever the
        effects are, and the pseudo-inverse of Pustejovsky and Tipton (2018) leaves too small a variance.
        """
        own, shared = self._moments(contrasts @ self.basis.inverse)
        mean = np.einsum("jqq->q", own) - np.einsum("jqm,jqm->q", shared, shared)
        loading = contrasts @ self.basis.inverse
        return mean / np.einsum("qi,ij,qj->q", loading, self.bread, loading)

    def hotelling(self, contrasts: np.ndarray, coef: np.ndarray) -> tuple[float, float]:
        """Return T squared of contrasts [q, p] and eta, its degrees of freedom (Pustejovsky and Tipton 2018).

        Both are NaN where the robust covariance of the contrasts is singular. Orthonormal contrasts test the
        same, and leave no room for the units of the moderators.
        """
        contrasts = np.linalg.qr((contrasts @ self.basis.inverse).T)[0].T
        terms = self.scores @ self.bread @ contrasts.T  # [clusters, q]
        own, shared = self._moments(contrasts)
        expected = own.sum(axis=0) - np.einsum("jqm,jrm->qr", shared, shared)  # of C V C' under the model
        values, vectors = np.linalg.eigh(expected)
        if values[0] <= 1e-12 * values[-1] or np.linalg.matrix_rank(terms) < len(contrasts):
            return float("nan"), float("nan")
        estimate = contrasts @ (self.basis.triangle @ coef)
        statistic = float(estimate @ np.linalg.solve(terms.T @ terms, estimate))
        return statistic, self._eta(contrasts, vectors / np.sqrt(values))

    def _eta(self, contrasts: np.ndarray, root: np.ndarray) -> float:
        own, shared = self._moments(root.T @ contrasts)
        q = len(contrasts)
        total = sum(
            _covariance(own, shared, s, s, t, t) + _covariance(own, shared, s, t, t, s)
            for s in range(q) for t in range(q)
        )  # fmt: skip
        return float(q * (q + 1) / total)

    def _moments(self, contrasts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `g_s' Phi g_t` [clusters, q, q] and `X' g_s` in an orthonormal frame [clusters, q, p].

        `contrasts` are those of the coefficients of the orthonormal columns.
        """
        loading = contrasts @ self.bread  # [q, p]
        frame = np.linalg.cholesky(self.bread)
        own = loading @ self.spread @ loading.T
        shared = np.einsum("qp,jmp->jqm", loading, frame.T @ self.reach)
        return own, shared


def _covariance(own, shared, s, t, u, v) -> float:
    """Sum over pairs of clusters of `cov(e_si, e_tj) cov(e_ui, e_vj)`, in time linear in the clusters.

    `cov(e_si, e_tj)` is `own[i, s, t]` where i is j, less `shared[i, s] . shared[j, t]`.
    """
    first, second = own[:, s, t], own[:, u, v]
    left = np.einsum("jm,jm->j", shared[:, s], shared[:, t])
    right = np.einsum("jm,jm->j", shared[:, u], shared[:, v])
    outer = np.sum((shared[:, s].T @ shared[:, u]) * (shared[:, t].T @ shared[:, v]))
    return float(np.sum(first * second - first * right - second * left) + outer)


def sandwich(
    kind: str, clusters: Clusters, sigma2: np.ndarray, basis: Basis, residuals: np.ndarray, solved: np.ndarray
) -> Sandwich:
    """Build the pieces from sorted rows: residuals [k] and `W X` [k, p]."""
    x, solved = basis.columns[:, :-1], solved @ basis.inverse
    if kind not in KINDS:
        raise UsageError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}.")
    if clusters.count < x.shape[1] or clusters.count < 2:
        raise UsageError(
            f"{clusters.count} cluster(s) cannot support robust errors of {x.shape[1]} coefficient(s); "
            "use fewer moderators."
        )
    p, bread = x.shape[1], np.linalg.inv(x.T @ solved)
    scores = np.empty((clusters.count, p))
    spread, reach = np.empty((clusters.count, p, p)), np.empty((clusters.count, p, p))
    for numbers, rows in _by_size(clusters):
        phi = clusters.dense(sigma2, rows)  # [g, m, m]
        adjusted = _cr2(phi, x[rows], bread) if kind == "CR2" else solved[rows]  # E_j, [g, m, p]
        scores[numbers] = np.einsum("gmp,gm->gp", adjusted, residuals[rows])
        spread[numbers] = np.swapaxes(adjusted, 1, 2) @ (phi @ adjusted)
        reach[numbers] = np.swapaxes(x[rows], 1, 2) @ adjusted
    if kind == "CR1":
        factor = np.sqrt(clusters.count / (clusters.count - 1))
        scores, spread, reach = scores * factor, spread * factor**2, reach * factor
    return Sandwich(basis, bread, scores, spread, reach)


def _by_size(clusters: Clusters):
    """Yield cluster numbers [g] and their rows [g, m], clusters of equal size together."""
    for size in np.unique(clusters.sizes):
        numbers = np.flatnonzero(clusters.sizes == size)
        yield numbers, clusters.starts[numbers][:, None] + np.arange(size)


def _cr2(phi: np.ndarray, x: np.ndarray, bread: np.ndarray) -> np.ndarray:
    """Return `A_j' W_j X_j`: `A_j = L B_j^(-1/2) L'`, `B_j = L' (Phi_j - X_j M X_j') L`, `Phi_j = L L'`.

    `B_j` is the square of `L' L (I - G)^(1/2)` with `G = L^-1 X_j M X_j' L^-T`, whose singular values keep
    the digits that the eigenvalues of `B_j` lose where variances differ much within a cluster.
    """
    lower = np.linalg.cholesky(phi)
    half = np.linalg.solve(lower, x)
    values, vectors = np.linalg.eigh(half @ bread @ np.swapaxes(half, 1, 2))
    rest = np.where(values < 1 - 1e-10, np.sqrt(np.maximum(1 - values, 0.0)), 0.0)
    left, singular, _ = np.linalg.svd(np.swapaxes(lower, 1, 2) @ lower @ (vectors * rest[:, None, :]))
    usable = singular > 1e-12 * singular.max(axis=1, keepdims=True)  # a cluster may fix a coefficient alone
    inverse = np.where(usable, 1 / np.where(usable, singular, 1.0), 0.0)
    root = (left * inverse[:, None, :]) @ np.swapaxes(left, 1, 2)
    return lower @ (root @ half)
