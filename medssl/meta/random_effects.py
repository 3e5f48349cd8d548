"""Random-effects meta-analysis and meta-regression, with metafor's definitions."""

import numpy as np
from scipy import stats

from medssl.errors import UsageError
from medssl.meta._fit import RandomEffectsFit, critical_value
from medssl.meta._inputs import Design, check_choice, design_matrix, effects_and_variances
from medssl.meta._tau2 import METHODS, Tau2, estimate_tau2
from medssl.meta._wls import WeightedFit, weighted_fit

__all__ = ["fit_given_tau2", "moderator_test", "random_effects"]

TESTS = ("z", "knha", "adhoc")


def random_effects(
    yi, vi, moderators=None, *, data=None, method: str = "REML", test: str = "knha"
) -> RandomEffectsFit:
    r"""Fit a random-effects model, or a meta-regression when there are moderators.

    Parameters
    ----------
    yi : array-like of shape (k,)
        Effects, for example gains in AUC.
    vi : array-like of shape (k,)
        Their sampling variances (squared standard errors), positive.
    moderators : str, DataFrame, Series or array of shape (k,) or (k, m), optional
        A formula such as ``"log10_ratio + C(modality)"`` on the columns of `data`, or numeric columns; names
        are kept, and the intercept is added as the first column.
    data : DataFrame, optional
        The table of the formula.
    method : {"REML", "FE", "DL", "HE", "HS", "SJ", "ML", "EB", "PM"}
        Estimator of the variance between studies: restricted maximum likelihood, none (common effect),
        DerSimonian-Laird, Hedges, Hunter-Schmidt, Sidik-Jonkman, maximum likelihood, empirical Bayes,
        Paule-Mandel.
    test : {"knha", "z", "adhoc"}
        "knha": Knapp and Hartung's (2003) variance, t and F with k - p degrees of freedom. "adhoc": the same,
        but the variance is never scaled down. "z": normal and chi-square.

    Returns
    -------
    RandomEffectsFit
        Arrays with the intercept first, and `predict`, `tau2_interval`, `table`, `report`.

    Raises
    ------
    UsageError
        Missing, infinite or non-numeric values, a variance that is not positive, lengths that differ,
        too few rows, collinear moderators, an unknown method or test.
    RunError
        An iterated estimator did not converge.

    Notes
    -----
    The model is :math:`y_i = x_i'\beta + u_i + e_i` with :math:`u_i \sim N(0, \tau^2)` and
    :math:`e_i \sim N(0, v_i)`, effects independent. All estimators are truncated at 0. ML and REML take the
    global maximum over :math:`\tau^2 \ge 0` to near machine precision; metafor stops when a step is below
    1e-5, so the two agree to that order. ``method="FE"`` with ``test="z"`` takes k = p rows, for instance a
    single effect shown alone; everything else needs k > p.

    References
    ----------
    Viechtbauer W (2010). Conducting meta-analyses in R with the metafor package. J Stat Softw 36(3).
    Knapp G, Hartung J (2003). Improved tests for a random effects meta-regression with a single covariate.
    Stat Med 22:2693-2710.

    Examples
    --------
    >>> fit = random_effects([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001])
    >>> print(f"{fit.coef[0]:.3f} ({fit.ci_low[0]:.3f} to {fit.ci_high[0]:.3f})")
    0.040 (-0.022 to 0.103)
    >>> import pandas as pd
    >>> ratio = pd.Series([-3.0, -2.0, -1.0, -0.5], name="log10_label_ratio")
    >>> fit = random_effects([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001], ratio)
    >>> fit.names
    ('intercept', 'log10_label_ratio')
    >>> print(f"{fit.predict(-3.0).estimate.iloc[0]:.3f}")
    0.085
    """
    check_choice("method", method, METHODS)
    check_choice("test", test, TESTS)
    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    _enough_rows(design, method, test)
    return fit_given_tau2(y, v, design, estimate_tau2(method, y, v, design.values), method, test)


def _enough_rows(design: Design, method: str, test: str) -> None:
    k, p = design.values.shape
    if k > p or (k == p and (method, test) == ("FE", "z")):
        return
    raise UsageError(
        f"{k} effect(s) cannot support {p} coefficient(s) and a variance: "
        f"method {method!r} with test {test!r} needs at least {p + 1} rows. "
        "Use fewer moderators, or method='FE' with test='z' when there are as many rows as coefficients."
    )


def fit_given_tau2(y, v, design: Design, tau2: Tau2, method: str, test: str) -> RandomEffectsFit:
    """Return the fit at a given variance between studies."""
    x = design.values
    k, p = x.shape
    fit = weighted_fit(y, x, 1 / (v + tau2.value))
    df = np.inf if test == "z" else float(k - p)
    covariance = fit.covariance * _scale(fit, test)
    return RandomEffectsFit(
        names=design.names,
        **_coefficients(fit.coef, covariance, df),
        df=df,
        tau2=tau2.value,
        tau2_se=tau2.se,
        **_heterogeneity(y, v, x, tau2.value, method),
        **moderator_test(fit.coef, covariance, df),
        r2=_explained(y, v, x, tau2.value, method),
        covariance=covariance,
        yi=y,
        vi=v,
        design=x,
        method=method,
        test=test,
        _rows=design.rows,
    )


def _scale(fit: WeightedFit, test: str) -> float:
    if test == "z":
        return 1.0
    k, p = fit.basis.shape
    scale = fit.rss / (k - p)
    return max(1.0, scale) if test == "adhoc" else scale


def _coefficients(coef, covariance, df: float) -> dict[str, np.ndarray]:
    se = np.sqrt(np.diag(covariance))
    with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit under "knha" has no standard error
        statistic = coef / se
    half = critical_value(df, 0.95) * se
    return {
        "coef": coef,
        "se": se,
        "statistic": statistic,
        "p_value": 2 * stats.t.sf(np.abs(statistic), df),
        "ci_low": coef - half,
        "ci_high": coef + half,
    }


def _heterogeneity(y, v, x, tau2: float, method: str) -> dict[str, float]:
    k, p = x.shape
    fit = weighted_fit(y, x, 1 / v)
    if k == p:
        return {"q": 0.0, "q_p": 1.0, "i2": 0.0, "h2": 1.0}
    test = {"q": fit.rss, "q_p": float(stats.chi2.sf(fit.rss, k - p))}
    if method == "FE":
        excess = 1 - (k - p) / fit.rss if fit.rss > k - p else 0.0
        return {**test, "i2": 100 * excess, "h2": fit.rss / (k - p)}
    typical = (k - p) / fit.trace()
    return {**test, "i2": 100 * tau2 / (typical + tau2), "h2": tau2 / typical + 1}


def moderator_test(coef, covariance, df: float) -> dict[str, float]:
    """Test all coefficients but the intercept: chi-square when `df` is infinite, else F."""
    m = len(coef) - 1
    if m == 0:
        return {"qm": float("nan"), "qm_p": float("nan")}
    if not np.all(np.diag(covariance)[1:] > 0):  # a perfect fit has no standard errors
        return {"qm": float("nan"), "qm_p": float("nan")}
    wald = float(coef[1:] @ np.linalg.solve(covariance[1:, 1:], coef[1:]))
    if np.isinf(df):
        return {"qm": wald, "qm_p": float(stats.chi2.sf(wald, m))}
    return {"qm": wald / m, "qm_p": float(stats.f.sf(wald / m, m, df))}


def _explained(y, v, x, tau2: float, method: str) -> float:
    k, p = x.shape
    if p == 1:
        return float("nan")
    alone = np.ones((k, 1))
    if method == "FE":
        total, residual = weighted_fit(y, alone, 1 / v).rss, weighted_fit(y, x, 1 / v).rss
        if k == p or total == 0:
            return float("nan")
        return max(0.0, 100 * (1 - residual / (k - p) * (k - 1) / total))
    without = estimate_tau2(method, y, v, alone).value
    return max(0.0, 100 * (1 - tau2 / without)) if without > 0 else float("nan")
