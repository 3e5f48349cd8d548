"""Nested, stratified label subsets: what a practitioner with n labels would have."""

from numbers import Integral, Real

import numpy as np

from medssl.errors import UsageError

__all__ = ["label_count", "nested_subset", "split_budget"]


def label_count(total: int, n_or_fraction: int | float) -> int:
    """Return the number of labels that a number or a fraction of all labels stands for.

    Parameters
    ----------
    total : int
        Labels that there are.
    n_or_fraction : int or float
        An integer is a number of labels, from 1 to `total`; a float is a fraction, above 0 and up to 1, of
        which at least one label remains. So 1 is one label, and 1.0 is all of them.

    Raises
    ------
    UsageError
        It is outside these bounds or no number.

    Examples
    --------
    >>> label_count(4708, 0.1), label_count(4708, 50), label_count(4708, 1.0), label_count(40, 0.001)
    (471, 50, 4708, 1)
    """
    if isinstance(n_or_fraction, bool) or not isinstance(n_or_fraction, Real):
        raise UsageError(f"labels must be a number or a fraction, got {n_or_fraction!r}.")
    if isinstance(n_or_fraction, Integral):
        if not 1 <= n_or_fraction <= total:
            raise UsageError(f"the number of labels must lie in 1..{total}, got {n_or_fraction}.")
        return int(n_or_fraction)
    if not 0 < n_or_fraction <= 1:
        raise UsageError(
            f"a fraction of the labels must lie above 0 and up to 1, got {n_or_fraction}; "
            "a number of labels is an integer."
        )
    return max(round(float(n_or_fraction) * total), 1)


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
