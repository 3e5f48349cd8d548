"""Baujat's coordinates: what each effect adds to heterogeneity, and how much it moves the result."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._deletion import check_model, deleted_fits, row_labels
from medssl.meta._inputs import design_matrix, effects_and_variances
from medssl.meta.random_effects import random_effects

__all__ = ["baujat"]


def baujat(
    yi, vi, moderators=None, *, data=None, labels=None, method: str = "FE", test: str = "z"
) -> pd.DataFrame:
    r"""Return the contribution of each effect to heterogeneity and its influence on the result.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    moderators : DataFrame, Series, array or formula, optional
        As in `random_effects`.
    data : DataFrame, optional
        Table of the variables of a formula.
    labels : array-like of shape (k,), optional
        Name of each effect; by default the index of the series `yi`, or row numbers from 0.
    method, test : str
        As in `random_effects`; the common-effect model of the original plot by default.

    Returns
    -------
    DataFrame
        ``label``; ``heterogeneity``, the squared Pearson residual :math:`(y_i - x_i'b)^2/(v_i + \tau^2)`,
        which for "FE" adds up to Q; ``influence``, the squared change of the fitted value when the effect is
        left out, over the variance of that value without it (missing where the model cannot be fitted then).

    Raises
    ------
    UsageError
        Malformed input, or too few effects to leave one out.

    Notes
    -----
    Baujat et al. (2002), for any model as in metafor's baujat.rma.

    Examples
    --------
    >>> table = baujat([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001])
    >>> table.heterogeneity.round(2).to_list()
    [12.11, 0.31, 2.08, 1.08]
    """
    check_model(method, test)
    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    k, p = design.values.shape
    if k < p + 1 + ((method, test) != ("FE", "z")):
        raise UsageError(f"{k} effects are too few to leave one out of a model of {p} coefficient(s).")
    full = random_effects(yi, vi, moderators, data=data, method=method, test=test)
    influence = np.full(k, np.nan)
    for i, fit in enumerate(deleted_fits(y, v, design, np.arange(k), method, test)):
        if fit is not None:
            x = full.design[i]
            with np.errstate(divide="ignore", invalid="ignore"):  # a perfect fit under "knha" has no variance
                influence[i] = (x @ (full.coef - fit.coef)) ** 2 / (x @ fit.covariance @ x)
    residual = y - full.design @ full.coef
    return pd.DataFrame(
        {
            "label": row_labels(labels, yi, k),
            "heterogeneity": residual**2 / (v + full.tau2),
            "influence": influence,
        }
    )
