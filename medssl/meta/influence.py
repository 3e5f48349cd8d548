"""Influence of each effect, or of each cluster, on the fitted model."""

import numpy as np
import pandas as pd
from scipy.stats import chi2

from medssl.errors import UsageError
from medssl.meta._clusters import cluster_codes, make_clusters
from medssl.meta._deletion import check_model, deleted_fits, deleted_multilevel, moderator_table, row_labels
from medssl.meta._inputs import Design, design_matrix, effects_and_variances, same_index
from medssl.meta._tau2 import estimate_tau2
from medssl.meta._wls import weighted_fit
from medssl.meta.random_effects import fit_given_tau2

__all__ = ["influence", "influence_of_clusters"]


def influence(
    yi, vi, moderators=None, *, data=None, labels=None, method: str = "REML", test: str = "knha"
) -> pd.DataFrame:
    r"""Measure how much each effect moves the random-effects model.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    moderators : DataFrame, Series, array or formula, optional
        As in `random_effects`.
    data : DataFrame, optional
        Table of the variables of a formula.
    labels : array-like of shape (k,), optional
        Name of each effect, the index of the result; by default the index of the series `yi`, or row numbers.
    method, test : str
        As in `random_effects`.

    Returns
    -------
    DataFrame
        One row an effect. ``rstudent``: externally standardised residual. ``dffits``: change of the fitted
        value in standard errors. ``cook_d``: Cook's distance, the squared Mahalanobis length of the change of
        all coefficients. ``cov_r``: ratio of the determinants of the covariance of the coefficients, without
        the effect over with it. ``tau2_deleted, q_deleted``: heterogeneity without the effect. ``hat``:
        leverage. ``weight``: share of the weight in percent. ``dfbetas_<name>``: change of a coefficient in
        standard errors. ``influential``: true where :math:`|dffits| > 3\sqrt{p/(k-p)}`, or the lower tail
        of chi-square with p degrees of freedom at `cook_d` exceeds 50%, or :math:`hat > 3p/k`, or any
        :math:`|dfbetas| > 1`. Where the model cannot be fitted without the effect, the numbers that need that
        fit are missing.

    Raises
    ------
    UsageError
        Malformed input, or fewer than p + 2 effects for p coefficients.

    Notes
    -----
    Definitions of metafor's influence.rma.uni (Viechtbauer and Cheung 2010; Viechtbauer 2010). With b and V
    from the full fit, index (-i) without effect i, W(-i) the weights of all effects at tau2(-i), and s2 the
    scale of Knapp and Hartung without effect i (1 under "z"):
    rstudent :math:`(y_i - x_i'b_{(-i)}) / \sqrt{s^2 (v_i + \tau^2_{(-i)}) + x_i'V_{(-i)}x_i}`,
    dffits :math:`x_i'(b - b_{(-i)}) / \sqrt{s^2 h_i (v_i + \tau^2_{(-i)})}`,
    cook_d :math:`(b - b_{(-i)})'V^{-1}(b - b_{(-i)})`,
    dfbetas :math:`(b - b_{(-i)})_j / \sqrt{s^2 [(X'W_{(-i)}X)^{-1}]_{jj}}`.

    Examples
    --------
    >>> table = influence([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001], test="z")
    >>> table.cook_d.round(3).to_list()
    [1.026, 0.003, 0.318, 0.187]
    >>> table.influential.to_list()
    [True, False, False, False]
    """
    check_model(method, test)
    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    index = row_labels(labels, yi, len(y))
    k, p = design.values.shape
    if k < p + 2:
        raise UsageError(f"{k} effects are too few to leave one out: {p} coefficient(s) need {p + 2}.")
    full = fit_given_tau2(y, v, design, estimate_tau2(method, y, v, design.values), method, test)
    hat = _leverage(full)
    fits = deleted_fits(y, v, design, np.arange(k), method, test)
    table = pd.DataFrame([_row(i, full, hat[i], fit) for i, fit in enumerate(fits)], index=index)
    dfbetas = table.pop("dfbetas")
    table["hat"], table["weight"] = hat, 100 * full.weights / full.weights.sum()
    for j, name in enumerate(design.names):
        table[f"dfbetas_{name}"] = [row[j] for row in dfbetas]
    table["influential"] = _influential(table, k, p)
    return table


def _leverage(fit) -> np.ndarray:
    return np.sum(weighted_fit(fit.yi, fit.design, fit.weights).basis ** 2, axis=1)


def _row(i: int, full, hat: float, fit) -> dict:
    """Return the measures of one effect; NaN for those that need a fit that does not exist."""
    columns = ("rstudent", "dffits", "cook_d", "cov_r", "tau2_deleted", "q_deleted")
    if fit is None:
        return {**dict.fromkeys(columns, np.nan), "dfbetas": np.full(len(full.coef), np.nan)}
    x, change = full.design[i], full.coef - fit.coef
    total = full.vi[i] + fit.tau2
    scale = fit.covariance[0, 0] / weighted_fit(fit.yi, fit.design, fit.weights).covariance[0, 0]
    unscaled = weighted_fit(full.yi, full.design, 1 / (full.vi + fit.tau2)).covariance
    with np.errstate(divide="ignore", invalid="ignore"):  # perfect fits under "knha" have no error
        values = (
            (full.yi[i] - x @ fit.coef) / np.sqrt(scale * total + x @ fit.covariance @ x),
            x @ change / np.sqrt(scale * hat * total),
            _mahalanobis(change, full.covariance),
            np.linalg.det(fit.covariance) / np.linalg.det(full.covariance),
            fit.tau2,
            fit.q,
        )
        dfbetas = change / np.sqrt(scale * np.diag(unscaled))
    return {**dict(zip(columns, values, strict=True)), "dfbetas": dfbetas}


def _mahalanobis(change: np.ndarray, covariance: np.ndarray) -> float:
    """Return `change' covariance^-1 change`, NaN when the covariance is 0."""
    if not covariance[0, 0] > 0:
        return float("nan")
    return float(change @ np.linalg.solve(covariance, change))


def _influential(table: pd.DataFrame, k: int, p: int) -> np.ndarray:
    dfbetas = table.filter(like="dfbetas_").abs()
    return (
        (table.dffits.abs() > 3 * np.sqrt(p / (k - p)))
        | (chi2.cdf(table.cook_d, p) > 0.5)
        | (table.hat > 3 * p / k)
        | (dfbetas > 1).any(axis=1)
    ).to_numpy()


def influence_of_clusters(yi, vi, cluster, moderators=None, *, data=None, rho: float = 0.6) -> pd.DataFrame:
    """Measure how much each cluster moves the multilevel model.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    cluster : array-like of shape (k,)
        Cluster of each effect.
    moderators : DataFrame, Series, array or formula, optional
        As in `multilevel`.
    data : DataFrame, optional
        Table of the variables of a formula.
    rho : float
        Sampling correlation inside clusters.

    Returns
    -------
    DataFrame
        One row a cluster, in order of first appearance, its label as the index: ``k``, its number of
        effects; ``cook_d``, the change of all coefficients measured by the model covariance of the full fit;
        ``dfbetas_<name>``, the change of a coefficient in its standard error from all effects at the
        variances without the cluster; ``sigma2_cluster, sigma2_effect`` without the cluster;
        ``sign_changes``, whether any coefficient changes its sign. Missing where the model cannot be fitted
        without the cluster.

    Raises
    ------
    UsageError
        Malformed input, or fewer than three clusters.

    Notes
    -----
    Definitions of metafor's cooks.distance and dfbetas for rma.mv models, by cluster (Viechtbauer and Cheung
    2010); all variances are estimated again without the cluster.

    Examples
    --------
    >>> y, v = [0.10, 0.08, 0.01, 0.02, 0.03, 0.02], [0.0004, 0.0003, 0.0002, 0.0001, 0.0002, 0.0003]
    >>> table = influence_of_clusters(y, v, list("aabbcc"))
    >>> table.cook_d.idxmax(), table.k.to_list()
    ('a', [2, 2, 2])
    """
    from medssl.meta.multilevel import multilevel

    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    same_index("yi", yi, "cluster", cluster)
    codes, names = cluster_codes(cluster, len(y))
    fits = deleted_multilevel(y, v, design, codes, rho)
    full = multilevel(y, v, codes, moderator_table(design), rho=rho)
    rows = [_cluster_row(v, design, codes, rho, full, fit) for fit in fits]
    table = pd.DataFrame(rows, index=names)
    table.insert(0, "k", np.bincount(codes))
    return table


def _cluster_row(v, design: Design, codes, rho: float, full, fit) -> dict:
    dfbetas = [f"dfbetas_{name}" for name in design.names]
    if fit is None:
        columns = ("cook_d", *dfbetas, "sigma2_cluster", "sigma2_effect")
        return {**dict.fromkeys(columns, np.nan), "sign_changes": False}
    change = full.coef - fit.coef
    error = np.sqrt(np.diag(_covariance(v, design.values, codes, rho, fit.sigma2)))
    return {
        "cook_d": _mahalanobis(change, full.covariance),
        **dict(zip(dfbetas, change / error, strict=True)),
        "sigma2_cluster": fit.sigma2[0],
        "sigma2_effect": fit.sigma2[1],
        "sign_changes": bool(np.any(np.sign(fit.coef) != np.sign(full.coef))),
    }


def _covariance(v, x, codes, rho: float, sigma2) -> np.ndarray:
    """Return the model covariance of the coefficients of all effects at given variances."""
    clusters = make_clusters(v, codes, rho)
    rows = x[clusters.order]
    return np.linalg.inv(rows.T @ clusters.factor(sigma2).solve(rows))
