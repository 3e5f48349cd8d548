"""Secondary scores against closed forms, slow loops and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from medssl.errors import UsageError
from medssl.evaluation import (
    area_under_precision_recall,
    expected_calibration_error,
    secondary_scores,
    sensitivity_at_specificity,
)


def two(score):
    """Probabilities of two classes from the score of class 1."""
    score = np.asarray(score, float)
    return np.column_stack([1 - score, score])


def drawn(seed, n=60, classes=3):
    """Labels and probabilities that know a little about them."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    logits = generator.normal(size=(n, classes)) + np.eye(classes)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def slow_sensitivity(positive, score, specificity):
    """The best sensitivity over every threshold, one by one."""
    best = 0.0
    for threshold in [*score, np.inf]:
        called = score >= threshold
        if (~called[~positive]).mean() >= specificity - 1e-12:
            best = max(best, called[positive].mean())
    return best


def slow_calibration(labels, probabilities, bins):
    """Bin by bin, case by case."""
    total = 0.0
    for b in range(bins):
        inside = []
        for label, row in zip(labels, probabilities, strict=True):
            if b / bins < row.max() <= (b + 1) / bins:
                inside.append((row.max(), row.argmax() == label))
        if inside:
            confidence, right = np.mean(inside, 0)
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


def test_precision_and_recall_of_no_knowledge_is_the_prevalence():
    """Equal scores give the share of positive cases."""
    assert area_under_precision_recall(np.array([0, 0, 0, 1]), two([0.5] * 4)) == pytest.approx(0.25)


def test_precision_and_recall_is_averaged_one_against_rest():
    """For several classes it is the mean of scikit-learn's value of each."""
    labels, probabilities = drawn(1)
    parts = [average_precision_score(labels == c, probabilities[:, c]) for c in range(3)]
    assert area_under_precision_recall(labels, probabilities) == pytest.approx(np.mean(parts))


@pytest.mark.parametrize("specificity", [0.0, 0.5, 0.8, 0.9, 1.0])
def test_sensitivity_equals_a_search_over_thresholds(specificity):
    """Every threshold was tried, ties included."""
    labels, probabilities = drawn(2)
    probabilities = probabilities.round(1)
    slow = np.mean([slow_sensitivity(labels == c, probabilities[:, c], specificity) for c in range(3)])
    assert sensitivity_at_specificity(labels, probabilities, specificity) == pytest.approx(slow)


def test_sensitivity_in_closed_form():
    """With one of ten negative cases above all positive ones, 90% specificity costs nothing."""
    labels = np.array([0] * 10 + [1] * 2)
    score = np.array([*np.linspace(0.1, 0.3, 9), 0.9, 0.5, 0.6])
    assert sensitivity_at_specificity(labels, two(score), 0.9) == 1
    assert sensitivity_at_specificity(labels, two(score), 0.95) == 0


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_calibration_error_equals_a_slow_loop(bins):
    """Bins are closed on the right, also at their edges."""
    labels, probabilities = drawn(3)
    probabilities[:5] = [0.6, 0.2, 0.2]
    expected = slow_calibration(labels, probabilities, bins)
    assert expected_calibration_error(labels, probabilities, bins) == pytest.approx(expected)


def test_calibration_error_is_zero_for_true_probabilities():
    """Eight of ten right at a confidence of 0.8."""
    assert expected_calibration_error(np.array([0] * 8 + [1] * 2), two([0.2] * 10)) == pytest.approx(0)


def test_a_specificity_outside_its_range_is_refused():
    """The message names the range."""
    with pytest.raises(UsageError, match="specificity must be between 0 and 1"):
        sensitivity_at_specificity(np.array([0, 1]), two([0.1, 0.9]), 1.2)


def test_damaged_probabilities_are_refused():
    """The same check as for the primary scores."""
    with pytest.raises(UsageError, match=r"finite|fit"):
        secondary_scores(np.array([0, 1]), two([0.1, np.nan]))
