"""The fitted random-effects model: its numbers, predictions, intervals and report."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from medssl.errors import UsageError
from medssl.meta._inputs import DesignRows, check_level
from medssl.meta._profile import Profile, profile_curve
from medssl.meta._report import paragraph
from medssl.meta._tau2 import log_likelihood, q_profile, typical_variance

__all__ = ["Interval", "RandomEffectsFit", "critical_value"]


def critical_value(df: float, level: float) -> float:
    check_level(level)
    return float(stats.t.isf((1 - level) / 2, df))


class Interval(NamedTuple):
    """A lower and an upper limit."""

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """Whether no positive value fits the data: both limits are 0."""
        return self.low == self.high == 0


@dataclass(frozen=True, eq=False, repr=False)
class RandomEffectsFit:
    """A fitted model; arrays have one entry a coefficient, the intercept first.

    Attributes
    ----------
    names : tuple of str
        Coefficient names.
    coef, se, statistic, p_value, ci_low, ci_high : ndarray of shape (p,)
        Estimates, standard errors, z or t statistics, two-sided p values, 95% limits.
    df : float
        Degrees of freedom of the t distribution; infinite under ``test="z"``.
    tau2, tau2_se : float
        Variance between studies (0 for "FE") and its standard error (NaN for "FE").
    i2, h2 : float
        Share of (residual) variance that is between studies, in percent, and H2; both follow from `tau2`
        and the typical sampling variance.
    q, q_p : float
        Cochran's Q test of (residual) heterogeneity.
    qm, qm_p : float
        Joint test of the moderators: chi-square under "z", F otherwise; NaN without moderators.
    r2 : float
        Share of `tau2` that the moderators account for, in percent, not below 0; NaN without moderators,
        or when `tau2` is 0 without them. For "FE": adjusted R2 of the weighted regression.
    covariance : ndarray of shape (p, p)
        Covariance of `coef`.
    yi, vi : ndarray of shape (k,)
        The data.
    design : ndarray of shape (k, p)
        The design matrix.
    method, test : str
        As given.
    """

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    df: float
    tau2: float
    tau2_se: float
    i2: float
    h2: float
    q: float
    q_p: float
    qm: float
    qm_p: float
    r2: float
    covariance: np.ndarray
    yi: np.ndarray
    vi: np.ndarray
    design: np.ndarray
    method: str
    test: str
    _rows: DesignRows = field(repr=False)

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.yi)

    @property
    def weights(self) -> np.ndarray:
        """Inverse total variance of each effect, ``1 / (vi + tau2)``, shape (k,)."""
        return 1 / (self.vi + self.tau2)

    def predict(self, moderators=None, level: float = 0.95) -> pd.DataFrame:
        """Predict the mean effect and the effect of a new study.

        Parameters
        ----------
        moderators : DataFrame, Series, array or float, optional
            Rows to predict at, by column name, by the variables of the formula, or in the order of the fit.
            Without it: one row for a model without moderators, else the fitted values of the k effects.
        level : float
            Coverage of both intervals, between 0 and 1.

        Returns
        -------
        DataFrame
            ``estimate, ci_low, ci_high, pi_low, pi_high``. The prediction interval is for the true effect of
            a new study, ``estimate ± t sqrt(se^2 + tau2)`` (Riley, Higgins and Deeks 2011; k - p degrees of
            freedom, normal under "z"), and NaN for "FE", which has no such thing.

        Raises
        ------
        UsageError
            Columns that are missing or not in the model, missing values, a level outside 0 to 1.
        """
        rows, index = self._rows.at(moderators)
        critical = critical_value(self.df, level)
        estimate = rows @ self.coef
        variance = np.einsum("ij,jk,ik->i", rows, self.covariance, rows)
        mean = critical * np.sqrt(variance)
        new = critical * np.sqrt(variance + (np.nan if self.method == "FE" else self.tau2))
        limits = {"ci_low": -mean, "ci_high": mean, "pi_low": -new, "pi_high": new}
        table = {"estimate": estimate, **{name: estimate + half for name, half in limits.items()}}
        return pd.DataFrame(table, index=index)

    def tau2_interval(self, level: float = 0.95) -> Interval:
        """Return the Q-profile interval of `tau2` (Viechtbauer 2007), ``(low, high)``.

        It inverts the generalised Q statistic, whose distribution under the model is chi-square with k - p
        degrees of freedom, and depends on the data, not on the estimator of `tau2`. Where the effects scatter
        so much less than their variances say that even 0 is too large, the interval is empty: both limits are
        0 and `is_empty` is true. With few effects the upper limit may be huge; it is never cut.
        """
        critical_value(self.df, level)
        if self.k <= len(self.names):
            raise UsageError("tau2 needs more effects than coefficients.")
        return Interval(*q_profile(self.yi, self.vi, self.design, level))

    def profile(self, level: float = 0.95, points: int = 41) -> Profile:
        """Return the profile likelihood of `tau2` with its interval, for "ML" and "REML"."""
        if self.method not in ("ML", "REML"):
            raise UsageError(
                f"method {self.method!r} maximises no likelihood; fit with ML or REML to profile it."
            )

        def height(tau2: float) -> float:
            return log_likelihood(tau2, self.yi, self.vi, self.design, restricted=self.method == "REML")

        unit = float(np.median(self.vi))
        return profile_curve(height, "tau2", self.tau2, height(self.tau2), unit, level, points)

    def i2_interval(self, level: float = 0.95) -> Interval:
        """Return the limits of I2, in percent, that follow from those of `tau2`."""
        typical = typical_variance(self.yi, self.vi, self.design)
        return Interval(*(100 * t / (t + typical) for t in self.tau2_interval(level)))

    def table(self) -> pd.DataFrame:
        """Return one row a coefficient: estimate, standard error, statistic, p value, 95% limits."""
        columns = ("coef", "se", "statistic", "p_value", "ci_low", "ci_high")
        return pd.DataFrame({name: getattr(self, name) for name in columns}, index=list(self.names))

    def report(self) -> str:
        """Return one written paragraph: model, estimates, prediction, heterogeneity."""
        return paragraph(self)

    def __repr__(self) -> str:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, self.coef, strict=True))
        return f"RandomEffectsFit(k={self.k}, {self.method}, {self.test}: {terms}; tau2 {self.tau2:.4g})"
