"""Clustered effects to try, and the multilevel model written out with full matrices and loops."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import linalg, stats

from medssl.meta._clusters import cluster_codes, make_clusters
from medssl.meta._likelihood import Likelihood


@dataclass(frozen=True, eq=False)
class Clustered:
    """Effects in clusters: `y`, `v`, `cluster` of shape (k,), moderators `z` [k, m] without intercept."""

    y: np.ndarray
    v: np.ndarray
    cluster: np.ndarray
    z: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """The design [k, p] with its intercept."""
        return np.column_stack([np.ones(len(self.y)), self.z])

    def take(self, rows) -> "Clustered":
        """Return some of the rows, in the order given."""
        return Clustered(self.y[rows], self.v[rows], self.cluster[rows], self.z[rows])


def draw(seed=0, sizes=(1, 4, 2, 6, 1, 3, 5, 1, 2, 7), m=0, sigma2=(0.03, 0.02), rho=0.6) -> Clustered:
    """Effects of the model, rows shuffled; the first moderator is constant within clusters."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    k = len(codes)
    v = rng.uniform(0.01, 0.1, k)
    common = np.sqrt(max(rho, 0)) * rng.normal(size=len(sizes))[codes]
    error = np.sqrt(v) * (common + np.sqrt(1 - max(rho, 0)) * rng.normal(size=k))
    between = rng.normal(scale=np.sqrt(sigma2[0]), size=len(sizes))[codes]
    z = rng.normal(size=(k, m))
    if m:
        z[:, 0] = rng.normal(size=len(sizes))[codes]
    y = 0.2 + z @ np.linspace(0.2, -0.1, m) + between + rng.normal(scale=np.sqrt(sigma2[1]), size=k) + error
    order = rng.permutation(k)
    return Clustered(y, v, np.array([f"c{i}" for i in codes], dtype=object), z).take(order)


@dataclass(frozen=True, eq=False)
class Dense:
    """Textbook formulas with k by k matrices: slow, plain, and independent of the package."""

    data: Clustered
    rho: float

    def covariance(self, sigma2) -> np.ndarray:
        """The marginal covariance of the effects [k, k], entry by entry."""
        y, v, cluster = self.data.y, self.data.v, self.data.cluster
        sigma = np.zeros((len(y), len(y)))
        for i in range(len(y)):
            for j in range(len(y)):
                if i == j:
                    sigma[i, j] = v[i] + sigma2[0] + sigma2[1]
                elif cluster[i] == cluster[j]:
                    sigma[i, j] = self.rho * np.sqrt(v[i] * v[j]) + sigma2[0]
        return sigma

    def log_likelihood(self, sigma2) -> float:
        """The normal density of orthonormal error contrasts, which is what "restricted" means."""
        contrasts = linalg.null_space(self.data.x.T)  # [k, k - p]
        covariance = contrasts.T @ self.covariance(sigma2) @ contrasts
        mean = np.zeros(len(covariance))
        return float(stats.multivariate_normal(mean, covariance).logpdf(contrasts.T @ self.data.y))

    def score(self, sigma2, step=1e-5) -> np.ndarray:
        """Numerical derivative of the log-likelihood in both variances, by central differences."""
        ends = [[np.add(sigma2, sign * step * np.eye(2)[i]) for sign in (1, -1)] for i in (0, 1)]
        return np.array(
            [(self.log_likelihood(high) - self.log_likelihood(low)) / (2 * step) for high, low in ends]
        )

    def coefficients(self, sigma2) -> tuple[np.ndarray, np.ndarray]:
        """Generalised least squares: coefficients [p] and their covariance [p, p]."""
        x, weight = self.data.x, np.linalg.inv(self.covariance(sigma2))
        covariance = np.linalg.inv(x.T @ weight @ x)
        return covariance @ x.T @ weight @ self.data.y, covariance

    def q(self) -> float:
        """Cochran's Q: the weighted residual sum of squares without heterogeneity."""
        coef, _ = self.coefficients((0.0, 0.0))
        residual = self.data.y - self.data.x @ coef
        return float(residual @ np.linalg.inv(self.covariance((0.0, 0.0))) @ residual)

    def _pieces(self, kind: str, sigma2):
        """Yield for each cluster its rows, and the map [p, k] from errors to its term of the coefficients.

        The term is `M X_j' W_j A_j (I - H)_j`, with `A_j` as Pustejovsky and Tipton (2018) define it.
        """
        x, phi = self.data.x, self.covariance(sigma2)
        weight = np.linalg.inv(phi)
        bread = np.linalg.inv(x.T @ weight @ x)
        rest = np.eye(len(x)) - x @ bread @ x.T @ weight  # I - H
        labels = np.unique(self.data.cluster)
        for label in labels:
            rows = np.flatnonzero(self.data.cluster == label)
            adjustment = np.eye(len(rows))
            if kind == "CR1":
                adjustment *= np.sqrt(len(labels) / (len(labels) - 1))
            if kind == "CR2":
                d = np.linalg.cholesky(phi[np.ix_(rows, rows)]).T  # upper
                b = d @ rest[rows] @ phi @ rest[rows].T @ d.T
                values, vectors = np.linalg.eigh((b + b.T) / 2)
                inverse = [value**-0.5 if value > 1e-10 * values.max() else 0.0 for value in values]
                adjustment = d.T @ vectors @ np.diag(inverse) @ vectors.T @ d
            yield bread @ x[rows].T @ weight[np.ix_(rows, rows)] @ adjustment @ rest[rows]

    def robust_covariance(self, kind: str, sigma2) -> np.ndarray:
        """The sandwich [p, p], one outer product a cluster."""
        terms = [piece @ self.data.y for piece in self._pieces(kind, sigma2)]
        return sum(np.outer(term, term) for term in terms)

    def _covariances(self, kind: str, sigma2, contrasts) -> np.ndarray:
        """Covariance of the terms of clusters i and j under the model, [clusters, clusters, q, q]."""
        phi = self.covariance(sigma2)
        maps = [contrasts @ piece for piece in self._pieces(kind, sigma2)]
        return np.array([[one @ phi @ other.T for other in maps] for one in maps])

    def satterthwaite(self, kind: str, sigma2, contrast) -> float:
        """Twice the squared mean over the variance of the robust variance of one contrast [p]."""
        terms = self._covariances(kind, sigma2, np.atleast_2d(contrast))[:, :, 0, 0]
        mean, variance = 0.0, 0.0
        for i in range(len(terms)):
            mean += terms[i, i]
            for j in range(len(terms)):
                variance += 2 * terms[i, j] ** 2
        return 2 * mean**2 / variance

    def hotelling(self, kind: str, sigma2, contrasts) -> float:
        """Eta of HTZ: q (q + 1) over the total variance of the entries of the standardised matrix."""
        q = len(contrasts)
        terms = self._covariances(kind, sigma2, contrasts)
        expected = sum(terms[i, i] for i in range(len(terms)))
        values, vectors = np.linalg.eigh(expected)
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        total = 0.0
        for i in range(len(terms)):
            for j in range(len(terms)):
                c = root @ terms[i, j] @ root
                for s in range(q):
                    for t in range(q):
                        total += c[s, s] * c[t, t] + c[s, t] * c[t, s]
        return q * (q + 1) / total


@pytest.fixture(scope="session")
def clustered():
    """Return `draw`, which makes unbalanced clusters with some of one effect."""
    return draw


@pytest.fixture(scope="session")
def dense():
    """Return `Dense`, the model with full matrices."""
    return Dense


@pytest.fixture(scope="session")
def likelihood_of():
    """Return a function that makes the package's likelihood of clustered effects."""

    def make(data: Clustered, rho=0.0, weights=None) -> Likelihood:
        codes, labels = cluster_codes(data.cluster, len(data.y))
        clusters = make_clusters(data.v, codes, rho)
        columns = np.column_stack([data.x, data.y])[clusters.order]
        return Likelihood(clusters, columns, np.ones(len(labels)) if weights is None else weights)

    return make
