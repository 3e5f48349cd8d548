"""Reliability: do cases that a model calls 80 percent certain turn out right in 80 percent?"""

import numpy as np
import pandas as pd
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.evaluation.metrics import check

__all__ = ["reliability_table", "wilson_interval"]


def reliability_table(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    of: int | None = None,
    bins: int = 15,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return confidence and accuracy in bins of equal width.

    Parameters
    ----------
    labels : ndarray of int
        Shape [n].
    probabilities : ndarray
        Shape [n, classes].
    of : int, optional
        A class: its probability is compared with its frequency, which is what matters for two classes.
        Without it, the probability of the most likely class is compared with how often that is right.
    bins : int
        Number of bins, from 0 to 1, each closed above.
    level : float
        Coverage of the intervals of the accuracy.

    Returns
    -------
    DataFrame
        One row a bin that holds a case: ``bin_low, bin_high, count, confidence`` (mean),
        ``accuracy, ci_low, ci_high, gap`` (accuracy minus confidence).
        The mean of \\|gap\\| weighted by ``count`` is the expected calibration error.

    Raises
    ------
    UsageError
        Shapes differ, values are not probabilities, or no such class, bin or level.

    Notes
    -----
    Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural networks".
    The interval takes cases as independent, see `wilson_interval`: with several images a patient it is too
    narrow.

    Examples
    --------
    >>> probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.4, 0.6]])
    >>> table = reliability_table(np.array([0, 1, 0, 1]), probabilities, bins=5)
    >>> table[["bin_low", "bin_high", "count", "confidence"]].round(3).values.tolist()
    [[0.4, 0.6, 1.0, 0.6], [0.8, 1.0, 3.0, 0.9]]
    """
    check(labels, probabilities)
    _check(probabilities, of, bins, level)
    score = probabilities.max(1) if of is None else probabilities[:, of]
    right = probabilities.argmax(1) == labels if of is None else labels == of
    table = pd.DataFrame({"place": _places(score, bins), "confidence": score.astype(float), "right": right})
    table = table.groupby("place", as_index=False).agg(
        count=("right", "size"), confidence=("confidence", "mean"), accuracy=("right", "mean")
    )
    low, high = wilson_interval(table["accuracy"].to_numpy(), table["count"].to_numpy(), level)
    table = table.assign(
        bin_low=table.place / bins, bin_high=(table.place + 1) / bins, ci_low=low, ci_high=high,
        gap=table.accuracy - table.confidence,
    )  # fmt: skip
    return table[["bin_low", "bin_high", "count", "confidence", "accuracy", "ci_low", "ci_high", "gap"]]


def _places(score, bins):
    """Return the bin of each score; a score on an edge belongs below it, and 0 to the first bin."""
    edges = np.arange(1, bins) / bins
    return np.searchsorted(edges.astype(score.dtype), score, side="left")


def _check(probabilities, of, bins, level):
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-6:
        raise UsageError("reliability needs probabilities between 0 and 1; these are other scores.")
    if of is not None and not 0 <= of < probabilities.shape[1]:
        raise UsageError(f"there is no class {of}; classes are 0..{probabilities.shape[1] - 1}.")
    if bins < 1 or not 0 < level < 1:
        raise UsageError(f"bins must be at least 1 and level between 0 and 1, got {bins} and {level}.")


def wilson_interval(
    share: np.ndarray, count: np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return the score interval of shares of `count` independent cases.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference": the shares p
    for which (share - p)^2 = z^2 p (1 - p) / count.
    It stays inside 0..1 and has a width where every case or none is right.

    Examples
    --------
    >>> low, high = wilson_interval(np.array([0.5, 1.0]), np.array([10, 10]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.237, 0.722], [0.763, 1.0])
    """
    z = norm.isf((1 - level) / 2)
    shrunk = 1 + z**2 / count
    middle = (share + z**2 / (2 * count)) / shrunk
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / shrunk
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
