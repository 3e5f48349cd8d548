"""Analytic variance of the difference of two correlated AUCs."""

import numpy as np

from medssl.errors import UsageError

__all__ = ["delong_difference"]


def delong_difference(positive: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return AUC(first) - AUC(second) and its standard error on the same cases.

    Parameters
    ----------
    positive : ndarray of bool
        Shape [n].
    first, second : ndarray
        Scores of the two models, shape [n].

    Notes
    -----
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44:837-845: the variance of the structural
    components of the Mann-Whitney statistic.

    Examples
    --------
    >>> positive = np.array([False, False, True, True])
    >>> delong_difference(positive, np.array([0.1, 0.4, 0.3, 0.8]), np.array([0.1, 0.4, 0.3, 0.8]))
    (0.0, 0.0)
    """
    if positive.sum() < 2 or (~positive).sum() < 2:
        raise UsageError("the variance needs at least two cases of each class.")
    case, control = zip(
        *(_components(score[positive], score[~positive]) for score in (first, second)), strict=True
    )
    difference = case[0].mean() - case[1].mean()
    variance = (case[0] - case[1]).var(ddof=1) / positive.sum()
    variance += (control[0] - control[1]).var(ddof=1) / (~positive).sum()
    return float(difference), float(np.sqrt(variance))


def _components(cases, controls):
    """Share of controls below each case, and of cases above each control; ties count half."""
    above = (cases[:, None] > controls) + 0.5 * (cases[:, None] == controls)  # [cases, controls]
    return above.mean(1), above.mean(0)
