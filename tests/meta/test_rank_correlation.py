"""Begg and Mazumdar's test against all permutations, the formula for ties and its invariances."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kendalltau, norm

from medssl.errors import UsageError
from medssl.meta import rank_correlation

Y, V = [0.10, 0.04, -0.03, 0.02, 0.05, 0.01], [0.0009, 0.0004, 0.0002, 0.0001, 0.0005, 0.0003]


def standardised(y, v):
    """Begg and Mazumdar's standardised effects, written as they are defined."""
    y, v = np.asarray(y), np.asarray(v)
    mean = np.sum(y / v) / np.sum(1 / v)
    return (y - mean) / np.sqrt(v - 1 / np.sum(1 / v))


def score(a, b):
    """Concordant less discordant pairs, by a loop."""
    k = len(a)
    return sum(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j]) for i in range(k) for j in range(i))


def test_the_p_value_is_exact_over_all_permutations():
    """Without ties the two-sided p value is the share of the 720 orders at least as extreme."""
    a = standardised(Y, V)
    observed = score(a, V)
    scores = np.array([score(a, order) for order in permutations(V)])
    test = rank_correlation(Y, V)
    assert test.exact
    assert test.tau == pytest.approx(observed / 15)
    assert test.p_value == pytest.approx(np.mean(np.abs(scores) >= abs(observed)))


def test_ties_give_tau_b_and_the_normal_approximation():
    """With equal variances among the rows, tau-b and Kendall's variance for ties give the p value."""
    v = np.array([1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 4.0, 5.0]) / 100
    y = np.array([0.3, -0.1, 0.2, 0.5, 0.1, 0.4, 0.0, 0.7])
    test = rank_correlation(y, v)
    k, tied = len(y), np.array([2, 3])
    pairs = k * (k - 1) / 2
    s = score(standardised(y, v), v)
    assert not test.exact
    assert test.tau == pytest.approx(s / np.sqrt(pairs * (pairs - np.sum(tied * (tied - 1) / 2))))
    variance = (k * (k - 1) * (2 * k + 5) - np.sum(tied * (tied - 1) * (2 * tied + 5))) / 18
    assert test.p_value == pytest.approx(2 * norm.sf(abs(s) / np.sqrt(variance)))


def test_many_effects_use_the_normal_approximation():
    """Beyond 500 effects the approximation is used, says so, and is within 0.001 of the exact p value."""
    rng = np.random.default_rng(0)
    v = rng.uniform(0.01, 0.2, size=501)
    y = rng.normal(scale=np.sqrt(v)) + 0.1 * v
    many, fewer = rank_correlation(y, v), rank_correlation(y[:500], v[:500])
    assert (many.exact, fewer.exact) == (False, True)
    assert many.p_value == pytest.approx(kendalltau(standardised(y, v), v, method="exact").pvalue, abs=1e-3)
    assert "normal approximation" in many.report()


def test_unit_order_and_mirror_images():
    """Unit and order of rows change nothing; effects of the other sign turn tau's sign."""
    test = rank_correlation(Y, V)
    order = [3, 1, 5, 0, 4, 2]
    for yi, vi in ((np.multiply(Y, 100), np.multiply(V, 1e4)), (np.take(Y, order), np.take(V, order))):
        other = rank_correlation(yi, vi)
        assert (other.tau, other.p_value) == pytest.approx((test.tau, test.p_value))
    assert rank_correlation(np.negative(Y), V).tau == pytest.approx(-test.tau)
    assert rank_correlation(np.add(Y, 7.0), V).tau == pytest.approx(test.tau)


def test_a_precise_effect_that_outweighs_all_others_is_ranked():
    """A variance 1e-20 of the others leaves no NaN behind."""
    test = rank_correlation([0.1, 0.2, 0.3], [1e-20, 1.0, 2.0])
    assert np.isfinite([test.tau, test.p_value]).all()


def test_the_report_states_tau_and_how_p_was_found():
    """The sentence gives tau, p and whether p is exact."""
    test = rank_correlation(Y, V)
    assert f"tau = {test.tau:.3g}" in test.report()
    assert "6 standardised effects" in test.report()
    assert "(exact)" in test.report()


@pytest.mark.parametrize(
    ("yi", "vi", "text"),
    [
        ([0.1, np.nan, 0.3], [0.1, 0.2, 0.3], "yi has missing"),
        ([0.1, 0.2, 0.3], [0.1, 0.0, 0.3], "vi must be positive"),
        ([0.1, 0.2, 0.3], [0.1, 0.2], "yi has 3 values and vi has 2"),
        ([0.1], [0.1], "at least two effects"),
        ([0.1, 0.2], [0.1, 0.1], "vi are all equal"),
        ([0.1, 0.1], [0.1, 0.2], "yi are all equal"),
    ],
)
def test_bad_requests_are_refused(yi, vi, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        rank_correlation(yi, vi)
