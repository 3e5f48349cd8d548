"""The probability that a new study gains more than a given amount."""

import numpy as np
import pandas as pd
from scipy.stats import t

from medssl.errors import UsageError

__all__ = ["probability_of_gain"]


def probability_of_gain(fit, minimal: float = 0.0, moderators=None) -> pd.DataFrame:
    """Return the probability that the true effect in a new study, or a new cluster, exceeds `minimal`.

    Parameters
    ----------
    fit : MultilevelFit or RandomEffectsFit
        A fit with a variance of true effects; of a multilevel fit the robust errors are used.
    minimal : float
        The effect to exceed.
    moderators : optional
        Rows to predict at, as for `fit.predict`.

    Returns
    -------
    DataFrame
        `estimate`, `probability`: the tail of the predictive t distribution, whose squared scale is the
        variance of the mean plus that of true effects, with the degrees of freedom of the mean. It is the
        distribution that the prediction interval of the same fit comes from.

    Raises
    ------
    UsageError
        A common-effect fit, which predicts no new study.

    Examples
    --------
    >>> from medssl.meta import random_effects
    >>> fit = random_effects([0.02, 0.03, 0.01, 0.05], [1e-4, 2e-4, 1e-4, 3e-4])
    >>> probability_of_gain(fit, 0.0).probability.round(2).tolist()
    [0.94]
    """
    if getattr(fit, "method", "") == "FE":
        raise UsageError(
            "a common-effect model predicts no new study; fit one with a variance between studies."
        )
    source = fit.robust() if hasattr(fit, "robust") else fit
    table = source.predict(moderators)
    df = table["df"].to_numpy() if "df" in table else np.full(len(table), source.df)
    scale = (table["pi_high"] - table["estimate"]).to_numpy() / t.isf(0.025, df)
    distance = table["estimate"].to_numpy() - minimal
    with np.errstate(divide="ignore", invalid="ignore"):
        probability = np.where(scale > 0, t.cdf(distance / scale, df), np.where(distance > 0, 1.0, 0.0))
    return pd.DataFrame({"estimate": table["estimate"], "probability": probability}, index=table.index)
