"""Influence of effects and of clusters against dense formulas, outlier models and refits."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from medssl.errors import UsageError
from medssl.meta import influence, influence_of_clusters, multilevel, random_effects


def effects(k=12, m=2, seed=0):
    """Heterogeneous effects with moderators: yi, vi, x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(k, m))
    v = rng.uniform(0.01, 0.2, size=k)
    return 0.2 + x @ np.full(m, 0.2) + rng.normal(scale=np.sqrt(v + 0.05)), v, x


def dense(y, v, x, method, test):
    """Coefficients, their covariance, tau2, and the scale of Knapp and Hartung, with full matrices."""
    tau2 = random_effects(y, v, x[:, 1:] if x.shape[1] > 1 else None, method=method, test=test).tau2
    w = np.diag(1 / (v + tau2))
    inverse = np.linalg.inv(x.T @ w @ x)
    b = inverse @ x.T @ w @ y
    scale = (y - x @ b) @ w @ (y - x @ b) / (len(y) - x.shape[1])
    scale = {"z": 1.0, "knha": scale, "adhoc": max(1.0, scale)}[test]
    return b, scale * inverse, tau2, scale


@pytest.mark.parametrize("m", [0, 2])
@pytest.mark.parametrize("test", ["z", "knha", "adhoc"])
@pytest.mark.parametrize("method", ["FE", "REML"])
def test_every_measure_follows_its_formula(m, test, method):
    """All columns equal the textbook formulas written with full matrices and refits."""
    y, v, z = effects(m=m)
    x = np.column_stack([np.ones(len(y)), z])
    table = influence(y, v, z if m else None, method=method, test=test)
    b, covariance, tau2, _ = dense(y, v, x, method, test)
    w = 1 / (v + tau2)
    hat = np.diag(x @ np.linalg.inv(x.T @ np.diag(w) @ x) @ x.T @ np.diag(w))
    np.testing.assert_allclose(table.hat, hat)
    np.testing.assert_allclose(table.weight, 100 * w / w.sum())
    for i, row in table.iterrows():
        rest = np.delete(np.arange(len(y)), i)
        after, without, deleted, scale = dense(y[rest], v[rest], x[rest], method, test)
        total = v[i] + deleted
        error = np.sqrt(scale * total + x[i] @ without @ x[i])
        assert row.rstudent == pytest.approx((y[i] - x[i] @ after) / error)
        assert row.dffits == pytest.approx(x[i] @ (b - after) / np.sqrt(scale * hat[i] * total))
        assert row.cook_d == pytest.approx((b - after) @ np.linalg.inv(covariance) @ (b - after))
        assert row.cov_r == pytest.approx(np.linalg.det(without) / np.linalg.det(covariance))
        assert row.tau2_deleted == pytest.approx(deleted)
        spread = scale * np.linalg.inv(x.T @ np.diag(1 / (v + deleted)) @ x)
        dfbetas = row.filter(like="dfbetas_").to_numpy(float)
        np.testing.assert_allclose(dfbetas, (b - after) / np.sqrt(np.diag(spread)), rtol=1e-6)
        fixed = random_effects(y[rest], v[rest], z[rest] if m else None, method="FE")
        assert row.q_deleted == pytest.approx(fixed.q)


@pytest.mark.parametrize("test", ["z", "knha"])
def test_studentised_residuals_are_those_of_an_outlier_model(test):
    """The residual of an effect is the statistic of a dummy for it in the regression of all effects."""
    y, v, z = effects(m=1)
    table = influence(y, v, z, test=test)
    for i in range(len(y)):
        dummy = np.eye(len(y))[:, [i]]
        fit = random_effects(y, v, np.column_stack([z, dummy]), test=test)
        assert table.rstudent[i] == pytest.approx(fit.statistic[-1], rel=1e-6)


def test_flags_follow_the_four_rules():
    """An effect is influential when, and only when, one of the four documented limits is passed."""
    reasons = set()
    for seed in range(25):
        y, v, z = effects(k=10, m=1, seed=seed)
        y[3] += 2.0 * (seed % 3)
        z[5] *= 1 + 4 * (seed % 2)
        table = influence(y, v, z)
        k, p = 10, 2
        dfbetas = table[["dfbetas_intercept", "dfbetas_x1"]].abs().max(axis=1)
        rules = np.column_stack(
            [
                table.dffits.abs() > 3 * np.sqrt(p / (k - p)),
                table.cook_d > chi2.ppf(0.5, p),
                table.hat > 3 * p / k,
                dfbetas > 1,
            ]
        )
        np.testing.assert_array_equal(table.influential, rules.any(axis=1))
        reasons |= {tuple(row) for row in rules}
    assert all(any(row[i] for row in reasons) for i in range(4))
    assert (False, False, False, False) in reasons


def test_an_effect_that_alone_identifies_a_coefficient_is_missing():
    """Without the only effect of a group its measures cannot be computed; leverage and weight remain."""
    y, v, _ = effects(k=6)
    table = influence(y, v, np.array([0, 0, 1.0, 0, 0, 0]))
    needing = ["rstudent", "dffits", "cook_d", "cov_r", "tau2_deleted", "q_deleted", "dfbetas_x1"]
    assert table.loc[2, needing].isna().all()
    assert table.drop(index=2).notna().all(axis=None)
    assert table.hat[2] == pytest.approx(1)


def test_a_perfect_fit_gives_missing_values_without_a_warning():
    """Equal effects under "knha" have no error, so standardised changes are missing and nothing warns."""
    table = influence([0.2, 0.2, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25])
    assert table.cook_d.isna().all()
    np.testing.assert_allclose(table.hat, 0.25)
    np.testing.assert_allclose(table.tau2_deleted, 0, atol=1e-15)


def test_unit_and_order_change_nothing():
    """Effects in points, or in another order, have the same influence."""
    y, v, z = effects()
    order = np.random.default_rng(0).permutation(len(y))
    plain = influence(y, v, z)
    scaled = influence(100 * y, 1e4 * v, z).assign(tau2_deleted=lambda t: t.tau2_deleted / 1e4)
    moved = influence(y[order], v[order], z[order], labels=order).sort_index()
    pd.testing.assert_frame_equal(scaled, plain, rtol=1e-5)
    pd.testing.assert_frame_equal(moved, plain, rtol=1e-5, check_index_type=False)


def test_rows_and_columns_carry_names():
    """Labels or the index of a series name the rows, and a formula names the columns."""
    y, v, z = effects(k=8, m=1)
    names = list("abcdefgh")
    data = pd.DataFrame({"ratio": z[:, 0]}, index=names)
    table = influence(pd.Series(y, names), pd.Series(v, names), "ratio", data=data)
    assert list(table.index) == names
    assert {"dfbetas_intercept", "dfbetas_ratio"} < set(table.columns)
    assert list(influence(y, v, labels=names).index) == names


@pytest.mark.parametrize(("m", "rho"), [(0, 0.6), (1, 0.6), (1, 0.0)])
def test_clusters_are_measured_by_refits_without_them(clustered, dense, m, rho):
    """Cook's distance, dfbetas and variances equal dense formulas at the refitted variances."""
    data = clustered(m=m)
    table = influence_of_clusters(data.y, data.v, data.cluster, data.z if m else None, rho=rho)
    full = multilevel(data.y, data.v, data.cluster, data.z if m else None, rho=rho)
    assert list(table.index) == list(dict.fromkeys(data.cluster))
    assert table.k.sum() == len(data.y)
    for label, row in table.iterrows():
        rest = data.take(np.flatnonzero(data.cluster != label))
        fit = multilevel(rest.y, rest.v, rest.cluster, rest.z if m else None, rho=rho)
        change = full.coef - fit.coef
        assert row.k == np.sum(data.cluster == label)
        assert row.cook_d == pytest.approx(change @ np.linalg.inv(full.covariance) @ change, rel=1e-4)
        _, covariance = dense(data, rho).coefficients(fit.sigma2)
        dfbetas = row.filter(like="dfbetas_").to_numpy(float)
        np.testing.assert_allclose(dfbetas, change / np.sqrt(np.diag(covariance)), rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose([row.sigma2_cluster, row.sigma2_effect], fit.sigma2, rtol=1e-3, atol=1e-7)
        assert row.sign_changes == bool(np.any(np.sign(fit.coef) != np.sign(full.coef)))


def test_clusters_of_one_effect_agree_with_the_influence_of_effects():
    """With one effect a cluster, Cook's distance and dfbetas are those of the random-effects model."""
    y, v, z = effects(m=1)
    single = influence(y, v, z, test="z")
    clusters = influence_of_clusters(y, v, np.arange(len(y)), z, rho=0.0)
    np.testing.assert_allclose(clusters.cook_d, single.cook_d, rtol=1e-5)
    for column in ("dfbetas_intercept", "dfbetas_x1"):
        np.testing.assert_allclose(clusters[column], single[column], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(
        clusters.sigma2_cluster + clusters.sigma2_effect, single.tau2_deleted, rtol=1e-5, atol=1e-10
    )


def test_the_cluster_that_holds_the_sign_is_flagged():
    """Only the cluster without which the pooled effect changes its sign is flagged, with the largest Cook."""
    y = np.array([0.9, 1.0, -0.1, -0.05, -0.08, -0.1, -0.07, -0.06])
    table = influence_of_clusters(y, np.full(8, 0.02), list("aabbccdd"))
    assert table.sign_changes.to_list() == [True, False, False, False]
    assert table.cook_d.idxmax() == "a"


def test_a_cluster_that_alone_identifies_a_coefficient_is_missing(clustered):
    """Without the only cluster of a group its numbers are missing and the flag is off."""
    data = clustered()
    first = data.cluster[0]
    table = influence_of_clusters(
        data.y, data.v, data.cluster, pd.DataFrame({"first": (data.cluster == first) * 1.0})
    )
    assert table.loc[first, ["cook_d", "dfbetas_first", "sigma2_cluster"]].isna().all()
    assert not table.sign_changes[first]
    assert table.drop(index=first).notna().all(axis=None)


def test_unit_and_order_change_nothing_for_clusters(clustered):
    """Effects in points, or in another order, give clusters the same influence."""
    data = clustered(m=1)
    moved = data.take(np.random.default_rng(0).permutation(len(data.y)))
    table, points, other = (
        influence_of_clusters(unit * each.y, unit**2 * each.v, each.cluster, each.z)
        for each, unit in ((data, 1), (data, 100), (moved, 1))
    )
    columns = ["k", "cook_d", "dfbetas_intercept", "dfbetas_x1"]
    pd.testing.assert_frame_equal(points[columns], table[columns], rtol=1e-4)
    pd.testing.assert_frame_equal(other.loc[table.index, columns], table[columns], rtol=1e-4)


Y, V = [0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.4], V, {}, "yi has missing"),
        (Y, [0.01, 0.0, 0.03, 0.04], {}, "vi must be positive"),
        (Y, V[:3], {}, "yi has 4 values and vi has 3"),
        (Y[:1], V[:1], {}, "1 effects are too few"),
        (Y[:2], V[:2], {}, "2 effects are too few"),
        (Y[:3], V[:3], {"moderators": [1.0, 2.0, 4.0]}, "2 coefficient"),
        (Y, V, {"moderators": [1.0, 2.0]}, "moderators has 2 rows"),
        (Y, V, {"moderators": [1.0] * 4}, "does not vary"),
        (Y, V, {"labels": ["a"]}, "labels has shape"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
        (Y, V, {"test": "t"}, "test is 't'"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        influence(yi, vi, **options)


@pytest.mark.parametrize(
    ("yi", "cluster", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.4], list("abcd"), {}, "yi has missing"),
        (Y, list("abc"), {}, "cluster has 3 values"),
        (Y, list("aaaa"), {}, "names 1 cluster"),
        (Y, list("aabb"), {}, "names 2 cluster"),
        (Y, ["a", "b", None, "c"], {}, "cluster has missing"),
        (pd.Series(Y), pd.Series(Y, index=[3, 2, 1, 0]), {}, "different row labels"),
        (Y, list("abcd"), {"rho": 1.0}, "rho is 1.0"),
        (Y, list("abcd"), {"moderators": [1.0, 2.0]}, "moderators has 2 rows"),
    ],
)
def test_bad_requests_for_clusters_are_refused(yi, cluster, options, text):
    """Each malformed request about clusters raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        influence_of_clusters(yi, V, cluster, **options)
