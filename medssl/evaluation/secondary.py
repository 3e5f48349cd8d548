"""Secondary scores: precision and recall, sensitivity at a specificity, calibration error.

They stand beside AUC in a record and have no paired interval of their own.
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_curve

from medssl.errors import UsageError
from medssl.evaluation.metrics import check

__all__ = [
    "area_under_precision_recall",
    "expected_calibration_error",
    "secondary_scores",
    "sensitivity_at_specificity",
]


def area_under_precision_recall(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Average precision, macro-averaged one against rest; for two classes that of class 1.

    Parameters
    ----------
    labels : ndarray of int
        Shape [n].
    probabilities : ndarray
        Shape [n, classes].

    Examples
    --------
    >>> area_under_precision_recall(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    1.0
    """
    parts = [average_precision_score(positive, score) for positive, score in _tasks(labels, probabilities)]
    return float(np.mean(parts))


def sensitivity_at_specificity(
    labels: np.ndarray, probabilities: np.ndarray, specificity: float = 0.9
) -> float:
    """Largest sensitivity of a threshold with at least this specificity; macro-averaged like AUC.

    Parameters
    ----------
    labels, probabilities
        As above.
    specificity : float
        Share of the negative cases below the threshold, between 0 and 1.

    Raises
    ------
    UsageError
        The specificity is outside 0..1.

    Examples
    --------
    >>> score = np.array([0.1, 0.2, 0.6, 0.5, 0.9])
    >>> sensitivity_at_specificity(np.array([0, 0, 0, 1, 1]), np.column_stack([1 - score, score]), 0.6)
    1.0
    """
    if not 0 <= specificity <= 1:
        raise UsageError(f"specificity must be between 0 and 1, got {specificity}.")
    parts = []
    for positive, score in _tasks(labels, probabilities):
        false_positive, sensitivity, _ = roc_curve(positive, score, drop_intermediate=False)
        parts.append(sensitivity[1 - false_positive >= specificity - 1e-12].max())
    return float(np.mean(parts))


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by cases.

    Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks".

    Parameters
    ----------
    labels, probabilities
        As above; the confidence is the probability of the class that is predicted.
    bins : int
        Bins of equal width in 0..1, closed on the right.

    Examples
    --------
    >>> round(expected_calibration_error(np.array([0, 1]), np.array([[0.8, 0.2], [0.8, 0.2]])), 6)
    0.3
    """
    confidence = probabilities.max(1).astype(float)
    right = probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, right - confidence, bins)  # sum of accuracy minus confidence in each bin
    return float(np.abs(gap).sum() / len(labels))


def secondary_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return all secondary scores of probabilities [n, classes].

    Raises
    ------
    UsageError
        Shapes differ or values are not finite.

    Examples
    --------
    >>> sorted(secondary_scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])))
    ['calibration_error', 'precision_recall', 'sensitivity_at_90']
    """
    check(labels, probabilities)
    return {
        "precision_recall": area_under_precision_recall(labels, probabilities),
        "sensitivity_at_90": sensitivity_at_specificity(labels, probabilities, 0.9),
        "calibration_error": expected_calibration_error(labels, probabilities),
    }


def _tasks(labels, probabilities):
    """Yield what is positive and its score, one against rest; for two classes class 1 alone."""
    classes = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    return [(labels == c, probabilities[:, c]) for c in classes]
