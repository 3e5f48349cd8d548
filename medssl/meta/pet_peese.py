"""The precision-effect test and estimate: PET, PEESE, and the conditional choice between them."""

from dataclasses import dataclass

from medssl.errors import UsageError
from medssl.meta._report import p_text
from medssl.meta._small_study import STANDARD_ERROR, VARIANCE, Line, regress_on_precision

__all__ = ["Limit", "PetPeese", "pet_peese"]


@dataclass(frozen=True)
class Limit:
    """The intercept of a regression on imprecision: the effect at perfect precision; and the slope."""

    estimate: float
    se: float
    statistic: float
    df: float
    p_value: float
    ci_low: float
    ci_high: float
    slope: float
    slope_se: float
    slope_p: float


@dataclass(frozen=True)
class PetPeese:
    """Both limits and the one that the conditional rule takes.

    Attributes
    ----------
    pet, peese : Limit
        Regression on the standard error and on the variance.
    taken : {"PET", "PEESE"}
        PEESE where PET's intercept differs from 0 (p < `alpha`), else PET.
    reason : str
        Why, in words.
    estimate, se, ci_low, ci_high, p_value : float
        Of the one taken.
    k : int
        Number of effects.
    level, alpha : float
        As given.
    """

    pet: Limit
    peese: Limit
    taken: str
    reason: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    k: int
    level: float
    alpha: float

    def report(self) -> str:
        """Return the result in words."""
        interval = f"{100 * self.level:g}% interval {self.ci_low:.3g} to {self.ci_high:.3g}"
        return (
            f"{self.taken} was taken for {self.k} effects because {self.reason}: the effect at perfect "
            f"precision is {self.estimate:.3g} ({interval}, {p_text(self.p_value)})."
        )


def pet_peese(
    yi, vi, *, cluster=None, rho: float = 0.6, level: float = 0.95, alpha: float = 0.05
) -> PetPeese:
    """Estimate the effect at perfect precision by regressing on the standard error and on the variance.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    cluster : array-like of shape (k,), optional
        Cluster of each effect. Without it: least squares with weights 1 / vi and multiplicative dispersion, t
        tests with k - 2 degrees of freedom. With it: multilevel regressions with sampling correlation `rho`
        inside clusters and cluster-robust (CR2) errors.
    rho : float
        Sampling correlation inside clusters; used with `cluster`.
    level : float
        Coverage of the limits.
    alpha : float
        Two-sided significance level of the choice; 0.10 is a one-sided test at 5% of an expected sign.

    Returns
    -------
    PetPeese

    Raises
    ------
    UsageError
        Malformed input, equal variances, too few effects or clusters, a level outside 0 to 1.

    Notes
    -----
    Stanley and Doucouliagos (2014): when PET finds no effect its intercept is kept; when it finds one, PET is
    biased towards 0 and PEESE's intercept is taken. Both rest on few precise effects and are imprecise with
    strong heterogeneity.

    Examples
    --------
    >>> result = pet_peese([0.10, 0.06, 0.05, 0.04], [0.0009, 0.0004, 0.0002, 0.0001])
    >>> print(result.taken, f"{result.estimate:.3f} {result.pet.slope:.2f} {result.peese.slope:.0f}")
    PET 0.012 2.69 73
    """
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha!r}; it must lie between 0 and 1, for example 0.05.")
    form = "classical" if cluster is None else "cluster"
    pet, peese = (
        _limit(regress_on_precision(yi, vi, name, form=form, cluster=cluster, rho=rho, level=level))
        for name in (STANDARD_ERROR, VARIANCE)
    )
    found = pet.p_value < alpha
    taken = peese if found else pet
    return PetPeese(
        pet=pet,
        peese=peese,
        taken="PEESE" if found else "PET",
        reason=f"PET's intercept {'differs' if found else 'does not differ'} from 0 ({_compare(pet, alpha)})",
        **{name: getattr(taken, name) for name in ("estimate", "se", "ci_low", "ci_high", "p_value")},
        k=len(yi),
        level=level,
        alpha=alpha,
    )


def _compare(pet: Limit, alpha: float) -> str:
    return f"{p_text(pet.p_value)}, significance level {alpha:g}"


def _limit(line: Line) -> Limit:
    columns = (line.coef, line.se, line.statistic, line.df, line.p_value, line.ci_low, line.ci_high)
    slope = (line.coef[1], line.se[1], line.p_value[1])
    return Limit(*(float(column[0]) for column in columns), *(float(value) for value in slope))
