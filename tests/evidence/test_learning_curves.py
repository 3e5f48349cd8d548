"""Learning curves: exact power laws, weighted least squares, isotonic fits and their inverses."""

import numpy as np
import pytest
from scipy.optimize import curve_fit

from medssl.errors import UsageError
from medssl.evidence.learning_curves import fit_isotonic, fit_power_law

N = np.array([10.0, 20, 50, 100, 250, 1000])


@pytest.mark.parametrize(("a", "b", "c"), [(0.9, 0.8, 0.5), (0.99, 2.0, 1.2), (0.8, 0.3, 0.1)])
def test_an_exact_power_law_is_recovered(a, b, c):
    """Points on a curve give its three parameters, its scores and its inverse."""
    curve = fit_power_law(N, a - b * N**-c)
    assert (curve.asymptote[0], curve.size[0], curve.exponent[0]) == pytest.approx((a, b, c), rel=1e-5)
    np.testing.assert_allclose(curve.at([77.0]), [[a - b * 77.0**-c]], rtol=1e-8)
    np.testing.assert_allclose(curve.needed(curve.at(N)), [N], rtol=1e-6)


def test_weighted_least_squares_agree_with_scipy():
    """Noisy points and unequal weights give the optimum that a general optimiser finds."""
    rng = np.random.default_rng(0)
    scores, weights = 0.9 - 0.7 * N**-0.4 + rng.normal(0, 0.005, 6), rng.uniform(0.5, 4, 6)
    found = fit_power_law(N, scores, weights)
    expected, _ = curve_fit(
        lambda n, a, b, c: a - b * n**-c, N, scores, p0=(0.9, 0.7, 0.4), sigma=weights**-0.5
    )
    assert (found.asymptote[0], found.size[0], found.exponent[0]) == pytest.approx(expected, rel=1e-4)


def test_many_draws_are_the_fits_one_by_one():
    """Fitting draws together equals a loop, and a weight of 0 leaves a point out."""
    rng = np.random.default_rng(1)
    scores = 0.9 - 0.7 * N**-0.5 + rng.normal(0, 0.01, (4, 6))
    weights = np.ones((4, 6))
    weights[2, 3] = 0
    together = fit_power_law(N, scores, weights)
    for i in range(4):
        kept = weights[i] > 0
        alone = fit_power_law(N[kept], scores[i, kept])
        np.testing.assert_allclose(together.at(N)[i], alone.at(N)[0], rtol=1e-6)


def test_a_power_law_never_falls():
    """Falling points give a flat curve at their weighted mean, which is reached at once or never."""
    curve = fit_power_law(N, np.linspace(0.9, 0.7, 6), [1, 1, 1, 1, 1, 5])
    assert curve.size[0] == 0
    assert curve.at(N)[0] == pytest.approx(np.full(6, (4.1 + 5 * 0.7) / 10))
    assert curve.needed([[0.5, 0.9]]).tolist() == [[0.0, np.inf]]


def test_a_score_at_the_asymptote_is_never_reached():
    """The inverse is infinite at and above the asymptote."""
    curve = fit_power_law(N, 0.9 - 0.8 * N**-0.5)
    assert np.isinf(curve.needed([[0.9001, 1.0]])).all()


def test_the_isotonic_curve_pools_what_falls_by_weight():
    """Neighbours out of order take their weighted mean; ordered points stay."""
    curve = fit_isotonic([1, 2, 4], [0.8, 0.5, 0.9], [1, 2, 1])
    assert curve.at([1, 2, 4]).tolist() == [pytest.approx([0.6, 0.6, 0.9])]


def test_the_isotonic_inverse_is_straight_in_log_labels():
    """Half way up between 10 and 1000 labels is 100; below it is 0 and above it infinite."""
    curve = fit_isotonic([10, 1000], [0.6, 0.8])
    assert curve.needed([[0.59, 0.6, 0.7, 0.8, 0.81]])[0] == pytest.approx([0, 10, 100, 1000, np.inf])
    assert curve.at([100.0])[0] == pytest.approx([0.7])


def test_a_plateau_is_reached_where_it_begins():
    """Of equal scores the least number of labels counts."""
    curve = fit_isotonic([10, 100, 1000], [0.6, 0.8, 0.8])
    assert curve.needed([[0.8]])[0] == pytest.approx([100.0])


@pytest.mark.parametrize(
    ("n", "scores", "message"),
    [([10, 20], [0.6, 0.7], "3 label counts"), ([10, 5, 20], [0.6] * 3, "increase"), (N, [0.6], "shapes")],
)
def test_what_is_no_curve_is_refused(n, scores, message):
    """Too few points, counts out of order and shapes that differ are named."""
    with pytest.raises(UsageError, match=message):
        fit_power_law(n, scores)
