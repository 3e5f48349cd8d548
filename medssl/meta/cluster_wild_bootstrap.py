"""Cluster wild bootstrap: a test of coefficients that holds its level with few clusters."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from medssl.errors import UsageError
from medssl.meta._likelihood import Likelihood, Point, maximise
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta._report import p_text

__all__ = ["WildBootstrapTest", "cluster_wild_bootstrap"]

WEBB = np.sqrt(np.array([0.5, 1.0, 1.5]))
WEIGHTS = {"rademacher": np.array([-1.0, 1.0]), "webb": np.concatenate([-WEBB, WEBB])}


@dataclass(frozen=True, eq=False)
class WildBootstrapTest:
    """A bootstrap test.

    Attributes
    ----------
    names : tuple of str
        What is tested to be 0, together.
    statistic : float
        Wald statistic divided by the number of tested coefficients, CR1 errors.
    p_value : float
        Share of bootstrap statistics at least as large.
    replicates : int
        Size of the reference set.
    exact : bool
        Whether every pattern of signs was taken.
    draws : ndarray of shape (replicates,)
        The bootstrap statistics.
    """

    names: tuple[str, ...]
    statistic: float
    p_value: float
    replicates: int
    exact: bool
    draws: np.ndarray

    def report(self) -> str:
        """Return the test in one sentence."""
        kind = "all sign patterns" if self.exact else "random draws"
        return (
            f"Cluster wild bootstrap of {', '.join(self.names)} ({self.replicates} {kind}): "
            f"F = {self.statistic:.2f}, {p_text(self.p_value)}."
        )


def cluster_wild_bootstrap(
    fit: MultilevelFit, terms=None, *, replicates: int = 999, weights: str = "rademacher", seed: int = 0,
    progress: bool = False,
) -> WildBootstrapTest:  # fmt: skip
    """Test that coefficients are 0, with residuals of the model under that hypothesis times random signs.

    Parameters
    ----------
    fit : MultilevelFit
        The model with the tested coefficients.
    terms : str or list of str, optional
        Coefficients or formula terms to test together; by default all but the intercept, and the intercept
        in a model without moderators.
    replicates : int
        Draws; with "rademacher" every pattern is taken instead when there are no more than `replicates` + 1.
    weights : {"rademacher", "webb"}
        Two-point signs, or Webb's six points, which give more distinct values with under ten clusters.
    seed : int
        Seed of the draws.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    WildBootstrapTest

    Raises
    ------
    UsageError
        An unknown term or unknown weights, or fewer clusters than coefficients.

    References
    ----------
    Joshi M, Pustejovsky JE, Beretvas SN (2022). Cluster wild bootstrapping to handle dependent effect sizes
    in meta-analysis with a small number of studies. Res Synth Methods 13:457-477.
    Webb MD (2014). Reworking wild bootstrap based inference for clustered errors.

    Examples
    --------
    >>> from medssl.meta import multilevel
    >>> gains = [0.05, 0.03, 0.04, 0.01, 0.00, 0.02, 0.06, -0.01]
    >>> fit = multilevel(gains, [0.0004] * 8, list("aabbccdd"), rho=0.6)
    >>> test = cluster_wild_bootstrap(fit)
    >>> test.exact, test.p_value
    (True, 0.125)
    """
    if weights not in WEIGHTS:
        raise UsageError(f"weights is {weights!r}; it must be one of {', '.join(WEIGHTS)}.")
    if replicates < 19:
        raise UsageError(f"replicates is {replicates}; give 19 or more, usually 999.")
    fit.robust("CR1")  # raises when there are too few clusters
    columns, names = _tested(fit, terms)
    full = fit._likelihood
    x, y = full.columns[:, :-1], full.columns[:, -1]
    fitted = _null(full, columns, fit.sigma2)
    observed = _statistic(full, maximise(full, start=fit.sigma2), columns)
    patterns, exact = _patterns(full.clusters.count, weights, replicates, seed)
    draws = np.array(
        [
            _refit(full, x, fitted + pattern[full.clusters.codes] * (y - fitted), columns, fit.sigma2)
            for pattern in tqdm(patterns, desc="cluster wild bootstrap", disable=not progress)
        ]
    )
    p = float(np.mean(draws >= observed * (1 - 1e-9)))
    return WildBootstrapTest(names, observed, p, len(draws), exact, draws)


def _tested(fit: MultilevelFit, terms) -> tuple[list[int], tuple[str, ...]]:
    if terms is None:
        columns = list(range(1, len(fit.names))) or [0]
        return columns, tuple(fit.names[i] for i in columns)
    names = [terms] if isinstance(terms, str) else list(terms)
    return [i for name in names for i in fit._rows.columns(name)], tuple(names)


def _null(full: Likelihood, columns: list[int], start) -> np.ndarray:
    """Return the fitted values [k] of the model without the tested columns."""
    kept = [i for i in range(full.columns.shape[1] - 1) if i not in columns]
    if not kept:
        return np.zeros(len(full.columns))
    point = maximise(replace(full, columns=full.columns[:, [*kept, -1]]), start=start)
    return full.columns[:, kept] @ point.coef


def _refit(full: Likelihood, x, y, columns: list[int], start) -> float:
    drawn = replace(full, columns=np.column_stack([x, y]))
    return _statistic(drawn, maximise(drawn, start=start), columns)


def _statistic(likelihood: Likelihood, point: Point, columns: list[int]) -> float:
    """Wald statistic with CR1 errors over the number of tested coefficients."""
    clusters = likelihood.clusters
    residual = likelihood.columns @ np.append(-point.coef, 1.0)
    scores = clusters.sums(point.solved[:, :-1] * residual[:, None]) @ point.covariance  # [clusters, p]
    covariance = clusters.count / (clusters.count - 1) * (scores.T @ scores)[np.ix_(columns, columns)]
    tested = point.coef[columns]
    return float(tested @ np.linalg.pinv(covariance, hermitian=True) @ tested) / len(columns)


def _patterns(count: int, weights: str, replicates: int, seed: int) -> tuple[np.ndarray, bool]:
    if weights == "rademacher" and 2**count <= replicates + 1:
        return np.array(list(itertools.product((1.0, -1.0), repeat=count))), True
    rng = np.random.default_rng(seed)
    return np.vstack([np.ones(count), rng.choice(WEIGHTS[weights], size=(replicates, count))]), False
