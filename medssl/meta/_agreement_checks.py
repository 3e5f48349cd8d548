"""Entries of the reference about small-study effects, influence and sensitivity.

They come from fits with metafor's default stopping rule, so each of ours is also computed at the tau2 where
that rule stops, from the textbook formula and not with the function that is compared.
"""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from medssl.meta._agreement_cells import Entry
from medssl.meta._agreement_fits import reml_misfit
from medssl.meta._stopping import stopped_tau2
from medssl.meta._wls import WeightedFit, weighted_fit
from medssl.meta.cumulative import cumulative
from medssl.meta.egger import egger
from medssl.meta.influence import influence
from medssl.meta.leave_one_out import leave_one_out
from medssl.meta.rank_correlation import rank_correlation
from medssl.meta.trim_and_fill import trim_and_fill

__all__ = ["CHECKS"]

MODEL = "REML z"
CLOSED, COEFFICIENT, ITERATED = 1e-8, 1e-6, 1e-5


def _stopped(y: np.ndarray, v: np.ndarray, x: np.ndarray | None = None) -> tuple[float, WeightedFit]:
    """Return tau2 where metafor's rule stops, and the fit there."""
    x = np.ones((len(y), 1)) if x is None else x
    tau2 = stopped_tau2(y, v, x)
    return tau2, weighted_fit(y, x, 1 / (v + tau2))


def _egger_regression(y, v, values: dict) -> Iterator[Entry]:
    test = egger(y, v, form="regression")
    _, fit = _stopped(y, v, np.column_stack([np.ones(len(y)), np.sqrt(v)]))
    z = fit.coef[1] / np.sqrt(fit.covariance[1, 1])
    yield Entry(MODEL, "egger_rma.stat", values["stat"], test.statistic, COEFFICIENT, z)
    yield Entry(MODEL, "egger_rma.p", values["p"], test.p_value, COEFFICIENT, 2 * stats.norm.sf(abs(z)))


def _egger_classical(y, v, values: dict) -> Iterator[Entry]:
    test = egger(y, v, form="classical")
    yield Entry("lm", "egger_lm.stat", values["stat"], test.statistic, CLOSED)
    yield Entry("lm", "egger_lm.p", values["p"], test.p_value, CLOSED)


def _rank_correlation(y, v, values: dict) -> Iterator[Entry]:
    test = rank_correlation(y, v)
    yield Entry("Kendall", "ranktest.tau", values["tau"], test.tau, CLOSED)
    yield Entry("Kendall", "ranktest.p", values["p"], test.p_value, CLOSED)


def _trim_and_fill(y, v, values: dict) -> Iterator[Entry]:
    result = trim_and_fill(y, v, test="z")
    side = {"left": -1.0, "right": 1.0}[result.side]
    fit = _filled(y, v, result.k0, side)
    yield Entry(MODEL, "trimfill.k0", values["k0"], result.k0, CLOSED)
    yield Entry(MODEL, "trimfill.side", values["side"], side, CLOSED)
    error = np.sqrt(fit.covariance[0, 0])
    yield Entry(MODEL, "trimfill.beta", values["beta"], result.fit.coef[0], COEFFICIENT, fit.coef[0])
    yield Entry(MODEL, "trimfill.se", values["se"], result.fit.se[0], COEFFICIENT, error)


def _filled(y, v, k0: int, side: float) -> WeightedFit:
    """Trim the k0 effects farthest to the other side, mirror them at the centre of the rest, fit all."""
    order = np.argsort(-side * y, kind="stable")
    kept, cut = order[: len(y) - k0], order[len(y) - k0 :]
    centre = _stopped(y[kept], v[kept])[1].coef[0]
    return _stopped(np.append(y, 2 * centre - y[cut]), np.append(v, v[cut]))[1]


def _leave_one_out(y, v, values: dict) -> Iterator[Entry]:
    table = leave_one_out(y, v, test="z")
    rest = [np.arange(len(y)) != i for i in range(len(y))]
    ones = np.ones((len(y) - 1, 1))
    theirs = values["tau2"]
    pairs = zip(rest, table.tau2, theirs, strict=True)
    misfit = np.vstack([reml_misfit(y[keep], v[keep], ones, *pair) for keep, *pair in pairs])
    fits = [
        weighted_fit(y[keep], ones, 1 / (v[keep] + tau2)) for keep, tau2 in zip(rest, theirs, strict=True)
    ]
    same = {
        "estimate": [fit.coef[0] for fit in fits],
        "se": [np.sqrt(fit.covariance[0, 0]) for fit in fits],
        "tau2": [stopped_tau2(y[keep], v[keep], ones) for keep in rest],
    }
    for key in ("estimate", "se", "tau2"):
        allowed = ITERATED if key == "tau2" else COEFFICIENT
        yield Entry(MODEL, f"leave1out.{key}", values[key], table[key], allowed, same[key], misfit)


def _influence(y, v, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return our measure, and the same from the tau2 of each fit where metafor's rule stops."""
    column = {"cooks": "cook_d", "rstudent": "rstudent", "hat": "hat"}[key]
    _, full = _stopped(y, v)
    if key == "hat":
        return influence(y, v, test="z")[column], full.weights / full.weights.sum()
    same = []
    for i in range(len(y)):
        without, fit = _stopped(np.delete(y, i), np.delete(v, i))
        if key == "cooks":
            same.append((full.coef[0] - fit.coef[0]) ** 2 / full.covariance[0, 0])
        else:
            same.append((y[i] - fit.coef[0]) / np.sqrt(v[i] + without + fit.covariance[0, 0]))
    return influence(y, v, test="z")[column], np.array(same)


def _measure(key: str):
    def entries(y, v, values: list) -> Iterator[Entry]:
        ours, same = _influence(y, v, key)
        yield Entry(MODEL, key, values, ours, COEFFICIENT, same)

    return entries


def _cumulative(y, v, values: list) -> Iterator[Entry]:
    same = [y[0], *(_stopped(y[:size], v[:size])[1].coef[0] for size in range(2, len(y) + 1))]
    yield Entry(MODEL, "cumulative", values, cumulative(y, v, test="z").estimate, COEFFICIENT, same)


CHECKS = {
    "egger_rma": _egger_regression,
    "egger_lm": _egger_classical,
    "ranktest": _rank_correlation,
    "trimfill": _trim_and_fill,
    "leave1out": _leave_one_out,
    "cooks": _measure("cooks"),
    "rstudent": _measure("rstudent"),
    "hat": _measure("hat"),
    "cumulative": _cumulative,
}
