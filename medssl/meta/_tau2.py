"""Nine estimators of the variance between studies, their standard errors, and the Q-profile interval.

Closed forms: HS, HE, DL, SJ (and FE, which is 0). Iterated: ML, REML, EB, PM.
The formulas are those that Viechtbauer (2010) documents for metafor 3.8, for any design matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2

from medssl.errors import RunError
from medssl.meta._wls import WeightedFit, weighted_fit

__all__ = ["METHODS", "Tau2", "estimate_tau2", "log_likelihood", "q_profile", "typical_variance"]


class Tau2(NamedTuple):
    """An estimate (truncated at 0) and its standard error."""

    value: float
    se: float


def estimate_tau2(method: str, y: np.ndarray, v: np.ndarray, design: np.ndarray) -> Tau2:
    """Estimate the variance between studies with one of `METHODS`."""
    return METHODS[method](y, v, design)


def typical_variance(y: np.ndarray, v: np.ndarray, design: np.ndarray) -> float:
    """Return the typical sampling variance `(k - p) / tr(P)` with weights `1 / v`."""
    k, p = design.shape
    return (k - p) / weighted_fit(y, design, 1 / v).trace()


def _fixed_effect(y, v, design) -> Tau2:
    return Tau2(0.0, float("nan"))


def _hunter_schmidt(y, v, design) -> Tau2:
    k, p = design.shape
    fit = weighted_fit(y, design, 1 / v)
    total = np.sum(1 / v)
    value = max(0.0, (fit.rss - k) / total)
    return Tau2(value, _moment_se(value, k - p, fit.trace(), fit.trace_square(), total))


def _dersimonian_laird(y, v, design) -> Tau2:
    k, p = design.shape
    fit = weighted_fit(y, design, 1 / v)
    value = max(0.0, (fit.rss - (k - p)) / fit.trace())
    return Tau2(value, _moment_se(value, k - p, fit.trace(), fit.trace_square(), fit.trace()))


def _hedges(y, v, design) -> Tau2:
    k, p = design.shape
    fit = weighted_fit(y, design, np.ones(k))
    value = max(0.0, (fit.rss - fit.trace(v)) / (k - p))
    return Tau2(value, _moment_se(value, fit.trace_square(v, v), fit.trace(v), k - p, k - p))


def _sidik_jonkman(y, v, design) -> Tau2:
    k, p = design.shape
    start = float(np.var(y))
    fit = weighted_fit(y, design, 1 / (v + start))
    value = start * fit.rss / (k - p)
    return Tau2(value, _general_se(fit, v, value, (k - p) / start) if start > 0 else 0.0)


def _moment_se(tau2: float, sampling: float, cross: float, between: float, divisor: float) -> float:
    return float(np.sqrt(2 * sampling + 4 * tau2 * cross + 2 * tau2**2 * between) / divisor)


def _general_se(fit: WeightedFit, v: np.ndarray, tau2: float, divisor: float) -> float:
    sampling, cross, between = fit.trace_square(v, v), fit.trace_square(v), fit.trace_square()
    return _moment_se(tau2, sampling, cross, between, divisor)


def _maximum_likelihood(y, v, design) -> Tau2:
    value = _maximise(y, v, design, restricted=False)
    return Tau2(value, float(np.sqrt(2 / np.sum(1 / (v + value) ** 2))))


def _restricted_maximum_likelihood(y, v, design) -> Tau2:
    value = _maximise(y, v, design, restricted=True)
    return Tau2(value, float(np.sqrt(2 / weighted_fit(y, design, 1 / (v + value)).trace_square())))


def _paule_mandel(y, v, design) -> Tau2:
    k, p = design.shape
    value = _generalised_q_root(y, v, design, k - p)
    fit = weighted_fit(y, design, 1 / (v + value))
    return Tau2(value, _general_se(fit, v, value, np.sum(fit.weights) * (k - p) / k))


METHODS: dict[str, Callable[..., Tau2]] = {
    "FE": _fixed_effect,
    "DL": _dersimonian_laird,
    "HE": _hedges,
    "HS": _hunter_schmidt,
    "SJ": _sidik_jonkman,
    "ML": _maximum_likelihood,
    "REML": _restricted_maximum_likelihood,
    "EB": _paule_mandel,  # Morris's (1983) estimating equation is Paule and Mandel's
    "PM": _paule_mandel,
}


def log_likelihood(tau2: float, y, v, design, *, restricted: bool) -> float:
    """Return the (restricted) log-likelihood, with the coefficients profiled out."""
    k, p = design.shape
    fit = weighted_fit(y, design, 1 / (v + tau2))
    value = 0.5 * (np.sum(np.log(fit.weights)) - fit.rss)
    if not restricted:
        return float(value - 0.5 * k * np.log(2 * np.pi))
    sign_free = np.linalg.slogdet(design.T @ design)[1]
    return float(value + 0.5 * (sign_free - fit.log_determinant - (k - p) * np.log(2 * np.pi)))


def _score(tau2: float, y, v, design, *, restricted: bool) -> float:
    fit = weighted_fit(y, design, 1 / (v + tau2))
    curvature = fit.trace() if restricted else np.sum(fit.weights)
    return float(0.5 * (fit.quadratic_square() - curvature))


def _maximise(y, v, design, *, restricted: bool) -> float:
    """Return the global maximum over tau2 >= 0: a scan, then the root of the score in the best interval.

    Beyond `RSS / (k - p) + max(v)`, RSS from ordinary least squares, the score is negative:
    `y'PPy <= RSS / (t + min v)^2` and `tr(P) >= (k - p) / (t + max v)`.
    """
    grid = _grid(y, v, design)
    heights = _relative_heights(grid, y, v, design, restricted=restricted)
    best = int(np.argmax(heights))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]

    def score(t):
        return _score(t, y, v, design, restricted=restricted)

    if best == 0 and score(0.0) <= 0:
        return 0.0
    if score(low) > 0 > score(high):
        return _root(score, low, high, "likelihood")
    return _bounded_maximum(lambda t: -log_likelihood(t, y, v, design, restricted=restricted), low, high)


def _relative_heights(grid, y, v, design, *, restricted: bool) -> np.ndarray:
    """Return the log-likelihood at each tau2 of `grid`, up to a constant, in one stacked QR."""
    root = 1 / np.sqrt(v + grid[:, None])  # [grid, k]
    basis, triangle = np.linalg.qr(root[:, :, None] * design)  # [grid, k, p], [grid, p, p]
    target = root * y
    residual = target - np.einsum("gkp,gjp,gj->gk", basis, basis, target, optimize=True)
    heights = np.sum(np.log(root), axis=1) - 0.5 * np.sum(residual**2, axis=1)
    if restricted:
        heights -= np.sum(np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2))), axis=1)
    return heights


def _grid(y, v, design) -> np.ndarray:
    k, p = design.shape
    bound = weighted_fit(y, design, np.ones(k)).rss / (k - p) + v.max()
    low = 1e-3 * v.min()
    points = int(8 * np.log10(bound / low)) + 2
    return np.concatenate([[0.0], np.geomspace(low, bound, points)])


def _root(function, low: float, high: float, what: str) -> float:
    # the absolute tolerance follows the unit of the effects, so that rescaling them changes nothing
    root, result = brentq(
        function, low, high, xtol=1e-13 * high, rtol=1e-14, maxiter=500, full_output=True, disp=False
    )
    if not result.converged or not np.isfinite(root):
        raise RunError(f"the {what} equation for tau2 did not converge in 500 steps; try method='DL'.")
    return float(root)


def _bounded_maximum(negative, low: float, high: float) -> float:
    result = minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-10 * high})
    if not result.success or not np.isfinite(result.x):
        raise RunError("the likelihood of tau2 has no maximum that can be found; try method='DL'.")
    return float(result.x)


def _generalised_q(tau2: float, y, v, design) -> float:
    return weighted_fit(y, design, 1 / (v + tau2)).rss


def _generalised_q_root(y, v, design, target: float) -> float:
    """Solve Q(tau2) = `target`; Q falls with tau2, so there is one root, or 0 when Q(0) is below."""
    if _generalised_q(0.0, y, v, design) <= target:
        return 0.0
    high = weighted_fit(y, design, np.ones(len(y))).rss / target  # Q(t) <= RSS / (t + min v)
    return _root(lambda t: _generalised_q(t, y, v, design) - target, 0.0, high, "generalised Q")


def q_profile(y, v, design, level: float) -> tuple[float, float]:
    """Return the Q-profile interval of tau2 (Viechtbauer 2007), each limit truncated at 0."""
    k, p = design.shape
    tail = (1 - level) / 2
    targets = chi2.isf([tail, 1 - tail], k - p)
    return tuple(_generalised_q_root(y, v, design, target) for target in targets)
