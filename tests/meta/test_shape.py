"""The shape of a gain: spline beside line, curves, break-even points, probabilities."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medssl.errors import UsageError
from medssl.meta import multilevel, natural_spline, random_effects, shape
from medssl.meta.probability import probability_of_gain


def simulated(clusters=14, curved=0.0, seed=0):
    """Effects in clusters that fall with x, and x: yi, vi, x, cluster, data."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, clusters)
    cluster = np.repeat(np.arange(clusters), sizes)
    x = pd.Series(rng.uniform(-3, 1, len(cluster)), name="log10_ratio")
    v = rng.uniform(1e-4, 9e-4, len(cluster))
    mean = 0.01 - 0.03 * x + curved * (x + 1) ** 2
    y = mean + rng.normal(scale=0.02, size=clusters)[cluster] + rng.normal(scale=np.sqrt(v + 1e-4))
    kind = pd.DataFrame({"kind": rng.choice(["random", "imagenet"], len(cluster))})
    return y.to_numpy(), v, x, cluster, kind


@pytest.fixture(scope="module")
def fitted():
    y, v, x, cluster, kind = simulated()
    return shape(y, v, x, cluster, "C(kind)", data=kind)


def test_both_forms_are_the_multilevel_fits_of_their_columns(fitted):
    """The line and the spline equal `multilevel` on hand-made columns, and so does the test."""
    y, v, x, cluster, kind = simulated()
    basis = natural_spline(x, knots=fitted.knots)
    dummy = (kind.kind == "random").to_numpy(float)
    line = multilevel(y, v, cluster, np.column_stack([x, dummy]), rho=0.6)
    spline = multilevel(y, v, cluster, np.column_stack([basis, dummy]), rho=0.6)
    np.testing.assert_allclose(fitted.line.coef, line.coef, rtol=1e-9)
    np.testing.assert_allclose(fitted.spline.coef, spline.coef, rtol=1e-7)
    contrasts = np.eye(5)[[2, 3]]
    assert fitted.nonlinearity.p_value == pytest.approx(spline.robust().wald(contrasts).p_value, rel=1e-6)
    assert fitted.knots[0] == x.min()
    assert fitted.knots[-1] == x.max()
    assert fitted.name == "log10_ratio"


def test_the_curve_is_the_robust_prediction_at_mean_moderators(fitted):
    """Each point of the curve is a robust prediction with the other moderators at their means."""
    _, _, _, _, kind = simulated()
    share = (kind.kind == "random").mean()
    curve = fitted.curve([-2.0, 0.0], form="line", level=0.9)
    expected = fitted.line.robust().predict(np.array([[-2.0, share], [0.0, share]]), level=0.9)
    np.testing.assert_allclose(curve.drop(columns="log10_ratio"), expected, rtol=1e-10)
    assert (curve.pi_low < curve.ci_low).all()
    whole = fitted.curve()
    assert (whole.log10_ratio.min(), whole.log10_ratio.max()) == (fitted._x.min(), fitted._x.max())


def test_a_curve_is_told_from_a_line():
    """Strong curvature is detected and none is not; the two differ in the statistic by far."""
    p = {}
    for curved in (0.0, 0.03):
        y, v, x, cluster, _ = simulated(clusters=30, curved=curved, seed=3)
        p[curved] = shape(y, v, x, cluster).nonlinearity.p_value
    assert p[0.03] < 1e-4
    assert p[0.0] > 0.05


def test_the_spline_extends_as_a_straight_line(fitted):
    """Beyond the outer knots second differences of the curve vanish."""
    outside = fitted.curve(fitted.knots[-1] + np.array([0.0, 1.0, 2.0, 3.0]))
    np.testing.assert_allclose(np.diff(outside.estimate, 2), 0, atol=1e-10)


def test_break_even_of_a_line_is_minus_intercept_over_slope(fitted):
    """Point and delta interval equal the closed form of a ratio of coefficients."""
    y, v, x, cluster, _ = simulated()
    fit = shape(y, v, x, cluster)
    found = fit.break_even(0.01)
    robust = fit.line.robust()
    a, b = robust.coef
    assert found.value == pytest.approx((0.01 - a) / b, rel=1e-8)
    row = np.array([1.0, found.value])
    se = np.sqrt(row @ robust.covariance @ row) / abs(b)
    df = robust.predict([found.value]).df.iloc[0]
    half = stats.t.ppf(0.975, df) * se
    assert found.method == "delta"
    assert found.low == pytest.approx(found.value - half, rel=1e-5)
    assert found.high == pytest.approx(found.value + half, rel=1e-5)
    spline = fit.break_even(0.01, form="spline")
    assert fit.curve([spline.value]).estimate.iloc[0] == pytest.approx(0.01, abs=1e-9)


def test_there_is_no_break_even_where_the_curve_does_not_cross(fitted):
    """A gain that is never reached gives no value and says on which side the curve stays."""
    none = fitted.break_even(-0.5)
    assert np.isnan([none.value, none.low, none.high]).all()
    assert none.method == "none"
    assert "stays above -0.5" in none.reason
    assert "stays below 5" in fitted.break_even(5.0).reason


def test_the_bootstrap_interval_holds_the_point_and_is_reproducible(fitted):
    """Percentile limits enclose the point estimate, follow the seed, and count the curves that cross."""
    first, again = (fitted.break_even(0.01, bootstrap=200, seed=4) for _ in range(2))
    other = fitted.break_even(0.01, bootstrap=200, seed=5)
    assert first == again
    assert first != other
    assert first.low < first.value < first.high
    assert first.method == "bootstrap"
    assert 0.9 <= first.crossing_share <= 1
    none = fitted.break_even(-0.5, bootstrap=50)
    assert np.isnan(none.value)
    assert none.crossing_share < 0.1


def test_a_limit_beyond_the_data_is_infinite():
    """With a nearly flat line the interval of the break-even point is open, not extrapolated."""
    y, v, x, cluster, _ = simulated(clusters=6, seed=8)
    flat = y + 0.027 * x
    fit = shape(flat, v, x, cluster)
    found = fit.break_even(float(fit.curve([-1.0], form="line").estimate.iloc[0]))
    assert found.value == pytest.approx(-1.0)
    assert np.isinf([found.low, found.high]).any()


def test_probability_is_the_tail_of_the_prediction_interval(fitted):
    """The probability of exceeding a prediction limit is the tail that the limit leaves."""
    table = fitted.line.robust().predict(np.array([[-2.0, 0.5]]), level=0.9).iloc[0]
    tail = probability_of_gain(fitted.line, table.pi_low, np.array([[-2.0, 0.5]]))
    assert tail.probability.iloc[0] == pytest.approx(0.95)
    assert probability_of_gain(fitted.line, table.estimate, np.array([[-2.0, 0.5]])).probability.iloc[
        0
    ] == pytest.approx(0.5)
    curve = fitted.probability(0.0, [-3.0, 1.0])
    assert curve.probability.is_monotonic_decreasing
    np.testing.assert_allclose(curve.estimate, fitted.curve([-3.0, 1.0]).estimate)


def test_probability_of_a_random_effects_fit_is_the_predictive_t():
    """Without clusters the scale is that of metafor's prediction interval."""
    fit = random_effects([0.02, 0.03, 0.01, 0.05], [1e-4, 2e-4, 1e-4, 3e-4])
    expected = stats.t.sf((0.01 - fit.coef[0]) / np.sqrt(fit.se[0] ** 2 + fit.tau2), fit.df)
    assert probability_of_gain(fit, 0.01).probability.iloc[0] == pytest.approx(expected)
    common = random_effects([0.02, 0.03], [1e-4, 2e-4], method="FE", test="z")
    with pytest.raises(UsageError, match="predicts no new study"):
        probability_of_gain(common)


def test_scaling_effects_scales_curves_and_leaves_the_break_even_point():
    """Gains in points instead of fractions move no break-even point."""
    y, v, x, cluster, _ = simulated()
    plain, scaled = shape(y, v, x, cluster), shape(100 * y, 1e4 * v, x, cluster)
    np.testing.assert_allclose(scaled.curve().estimate, 100 * plain.curve().estimate, rtol=1e-6)
    assert scaled.break_even(1.0).value == pytest.approx(plain.break_even(0.01).value, rel=1e-6)
    assert scaled.nonlinearity.p_value == pytest.approx(plain.nonlinearity.p_value, rel=1e-5)


def test_bad_requests_are_refused(fitted):
    """Too few knots or distinct values, x of another length, unknown forms: one clear error each."""
    y, v, x, cluster, _ = simulated()
    with pytest.raises(UsageError, match="three knots or more"):
        shape(y, v, x, cluster, knots=(-3, 1))
    with pytest.raises(UsageError, match="2 distinct values cannot carry"):
        shape(y, v, np.where(x > -1, 1.0, 0.0), cluster)
    with pytest.raises(UsageError, match="x needs"):
        shape(y, v, x[:-1], cluster)
    with pytest.raises(UsageError, match="x needs"):
        shape(y, v, x.where(x > x.min()), cluster)
    with pytest.raises(UsageError, match="form is 'cubic'"):
        fitted.curve(form="cubic")
    with pytest.raises(UsageError, match="increasing"):
        shape(y, v, x, cluster, knots=(1, 0, -1))


def test_the_report_names_both_forms(fitted):
    """The sentence gives the slope with its interval and the test of the spline."""
    text = fitted.report()
    assert f"{fitted.line.robust().coef[1]:.3g}" in text
    assert "spline with 3 degrees of freedom" in text
