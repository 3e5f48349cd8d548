"""The fitted multilevel model: its numbers, robust errors, predictions, profiles and report."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medssl.meta._inputs import DesignRows
from medssl.meta._likelihood import Likelihood
from medssl.meta._multilevel_report import multilevel_paragraph
from medssl.meta._profile import Profile, profile_component
from medssl.meta._robust import RobustFit, intervals, robust_fit
from medssl.meta._sandwich import sandwich

__all__ = ["MultilevelFit"]


@dataclass(frozen=True, eq=False, repr=False)
class MultilevelFit:
    """A fitted multilevel model; arrays have one entry a coefficient, the intercept first.

    Attributes
    ----------
    names : tuple of str
        Coefficient names.
    coef, se, statistic, p_value, ci_low, ci_high : ndarray of shape (p,)
        Estimates and model-based inference (z, or t with k - p degrees of freedom); see `robust`.
    df : float
        Degrees of freedom of the model-based inference; infinite under "z".
    sigma2 : ndarray of shape (2,)
        Variance between clusters, and between effects within a cluster.
    i2 : ndarray of shape (2,)
        Share of the total variance that each of `sigma2` accounts for, in percent.
    log_likelihood : float
        Restricted log-likelihood.
    q, q_p : float
        Test of (residual) heterogeneity, with the sampling covariance that `rho` implies.
    qm, qm_p : float
        Joint model-based test of the moderators: chi-square under "z", F under "t"; NaN without moderators.
    covariance : ndarray of shape (p, p)
        Model-based covariance of `coef`.
    yi, vi : ndarray of shape (k,)
        The data, in the caller's order.
    design : ndarray of shape (k, p)
        The design matrix.
    cluster : ndarray of shape (k,)
        Cluster labels.
    clusters : int
        Number of clusters.
    rho : float
        Correlation of sampling errors within a cluster; 0 is the three-level model.
    test : {"z", "t"}
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
    sigma2: np.ndarray
    i2: np.ndarray
    log_likelihood: float
    q: float
    q_p: float
    qm: float
    qm_p: float
    covariance: np.ndarray
    yi: np.ndarray
    vi: np.ndarray
    design: np.ndarray
    cluster: np.ndarray
    clusters: int
    rho: float
    test: str
    _rows: DesignRows = field(repr=False)
    _likelihood: Likelihood = field(repr=False)
    _solved: np.ndarray = field(repr=False)  # Sigma^-1 X, sorted by cluster

    @property
    def k(self) -> int:
        """Number of effects."""
        return len(self.yi)

    @property
    def heterogeneity(self) -> float:
        """Variance of a true effect around its mean: the sum of `sigma2`."""
        return float(self.sigma2.sum())

    def robust(self, kind: str = "CR2", level: float = 0.95) -> RobustFit:
        """Return cluster-robust inference, valid when the working model is wrong.

        Parameters
        ----------
        kind : {"CR2", "CR1", "CR0"}
            "CR2": bias-reduced linearisation (Bell and McCaffrey 2002; Pustejovsky and Tipton 2018); "CR1":
            scaled by clusters / (clusters - 1); "CR0": unadjusted. All with Satterthwaite degrees of freedom.
        level : float
            Coverage of the limits.

        Raises
        ------
        UsageError
            Another kind, or fewer clusters than coefficients.
        """
        likelihood = self._likelihood
        residuals = likelihood.columns @ np.append(-self.coef, 1.0)
        pieces = sandwich(kind, likelihood.clusters, self.sigma2, likelihood.basis, residuals, self._solved)
        return robust_fit(self.coef, pieces, kind, level, self._rows, self.heterogeneity)

    def predict(self, moderators=None, level: float = 0.95) -> pd.DataFrame:
        """Predict the mean effect and the true effect in a new cluster.

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
            ``estimate, ci_low, ci_high, pi_low, pi_high``; the prediction interval adds both variances to
            that of the mean. `robust().predict` gives the same with robust errors.
        """
        rows, index = self._rows.at(moderators)
        variance = np.einsum("ij,jk,ik->i", rows, self.covariance, rows)
        return intervals(rows @ self.coef, variance, self.heterogeneity, self.df, level, index)

    def profile(self, component: str = "cluster", level: float = 0.95, points: int = 41) -> Profile:
        """Return the profile likelihood of one variance with its interval.

        Parameters
        ----------
        component : {"cluster", "effect"}
        level : float
            Coverage of the interval that inverts the likelihood-ratio test (chi-square, 1 df).
        points : int
            Values in the table of the curve.
        """
        return profile_component(self._likelihood, self.sigma2, self.log_likelihood, component, level, points)

    def table(self) -> pd.DataFrame:
        """Return one row a coefficient: estimate, standard error, statistic, p value, 95% limits."""
        columns = ("coef", "se", "statistic", "p_value", "ci_low", "ci_high")
        return pd.DataFrame({name: getattr(self, name) for name in columns}, index=list(self.names))

    def report(self) -> str:
        """Return one written paragraph: model, robust estimates, prediction, variances."""
        return multilevel_paragraph(self)

    def __repr__(self) -> str:
        terms = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, self.coef, strict=True))
        cluster, effect = self.sigma2
        return (
            f"MultilevelFit(k={self.k}, {self.clusters} clusters, rho {self.rho:g}: {terms}; "
            f"sigma2 {cluster:.4g} cluster, {effect:.4g} effect)"
        )
