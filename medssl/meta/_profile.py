"""Profile likelihood of a variance, and the interval that it gives."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import chi2

from medssl.errors import UsageError
from medssl.meta._inputs import check_level
from medssl.meta._likelihood import Likelihood, maximise

__all__ = ["Profile", "profile_component", "profile_curve"]

COMPONENTS = ("cluster", "effect")
LARGEST = 1e8  # times the estimate or the unit: beyond this an interval counts as unbounded


@dataclass(frozen=True, eq=False)
class Profile:
    """A profile likelihood.

    Attributes
    ----------
    component : str
        "cluster", "effect" or "tau2".
    estimate, low, high : float
        The estimate and its interval; `low` is 0 where the likelihood at 0 is high enough, `high` infinite
        where it never falls far enough.
    level : float
        Coverage of the interval.
    cutoff : float
        Log-likelihood at which the interval ends.
    table : DataFrame
        `value` and `log_likelihood` along the curve.
    """

    component: str
    estimate: float
    low: float
    high: float
    level: float
    cutoff: float
    table: pd.DataFrame


def profile_component(
    likelihood: Likelihood, sigma2: np.ndarray, top: float, component: str, level: float, points: int
) -> Profile:
    """Profile one variance of a multilevel model, the other one maximised out."""
    if component not in COMPONENTS:
        raise UsageError(f"component is {component!r}; it must be one of {', '.join(COMPONENTS)}.")
    number = COMPONENTS.index(component)
    if not likelihood.free[number]:
        raise UsageError(
            f"the variance of {component} cannot be told from that of cluster: "
            "each cluster has one effect, or the moderators leave no more."
        )

    def height(value: float) -> float:
        return maximise(likelihood, sigma2, {number: value}, scan=True).value  # there can be several peaks

    unit = max(likelihood.scale, float(np.median(likelihood.clusters.variance)))
    return profile_curve(height, component, float(sigma2[number]), top, unit, level, points)


def profile_curve(
    height, component: str, estimate: float, top: float, unit: float, level: float, points: int
):
    """Build a `Profile` from a function that gives the profile log-likelihood at a value."""
    check_level(level)
    if not isinstance(points, int | np.integer) or points < 3:
        raise UsageError(f"points is {points!r}; a curve needs a whole number of 3 or more.")
    cutoff = top - chi2.isf(1 - level, 1) / 2
    low, high = _limits(height, estimate, cutoff, unit)
    end = 1.4 * high if np.isfinite(high) else 10 * max(estimate, unit)
    values = np.unique(np.append(np.linspace(max(0.0, 0.6 * low), end, points - 1), estimate))
    table = pd.DataFrame({"value": values, "log_likelihood": [height(value) for value in values]})
    return Profile(component, estimate, low, high, level, cutoff, table)


def _limits(height, estimate: float, cutoff: float, unit: float) -> tuple[float, float]:
    def gap(value):
        return height(value) - cutoff

    low = 0.0
    if estimate > 0 and gap(0.0) < 0:
        low = brentq(gap, 0.0, estimate, xtol=1e-12 * estimate, rtol=1e-10)
    high = 2 * max(estimate, 0.1 * unit)
    while gap(high) > 0:
        high *= 2
        if high > LARGEST * max(estimate, unit):
            return low, float("inf")
    return low, brentq(gap, estimate, high, xtol=1e-12 * high, rtol=1e-10)
