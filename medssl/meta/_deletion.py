"""Refits of the random-effects model without one effect, or one cluster, at a time."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._fit import RandomEffectsFit
from medssl.meta._inputs import Design, check_choice, same_index
from medssl.meta._tau2 import METHODS, Tau2, _grid, _root, estimate_tau2
from medssl.meta.random_effects import TESTS, fit_given_tau2

__all__ = [
    "check_model",
    "deleted_fits",
    "deleted_multilevel",
    "deleted_tau2",
    "estimable",
    "moderator_table",
    "row_labels",
]

MANY = 200  # effects beyond which the scan of each likelihood starts from shared sums


def check_model(method: str, test: str) -> None:
    """Raise `UsageError` for an estimator or a test that does not exist."""
    check_choice("method", method, METHODS)
    check_choice("test", test, TESTS)


def row_labels(labels, yi, k: int) -> np.ndarray:
    """Return one label a row: those given, else the index of the series `yi`, else row numbers from 0."""
    if labels is None:
        return yi.index.to_numpy() if isinstance(yi, pd.Series) else np.arange(k)
    same_index("yi", yi, "labels", labels)
    values = np.asarray(labels)
    if values.ndim != 1 or len(values) != k:
        raise UsageError(f"labels has shape {values.shape} and yi has {k} values; give one label for each.")
    return values


def moderator_table(design: Design) -> pd.DataFrame | None:
    """Return the design without its intercept as a table, None when nothing is left."""
    if len(design.names) == 1:
        return None
    return pd.DataFrame(design.values[:, 1:], columns=list(design.names[1:]))


def deleted_fits(
    y: np.ndarray, v: np.ndarray, design: Design, codes: np.ndarray, method: str, test: str
) -> Iterator[RandomEffectsFit | None]:
    """Refit without the rows of each code 0, 1, ... in turn; None where the rest cannot support the model."""
    shared = None
    many = len(y) > MANY and len(y) - np.bincount(codes).max() > 1
    if many and method in ("ML", "REML") and len(design.names) == 1:
        shared = deleted_tau2(y, v, codes, restricted=method == "REML")
    for code in range(codes.max() + 1):
        keep = codes != code
        x = design.values[keep]
        if not estimable(x, method, test):
            yield None
            continue
        if shared is None:
            tau2 = estimate_tau2(method, y[keep], v[keep], x)
        else:
            tau2 = Tau2(shared[code], float("nan"))
        yield fit_given_tau2(y[keep], v[keep], Design(design.names, x), tau2, method, test)


def deleted_multilevel(y, v, design: Design, codes: np.ndarray, rho: float) -> Iterator:
    """Refit the multilevel model without each cluster 0, 1, ...; None where the rest cannot support it."""
    if codes.max() < 2:
        raise UsageError(
            f"cluster names {codes.max() + 1} cluster(s); a multilevel model needs two more besides the one "
            "that is left out."
        )
    return _deleted_multilevel(y, v, design, codes, rho)


def _deleted_multilevel(y, v, design: Design, codes: np.ndarray, rho: float) -> Iterator:
    from medssl.meta.multilevel import multilevel

    for code in range(codes.max() + 1):
        keep = codes != code
        rest = Design(design.names, design.values[keep])
        if estimable(rest.values, "REML", "knha") and codes.max() >= len(design.names):
            yield multilevel(y[keep], v[keep], codes[keep], moderator_table(rest), rho=rho)
        else:
            yield None


def estimable(x: np.ndarray, method: str, test: str) -> bool:
    """Whether rows [k, p] can support the coefficients and, unless "FE" with "z", a variance."""
    k, p = x.shape
    if k < p + ((method, test) != ("FE", "z")):
        return False
    centred = x[:, 1:] - x[:, 1:].mean(axis=0)  # a large mean must not hide in the intercept
    size = np.linalg.norm(centred, axis=0)
    if np.any(size <= 1e-12 * np.linalg.norm(x[:, 1:], axis=0)):
        return False
    return p == 1 or np.linalg.matrix_rank(centred / size, tol=1e-9) == p - 1


def deleted_tau2(y: np.ndarray, v: np.ndarray, codes: np.ndarray, *, restricted: bool) -> np.ndarray:
    """Return the (restricted) maximum likelihood tau2 without each code; no moderators.

    The global maximum of every likelihood is bracketed on one grid, from sums over all rows less those of the
    rows left out, so that the scan costs one pass over the data; each root is then found on its own.
    """
    y = (y - np.average(y, weights=1 / v)) / np.sqrt(v.min())
    unit, v = v.min(), v / v.min()
    grid = _shared_grid(y, v, codes)
    best = np.argmax(_deleted_heights(grid, y, v, codes, restricted), axis=1)
    tau2 = np.empty(len(best))
    for code, peak in enumerate(best):
        keep = codes != code
        low, high = grid[max(peak - 1, 0)], grid[min(peak + 1, len(grid) - 1)]
        tau2[code] = _peak(y[keep], v[keep], low, high, restricted)
    return unit * tau2


def _shared_grid(y, v, codes) -> np.ndarray:
    """Return grid points up to a bound that holds whichever rows are left out."""
    left = len(y) - np.bincount(codes).max()  # at least two
    grid = _grid(y, v, np.ones((len(y), 1)))
    bound = np.sum((y - y.mean()) ** 2) / (left - 1) + v.max()
    return np.append(grid, bound) if bound > grid[-1] else grid


def _deleted_heights(grid, y, v, codes, restricted: bool) -> np.ndarray:
    """Return log-likelihoods up to a constant, [codes, grid]."""
    weights = 1 / (v[:, None] + grid)  # [k, grid]
    parts = (np.log(weights), weights, weights * y[:, None], weights * y[:, None] ** 2)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 1))
    logs, total, first, second = (
        part.sum(axis=0) - np.add.reduceat(part[order], starts, axis=0) for part in parts
    )
    heights = 0.5 * (logs - second + first**2 / total)
    return heights - 0.5 * np.log(total) if restricted else heights


def _peak(y, v, low: float, high: float, restricted: bool) -> float:
    def score(t):
        w = 1 / (v + t)
        total = w.sum()
        residual = w * (y - (w @ y) / total)
        return 0.5 * (residual @ residual - total + ((w @ w) / total if restricted else 0.0))

    first = score(low)
    if low == 0 and first <= 0:
        return 0.0
    if first > 0 > score(high):
        return _root(score, low, high, "likelihood")
    # rounding put the peak into a neighbouring interval: search this likelihood alone
    return estimate_tau2("REML" if restricted else "ML", y, v, np.ones((len(y), 1))).value
