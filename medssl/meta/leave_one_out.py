"""Leave-one-out analysis: the model refitted without each effect, or each cluster, in turn."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._clusters import cluster_codes
from medssl.meta._deletion import check_model, deleted_fits, deleted_multilevel, moderator_table, row_labels
from medssl.meta._inputs import Design, design_matrix, effects_and_variances, same_index
from medssl.meta._tau2 import estimate_tau2
from medssl.meta.random_effects import fit_given_tau2

__all__ = ["leave_one_out"]

COEFFICIENT = {
    "estimate": "coef",
    "se": "se",
    "statistic": "statistic",
    "p_value": "p_value",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
}
ROBUST = {
    "estimate": "coef",
    "se": "se",
    "statistic": "statistic",
    "df": "df",
    "p_value": "p_value",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
}


def leave_one_out(
    yi,
    vi,
    moderators=None,
    *,
    data=None,
    cluster=None,
    labels=None,
    rho: float | None = None,
    method: str = "REML",
    test: str = "knha",
) -> pd.DataFrame:
    """Refit the model without each effect, or without each cluster, in turn.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    moderators : DataFrame, Series, array or formula, optional
        As in `random_effects`.
    data : DataFrame, optional
        Table of the variables of a formula.
    cluster : array-like of shape (k,), optional
        Cluster of each effect: whole clusters are left out.
    labels : array-like of shape (k,), optional
        Name of each effect; by default the index of the series `yi`, or row numbers from 0.
    rho : float, optional
        With it the model is `multilevel` with this sampling correlation inside clusters, and errors and
        limits are cluster-robust (CR2); without it, `random_effects`.
    method, test : str
        As in `random_effects`; not with `rho`.

    Returns
    -------
    DataFrame
        One row for what is left out (the clusters in order of first appearance): ``left_out, k, estimate, se,
        statistic, p_value, ci_low, ci_high, q, q_p, tau2, i2, sign_changes``. `k` counts the effects that
        remain; `sign_changes` says that the estimate has not the sign of the full fit. With moderators there
        is one row for each left-out and coefficient, named in the column ``term`` after ``left_out``. With
        `rho`, ``df`` follows ``statistic``, and ``sigma2_cluster, sigma2_effect`` stand for ``tau2, i2``.
        Where the remaining rows cannot support the model (a moderator that no longer varies, too few
        effects), the numbers are missing.

    Raises
    ------
    UsageError
        Malformed input; `rho` without `cluster`; too few effects or clusters to leave one out.

    Notes
    -----
    metafor's leave1out (Viechtbauer 2010) is the case without clusters and moderators.

    Examples
    --------
    >>> table = leave_one_out([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001])
    >>> table.estimate.round(3).to_list()
    [0.021, 0.041, 0.051, 0.049]
    >>> by_paper = leave_one_out([0.1, 0.04, 0.01, 0.02], [4e-4, 3e-4, 2e-4, 1e-4], cluster=list("aabc"))
    >>> by_paper.left_out.to_list(), by_paper.k.to_list()
    (['a', 'b', 'c'], [2, 3, 3])
    """
    check_model(method, test)
    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    codes, names = _left_out(cluster, labels, yi, len(y))
    if rho is None:
        return _random_effects(y, v, design, codes, names, method, test)
    if cluster is None:
        raise UsageError("rho is the correlation inside clusters; name the cluster of each effect.")
    if (method, test) != ("REML", "knha"):
        raise UsageError("with rho the model is multilevel (REML, CR2 errors); leave method and test out.")
    return _multilevel(y, v, design, codes, names, rho)


def _left_out(cluster, labels, yi, k: int) -> tuple[np.ndarray, np.ndarray]:
    if cluster is None:
        return np.arange(k), row_labels(labels, yi, k)
    if labels is not None:
        raise UsageError("labels name effects, and whole clusters are left out here; leave labels out.")
    same_index("yi", yi, "cluster", cluster)
    codes, names = cluster_codes(cluster, k)
    if len(names) < 2:
        raise UsageError("cluster names one cluster only; without it nothing is left to analyse.")
    return codes, names


def _random_effects(y, v, design: Design, codes, names, method: str, test: str) -> pd.DataFrame:
    needed = 1 + len(design.names) - ((method, test) == ("FE", "z"))
    if len(y) - np.bincount(codes).min() < needed:
        raise UsageError(f"{len(y)} effects are too few: the model needs {needed} when one is left out.")
    full = fit_given_tau2(y, v, design, estimate_tau2(method, y, v, design.values), method, test)
    rows = []
    for code, fit in enumerate(deleted_fits(y, v, design, codes, method, test)):
        rest = {} if fit is None else {"q": fit.q, "q_p": fit.q_p, "tau2": fit.tau2, "i2": fit.i2}
        rows += _rows(names[code], int(np.sum(codes != code)), full, fit, COEFFICIENT, rest)
    return _table(rows, design, (*COEFFICIENT, "q", "q_p", "tau2", "i2"))


def _multilevel(y, v, design: Design, codes, names, rho: float) -> pd.DataFrame:
    from medssl.meta.multilevel import multilevel

    fits = deleted_multilevel(y, v, design, codes, rho)
    full = multilevel(y, v, codes, moderator_table(design), rho=rho)
    rows = []
    for code, fit in enumerate(fits):
        robust, rest = None, {}
        if fit is not None:
            robust = fit.robust("CR2")
            rest = {"q": fit.q, "q_p": fit.q_p}
            rest |= {"sigma2_cluster": fit.sigma2[0], "sigma2_effect": fit.sigma2[1]}
        rows += _rows(names[code], int(np.sum(codes != code)), full, robust, ROBUST, rest)
    return _table(rows, design, (*ROBUST, "q", "q_p", "sigma2_cluster", "sigma2_effect"))


def _rows(left_out, k: int, full, fit, numbers: dict[str, str], rest: dict) -> list[dict]:
    """Return one record a coefficient; a missing fit leaves its numbers out."""
    records = []
    for i, term in enumerate(full.names):
        record = {"left_out": left_out, "term": term, "k": k, "sign_changes": False}
        if fit is not None:
            record |= {column: getattr(fit, name)[i] for column, name in numbers.items()} | rest
            record["sign_changes"] = bool(np.sign(fit.coef[i]) != np.sign(full.coef[i]))
        records.append(record)
    return records


def _table(rows: list[dict], design: Design, numbers) -> pd.DataFrame:
    term = ("term",) if len(design.names) > 1 else ()
    table = pd.DataFrame(rows, columns=["left_out", *term, "k", *numbers, "sign_changes"])
    return table.astype({name: float for name in numbers})
