"""What the regressions on precision share: their designs and their three models."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._deletion import moderator_table
from medssl.meta._fit import critical_value
from medssl.meta._inputs import check_choice, design_matrix, effects_and_variances
from medssl.meta.random_effects import random_effects

__all__ = ["STANDARD_ERROR", "VARIANCE", "Line", "regress_on_precision"]

STANDARD_ERROR = "standard_error"
VARIANCE = "variance"
FORMS = ("regression", "classical", "cluster")


@dataclass(frozen=True, eq=False)
class Line:
    """A regression whose last coefficient is that of the standard error or variance; arrays [p]."""

    coef: np.ndarray
    se: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    df: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray


def regress_on_precision(
    yi,
    vi,
    predictor: str,
    *,
    form: str,
    moderators=None,
    data=None,
    cluster=None,
    rho: float = 0.6,
    method: str = "REML",
    level: float = 0.95,
) -> Line:
    """Regress effects on their standard errors or variances, as the last column after the moderators.

    "regression": `random_effects`, z tests. "classical": weights 1 / vi, multiplicative dispersion, t tests.
    "cluster": `multilevel`, cluster-robust (CR2) t tests.
    """
    check_choice("form", form, FORMS)
    if (form == "cluster") != (cluster is not None):
        raise UsageError("form='cluster' and the argument cluster belong together; give both or neither.")
    table = _with_predictor(yi, vi, predictor, moderators, data)
    if form == "regression":
        fit = random_effects(yi, vi, table, method=method, test="z")
        return _line(fit, np.inf, level)
    if form == "classical":
        fit = random_effects(yi, vi, table, method="FE", test="knha")
        return _line(fit, fit.df, level)
    from medssl.meta.multilevel import multilevel

    fit = multilevel(yi, vi, cluster, table, rho=rho).robust("CR2")
    return _line(fit, fit.df, level)


def _line(fit, df, level: float) -> Line:
    degrees = np.broadcast_to(np.asarray(df, float), fit.coef.shape)
    half = np.array([critical_value(each, level) for each in degrees]) * fit.se
    limits = (fit.coef - half, fit.coef + half)
    return Line(fit.coef, fit.se, fit.statistic, fit.p_value, degrees, *limits)


def _with_predictor(yi, vi, predictor: str, moderators, data) -> pd.DataFrame:
    y, v = effects_and_variances(yi, vi)
    spread = np.ptp(np.sqrt(v))
    if spread <= 1e-12 * np.sqrt(v.max()):
        raise UsageError("vi are all equal, so effects cannot be regressed on their precision.")
    table = moderator_table(design_matrix(moderators, yi, len(y), data))
    table = pd.DataFrame(index=range(len(y))) if table is None else table
    if predictor in table:
        raise UsageError(f"moderators has the column {predictor!r}, which is added here; rename it.")
    table[predictor] = np.sqrt(v) if predictor == STANDARD_ERROR else v
    return table.set_index(yi.index) if isinstance(yi, pd.Series) else table
