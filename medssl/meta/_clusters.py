"""Block-diagonal covariances of clustered effects: solved in time linear in the number of effects.

Within a cluster the marginal covariance is a diagonal plus two rank-one terms,

    Sigma_j = diag((1 - rho) v + sigma2_effect) + sigma2_cluster 1 1' + rho s s',   s = sqrt(v),

so that Woodbury's identity needs sums over the rows of a cluster and a 2 x 2 inverse, never an m x m one.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.errors import UsageError

__all__ = ["Clusters", "Factor", "cluster_codes", "make_clusters"]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Effects sorted by cluster.

    Attributes
    ----------
    order : ndarray of shape (k,)
        The caller's row of each sorted row.
    starts, sizes : ndarray of shape (clusters,)
        First sorted row and number of rows of each cluster.
    codes : ndarray of shape (k,)
        Cluster number of each sorted row.
    variance, deviation : ndarray of shape (k,)
        Sampling variances and their roots, sorted.
    rho : float
        Correlation of sampling errors inside a cluster.
    """

    order: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    codes: np.ndarray
    variance: np.ndarray
    deviation: np.ndarray
    rho: float

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.starts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum rows [k, ...] within clusters, [clusters, ...]."""
        return np.add.reduceat(values, self.starts, axis=0)

    def factor(self, sigma2) -> "Factor":
        """Factorise the covariance at the variances of cluster and of effect.

        There may be several of clusters, [n]; core and determinants have then the shape [n, clusters].
        """
        between, within = np.asarray(sigma2[0], float)[..., None], float(sigma2[1])
        diagonal = (1 - self.rho) * self.variance + within
        s = self.deviation
        g11, g12, g22 = self.sums(np.column_stack([np.ones_like(s), s, self.variance]) / diagonal[:, None]).T
        # I + C G without the difference of two large products that it hides
        spread = np.maximum(g11 * g22 - g12**2, 0.0)
        determinant = 1 + between * g11 + self.rho * g22 + between * self.rho * spread
        k11 = between * (1 + self.rho * g22) / determinant
        k12 = -between * self.rho * g12 / determinant
        k22 = self.rho * (1 + between * g11) / determinant
        log_determinant = self.sums(np.log(diagonal)) + np.log(np.maximum(determinant, np.finfo(float).tiny))
        return Factor(self, diagonal, (k11, k12, k22), (g11, g12, g22), log_determinant)

    def dense(self, sigma2, rows: slice | np.ndarray) -> np.ndarray:
        """Return the covariance of some rows of one cluster; rows [..., m] give [..., m, m]."""
        v, s = self.variance[rows], self.deviation[rows]
        block = self.rho * s[..., :, None] * s[..., None, :] + sigma2[0]
        diagonal = np.arange(v.shape[-1])
        block[..., diagonal, diagonal] += (1 - self.rho) * v + sigma2[1]
        return block


@dataclass(frozen=True, eq=False)
class Factor:
    """The covariance at given variances, ready to be inverted against columns."""

    clusters: Clusters
    diagonal: np.ndarray  # [k]
    core: tuple[np.ndarray, np.ndarray, np.ndarray]  # entries 11, 12, 22 of a 2 x 2 matrix for each cluster
    gram: tuple[np.ndarray, np.ndarray, np.ndarray]  # the same of U' D^-1 U with U = [1, s]
    log_determinant: np.ndarray  # [clusters]

    def solve(self, columns: np.ndarray) -> np.ndarray:
        """Return `Sigma^-1` times columns [k, c]."""
        scaled = columns / self.diagonal[:, None]
        s = self.clusters.deviation[:, None]
        ones, roots = self.clusters.sums(scaled), self.clusters.sums(s * scaled)  # [clusters, c]
        k11, k12, k22 = (entry[:, None] for entry in self.core)
        codes = self.clusters.codes
        back = (k11 * ones + k12 * roots)[codes] + s * (k12 * ones + k22 * roots)[codes]
        return scaled - back / self.diagonal[:, None]

    def traces(self) -> tuple[np.ndarray, np.ndarray]:
        """Return `1' Sigma_j^-1 1` and the trace of `Sigma_j^-1` for each cluster."""
        k11, k12, k22 = self.core
        g11, g12, _ = self.gram
        ones = g11 - (k11 * g11**2 + 2 * k12 * g11 * g12 + k22 * g12**2)
        d, s = self.diagonal, self.clusters.deviation
        h = self.clusters.sums(np.column_stack([1 / d, 1 / d**2, s / d**2, (s / d) ** 2]))
        return ones, h[:, 0] - (k11 * h[:, 1] + 2 * k12 * h[:, 2] + k22 * h[:, 3])


def cluster_codes(cluster, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cluster numbers [k] in order of first appearance, and their labels."""
    values = np.asarray(cluster, dtype=object)
    if values.ndim != 1 or len(values) != k:
        shape = "x".join(map(str, values.shape)) or "no"
        raise UsageError(f"cluster has {shape} values and yi has {k}; give one label for each effect.")
    missing = np.flatnonzero(pd.isna(values))
    if len(missing):
        raise UsageError(
            f"cluster has missing values (first in row {missing[0]}, {len(missing)} rows). "
            "Name the cluster of each effect; an effect that stands alone is a cluster of its own."
        )
    codes, labels = pd.factorize(values)
    return codes, np.asarray(labels)


def make_clusters(v: np.ndarray, codes: np.ndarray, rho: float) -> Clusters:
    """Sort variances [k] by cluster; a correlation that no covariance matrix has raises `UsageError`."""
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    _check_rho(rho, int(sizes.max()))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    sorted_v = v[order]
    return Clusters(order, starts, sizes, codes[order], sorted_v, np.sqrt(sorted_v), float(rho))


def _check_rho(rho, largest: int) -> None:
    low = -1 / (largest - 1) if largest > 1 else -1.0
    if not (isinstance(rho, int | float | np.number) and low < rho < 1):
        raise UsageError(
            f"rho is {rho!r}; a correlation within clusters of up to {largest} effects lies between "
            f"{low:.3g} and 1, both excluded. Usual choices are 0.6 and 0.8."
        )
