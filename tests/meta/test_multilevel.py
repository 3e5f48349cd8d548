"""The multilevel model against full matrices, closed forms, other packages and its invariances."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from medssl.meta import multilevel, random_effects
from medssl.meta._tau2 import log_likelihood

RHOS = (0.0, 0.6, -0.05, 0.95)
CHEAP = settings(max_examples=25, deadline=None, derandomize=True, database=None)
NUMBERS = ("coef", "se", "statistic", "p_value", "ci_low", "ci_high")


def fit_of(data, rho=0.6, **options):
    """The multilevel fit of clustered effects."""
    moderators = data.z if data.z.shape[1] else None
    return multilevel(data.y, data.v, data.cluster, moderators, rho=rho, **options)


@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("rho", RHOS)
def test_estimates_are_those_of_full_matrices(clustered, dense, rho, m):
    """Coefficients, errors, Q, likelihood and I2 at the estimated variances follow from k by k matrices."""
    data = clustered(m=m, rho=rho)
    fit, slow = fit_of(data, rho), dense(data, rho)
    coef, covariance = slow.coefficients(fit.sigma2)
    np.testing.assert_allclose(fit.coef, coef, rtol=1e-9)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.se, np.sqrt(np.diag(covariance)), rtol=1e-9)
    assert fit.q == pytest.approx(slow.q())
    assert fit.q_p == pytest.approx(stats.chi2.sf(slow.q(), 32 - m - 1))
    assert fit.log_likelihood == pytest.approx(slow.log_likelihood(fit.sigma2), abs=1e-8)
    weight, x = np.linalg.inv(slow.covariance((0, 0))), data.x
    p = weight - weight @ x @ np.linalg.inv(x.T @ weight @ x) @ x.T @ weight
    typical = (32 - m - 1) / np.trace(p)
    np.testing.assert_allclose(fit.i2, 100 * fit.sigma2 / (fit.sigma2.sum() + typical))


@pytest.mark.parametrize("test", ["z", "t"])
def test_model_based_tests_follow_from_their_distribution(clustered, test):
    """Statistics, p values, limits and the joint test are normal or t and F with k - p df."""
    fit = fit_of(clustered(m=2), test=test)
    df = 29 if test == "t" else np.inf
    assert fit.df == df
    np.testing.assert_allclose(fit.statistic, fit.coef / fit.se)
    np.testing.assert_allclose(fit.p_value, 2 * stats.t.sf(np.abs(fit.statistic), df))
    np.testing.assert_allclose(fit.ci_high - fit.ci_low, 2 * stats.t.ppf(0.975, df) * fit.se)
    wald = fit.coef[1:] @ np.linalg.inv(fit.covariance[1:, 1:]) @ fit.coef[1:]
    assert fit.qm == pytest.approx(wald if test == "z" else wald / 2)
    expected = stats.chi2.sf(wald, 2) if test == "z" else stats.f.sf(wald / 2, 2, 29)
    assert fit.qm_p == pytest.approx(expected)
    assert np.isnan(fit_of(clustered(), test=test).qm)


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.05])
def test_balanced_clusters_have_the_estimators_of_analysis_of_variance(rho):
    """With equal variances and sizes REML is the ANOVA estimator, and the pooled effect the plain mean."""
    clusters, n, v, seen = 9, 4, 0.05, set()
    for seed, (between, within) in enumerate([(0.3, 0.2), (0.3, 0.0), (0.0, 0.3), (0.2, 0.1), (0.0, 0.0)]):
        rng = np.random.default_rng(seed)
        noise = np.sqrt(within**2 + 0.3 * v) * rng.normal(size=(clusters, n))
        y = 0.1 + between * rng.normal(size=(clusters, 1)) + noise
        fit = multilevel(y.ravel(), np.full(y.size, v), np.repeat(np.arange(clusters), n), rho=rho)
        rest = np.sum((y - y.mean(axis=1, keepdims=True)) ** 2)
        msw = rest / (clusters * (n - 1))
        msb = n * y.mean(axis=1).var(ddof=1)
        effect = msw - (1 - rho) * v
        cluster = (msb - msw) / n - rho * v
        if effect < 0:  # the sums of squares are independent: the other one is solved alone
            effect, cluster = 0.0, (msb - (1 - rho) * v) / n - rho * v
        seen.add((cluster > 0, effect > 0))
        if cluster > 0:
            np.testing.assert_allclose(fit.sigma2, [cluster, effect], rtol=1e-8, atol=1e-12)
            assert fit.se[0] == pytest.approx(
                np.sqrt((n * (cluster + rho * v) + effect + (1 - rho) * v) / y.size)
            )
        else:
            assert fit.sigma2[0] == 0
        assert fit.coef[0] == pytest.approx(y.mean())
    assert {(True, True), (True, False)} <= seen


def test_without_variance_of_clusters_the_total_scatter_is_pooled():
    """Where clusters differ less than effects within them, the variance is that of all effects less v."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(8, 4))
    y -= 0.8 * y.mean(axis=1, keepdims=True)
    fit = multilevel(y.ravel(), np.full(32, 0.1), np.repeat(np.arange(8), 4))
    np.testing.assert_allclose(fit.sigma2, [0, y.var(ddof=1) - 0.1], rtol=1e-8)


@pytest.mark.parametrize("m", [0, 2])
def test_without_sampling_error_it_is_statsmodels_random_intercept_model(clustered, m):
    """With vanishing sampling variances, MixedLM gives the same coefficients, errors and variances."""
    data = clustered(m=m, sizes=(3, 4, 2, 6, 5, 3, 5, 4, 2, 7), sigma2=(0.2, 0.1), seed=3)
    fit = fit_of(replace(data, v=np.full(len(data.y), 1e-9)), 0.0)
    theirs = MixedLM(data.y, data.x, groups=pd.factorize(data.cluster)[0]).fit(reml=True, method="powell")
    np.testing.assert_allclose(fit.coef, theirs.fe_params, rtol=1e-4)
    np.testing.assert_allclose(fit.se, theirs.bse_fe, rtol=5e-3)  # theirs: of the full Hessian
    assert fit.sigma2[0] == pytest.approx(float(np.squeeze(theirs.cov_re)), rel=1e-3)
    assert fit.sigma2[1] == pytest.approx(theirs.scale, rel=1e-3)


@pytest.mark.parametrize("m", [0, 2])
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_one_effect_a_cluster_is_the_random_effects_model(clustered, rho, m):
    """Clusters of one give REML random effects with normal tests, whatever rho."""
    data = clustered(m=m, sizes=(1,) * 25)
    fit = fit_of(data, rho)
    single = random_effects(data.y, data.v, data.z if m else None, test="z")
    for name in NUMBERS:
        np.testing.assert_allclose(getattr(fit, name), getattr(single, name), rtol=1e-6, err_msg=name)
    assert fit.sigma2.sum() == pytest.approx(single.tau2, rel=1e-6)
    assert fit.sigma2[1] == 0
    for name in ("q", "q_p", "qm", "qm_p"):
        assert getattr(fit, name) == pytest.approx(getattr(single, name), rel=1e-6, nan_ok=True)
    assert fit.i2.sum() == pytest.approx(single.i2, rel=1e-6)
    height = log_likelihood(single.tau2, data.y, data.v, data.x, restricted=True)
    assert fit.log_likelihood == pytest.approx(height)
    columns = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]
    np.testing.assert_allclose(fit.predict()[columns], single.predict()[columns], rtol=1e-6)


@CHEAP
@given(exponent=st.floats(-6, 6), seed=st.integers(0, 40), rho=st.sampled_from(RHOS))
def test_rescaling_effects_rescales_the_answer(clustered, exponent, seed, rho):
    """Effects times c and variances times c squared give the same model in the other unit."""
    data, c = clustered(seed=seed, m=seed % 3), 10.0**exponent
    plain, scaled = fit_of(data, rho), fit_of(replace(data, y=c * data.y, v=c**2 * data.v), rho)
    np.testing.assert_allclose(scaled.sigma2, c**2 * plain.sigma2, rtol=1e-7, atol=1e-12 * c**2)
    for name in ("coef", "se", "ci_low", "ci_high"):
        expected = c * getattr(plain, name)
        np.testing.assert_allclose(getattr(scaled, name), expected, rtol=1e-7, atol=1e-10 * c, err_msg=name)
    np.testing.assert_allclose(scaled.p_value, plain.p_value, rtol=1e-6)
    np.testing.assert_allclose(scaled.i2, plain.i2, rtol=1e-6)
    np.testing.assert_allclose(scaled.predict(), c * plain.predict(), rtol=1e-6, atol=1e-9 * c)
    degrees = len(data.y) - len(plain.names)
    assert scaled.log_likelihood == pytest.approx(plain.log_likelihood - degrees * np.log(c), abs=1e-6)


@CHEAP
@given(seed=st.integers(0, 40), order=st.randoms(use_true_random=False), rho=st.sampled_from(RHOS))
def test_order_and_names_change_nothing(clustered, seed, order, rho):
    """Rows in any order, with any labels, give the same fit; fitted values follow their rows."""
    data = clustered(seed=seed, m=seed % 3)
    rows, labels = list(range(len(data.y))), sorted(set(data.cluster))
    order.shuffle(rows)
    order.shuffle(labels)
    names = {label: (i, -i, f"name {i}", float(i) + 0.5)[i % 4] for i, label in enumerate(labels, 1)}
    moved = data.take(rows)
    moved = replace(moved, cluster=[names[label] for label in moved.cluster])
    first, second = fit_of(data, rho), fit_of(moved, rho)
    np.testing.assert_allclose(second.sigma2, first.sigma2, rtol=1e-6, atol=1e-12)
    for name in ("coef", "se", "p_value"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-6, err_msg=name)
    np.testing.assert_array_equal(second.yi, data.y[rows])
    assert list(second.cluster) == moved.cluster
    if data.z.shape[1]:
        np.testing.assert_allclose(second.predict(), first.predict().iloc[rows], rtol=1e-6, atol=1e-9)


@CHEAP
@given(shift=st.floats(-1e5, 1e5), seed=st.integers(0, 40))
def test_shifting_moderators_changes_only_the_intercept(clustered, shift, seed):
    """A moderator plus a constant keeps slopes, variances, likelihood, predictions and tests."""
    data = clustered(seed=seed, m=2)
    plain, moved = fit_of(data), fit_of(replace(data, z=data.z + np.array([shift, 0.0])))
    np.testing.assert_allclose(moved.sigma2, plain.sigma2, rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(moved.coef[1:], plain.coef[1:], rtol=1e-6)
    np.testing.assert_allclose(moved.se[1:], plain.se[1:], rtol=1e-6)
    assert moved.coef[0] == pytest.approx(plain.coef[0] - shift * plain.coef[1], rel=1e-6, abs=1e-8)
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-8)
    assert moved.qm == pytest.approx(plain.qm, rel=1e-6)
    np.testing.assert_allclose(moved.predict(), plain.predict(), rtol=1e-4, atol=1e-6)


def test_an_uncentred_parabola_is_the_centred_one(clustered):
    """Years and squared years, nearly collinear, give the curve of the same parabola around 2020."""
    data = clustered(sizes=(3, 4, 2, 6, 1, 3, 5, 1, 2, 7, 4, 4))
    for seed in range(4):
        year = np.random.default_rng(seed).integers(2015, 2025, len(data.y)).astype(float)
        near, far = (fit_of(replace(data, z=np.column_stack([t, t**2]))) for t in (year - 2020, year))
        assert far.coef[2] == pytest.approx(near.coef[2], rel=1e-6)
        assert far.qm == pytest.approx(near.qm, rel=1e-6)
        np.testing.assert_allclose(far.sigma2, near.sigma2, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(far.predict().estimate, near.predict().estimate, rtol=1e-6, atol=1e-9)


def test_a_single_pair_that_a_moderator_fits_leaves_one_variance(clustered):
    """Where moderators leave one effect a cluster, the sum of both variances is that of clusters."""
    data = clustered(sizes=(2, 1, 1, 1, 1, 1, 1))
    first = (np.arange(8) == np.flatnonzero(data.cluster == "c0")[0]).astype(float)
    fit = fit_of(replace(data, z=first[:, None]))
    without = data.take(first == 0)
    assert fit.sigma2[1] == 0
    assert fit.sigma2[0] == pytest.approx(random_effects(without.y, without.v).tau2, rel=1e-6)
    assert "The moderators leave each cluster one effect" in fit.report()


def test_predictions_follow_the_line_and_widen_with_both_variances(clustered):
    """Predictions are X b; confidence limits use their error, prediction limits add both variances."""
    data = clustered(m=1)
    fit = multilevel(data.y, data.v, data.cluster, pd.Series(data.z[:, 0], name="ratio"), rho=0.6, test="t")
    table = fit.predict(pd.DataFrame({"ratio": [-2.0, 0.0]}, index=["a", "b"]), level=0.9)
    assert list(table.index) == ["a", "b"]
    assert list(table.columns) == ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]
    assert table.estimate["a"] == pytest.approx(fit.coef[0] - 2 * fit.coef[1])
    critical = stats.t.ppf(0.95, 30)
    assert table.ci_high["b"] - table.estimate["b"] == pytest.approx(critical * fit.se[0])
    half = critical * np.sqrt(fit.se[0] ** 2 + fit.heterogeneity)
    assert table.pi_high["b"] - table.estimate["b"] == pytest.approx(half)
    np.testing.assert_allclose(fit.predict([-2.0, 0.0], level=0.9), table)
    np.testing.assert_allclose(fit.predict(), fit.predict(data.z))


def test_the_fit_keeps_the_data_in_the_order_of_the_caller(clustered):
    """Effects, variances, design and labels are those given, whatever the order of clusters."""
    data = clustered(m=2)
    fit = fit_of(data)
    np.testing.assert_array_equal(fit.yi, data.y)
    np.testing.assert_array_equal(fit.vi, data.v)
    np.testing.assert_array_equal(fit.design, data.x)
    np.testing.assert_array_equal(fit.cluster, data.cluster)
    assert (fit.k, fit.clusters, fit.rho, fit.names) == (32, 10, 0.6, ("intercept", "x1", "x2"))
    assert fit.heterogeneity == pytest.approx(fit.sigma2.sum())


def test_series_categories_and_lists_are_the_same_input(clustered):
    """Pandas columns, categories and plain lists give the same fit."""
    data = clustered()
    plain = fit_of(data)
    table = pd.DataFrame({"yi": data.y, "vi": data.v, "cluster": data.cluster})
    for labels in (table.cluster, table.cluster.astype("category"), list(data.cluster)):
        fit = multilevel(table.yi, table.vi, labels, rho=0.6)
        np.testing.assert_array_equal(fit.coef, plain.coef)
    assert multilevel(list(data.y), list(data.v), list(data.cluster), rho=0.6).coef == plain.coef


def test_texts_state_the_fit(clustered):
    """Table, repr and report name model, coefficients, variances and tests."""
    data = clustered(m=1)
    fit = fit_of(data)
    assert list(fit.table().columns) == list(NUMBERS)
    assert list(fit.table().index) == ["intercept", "x1"]
    assert repr(fit).startswith("MultilevelFit(k=32, 10 clusters, rho 0.6: intercept")
    report = fit.report()
    for part in (
        "32 effects in 10 clusters were regressed on x1 in a correlated-and-hierarchical-effects model",
        "sampling correlation 0.6",
        "Jointly, x1: F(1,",
        f"Residual heterogeneity: variance {fit.sigma2[0]:.3g} between clusters (I2 = {fit.i2[0]:.1f}%)",
        f"Q(30) = {fit.q:.2f}",
    ):
        assert part in report
    pooled = multilevel(data.y, data.v, data.cluster).report()
    assert "pooled in a three-level model (REML);" in pooled
    assert "The true effect in a new cluster is predicted between" in pooled
    alone = multilevel(data.y, data.v, np.arange(32)).report()
    assert alone.endswith(
        "Each cluster has one effect, so both variances are one, and it stands with the clusters."
    )
