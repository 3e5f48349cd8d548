"""The joint test HTZ against full matrices, its special cases, and what must not change it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from medssl.errors import UsageError
from medssl.meta import WaldTest, multilevel
from medssl.meta._sandwich import KINDS

RHOS = (0.0, 0.6, -0.05, 0.95)
CONTRASTS = {
    "slopes": np.eye(4)[1:],
    "two of them": np.eye(4)[[1, 3]],
    "everything": np.eye(4),
    "differences": np.array([[0.0, 1, -1, 0], [0, 0, 1, -1]]),
}


def robust_of(data, rho=0.6, kind="CR2"):
    """Robust inference of clustered effects."""
    return multilevel(data.y, data.v, data.cluster, data.z, rho=rho).robust(kind)


@pytest.mark.parametrize("contrasts", CONTRASTS.values(), ids=CONTRASTS.keys())
@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("kind", KINDS)
def test_statistic_and_degrees_of_freedom_are_those_of_full_matrices(clustered, dense, kind, rho, contrasts):
    """Eta follows from the total variance of the entries, summed over pairs of clusters; F from T squared."""
    data, q = clustered(m=3, rho=rho, seed=2), len(contrasts)
    fit = multilevel(data.y, data.v, data.cluster, data.z, rho=rho)
    test, slow = fit.robust(kind).wald(contrasts), dense(data, rho)
    eta = slow.hotelling(kind, fit.sigma2, contrasts)
    covariance = contrasts @ slow.robust_covariance(kind, fit.sigma2) @ contrasts.T
    estimate = contrasts @ slow.coefficients(fit.sigma2)[0]
    wald = estimate @ np.linalg.solve(covariance, estimate)
    if eta - q + 1 <= 0:
        assert np.isnan([test.statistic, test.p_value]).all()
        return
    assert test.df_num == q
    assert test.df_den == pytest.approx(eta - q + 1, rel=1e-8)
    assert test.statistic == pytest.approx((eta - q + 1) / (eta * q) * wald, rel=1e-7)
    assert test.p_value == pytest.approx(stats.f.sf(test.statistic, q, test.df_den))


@pytest.mark.parametrize("kind", KINDS)
def test_one_contrast_is_the_t_test(clustered, kind):
    """For one coefficient F is the square of t, with its Satterthwaite df and its p value."""
    robust = robust_of(clustered(m=3), kind=kind)
    for i, name in enumerate(robust.names):
        test = robust.wald(name)
        assert test.statistic == pytest.approx(robust.statistic[i] ** 2)
        assert test.df_den == pytest.approx(robust.df[i])
        assert test.p_value == pytest.approx(robust.p_value[i])
        assert (test.df_num, test.names) == (1, (name,))


def test_balanced_groups_have_closed_degrees_of_freedom():
    """For three groups of eight single effects, eta has a closed form and F follows from group means."""
    rng = np.random.default_rng(0)
    groups, n = 3, 8
    y = rng.normal(size=(groups, n))
    z = np.repeat(np.eye(groups), n, axis=0)[:, 1:]
    test = multilevel(y.ravel(), np.full(24, 0.1), np.arange(24), z).robust().wald()
    # each group's variance has n - 1 df: the entries of C V C' vary as those of a sum of group variances
    means, variances = y.mean(axis=1), y.var(axis=1, ddof=1) / n
    contrasts = np.column_stack([-np.ones(groups - 1), np.eye(groups - 1)])
    covariance = contrasts @ np.diag(variances) @ contrasts.T
    wald = contrasts @ means @ np.linalg.solve(covariance, contrasts @ means)
    expected = contrasts @ contrasts.T  # of the covariance, in units of one group's variance
    values, vectors = np.linalg.eigh(expected)
    loadings = vectors @ np.diag(values**-0.5) @ vectors.T @ contrasts  # [q, groups]
    total = sum(2 * (loadings[:, g] @ loadings[:, g]) ** 2 / (n - 1) for g in range(groups))
    eta = 2 * 3 / total
    assert test.df_den == pytest.approx(eta - 1)
    assert test.statistic == pytest.approx((eta - 1) / (2 * eta) * wald)


def test_the_default_tests_all_but_the_intercept(clustered):
    """Without terms every moderator is tested, and names may be given as any sequence."""
    robust = robust_of(clustered(m=3))
    default = robust.wald()
    assert default.names == ("x1", "x2", "x3")
    for terms in (["x1", "x2", "x3"], ("x3", "x1", "x2"), np.eye(4)[1:], pd.Series(["x1", "x2", "x3"])):
        other = robust.wald(terms)
        assert other.statistic == pytest.approx(default.statistic)
        assert other.df_den == pytest.approx(default.df_den)
    assert robust.wald([0.0, 1, 0, 0]).p_value == pytest.approx(robust.p_value[1])


def test_mixed_contrasts_ask_the_same_question(clustered):
    """Any rows that span the same space give the same test."""
    robust = robust_of(clustered(m=3))
    plain = robust.wald()
    mixed = np.array([[2.0, 1, 0], [0, 1, -1], [1e-6, 0, 1e3]]) @ np.eye(4)[1:]
    test = robust.wald(mixed)
    for name in ("statistic", "df_den", "p_value"):
        assert getattr(test, name) == pytest.approx(getattr(plain, name), rel=1e-8)


@pytest.mark.parametrize("units", [(1.0, 1e4, 1.0), (1e8, 1.0, 1e-6), (1e-3, 1e10, 1.0)])
def test_units_and_offsets_of_moderators_change_nothing(clustered, units):
    """Counts of a hundred million images beside a 0/1 column leave the joint test as it is."""
    data = clustered(m=3)
    plain = robust_of(data).wald()
    for offset in (0.0, 2020.0, -1e5):
        test = robust_of(replace(data, z=(data.z + offset) * np.array(units))).wald()
        assert test.statistic == pytest.approx(plain.statistic, rel=1e-6)
        assert test.df_den == pytest.approx(plain.df_den, rel=1e-6)


def test_units_of_the_effects_change_nothing(clustered):
    """Effects in points instead of fractions give the same F, df and p value."""
    data = clustered(m=2)
    plain = robust_of(data).wald()
    for c in (1e-6, 100.0, 1e6):
        test = robust_of(replace(data, y=c * data.y, v=c**2 * data.v)).wald()
        assert (test.statistic, test.df_den) == pytest.approx((plain.statistic, plain.df_den), rel=1e-8)


def test_the_test_keeps_its_level_with_few_clusters():
    """Without any effect of three moderators, p values below 0.1 are not more frequent than one in ten."""
    rng, low = np.random.default_rng(11), 0
    cluster = np.repeat(np.arange(12), (1, 2, 3, 4, 5, 2, 3, 1, 2, 6, 3, 2))
    for _ in range(200):
        v, x = rng.uniform(0.02, 0.1, len(cluster)), rng.normal(size=(12, 2))[cluster]
        y = 0.2 * rng.normal(size=12)[cluster] + rng.normal(size=len(cluster)) * np.sqrt(v)
        z = np.column_stack([x, rng.normal(size=len(cluster))])
        low += multilevel(y, v, cluster, z, rho=0.3).robust().wald().p_value < 0.1
    assert low / 200 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)


def test_too_few_clusters_for_a_joint_test_are_said():
    """Where the degrees of freedom do not suffice the p value is not a number, and the report says so."""
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(4), 3)
    z = np.column_stack([rng.normal(size=4)[cluster], rng.normal(size=(12, 2))])
    test = multilevel(rng.normal(size=12), np.full(12, 0.1), cluster, z).robust().wald(np.eye(4))
    assert np.isnan(test.p_value)
    assert np.isnan(test.statistic)
    assert test.df_num == 4
    assert not test.df_den > 0
    assert test.report() == "Too few clusters to test the contrasts jointly."


def test_the_report_is_one_sentence():
    """The report holds names, F, both df and the p value."""
    assert (
        WaldTest(3.456, 2, 7.89, 0.0912, ("a", "b")).report() == "Jointly, a, b: F(2, 7.9) = 3.46, p = 0.091."
    )
    assert WaldTest(50.0, 2, 7.89, 1e-5).report() == "Jointly, the contrasts: F(2, 7.9) = 50.00, p < 0.001."


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ("x9", "no term 'x9'; it has intercept, x1, x2"),
        (["x1", "nope"], "no term 'nope'"),
        ([], "at least one coefficient"),
        (["x1", "x1"], "each once"),
        (np.zeros((1, 3)), "collinear"),
        (np.ones((2, 3)), "collinear"),
        (np.eye(2), "give 3 finite numbers a row"),
        ([1.0, 2.0], "give 3 finite numbers a row"),
        (np.full((1, 3), np.nan), "give 3 finite numbers a row"),
        (np.ones((1, 1, 3)), "give 3 finite numbers a row"),
        (np.empty((0, 3)), "at least one coefficient"),
        (5, "give 3 finite numbers a row"),
        (["x1", 2], "give names or rows of numbers"),
        (object(), "give names or rows of numbers"),
    ],
)
def test_bad_terms_are_refused_with_their_reason(clustered, terms, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        robust_of(clustered(m=2)).wald(terms)


def test_a_model_without_moderators_has_nothing_to_test_jointly(clustered):
    """The default needs moderators; the intercept can be tested by name."""
    data = clustered()
    robust = multilevel(data.y, data.v, data.cluster).robust()
    with pytest.raises(UsageError, match="no moderators"):
        robust.wald()
    assert robust.wald("intercept").p_value == pytest.approx(robust.p_value[0])
