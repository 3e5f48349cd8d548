"""The shape of a gain against one moderator: a natural cubic spline beside the straight line."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta._break_even import BreakEven, delta_break_even
from medssl.meta._clusters import cluster_codes
from medssl.meta._inputs import check_choice, design_matrix, effects_and_variances
from medssl.meta._multilevel_fit import MultilevelFit
from medssl.meta._robust import WaldTest
from medssl.meta.cluster_bootstrap import bootstrap_coefficients
from medssl.meta.multilevel import multilevel
from medssl.meta.natural_spline import default_knots, natural_spline
from medssl.meta.probability import probability_of_gain

__all__ = ["ShapeFit", "shape"]

FORMS = ("line", "spline")


@dataclass(frozen=True, eq=False, repr=False)
class ShapeFit:
    """A straight line and a spline of the same effects.

    Attributes
    ----------
    line, spline : MultilevelFit
        The two models; columns after the moderator are the same in both.
    nonlinearity : WaldTest
        Robust test (CR2, HTZ) that the spline does not depart from the line.
    knots : tuple of float
        Knots of the spline, the boundary first and last.
    name : str
        The moderator.
    others : ndarray
        Values of the other moderators at which curves are drawn: their means.
    """

    line: MultilevelFit
    spline: MultilevelFit
    nonlinearity: WaldTest
    knots: tuple[float, ...]
    name: str
    others: np.ndarray
    _x: np.ndarray = field(repr=False)

    def rows(self, at, form: str = "spline") -> np.ndarray:
        """Return design rows [m, p] at values of the moderator, other moderators at their means."""
        at = np.atleast_1d(np.asarray(at, dtype=float))
        basis = (
            at[:, None]
            if check_choice("form", form, FORMS) == "line"
            else natural_spline(at, knots=self.knots)
        )
        return np.column_stack([np.ones(len(at)), basis, np.tile(self.others, (len(at), 1))])

    def curve(self, at=None, *, form: str = "spline", level: float = 0.95, points: int = 61) -> pd.DataFrame:
        """Return the fitted curve with robust confidence and prediction bands.

        Parameters
        ----------
        at : array-like, optional
            Values of the moderator; by default `points` of them over the observed range, and no further.
        form : {"spline", "line"}
        level : float
            Coverage of both bands.
        points : int
            Number of values without `at`.

        Returns
        -------
        DataFrame
            The moderator by its name, ``estimate, ci_low, ci_high, pi_low, pi_high, df``.
        """
        values = np.linspace(self._x.min(), self._x.max(), points) if at is None else np.atleast_1d(at)
        table = self._fit(form).robust(level=level).predict(self.rows(values, form)[:, 1:])
        table.insert(0, self.name, np.asarray(values, dtype=float))
        return table

    def probability(self, minimal: float = 0.0, at=None, *, form: str = "spline") -> pd.DataFrame:
        """Return the probability that the true gain of a new cluster exceeds `minimal`, along the curve."""
        values = np.linspace(self._x.min(), self._x.max(), 61) if at is None else np.atleast_1d(at)
        table = probability_of_gain(self._fit(form), minimal, self.rows(values, form)[:, 1:])
        table.insert(0, self.name, np.asarray(values, dtype=float))
        return table

    def break_even(
        self,
        minimal: float = 0.0,
        *,
        form: str = "line",
        level: float = 0.95,
        bootstrap: int = 0,
        seed: int = 0,
    ) -> BreakEven:
        """Find where the mean gain falls to `minimal`, inside the observed range.

        Parameters
        ----------
        minimal : float
            The gain to reach, 0 for break-even.
        form : {"line", "spline"}
        level : float
            Coverage of the interval.
        bootstrap : int
            Cluster bootstrap replicates; 0 takes the delta method.
        seed : int
            Seed of the bootstrap.

        Returns
        -------
        BreakEven
            `value` is NaN, with the reason in words, where the curve does not cross inside the range.
        """
        fit = self._fit(form)
        span = (float(self._x.min()), float(self._x.max()))
        found = delta_break_even(fit.robust(), lambda at: self.rows(at, form), span, minimal, level)
        if not bootstrap:
            return found
        draws = bootstrap_coefficients(fit, replicates=bootstrap, seed=seed)
        return found.from_bootstrap(draws, lambda at: self.rows(at, form), span, level)

    def _fit(self, form: str) -> MultilevelFit:
        return self.line if check_choice("form", form, FORMS) == "line" else self.spline

    def report(self) -> str:
        """Return the comparison of both forms in words."""
        slope = self.line.robust()
        return (
            f"For each unit of {self.name} the gain changes by {slope.coef[1]:.3g} "
            f"(95% interval {slope.ci_low[1]:.3g} to {slope.ci_high[1]:.3g}, df {slope.df[1]:.1f}). "
            f"A spline with {len(self.knots) - 1} degrees of freedom beside it: {self.nonlinearity.report()}"
        )

    def __repr__(self) -> str:
        return f"ShapeFit({self.name}: {self.report()})"


def shape(
    yi, vi, x, cluster, moderators=None, *, data=None, knots=None, df: int = 3, rho: float = 0.6
) -> ShapeFit:
    """Fit a straight line and a natural cubic spline in `x` to dependent effects.

    Parameters
    ----------
    yi, vi, cluster : array-like of shape (k,)
        Effects, sampling variances and cluster labels, as for `multilevel`.
    x : array-like of shape (k,)
        The moderator, for example log10 of the label ratio; the name of a series is kept.
    moderators, data
        Further moderators, as for `multilevel`.
    knots : sequence of float, optional
        Knots of the spline with its boundary; by default `df` + 1 quantiles of the distinct values.
    df : int
        Degrees of freedom of the spline when no knots are given.
    rho : float
        Sampling correlation within a cluster.

    Returns
    -------
    ShapeFit

    Raises
    ------
    UsageError
        As `multilevel`; also fewer than three knots, or too few distinct values of `x`.

    Examples
    --------
    >>> x = np.tile([-3.0, -2.0, -1.0, 0.0], 6)
    >>> noise = np.random.default_rng(0).normal(scale=0.01, size=24)
    >>> gains = 0.02 - 0.03 * (x + 2) + np.repeat([-1, 0, 1, 1, 0, -1], 4) / 100 + noise
    >>> fit = shape(gains, np.full(24, 1e-4), x, np.repeat(list("abcdef"), 4))
    >>> print(f"{fit.break_even().value:.2f}")
    -1.36
    """
    y, v = effects_and_variances(yi, vi)
    values, name = _moderator(x, len(y))
    cluster_codes(cluster, len(y))
    knots = default_knots(values, df) if knots is None else tuple(float(knot) for knot in knots)
    if len(knots) < 3:
        raise UsageError("a spline that is compared with a line needs three knots or more (df of 2 or more).")
    other = design_matrix(moderators, yi, len(y), data)
    basis = natural_spline(values, knots=knots)
    names = [name, *(f"{name} spline {i + 1}" for i in range(basis.shape[1] - 1))]
    columns = pd.DataFrame(np.column_stack([basis, other.values[:, 1:]]), columns=[*names, *other.names[1:]])
    line = multilevel(y, v, cluster, columns.drop(columns=names[1:]), rho=rho)
    spline = multilevel(y, v, cluster, columns, rho=rho)
    test = spline.robust().wald(names[1:])
    return ShapeFit(line, spline, test, knots, name, other.values[:, 1:].mean(axis=0), values)


def _moderator(x, k: int) -> tuple[np.ndarray, str]:
    values = np.asarray(x, dtype=float)
    if values.shape != (k,) or not np.isfinite(values).all():
        raise UsageError(f"x needs {k} finite values, one for each effect; it has shape {values.shape}.")
    name = getattr(x, "name", None)
    return values, "x" if name is None else str(name)
