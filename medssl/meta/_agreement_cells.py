"""One entry of a reference table beside our value of it, and the rows that this makes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["ROUNDING", "Entry", "expected_values", "likelihood_misfit", "relative_difference"]

ROUNDING = 1e-10  # relative difference up to which two values count as the same number
RESOLUTION = 1e-12  # relative difference of log-likelihoods that rounding can make


@dataclass(frozen=True, eq=False)
class Entry:
    """A number or a vector of the reference.

    Attributes
    ----------
    model, quantity : str
        What was fitted, and what of it; the latter as the reference names it.
    reference : float, list or None
        As the reference has it; None or an empty list where it has no such number.
    ours : array-like
        Our value or values.
    tolerance : float
        Relative difference that is allowed.
    same_variance : array-like, optional
        Our formula at the variance that the reference's own iteration ended with.
    misfit : ndarray of shape (n, 2), optional
        How far our value and that of the reference are from the optimum, or from solving the equation.
    """

    model: str
    quantity: str
    reference: object
    ours: object
    tolerance: float
    same_variance: object = None
    misfit: np.ndarray | None = None

    def rows(self, name: str) -> Iterator[dict]:
        """Yield one row a number, for the set of this name."""
        theirs, ours = expected_values(self.reference), np.atleast_1d(np.asarray(self.ours, float))
        same = np.full(len(theirs), np.nan)
        if self.same_variance is not None:
            same[:] = np.atleast_1d(np.asarray(self.same_variance, float))
        difference, again = relative_difference(ours, theirs), relative_difference(same, theirs)
        for i in range(len(theirs)):
            yield {
                "set": name,
                "model": self.model,
                "quantity": self.quantity,
                "index": i if isinstance(self.reference, list) else None,
                "metafor": theirs[i],
                "ours": ours[i],
                "relative_difference": difference[i],
                "tolerance": self.tolerance,
                "agrees": bool(difference[i] <= self.tolerance),
                "nearer": self._nearer(i) if difference[i] > ROUNDING else "",
                "same_variance": same[i],
                "same_variance_difference": again[i],
            }

    def _nearer(self, i: int) -> str:
        if self.misfit is None or np.isnan(self.misfit[i]).any():
            return ""
        ours, theirs = self.misfit[i]
        return "equal" if ours == theirs else ("ours" if ours < theirs else "metafor")


def expected_values(reference) -> np.ndarray:
    """Return the numbers of an entry, [n]; none for None; a side is -1 for left and 1 for right."""
    if reference is None:
        return np.empty(0)
    if isinstance(reference, str):
        return np.array([{"left": -1.0, "right": 1.0}[reference]])
    return np.atleast_1d(np.asarray(reference, float))


def relative_difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the difference over the size of the reference; 0 where both are equal, infinite beside a 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ours == theirs, 0.0, np.abs(ours - theirs) / np.abs(theirs))


def likelihood_misfit(values, height: Callable, slope: Callable) -> np.ndarray:
    """Return how far two values are below the top, [1, 2]; where rounding hides it, their slopes instead.

    Parameters
    ----------
    values : pair
        Ours and that of the reference.
    height : callable
        The log-likelihood at a value.
    slope : callable
        What is 0 at the optimum and grows with the distance from it.
    """
    heights = np.array([height(value) for value in values])
    if np.ptp(heights) > RESOLUTION * np.abs(heights).max():
        return -heights[None, :]
    return np.array([[slope(value) for value in values]])
