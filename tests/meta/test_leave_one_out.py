"""Leave-one-out tables against refits, for effects and clusters, with and without moderators."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import leave_one_out, multilevel, random_effects
from medssl.meta._deletion import _peak, deleted_tau2, estimable
from medssl.meta._tau2 import METHODS, _relative_heights, estimate_tau2

NUMBERS = {
    "estimate": "coef", "se": "se", "statistic": "statistic", "p_value": "p_value",
    "ci_low": "ci_low", "ci_high": "ci_high",
}  # fmt: skip


def effects(k=12, seed=0):
    """Heterogeneous effects: yi, vi."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.2, size=k)
    return rng.normal(0.2, np.sqrt(v + 0.05)), v


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("test", ["z", "knha", "adhoc"])
def test_each_row_is_a_refit(method, test):
    """Every number of every row is that of random_effects on the other rows."""
    y, v = effects()
    table = leave_one_out(y, v, method=method, test=test)
    assert list(table.columns) == ["left_out", "k", *NUMBERS, "q", "q_p", "tau2", "i2", "sign_changes"]
    assert (table.k == 11).all()
    for i, row in table.iterrows():
        fit = random_effects(np.delete(y, i), np.delete(v, i), method=method, test=test)
        for column, name in NUMBERS.items():
            assert row[column] == pytest.approx(getattr(fit, name)[0], rel=1e-9)
        for column in ("q", "q_p", "tau2", "i2"):
            assert row[column] == pytest.approx(getattr(fit, column), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("method", ["ML", "REML", "DL", "PM"])
def test_many_effects_give_the_same_rows_as_refits(method):
    """Beyond 200 effects, where scans share sums, rows are still those of separate fits."""
    y, v = effects(k=215, seed=3)
    cluster = np.repeat(np.arange(43), 5)
    table, by_cluster = (
        leave_one_out(y, v, method=method),
        leave_one_out(y, v, cluster=cluster, method=method),
    )
    for i in (0, 77, 214):
        fit = random_effects(np.delete(y, i), np.delete(v, i), method=method)
        assert table.tau2[i] == pytest.approx(fit.tau2, rel=1e-9)
        assert table.ci_low[i] == pytest.approx(fit.ci_low[0], rel=1e-9)
    fit = random_effects(y[cluster != 17], v[cluster != 17], method=method)
    assert (by_cluster.k[17], by_cluster.tau2[17]) == (210, pytest.approx(fit.tau2, rel=1e-9))


@pytest.mark.parametrize("restricted", [False, True])
def test_shared_scans_find_the_variance_of_each_refit(restricted):
    """The variances from shared sums are those of separate fits, over units and without heterogeneity."""
    method = "REML" if restricted else "ML"
    zeros = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        v = rng.uniform(0.01, 1, size=14) * 10.0 ** rng.integers(-6, 6)
        y = rng.normal(0.3, np.sqrt(v * (1 + seed % 3)))
        codes = np.arange(14) // (1 + seed % 2)
        ours = deleted_tau2(y, v, codes, restricted=restricted)
        for code, tau2 in enumerate(ours):
            keep = codes != code
            one = np.ones((keep.sum(), 1))
            expected = estimate_tau2(method, y[keep], v[keep], one).value
            assert tau2 == pytest.approx(expected, rel=1e-8, abs=1e-10 * v.mean())
            zeros += expected == 0
    assert 0 < zeros < 100


def test_shared_scans_find_the_higher_of_two_peaks():
    """Where likelihoods without an effect have two peaks, the higher one is taken for each."""
    v, one = np.concatenate([np.full(4, 1e-4), np.full(4, 1.0)]), np.ones((7, 1))
    grid = np.concatenate([[0], np.geomspace(1e-8, 40, 400)])
    two_peaks = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = rng.normal(scale=np.sqrt(v)) + np.concatenate([np.zeros(4), rng.normal(scale=2.5, size=4)])
        for i, tau2 in enumerate(deleted_tau2(y, v, np.arange(8), restricted=True)):
            rest = np.delete(y, i), np.delete(v, i), one
            heights = _relative_heights(grid, *rest, restricted=True)
            inner = (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
            two_peaks += int(inner.sum() + (heights[0] > heights[1]) > 1)
            assert _relative_heights(np.array([tau2]), *rest, restricted=True) >= heights.max() - 1e-9
    assert two_peaks > 0


def test_a_bracket_without_the_peak_falls_back_to_a_full_search():
    """When rounding has put the peak outside its bracket, the likelihood is searched on its own."""
    y, v = effects()
    expected = estimate_tau2("REML", y, v, np.ones((12, 1))).value
    assert expected > 0
    for low, high in ((0.0, expected / 2), (2 * expected, 4 * expected)):
        assert _peak(y, v, low, high, True) == pytest.approx(expected)


def test_clusters_are_left_out_whole():
    """Each row of a clustered table is the fit without that cluster, in order of first appearance."""
    y, v = effects()
    cluster = np.array(list("bbacaacccddd"))
    table = leave_one_out(y, v, cluster=cluster)
    assert table.left_out.to_list() == ["b", "a", "c", "d"]
    assert table.k.to_list() == [10, 9, 8, 9]
    for row in table.itertuples():
        fit = random_effects(y[cluster != row.left_out], v[cluster != row.left_out])
        assert (row.estimate, row.tau2) == pytest.approx((fit.coef[0], fit.tau2))


def test_clusters_of_one_effect_are_effects():
    """With one effect a cluster the table is that of single effects."""
    y, v = effects()
    pd.testing.assert_frame_equal(leave_one_out(y, v, cluster=np.arange(12)), leave_one_out(y, v))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_with_rho_the_model_is_multilevel_with_robust_errors(clustered, rho):
    """Each row is the CR2 fit of the multilevel model without the cluster, with its variances."""
    data = clustered()
    table = leave_one_out(data.y, data.v, cluster=data.cluster, rho=rho)
    numbers = {**NUMBERS, "df": "df"}
    assert set(table.columns) == {
        "left_out", "k", *numbers, "q", "q_p", "sigma2_cluster", "sigma2_effect", "sign_changes",
    }  # fmt: skip
    for row in table.itertuples():
        rest = data.take(np.flatnonzero(data.cluster != row.left_out))
        fit = multilevel(rest.y, rest.v, rest.cluster, rho=rho)
        robust = fit.robust("CR2")
        for column, name in numbers.items():
            assert getattr(row, column) == pytest.approx(getattr(robust, name)[0], rel=1e-5)
        assert (row.q, row.q_p) == pytest.approx((fit.q, fit.q_p))
        np.testing.assert_allclose([row.sigma2_cluster, row.sigma2_effect], fit.sigma2, rtol=1e-4, atol=1e-8)


def test_moderators_give_a_row_for_each_coefficient(clustered):
    """Each left-out has one row a coefficient, named by `term`, in both models."""
    data = clustered(m=1)
    moderators = pd.DataFrame({"ratio": data.z[:, 0]})
    table = leave_one_out(data.y, data.v, moderators)
    assert len(table) == 2 * len(data.y)
    assert table.term[:2].to_list() == ["intercept", "ratio"]
    fit = random_effects(data.y[1:], data.v[1:], data.z[1:])
    np.testing.assert_allclose(table.estimate[:2], fit.coef)
    np.testing.assert_allclose(table.ci_high[:2], fit.ci_high)
    same = leave_one_out(data.y, data.v, "ratio", data=moderators)
    pd.testing.assert_frame_equal(same, table)
    robust = leave_one_out(data.y, data.v, moderators, cluster=data.cluster, rho=0.6)
    first = data.take(np.flatnonzero(data.cluster != data.cluster[0]))
    expected = multilevel(first.y, first.v, first.cluster, first.z, rho=0.6).robust("CR2")
    np.testing.assert_allclose(robust.estimate[:2], expected.coef, rtol=1e-6)
    np.testing.assert_allclose(robust.df[:2], expected.df, rtol=1e-4)


def test_rows_that_cannot_be_fitted_are_missing(clustered):
    """Where a moderator no longer varies, or one effect is left, only the numbers of that row are missing."""
    y, v = effects(k=6)
    alone = np.array([0, 0, 1.0, 0, 0, 0])
    table = leave_one_out(y, v, alone)
    assert table.estimate.isna().to_list() == [i in (4, 5) for i in range(12)]
    assert not table.sign_changes[4:6].any()
    large = leave_one_out(y, v, cluster=list("aaaaab"))
    assert large.estimate.isna().to_list() == [True, False]
    data = clustered()
    alone = (data.cluster == data.cluster[0]).astype(float)
    robust = leave_one_out(data.y, data.v, alone, cluster=data.cluster, rho=0.6)
    assert robust.estimate[:2].isna().all()
    assert robust.estimate[2:].notna().all()


def test_a_dominant_cluster_of_many_effects_leaves_the_rest_to_the_usual_fit():
    """With over 200 effects, all but one in one cluster, its row is missing and the other is fitted."""
    y, v = effects(k=205)
    table = leave_one_out(y, v, cluster=np.arange(205) == 7)
    assert table.estimate.isna().to_list() == [True, False]
    assert table.tau2[1] == pytest.approx(random_effects(np.delete(y, 7), np.delete(v, 7)).tau2)


def test_estimability_is_judged_by_rows_and_variation():
    """Too few rows, constant and collinear columns cannot be estimated; a large mean hides nothing."""
    year = np.array([2019.0, 2020.0, 2020.5, 2021.0])
    assert estimable(np.column_stack([np.ones(4), year]), "REML", "z")
    assert not estimable(np.column_stack([np.ones(4), np.full(4, 2020.1)]), "REML", "z")
    assert not estimable(np.column_stack([np.ones(4), year, 2 * year + 1]), "FE", "z")
    assert estimable(np.ones((1, 1)), "FE", "z")
    assert not estimable(np.ones((1, 1)), "FE", "knha")


def test_a_change_of_sign_is_flagged():
    """Only the effect that holds the pooled sign up is flagged."""
    y, v = [0.5, -0.05, -0.04, -0.06], [0.01] * 4
    table = leave_one_out(y, v, method="FE")
    assert table.sign_changes.to_list() == [True, False, False, False]


def test_labels_name_the_rows():
    """Labels come from the argument, else from the index of a series, else they are row numbers."""
    y, v = effects(k=4)
    names = ["p", "q", "r", "s"]
    assert leave_one_out(y, v).left_out.to_list() == [0, 1, 2, 3]
    assert leave_one_out(y, v, labels=names).left_out.to_list() == names
    series = leave_one_out(pd.Series(y, names), pd.Series(v, names))
    assert series.left_out.to_list() == names


@pytest.mark.parametrize("options", [{}, {"groups": True}, {"groups": True, "rho": 0.6}])
def test_unit_and_order_change_nothing(options):
    """Effects in points give estimates in points, and shuffled rows give shuffled tables."""
    y, v = effects()
    cluster = np.arange(12) // 2
    order = np.random.default_rng(0).permutation(12)
    groups = "groups" in options
    rest = {key: value for key, value in options.items() if key != "groups"}
    if groups:
        plain, scaled, moved = (
            leave_one_out(yi, vi, cluster=each, **rest)
            for yi, vi, each in (
                (y, v, cluster), (100 * y, 1e4 * v, cluster), (y[order], v[order], cluster[order]),
            )
        )  # fmt: skip
    else:
        plain, scaled = leave_one_out(y, v), leave_one_out(100 * y, 1e4 * v)
        moved = leave_one_out(y[order], v[order], labels=order)
    moved = moved.sort_values("left_out", ignore_index=True)
    np.testing.assert_allclose(scaled.estimate, 100 * plain.estimate, rtol=1e-6)
    np.testing.assert_allclose(scaled.ci_low, 100 * plain.ci_low, rtol=1e-5)
    np.testing.assert_allclose(moved.estimate, plain.estimate, rtol=1e-6)
    np.testing.assert_allclose(moved.p_value, plain.p_value, rtol=1e-4)


Y, V = [0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.4], V, {}, "yi has missing"),
        (Y, [0.01, 0.0, 0.03, 0.04], {}, "vi must be positive"),
        (Y, V[:3], {}, "yi has 4 values and vi has 3"),
        ([0.1], [0.01], {}, "too few"),
        (Y[:2], V[:2], {}, "too few"),
        (Y[:1], V[:1], {"method": "FE", "test": "z"}, "too few"),
        (Y, V, {"moderators": [1.0, 2.0]}, "moderators has 2 rows"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
        (Y, V, {"test": "t"}, "test is 't'"),
        (Y, V, {"labels": ["a", "b"]}, "labels has shape"),
        (Y, V, {"cluster": list("aab")}, "cluster has 3 values"),
        (Y, V, {"cluster": ["a", "a", None, "b"]}, "cluster has missing"),
        (Y, V, {"cluster": list("aaaa")}, "one cluster only"),
        (Y, V, {"cluster": list("aabb"), "labels": Y}, "leave labels out"),
        (Y, V, {"rho": 0.6}, "name the cluster"),
        (pd.Series(Y), V, {"labels": pd.Series(Y, index=[3, 2, 1, 0])}, "labels have different row labels"),
        (pd.Series(Y), V, {"cluster": pd.Series(Y, index=[3, 2, 1, 0])}, "different row labels"),
        (Y, V, {"cluster": list("aabb"), "rho": 0.6}, "names 2 cluster"),
        (Y, V, {"cluster": list("abcd"), "rho": 1.0}, "rho is 1.0"),
        (Y, V, {"cluster": list("abcd"), "rho": 0.6, "test": "z"}, "leave method and test out"),
    ],
)
def test_bad_requests_are_refused(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        leave_one_out(yi, vi, **options)
