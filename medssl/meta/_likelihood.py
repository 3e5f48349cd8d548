"""The restricted likelihood of the multilevel model, its derivatives, and its global maximum."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky

from medssl.errors import RunError, UsageError
from medssl.meta._clusters import Clusters

__all__ = ["Likelihood", "Point", "maximise"]

LEVELS = (0.0, 1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0)  # of the total variance: where the search starts
STEPS = 200
SMALL = 1e-8  # squared Newton decrement below which rounding of the likelihood hides its rise


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

    @property
    def free(self) -> np.ndarray:
        """Which variances the data can tell apart: with one effect a cluster, that of the cluster only."""
        return np.array([True, bool(np.any(self.clusters.sizes[self.weights > 0] > 1))])

    @property
    def scale(self) -> float:
        """Residual variance of unweighted least squares: the unit in which variances are searched."""
        rows = self._rows()
        x, y = self.columns[:, :-1], self.columns[:, -1]
        root = np.sqrt(rows)
        residual = root * (y - x @ np.linalg.lstsq(root[:, None] * x, root * y, rcond=None)[0])
        degrees = max(rows.sum() - x.shape[1], 1)
        return float(max(residual @ residual / degrees, 1e-12 * np.average(self.clusters.variance)))

    def _rows(self) -> np.ndarray:
        return self.weights[self.clusters.codes]

    def at(self, sigma2, *, derivatives: bool = True) -> Point:
        """Evaluate value, coefficients and, if asked, derivatives."""
        p = self.columns.shape[1] - 1
        factor = self.clusters.factor(sigma2)
        solved = factor.solve(self.columns)
        rows = self._rows()
        gram = (self.columns * rows[:, None]).T @ solved  # [p + 1, p + 1]
        root = _root(gram[:p, :p])
        coef = cho_solve((root, True), gram[:p, p])
        covariance = cho_solve((root, True), np.eye(p))
        contrast = np.append(-coef, 1.0)
        residual = self.columns @ contrast
        weighted = solved @ contrast  # P y
        rss = float((rows * residual) @ weighted)
        value = self._value(factor, rows, root, rss)
        score, information = np.full(2, np.nan), np.full((2, 2), np.nan)
        if derivatives:
            score, information = self._derivatives(factor, rows, solved, covariance, weighted)
        return Point(np.array(sigma2, float), value, coef, covariance, rss, solved, score, information)

    def _value(self, factor, rows, root, rss: float) -> float:
        p = len(root)
        x = self.columns[:, :-1]
        constant = np.linalg.slogdet((x * rows[:, None]).T @ x)[1] - (rows.sum() - p) * np.log(2 * np.pi)
        log_determinants = self.weights @ factor.log_determinant + 2 * np.sum(np.log(np.diag(root)))
        return float(0.5 * (constant - log_determinants - rss))

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
        raise UsageError(
            "the coefficients cannot be told apart with these rows: a moderator is constant or follows from "
            "the others. Drop it, or merge its rare levels."
        ) from error


def maximise(likelihood: Likelihood, start=None, fixed: dict[int, float] | None = None) -> Point:
    """Return the highest point over variances of 0 or more, some of them `fixed` (number to value).

    Without `start` a coarse grid is scanned and every local peak of it is climbed, because the surface can
    have several.
    """
    fixed = dict(fixed or {})
    for number in np.flatnonzero(~likelihood.free):
        fixed.setdefault(int(number), 0.0)
    starts = [np.array(start, float)] if start is not None else _peaks(likelihood, fixed)
    for number, value in fixed.items():
        for each in starts:
            each[number] = value
    points = [_climb(likelihood, each, set(fixed)) for each in starts]
    return max(points, key=lambda point: point.value)


def _peaks(likelihood: Likelihood, fixed) -> list[np.ndarray]:
    axes = [np.array([fixed[i]]) if i in fixed else likelihood.scale * np.array(LEVELS) for i in (0, 1)]
    heights = np.array([[likelihood.at((a, b), derivatives=False).value for b in axes[1]] for a in axes[0]])
    padded = np.pad(heights, 1, constant_values=-np.inf)
    around = [
        padded[1 + i : padded.shape[0] - 1 + i, 1 + j : padded.shape[1] - 1 + j]
        for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j
    ]  # fmt: skip
    rows, columns = np.nonzero(heights >= np.max(around, axis=0))
    return [np.array([axes[0][i], axes[1][j]]) for i, j in zip(rows, columns, strict=True)]


def _climb(likelihood: Likelihood, start: np.ndarray, fixed: set[int]) -> Point:
    """Projected Newton steps with average information, halved until the likelihood rises."""
    point = likelihood.at(start)
    unit = likelihood.scale
    for _ in range(STEPS):
        free = [i for i in (0, 1) if i not in fixed and (point.sigma2[i] > 0 or point.score[i] > 0)]
        if not free:
            return point
        after = _step(likelihood, point, free)
        moved = np.max(np.abs(after.sigma2 - point.sigma2))
        if moved <= 1e-11 * max(unit, after.sigma2.max()) and _stationary(after, free):
            return after
        if moved == 0:
            break
        point = after
    raise RunError(
        f"the likelihood of the variance components did not converge in {STEPS} steps; "
        "check for effects with extreme variances, or fit with another rho."
    )


def _stationary(point: Point, free: list[int]) -> bool:
    """Whether the variances lie within a thousandth of a standard error of where the score is 0."""
    inner = [i for i in free if point.sigma2[i] > 0]
    score, information = point.score[inner], point.information[np.ix_(inner, inner)]
    return bool(score @ np.linalg.lstsq(information, score, rcond=1e-12)[0] < 1e-6) if inner else True


def _step(likelihood: Likelihood, point: Point, free: list[int]) -> Point:
    score, information = point.score[free], point.information[np.ix_(free, free)]
    newton = np.linalg.lstsq(information, score, rcond=1e-12)[0]
    scaled = score / np.maximum(np.diag(information), np.finfo(float).tiny)
    for direction in (newton, scaled):  # the second one always leads uphill, also along a boundary
        for halving in range(40):
            sigma2 = point.sigma2.copy()
            sigma2[free] = np.maximum(sigma2[free] + 0.5**halving * direction, 0.0)
            if np.array_equal(sigma2, point.sigma2):
                break
            after = likelihood.at(sigma2)
            if after.value > point.value or abs(direction @ score) < SMALL:
                return after
    return point
