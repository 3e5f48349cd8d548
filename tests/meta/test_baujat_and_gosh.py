"""Baujat's coordinates against their definition; subsets against loops over the model."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import baujat, gosh, influence, random_effects


def effects(k=8, seed=0):
    """Heterogeneous effects: yi, vi."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.01, 0.2, size=k)
    return rng.normal(0.2, np.sqrt(v + 0.05)), v


def test_common_effect_coordinates_are_baujats():
    """Contributions add up to Q, and influence is the squared shift over the variance without the effect."""
    y, v = effects()
    table = baujat(y, v)
    w = 1 / v
    mean = np.sum(w * y) / np.sum(w)
    np.testing.assert_allclose(table.heterogeneity, w * (y - mean) ** 2)
    assert table.heterogeneity.sum() == pytest.approx(random_effects(y, v).q)
    rest = np.sum(w) - w
    without = (np.sum(w * y) - w * y) / rest
    np.testing.assert_allclose(table.influence, (mean - without) ** 2 * rest)


@pytest.mark.parametrize("test", ["z", "knha"])
@pytest.mark.parametrize("method", ["FE", "DL", "REML"])
def test_coordinates_with_moderators_are_those_of_refits(method, test):
    """Squared Pearson residuals and squared shifts of the fitted value follow from refits."""
    y, v = effects(k=10)
    x = np.linspace(-1, 1, 10) ** 3
    table = baujat(y, v, x, method=method, test=test)
    full = random_effects(y, v, x, method=method, test=test)
    fitted = full.predict().estimate
    np.testing.assert_allclose(table.heterogeneity, (y - fitted) ** 2 / (v + full.tau2))
    for i in range(10):
        fit = random_effects(np.delete(y, i), np.delete(v, i), np.delete(x, i), method=method, test=test)
        row = np.array([1.0, x[i]])
        shift = (fitted[i] - row @ fit.coef) ** 2 / (row @ fit.covariance @ row)
        assert table.influence[i] == pytest.approx(shift)


def test_an_outlier_lies_far_out_in_both_directions():
    """A precise effect far from the others has the largest coordinates, as it has the largest Cook."""
    y, v = effects(k=12)
    y[4], v[4] = 2.0, 0.01
    table = baujat(y, v, labels=list("abcdefghijkl"))
    assert table.label[table.heterogeneity.idxmax()] == "e"
    assert table.label[table.influence.idxmax()] == "e"
    assert influence(y, v).cook_d.idxmax() == 4


def test_baujat_is_missing_where_no_fit_exists_and_named_by_the_index():
    """Without the only effect of a group there is no influence; labels follow the index of a series."""
    y, v = effects(k=5)
    names = list("pqrst")
    data = pd.DataFrame({"private": [0, 0, 0, 1.0, 0]}, index=names)
    table = baujat(pd.Series(y, names), pd.Series(v, names), "private", data=data)
    assert table.label.to_list() == names
    assert table.influence.isna().to_list() == [False, False, False, True, False]
    assert table.heterogeneity[3] == pytest.approx(0, abs=1e-20)


def test_unit_and_order_change_no_coordinate():
    """Effects in points, or in another order, have the same coordinates."""
    y, v = effects()
    order = np.random.default_rng(0).permutation(8)
    plain = baujat(y, v, method="REML")
    scaled = baujat(100 * y, 1e4 * v, method="REML")
    moved = baujat(y[order], v[order], labels=order, method="REML").sort_values("label", ignore_index=True)
    pd.testing.assert_frame_equal(scaled, plain, rtol=1e-6)
    pd.testing.assert_frame_equal(moved, plain, rtol=1e-6)


@pytest.mark.parametrize("method", ["FE", "DL", "REML"])
def test_all_subsets_are_the_fits_of_random_effects(method):
    """Each of the 247 subsets of eight effects has the numbers of a fit of its members."""
    y, v = effects()
    result = gosh(y, v, method=method, progress=False)
    assert result.complete
    assert list(result.table.columns) == ["k", "estimate", "tau2", "i2", "q"]
    expected = [set(s) for size in range(2, 9) for s in combinations(range(8), size)]
    assert [set(np.flatnonzero(row)) for row in result.members] == expected
    for row, chosen in zip(result.table.itertuples(), result.members, strict=True):
        fit = random_effects(y[chosen], v[chosen], method=method, test="z")
        assert row.k == fit.k
        ours = (row.estimate, row.tau2, row.i2, row.q)
        assert ours == pytest.approx((fit.coef[0], fit.tau2, fit.i2, fit.q), rel=1e-8, abs=1e-12)


def test_blocks_of_subsets_do_not_matter(monkeypatch):
    """Working in blocks of a few subsets gives the numbers of one block."""
    y, v = effects()
    whole = gosh(y, v, method="DL").table
    monkeypatch.setitem(gosh.__globals__, "CELLS", 40)
    pd.testing.assert_frame_equal(gosh(y, v, method="DL").table, whole)


def test_a_draw_has_no_repeats_keeps_its_size_and_its_seed():
    """A random sample holds the number asked for, all different, none too small, the same for one seed."""
    y, v = effects(k=12)
    result = gosh(y, v, subsets=500, smallest=5, seed=1)
    assert not result.complete
    assert result.members.shape == (500, 12)
    assert len(np.unique(result.members, axis=0)) == 500
    assert result.table.k.min() >= 5
    np.testing.assert_array_equal(result.table.k, result.members.sum(axis=1))
    again, other = gosh(y, v, subsets=500, smallest=5, seed=1), gosh(y, v, subsets=500, smallest=5, seed=2)
    np.testing.assert_array_equal(again.members, result.members)
    assert not np.array_equal(other.members, result.members)


def test_each_subset_is_drawn_with_the_same_chance():
    """Over many draws sizes and members come as often as among all subsets."""
    y, v = effects(k=5)
    drawn = np.concatenate([gosh(y, v, subsets=5, seed=seed).members for seed in range(1200)])
    sizes = np.bincount(drawn.sum(axis=1), minlength=6)[2:] / len(drawn)
    expected = np.array([comb(5, size) for size in range(2, 6)]) / 26
    np.testing.assert_allclose(sizes, expected, atol=4 * np.sqrt(0.25 / len(drawn)))
    among_all = gosh(y, v).members.mean()
    np.testing.assert_allclose(drawn.mean(axis=0), among_all, atol=4 * np.sqrt(0.25 / len(drawn)))


def test_all_but_one_subset_can_be_drawn():
    """A sample of 246 of the 247 subsets ends, and asking for 247 gives them all by size."""
    y, v = effects()
    assert len(np.unique(gosh(y, v, subsets=246).members, axis=0)) == 246
    assert gosh(y, v, subsets=247).complete


def test_many_effects_can_be_sampled():
    """With more subsets than a float counts exactly, sizes are near half of the effects."""
    y, v = effects(k=1100)
    result = gosh(y, v, subsets=50)
    assert np.isfinite(result.table).all(axis=None)
    assert abs(result.table.k.mean() - 550) < 20


def test_an_outlier_splits_the_estimates():
    """Subsets with a far and precise effect lie apart from those without it."""
    y, v = effects(k=9)
    y[2], v[2] = 3.0, 0.005
    result = gosh(y, v)
    inside = result.members[:, 2]
    assert result.table.estimate[inside].min() > result.table.estimate[~inside].max()
    assert result.table.i2[inside].median() > result.table.i2[~inside].median()


def test_unit_rescales_subsets():
    """Effects in points give estimates in points and the same heterogeneity."""
    y, v = effects()
    for method in ("FE", "DL"):
        plain, points = gosh(y, v, method=method).table, gosh(100 * y, 1e4 * v, method=method).table
        np.testing.assert_allclose(points.estimate, 100 * plain.estimate, rtol=1e-10)
        np.testing.assert_allclose(points.i2, plain.i2, rtol=1e-8, atol=1e-8)


def test_progress_is_shown_for_reml_only_when_asked_for(capsys):
    """REML shows a bar on the error stream, which can be turned off; the closed forms show none."""
    y, v = effects(k=4)
    gosh(y, v, method="REML")
    assert "subsets" in capsys.readouterr().err
    gosh(y, v, method="REML", progress=False)
    gosh(y, v, method="DL")
    assert capsys.readouterr().err == ""


def test_the_report_states_the_spread():
    """The sentence says how many subsets there were, whether all, and where the estimates lie."""
    y, v = effects()
    result = gosh(y, v)
    low, high = result.table.estimate.quantile([0.025, 0.975])
    text = result.report()
    for part in ("In all 247 subsets of 8 effects (FE)", f"between {low:.3g} and {high:.3g}"):
        assert part in text
    assert "a random sample of 100 subsets" in gosh(y, v, subsets=100).report()


Y, V = [0.1, 0.2, 0.3], [0.01, 0.02, 0.03]


@pytest.mark.parametrize("function", [baujat, gosh])
@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3], V, {}, "yi has missing"),
        (Y, [0.01, 0.0, 0.03], {}, "vi must be positive"),
        (Y, V[:2], {}, "yi has 3 values and vi has 2"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
    ],
)
def test_bad_requests_to_both_are_refused(function, yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        function(yi, vi, **options)


@pytest.mark.parametrize(
    ("function", "yi", "options", "text"),
    [
        (baujat, Y[:1], {}, "1 effects are too few"),
        (baujat, Y[:2], {"test": "knha"}, "2 effects are too few"),
        (baujat, Y, {"test": "t"}, "test is 't'"),
        (baujat, Y, {"labels": ["a"]}, "labels has shape"),
        (baujat, Y, {"moderators": [1.0]}, "moderators has 1 rows"),
        (gosh, Y[:1], {}, "smallest is 2"),
        (gosh, Y, {"smallest": 1}, "smallest is 1"),
        (gosh, Y, {"smallest": 4}, "smallest is 4"),
        (gosh, Y, {"subsets": 0}, "subsets is 0"),
        (gosh, Y, {"method": "PM"}, "method is 'PM'"),
    ],
)
def test_bad_requests_to_one_are_refused(function, yi, options, text):
    """Requests that only one of the two could answer raise a usage error too."""
    with pytest.raises(UsageError, match=text):
        function(yi, V[: len(yi)], **options)
