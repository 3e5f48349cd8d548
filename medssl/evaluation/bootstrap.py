"""Paired bootstrap over test cases: both models are scored on the same resampled cases."""

from dataclasses import dataclass

import numpy as np

from medssl.errors import UsageError
from medssl.evaluation.metrics import METRICS, check

__all__ = ["PairedGain", "paired_bootstrap"]

_BLOCK = 250  # repeats scored at once; bounds memory to a few tens of megabytes


@dataclass(frozen=True)
class PairedGain:
    """A difference of scores with its bootstrap error and percentile interval."""

    value: float
    standard_error: float
    ci_low: float
    ci_high: float
    repeats: int


def paired_bootstrap(
    labels: np.ndarray,
    probabilities: np.ndarray,
    comparator: np.ndarray,
    *,
    metric: str = "auc",
    repeats: int = 2000,
    seed: int = 0,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> PairedGain:
    """Return metric(probabilities) - metric(comparator) with its uncertainty over test cases.

    Parameters
    ----------
    labels : ndarray of int
        Shape [n].
    probabilities, comparator : ndarray
        Of the two models on the same cases, shape [n, classes].
    metric : str
        A key of `medssl.evaluation.METRICS`.
    repeats, seed : int
    groups : ndarray, optional
        Patient of each case: patients are resampled, all their images together.
        Without it cases are resampled within each class, so that every class stays present.
    level : float
        Coverage of the percentile interval.

    Returns
    -------
    PairedGain

    Notes
    -----
    Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 13: percentile interval.
    It covers the sampling of test cases only; variation over seeds and subsets is a second component.

    Examples
    --------
    >>> labels = np.array([0, 0, 1, 1])
    >>> same = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]])
    >>> paired_bootstrap(labels, same, same, repeats=10).standard_error
    0.0
    """
    if metric not in METRICS:
        raise UsageError(f"unknown metric {metric!r}: choose one of {', '.join(METRICS)}.")
    for arm in (probabilities, comparator):
        check(labels, arm)
    score = METRICS[metric]
    value = float(score(labels, probabilities)[0] - score(labels, comparator)[0])
    generator = np.random.default_rng(seed)
    draws = np.concatenate(
        [
            score(labels, probabilities, weights) - score(labels, comparator, weights)
            for weights in _weights(labels, groups, repeats, generator)
        ]
    )
    draws = draws[np.isfinite(draws)]  # a patient resample may lack a class
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return PairedGain(value, float(draws.std(ddof=1)), float(low), float(high), len(draws))


def _weights(labels, groups, repeats, generator):
    """Yield blocks of case weights, shape [block, n]."""
    for start in range(0, repeats, _BLOCK):
        block = min(_BLOCK, repeats - start)
        if groups is None:
            yield _within_classes(labels, block, generator)
        else:
            patients, index = np.unique(groups, return_inverse=True)
            counts = generator.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), block)
            yield counts[:, index].astype(float)


def _within_classes(labels, block, generator):
    weights = np.zeros((block, len(labels)))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        weights[:, rows] = generator.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), block)
    return weights
