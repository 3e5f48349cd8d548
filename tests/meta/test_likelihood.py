"""The restricted likelihood of clustered effects against full matrices."""

from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import RunError, UsageError
from medssl.meta import _likelihood
from medssl.meta._clusters import cluster_codes
from medssl.meta._likelihood import maximise

RHOS = (0.0, 0.6, -0.05, 0.95)
POINTS = [(0.0, 0.0), (0.02, 0.03), (0.0, 0.05), (0.4, 0.0), (1e-6, 2.0)]


@pytest.mark.parametrize("m", [0, 2])
@pytest.mark.parametrize("rho", RHOS)
def test_likelihood_is_the_density_of_the_error_contrasts(likelihood_of, clustered, dense, rho, m):
    """Value, coefficients, their covariance and the weighted residual sum equal those of full matrices."""
    data = clustered(m=m, rho=rho)
    likelihood, slow = likelihood_of(data, rho), dense(data, rho)
    for sigma2 in POINTS:
        point = likelihood.at(sigma2)
        coef, covariance = slow.coefficients(sigma2)
        assert point.value == pytest.approx(slow.log_likelihood(sigma2), abs=1e-8)
        np.testing.assert_allclose(point.coef, coef, rtol=1e-9)
        np.testing.assert_allclose(point.covariance, covariance, rtol=1e-9, atol=1e-12)
    assert likelihood.at((0, 0)).rss == pytest.approx(slow.q())


@pytest.mark.parametrize("rho", RHOS)
def test_solved_columns_are_those_of_the_inverse(likelihood_of, clustered, dense, rho):
    """`solved` is the inverse covariance times design and effects, in the units of the design."""
    data = clustered(m=2, rho=rho)
    likelihood = likelihood_of(data, rho)
    order = likelihood.clusters.order
    inverse = np.linalg.inv(dense(data, rho).covariance((0.02, 0.03)))[np.ix_(order, order)]
    point = likelihood.at((0.02, 0.03))
    np.testing.assert_allclose(point.solved, inverse @ likelihood.columns, atol=1e-9)


@pytest.mark.parametrize("m", [0, 2])
@pytest.mark.parametrize("rho", RHOS)
def test_score_is_the_derivative_and_information_its_average(likelihood_of, clustered, dense, rho, m):
    """The score is the numerical derivative; the information is half of y'P V_i P V_j P y."""
    data = clustered(m=m, rho=rho)
    likelihood, slow = likelihood_of(data, rho), dense(data, rho)
    sigma2 = (0.02, 0.03)
    point = likelihood.at(sigma2)
    np.testing.assert_allclose(point.score, slow.score(sigma2), rtol=1e-4)
    weight, x = np.linalg.inv(slow.covariance(sigma2)), data.x
    p = weight - weight @ x @ np.linalg.inv(x.T @ weight @ x) @ x.T @ weight
    parts = [(data.cluster[:, None] == data.cluster).astype(float), np.eye(len(x))]
    expected = [[0.5 * data.y @ p @ a @ p @ b @ p @ data.y for b in parts] for a in parts]
    np.testing.assert_allclose(point.information, expected, rtol=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_weight_of_two_is_the_cluster_twice(likelihood_of, clustered, rho):
    """With a weight of 2, everything is as if the cluster was entered twice under another name."""
    data = clustered(m=1)
    codes, labels = cluster_codes(data.cluster, len(data.y))
    weights = np.ones(len(labels))
    weights[3] = 2
    rows = np.append(np.arange(len(codes)), np.flatnonzero(codes == 3))
    twice = data.take(rows)
    twice.cluster[len(codes) :] = "c99"
    assert_same(likelihood_of(data, rho, weights), likelihood_of(twice, rho))


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_weight_of_zero_is_the_cluster_left_out(likelihood_of, clustered, rho):
    """With a weight of 0, everything is as without the cluster."""
    data = clustered(m=1)
    codes, labels = cluster_codes(data.cluster, len(data.y))
    for left_out in range(len(labels)):
        weights = (np.arange(len(labels)) != left_out).astype(float)
        assert_same(likelihood_of(data, rho, weights), likelihood_of(data.take(codes != left_out), rho))


def assert_same(weighted, plain):
    """Both likelihoods agree at fixed variances and at their maximum."""
    for sigma2 in POINTS:
        first, second = weighted.at(sigma2), plain.at(sigma2)
        for name in ("value", "coef", "covariance", "rss", "score", "information"):
            np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-8, err_msg=name)
    first, second = maximise(weighted), maximise(plain)
    np.testing.assert_allclose(first.sigma2, second.sigma2, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(first.coef, second.coef, rtol=1e-8)
    assert weighted.scale == pytest.approx(plain.scale)


def test_units_and_offsets_of_the_design_cost_no_digits(likelihood_of, clustered):
    """Columns in millions or around two million give the likelihood of the plain ones."""
    data = clustered(m=2)
    moved = replace(data, z=data.z * [1e6, 1e-4] + [2e6, 0])
    for sigma2 in POINTS:
        plain, other = likelihood_of(data).at(sigma2), likelihood_of(moved).at(sigma2)
        assert other.rss == pytest.approx(plain.rss, rel=1e-9)
        np.testing.assert_allclose(other.score, plain.score, rtol=1e-7)
        np.testing.assert_allclose(other.coef[1:] * [1e6, 1e-4], plain.coef[1:], rtol=1e-8)


def test_the_value_depends_on_the_span_of_the_design_only(likelihood_of, clustered):
    """Mixing the columns changes neither likelihood nor estimates of variance."""
    data = clustered(m=2)
    mixed = replace(data, z=data.z @ [[2.0, 1.0], [-1.0, 3.0]])
    for sigma2 in POINTS:
        assert likelihood_of(mixed).at(sigma2).value == pytest.approx(likelihood_of(data).at(sigma2).value)


def test_variances_that_the_data_cannot_tell_apart_are_named(likelihood_of, clustered):
    """`free` tells whether each variance leaves a trace of its own in the residuals."""
    data = clustered(sizes=(2, 1, 1, 1, 1, 1))
    pair = data.cluster == "c0"
    first = np.arange(7) == np.flatnonzero(pair)[0]
    dummies = data.cluster[:, None] == np.unique(data.cluster)[1:]
    cases = {
        (True, True): np.empty((7, 0)),
        (True, False): first[:, None].astype(float),  # the only pair is fitted exactly
        (False, True): dummies.astype(float),  # every cluster has its mean fitted
    }
    for expected, z in cases.items():
        assert tuple(likelihood_of(replace(data, z=z)).free) == expected
    singles = likelihood_of(data, weights=np.array([0.0 if c == "c0" else 1 for c in order(data)]))
    assert tuple(singles.free) == (True, False)


def order(data):
    """Cluster labels in the order of their numbers."""
    return cluster_codes(data.cluster, len(data.y))[1]


def test_collinear_columns_among_the_weighted_clusters_are_refused(likelihood_of, clustered):
    """Weights that leave a column constant end in an error, not in arbitrary coefficients."""
    data = clustered(m=1)
    labels = order(data)
    flag = np.isin(data.cluster, labels[:4]).astype(float)
    likelihood = likelihood_of(replace(data, z=np.column_stack([flag, data.z])))
    rng = np.random.default_rng(0)
    for kept in (np.arange(10) < 4, np.arange(10) >= 4):
        for _ in range(5):
            weights = kept * rng.integers(1, 4, 10).astype(float)
            with pytest.raises(UsageError, match="cannot be told apart"):
                replace(likelihood, weights=weights).at((0.1, 0.1))


def test_variances_beyond_the_digits_of_the_machine_are_an_error():
    """Where rounding leaves no positive information, the error names extreme variances and rho."""
    with pytest.raises(RunError, match=r"too many orders of magnitude, or rho is too near 1"):
        _likelihood._root(np.array([[1.0, 2.0], [2.0, 1.0]]))


@pytest.mark.parametrize("rho", RHOS)
def test_the_scanned_likelihood_is_the_likelihood(likelihood_of, clustered, rho):
    """The scan of several variances at once gives the one-by-one values, with weights and large offsets."""
    data = clustered(m=2, rho=rho)
    moved = replace(data, y=data.y + 1e3, z=data.z + 1e3)
    weights = np.array([1.0, 0, 2, 1, 1, 3, 1, 1, 0, 1])
    between = np.array([0.0, 1e-4, 0.05, 2.0])
    for likelihood in (likelihood_of(moved, rho), likelihood_of(moved, rho, weights)):
        for within in (0.0, 0.01, 1.0):
            single = [likelihood.at((value, within)).value for value in between]
            np.testing.assert_allclose(likelihood.heights(between, within), single, rtol=1e-8)
