"""Begg and Mazumdar's rank correlation test of small-study effects."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from medssl.errors import UsageError
from medssl.meta._inputs import effects_and_variances
from medssl.meta._report import p_text

__all__ = ["RankCorrelation", "rank_correlation"]

EXACT = 500  # effects up to which the exact distribution is used; beyond, both p values agree to 1e-3


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b of standardised effects and variances, two-sided p value, and whether that is exact."""

    tau: float
    p_value: float
    exact: bool
    k: int

    def report(self) -> str:
        """Return the test in words."""
        kind = "exact" if self.exact else "normal approximation"
        return (
            f"Rank correlation of {self.k} standardised effects with their variances: "
            f"Kendall's tau = {self.tau:.3g}, {p_text(self.p_value)} ({kind})."
        )


def rank_correlation(yi, vi) -> RankCorrelation:
    r"""Test whether standardised effects and their variances are rank correlated.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.

    Returns
    -------
    RankCorrelation
        The p value is exact without ties and up to 500 effects, else from the normal approximation with
        Kendall's variance for ties, as in R's cor.test.

    Raises
    ------
    UsageError
        Malformed input, fewer than two effects, equal variances or equal effects.

    Notes
    -----
    Begg and Mazumdar (1994): Kendall's correlation of :math:`v_i` with :math:`(y_i - \bar y)/\sqrt{v_i^*}`,
    where :math:`\bar y` is the common-effect estimate and :math:`v_i^* = v_i - 1/\sum 1/v_j` the variance of
    the difference. It is metafor's ranktest, and has little power with few effects.

    Examples
    --------
    >>> test = rank_correlation([0.10, 0.04, 0.01, 0.02], [0.0009, 0.0004, 0.0002, 0.0001])
    >>> print(f"{test.tau:.3f} {test.p_value:.3f}")
    0.667 0.333
    """
    y, v = effects_and_variances(yi, vi)
    if len(y) < 2:
        raise UsageError("a rank correlation needs at least two effects.")
    if np.all(v == v[0]):
        raise UsageError("vi are all equal, so effects cannot be correlated with them.")
    if np.all(y == y[0]):
        raise UsageError("yi are all equal, so they cannot be correlated with anything.")
    total = np.sum(1 / v)
    variance = np.maximum(v - 1 / total, np.finfo(float).tiny)
    standardised = (y - np.sum(y / v) / total) / np.sqrt(variance)
    exact = len(y) <= EXACT and all(len(np.unique(each)) == len(y) for each in (standardised, v))
    result = kendalltau(standardised, v, method="exact" if exact else "asymptotic")
    return RankCorrelation(float(result.statistic), float(result.pvalue), exact, len(y))
