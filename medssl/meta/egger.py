"""Egger's regression test of small-study effects in three forms."""

from dataclasses import dataclass

from medssl.meta._report import p_text
from medssl.meta._small_study import STANDARD_ERROR, regress_on_precision

__all__ = ["EggerTest", "egger"]

FORMS = {
    "regression": "random-effects regression on the standard error",
    "classical": "weighted regression on the standard error with multiplicative dispersion",
    "cluster": "multilevel regression on the standard error with cluster-robust errors",
}


@dataclass(frozen=True)
class EggerTest:
    """Regression test of small-study effects.

    Attributes
    ----------
    statistic, p_value, df : float
        z ("regression", infinite degrees of freedom) or t statistic of the slope and its two-sided p value.
    slope, slope_se, ci_low, ci_high : float
        Change of the effect for each unit of its standard error, and its limits.
    limit, limit_ci_low, limit_ci_high : float
        Intercept: the effect as its standard error goes to 0; NaN with moderators, where it depends on their
        coding.
    form : {"regression", "classical", "cluster"}
        As asked for.
    k : int
        Number of effects.
    level : float
        Coverage of the limits.
    """

    statistic: float
    p_value: float
    df: float
    slope: float
    slope_se: float
    ci_low: float
    ci_high: float
    limit: float
    limit_ci_low: float
    limit_ci_high: float
    form: str
    k: int
    level: float

    def report(self) -> str:
        """Return the test in words."""
        letter = f"t({self.df:.1f})" if self.form != "regression" else "z"
        interval = f"{100 * self.level:g}% interval"
        text = (
            f"Egger's test of {self.k} effects ({FORMS[self.form]}): slope {self.slope:.3g} "
            f"({interval} {self.ci_low:.3g} to {self.ci_high:.3g}), {letter} = {self.statistic:.2f}, "
            f"{p_text(self.p_value)}"
        )
        if self.limit != self.limit:
            return text + "."
        limits = f"{interval} {self.limit_ci_low:.3g} to {self.limit_ci_high:.3g}"
        return f"{text}; the effect at a standard error of 0 is {self.limit:.3g} ({limits})."


def egger(
    yi,
    vi,
    moderators=None,
    *,
    data=None,
    form: str = "regression",
    cluster=None,
    rho: float = 0.6,
    method: str = "REML",
    level: float = 0.95,
) -> EggerTest:
    """Test whether effects depend on their standard errors, as they do when small studies go missing.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    moderators : DataFrame, Series, array or formula, optional
        Other explanations of the effects, held constant.
    data : DataFrame, optional
        Table of the variables of a formula.
    form : {"regression", "classical", "cluster"}
        "regression": random-effects regression on the standard error, z test (Sterne and Egger 2005).
        "classical": least squares with weights 1 / vi and multiplicative dispersion, t test with k - p
        degrees of freedom (Egger et al. 1997). "cluster": multilevel regression with sampling correlation
        `rho` inside clusters and cluster-robust (CR2) errors, t test with Satterthwaite degrees of freedom.
    cluster : array-like of shape (k,)
        Cluster of each effect; with form "cluster", and only then.
    rho : float
        Sampling correlation inside clusters, for form "cluster".
    method : str
        Estimator of tau2 as in `random_effects`, for form "regression".
    level : float
        Coverage of the limits.

    Returns
    -------
    EggerTest

    Raises
    ------
    UsageError
        Malformed input, an unknown form, equal variances, too few effects, `cluster` without form "cluster".

    Notes
    -----
    "regression" and "classical" are metafor's regtest with models "rma" and "lm" (Viechtbauer 2010). A slope
    means that effects go with standard errors, for whatever reason; missing studies are one of several.

    Examples
    --------
    >>> y, v = [0.10, 0.04, 0.01, 0.02], [0.0009, 0.0004, 0.0002, 0.0001]
    >>> print(egger(y, v, form="classical").report().split(":")[1].split(",")[0])
     slope 3.28 (95% interval -3.26 to 9.82)
    """
    options = {"data": data, "cluster": cluster, "rho": rho, "method": method, "level": level}
    line = regress_on_precision(yi, vi, STANDARD_ERROR, form=form, moderators=moderators, **options)
    limit = [line.coef[0], line.ci_low[0], line.ci_high[0]]
    if moderators is not None:
        limit = [float("nan")] * 3
    numbers = (line.statistic, line.p_value, line.df, line.coef, line.se, line.ci_low, line.ci_high)
    return EggerTest(
        *(float(values[-1]) for values in numbers),
        *(float(value) for value in limit),
        form=form,
        k=len(yi),
        level=level,
    )
