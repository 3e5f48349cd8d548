"""Where a fitted curve crosses a gain, with an interval by the delta method or from a cluster bootstrap."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t

__all__ = ["BreakEven", "delta_break_even"]

GRID = 201
SHARE = 0.9  # of bootstrap curves that must cross for an interval to be given


@dataclass(frozen=True)
class BreakEven:
    """A break-even point.

    Attributes
    ----------
    value, low, high : float
        The crossing and its interval in units of the moderator; NaN where there is none. A limit beyond the
        observed range is infinite: the data do not say how far.
    minimal : float
        The gain that is crossed.
    method : {"delta", "bootstrap", "none"}
        How the interval was made.
    crossing_share : float
        Share of bootstrap curves that cross inside the range; NaN without bootstrap.
    reason : str
        Why there is no value or interval, or an empty text.
    """

    value: float
    low: float
    high: float
    minimal: float
    method: str
    crossing_share: float
    reason: str

    def from_bootstrap(self, draws: np.ndarray, rows: Callable, span, level: float) -> "BreakEven":
        """Replace the interval by percentiles of the crossings of bootstrap coefficients [replicates, p]."""
        at = np.linspace(*span, GRID)
        curves = draws @ rows(at).T - self.minimal  # [replicates, GRID]
        crossings = np.array([_last_crossing(at, curve) for curve in curves])
        share = float(np.mean(np.isfinite(crossings)))
        if not np.isfinite(self.value):
            return replace(self, crossing_share=share)
        ends = np.where(np.isfinite(crossings), crossings, _beyond(curves, self._falling(rows, at, draws)))
        low, high = np.quantile(ends, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        reason = (
            "" if share >= SHARE else f"{share:.0%} of the bootstrap curves cross inside the observed range"
        )
        return replace(
            self, low=float(low), high=float(high), method="bootstrap", crossing_share=share, reason=reason
        )

    def _falling(self, rows, at, draws) -> bool:
        ends = rows(at[[0, -1]]) @ np.median(draws, axis=0)
        return bool(ends[0] >= ends[1])


def _beyond(curves: np.ndarray, falling: bool) -> np.ndarray:
    """Where curves that do not cross would: a curve that stays above crosses past the end it falls to."""
    above = np.median(curves, axis=1) > 0
    return np.where(above == falling, np.inf, -np.inf)


def _last_crossing(at: np.ndarray, curve: np.ndarray) -> float:
    """Return the largest value at which a curve changes sign, linearly interpolated; NaN without one."""
    changes = np.flatnonzero(np.sign(curve[:-1]) * np.sign(curve[1:]) <= 0)
    if not len(changes) or np.all(curve == 0):
        return float("nan")
    i = changes[-1]
    rise = curve[i + 1] - curve[i]
    return float(at[i] if rise == 0 else at[i] - curve[i] * (at[i + 1] - at[i]) / rise)


def delta_break_even(robust, rows: Callable, span, minimal: float, level: float) -> BreakEven:
    """Find the last crossing inside `span` and its delta-method interval from a `RobustFit`."""
    at = np.linspace(*span, GRID)

    def gap(value: float) -> float:
        return float((rows(value) @ robust.coef)[0] - minimal)

    start = _last_crossing(at, rows(at) @ robust.coef - minimal)
    if not np.isfinite(start):
        side = "above" if gap(float(np.mean(span))) > 0 else "below"
        reason = f"the mean gain stays {side} {minimal:g} over the observed range"
        return BreakEven(np.nan, np.nan, np.nan, minimal, "none", np.nan, reason)
    value = _polish(gap, start, (span[1] - span[0]) / (GRID - 1), span)
    step = 1e-5 * (span[1] - span[0])
    slope = (gap(value + step) - gap(value - step)) / (2 * step)
    row = rows(value)
    variance = max(0.0, float((row @ robust.covariance @ row.T)[0, 0]))
    df = float(robust._sandwich.satterthwaite(row)[0])
    half = t.isf((1 - level) / 2, df) * np.sqrt(variance) / abs(slope) if slope else np.inf
    low, high = (limit if span[0] <= limit <= span[1] else np.copysign(np.inf, limit - value)
                 for limit in (value - half, value + half))  # fmt: skip
    return BreakEven(value, float(low), float(high), minimal, "delta", np.nan, "")


def _polish(gap, start: float, width: float, span) -> float:
    low, high = max(span[0], start - width), min(span[1], start + width)
    return float(brentq(gap, low, high, xtol=1e-12)) if gap(low) * gap(high) < 0 else start
