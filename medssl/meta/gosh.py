"""Graphical display of heterogeneity: the pooled effect in many subsets of the effects."""

from dataclasses import dataclass
from itertools import chain, combinations
from math import comb

import numpy as np
import pandas as pd
from tqdm import tqdm

from medssl.errors import UsageError
from medssl.meta._inputs import check_choice, effects_and_variances
from medssl.meta.random_effects import random_effects

__all__ = ["Gosh", "gosh"]

METHODS = ("FE", "DL", "REML")
CELLS = 2**21  # of a block of subsets by effects, to bound memory


@dataclass(frozen=True, eq=False)
class Gosh:
    """Results in subsets.

    Attributes
    ----------
    table : DataFrame
        One row a subset: ``k, estimate, tau2, i2, q``.
    members : ndarray of bool, shape (subsets, k)
        Which effects are in each subset: ``result.table[result.members[:, 3]]`` are the subsets with the
        fourth effect.
    complete : bool
        Whether these are all subsets.
    method : str
        As given.
    """

    table: pd.DataFrame
    members: np.ndarray
    complete: bool
    method: str

    def report(self) -> str:
        """Return the spread of the estimates in words."""
        which = "all" if self.complete else "a random sample of"
        low, middle, high = self.table.estimate.quantile([0.025, 0.5, 0.975])
        return (
            f"In {which} {len(self.table)} subsets of {self.members.shape[1]} effects ({self.method}) the "
            f"estimate has the median {middle:.3g} and lies between {low:.3g} and {high:.3g} in 95% of them; "
            f"the median I2 is {self.table.i2.median():.1f}%."
        )


def gosh(
    yi,
    vi,
    *,
    subsets: int = 10000,
    seed: int = 0,
    method: str = "FE",
    smallest: int = 2,
    progress: bool = True,
) -> Gosh:
    """Pool the effects in all subsets, or in a random sample of them.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    subsets : int
        Largest number of subsets. When there are no more than this they are all taken, by size; otherwise so
        many different ones are drawn, each subset equally likely.
    seed : int
        Of the draw.
    method : {"FE", "DL", "REML"}
        As in `random_effects`; "REML" fits one subset after the other.
    smallest : int
        Smallest size of a subset, 2 or more.
    progress : bool
        Show a bar for "REML", on the standard error stream.

    Returns
    -------
    Gosh
        `.table` with one row a subset and `.members`.

    Raises
    ------
    UsageError
        Malformed input, an unknown method, `smallest` outside 2 to k, no subsets.

    Notes
    -----
    Olkin, Dahabreh and Trikalinos (2012). Several modes of the estimate, or modes that go with I2, point to
    groups of effects or to single ones that differ.

    Examples
    --------
    >>> result = gosh([0.10, 0.04, 0.01, 0.02], [0.0004, 0.0003, 0.0002, 0.0001])
    >>> len(result.table), result.complete
    (11, True)
    >>> with_first = result.members[:, 0]
    >>> result.table.estimate[with_first].min() > result.table.estimate[~with_first].max()
    np.True_
    """
    check_choice("method", method, METHODS)
    y, v = effects_and_variances(yi, vi)
    k = len(y)
    if not 2 <= smallest <= k:
        raise UsageError(f"smallest is {smallest!r}; give the size of a subset from 2 to {k}, all of them.")
    if subsets < 1:
        raise UsageError(f"subsets is {subsets!r}; ask for at least one.")
    counts = [comb(k, size) for size in range(smallest, k + 1)]
    complete = sum(counts) <= subsets
    members = _every(k, smallest) if complete else _draw(k, smallest, counts, subsets, seed)
    if method == "REML":
        bar = tqdm(members, desc="subsets", disable=not progress)
        numbers = [_reml(y[chosen], v[chosen]) for chosen in bar]
    else:
        step = max(1, CELLS // k)
        blocks = (members[i : i + step] for i in range(0, len(members), step))
        numbers = np.concatenate([_closed_form(y, v, block, method) for block in blocks])
    table = pd.DataFrame(numbers, columns=["estimate", "tau2", "i2", "q"])
    table.insert(0, "k", members.sum(axis=1))
    return Gosh(table, members, complete, method)


def _every(k: int, smallest: int) -> np.ndarray:
    sizes = range(smallest, k + 1)
    chosen = list(chain.from_iterable(combinations(range(k), size) for size in sizes))
    members = np.zeros((len(chosen), k), dtype=bool)
    for row, columns in zip(members, chosen, strict=True):
        row[list(columns)] = True
    return members


def _draw(k: int, smallest: int, counts: list[int], subsets: int, seed: int) -> np.ndarray:
    """Draw different subsets: a size by its number of subsets, then members; repeats are dropped."""
    rng = np.random.default_rng(seed)
    total = sum(counts)
    chances = np.array([count / total for count in counts])
    members = np.empty((0, k), dtype=bool)
    while len(members) < subsets:
        sizes = rng.choice(np.arange(smallest, k + 1), size=subsets, p=chances / chances.sum())
        ranks = np.argsort(np.argsort(rng.random((subsets, k)), axis=1), axis=1)
        members = np.concatenate([members, ranks < sizes[:, None]])
        _, first = np.unique(np.packbits(members, axis=1), axis=0, return_index=True)
        members = members[np.sort(first)]
    return members[:subsets]


def _reml(y, v) -> tuple[float, float, float, float]:
    fit = random_effects(y, v, test="z")
    return float(fit.coef[0]), fit.tau2, fit.i2, fit.q


def _closed_form(y, v, members: np.ndarray, method: str) -> np.ndarray:
    """Return estimate, tau2, I2 and Q of subsets of two or more, [subsets, 4]."""
    weights = members / v
    estimate, q = _pool(y, weights)
    excess = q - (members.sum(axis=1) - 1)
    if method == "FE":
        i2 = 100 * np.divide(excess, q, out=np.zeros_like(q), where=excess > 0)
        return np.column_stack([estimate, np.zeros_like(q), i2, q])
    total = weights.sum(axis=1)
    trace = np.sum(weights * (1 - weights / total[:, None]), axis=1)
    tau2 = np.maximum(0.0, excess / trace)
    typical = (members.sum(axis=1) - 1) / trace
    estimate, _ = _pool(y, members / (v + tau2[:, None]))
    return np.column_stack([estimate, tau2, 100 * tau2 / (tau2 + typical), q])


def _pool(y, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    estimate = weights @ y / weights.sum(axis=1)
    return estimate, np.sum(weights * (y - estimate[:, None]) ** 2, axis=1)
