"""Coefficients of a multilevel fit with cluster-robust errors, and the Wald test of several of them."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from medssl.errors import UsageError
from medssl.meta._inputs import DesignRows, check_level
from medssl.meta._report import p_text
from medssl.meta._sandwich import Sandwich

__all__ = ["RobustFit", "WaldTest", "robust_fit"]

UNBIASED = 0.99  # expected over model variance; rounding alone leaves it far nearer to 1


@dataclass(frozen=True)
class WaldTest:
    """A joint test that several contrasts are 0: F statistic, its degrees of freedom, p value.

    `p_value` is NaN where the approximation has no positive denominator degrees of freedom: with so few
    clusters the contrasts cannot be tested together.
    """

    statistic: float
    df_num: float
    df_den: float
    p_value: float
    names: tuple[str, ...] = ()

    def report(self) -> str:
        """Return the test in one sentence."""
        what = ", ".join(self.names) or "the contrasts"
        if not np.isfinite(self.p_value):
            return f"Too few clusters to test {what} jointly."
        test = f"F({self.df_num:g}, {self.df_den:.1f}) = {self.statistic:.2f}, {p_text(self.p_value)}"
        return f"Jointly, {what}: {test}."


@dataclass(frozen=True, eq=False, repr=False)
class RobustFit:
    """Cluster-robust inference; arrays have one entry a coefficient, the intercept first.

    Attributes
    ----------
    names : tuple of str
        Coefficient names.
    coef, se, df, statistic, p_value, ci_low, ci_high : ndarray of shape (p,)
        Estimates, robust standard errors, Satterthwaite degrees of freedom, t statistics, two-sided p values
        and limits.
    covariance : ndarray of shape (p, p)
        Robust covariance.
    kind : {"CR0", "CR1", "CR2"}
        The small-sample adjustment.
    clusters : int
        Number of clusters.
    level : float
        Coverage of the limits.
    supported : ndarray of bool, shape (p,)
        False where one cluster alone supports a coefficient, for instance a level of a moderator that no
        other cluster has: its robust error is then too small, whatever its degrees of freedom say. Merge the
        level, leave it out, or read the model-based error.
    """

    names: tuple[str, ...]
    coef: np.ndarray
    se: np.ndarray
    df: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    covariance: np.ndarray
    kind: str
    clusters: int
    level: float
    supported: np.ndarray
    _sandwich: Sandwich = field(repr=False)
    _rows: DesignRows = field(repr=False)
    _heterogeneity: float = field(repr=False)

    def wald(self, terms=None) -> WaldTest:
        """Test several coefficients together (HTZ: Pustejovsky and Tipton 2018).

        Parameters
        ----------
        terms : str, list of str or array of shape (q, p), optional
            Names of coefficients, names of formula terms such as ``"C(modality)"``, or contrasts; by default
            all but the intercept.

        Returns
        -------
        WaldTest
            Hotelling's T squared with estimated degrees of freedom, as an F test.
        """
        contrasts, names = self._contrasts(terms)
        q = len(contrasts)
        wald, eta = self._sandwich.hotelling(contrasts, self.coef)
        df_den = eta - q + 1
        if not df_den > 0:
            return WaldTest(float("nan"), float(q), float(df_den), float("nan"), names)
        statistic = df_den / (eta * q) * wald
        return WaldTest(statistic, float(q), df_den, float(stats.f.sf(statistic, q, df_den)), names)

    def _contrasts(self, terms) -> tuple[np.ndarray, tuple[str, ...]]:
        p = len(self.names)
        if terms is None:
            if p == 1:
                raise UsageError("this model has no moderators; there is nothing to test jointly.")
            return np.eye(p)[1:], self.names[1:]
        names = [terms] if isinstance(terms, str) else terms
        if np.iterable(names) and all(isinstance(name, str) for name in names):
            columns = [i for name in names for i in self._rows.columns(name)]
            if not columns or len(set(columns)) < len(columns):
                raise UsageError(f"terms is {terms!r}; name at least one coefficient, and each once.")
            return np.eye(p)[columns], tuple(names)
        try:
            contrasts = np.atleast_2d(np.asarray(terms, dtype=float))
        except (TypeError, ValueError) as error:
            raise UsageError(f"terms is {terms!r}; give names or rows of numbers.") from error
        if contrasts.ndim != 2 or contrasts.shape[1] != p or not np.isfinite(contrasts).all():
            raise UsageError(f"contrasts have the shape {contrasts.shape}; give {p} finite numbers a row.")
        if np.linalg.matrix_rank(contrasts) < len(contrasts):
            raise UsageError("the rows of the contrasts are collinear; drop the repeated ones.")
        return contrasts, ()

    def predict(self, moderators=None, level: float | None = None) -> pd.DataFrame:
        """Predict the mean effect and the effect in a new cluster, as `MultilevelFit.predict` does.

        The limits are t limits with Satterthwaite degrees of freedom of each predicted row, in column `df`.
        """
        rows, index = self._rows.at(moderators)
        df, variance = self._sandwich.satterthwaite(rows), self._sandwich.variance(rows)
        level = self.level if level is None else level
        return intervals(rows @ self.coef, variance, self._heterogeneity, df, level, index).assign(df=df)

    def table(self) -> pd.DataFrame:
        """Return one row a coefficient: estimate, standard error, degrees of freedom, t, p value, limits."""
        columns = ("coef", "se", "df", "statistic", "p_value", "ci_low", "ci_high")
        return pd.DataFrame({name: getattr(self, name) for name in columns}, index=list(self.names))

    def __repr__(self) -> str:
        terms = ", ".join(
            f"{name} {value:.4g} (df {df:.1f})"
            for name, value, df in zip(self.names, self.coef, self.df, strict=True)
        )
        return f"RobustFit({self.kind}, {self.clusters} clusters: {terms})"


def intervals(estimate, variance, heterogeneity: float, df, level: float, index) -> pd.DataFrame:
    """Return estimate, confidence and prediction limits of rows with variances and degrees of freedom."""
    check_level(level)
    critical, variance = stats.t.isf((1 - level) / 2, df), np.maximum(variance, 0.0)
    mean, new = critical * np.sqrt(variance), critical * np.sqrt(variance + heterogeneity)
    limits = {"ci_low": -mean, "ci_high": mean, "pi_low": -new, "pi_high": new}
    return pd.DataFrame(
        {"estimate": estimate, **{name: estimate + half for name, half in limits.items()}}, index=index
    )


def robust_fit(
    coef, pieces: Sandwich, kind: str, level: float, rows: DesignRows, heterogeneity: float
) -> RobustFit:
    """Turn the pieces of the sandwich into tests and limits."""
    covariance = pieces.covariance()
    se = np.sqrt(np.maximum(np.diag(covariance), 0.0))  # rounding of a perfect fit
    df = pieces.satterthwaite(np.eye(len(coef)))
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit has no standard error
        statistic = coef / se
    check_level(level)
    half = stats.t.isf((1 - level) / 2, df) * se
    # CR0 and CR1 are biased everywhere, so the mark of a lone cluster is judged by CR2 only
    supported = pieces.bias(np.eye(len(coef))) > UNBIASED if kind == "CR2" else np.ones(len(coef), bool)
    return RobustFit(
        names=rows.names, coef=coef, se=se, df=df, statistic=statistic,
        p_value=2 * stats.t.sf(np.abs(statistic), df), ci_low=coef - half, ci_high=coef + half,
        covariance=covariance, kind=kind, clusters=len(pieces.scores), level=level, supported=supported,
        _sandwich=pieces, _rows=rows, _heterogeneity=heterogeneity,
    )  # fmt: skip
