"""Likelihood of the step-function selection model and its maximum.

Effects are taken in the direction of selection and in units of their typical standard error, so that one set
of starting values and tolerances serves every scale. Parameters are `mu`, `tau2` and the logarithms of the
selection weights of the second and later intervals.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from medssl.errors import RunError

__all__ = ["Maximum", "Selection", "maximise"]

LOG_WEIGHT = 12.0  # a relative chance of selection beyond exp(12) is no estimate
STEPS = 50


@dataclass(frozen=True, eq=False)
class Selection:
    """Data of the model.

    Attributes
    ----------
    y, v : ndarray of shape (k,)
        Effects and variances.
    cuts : ndarray of shape (k, steps)
        Effects at which the one-sided p value of each row passes a step; they fall along a row.
    counts : ndarray of shape (steps + 1,)
        Number of p values in each interval, the most significant first.
    """

    y: np.ndarray
    v: np.ndarray
    cuts: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, y: np.ndarray, v: np.ndarray, steps) -> "Selection":
        """Sort one-sided p values of effects in the direction of selection into intervals, closed above."""
        p = ndtr(-y / np.sqrt(v))
        counts = np.bincount(np.searchsorted(steps, p, side="left"), minlength=len(steps) + 1)
        return cls(y, v, np.sqrt(v)[:, None] * -ndtri(np.asarray(steps)), counts)

    def value(self, mu: float, tau2: float, log_weights: np.ndarray) -> float:
        """Return the log-likelihood (Vevea and Hedges 1995)."""
        return self.value_and_gradient(mu, tau2, log_weights)[0]

    def value_and_gradient(self, mu, tau2, log_weights) -> tuple[float, np.ndarray]:
        """Return the log-likelihood and its derivatives by `mu`, `tau2` and each of `log_weights`."""
        variance = self.v + tau2
        sd = np.sqrt(variance)
        z, u = (self.y - mu) / sd, (self.cuts - mu) / sd[:, None]
        weights = np.exp(np.concatenate([[0.0], log_weights]))
        chances = _intervals(u)  # [k, steps + 1]
        total = chances @ weights
        jump = -np.diff(weights)  # by how much the weight rises as an effect passes a cut
        density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
        total_mu = density @ jump / sd
        total_tau2 = (u * density) @ jump / (2 * variance)
        value = self.counts[1:] @ log_weights - 0.5 * np.sum(z**2 + np.log(2 * np.pi * variance))
        by_mu = np.sum(z / sd - total_mu / total)
        by_tau2 = np.sum((z**2 - 1) / (2 * variance) - total_tau2 / total)
        by_weights = self.counts[1:] - np.sum(chances[:, 1:] * weights[1:] / total[:, None], axis=0)
        return float(value - np.sum(np.log(total))), np.array([by_mu, by_tau2, *by_weights])


def _intervals(u: np.ndarray) -> np.ndarray:
    """Return the chances of the intervals above, between and below cuts `u` [k, steps], which fall."""
    upper = np.column_stack([np.full(len(u), np.inf), u])
    lower = np.column_stack([u, np.full(len(u), -np.inf)])
    flip = lower > 0  # in the upper tail the complement is exact
    high, low = np.where(flip, -lower, upper), np.where(flip, -upper, lower)
    return ndtr(high) - ndtr(low)


@dataclass(frozen=True, eq=False)
class Maximum:
    """The highest point; `covariance` inverts the observed information and is NaN for what is not free."""

    parameters: np.ndarray  # [2 + weights]
    value: float
    covariance: np.ndarray


def maximise(selection: Selection, start: tuple[float, float], fixed: np.ndarray | None = None) -> Maximum:
    """Climb from several places near a `start` without selection, then polish the highest by Newton steps.

    `fixed` holds log weights that are not estimated.
    """
    weights = selection.cuts.shape[1]
    held = [(value, value) for value in fixed] if fixed is not None else [(-LOG_WEIGHT, LOG_WEIGHT)] * weights
    bounds = [(None, None), (0, None), *held]

    def negative(parameters):
        value, gradient = selection.value_and_gradient(*parameters[:2], parameters[2:])
        return -value, -gradient

    points = [
        minimize(negative, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
        for first in _starts(start, weights, fixed)
    ]
    best = min(points, key=lambda point: negative(point)[0])
    if fixed is None and np.any(np.abs(best[2:]) > LOG_WEIGHT - 1e-6):
        raise RunError(
            "the likelihood of the selection model has no maximum: a selection weight drifts away. "
            "Use other steps, or fix the weights with delta."
        )
    return _polish(selection, best, estimated=fixed is None)


def _starts(start, weights: int, fixed) -> list[np.ndarray]:
    mu, tau2 = start
    logs = [fixed] if fixed is not None else [np.zeros(weights), np.full(weights, -1.5)]
    tau2s = [0.0, tau2 if tau2 > 0 else 0.1, 3 * tau2 + 0.5]
    return [np.concatenate([[mu - shift, t], log]) for shift, t, log in product((0.0, 0.7), tau2s, logs)]


def _polish(selection: Selection, point: np.ndarray, *, estimated: bool) -> Maximum:
    """Newton steps, halved until the likelihood rises, to where the score is 0."""
    point = _at_boundary(selection, point)
    value, gradient = selection.value_and_gradient(*point[:2], point[2:])
    free = np.array([True, point[1] > 0, *[estimated] * (len(point) - 2)])
    for _ in range(STEPS):
        information = _information(selection, point)[np.ix_(free, free)]
        if np.linalg.eigvalsh(information).min() <= 0:
            break
        step = np.zeros_like(point)
        step[free] = np.linalg.solve(information, gradient[free])
        if gradient @ step < 1e-16 * max(1.0, abs(value)):
            covariance = np.full((len(point), len(point)), np.nan)
            covariance[np.ix_(free, free)] = np.linalg.inv(information)
            return Maximum(point, value, covariance)
        point, value, gradient = _uphill(selection, point, value, step)
    raise RunError(
        "the likelihood of the selection model is too flat for a maximum; there are too few effects for it. "
        "Use fewer steps, or fix the weights with delta."
    )


def _at_boundary(selection: Selection, point: np.ndarray) -> np.ndarray:
    """Return the point with `tau2` of 0 when that is as likely."""
    edge = np.concatenate([[point[0], 0.0], point[2:]])
    gain = selection.value(*edge[:2], edge[2:]) - selection.value(*point[:2], point[2:])
    return edge if gain >= 0 else point


def _information(selection: Selection, point: np.ndarray) -> np.ndarray:
    """Return minus the second derivatives, from central differences of the exact score."""
    width = 1e-5 * np.array([1.0, selection.v.min() + point[1], *np.ones(len(point) - 2)])
    rows = []
    for shift in np.diag(width):
        ends = [
            selection.value_and_gradient(*each[:2], each[2:])[1] for each in (point + shift, point - shift)
        ]
        rows.append((ends[1] - ends[0]) / (2 * shift.sum()))
    return 0.5 * (np.array(rows) + np.array(rows).T)


def _uphill(selection: Selection, point, value: float, step) -> tuple[np.ndarray, float, np.ndarray]:
    for halving in range(40):
        after = point + 0.5**halving * step
        if after[1] >= 0:
            height, gradient = selection.value_and_gradient(*after[:2], after[2:])
            if height >= value - 1e-13 * abs(value):
                return after, height, gradient
    raise RunError(
        "the likelihood of the selection model does not rise along its own slope; use fewer steps."
    )
