"""The random-effects model against closed forms, dense linear algebra, other packages and its invariances."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medssl.meta import random_effects
from medssl.meta._tau2 import METHODS, _relative_heights, estimate_tau2, log_likelihood
from medssl.meta._wls import weighted_fit

ESTIMATORS = tuple(METHODS)
RANDOM = tuple(method for method in ESTIMATORS if method != "FE")


def simulated(k=14, m=2, tau=0.3, seed=0):
    """Effects with a linear trend and heterogeneity: yi, vi, moderators."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(k, m))
    v = rng.uniform(0.01, 0.2, size=k)
    y = 0.2 + x @ np.linspace(0.3, -0.1, m) + rng.normal(scale=np.sqrt(v + tau**2))
    return y, v, x


def test_two_effects_with_equal_variance_have_a_closed_form():
    """With equal variances REML, DL, HE and PM all give s2 - v, and the mean is the plain mean."""
    y, v = np.array([0.0, 1.0, 5.0]), np.full(3, 0.5)
    for method in ("REML", "DL", "HE", "PM", "EB"):
        fit = random_effects(y, v, method=method)
        assert fit.tau2 == pytest.approx(np.var(y, ddof=1) - 0.5, rel=1e-10)
        assert fit.coef[0] == pytest.approx(2.0)
        assert fit.se[0] == pytest.approx(np.std(y, ddof=1) / np.sqrt(3))  # Knapp-Hartung is the t test here
    assert fit.p_value[0] == pytest.approx(stats.ttest_1samp(y, 0).pvalue)


def test_dense_matrices_give_the_same_traces():
    """The traces that avoid P agree with those from P written out."""
    y, v, x = simulated()
    design = np.column_stack([np.ones(len(y)), x])
    w = 1 / (v + 0.1)
    fit = weighted_fit(y, design, w)
    dense = np.diag(w)
    p = dense - dense @ design @ np.linalg.inv(design.T @ dense @ design) @ design.T @ dense
    assert fit.trace(v) == pytest.approx(np.trace(p @ np.diag(v)))
    assert fit.trace_square(v, w) == pytest.approx(np.trace(p @ np.diag(v) @ p @ np.diag(w)))
    assert fit.rss == pytest.approx(y @ p @ y)
    assert fit.quadratic_square() == pytest.approx(y @ p @ p @ y)


@pytest.mark.parametrize("restricted", [False, True])
def test_likelihood_is_the_normal_density_and_its_maximum_is_found(restricted):
    """The profile likelihood equals a dense normal density, and no tau2 on a fine grid beats the estimate."""
    y, v, x = simulated()
    design = np.column_stack([np.ones(len(y)), x])
    tau2 = estimate_tau2("REML" if restricted else "ML", y, v, design).value
    fit = weighted_fit(y, design, 1 / (v + tau2))
    dense = stats.multivariate_normal(design @ fit.coef, np.diag(v + tau2)).logpdf(y)
    if restricted:  # REML = ML + (p/2) log 2 pi + (1/2) log|X'X| - (1/2) log|X'WX|
        dense += 1.5 * np.log(2 * np.pi) + 0.5 * np.linalg.slogdet(design.T @ design)[1]
        dense -= 0.5 * np.linalg.slogdet((design.T * fit.weights) @ design)[1]
    assert log_likelihood(tau2, y, v, design, restricted=restricted) == pytest.approx(dense)
    grid = np.linspace(0, 2, 2001)
    best = max(log_likelihood(t, y, v, design, restricted=restricted) for t in grid)
    assert log_likelihood(tau2, y, v, design, restricted=restricted) >= best


def test_the_higher_of_two_likelihood_peaks_is_taken():
    """When the likelihood has two peaks, at 0 and inside, the global one is returned."""
    v, design = np.concatenate([np.full(4, 1e-4), np.full(3, 1.0)]), np.ones((7, 1))
    grid = np.concatenate([[0], np.geomspace(1e-8, 30, 400)])
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = rng.normal(scale=np.sqrt(v)) + np.concatenate([np.zeros(4), rng.normal(scale=2.5, size=3)])
        heights = _relative_heights(grid, y, v, design, restricted=True)
        inner = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
        found += int(inner.sum() + (heights[0] > heights[1]) > 1)
        tau2 = np.array([estimate_tau2("REML", y, v, design).value])
        assert _relative_heights(tau2, y, v, design, restricted=True) >= heights.max() - 1e-9
    assert found > 0


def test_the_scanned_likelihood_is_the_likelihood():
    """The stacked scan differs from the one-by-one log-likelihood by a constant only."""
    y, v, x = simulated()
    grid = np.array([0.0, 0.01, 0.5, 3.0])
    for restricted in (False, True):
        scan = _relative_heights(grid, y, v, x, restricted=restricted)
        single = [log_likelihood(t, y, v, x, restricted=restricted) for t in grid]
        np.testing.assert_allclose(np.diff(scan), np.diff(single))


def test_statsmodels_gives_the_same_pooled_effect():
    """DerSimonian-Laird and Paule-Mandel agree with statsmodels' combine_effects."""
    from statsmodels.stats.meta_analysis import combine_effects

    y, v, _ = simulated()
    for method, theirs in (("DL", "dl"), ("PM", "iterated")):
        fit = random_effects(y, v, method=method, test="z")
        result = combine_effects(y, v, method_re=theirs, atol=1e-12)
        assert fit.tau2 == pytest.approx(result.tau2, rel=1e-6)
        assert fit.coef[0] == pytest.approx(result.mean_effect_re, rel=1e-6)
        assert fit.q == pytest.approx(result.q)


def test_fixed_effect_regression_is_weighted_least_squares():
    """FE with moderators gives statsmodels' WLS coefficients and, under "knha", its standard errors and F."""
    import statsmodels.api as sm

    y, v, x = simulated()
    fit = random_effects(y, v, x, method="FE", test="knha")
    wls = sm.WLS(y, sm.add_constant(x), weights=1 / v).fit()
    np.testing.assert_allclose(fit.coef, wls.params)
    np.testing.assert_allclose(fit.se, wls.bse)
    np.testing.assert_allclose(fit.p_value, wls.pvalues)
    assert fit.qm == pytest.approx(wls.fvalue)
    assert fit.r2 == pytest.approx(max(0, 100 * wls.rsquared_adj))


@pytest.mark.parametrize("method", ESTIMATORS)
def test_rescaling_effects_rescales_the_answer(method):
    """Effects in points instead of fractions give the same model in points, whatever the unit."""
    y, v, x = simulated()
    plain = random_effects(y, v, x, method=method)
    for unit in (1e-6, 100.0, 1e6):
        scaled = random_effects(unit * y, unit**2 * v, x, method=method)
        np.testing.assert_allclose(scaled.coef, unit * plain.coef, rtol=1e-8)
        np.testing.assert_allclose(scaled.se, unit * plain.se, rtol=1e-8)
        assert scaled.tau2 == pytest.approx(unit**2 * plain.tau2, rel=1e-8)
        assert scaled.i2 == pytest.approx(plain.i2, rel=1e-8)
        np.testing.assert_allclose(
            scaled.tau2_interval(), unit**2 * np.array(plain.tau2_interval()), rtol=1e-8
        )


@pytest.mark.parametrize("method", ESTIMATORS)
def test_order_of_rows_and_unit_of_moderators_change_nothing(method):
    """Shuffled rows, shifted and rescaled moderators leave predictions and heterogeneity unchanged."""
    y, v, x = simulated()
    order = np.random.default_rng(1).permutation(len(y))
    plain = random_effects(y, v, x, method=method)
    moved = random_effects(y[order], v[order], 2020 + 5 * x[order], method=method)
    columns = ["estimate", "ci_low", "ci_high"]
    np.testing.assert_allclose(moved.predict()[columns], plain.predict()[columns].iloc[order], rtol=1e-6)
    assert moved.tau2 == pytest.approx(plain.tau2, rel=1e-6)
    assert moved.qm == pytest.approx(plain.qm, rel=1e-6)


@pytest.mark.parametrize("method", RANDOM)
def test_variance_between_studies_is_truncated_at_zero(method):
    """Effects closer together than their variances allow give tau2 of 0 (SJ: positive by construction)."""
    y, v = np.array([0.10, 0.11, 0.09, 0.10]), np.full(4, 1.0)
    fit = random_effects(y, v, method=method)
    if method == "SJ":
        assert 0 < fit.tau2 < 1e-3
    else:
        assert fit.tau2 == 0
        assert fit.i2 == 0
        assert fit.h2 == 1
    assert fit.tau2_interval() == (0, 0)


def test_adhoc_never_narrows():
    """Under "adhoc" the standard error is the larger of the "z" and the "knha" ones."""
    for y in (np.array([0.10, 0.11, 0.09, 0.10]), np.array([0.0, 1.0, 5.0, -3.0])):
        z, knha, adhoc = (
            random_effects(y, np.full(4, 1.0), test=t, method="FE").se[0] for t in ("z", "knha", "adhoc")
        )
        assert adhoc == max(z, knha)
    assert z < knha


def test_wide_ranges_of_variance_are_solved():
    """Variances over ten orders of magnitude still give a stationary, finite estimate."""
    rng = np.random.default_rng(3)
    v = np.geomspace(1e-9, 10, 25)
    y = rng.normal(scale=np.sqrt(v + 0.01))
    for method in ESTIMATORS:
        fit = random_effects(y, v, method=method)
        assert np.isfinite([fit.tau2, fit.coef[0], fit.se[0]]).all()
    assert random_effects(y, v, method="PM").tau2 == pytest.approx(0.01, rel=0.6)


def test_identical_effects_do_not_break_any_estimator():
    """Equal effects pool to themselves with tau2 of 0."""
    for method in ESTIMATORS:
        fit = random_effects([0.2, 0.2, 0.2], [0.1, 0.2, 0.3], method=method)
        assert fit.coef[0] == pytest.approx(0.2)
        assert fit.tau2 == pytest.approx(0, abs=1e-20)


def test_knapp_hartung_intervals_cover_the_truth():
    """REML with Knapp-Hartung covers the true mean in close to 95% of simulated sets of ten."""
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        v = rng.uniform(0.02, 0.3, size=10)
        fit = random_effects(rng.normal(0.5, np.sqrt(v + 0.1)), v)
        hits += fit.ci_low[0] <= 0.5 <= fit.ci_high[0]
    assert 0.92 <= hits / 400 <= 0.98  # three binomial standard errors


def test_predictions_follow_the_line_and_widen_with_tau():
    """Predictions are X b; confidence limits use its standard error, prediction limits add tau2."""
    y, v, x = simulated(m=1)
    fit = random_effects(y, v, pd.Series(x[:, 0], name="log10_label_ratio"))
    table = fit.predict(pd.DataFrame({"log10_label_ratio": [-2.0, 0.0]}, index=["a", "b"]))
    assert list(table.index) == ["a", "b"]
    assert list(table.columns) == ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]
    assert table.estimate["a"] == pytest.approx(fit.coef[0] - 2 * fit.coef[1])
    assert table.ci_high["b"] == pytest.approx(fit.ci_high[0])  # at 0 the mean is the intercept
    half = stats.t.ppf(0.975, fit.df) * np.hypot(fit.se[0], np.sqrt(fit.tau2))
    assert table.pi_high["b"] - table.estimate["b"] == pytest.approx(half)
    np.testing.assert_allclose(fit.predict([-2.0, 0.0]), table)
    np.testing.assert_allclose(fit.predict(x), fit.predict())
    assert (fit.predict(0.0, level=0.5).ci_high < fit.predict(0.0).ci_high).all()


def test_prediction_columns_are_matched_by_name():
    """Columns of a prediction table may come in any order."""
    y, v, x = simulated()
    fit = random_effects(y, v, pd.DataFrame(x, columns=["a", "b"]))
    swapped = fit.predict(pd.DataFrame({"b": [1.0], "a": [0.0]}))
    np.testing.assert_allclose(swapped, fit.predict([0.0, 1.0]))


def test_a_common_effect_has_no_prediction_interval():
    """FE gives NaN prediction limits and one row alone is allowed under "z"."""
    fit = random_effects([0.3], [0.04], method="FE", test="z")
    assert fit.coef[0] == pytest.approx(0.3)
    assert fit.se[0] == pytest.approx(0.2)
    assert fit.predict()[["pi_low", "pi_high"]].isna().all(axis=None)
    assert "1 effect was pooled" in fit.report()


def test_report_states_what_the_fit_holds():
    """The paragraph gives the estimate, its interval, the prediction and the heterogeneity of the fit."""
    y, v, x = simulated()
    fit = random_effects(y, v)
    text = fit.report()
    for number in (
        f"{fit.coef[0]:.3g}",
        f"{fit.ci_low[0]:.3g}",
        f"{fit.tau2:.3g}",
        f"{fit.i2:.1f}%",
        "14 effects",
    ):
        assert number in text
    text = random_effects(y, v, pd.DataFrame(x, columns=["ratio", "year"])).report()
    assert "regressed on ratio, year" in text
    assert "F(2, 11)" in text
    assert "\n" not in text
    assert "QM(2)" in random_effects(y, v, x, test="z").report()


def test_table_and_repr_name_the_coefficients():
    """The table has a row for each coefficient by name, and the short form shows them."""
    y, v, x = simulated()
    fit = random_effects(y, v, x)
    assert list(fit.table().index) == ["intercept", "x1", "x2"]
    assert fit.table().loc["x1", "coef"] == fit.coef[1]
    assert "x2" in repr(fit)
    np.testing.assert_allclose(fit.weights, 1 / (v + fit.tau2))


def test_a_perfect_regression_has_no_joint_test():
    """Effects that a moderator explains without remainder have no standard errors and no joint test."""
    for y in ([0.0, 0.0, 0.0], [1.0, 2.0, 4.0]):
        fit = random_effects(y, [0.01, 0.02, 0.03], [1.0, 2.0, 4.0])
        assert fit.se == pytest.approx(0, abs=1e-12)
        if y[0] == 0:
            assert np.isnan([fit.qm, fit.qm_p]).all()
