"""The natural cubic spline against what defines it and against scipy's interpolating spline."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import CubicSpline

from medssl.errors import UsageError
from medssl.meta import default_knots, natural_spline

KNOTS = (-3.0, -1.5, -1.0, 0.5)


def curve(x, knots=KNOTS, seed=0):
    """A random combination of the columns and the constant."""
    weights = np.random.default_rng(seed).normal(size=len(knots))
    return weights[0] + natural_spline(x, knots=knots) @ weights[1:]


@pytest.mark.parametrize("knots", [KNOTS, (0.0, 1.0, 2.0), (-2.0, 5.0), tuple(np.linspace(0, 1, 8) ** 2)])
def test_it_spans_every_natural_interpolating_spline(knots):
    """Any values at the knots are met by one combination, which is scipy's natural cubic spline."""
    rng = np.random.default_rng(1)
    at = np.linspace(knots[0], knots[-1], 301)
    basis = np.column_stack([np.ones(301), natural_spline(at, knots=knots)])
    nodes = np.column_stack([np.ones(len(knots)), natural_spline(knots, knots=knots)])
    for _ in range(5):
        values = rng.normal(size=len(knots))
        expected = CubicSpline(knots, values, bc_type="natural")(at)
        np.testing.assert_allclose(basis @ np.linalg.solve(nodes, values), expected, atol=1e-8)


def test_fitted_values_are_those_of_an_independent_basis():
    """Least squares on the columns and on scipy's cardinal natural splines give the same fitted values."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-3, 0.5, 80)
    y = np.sin(2 * x) + 0.1 * rng.normal(size=80)
    ours = np.column_stack([np.ones(80), natural_spline(x, knots=KNOTS)])
    theirs = CubicSpline(KNOTS, np.eye(4), bc_type="natural")(x)
    fitted = [basis @ np.linalg.lstsq(basis, y, rcond=None)[0] for basis in (ours, theirs)]
    np.testing.assert_allclose(*fitted, atol=1e-10)


def test_it_is_a_straight_line_beyond_the_outer_knots():
    """Second differences vanish below the first and above the last knot, and not between them."""
    for seed in range(5):
        for start in (-10.0, 0.5):
            outside = curve(start + np.linspace(0, 7, 50), seed=seed)
            np.testing.assert_allclose(np.diff(outside, 2), 0, atol=1e-12)
    assert np.abs(np.diff(curve(np.linspace(-3, 0.5, 50)), 2)).max() > 1e-4


@pytest.mark.parametrize("knot", KNOTS)
def test_value_slope_and_curvature_are_continuous_at_each_knot(knot):
    """One-sided derivatives of order 0, 1 and 2 agree at the knots; at the outer ones curvature is 0."""
    step = 1e-3
    for seed in range(5):
        below, above = (curve(knot + sign * step * np.arange(4), seed=seed) for sign in (-1, 1))
        assert below[0] == above[0]
        slopes = [
            s * (-11 * c[0] + 18 * c[1] - 9 * c[2] + 2 * c[3]) / (6 * step)
            for s, c in ((-1, below), (1, above))
        ]
        curvatures = [(2 * c[0] - 5 * c[1] + 4 * c[2] - c[3]) / step**2 for c in (below, above)]
        assert slopes[0] == pytest.approx(slopes[1], abs=1e-8)  # these differences are exact for cubics
        assert curvatures[0] == pytest.approx(curvatures[1], abs=1e-6)
        if knot in (KNOTS[0], KNOTS[-1]):
            assert curvatures[0] == pytest.approx(0, abs=1e-6)


def test_pieces_are_cubic():
    """Fourth differences vanish between neighbouring knots."""
    for low, high in pairwise(KNOTS):
        np.testing.assert_allclose(np.diff(curve(np.linspace(low, high, 9)), 4), 0, atol=1e-12)


def test_the_first_column_is_the_straight_line():
    """The first column is x, the others are 0 up to the first knot and leave no straight line."""
    x = np.linspace(-5, 2, 40)
    table = natural_spline(x, knots=KNOTS)
    assert table.shape == (40, 3)
    np.testing.assert_array_equal(table[:, 0], x)
    assert (table[x <= -3, 1:] == 0).all()
    assert natural_spline(x, knots=(0.0, 1.0)).shape == (40, 1)


def test_rescaling_and_shifting_x_keeps_the_shape():
    """In another unit and from another origin, the first column is x and the others stay as they are."""
    x = np.linspace(-4, 2, 30)
    plain = natural_spline(x, knots=KNOTS)
    moved = natural_spline(100 * x + 7, knots=100 * np.array(KNOTS) + 7)
    np.testing.assert_allclose(moved, plain * [100, 1, 1] + [7, 0, 0], atol=1e-9)


def test_default_knots_are_equally_spaced_quantiles_of_distinct_values():
    """Knots run from the smallest to the largest value, whatever the order and repetition of values."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    for df in (1, 2, 3, 5):
        knots = default_knots(x, df)
        assert knots == pytest.approx(np.quantile(x, np.linspace(0, 1, df + 1)))
        assert len(knots) == df + 1
        assert natural_spline(x, knots=knots).shape == (50, df)
    assert default_knots(np.repeat(x, rng.integers(1, 9, 50))) == pytest.approx(default_knots(x))
    assert default_knots([3, 1, 2, 2, 2, 2], df=2) == (1.0, 2.0, 3.0)
    assert default_knots(pd.Series([0, 1, 2, 3])) == (0.0, 1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("x", "knots", "text"),
    [
        ([0.0], [1.0], "two or more increasing"),
        ([0.0], [1.0, 1.0], "two or more increasing"),
        ([0.0], [2.0, 1.0], "two or more increasing"),
        ([0.0], [0.0, float("inf")], "two or more increasing"),
        ([0.0], [0.0, float("nan")], "two or more increasing"),
        ([0.0], [[0.0, 1.0]], "two or more increasing"),
        ([0.0], 3, "two or more increasing"),
        ([0.0], None, "two or more increasing"),
        ([0.0], "abc", "knots is not numeric"),
        ([float("nan")], [0.0, 1.0], "missing or infinite"),
        ([float("-inf")], [0.0, 1.0], "missing or infinite"),
        ([[0.0]], [0.0, 1.0], "more than one dimension"),
        (["a"], [0.0, 1.0], "x is not numeric"),
    ],
)
def test_bad_splines_are_refused(x, knots, text):
    """Knots that do not increase and values that are not finite numbers raise a usage error."""
    with pytest.raises(UsageError, match=text):
        natural_spline(x, knots=knots)


@pytest.mark.parametrize(
    ("x", "df", "text"),
    [
        ([1.0, 2.0, 3.0], 0, "df is 0"),
        ([1.0, 2.0, 3.0], 2.0, r"df is 2\.0"),
        ([1.0, 2.0, 3.0], None, "df is None"),
        ([1.0, 2.0, 3.0], 3, "3 distinct values cannot carry"),
        ([1.0] * 9, 1, "1 distinct values cannot carry"),
        ([1.0, float("nan"), 3.0, 4.0], 2, "missing or infinite"),
        (["a", "b"], 1, "x is not numeric"),
    ],
)
def test_bad_default_knots_are_refused(x, df, text):
    """Too few distinct values, missing ones, and degrees of freedom that are no count raise a usage error."""
    with pytest.raises(UsageError, match=text):
        default_knots(x, df)
