"""Learning curves that never fall: an inverse power law and an isotonic fit, for many draws at once."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from medssl.errors import UsageError

__all__ = ["Isotonic", "PowerLaw", "fit_isotonic", "fit_power_law"]

EXPONENTS = (0.01, 5.0)  # the lower end is close to a curve that is linear in log n
GRID, SECTIONS = 101, 60  # of the search for the exponent
GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """Curves ``asymptote - size * n ** -exponent``, one a draw; arrays have the shape [draws].

    A `size` of 0 is a curve without a rise.
    """

    asymptote: np.ndarray
    size: np.ndarray
    exponent: np.ndarray

    def at(self, n) -> np.ndarray:
        """Return the scores [draws, m] at m numbers of labels."""
        fall = self.size[:, None] * np.asarray(n, float) ** -self.exponent[:, None]
        return self.asymptote[:, None] - fall

    def needed(self, score) -> np.ndarray:
        """Return the numbers of labels [draws, m] at which each curve reaches its m scores.

        Infinite at the asymptote and above it; 0 where a curve without a rise is high enough.
        """
        left = self.asymptote[:, None] - np.asarray(score, float)  # [draws, m]
        share = np.where(left > 0, self.size[:, None] / np.where(left > 0, left, 1.0), np.inf)
        flat = (self.size[:, None] == 0) & (left >= 0)
        with np.errstate(over="ignore"):  # a number too large to hold is never reached
            return np.where(flat, 0.0, share ** (1 / self.exponent[:, None]))


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Curves that are straight in log n between their points; one pair (n, scores) a draw."""

    points: tuple[tuple[np.ndarray, np.ndarray], ...]

    def at(self, n) -> np.ndarray:
        """Return the scores [draws, m], constant beyond the first and the last point."""
        return np.array([np.interp(np.log(n), np.log(at), scores) for at, scores in self.points])

    def needed(self, score) -> np.ndarray:
        """Return the least numbers of labels [draws, m]: 0 below the curve, infinite above it."""
        pairs = zip(self.points, np.asarray(score, float), strict=True)
        return np.array([[_first(*point, s) for s in row] for point, row in pairs])


def _first(n, scores, score):
    if score < scores[0]:
        return 0.0
    if score > scores[-1]:
        return np.inf
    after = int(np.searchsorted(scores, score))  # the first point at the score or above it
    if after == 0:
        return float(n[0])
    share = (score - scores[after - 1]) / (scores[after] - scores[after - 1])
    return float(n[after - 1] * (n[after] / n[after - 1]) ** share)


def fit_power_law(n, scores, weights=None) -> PowerLaw:
    """Fit ``a - b n ** -c`` with b >= 0 and c > 0 by weighted least squares.

    Parameters
    ----------
    n : array-like of shape (m,)
        Numbers of labels, positive, at least three of them.
    scores : array-like of shape (m,) or (draws, m)
        Mean scores.
    weights : array-like, optional
        Of the shape of `scores`; 0 leaves a point out. Equal weights without it.

    Returns
    -------
    PowerLaw
        For given c the least squares in a and b are closed; c is searched between 0.01 and 5 on a grid
        and then by golden sections.

    Raises
    ------
    UsageError
        Fewer than three points, counts that are not positive, shapes that differ.

    Examples
    --------
    >>> n = np.array([10, 100, 1000])
    >>> curve = fit_power_law(n, 0.9 - 0.8 * n**-0.5)
    >>> float(curve.asymptote[0].round(4)), float(curve.exponent[0].round(4))
    (0.9, 0.5)
    >>> curve.needed([[0.82]]).round(2).tolist()
    [[100.0]]
    """
    n, scores, weights = _checked(n, scores, weights, least=3)
    centre = np.exp(np.log(n).mean())  # keeps n ** -c near 1, whatever c

    def loss(log_c):
        return _line(n / centre, scores, weights, log_c)[2]

    log_c = _minimum(loss, len(scores))
    asymptote, size, _ = _line(n / centre, scores, weights, log_c)
    exponent = np.exp(log_c)
    return PowerLaw(asymptote, size * centre**exponent, exponent)


def _line(n, scores, weights, log_c):
    """Return a, b and the weighted sum of squares of each draw at its own exponent."""
    x = n ** -np.exp(log_c)[:, None]  # [draws, m]
    total = weights.sum(axis=1, keepdims=True)
    x_mean, y_mean = ((weights * z).sum(axis=1, keepdims=True) / total for z in (x, scores))
    slope = (weights * (x - x_mean) * (scores - y_mean)).sum(axis=1)
    slope = slope / (weights * (x - x_mean) ** 2).sum(axis=1)
    size = np.maximum(-slope, 0.0)  # a curve never falls
    residual = scores - y_mean + size[:, None] * (x - x_mean)
    return y_mean[:, 0] + size * x_mean[:, 0], size, (weights * residual**2).sum(axis=1)


def _minimum(loss, draws):
    """Return the logarithm of the exponent with the smallest loss, for each draw."""
    grid = np.linspace(*np.log(EXPONENTS), GRID)
    best = np.argmin([loss(np.full(draws, at)) for at in grid], axis=0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, GRID - 1)]
    for _ in range(SECTIONS):
        step = GOLDEN * (high - low)
        left = loss(high - step) <= loss(low + step)
        low, high = np.where(left, low, high - step), np.where(left, low + step, high)
    return (low + high) / 2


def fit_isotonic(n, scores, weights=None) -> Isotonic:
    """Fit the non-decreasing curve of least weighted squares.

    Parameters
    ----------
    n, scores, weights
        As for `fit_power_law`, two points or more.

    Returns
    -------
    Isotonic
        Points of weight 0 are left out of their draw.

    Examples
    --------
    >>> curve = fit_isotonic([10, 100, 1000], [0.7, 0.6, 0.9])
    >>> curve.at([10, 100, 1000]).round(3).tolist(), curve.needed([[0.775]]).round(1).tolist()
    ([[0.65, 0.65, 0.9]], [[316.2]])
    """
    n, scores, weights = _checked(n, scores, weights, least=2)
    points = []
    for row, weight in zip(scores, weights, strict=True):
        kept = weight > 0
        points.append((n[kept], isotonic_regression(row[kept], weights=weight[kept]).x))
    return Isotonic(tuple(points))


def _checked(n, scores, weights, least):
    n, scores = np.asarray(n, float), np.atleast_2d(np.asarray(scores, float))
    weights = np.ones(scores.shape) if weights is None else np.atleast_2d(np.asarray(weights, float))
    if n.ndim != 1 or scores.shape[1:] != n.shape or weights.shape != scores.shape:
        raise UsageError(
            f"n, scores and weights have the shapes {n.shape}, {scores.shape} and {weights.shape}: "
            "give one score and one weight for each number of labels."
        )
    if not (n > 0).all() or not (np.diff(n) > 0).all():
        raise UsageError("numbers of labels must be positive and increase.")
    if ((weights > 0).sum(axis=1) < least).any():
        raise UsageError(f"a learning curve needs {least} label counts or more.")
    return n, scores, weights
