"""Cluster-robust errors against full matrices, closed forms, statsmodels and what defines them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from medssl.errors import UsageError
from medssl.meta import multilevel
from medssl.meta._sandwich import KINDS, sandwich

RHOS = (0.0, 0.6, -0.05, 0.95)
COLUMNS = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]


def fit_of(data, rho=0.0, **options):
    """The multilevel fit of clustered effects."""
    moderators = data.z if data.z.shape[1] else None
    return multilevel(data.y, data.v, data.cluster, moderators, rho=rho, **options)


@pytest.mark.parametrize("m", [0, 1, 3])
@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("kind", KINDS)
def test_covariance_and_degrees_of_freedom_are_those_of_full_matrices(clustered, dense, kind, rho, m):
    """CR0, CR1 and CR2 with Satterthwaite df equal the definitions looped over (pairs of) clusters."""
    for seed in (0, 1):
        data = clustered(seed=seed, m=m, rho=rho)
        fit, slow = fit_of(data, rho), dense(data, rho)
        robust = fit.robust(kind)
        np.testing.assert_allclose(
            robust.covariance, slow.robust_covariance(kind, fit.sigma2), rtol=1e-8, atol=1e-12
        )
        df = [slow.satterthwaite(kind, fit.sigma2, row) for row in np.eye(m + 1)]
        np.testing.assert_allclose(robust.df, df, rtol=1e-8)
        np.testing.assert_allclose(robust.se, np.sqrt(np.diag(robust.covariance)), rtol=1e-10)


def test_tests_and_limits_are_those_of_the_t_distribution(clustered):
    """Statistic, p value and limits follow from coefficient, error and df; a higher level widens them."""
    fit = fit_of(clustered(m=2), 0.6)
    robust = fit.robust()
    np.testing.assert_allclose(robust.statistic, robust.coef / robust.se)
    np.testing.assert_allclose(robust.p_value, 2 * stats.t.sf(np.abs(robust.statistic), robust.df))
    for level in (0.5, 0.95, 0.99):
        other = fit.robust(level=level)
        half = stats.t.ppf((1 + level) / 2, robust.df) * robust.se
        np.testing.assert_allclose(other.ci_high - other.coef, half)
        np.testing.assert_allclose(other.coef - other.ci_low, half)
    assert robust.level == 0.95
    np.testing.assert_array_equal(robust.coef, fit.coef)


def test_balanced_clusters_are_the_t_test_of_their_means():
    """With equal variances and sizes CR2 is the one-sample t test of the cluster means, J - 1 df."""
    rng = np.random.default_rng(0)
    y = rng.normal(0.3, 1, (7, 4)) + rng.normal(size=(7, 1))
    for rho in (0.0, 0.6):
        robust = multilevel(y.ravel(), np.full(28, 0.1), np.repeat(np.arange(7), 4), rho=rho).robust()
        means = y.mean(axis=1)
        assert robust.coef[0] == pytest.approx(means.mean())
        assert robust.se[0] == pytest.approx(means.std(ddof=1) / np.sqrt(7))
        assert robust.df[0] == pytest.approx(6)
        assert robust.p_value[0] == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_two_groups_of_single_effects_have_welch_errors():
    """For a 0/1 moderator and clusters of one: Welch's error, and Bell and McCaffrey's df in closed form."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=5), rng.normal(1, 3, size=9)
    flag = np.repeat([0.0, 1.0], (5, 9))
    robust = multilevel(np.append(a, b), np.full(14, 0.2), np.arange(14), flag).robust()
    assert robust.se[1] == pytest.approx(np.sqrt(a.var(ddof=1) / 5 + b.var(ddof=1) / 9))
    assert robust.df[1] == pytest.approx((1 / 5 + 1 / 9) ** 2 / (1 / (25 * 4) + 1 / (81 * 8)))


def test_single_effects_of_equal_variance_have_statsmodels_hc_errors(clustered):
    """With clusters of one and equal variances CR0 is HC0 and CR2 is HC2 of ordinary least squares."""
    data = clustered(m=3, sizes=(1,) * 20)
    fit = multilevel(data.y, np.full(20, 0.05), data.cluster, data.z)
    ols = sm.OLS(data.y, data.x).fit()
    np.testing.assert_allclose(fit.coef, ols.params)
    np.testing.assert_allclose(fit.robust("CR0").se, ols.HC0_se)
    np.testing.assert_allclose(fit.robust("CR2").se, ols.HC2_se)


def test_without_variance_of_clusters_errors_are_statsmodels_clustered_ones(clustered):
    """Where clusters do not differ, CR0 is the clustered sandwich of weighted least squares."""
    data = clustered(m=2, rho=0.0, sigma2=(0.0, 0.05), seed=1)
    fit = fit_of(data)
    assert fit.sigma2[0] == 0
    groups = {"groups": pd.factorize(data.cluster)[0], "use_correction": False}
    weights = 1 / (data.v + fit.sigma2[1])
    wls = sm.WLS(data.y, data.x, weights=weights).fit(cov_type="cluster", cov_kwds=groups)
    np.testing.assert_allclose(fit.coef, wls.params)
    np.testing.assert_allclose(fit.robust("CR0").se, wls.bse)
    np.testing.assert_allclose(fit.robust("CR1").se, wls.bse * np.sqrt(10 / 9))


def mean_covariance(fit, kind, phi):
    """The exact mean of the robust covariance when the effects have the covariance `phi`, sorted rows."""
    likelihood = fit._likelihood
    basis, x = likelihood.basis, likelihood.columns[:, :-1]
    total = 0.0
    for column in np.linalg.cholesky(phi).T:  # E[e e'] is the sum of c c' over the columns c
        coef = fit.covariance @ fit._solved.T @ column
        pieces = sandwich(kind, likelihood.clusters, fit.sigma2, basis, column - x @ coef, fit._solved)
        total = total + pieces.covariance()
    return total


@pytest.mark.parametrize("m", [0, 3])
@pytest.mark.parametrize("rho", RHOS)
def test_cr2_is_unbiased_under_the_working_model(clustered, dense, rho, m):
    """The mean of CR2 under the model is the model's covariance; CR0 is too small on average."""
    data = clustered(m=m, rho=rho)
    fit = fit_of(data, rho)
    order = fit._likelihood.clusters.order
    phi = dense(data, rho).covariance(fit.sigma2)[np.ix_(order, order)]
    np.testing.assert_allclose(mean_covariance(fit, "CR2", phi), fit.covariance, rtol=1e-7, atol=1e-10)
    assert np.all(np.diag(mean_covariance(fit, "CR0", phi)) < np.diag(fit.covariance))


def test_cr2_keeps_its_digits_where_variances_differ_much_within_a_cluster():
    """With variances over seven orders of magnitude in a cluster, CR2 is still unbiased under the model."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(6), (3, 4, 2, 5, 1, 3))
    v = 10 ** rng.uniform(-7, 0, 18)
    fit = multilevel(0.5 * rng.normal(size=18) * np.sqrt(v), v, cluster, rng.normal(size=18))
    np.testing.assert_array_equal(fit.sigma2, [0, 0])
    mean = mean_covariance(fit, "CR2", np.diag(v[fit._likelihood.clusters.order]))
    np.testing.assert_allclose(mean, fit.covariance, rtol=1e-6)


def test_a_cluster_that_alone_fixes_a_coefficient_follows_the_definition(clustered, dense):
    """Where one cluster alone holds a level, the inverse root is the pseudo-inverse's, as defined."""
    data = clustered()
    alone = replace(data, z=(data.cluster == "c3").astype(float)[:, None])
    fit, slow = fit_of(alone, 0.6), dense(alone, 0.6)
    robust = fit.robust()
    np.testing.assert_allclose(robust.covariance, slow.robust_covariance("CR2", fit.sigma2), rtol=1e-7)
    df = [slow.satterthwaite("CR2", fit.sigma2, row) for row in np.eye(2)]
    np.testing.assert_allclose(robust.df, df, rtol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_order_and_names_of_clusters_change_nothing(clustered, kind):
    """Shuffled rows under other labels give the same errors and degrees of freedom."""
    data = clustered(m=2)
    order = np.random.default_rng(5).permutation(len(data.y))
    moved = data.take(order)
    names = {label: i for i, label in enumerate(np.unique(data.cluster)[::-1])}
    moved = replace(moved, cluster=np.array([names[label] for label in moved.cluster]))
    first, second = fit_of(data, 0.6).robust(kind), fit_of(moved, 0.6).robust(kind)
    for name in ("coef", "se", "df", "p_value", "ci_low", "ci_high"):
        np.testing.assert_allclose(getattr(second, name), getattr(first, name), rtol=1e-6, err_msg=name)


def test_units_of_the_effects_change_no_degrees_of_freedom(clustered):
    """Effects times c and variances times c squared multiply errors by c and leave df and p as they are."""
    data = clustered(m=2)
    plain = fit_of(data, 0.6).robust()
    for c in (1e-6, 1e-3, 1e6):
        scaled = fit_of(replace(data, y=c * data.y, v=c**2 * data.v), 0.6).robust()
        np.testing.assert_allclose(scaled.se, c * plain.se, rtol=1e-8)
        np.testing.assert_allclose(scaled.df, plain.df, rtol=1e-8)
        np.testing.assert_allclose(scaled.p_value, plain.p_value, rtol=1e-8)


def test_predictions_have_the_error_and_degrees_of_freedom_of_their_row(clustered, dense):
    """Limits of a predicted row are t limits of that contrast; a new cluster adds both variances."""
    data = clustered(m=2)
    fit, slow = fit_of(data, 0.6), dense(data, 0.6)
    robust = fit.robust()
    rows = np.array([[0.5, -1.0], [0.0, 0.0], [2.0, 1.0]])
    table = robust.predict(rows)
    assert list(table.columns) == [*COLUMNS, "df"]
    for (_, line), row in zip(table.iterrows(), np.column_stack([np.ones(3), rows]), strict=True):
        variance = row @ robust.covariance @ row
        assert line.df == pytest.approx(slow.satterthwaite("CR2", fit.sigma2, row))
        critical = stats.t.ppf(0.975, line.df)
        assert line.estimate == pytest.approx(row @ fit.coef)
        assert line.ci_high - line.estimate == pytest.approx(critical * np.sqrt(variance))
        new = critical * np.sqrt(variance + fit.sigma2.sum())
        assert line.estimate - line.pi_low == pytest.approx(new)
    assert table.ci_low[1] == pytest.approx(robust.ci_low[0])  # at 0 the mean is the intercept
    pd.testing.assert_frame_equal(robust.predict(), robust.predict(data.z))


def test_predictions_take_the_level_of_the_fit_or_their_own(clustered):
    """Without a level, predictions have that of the fit; a level of 0 is refused, not ignored."""
    fit = fit_of(clustered())
    own = fit.robust(level=0.5).predict()
    pd.testing.assert_frame_equal(own, fit.robust().predict(level=0.5))
    assert own.ci_high[0] == pytest.approx(fit.robust(level=0.5).ci_high[0])
    for level in (0, 1, 95, "0.95"):
        with pytest.raises(UsageError, match="level is"):
            fit.robust().predict(level=level)


def test_predictions_of_an_uncentred_parabola_keep_their_digits(clustered):
    """Years and squared years give the errors and df of the same parabola around 2020."""
    data = clustered(sizes=(3, 4, 2, 6, 1, 3, 5, 1, 2, 7, 4, 4))
    year = np.random.default_rng(0).integers(2015, 2025, len(data.y)).astype(float)
    near, far = (
        fit_of(replace(data, z=np.column_stack([t, t**2])), 0.6).robust() for t in (year - 2020, year)
    )
    np.testing.assert_allclose(far.predict(), near.predict(), rtol=1e-6, atol=1e-9)
    assert far.df[2] == pytest.approx(near.df[2], rel=1e-6)
    assert far.wald().p_value == pytest.approx(near.wald().p_value, rel=1e-6)


def test_a_perfect_fit_has_no_error_and_no_test():
    """Effects that are all 0 have an error of 0 and a p value that is not a number, without a warning."""
    robust = multilevel(np.zeros(8), np.full(8, 0.1), list("aabbccdd")).robust()
    assert robust.se[0] == 0
    assert np.isnan(robust.p_value[0])
    assert robust.ci_low[0] == robust.ci_high[0] == 0


def test_table_and_repr_show_the_numbers(clustered):
    """The table holds one row a coefficient; the text names kind, clusters and coefficients."""
    robust = fit_of(clustered(m=1)).robust("CR1")
    table = robust.table()
    assert list(table.index) == ["intercept", "x1"]
    assert list(table.columns) == ["coef", "se", "df", "statistic", "p_value", "ci_low", "ci_high"]
    np.testing.assert_array_equal(table["df"], robust.df)
    assert repr(robust).startswith("RobustFit(CR1, 10 clusters: intercept")


def test_intervals_cover_the_truth_when_the_working_model_is_wrong():
    """With correlated errors, unequal clusters and rho taken as 0, CR2 covers in about 95% of 300 sets."""
    rng, hits = np.random.default_rng(7), 0
    sizes = (1, 2, 3, 4, 6, 8, 2, 3, 1, 5)
    cluster = np.repeat(np.arange(10), sizes)
    for _ in range(300):
        v = rng.uniform(0.02, 0.2, len(cluster))
        errors = np.sqrt(v) * (0.9 * rng.normal(size=10)[cluster] + 0.436 * rng.normal(size=len(cluster)))
        robust = multilevel(0.2 + 0.2 * rng.normal(size=10)[cluster] + errors, v, cluster).robust()
        hits += robust.ci_low[0] <= 0.2 <= robust.ci_high[0]
    assert 0.91 <= hits / 300 <= 0.99  # three binomial standard errors


def test_a_coefficient_of_a_lone_cluster_is_marked():
    """A level that one cluster alone holds has a robust error below that of the model, and is marked."""
    rng = np.random.default_rng(0)
    cluster = np.append(np.repeat(np.arange(29), 3), 29)
    lone = (cluster == 29).astype(float)
    y = rng.normal(scale=0.4, size=30)[cluster] + rng.normal(scale=0.1, size=len(cluster))
    fit = multilevel(y, np.full(len(cluster), 0.01), cluster, pd.DataFrame({"lone": lone}), rho=0.6)
    robust = fit.robust()
    assert robust.supported.tolist() == [True, False]
    assert robust.se[1] < 0.5 * fit.se[1]
    assert "one cluster alone supports it" in fit.report()
    two = np.isin(cluster, [28, 29]).astype(float)
    shared = multilevel(y, np.full(len(cluster), 0.01), cluster, pd.DataFrame({"two": two}), rho=0.6)
    assert shared.robust().supported.all()
    assert shared.robust("CR1").supported.all()


def test_expected_robust_variance_is_the_model_variance():
    """Under the model CR2 is unbiased for every coefficient, whatever the sizes of the clusters."""
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(12), rng.integers(1, 7, 12))
    x = rng.normal(size=(len(cluster), 2))
    v = rng.uniform(0.01, 0.1, len(cluster))
    fit = multilevel(rng.normal(size=len(cluster)), v, cluster, x, rho=0.6)
    np.testing.assert_allclose(fit.robust()._sandwich.bias(np.eye(3)), 1, rtol=1e-9)
    assert (fit.robust("CR0")._sandwich.bias(np.eye(3)) < 1).all()
