"""Natural cubic splines: cubic between the knots, straight lines beyond the outer ones."""

import numpy as np

from medssl.errors import UsageError

__all__ = ["default_knots", "natural_spline"]


def natural_spline(x, *, knots) -> np.ndarray:
    r"""Return the basis of a natural cubic spline without its constant.

    Parameters
    ----------
    x : array-like of shape (k,)
        Values, for example log10 label ratios.
    knots : sequence of float
        At least two increasing values; the first and the last are the boundary, beyond which the curve is a
        straight line.

    Returns
    -------
    ndarray of shape (k, len(knots) - 1)
        The first column is `x` itself, so that the others hold the departure from a straight line.

    Raises
    ------
    UsageError
        Fewer than two knots, knots that do not increase, values that are not finite.

    Notes
    -----
    With knots :math:`t_1 < \dots < t_m` and :math:`d_j(x) = ((x - t_j)_+^3 - (x - t_m)_+^3) / (t_m - t_j)`,
    the columns after the first are :math:`(d_j(x) - d_{m-1}(x)) / (t_m - t_1)^2` for j = 1 to m - 2 (Hastie,
    Tibshirani and Friedman 2009, equations 5.4 and 5.5; the divisor makes them free of the unit of x).

    Examples
    --------
    >>> natural_spline([-1.0, 0.0, 2.0], knots=(-1.0, 0.0, 1.0)).round(3).tolist()
    [[-1.0, 0.0], [0.0, 0.125], [2.0, 1.5]]
    """
    values, t = _numbers("x", x), _numbers("knots", knots)
    if t.ndim != 1 or len(t) < 2 or not np.all(np.diff(t) > 0) or not np.isfinite(t).all():
        raise UsageError(f"knots are {knots!r}; give two or more increasing numbers.")
    if values.ndim != 1 or not np.isfinite(values).all():
        raise UsageError("x has missing or infinite values, or more than one dimension; complete it first.")
    cubes = np.maximum(values[:, None] - t, 0.0) ** 3  # [k, knots]
    d = (cubes[:, :-1] - cubes[:, -1:]) / (t[-1] - t[:-1])
    return np.column_stack([values, (d[:, :-1] - d[:, -1:]) / (t[-1] - t[0]) ** 2])


def default_knots(x, df: int = 3) -> tuple[float, ...]:
    """Return `df` + 1 knots at equally spaced quantiles of the distinct values, from smallest to largest.

    Examples
    --------
    >>> default_knots([0.0, 1.0, 2.0, 3.0], df=3)
    (0.0, 1.0, 2.0, 3.0)
    """
    values = np.unique(_numbers("x", x))
    if not np.isfinite(values).all():
        raise UsageError("x has missing or infinite values; complete it first.")
    if not isinstance(df, int | np.integer) or df < 1:
        raise UsageError(f"df is {df!r}; a spline has 1 degree of freedom (a straight line) or more.")
    if len(values) < df + 1:
        raise UsageError(
            f"{len(values)} distinct values cannot carry a spline with {df} degrees of freedom; "
            "give fewer, or a straight line."
        )
    return tuple(float(q) for q in np.quantile(values, np.linspace(0, 1, df + 1)))


def _numbers(name: str, values) -> np.ndarray:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not numeric ({error}).") from error
