"""Splitting a source that comes without splits: whole groups, classes in proportion, the same every time."""

import numpy as np

from medssl.data._dataset import SPLITS
from medssl.errors import UsageError

__all__ = ["grouped_split"]


def grouped_split(
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> np.ndarray:
    """Assign each image to train, val or test so that no group is divided.

    Groups are taken class by class (a group counts for its most frequent label), the largest first, and
    each goes to the split that lacks most images of that class.

    Parameters
    ----------
    labels : ndarray of int
        Class indices, shape [n].
    groups : ndarray
        Unit of independence of each image, shape [n].
    fractions : tuple of float
        Wanted shares of train, val and test; they sum to 1.
    seed : int
        Order of groups of equal size.

    Returns
    -------
    ndarray of str
        "train", "val" or "test" for each image, shape [n].

    Raises
    ------
    UsageError
        The fractions do not sum to 1.

    Examples
    --------
    >>> grouped_split(np.zeros(10, int), np.arange(10)).tolist().count("train")
    7
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise UsageError(f"fractions {fractions}: give three shares of at least 0 that sum to 1.")
    names, members = np.unique(groups, return_inverse=True)
    sizes = np.bincount(members, minlength=len(names))
    classes = _majority(labels, members, len(names))
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    chosen = np.empty(len(names), dtype=int)
    for label in np.unique(classes):
        of_class = order[classes[order] == label]
        chosen[of_class] = _fill(sizes[of_class], fractions)
    return np.array(SPLITS)[chosen[members]]


def _majority(labels: np.ndarray, members: np.ndarray, count: int) -> np.ndarray:
    table = np.zeros((count, int(labels.max(initial=0)) + 1), dtype=int)  # [groups, classes]
    np.add.at(table, (members, labels), 1)
    return table.argmax(axis=1)


def _fill(sizes: np.ndarray, fractions: tuple[float, ...]) -> np.ndarray:
    lacking = np.array(fractions) * sizes.sum()
    chosen = np.empty(len(sizes), dtype=int)
    for index, size in enumerate(sizes):
        chosen[index] = int(lacking.argmax())
        lacking[chosen[index]] -= size
    return chosen
