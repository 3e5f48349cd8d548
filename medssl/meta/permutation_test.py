"""Permutation tests: signs of effects or of whole clusters, or rows of the moderators."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from medssl.errors import UsageError
from medssl.meta._clusters import cluster_codes
from medssl.meta._inputs import design_matrix, effects_and_variances
from medssl.meta._report import p_text
from medssl.meta.multilevel import multilevel
from medssl.meta.random_effects import random_effects

__all__ = ["PermutationTest", "permutation_test"]

TOLERANCE = 1e-9  # relative: the observed arrangement counts as at least as extreme as itself


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Permutation p values.

    Attributes
    ----------
    names : tuple of str
        Tested coefficients.
    statistic, p_value : ndarray
        Observed t or z statistics and their two-sided permutation p values.
    joint_p_value : float
        Of the joint test of all moderators; NaN for a model without.
    permutations : int
        Arrangements in the reference set, the observed one included.
    exact : bool
        Whether these are all arrangements.
    """

    names: tuple[str, ...]
    statistic: np.ndarray
    p_value: np.ndarray
    joint_p_value: float
    permutations: int
    exact: bool

    def report(self) -> str:
        """Return the test in one sentence."""
        kind = "all" if self.exact else "random"
        terms = "; ".join(f"{name}: {p_text(p)}" for name, p in zip(self.names, self.p_value, strict=True))
        return f"Permutation test with {self.permutations} ({kind}) arrangements: {terms}."


def permutation_test(
    yi, vi, moderators=None, *, data=None, cluster=None, rho: float = 0.6, method: str = "REML",
    test: str = "knha", permutations: int = 1000, seed: int = 0, progress: bool = False,
) -> PermutationTest:  # fmt: skip
    """Test coefficients against rearrangements of the data, which needs no distribution of true effects.

    Parameters
    ----------
    yi, vi, moderators, data
        As for `random_effects`.
    cluster : array-like of shape (k,), optional
        Without moderators only: signs of whole clusters are changed, and the model is `multilevel`.
    rho : float
        Sampling correlation of the model with clusters.
    method, test
        As for `random_effects`, without clusters.
    permutations : int
        Arrangements to draw; all of them are taken when there are no more than that.
    seed : int
        Seed of the draws.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    PermutationTest

    Raises
    ------
    UsageError
        As the model; moderators together with clusters, for which rows are not exchangeable: use
        `cluster_wild_bootstrap`.

    Notes
    -----
    Without moderators the signs of the effects are exchangeable under a distribution that is symmetric about
    0; with moderators their rows are exchangeable when no moderator has an effect (Follmann and Proschan
    1999; Higgins and Thompson 2004). The model is fitted again to each arrangement. With few effects the
    smallest possible p value is limited: 2 / 2^k without moderators.

    Examples
    --------
    >>> test = permutation_test([0.03, 0.05, 0.02, 0.06, 0.04], [1e-4, 2e-4, 1e-4, 3e-4, 2e-4])
    >>> test.exact, test.p_value.tolist()
    (True, [0.0625])
    """
    if permutations < 2:
        raise UsageError(f"permutations is {permutations}; give 2 or more, usually 1,000.")
    y, v = effects_and_variances(yi, vi)
    design = design_matrix(moderators, yi, len(y), data)
    regression = len(design.names) > 1
    if cluster is not None and regression:
        raise UsageError(
            "rows of moderators are not exchangeable within clusters; test them with cluster_wild_bootstrap."
        )
    units = np.arange(len(y)) if cluster is None else cluster_codes(cluster, len(y))[0]

    def statistics(effects, rows):
        if cluster is not None:
            return np.append(multilevel(effects, v, units, rho=rho).robust().statistic, np.nan)
        fit = random_effects(effects, v, rows, method=method, test=test)
        return np.append(fit.statistic[1:] if regression else fit.statistic, fit.qm)

    moved, exact = _arrangements(y, design.values[:, 1:], units, regression, permutations, seed)
    observed = statistics(y, design.values[:, 1:] if regression else None)
    drawn = np.array([statistics(*each) for each in tqdm(moved, desc="permutations", disable=not progress)])
    p = np.mean(np.abs(drawn) >= np.abs(observed) * (1 - TOLERANCE), axis=0)
    names = design.names[1:] if regression else design.names
    joint = float(p[-1]) if regression else math.nan
    return PermutationTest(names, observed[:-1], p[:-1], joint, len(drawn), exact)


def _arrangements(y, x, units, regression: bool, permutations: int, seed: int):
    """Return pairs of effects and moderator rows, the observed ones first, and whether they are all."""
    rng = np.random.default_rng(seed)
    count = len(y) if regression else int(units.max()) + 1
    total = math.factorial(count) if regression else 2**count
    exact = total <= permutations
    if regression:
        orders = (
            itertools.permutations(range(count))
            if exact
            else itertools.chain([range(count)], (rng.permutation(count) for _ in range(permutations - 1)))
        )
        return [(y, x[list(order)]) for order in orders], exact
    signs = (
        itertools.product((1.0, -1.0), repeat=count)
        if exact
        else itertools.chain(
            [np.ones(count)], (rng.choice((1.0, -1.0), count) for _ in range(permutations - 1))
        )
    )
    return [(np.asarray(sign)[units] * y, None) for sign in signs], exact
