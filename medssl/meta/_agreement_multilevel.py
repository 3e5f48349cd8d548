"""Entries of the reference about the multilevel model and its cluster-robust errors."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._agreement_cells import Entry, likelihood_misfit
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta.multilevel import multilevel

__all__ = ["multilevel_entries"]

TOLERANCES = {
    "sigma2": 1e-4, "logLik": 1e-5, "beta": 1e-5, "se": 1e-5, "cr1_se": 1e-5, "cr2_se": 1e-5, "cr2_df": 1e-3,
    "cr2_p": 1e-3, "QE": 1e-8,
}  # fmt: skip


def multilevel_entries(data: dict) -> Iterator[Entry]:
    """Compare each fit of a set of effects in clusters."""
    moderators = pd.DataFrame(data["x"]) if "x" in data else None
    for cells in data["fits"]:
        fit = multilevel(data["yi"], data["vi"], data["cluster"], moderators, rho=cells["rho"])
        theirs = np.asarray(cells["sigma2"], float)
        same = _at_their_variances(fit, theirs)
        misfit = np.repeat(_misfit(fit, theirs), 2, axis=0)
        for key in [key for key in cells if key not in ("model", "rho")]:
            iterated = key not in ("sigma2", "QE")
            yield Entry(
                model=cells["model"] + (f", rho {cells['rho']:g}" if cells["rho"] else ""),
                quantity=key,
                reference=cells[key],
                ours=_value(fit, key),
                tolerance=TOLERANCES[key],
                same_variance=_value(same, key) if iterated else None,
                misfit=misfit if key == "sigma2" else misfit[:1] if key == "logLik" else None,
            )


def _value(fit: MultilevelFit, key: str):
    if key not in TOLERANCES:
        raise UsageError(
            f"the reference has {key!r} in a fit, which nothing here compares; add it to {__name__}."
        )
    if key.startswith("cr"):
        kind, _, name = key.partition("_")
        return getattr(fit.robust(kind.upper()), {"se": "se", "df": "df", "p": "p_value"}[name])
    return getattr(fit, {"beta": "coef", "logLik": "log_likelihood", "QE": "q"}.get(key, key))


def _at_their_variances(fit: MultilevelFit, sigma2: np.ndarray) -> MultilevelFit:
    point = fit._likelihood.at(sigma2)
    se = np.sqrt(np.diag(point.covariance))
    solved = point.solved[:, :-1]
    return replace(
        fit, sigma2=sigma2, coef=point.coef, se=se, covariance=point.covariance,
        log_likelihood=point.value, _solved=solved,
    )  # fmt: skip


def _misfit(fit: MultilevelFit, theirs: np.ndarray) -> np.ndarray:
    def slope(sigma2) -> float:
        """Return the squared length of the Newton step, in standard errors."""
        point = fit._likelihood.at(sigma2)
        return float(point.score @ np.linalg.pinv(point.information) @ point.score)

    return likelihood_misfit((fit.sigma2, theirs), lambda sigma2: fit._likelihood.at(sigma2).value, slope)
