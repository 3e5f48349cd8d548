"""Cluster bootstrap: refit with whole clusters drawn with replacement."""

from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from medssl.errors import RunError, UsageError
from medssl.meta._likelihood import maximise
from medssl.meta._multilevel_fit import MultilevelFit

__all__ = ["bootstrap_coefficients", "cluster_bootstrap"]

LEAST = 0.9  # of the replicates that must be usable


def cluster_bootstrap(
    fit: MultilevelFit, *, replicates: int = 1000, seed: int = 0, level: float = 0.95, progress: bool = False
) -> pd.DataFrame:
    """Return percentile intervals of the coefficients from a pairs bootstrap of clusters.

    Parameters
    ----------
    fit : MultilevelFit
        The fit whose clusters are drawn; each replicate estimates both variances again.
    replicates : int
        Number of refits.
    seed : int
        Seed of the draws.
    level : float
        Coverage of the intervals.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        One row a coefficient: `estimate`, `se` (standard deviation of the draws), `ci_low`, `ci_high`,
        `replicates` (usable ones: a draw without any cluster of some level cannot estimate it).

    Raises
    ------
    RunError
        More than a tenth of the draws were unusable: moderators rest on too few clusters.

    References
    ----------
    Cameron AC, Gelbach JB, Miller DL (2008). Bootstrap-based improvements for inference with clustered
    errors. Rev Econ Stat 90:414-427 (the pairs cluster bootstrap).

    Examples
    --------
    >>> from medssl.meta import multilevel
    >>> gains = [0.05, 0.03, 0.04, 0.01, 0.00, 0.02, 0.06, -0.01]
    >>> fit = multilevel(gains, [0.0004] * 8, list("aabbccdd"), rho=0.6)
    >>> cluster_bootstrap(fit, replicates=50).replicates.tolist()
    [50]
    """
    if not 0 < level < 1:
        raise UsageError(f"level is {level!r}; it must lie between 0 and 1, for example 0.95.")
    draws = bootstrap_coefficients(fit, replicates=replicates, seed=seed, progress=progress)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return pd.DataFrame(
        {
            "estimate": fit.coef,
            "se": draws.std(axis=0, ddof=1),
            "ci_low": low,
            "ci_high": high,
            "replicates": len(draws),
        },
        index=list(fit.names),
    )


def bootstrap_coefficients(
    fit: MultilevelFit, *, replicates: int = 1000, seed: int = 0, progress: bool = False
) -> np.ndarray:
    """Return the coefficients of usable bootstrap refits, [replicates, p]."""
    if replicates < 2:
        raise UsageError(f"replicates is {replicates}; a bootstrap needs 2 or more, usually 1,000.")
    counts = np.random.default_rng(seed).multinomial(
        fit.clusters, np.full(fit.clusters, 1 / fit.clusters), size=replicates
    )
    draws = []
    for weights in tqdm(counts, desc="cluster bootstrap", disable=not progress):
        drawn = replace(fit._likelihood, weights=weights.astype(float))
        if _estimable(drawn):
            draws.append(maximise(drawn, start=fit.sigma2).coef)
    if len(draws) < LEAST * replicates:
        raise RunError(
            f"{replicates - len(draws)} of {replicates} bootstrap samples cannot estimate every coefficient: "
            "some moderator varies in too few clusters. Use fewer moderators or the robust interval."
        )
    return np.array(draws)


def _estimable(likelihood) -> bool:
    kept = likelihood.weights[likelihood.clusters.codes] > 0
    x = likelihood.columns[kept, :-1]
    return bool(np.linalg.matrix_rank(x) == x.shape[1]) and len(x) > x.shape[1]
