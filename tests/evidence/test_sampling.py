"""Variance formulas against slow loops, simulation, closed forms and numerical derivatives."""

import numpy as np
import pytest
from scipy.stats import bernoulli

from medssl.errors import UsageError
from medssl.evaluation import area_under_curve
from medssl.evidence.sampling import (
    binomial_variance,
    case_deviations,
    dice_deviation,
    difference_variance,
    hanley_mcneil_variance,
    logit,
    logit_difference_variance,
    pull_in,
)


def slow_hanley_mcneil(auc, positives, negatives):
    """Sum the probabilities over pairs of pairs of cases, as in the derivation of the formula."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    total = 0.0
    for first in range(positives):
        for second in range(negatives):
            for third in range(positives):
                for fourth in range(negatives):
                    if (first, second) == (third, fourth):
                        both = auc
                    elif second == fourth:
                        both = q1  # two positives, the same negative
                    elif first == third:
                        both = q2  # one positive, two negatives
                    else:
                        both = auc**2
                    total += both - auc**2
    return total / (positives * negatives) ** 2


@pytest.mark.parametrize("auc", [0.5, 0.7, 0.93])
@pytest.mark.parametrize(("positives", "negatives"), [(2, 3), (5, 5), (3, 8)])
def test_hanley_mcneil_is_the_covariance_over_pairs(auc, positives, negatives):
    """The closed form equals the sum of covariances of all pairs of comparisons."""
    expected = slow_hanley_mcneil(auc, positives, negatives)
    assert hanley_mcneil_variance(auc, positives, negatives) == pytest.approx(expected, rel=1e-12)


def test_hanley_mcneil_by_hand():
    """A = 0.8, 10 and 20 cases: (0.16 + 9 (2/3 - 0.64) + 19 (32/45 - 0.64)) / 200."""
    expected = (0.16 + 9 * (2 / 3 - 0.64) + 19 * (1.28 / 1.8 - 0.64)) / 200
    assert hanley_mcneil_variance(0.8, 10, 20) == pytest.approx(expected)


def test_hanley_mcneil_holds_for_exponential_scores():
    """On simulated exponential scores, for which Q1 and Q2 hold, the variance is met within 8 percent."""
    random = np.random.default_rng(0)
    scale, positives, negatives = 4.0, 25, 35
    areas = []
    labels = np.repeat([1, 0], [positives, negatives])
    for _ in range(3000):
        score = np.r_[random.exponential(scale, positives), random.exponential(1.0, negatives)]
        probabilities = np.stack([1 - score / (1 + score), score / (1 + score)], 1)
        areas.append(float(area_under_curve(labels, probabilities)[0]))
    expected = hanley_mcneil_variance(scale / (1 + scale), positives, negatives)
    assert np.mean(areas) == pytest.approx(0.8, abs=0.005)
    assert np.var(areas) == pytest.approx(float(expected), rel=0.08)


def test_hanley_mcneil_shrinks_with_cases_and_mirrors():
    """More cases give less variance; chance is 1/12 (n + m + 1) / (n m), the variance of the rank sum."""
    assert hanley_mcneil_variance(0.8, 100, 100) < hanley_mcneil_variance(0.8, 50, 50)
    assert hanley_mcneil_variance(0.5, 12, 30) == pytest.approx(43 / (12 * 12 * 30))
    assert np.isnan(hanley_mcneil_variance(0.8, 0, 10))


def test_binomial_variance_is_that_of_a_mean_of_trials():
    """p (1 - p) / n is the variance of a share of right answers."""
    assert binomial_variance(0.9, 40) == pytest.approx(bernoulli(0.9).var() / 40)
    assert binomial_variance([0.5, 1.0], 10).tolist() == [0.025, 0.0]


def test_dice_deviation_is_a_quadratic_that_vanishes_at_one():
    """Third differences are 0 where the quadratic is not capped, and a perfect Dice does not vary."""
    values = dice_deviation(np.linspace(0.5, 1.0, 11))
    assert np.diff(values, 3) == pytest.approx(np.zeros(8), abs=1e-12)
    assert values[-1] == 0
    assert (values[:-1] > 0).all()


def test_dice_deviation_is_the_least_squares_fit():
    """No other quadratic through 0 at a Dice of 1 lies closer to the printed pairs."""
    pairs = case_deviations()
    error = ((dice_deviation(pairs["dice"]) - pairs["deviation"]) ** 2).sum()
    for direction in ((1, 0), (0, 1), (1, -1)):
        for step in (-0.02, 0.02):
            moved = (1 - pairs["dice"]) * step * (direction[0] + direction[1] * pairs["dice"])
            assert ((dice_deviation(pairs["dice"]) + moved - pairs["deviation"]) ** 2).sum() > error


def test_dice_deviation_stays_possible():
    """Values between 0 and 1 with mean D cannot deviate by more than sqrt(D (1 - D))."""
    dice = np.linspace(0, 1, 101)
    assert (dice_deviation(dice) <= np.sqrt(dice * (1 - dice)) + 1e-15).all()


def test_case_deviations_count_a_shared_comparator_once():
    """The pairs are distinct and come from printed deviations over cases."""
    pairs = case_deviations()
    assert not pairs.duplicated().any()
    assert len(pairs) == 66
    assert pairs["deviation"].between(0, 0.5).all()


def test_difference_variance_is_that_of_correlated_draws():
    """For rho 0.5 the variance of simulated differences is met within 2 percent."""
    covariance = [[0.04, 0.01], [0.01, 0.01]]
    draws = np.random.default_rng(1).multivariate_normal([0, 0], covariance, 100_000)
    expected = difference_variance(0.04, 0.01, 0.5)
    assert np.var(draws[:, 1] - draws[:, 0]) == pytest.approx(float(expected), rel=0.02)


def test_logit_variance_is_the_delta_method():
    """The gradient by central differences gives the same variance for any covariance."""
    point, step = np.array([0.7, 0.85]), 1e-6

    def gain(p):
        return float(logit(p[1]) - logit(p[0]))

    gradient = np.array(
        [(gain(point + step * unit) - gain(point - step * unit)) / (2 * step) for unit in np.eye(2)]
    )
    for covariance in (0.0, 3e-4, -2e-4):
        matrix = np.array([[1e-3, covariance], [covariance, 8e-4]])
        found = logit_difference_variance(*point, 1e-3, 8e-4, covariance)
        assert found == pytest.approx(gradient @ matrix @ gradient, rel=1e-8)


def test_scores_are_pulled_in_by_half_a_case():
    """Only 0 and 1 move, by half a case, or by a thousandth where the size is unknown."""
    assert pull_in([0, 1, 0.3, 1], [10, 10, 10, np.nan]) == pytest.approx([0.05, 0.95, 0.3, 0.999])


def test_arguments_of_different_length_are_refused():
    """The error says that they do not fit together."""
    with pytest.raises(UsageError, match="do not fit together"):
        binomial_variance([0.1, 0.2], [1, 2, 3])
