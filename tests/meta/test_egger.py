"""Egger's test in its three forms against other packages, planted slopes and its invariances."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from medssl.errors import UsageError
from medssl.meta import egger, multilevel, random_effects

Y, V = [0.10, 0.04, 0.01, 0.02, 0.05], [0.0009, 0.0004, 0.0002, 0.0001, 0.0005]


def funnel(k=30, slope=1.5, seed=0):
    """Effects that grow with their standard error: yi, vi."""
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.05, 0.5, size=k)
    return 0.1 + slope * se + rng.normal(scale=np.hypot(se, 0.05)), se**2


def test_the_classical_form_is_weighted_least_squares_and_eggers_own_regression():
    """It gives statsmodels' WLS slope, and the intercept of y / se on 1 / se as Egger wrote it."""
    y, v = funnel()
    se = np.sqrt(v)
    test = egger(y, v, form="classical")
    wls = sm.WLS(y, sm.add_constant(se), weights=1 / v).fit()
    assert (test.slope, test.slope_se) == pytest.approx((wls.params[1], wls.bse[1]))
    assert (test.limit, test.limit_ci_low) == pytest.approx((wls.params[0], wls.conf_int()[0, 0]))
    original = sm.OLS(y / se, sm.add_constant(1 / se)).fit()
    assert (test.statistic, test.p_value) == pytest.approx((original.tvalues[0], original.pvalues[0]))
    assert test.df == len(y) - 2


def test_the_regression_form_is_a_meta_regression_on_the_standard_error():
    """It gives the last coefficient of random_effects with z limits, and its intercept as the limit."""
    y, v = funnel()
    test = egger(y, v, method="PM")
    fit = random_effects(y, v, np.sqrt(v), method="PM", test="z")
    assert (test.slope, test.ci_low, test.ci_high) == (fit.coef[1], fit.ci_low[1], fit.ci_high[1])
    assert (test.statistic, test.p_value) == (fit.statistic[1], fit.p_value[1])
    assert (test.limit, test.limit_ci_low, test.limit_ci_high) == (
        fit.coef[0], fit.ci_low[0], fit.ci_high[0],
    )  # fmt: skip
    assert test.df == np.inf


def test_the_cluster_form_is_a_robust_multilevel_regression(clustered):
    """It gives the last coefficient of the CR2 fit with the working correlation that was asked for."""
    data = clustered(m=1)
    test = egger(data.y, data.v, data.z, form="cluster", cluster=data.cluster, rho=0.8)
    design = np.column_stack([data.z, np.sqrt(data.v)])
    robust = multilevel(data.y, data.v, data.cluster, design, rho=0.8).robust("CR2")
    expected = (robust.coef, robust.se, robust.statistic, robust.p_value, robust.df, robust.ci_low)
    ours = (test.slope, test.slope_se, test.statistic, test.p_value, test.df, test.ci_low)
    assert ours == pytest.approx([each[-1] for each in expected])
    assert np.isnan([test.limit, test.limit_ci_low, test.limit_ci_high]).all()
    other = egger(data.y, data.v, data.z, form="cluster", cluster=data.cluster, rho=0.1)
    assert other.slope != test.slope


@pytest.mark.parametrize("form", ["regression", "classical", "cluster"])
def test_a_planted_slope_and_limit_are_found(form):
    """Effects made with a slope of 1.5 and a limit of 0.1 give both back, far from chance."""
    y, v = funnel(k=200)
    test = egger(y, v, form=form, cluster=np.arange(200) // 2 if form == "cluster" else None)
    assert test.ci_low < 1.5 < test.ci_high
    assert test.limit_ci_low < 0.1 < test.limit_ci_high
    assert test.p_value < 1e-6


@pytest.mark.parametrize("form", ["regression", "classical"])
def test_moderators_are_held_constant(form):
    """With a moderator that explains the slope away the test finds nothing, also when it is a formula."""
    rng = np.random.default_rng(1)
    se = rng.uniform(0.05, 0.5, size=80)
    table = pd.DataFrame({"ratio": 3 * se + rng.normal(scale=0.2, size=80)})
    y = table.ratio.to_numpy() + rng.normal(scale=se)
    assert egger(y, se**2, form=form).p_value < 0.001
    adjusted = egger(y, se**2, table, form=form)
    assert adjusted.p_value > 0.05
    assert egger(y, se**2, "ratio", data=table, form=form).statistic == adjusted.statistic
    assert np.isnan(adjusted.limit)


@pytest.mark.parametrize("form", ["regression", "classical", "cluster"])
def test_unit_and_order_change_nothing(form):
    """Effects in points give the same slope and test and a limit in points, in any order of rows."""
    y, v = funnel(seed=2)
    cluster = np.arange(len(y)) // 3
    order = np.random.default_rng(0).permutation(len(y))
    plain, scaled, moved = (
        egger(yi, vi, form=form, cluster=each if form == "cluster" else None)
        for yi, vi, each in (
            (y, v, cluster), (100 * y, 1e4 * v, cluster), (y[order], v[order], cluster[order]),
        )
    )  # fmt: skip
    for other, unit in ((scaled, 100), (moved, 1)):
        ours = (other.slope, other.slope_se, other.statistic, other.p_value, other.limit)
        theirs = (plain.slope, plain.slope_se, plain.statistic, plain.p_value, unit * plain.limit)
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_level_sets_both_intervals():
    """A lower level narrows the limits of slope and limit by the ratio of the quantiles."""
    wide, narrow = egger(Y, V), egger(Y, V, level=0.5)
    ratio = 0.6744897501960817 / 1.959963984540054
    assert narrow.ci_high - narrow.slope == pytest.approx(ratio * (wide.ci_high - wide.slope))
    assert narrow.limit_ci_high - narrow.limit == pytest.approx(ratio * (wide.limit_ci_high - wide.limit))


def test_row_labels_of_a_series_are_followed():
    """A series with its own labels is accepted together with a moderator of the same labels."""
    index = list("abcde")
    plain = egger(Y, V, [1.0, 0.0, 1.0, 0.0, 0.0])
    named = egger(
        pd.Series(Y, index), pd.Series(V, index), pd.Series([1.0, 0, 1, 0, 0], index, name="private")
    )
    assert named.statistic == plain.statistic


def test_the_report_states_form_slope_and_limit():
    """The sentence names the model and gives the numbers of the result."""
    test = egger(Y, V, form="classical", level=0.9)
    for part in (f"t(3.0) = {test.statistic:.2f}", f"{test.slope:.3g}", "90% interval", f"{test.limit:.3g}"):
        assert part in test.report()
    assert "z = " in egger(Y, V).report()
    assert "standard error of 0" not in egger(Y, V, [1.0, 0.0, 1.0, 0.0, 0.0]).report()


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.1, 0.2], V, {}, "yi has missing"),
        (Y, [0.0009, 0.0, 0.0002, 0.0001, 0.0005], {}, "vi must be positive"),
        (Y, V[:4], {}, "yi has 5 values and vi has 4"),
        ([0.1], [0.01], {}, "vi are all equal"),
        (Y, [0.01] * 5, {}, "vi are all equal"),
        (Y[:2], V[:2], {}, "needs at least 3 rows"),
        (Y, V, {"form": "lm"}, "form is 'lm'"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
        (Y, V, {"level": 95}, "between 0 and 1"),
        (Y, V, {"form": "cluster"}, "give both or neither"),
        (Y, V, {"cluster": list("aabbc")}, "give both or neither"),
        (Y, V, {"form": "cluster", "cluster": list("aaaaa")}, "one cluster only"),
        (Y, V, {"form": "cluster", "cluster": list("aab")}, "cluster has 3 values"),
        (Y, V, {"moderators": [1.0, 2.0]}, "moderators has 2 rows"),
        (Y, V, {"moderators": np.sqrt(V)}, "collinear"),
        (Y, V, {"moderators": pd.DataFrame({"standard_error": Y})}, "which is added here"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        egger(yi, vi, **options)
