"""Nested, stratified label subsets: what a practitioner with n labels would have."""

import numpy as np

from medssl.errors import UsageError

__all__ = ["nested_subset", "split_budget"]


def nested_subset(labels: np.ndarray, n: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the rows of n labelled images: a larger n of the same seed contains a smaller one.

    Parameters
    ----------
    labels : ndarray of int
        All training labels, shape [images].
    n : int
        Label budget, from the number of classes to the number of images.
    seed : int
        Draws the order; rows of one class are taken in proportion to its frequency, each class at least once.
    groups : ndarray, optional
        Patient of each image: patients are drawn, and all images of one are taken before the next.

    Returns
    -------
    ndarray of int
        Rows in the order drawn, shape [n].

    Raises
    ------
    UsageError
        n is outside its bounds.

    Examples
    --------
    >>> labels = np.repeat([0, 1], [30, 10])
    >>> np.bincount(labels[nested_subset(labels, 8, seed=0)]).tolist()
    [6, 2]
    """
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, got {seed}.")
    present = np.unique(labels)
    if not len(present) <= n <= len(labels):
        raise UsageError(
            f"n labels must lie in {len(present)}..{len(labels)} for this training set, got {n}."
        )
    groups = np.arange(len(labels)) if groups is None else groups
    return _order(labels, groups, np.random.default_rng(seed))[:n]


def _order(labels, groups, generator):
    """Order all rows so that every prefix is stratified and keeps patients together."""
    units, first, unit_of_row = np.unique(groups, return_index=True, return_inverse=True)
    unit_label = labels[first]
    priority = np.empty(len(units))
    for label in np.unique(unit_label):
        members = np.flatnonzero(unit_label == label)
        rank = generator.permutation(len(members))
        # the first of each class comes before everything else, then classes alternate by frequency
        priority[members] = np.where(rank == 0, -1.0, (rank + 0.5) / len(members))
    tie = generator.permutation(len(units)) / len(units)  # patients of equal priority in random order
    order = np.lexsort((np.arange(len(labels)), tie[unit_of_row], priority[unit_of_row]))
    # a patient with many images must not crowd out a class: the first image of each class leads
    lead = np.sort(np.unique(labels[order], return_index=True)[1])
    return np.concatenate([order[lead], np.delete(order, lead)])


def split_budget(
    labels: np.ndarray, seed: int, fraction: float = 0.25, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Split a label budget into rows to fit and rows held out, stratified, patients kept whole.

    Parameters
    ----------
    labels : ndarray of int
        Labels inside the budget, shape [n].
    seed : int
    fraction : float
        Share held out; a class that would be held out whole stays on the side that is fitted.
    groups : ndarray, optional
        Patient of each row.

    Returns
    -------
    fit, held_out : ndarray of int
        Disjoint rows that together are all rows.

    Examples
    --------
    >>> fit, held_out = split_budget(np.repeat([0, 1], 20), seed=0)
    >>> len(fit), len(held_out)
    (30, 10)
    """
    groups = np.arange(len(labels)) if groups is None else groups
    order = _order(labels, groups, np.random.default_rng([seed, 1]))
    held_out = order[: max(round(fraction * len(labels)), len(np.unique(labels)))]
    held_out = np.flatnonzero(np.isin(groups, groups[held_out]))
    rest = np.setdiff1d(labels, np.delete(labels, held_out))  # classes that only held-out patients show
    back = np.isin(groups[held_out], groups[np.isin(labels, rest)])
    held_out = held_out[~back]  # they go back whole: a class that is not fitted cannot be chosen for
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out
