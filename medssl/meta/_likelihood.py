"""The restricted likelihood of the multilevel model, its derivatives, and its global maximum."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from medssl.errors import RunError, UsageError
from medssl.meta._clusters import Clusters

__all__ = ["Basis", "Likelihood", "Point", "maximise"]

# of the total variance: where the search starts
LEVELS = (0.0, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
STEPS = 200
SMALL = 1e-8  # rise of the likelihood that a step promises, below which rounding hides it
EXACT = 1e-22  # squared Newton decrement at which the search ends
ENOUGH = 1e-8  # the same where it falls no further: a ten-thousandth of a standard error


@dataclass(frozen=True, eq=False)
class Basis:
    """Orthonormal columns that span the design, so that its units and offsets cost no digits.

    `columns` is `[Q y]`, [k, p + 1], with `X = Q R`; `triangle` is `R` and `inverse` is `R^-1`, [p, p].
    """

    columns: np.ndarray
    triangle: np.ndarray
    inverse: np.ndarray


@dataclass(frozen=True, eq=False)
class Point:
    """The likelihood at one pair of variances.

    `score` [2] and `information` [2, 2] (average information: Gilmour, Thompson and Cullis 1995) are for
    cluster and effect; `coef` [p], `covariance` [p, p] and `solved` (`Sigma^-1 [X y]`, [k, p + 1]) belong to
    these variances.
    """

    sigma2: np.ndarray
    value: float
    coef: np.ndarray
    covariance: np.ndarray
    rss: float
    solved: np.ndarray
    score: np.ndarray
    information: np.ndarray


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Restricted log-likelihood of effects sorted by cluster.

    `columns` holds `[X y]`, [k, p + 1]; `weights` [clusters] counts each cluster that many times, so that a
    cluster bootstrap or a left-out cluster needs no new data.
    """

    clusters: Clusters
    columns: np.ndarray
    weights: np.ndarray

    @cached_property
    def basis(self) -> Basis:
        """The design as orthonormal columns; columns that follow from the others raise `UsageError`."""
        x = self.columns[:, :-1]
        weighted = np.sqrt(self._rows())[:, None] * x
        triangle = np.linalg.qr(weighted, mode="r")
        size = np.linalg.norm(weighted, axis=0)
        if len(triangle) < x.shape[1] or np.any(np.abs(np.diag(triangle)) <= 1e-13 * size):
            raise UsageError(
                "the coefficients cannot be told apart with these rows: a moderator is constant or follows "
                "from the others. Drop it, or merge its rare levels."
            )
        inverse = solve_triangular(triangle, np.eye(x.shape[1]))
        return Basis(np.column_stack([x @ inverse, self.columns[:, -1]]), triangle, inverse)

    @cached_property
    def free(self) -> np.ndarray:
        """Which variances the data can tell apart, [2]; with one effect a cluster, that of the cluster only.

        With `M = I - Q Q'` and the clusters' block matrix `V`, that of clusters leaves a trace when `M V M`
        is not 0, and that of effects one of its own when `M V M` is not a multiple of `M`.
        """
        q, w, sizes = self.basis.columns[:, :-1], self.weights, self.clusters.sizes
        u = self.clusters.sums(q)  # Q' 1 for each cluster
        lost = np.sum(u**2, axis=1)
        square = w @ (sizes**2 - 2 * sizes * lost) + np.sum(((u.T * w) @ u) ** 2)
        trace, rest = w @ (sizes - lost), w @ sizes - q.shape[1]
        cluster = square > 1e-10 * (w @ sizes**2)
        return np.array([cluster, square * rest - trace**2 > 1e-10 * square * rest or not cluster])

    @property
    def scale(self) -> float:
        """Residual variance of unweighted least squares: the unit in which variances are searched."""
        rows, residual = self._rows(), self._least_squares[:, -1]
        degrees = max(rows.sum() - len(self.basis.triangle), 1)
        return float(max(rows @ residual**2 / degrees, 1e-6 * np.average(self.clusters.variance)))

    @cached_property
    def _least_squares(self) -> np.ndarray:
        """`[Q e]` with the residuals of unweighted least squares, whose likelihood is that of the effects."""
        q, y = self.basis.columns[:, :-1], self.basis.columns[:, -1]
        return np.column_stack([q, y - q @ (q.T @ (self._rows() * y))])

    def _rows(self) -> np.ndarray:
        return self.weights[self.clusters.codes]

    def at(self, sigma2, *, derivatives: bool = True) -> Point:
        """Evaluate value, coefficients and, if asked, derivatives."""
        basis, rows = self.basis, self._rows()
        p = len(basis.triangle)
        factor = self.clusters.factor(sigma2)
        solved = factor.solve(basis.columns)
        gram = (basis.columns * rows[:, None]).T @ solved  # [p + 1, p + 1]
        root = _root(gram[:p, :p])
        coef = cho_solve((root, True), gram[:p, p])
        covariance = cho_solve((root, True), np.eye(p))
        contrast = np.append(-coef, 1.0)
        residual = basis.columns @ contrast
        weighted = solved @ contrast  # P y
        rss = float((rows * residual) @ weighted)
        value = self._value(factor, rows, root, rss)
        score, information = np.full(2, np.nan), np.full((2, 2), np.nan)
        if derivatives:
            score, information = self._derivatives(factor, rows, solved, covariance, weighted)
        back = np.column_stack([solved[:, :p] @ basis.triangle, solved[:, p]])
        covariance = basis.inverse @ covariance @ basis.inverse.T
        return Point(
            np.array(sigma2, float), value, basis.inverse @ coef, covariance, rss, back, score, information
        )

    def _value(self, factor, rows, root, rss: float) -> float:
        # in an orthonormal basis the determinant of X'X is 1
        constant = (rows.sum() - len(root)) * np.log(2 * np.pi)
        log_determinants = self.weights @ factor.log_determinant + 2 * np.sum(np.log(np.diag(root)))
        return float(-0.5 * (constant + log_determinants + rss))

    def heights(self, between: np.ndarray, within: float) -> np.ndarray:
        """Return the value at several variances of clusters [n] and one of effects, from shared sums."""
        factor, w, p = self.clusters.factor((between, within)), self.weights, len(self.basis.triangle)
        columns, s = self._least_squares, self.clusters.deviation[:, None]
        scaled = columns / factor.diagonal[:, None]
        ones, roots = self.clusters.sums(scaled), self.clusters.sums(s * scaled)
        mixed = ones[:, :, None] * roots[:, None]
        pairs = (
            ones[:, :, None] * ones[:, None],
            mixed + mixed.swapaxes(1, 2),
            roots[:, :, None] * roots[:, None],
        )
        lost = sum(np.tensordot(core * w, pair, 1) for core, pair in zip(factor.core, pairs, strict=True))
        gram = (columns * self._rows()[:, None]).T @ scaled - lost  # [n, p + 1, p + 1]
        x, cross = gram[:, :p, :p], gram[:, :p, p:]
        sign, log_determinant = np.linalg.slogdet(x)
        x = np.where(sign[:, None, None] > 0, x, np.eye(p))
        rss = gram[:, p, p] - np.sum(cross * np.linalg.solve(x, cross), axis=(1, 2))
        constant = (self._rows().sum() - p) * np.log(2 * np.pi)
        values = -0.5 * (constant + factor.log_determinant @ w + log_determinant + rss)
        return np.where((sign > 0) & (rss > -1e-6), values, -np.inf)  # else rounding at a corner of the scan

    def _derivatives(self, factor, rows, solved, covariance, weighted):
        sums, w = self.clusters.sums(np.column_stack([solved[:, :-1], weighted])), self.weights
        ones, trace = factor.traces()
        x, total = sums[:, :-1], sums[:, -1]  # 1' W X and 1' P y for each cluster
        projected = np.sum(covariance * ((x * w[:, None]).T @ x))
        squares = np.sum(covariance * ((solved[:, :-1] * rows[:, None]).T @ solved[:, :-1]))
        score = 0.5 * np.array(
            [
                w @ total**2 - w @ ones + projected,
                rows @ weighted**2 - w @ trace + squares,
            ]
        )
        working = np.column_stack([total[self.clusters.codes], weighted])  # V_k P y, [k, 2]
        heavy = working * rows[:, None]
        cross = solved[:, :-1].T @ heavy  # X' W V_k P y, [p, 2]
        information = 0.5 * (heavy.T @ factor.solve(working) - cross.T @ covariance @ cross)
        return score, information


def _root(gram: np.ndarray) -> np.ndarray:
    try:
        return cholesky(gram, lower=True)
    except np.linalg.LinAlgError as error:
        raise RunError(
            "the variances differ by too many orders of magnitude, or rho is too near 1, to compute with; "
            "leave out effects with extreme variances, or fit with another rho."
        ) from error


def maximise(
    likelihood: Likelihood, start=None, fixed: dict[int, float] | None = None, *, scan: bool = False
) -> Point:
    """Return the highest point over variances of 0 or more, some of them `fixed` (number to value).

    Without `start`, or with `scan`, a coarse grid is scanned and every local peak of it is climbed, because
    the surface can have several; after a `start` those between whose neighbours it led are left out.
    """
    fixed = dict(fixed or {})
    for number in np.flatnonzero(~likelihood.free):
        fixed.setdefault(int(number), 0.0)
    points = []
    if start is not None:
        start = [fixed.get(number, value) for number, value in enumerate(start)]
        points = [_climb(likelihood, np.array(start, float), set(fixed))]
    if start is None or scan:
        found = [point.sigma2 for point in points]
        points += [_climb(likelihood, peak, set(fixed)) for peak in _peaks(likelihood, fixed, found)]
    return max(points, key=lambda point: point.value)


def _peaks(likelihood: Likelihood, fixed, found) -> list[np.ndarray]:
    axes = [np.array([fixed[i]]) if i in fixed else _levels(likelihood) for i in (0, 1)]
    heights = np.column_stack([likelihood.heights(axes[0], value) for value in axes[1]])
    padded = np.pad(heights, 1, constant_values=-np.inf)
    around = [
        padded[1 + i : padded.shape[0] - 1 + i, 1 + j : padded.shape[1] - 1 + j]
        for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]  # fmt: skip
    rows, columns = np.nonzero(heights >= np.max(around, axis=0))
    return [
        np.array([axes[0][i], axes[1][j]]) for i, j in zip(rows, columns, strict=True)
        if not any(_beside(axes[0], i, point[0]) and _beside(axes[1], j, point[1]) for point in found)
    ]  # fmt: skip


def _beside(axis: np.ndarray, i: int, value: float) -> bool:
    """Whether a value lies between the neighbours of a level."""
    return axis[max(i - 1, 0)] <= value <= axis[min(i + 1, len(axis) - 1)]


def _levels(likelihood: Likelihood) -> np.ndarray:
    """Return `LEVELS`, and finer ones where effects are precise enough to make a peak of their own."""
    levels = likelihood.scale * np.array(LEVELS)
    low = likelihood.clusters.variance[likelihood._rows() > 0].min() / 3
    if low >= levels[1]:
        return levels
    finer = np.geomspace(low, levels[1], int(3 * np.log10(levels[1] / low)) + 1, endpoint=False)
    return np.union1d(levels, finer)


def _climb(likelihood: Likelihood, start: np.ndarray, fixed: set[int]) -> Point:
    """Projected Newton steps with average information, halved until the likelihood rises."""
    point, before = likelihood.at(start), np.inf
    for _ in range(STEPS):
        free = [i for i in (0, 1) if i not in fixed and (point.sigma2[i] > 0 or point.score[i] > 0)]
        rest = _decrement(point, free)
        if rest < EXACT or before <= rest < ENOUGH:
            return point
        after = _step(likelihood, point, free)
        if after is point:
            break
        point, before = after, rest
    if rest < ENOUGH:
        return point
    raise RunError(
        f"the likelihood of the variance components did not converge in {STEPS} steps; "
        "check for effects with extreme variances, or fit with another rho."
    )


def _decrement(point: Point, free: list[int]) -> float:
    """Squared distance to where the score is 0, in standard errors of the free variances."""
    if not free:
        return 0.0
    score = point.score[free]
    return float(abs(score @ _newton(score, point.information[np.ix_(free, free)])))


def _newton(score: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Solve in units of standard errors, so that a variance far smaller than the other one moves as well."""
    unit = np.sqrt(_reciprocal(np.diag(information)))
    return unit * np.linalg.lstsq(unit[:, None] * information * unit, unit * score, rcond=1e-12)[0]


def _reciprocal(values: np.ndarray) -> np.ndarray:
    """Return `1 / values`, and 0 where rounding left nothing positive."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _step(likelihood: Likelihood, point: Point, free: list[int]) -> Point:
    score, information = point.score[free], point.information[np.ix_(free, free)]
    newton = _newton(score, information)
    scaled = score * _reciprocal(np.diag(information))
    for direction in (newton, scaled):  # the second one always leads uphill, also along a boundary
        whole = np.maximum(point.sigma2[free] + direction, 0.0) - point.sigma2[free]
        for halving in range(40):
            sigma2 = point.sigma2.copy()
            sigma2[free] = np.maximum(sigma2[free] + 0.5**halving * direction, 0.0)
            if np.array_equal(sigma2, point.sigma2):
                break
            after = likelihood.at(sigma2)
            if after.value > point.value or abs(whole @ score) < SMALL:
                return after
    return point
