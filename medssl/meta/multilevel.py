"""Multilevel meta-analysis of dependent effects: three-level and correlated-hierarchical-effects models."""

import numpy as np
from scipy import stats

from medssl.errors import UsageError
from medssl.meta._clusters import cluster_codes, make_clusters
from medssl.meta._inputs import Design, check_choice, design_matrix, effects_and_variances, same_index
from medssl.meta._likelihood import Likelihood, Point, maximise
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta.random_effects import moderator_test

__all__ = ["multilevel"]

TESTS = ("z", "t")


def multilevel(
    yi, vi, cluster, moderators=None, *, data=None, rho: float | None = None, test: str = "z"
) -> MultilevelFit:
    r"""Fit random intercepts for cluster and for effect within cluster by restricted maximum likelihood.

    Parameters
    ----------
    yi : array-like of shape (k,)
        Effects, for example gains in AUC.
    vi : array-like of shape (k,)
        Their sampling variances (squared standard errors), positive.
    cluster : array-like of shape (k,)
        Label of the cluster of each effect: what shares data, a comparator or authors.
    moderators : str, DataFrame, Series or array of shape (k,) or (k, m), optional
        A formula such as ``"log10_ratio + C(modality)"`` on the columns of `data`, or numeric columns; the
        intercept is added first.
    data : DataFrame, optional
        The table of the formula.
    rho : float, optional
        Constant correlation of sampling errors within a cluster, less than 1. None or 0: independent errors
        (three-level model); 0.6 is the survey's working value.
    test : {"z", "t"}
        Model-based inference with the normal distribution, or t with k - p degrees of freedom.

    Returns
    -------
    MultilevelFit
        With `robust`, `predict`, `profile`, `table`, `report`. Conclusions belong to `robust()`.

    Raises
    ------
    UsageError
        Missing, infinite or non-numeric values, a variance that is not positive, lengths that differ, one
        cluster, more coefficients than clusters, collinear moderators, moderators that tell all clusters
        apart, an impossible rho, an unknown test.
    RunError
        The likelihood did not converge.

    Notes
    -----
    The model is :math:`y_{ij} = x_{ij}'\beta + u_j + w_{ij} + e_{ij}` with
    :math:`u_j \sim N(0, \sigma^2_1)`, :math:`w_{ij} \sim N(0, \sigma^2_2)` and
    :math:`\mathrm{cov}(e_{ij}, e_{hj}) = \rho \sqrt{v_{ij} v_{hj}}` (Pustejovsky and Tipton 2022). Both
    variances are at least 0; the global maximum is taken. Where the data hold only the sum of both variances,
    as with one effect a cluster, it is given as that of clusters.

    References
    ----------
    Pustejovsky JE, Tipton E (2022). Meta-analysis with robust variance estimation. Prev Sci 23:425-438.
    Konstantopoulos S (2011). Fixed effects and variance components estimation in three-level meta-analysis.
    Res Synth Methods 2:61-76.

    Examples
    --------
    >>> gains = [0.05, 0.03, 0.04, 0.01, 0.00, 0.02, 0.06, -0.01]
    >>> cluster = ["a", "a", "b", "b", "c", "c", "d", "d"]
    >>> fit = multilevel(gains, [0.0004] * 8, cluster, rho=0.6)
    >>> row = fit.robust().predict().iloc[0]
    >>> print(f"{row.estimate:.3f} ({row.ci_low:.3f} to {row.ci_high:.3f}, df {row.df:.1f})")
    0.025 (0.006 to 0.044, df 3.0)
    """
    check_choice("test", test, TESTS)
    y, v = effects_and_variances(yi, vi)
    codes, labels = cluster_codes(cluster, len(y))
    same_index("yi", yi, "cluster", cluster)
    design = design_matrix(moderators, yi, len(y), data)
    _enough(design, len(labels))
    clusters = make_clusters(v, codes, 0.0 if rho is None else rho)
    columns = np.column_stack([design.values, y])[clusters.order]
    likelihood = Likelihood(clusters, columns, np.ones(clusters.count))
    if not likelihood.free[0]:
        raise UsageError(
            "the moderators tell all clusters apart, so nothing is left to estimate the variance between "
            "clusters from; use fewer moderators."
        )
    return _fit(likelihood, maximise(likelihood), design, y, v, labels[codes], test)


def _enough(design: Design, clusters: int) -> None:
    k, p = design.values.shape
    if clusters < 2:
        raise UsageError(
            "there is one cluster only, so nothing is known of how clusters differ. "
            "Use random_effects for independent effects, or name the clusters."
        )
    if k <= p or clusters < p:
        raise UsageError(
            f"{k} effects in {clusters} clusters cannot support {p} coefficients; use fewer moderators."
        )


def _fit(likelihood, point: Point, design: Design, y, v, labels, test: str) -> MultilevelFit:
    k, p = design.values.shape
    df = float(k - p) if test == "t" else np.inf
    se = np.sqrt(np.diag(point.covariance))
    half = stats.t.isf(0.025, df) * se
    sampling = likelihood.at((0.0, 0.0), derivatives=False)  # no heterogeneity: Q
    qm = moderator_test(point.coef, point.covariance, df)
    return MultilevelFit(
        names=design.names, coef=point.coef, se=se, statistic=point.coef / se,
        p_value=2 * stats.t.sf(np.abs(point.coef / se), df), ci_low=point.coef - half,
        ci_high=point.coef + half, df=df, sigma2=point.sigma2, i2=_shares(likelihood, point, sampling, k - p),
        log_likelihood=point.value, q=sampling.rss, q_p=float(stats.chi2.sf(sampling.rss, k - p)), **qm,
        covariance=point.covariance, yi=y, vi=v, design=design.values, cluster=labels,
        clusters=likelihood.clusters.count, rho=likelihood.clusters.rho, test=test, _rows=design.rows,
        _likelihood=likelihood, _solved=point.solved[:, :-1],
    )  # fmt: skip


def _shares(likelihood: Likelihood, point: Point, sampling: Point, degrees: int) -> np.ndarray:
    """Share of each variance in the total, with the typical sampling variance `(k - p) / tr(P)`."""
    trace = likelihood.clusters.factor((0.0, 0.0)).traces()[1].sum()
    solved = sampling.solved[:, :-1]
    typical = degrees / (trace - np.sum(sampling.covariance * (solved.T @ solved)))
    return 100 * point.sigma2 / (point.sigma2.sum() + typical)
