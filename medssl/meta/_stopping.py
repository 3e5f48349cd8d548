"""Where metafor's default iteration for the REML estimate of tau2 ends."""

import numpy as np

from medssl.errors import RunError
from medssl.meta._tau2 import METHODS
from medssl.meta._wls import weighted_fit

__all__ = ["THRESHOLD", "stopped_tau2"]

THRESHOLD = 1e-5
STEPS = 1000


def stopped_tau2(y: np.ndarray, v: np.ndarray, design: np.ndarray, threshold: float = THRESHOLD) -> float:
    """Return tau2 after Fisher scoring from Hedges' estimate, stopped at the first step below a threshold.

    The threshold is absolute, so the result depends on the unit of the effects; `random_effects` goes on to
    the maximum.

    Parameters
    ----------
    y, v : ndarray of shape (k,)
        Effects and their sampling variances.
    design : ndarray of shape (k, p)
        The design matrix.
    threshold : float
        1e-5 is the default that Viechtbauer (2010) documents for metafor.

    Raises
    ------
    RunError
        No step was as small as that.

    Examples
    --------
    >>> y, v = np.array([0.1, 0.3, -0.2, 0.6]), np.array([0.01, 0.02, 0.04, 0.05])
    >>> [round(stopped_tau2(y, v, np.ones((4, 1)), threshold), 7) for threshold in (1e-5, 1e-12)]
    [0.0549947, 0.0549905]
    """
    tau2 = METHODS["HE"](y, v, design).value
    for _ in range(STEPS):
        fit = weighted_fit(y, design, 1 / (v + tau2))
        step = (fit.quadratic_square() - fit.trace()) / fit.trace_square()
        while tau2 + step < 0:
            step /= 2
        before, tau2 = tau2, tau2 + step
        if abs(tau2 - before) <= threshold:
            return float(tau2)
    raise RunError(f"Fisher scoring for tau2 took no step below {threshold:g} in {STEPS} steps.")
