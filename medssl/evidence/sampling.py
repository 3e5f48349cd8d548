"""Sampling variances of one score on a test set, and of a difference of two, on both scales."""

from functools import lru_cache

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.dispersion import dispersions
from medssl.evidence.tables import read_table, typed

__all__ = [
    "binomial_variance",
    "case_deviations",
    "dice_deviation",
    "difference_variance",
    "hanley_mcneil_variance",
    "logit",
    "logit_difference_variance",
    "pull_in",
]


def hanley_mcneil_variance(auc, n_positive, n_negative) -> np.ndarray:
    """Return the variance of an AUC from its value and the numbers of cases of each class.

    Parameters
    ----------
    auc : array_like
        Area under the ROC curve, 0 to 1.
    n_positive, n_negative : array_like
        Cases with and without the finding; fractions are allowed, 0 and below give NaN.

    Returns
    -------
    ndarray
        Variance, of the broadcast shape.

    Notes
    -----
    Hanley and McNeil (1982), Radiology 143:29-36, equation 1, with Q1 = A / (2 - A) and
    Q2 = 2 A^2 / (1 + A), which hold for scores with exponential distributions.

    Examples
    --------
    >>> round(float(np.sqrt(hanley_mcneil_variance(0.893, 51, 58))), 4)
    0.0325
    """
    auc, n_positive, n_negative = _floats(auc, n_positive, n_negative)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    product = np.where((n_positive > 0) & (n_negative > 0), n_positive * n_negative, np.nan)
    return spread / product


def binomial_variance(share, n) -> np.ndarray:
    """Return p (1 - p) / n, the variance of an accuracy over n independent cases.

    Examples
    --------
    >>> float(binomial_variance(0.8, 100).round(6))
    0.0016
    """
    share, n = _floats(share, n)
    return share * (1 - share) / np.where(n > 0, n, np.nan)


def dice_deviation(dice) -> np.ndarray:
    """Return the standard deviation of the Dice of a case, given the mean Dice of a test set.

    Parameters
    ----------
    dice : array_like
        Mean Dice, 0 to 1.

    Returns
    -------
    ndarray
        a + b D + c D^2 with a + b + c = 0, but never more than sqrt(D (1 - D)), which is all that values
        between 0 and 1 can have.

    Notes
    -----
    Christodoulou et al. (2024), arXiv 2409.17763, state in their abstract that the deviation can be
    approximated by a second-order polynomial of the mean Dice. Their coefficients were not seen, so the
    quadratic is fitted here by least squares to the mean and deviation pairs that the evidence table
    prints (`case_deviations`), each pair once, under the constraint a + b + c = 0: where every case is
    perfect nothing varies. Without the constraint the fit is negative above a Dice of 0.93. The pairs
    come from two groups of studies and four test sets, so the rung that uses this is flagged.

    Examples
    --------
    >>> dice_deviation([0.5, 0.9, 1.0]).round(3).tolist()
    [0.298, 0.051, 0.0]
    """
    u, w = _dice_coefficients()
    (dice,) = _floats(dice)
    return np.minimum((1 - dice) * (u + w * dice), np.sqrt(dice * (1 - dice)))


@lru_cache
def _dice_coefficients():
    pairs = case_deviations()
    distance = 1 - pairs["dice"]
    design = np.stack([distance, distance * pairs["dice"]], 1)  # [pairs, 2]: SD = (1 - D) (u + w D)
    return np.linalg.lstsq(design, pairs["deviation"], rcond=None)[0]


def case_deviations() -> pd.DataFrame:
    """Return every mean Dice that the evidence table prints with its deviation over cases, each once.

    Examples
    --------
    >>> sorted(set(case_deviations()["study_id"]))
    ['he2025_gemini', 'jiang2024_wild']
    """
    table = typed(read_table("published_effects"))
    table = table[table["metric"] == "Dice"]
    found = dispersions(table)
    arms = [
        pd.DataFrame(
            {
                "study_id": table["study_id"],
                "downstream_data": table["downstream_data"],
                "dice": table[f"{arm}_value"],
                "deviation": found[f"{arm}_value"],
            }
        )[(found[f"{arm}_kind"] == "SD") & (found[f"{arm}_over"] == "cases")]
        for arm in ("baseline", "ssl")
    ]
    return pd.concat(arms).drop_duplicates().reset_index(drop=True)


def difference_variance(first, second, rho) -> np.ndarray:
    """Return v1 + v2 - 2 rho sqrt(v1 v2), the variance of a difference of two scores on the same cases.

    Examples
    --------
    >>> float(difference_variance(0.04, 0.01, 0.5).round(6))
    0.03
    """
    first, second, rho = _floats(first, second, rho)
    return first + second - 2 * rho * np.sqrt(first * second)


def logit(share) -> np.ndarray:
    """Return log(p / (1 - p))."""
    (share,) = _floats(share)
    return np.log(share) - np.log1p(-share)


def logit_difference_variance(first, second, v_first, v_second, covariance) -> np.ndarray:
    """Return the delta-method variance of logit(second) - logit(first).

    Parameters
    ----------
    first, second : array_like
        Scores strictly between 0 and 1.
    v_first, v_second, covariance : array_like
        Their variances and covariance on the scale of the score.

    Examples
    --------
    >>> float(logit_difference_variance(0.5, 0.5, 0.01, 0.01, 0.0).round(6))
    0.32
    """
    first, second, v_first, v_second, covariance = _floats(first, second, v_first, v_second, covariance)
    slope_first, slope_second = 1 / (first * (1 - first)), 1 / (second * (1 - second))
    own = slope_first**2 * v_first + slope_second**2 * v_second
    return own - 2 * slope_first * slope_second * covariance


def pull_in(share, n_test) -> np.ndarray:
    """Move scores of 0 and 1 inwards by 0.5 / n_test, or by 0.001 where n_test is not known.

    Examples
    --------
    >>> pull_in([0.0, 0.4, 1.0], [50, 50, np.nan]).tolist()
    [0.01, 0.4, 0.999]
    """
    share, n_test = _floats(share, n_test)
    step = np.where(np.isnan(n_test), 1e-3, 0.5 / np.where(np.isnan(n_test), 1, n_test))
    return np.where(share <= 0, step, np.where(share >= 1, 1 - step, share))


def _floats(*arrays):
    try:
        return np.broadcast_arrays(*(np.asarray(array, float) for array in arrays))
    except ValueError as error:
        raise UsageError(f"the arguments do not fit together: {error}.") from error
