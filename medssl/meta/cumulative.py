"""Cumulative meta-analysis: one effect added at a time."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._deletion import check_model, row_labels
from medssl.meta._inputs import effects_and_variances, same_index
from medssl.meta.random_effects import random_effects

__all__ = ["cumulative"]


def cumulative(yi, vi, *, order=None, labels=None, method: str = "REML", test: str = "knha") -> pd.DataFrame:
    """Pool the first effect, the first two, and so on.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    order : array-like of shape (k,), optional
        What to sort by, for instance the year; equal values keep their order. By default the order given.
    labels : array-like of shape (k,), optional
        Name of each effect; by default the index of the series `yi`, or row numbers from 0.
    method, test : str
        As in `random_effects`. The first row, one effect alone, is that effect with its normal interval,
        whatever the method.

    Returns
    -------
    DataFrame
        One row a step: ``added`` (label of the effect that came in), ``k, estimate, se, statistic, p_value,
        ci_low, ci_high, q, q_p, tau2, i2``.

    Raises
    ------
    UsageError
        Malformed input; an `order` of another length or with missing values.

    Notes
    -----
    Lau et al. (1992); metafor's cumul.

    Examples
    --------
    >>> table = cumulative([0.04, 0.10, 0.02], [0.0003, 0.0004, 0.0001], order=[2021, 2020, 2022], test="z")
    >>> table.added.to_list(), table.estimate.round(3).to_list()
    ([1, 0, 2], [0.1, 0.069, 0.051])
    """
    check_model(method, test)
    y, v = effects_and_variances(yi, vi)
    names = row_labels(labels, yi, len(y))
    rows = _order(order, yi, len(y))
    steps = []
    for size in range(1, len(y) + 1):
        seen = rows[:size]
        how = {"method": method, "test": test} if size > 1 else {"method": "FE", "test": "z"}
        fit = random_effects(y[seen], v[seen], **how)
        coefficient = (fit.coef, fit.se, fit.statistic, fit.p_value, fit.ci_low, fit.ci_high)
        numbers = [*(float(each[0]) for each in coefficient), fit.q, fit.q_p, fit.tau2, fit.i2]
        steps.append([names[rows[size - 1]], size, *numbers])
    columns = ["added", "k", "estimate", "se", "statistic", "p_value", "ci_low", "ci_high"]
    return pd.DataFrame(steps, columns=[*columns, "q", "q_p", "tau2", "i2"])


def _order(order, yi, k: int) -> np.ndarray:
    if order is None:
        return np.arange(k)
    same_index("yi", yi, "order", order)
    values = np.asarray(order)
    if values.ndim != 1 or len(values) != k:
        raise UsageError(f"order has shape {values.shape} and yi has {k} values; give one value for each.")
    missing = np.flatnonzero(pd.isna(values))
    if len(missing):
        raise UsageError(f"order is missing in row {missing[0]} ({len(missing)} rows); complete it first.")
    return np.argsort(values, kind="stable")
