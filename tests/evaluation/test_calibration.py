"""The reliability table against a loop over bins and cases, and its interval against its definition."""

import numpy as np
import pytest
from scipy.stats import binomtest

from medssl.errors import UsageError
from medssl.evaluation.calibration import reliability_table, wilson_interval


def predictions(n=300, classes=3, seed=0):
    """Labels and the probabilities of an imperfect model."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    logits = random.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    probabilities = np.exp(2 * logits)
    return labels, probabilities / probabilities.sum(1, keepdims=True)


@pytest.mark.parametrize("of", [None, 0, 2])
@pytest.mark.parametrize("bins", [1, 7, 15])
def test_bins_are_a_loop_over_cases(of, bins):
    """Each case is in the one bin that its score is in; confidence and accuracy are the means there."""
    labels, probabilities = predictions()
    found = reliability_table(labels, probabilities, of=of, bins=bins)
    score = probabilities.max(1) if of is None else probabilities[:, of]
    right = probabilities.argmax(1) == labels if of is None else labels == of
    rows = []
    for b in range(bins):
        inside = [i for i in range(300) if b / bins < score[i] <= (b + 1) / bins]
        if inside:
            rows.append([b / bins, (b + 1) / bins, len(inside), score[inside].mean(), right[inside].mean()])
    columns = ["bin_low", "bin_high", "count", "confidence", "accuracy"]
    np.testing.assert_allclose(found[columns].to_numpy(float), rows)
    np.testing.assert_allclose(found.gap, found.accuracy - found.confidence)


def test_every_case_is_counted_once_also_on_an_edge():
    """A score on an edge belongs to the bin below, 0 to the first, in single and double precision."""
    for kind in (np.float32, np.float64):
        positive = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.5], kind)
        probabilities = np.stack([1 - positive, positive], 1)
        table = reliability_table(np.array([0, 1, 0, 1, 0, 1, 1]), probabilities, of=1, bins=5)
        assert table["count"].tolist() == [2, 1, 2, 1, 1]


def test_the_weighted_gap_is_the_expected_calibration_error():
    """In closed form: 10 cases at 0.8 of which 6 are right, and 10 at 0.6 of which all are."""
    labels = np.array([0] * 6 + [1] * 4 + [0] * 10)
    certain = np.repeat([0.8, 0.6], 10)
    table = reliability_table(labels, np.stack([certain, 1 - certain], 1))
    assert (table["count"] * table.gap.abs()).sum() / 20 == pytest.approx((0.2 + 0.4) / 2)


def test_a_calibrated_model_lies_on_the_diagonal():
    """Labels drawn with the probabilities themselves leave gaps that the intervals cover."""
    random = np.random.default_rng(1)
    positive = random.random(20_000)
    labels = (random.random(20_000) < positive).astype(int)
    table = reliability_table(labels, np.stack([1 - positive, positive], 1), of=1, bins=10, level=0.999)
    assert ((table.ci_low <= table.confidence) & (table.confidence <= table.ci_high)).all()


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_is_the_one_of_scipy(level):
    """It is Wilson's score interval without correction, at the ends as in the middle."""
    right, count = np.array([0, 1, 7, 20, 3]), np.array([5, 9, 10, 20, 400])
    low, high = wilson_interval(right / count, count, level)
    for a, n, *limits in zip(right, count, low, high, strict=True):
        expected = binomtest(a, n).proportion_ci(level, method="wilson")
        assert limits == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_bins_without_a_case_are_left_out():
    """No row holds a missing number."""
    labels, probabilities = predictions(12)
    table = reliability_table(labels, probabilities, bins=50)
    assert len(table) < 50
    assert table.notna().all(axis=None)
    assert table["count"].sum() == 12


def test_what_has_no_reliability_is_refused():
    """Logits, unknown classes, bins and levels, and shapes that differ are usage errors."""
    labels, probabilities = predictions(12)
    for bad, options, message in (
        (probabilities * 3, {}, "needs probabilities between 0 and 1"),
        (probabilities - 0.5, {}, "needs probabilities between 0 and 1"),
        (probabilities, {"of": 3}, r"no class 3; classes are 0..2"),
        (probabilities, {"bins": 0}, "bins must be at least 1"),
        (probabilities, {"level": 1.0}, "level between 0 and 1"),
        (probabilities[:-1], {}, "do not fit 12 labels"),
    ):
        with pytest.raises(UsageError, match=message):
            reliability_table(labels, bad, **options)
