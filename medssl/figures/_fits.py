"""What a figure takes from a fitted model, whichever model it is: weights, pooled rows, predictions."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError

__all__ = ["INTERVALS", "fit_weights", "interval_source", "pooled_row", "require_mean"]

INTERVALS = ("model", "robust")


def fit_weights(effects: pd.DataFrame, fit) -> np.ndarray:
    """Return one weight an effect: the inverse total variance under the fit, or ``1 / vi`` without one.

    A multilevel fit weighs by ``1 / (vi + sum(sigma2))``, the diagonal of its marginal covariance.
    """
    if fit is None:
        return 1 / effects["vi"].to_numpy(float)
    if hasattr(fit, "sigma2"):
        return 1 / (np.asarray(fit.vi) + np.sum(fit.sigma2))
    return np.asarray(fit.weights)


def interval_source(fit, interval: str, level: float):
    """Return what predicts: the fit itself, or its cluster-robust form."""
    if interval not in INTERVALS:
        raise UsageError(f"interval is {interval!r}; it must be one of {', '.join(INTERVALS)}.")
    if fit is None or interval == "model":
        return fit
    if not hasattr(fit, "robust"):
        raise UsageError(
            f"interval is 'robust' and the fit is a {type(fit).__name__}, which has no robust form; "
            "fit medssl.meta.multilevel, or use interval='model'."
        )
    return fit.robust(level=level)


def pooled_row(fit, interval: str, level: float) -> pd.Series:
    """Return estimate, confidence limits and prediction limits of a fit without moderators."""
    return interval_source(fit, interval, level).predict(level=level).iloc[0]


def require_mean(fit, what: str) -> None:
    """Raise `UsageError` when the fit has moderators, so that there is no single mean to draw."""
    if fit is not None and len(fit.names) > 1:
        raise UsageError(f"{what} needs a fit without moderators; this one has {', '.join(fit.names)}.")
