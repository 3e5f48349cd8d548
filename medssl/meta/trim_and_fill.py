"""Duval and Tweedie's trim and fill."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from medssl.errors import RunError, UsageError
from medssl.meta._deletion import check_model
from medssl.meta._fit import RandomEffectsFit
from medssl.meta._inputs import check_choice, effects_and_variances
from medssl.meta._report import p_text
from medssl.meta._tau2 import estimate_tau2
from medssl.meta._wls import weighted_fit
from medssl.meta.egger import egger
from medssl.meta.random_effects import random_effects

__all__ = ["TrimAndFill", "trim_and_fill"]

STEPS = 100


@dataclass(frozen=True, eq=False)
class TrimAndFill:
    """Estimated number of missing effects and the fit with mirror images in their place.

    Attributes
    ----------
    k0, k0_se : int, float
        Estimated number of missing effects and its standard error.
    p_value : float
        Test that none is missing on this side; NaN for "L0", which has none.
    side : {"left", "right"}
        Where effects are missing.
    estimator : {"L0", "R0"}
        As asked for.
    fit, observed : RandomEffectsFit
        With the filled effects, and of the observed ones alone.
    yi, vi : ndarray of shape (k + k0,)
        Observed effects in the caller's order, then the filled ones, from the least to the most extreme.
    filled : ndarray of bool, shape (k + k0,)
        Which of them are filled.
    """

    k0: int
    k0_se: float
    p_value: float
    side: str
    estimator: str
    fit: RandomEffectsFit
    observed: RandomEffectsFit
    yi: np.ndarray
    vi: np.ndarray
    filled: np.ndarray

    def report(self) -> str:
        """Return the result in words."""
        test = "" if np.isnan(self.p_value) else f"; {p_text(self.p_value)} that none is"
        effects = "effect is" if self.k0 == 1 else "effects are"
        low, high = self.fit.ci_low[0], self.fit.ci_high[0]
        return (
            f"Trim and fill ({self.estimator}): {self.k0} {effects} estimated to be missing on the "
            f"{self.side} (standard error {self.k0_se:.2g}{test}); with them the estimate is "
            f"{self.fit.coef[0]:.3g} (95% interval {low:.3g} to {high:.3g}) instead of "
            f"{self.observed.coef[0]:.3g}."
        )


def trim_and_fill(
    yi, vi, *, side: str | None = None, estimator: str = "L0", method: str = "REML", test: str = "knha"
) -> TrimAndFill:
    """Estimate how many effects are missing on one side of the funnel, and fit with their mirror images.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    side : {"left", "right"}, optional
        Where effects are missing; by default on the right when the slope of Egger's regression (`method`) is
        negative, else on the left.
    estimator : {"L0", "R0"}
        Estimator of the number of missing effects; "R0" also has a test that none is missing.
    method, test : str
        As in `random_effects`, for every fit.

    Returns
    -------
    TrimAndFill

    Raises
    ------
    UsageError
        Malformed input, an unknown side or estimator, equal effects, too few of them.
    RunError
        The number of missing effects did not settle, or all effects were trimmed.

    Notes
    -----
    Duval and Tweedie (2000): effects are ranked by their distance from the estimate of the trimmed set, and
    trimmed again until the number stays. Ties are ranked in the order of the effects, as in metafor's
    trimfill. The result describes the funnel; it is no correction of the estimate.

    Examples
    --------
    >>> y = [0.01, 0.02, 0.02, 0.03, 0.05, 0.08, 0.12]
    >>> v = [0.0001, 0.0001, 0.0002, 0.0003, 0.0006, 0.0010, 0.0020]
    >>> result = trim_and_fill(y, v)
    >>> result.k0, result.side
    (3, 'left')
    """
    check_model(method, test)
    check_choice("estimator", estimator, ESTIMATORS)
    observed = random_effects(yi, vi, method=method, test=test)
    side = _side(yi, vi, method) if side is None else check_choice("side", side, ("left", "right"))
    y, v = effects_and_variances(yi, vi)
    sign = -1.0 if side == "right" else 1.0
    if np.all(y == y[0]):
        raise UsageError("yi are all equal; there is no funnel that could be asymmetric.")
    order = np.argsort(sign * y, kind="stable")
    k0, error, centre = _missing(sign * y[order], v[order], ESTIMATORS[estimator], method)
    extreme = order[len(y) - k0 :]
    all_y = np.concatenate([y, 2 * sign * centre - y[extreme]])
    all_v = np.concatenate([v, v[extreme]])
    return TrimAndFill(
        k0=k0,
        k0_se=error,
        p_value=0.5 ** (k0 + 1) if estimator == "R0" else float("nan"),
        side=side,
        estimator=estimator,
        fit=random_effects(all_y, all_v, method=method, test=test) if k0 else observed,
        observed=observed,
        yi=all_y,
        vi=all_v,
        filled=np.arange(len(all_y)) >= len(y),
    )


def _side(yi, vi, method: str) -> str:
    if len(yi) < 3:
        raise UsageError("two effects do not show on which side effects are missing; give side.")
    return "right" if egger(yi, vi, method=method).slope < 0 else "left"


def _missing(y, v, estimator, method: str) -> tuple[int, float, float]:
    """Return the number of missing effects, its standard error and the last centre; `y` increases."""
    k0, k = 0, len(y)
    for _ in range(STEPS):
        kept = k - k0
        if kept < 1:
            raise RunError("trim and fill trimmed all effects; the funnel is too asymmetric for this method.")
        centre = _centre(y[:kept], v[:kept], method)
        deviation = y - centre
        ranks = np.sign(deviation) * rankdata(np.abs(deviation), method="ordinal")
        before, (raw, error) = k0, estimator(ranks)
        k0 = max(0, int(np.round(raw)))
        if k0 == before:
            return k0, error, centre
    raise RunError(f"the number of missing effects did not settle in {STEPS} steps; try the other estimator.")


def _centre(y, v, method: str) -> float:
    if len(y) == 1:
        return float(y[0])
    x = np.ones((len(y), 1))
    tau2 = estimate_tau2(method, y, v, x).value
    return float(weighted_fit(y, x, 1 / (v + tau2)).coef[0])


def _right_run(ranks: np.ndarray) -> tuple[float, float]:
    """R0: the length of the rightmost run of ranks that are all positive, less one."""
    k0 = len(ranks) - np.max(-ranks, initial=0) - 1
    return k0, float(np.sqrt(2 * max(0, k0) + 2))


def _rank_sum(ranks: np.ndarray) -> tuple[float, float]:
    """L0: from the Wilcoxon sum of the positive ranks."""
    k = len(ranks)
    k0 = (4 * ranks[ranks > 0].sum() - k * (k + 1)) / (2 * k - 1)
    variance = k * (k + 1) * (2 * k + 1) + 10 * k0**3 + 27 * k0**2 + 17 * k0
    variance += -18 * k * k0**2 - 18 * k * k0 + 6 * k**2 * k0
    return k0, float(4 * np.sqrt(max(variance, 0.0) / 24) / (2 * k - 1))


ESTIMATORS = {"L0": _rank_sum, "R0": _right_run}
