"""Classification scores with integer case weights, so that one call can serve a whole bootstrap."""

import numpy as np

from medssl.errors import UsageError

__all__ = ["METRICS", "area_under_curve", "balanced_accuracy", "binary_area", "check", "scores"]


def check(labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Raise `UsageError` unless probabilities [n, classes] are finite and fit the labels [n]."""
    if probabilities.ndim != 2 or len(labels) != len(probabilities):
        raise UsageError(f"probabilities {probabilities.shape} do not fit {len(labels)} labels.")
    if len(labels) and not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
        raise UsageError(f"labels lie outside 0..{probabilities.shape[1] - 1}.")
    if not np.isfinite(probabilities).all():
        raise UsageError("probabilities hold NaN or infinite values: the model diverged.")
    if len(np.unique(labels)) < 2:
        raise UsageError("scores need at least two classes among the test labels.")


def binary_area(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve for each row of weights (the Mann-Whitney statistic, ties count half).

    Parameters
    ----------
    positive : ndarray of bool
        Shape [n].
    score : ndarray
        Shape [n]; larger means more likely positive.
    weights : ndarray
        How often each case counts, shape [repeats, n].

    Returns
    -------
    ndarray
        Shape [repeats].

    Examples
    --------
    >>> binary_area(np.array([True, False]), np.array([0.7, 0.2]), np.ones((1, 2)))
    array([1.])
    """
    order = np.argsort(score, kind="stable")
    level, up = score[order], positive[order]
    up_weights, down_weights = weights[:, order[up]], weights[:, order[~up]]
    total = np.zeros((len(weights), down_weights.shape[1] + 1))
    np.cumsum(down_weights, 1, out=total[:, 1:])
    fewer, up_to = (np.searchsorted(level[~up], level[up], side) for side in ("left", "right"))
    below = (total[:, fewer] + total[:, up_to]) / 2  # negatives below each positive, ties half
    return (up_weights * below).sum(1) / (up_weights.sum(1) * total[:, -1])


def area_under_curve(labels: np.ndarray, probabilities: np.ndarray, weights=None) -> np.ndarray:
    """Macro-averaged one-against-rest AUC; for two classes the AUC of class 1.

    Parameters
    ----------
    labels : ndarray of int
        Shape [n].
    probabilities : ndarray
        Shape [n, classes].
    weights : ndarray, optional
        Shape [repeats, n]; without it every case counts once.

    Returns
    -------
    ndarray
        Shape [repeats], one row without weights; NaN where a repeat lacks a class.
    """
    weights = np.ones((1, len(labels))) if weights is None else weights
    classes = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = [binary_area(labels == c, probabilities[:, c], weights) for c in classes]
    return np.mean(areas, 0)


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray, weights=None) -> np.ndarray:
    """Mean recall over the classes present; shapes as in `area_under_curve`."""
    weights = np.ones((1, len(labels))) if weights is None else weights
    right = probabilities.argmax(1) == labels
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls = [
            weights[:, (labels == c) & right].sum(1) / weights[:, labels == c].sum(1)
            for c in np.unique(labels)
        ]
    return np.mean(recalls, 0)


METRICS = {"auc": area_under_curve, "balanced_accuracy": balanced_accuracy}


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return every metric of `METRICS` on the 0..1 scale.

    Raises
    ------
    UsageError
        Shapes differ, values are not finite, or only one class is present.

    Examples
    --------
    >>> scores(np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    {'auc': 1.0, 'balanced_accuracy': 1.0}
    """
    check(labels, probabilities)
    return {name: float(metric(labels, probabilities)[0]) for name, metric in METRICS.items()}
