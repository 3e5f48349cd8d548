"""Cumulative tables against fits of the first effects."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.meta import cumulative, random_effects
from medssl.meta._tau2 import METHODS


def effects(k=9, seed=0):
    """Heterogeneous effects: yi, vi."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.2, size=k)
    return rng.normal(0.2, np.sqrt(v + 0.05)), v


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("test", ["z", "knha", "adhoc"])
def test_each_row_is_the_fit_of_the_effects_so_far(method, test):
    """From the second row on every number is that of random_effects on the effects up to it."""
    y, v = effects()
    table = cumulative(y, v, method=method, test=test)
    assert table.k.to_list() == list(range(1, 10))
    for row in table.iloc[1:].itertuples():
        fit = random_effects(y[: row.k], v[: row.k], method=method, test=test)
        one = (fit.coef, fit.se, fit.statistic, fit.p_value, fit.ci_low, fit.ci_high)
        ours = (row.estimate, row.se, row.statistic, row.p_value, row.ci_low, row.ci_high)
        assert ours == pytest.approx([each[0] for each in one])
        assert (row.q, row.q_p, row.tau2, row.i2) == pytest.approx((fit.q, fit.q_p, fit.tau2, fit.i2))


@pytest.mark.parametrize("test", ["z", "knha"])
def test_the_first_row_is_the_first_effect_with_its_normal_interval(test):
    """One effect alone has its own standard error and no heterogeneity, whatever the test."""
    row = cumulative([0.3, 0.1], [0.04, 0.01], test=test).iloc[0]
    assert (row.estimate, row.se) == pytest.approx((0.3, 0.2))
    assert row.ci_high == pytest.approx(0.3 + norm.ppf(0.975) * 0.2)
    assert (row.tau2, row.i2, row.q) == (0, 0, 0)
    assert len(cumulative([0.3], [0.04], test=test)) == 1


def test_common_effect_rows_have_a_closed_form():
    """Under FE the estimates are running weighted means and errors the root of running precision."""
    y, v = effects()
    table = cumulative(y, v, method="FE", test="z")
    np.testing.assert_allclose(table.estimate, np.cumsum(y / v) / np.cumsum(1 / v))
    np.testing.assert_allclose(table.se, np.cumsum(1 / v) ** -0.5)


def test_order_sorts_and_keeps_the_order_of_equal_values():
    """Sorting by year gives the table of the sorted effects, and effects of one year stay as they were."""
    y, v = effects()
    year = [2021, 2019, 2020, 2019, 2022, 2018, 2021, 2020, 2018]
    rows = [5, 8, 1, 3, 2, 7, 0, 6, 4]
    table = cumulative(y, v, order=year)
    assert table.added.to_list() == rows
    expected = cumulative(y[rows], v[rows], labels=rows)
    pd.testing.assert_frame_equal(table, expected)
    words = cumulative(y, v, order=[str(each) for each in year])
    pd.testing.assert_frame_equal(words, table)


def test_the_last_row_depends_on_no_order():
    """All effects pool to the same number in any order, and in points to a hundred times it."""
    y, v = effects()
    forward, backward = cumulative(y, v), cumulative(y, v, order=-np.arange(9))
    assert backward.estimate.iloc[-1] == pytest.approx(forward.estimate.iloc[-1])
    assert backward.estimate.iloc[0] == y[-1]
    points = cumulative(100 * y, 1e4 * v)
    np.testing.assert_allclose(points.estimate, 100 * forward.estimate, rtol=1e-6)


def test_labels_name_what_was_added():
    """Labels come from the argument, else from the index of a series, and follow the order."""
    names = list("abc")
    data = pd.DataFrame({"y": [0.1, 0.2, 0.3], "v": [0.01, 0.02, 0.03], "year": [3, 1, 2]}, index=names)
    assert cumulative(data.y, data.v, order=data.year).added.to_list() == ["b", "c", "a"]
    assert cumulative([0.1, 0.2, 0.3], data.v, labels=names).added.to_list() == names


Y, V = [0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.4], V, {}, "yi has missing"),
        (Y, [0.01, 0.0, 0.03, 0.04], {}, "vi must be positive"),
        (Y, V[:3], {}, "yi has 4 values and vi has 3"),
        ([], [], {}, "yi is empty"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
        (Y, V, {"test": "t"}, "test is 't'"),
        (Y, V, {"order": [2020, 2021]}, "order has shape"),
        (Y, V, {"order": [2020, None, 2021, 2022]}, "order is missing in row 1"),
        (Y, V, {"labels": ["a", "b"]}, "labels has shape"),
        (pd.Series(Y), V, {"order": pd.Series(Y, index=[3, 2, 1, 0])}, "different row labels"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        cumulative(yi, vi, **options)
