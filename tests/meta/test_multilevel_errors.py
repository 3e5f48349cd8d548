"""Requests of the multilevel model that cannot be answered end in one message that names the problem."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import multilevel
from medssl.meta._clusters import make_clusters

Y = [0.1, 0.2, 0.3, 0.45, 0.0, 0.15]
V = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]
C = ["a", "a", "b", "b", "c", "d"]
X = [1.0, 2.0, 3.0, 5.0, 4.0, 0.0]
NAN, INF = float("nan"), float("inf")


def put(values, row, value):
    """A copy with another value in one row."""
    return [*values[:row], value, *values[row + 1 :]]


@pytest.mark.parametrize(
    ("yi", "vi", "cluster", "options", "text"),
    [
        (put(Y, 1, NAN), V, C, {}, r"yi has missing or infinite values \(first in row 1, 1 rows\)"),
        (put(Y, 2, INF), V, C, {}, "yi has missing or infinite values"),
        (Y, put(V, 3, NAN), C, {}, r"vi has missing or infinite values \(first in row 3"),
        (Y, put(V, 0, -INF), C, {}, "vi has missing or infinite values"),
        (Y, put(V, 1, -0.01), C, {}, "vi must be positive; row 1 is -0.01"),
        (Y, put(V, 5, 0.0), C, {}, "vi must be positive; row 5 is 0"),
        (Y, V[:5], C, {}, "yi has 6 values and vi has 5"),
        ([], [], [], {}, "yi is empty"),
        (list("abcdef"), V, C, {}, "yi is not numeric"),
        ([0.1], [0.01], ["a"], {}, "one cluster only"),
        (Y, V, ["a"] * 6, {}, "one cluster only"),
        (Y, V, C[:5], {}, "cluster has 5 values and yi has 6"),
        (Y, V, [*C, "e"], {}, "cluster has 7 values and yi has 6"),
        (Y, V, None, {}, "cluster has no values and yi has 6"),
        (Y, V, "abcdef", {}, "cluster has no values and yi has 6"),
        (Y, V, [[c] for c in C], {}, "cluster has 6x1 values"),
        (Y, V, put(C, 2, None), {}, r"cluster has missing values \(first in row 2, 1 rows\)"),
        (Y, V, put(C, 3, NAN), {}, r"cluster has missing values \(first in row 3"),
        (Y, V, pd.Series(put(C, 4, pd.NA)), {}, r"cluster has missing values \(first in row 4"),
        (Y, V, pd.Categorical(put(C, 5, None)), {}, r"cluster has missing values \(first in row 5"),
        (Y, V, C, {"moderators": put(X, 0, NAN)}, "moderators has missing"),
        (Y, V, C, {"moderators": X[:5]}, "moderators has 5 rows and yi has 6"),
        (Y, V, C, {"moderators": [7.0] * 6}, "'x1' does not vary"),
        (Y, V, C, {"moderators": np.column_stack([X, X])}, "collinear: x"),
        (Y, V, C, {"moderators": np.column_stack([X, 2 - 3 * np.array(X)])}, "collinear: x"),
        (Y, V, C, {"moderators": pd.DataFrame([[x, 0.5 * x * x] for x in X], columns=["a", "a"])}, "repeats"),
        (
            Y,
            V,
            C,
            {"moderators": np.random.default_rng(0).normal(size=(6, 4))},
            "cannot support 5 coefficients",
        ),
        (
            Y,
            V,
            C,
            {"moderators": np.random.default_rng(0).normal(size=(6, 5))},
            "cannot support 6 coefficients",
        ),
        (Y, V, list("abcdef"), {"moderators": np.vander(X)[:, :5]}, "cannot support 6 coefficients"),
        (Y, V, C, {"moderators": np.array([[c == d for d in "bcd"] for c in C], float)}, "tell all clusters"),
        (Y, V, C, {"rho": 1}, "rho is 1; .* lies between -1 and 1"),
        (Y, V, C, {"rho": -1}, "rho is -1"),
        (Y, V, C, {"rho": 1.5}, "rho is 1.5"),
        (Y, V, C, {"rho": NAN}, "rho is nan"),
        (Y, V, C, {"rho": INF}, "rho is inf"),
        (Y, V, C, {"rho": "x"}, "rho is 'x'"),
        (Y, V, C, {"rho": [0.6]}, r"rho is \[0.6\]"),
        (Y, V, list("aaabbc"), {"rho": -0.5}, "up to 3 effects lies between -0.5 and 1, both excluded"),
        (Y, V, C, {"test": "knha"}, "test is 'knha'; it must be one of z, t"),
        (Y, V, C, {"test": None}, "test is None"),
        (Y, V, C, {"moderators": "ratio"}, "give a table of moderators as data="),
        (Y, V, C, {"moderators": X, "data": pd.DataFrame({"x": X})}, "give moderators as a formula"),
        (pd.Series(Y), V, pd.Series(C, index=range(1, 7)), {}, "yi and cluster have different row labels"),
        (pd.Series(Y), pd.Series(V, index=range(1, 7)), C, {}, "different row labels"),
        (pd.Series(Y), V, C, {"moderators": pd.Series(X, index=range(1, 7))}, "different row labels"),
    ],
)
def test_bad_input_is_refused_with_its_reason(yi, vi, cluster, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        multilevel(yi, vi, cluster, **options)


@pytest.fixture(scope="module")
def fit():
    """A fit with one moderator."""
    return multilevel(Y, V, C, pd.Series(X, name="ratio"), rho=0.6)


@pytest.mark.parametrize("kind", ["CR3", "cr2", None, 2, ["CR2"]])
def test_an_unknown_adjustment_is_refused(fit, kind):
    """The robust kind must be one of three."""
    with pytest.raises(UsageError, match=r"kind is .*; it must be one of CR0, CR1, CR2"):
        fit.robust(kind)


@pytest.mark.parametrize("component", ["tau2", "Cluster", None, 0])
def test_an_unknown_component_is_refused(fit, component):
    """A profile is of the variance of cluster or of effect."""
    with pytest.raises(UsageError, match=r"component is .*; it must be one of cluster, effect"):
        fit.profile(component)


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, NAN, "0.95", None, True])
def test_a_level_outside_0_to_1_is_refused(fit, level):
    """Every level must be a number between 0 and 1."""
    for request in (fit.robust, fit.predict, fit.profile):
        with pytest.raises(UsageError, match="it must lie between 0 and 1"):
            request(level=level)


@pytest.mark.parametrize("points", [2, 0, -3, 4.5, "41", None])
def test_a_curve_needs_a_whole_number_of_points(fit, points):
    """A profile is drawn through three points or more."""
    with pytest.raises(UsageError, match="whole number of 3 or more"):
        fit.profile(points=points)


def test_bad_predictions_are_refused(fit):
    """Prediction rows must hold exactly the columns of the model, for both kinds of errors."""
    for model in (fit, fit.robust()):
        with pytest.raises(UsageError, match="missing: ratio, not in the model: year"):
            model.predict(pd.DataFrame({"year": [1.0]}))
        with pytest.raises(UsageError, match="needs 1 columns"):
            model.predict(np.ones((3, 2)))
        with pytest.raises(UsageError, match="missing or infinite"):
            model.predict([NAN])
    plain = multilevel(Y, V, C)
    for model in (plain, plain.robust()):
        with pytest.raises(UsageError, match="no moderators"):
            model.predict([1.0])


def test_the_variance_of_single_effects_has_no_profile():
    """With one effect a cluster, the variance of effects cannot be told from that of clusters."""
    with pytest.raises(UsageError, match="cannot be told from that of cluster"):
        multilevel(Y, V, list("abcdef")).profile("effect")


def test_rho_may_be_any_real_number_in_its_range():
    """Negative values down to the limit of the largest cluster, numpy numbers and integers are accepted."""
    for rho in (-0.99, -0.05, 0, np.int64(0), np.float32(0.5), 0.999):
        assert multilevel(Y, V, C, rho=rho).rho == pytest.approx(rho)
    assert make_clusters(np.array(V), np.arange(6), -0.9).rho == -0.9  # clusters of one: any correlation
