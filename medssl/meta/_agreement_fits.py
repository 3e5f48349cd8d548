"""Entries of the reference about the random-effects model itself: its fits and the Q-profile limits."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import chi2

from medssl.errors import UsageError
from medssl.meta._agreement_cells import Entry, likelihood_misfit
from medssl.meta._fit import RandomEffectsFit
from medssl.meta._inputs import design_matrix
from medssl.meta._stopping import stopped_tau2
from medssl.meta._tau2 import Tau2, _general_se, _generalised_q, _score, log_likelihood, typical_variance
from medssl.meta._wls import weighted_fit
from medssl.meta.random_effects import fit_given_tau2, random_effects

__all__ = ["fit_entries", "q_profile_entries", "reml_misfit"]

ITERATED = ("ML", "REML", "EB", "PM")
VARIANCE = {"tau2": "tau2", "se_tau2": "tau2_se", "I2": "i2", "H2": "h2", "R2": "r2"}
SCALARS = {**VARIANCE, "QE": "q", "QEp": "q_p", "df": "df", "QM": "qm", "QMp": "qm_p"}
ARRAYS = {
    "beta": "coef",
    "se": "se",
    "stat": "statistic",
    "p": "p_value",
    "ci_lb": "ci_low",
    "ci_ub": "ci_high",
}
PREDICTIONS = {
    "pi_lb": "pi_low", "pi_ub": "pi_high",
    "pred": "estimate", "pred_ci_lb": "ci_low", "pred_ci_ub": "ci_high",
    "pred_pi_lb": "pi_low", "pred_pi_ub": "pi_high",
}  # fmt: skip


def fit_entries(data: dict) -> Iterator[Entry]:
    """Compare each fit of a set of independent effects."""
    moderators = pd.DataFrame(data["x"]) if "x" in data else None
    for cells in data["fits"]:
        method, test = cells["method"], cells["test"]
        fit = random_effects(data["yi"], data["vi"], moderators, method=method, test=test)
        same = _at_their_tau2(fit, moderators, cells["tau2"]) if method in ITERATED else None
        for key in [key for key in cells if key not in ("method", "test")]:
            yield Entry(
                model=f"{method} {test}",
                quantity=key,
                reference=cells[key],
                ours=_value(fit, key, cells[key]),
                tolerance=_tolerance(method, key),
                same_variance=_value(same, key, cells[key]) if same and key not in ("tau2", "R2") else None,
                misfit=_tau2_misfit(fit, cells["tau2"]) if key == "tau2" and method in ITERATED else None,
            )


def _value(fit: RandomEffectsFit, key: str, reference) -> np.ndarray:
    if key in PREDICTIONS:
        return fit.predict()[PREDICTIONS[key]].to_numpy()[
            : len(reference) if isinstance(reference, list) else 1
        ]
    if key not in SCALARS and key not in ARRAYS:
        raise UsageError(
            f"the reference has {key!r} in a fit, which nothing here compares; add it to {__name__}."
        )
    return np.atleast_1d(getattr(fit, {**SCALARS, **ARRAYS}[key]))


def _tolerance(method: str, key: str) -> float:
    if method not in ITERATED or key in ("QE", "QEp", "df"):
        return 1e-8
    return 1e-5 if key in VARIANCE else 1e-6


def _at_their_tau2(fit: RandomEffectsFit, moderators, tau2: float) -> RandomEffectsFit:
    design = design_matrix(moderators, fit.yi, fit.k)
    estimate = Tau2(tau2, _standard_error(fit, tau2))
    return fit_given_tau2(fit.yi, fit.vi, design, estimate, fit.method, fit.test)


def _standard_error(fit: RandomEffectsFit, tau2: float) -> float:
    k, p = fit.design.shape
    at = weighted_fit(fit.yi, fit.design, 1 / (fit.vi + tau2))
    if fit.method == "ML":
        return float(np.sqrt(2 / np.sum(at.weights**2)))
    if fit.method == "REML":
        return float(np.sqrt(2 / at.trace_square()))
    return _general_se(at, fit.vi, tau2, np.sum(at.weights) * (k - p) / k)


def _tau2_misfit(fit: RandomEffectsFit, theirs: float) -> np.ndarray:
    """Likelihood of ML and REML; distance of Q from its degrees of freedom of EB and PM."""
    data = fit.yi, fit.vi, fit.design
    if fit.method in ("ML", "REML"):
        return _likelihood(*data, (fit.tau2, theirs), restricted=fit.method == "REML")
    k, p = fit.design.shape
    return np.array([[abs(_generalised_q(tau2, *data) - (k - p)) for tau2 in (fit.tau2, theirs)]])


def _likelihood(y, v, design, pair, *, restricted: bool) -> np.ndarray:
    return likelihood_misfit(
        pair,
        lambda tau2: log_likelihood(tau2, y, v, design, restricted=restricted),
        lambda tau2: abs(_score(tau2, y, v, design, restricted=restricted)),
    )


def reml_misfit(y: np.ndarray, v: np.ndarray, design: np.ndarray, ours: float, theirs: float) -> np.ndarray:
    """Return how far two values of tau2 are from the top of the restricted likelihood, [1, 2]."""
    return _likelihood(y, v, design, (ours, theirs), restricted=True)


def q_profile_entries(data: dict) -> Iterator[Entry]:
    """Compare tau2 and I2 of a default REML fit (estimate, lower limit, upper limit)."""
    moderators = pd.DataFrame(data["x"]) if "x" in data else None
    fit = random_effects(data["yi"], data["vi"], moderators)
    typical = typical_variance(fit.yi, fit.vi, fit.design)
    tau2 = np.array([fit.tau2, *fit.tau2_interval()])
    i2 = np.array([fit.i2, *fit.i2_interval()])
    same = np.array([stopped_tau2(fit.yi, fit.vi, fit.design), np.nan, np.nan])
    for key, ours, again in (("tau2", tau2, same), ("I2", i2, 100 * same / (same + typical))):
        theirs = np.asarray(data[f"qprofile_{key}"], float)
        as_tau2 = theirs if key == "tau2" else typical * theirs / (100 - theirs)
        yield Entry(
            "REML, Q-profile", f"qprofile_{key}", data[f"qprofile_{key}"], ours, 1e-5, again,
            _limit_misfit(fit, tau2, as_tau2),
        )  # fmt: skip


def _limit_misfit(fit: RandomEffectsFit, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Likelihood of the estimate; distance of Q from the chi-square quantile of each limit."""
    data = fit.yi, fit.vi, fit.design
    rows = [reml_misfit(*data, ours[0], theirs[0])[0]]
    for i, tail in ((1, 0.975), (2, 0.025)):
        target = chi2.ppf(tail, fit.k - len(fit.names))
        rows.append([abs(_generalised_q(value, *data) - target) for value in (ours[i], theirs[i])])
    return np.array(rows)
