"""Scores against scikit-learn, loops over pairs and invariances."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from medssl.errors import UsageError
from medssl.evaluation import METRICS, area_under_curve, balanced_accuracy, scores
from medssl.evaluation.metrics import binary_area


def predictions(n, classes, seed=0, decimals=None):
    """Labels of every class and probabilities that know something of them; few decimals make ties."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, n - classes)])
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), labels] += 0.8
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if decimals is not None:
        probabilities = probabilities.round(decimals)
        probabilities[:, 0] = 1 - probabilities[:, 1:].sum(1)
    return labels, probabilities


def weights_of(n, repeats=4, seed=1):
    """Counts as a bootstrap draws them, never zero for the first cases, which cover the classes."""
    weights = np.random.default_rng(seed).integers(0, 4, (repeats, n)).astype(float)
    weights[:, :6] += 1
    return weights


@pytest.mark.parametrize("decimals", [None, 1])
def test_binary_area_is_that_of_scikit_learn(decimals):
    """With and without ties the area is the reference's."""
    for seed in range(5):
        labels, probabilities = predictions(60, 2, seed, decimals)
        expected = roc_auc_score(labels, probabilities[:, 1])
        assert area_under_curve(labels, probabilities)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("classes", [3, 6])
def test_macro_area_is_that_of_scikit_learn(classes):
    """For several classes it is the plain mean of one against the rest."""
    labels, probabilities = predictions(80, classes)
    expected = roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert area_under_curve(labels, probabilities)[0] == pytest.approx(expected, abs=1e-12)


def test_area_is_the_share_of_ordered_pairs():
    """A loop over all pairs of a case and a control, ties for half, gives the same area."""
    labels, probabilities = predictions(40, 2, decimals=1)
    score = probabilities[:, 1]
    pairs = [(a > b) + (a == b) / 2 for a in score[labels == 1] for b in score[labels == 0]]
    assert area_under_curve(labels, probabilities)[0] == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_weights_count_cases_as_often_as_they_say(classes):
    """A row of weights gives what scikit-learn gives with these weights, and what repeated cases give."""
    labels, probabilities = predictions(50, classes, decimals=1)
    weights = weights_of(50)
    areas, accuracies = (metric(labels, probabilities, weights) for metric in METRICS.values())
    assert areas.shape == accuracies.shape == (4,)
    for row, area, accuracy in zip(weights, areas, accuracies, strict=True):
        one_against_rest = [
            roc_auc_score(labels == c, probabilities[:, c], sample_weight=row)
            for c in ([1] if classes == 2 else range(classes))
        ]
        assert area == pytest.approx(np.mean(one_against_rest), abs=1e-12)
        guesses = probabilities.argmax(1)
        assert accuracy == pytest.approx(balanced_accuracy_score(labels, guesses, sample_weight=row))
        cases = np.repeat(np.arange(50), row.astype(int))
        assert area == pytest.approx(area_under_curve(labels[cases], probabilities[cases])[0])
        assert accuracy == pytest.approx(balanced_accuracy(labels[cases], probabilities[cases])[0])


@pytest.mark.parametrize("classes", [2, 4])
def test_balanced_accuracy_is_that_of_scikit_learn(classes):
    """It is the mean recall of the most likely class."""
    labels, probabilities = predictions(70, classes)
    expected = balanced_accuracy_score(labels, probabilities.argmax(1))
    assert balanced_accuracy(labels, probabilities)[0] == pytest.approx(expected)


def test_area_depends_on_the_order_alone():
    """A rising transform of the score changes nothing; the opposite score gives the opposite area."""
    labels, probabilities = predictions(50, 2)
    positive, score, once = labels == 1, probabilities[:, 1], np.ones((1, 50))
    area = binary_area(positive, score, once)
    for transform in (np.log, np.exp, lambda x: x**3, lambda x: 5 * x - 2):
        assert np.allclose(area, binary_area(positive, transform(score), once))
    assert np.allclose(1 - area, binary_area(positive, -score, once))
    assert np.allclose(area, binary_area(~positive, -score, once))


def test_order_of_the_cases_does_not_matter():
    """Scores are functions of a set of cases."""
    labels, probabilities = predictions(50, 3)
    order = np.random.default_rng(2).permutation(50)
    assert scores(labels, probabilities) == pytest.approx(scores(labels[order], probabilities[order]))


def test_perfect_useless_and_reversed_predictions():
    """The ends and the middle of the scale."""
    labels = np.array([0, 0, 1, 1])
    right = np.eye(2)[labels]
    assert scores(labels, right) == {"auc": 1.0, "balanced_accuracy": 1.0}
    assert scores(labels, 1 - right) == {"auc": 0.0, "balanced_accuracy": 0.0}
    assert scores(labels, np.full((4, 2), 0.5)) == {"auc": 0.5, "balanced_accuracy": 0.5}


def test_a_resample_without_a_class_has_no_score():
    """It is NaN, without a warning, so that the bootstrap can leave it out."""
    labels, probabilities = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    for metric in METRICS.values():
        assert np.isnan(metric(labels, probabilities, np.array([[1.0, 2.0, 0.0]]))).all()


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        (np.array([0, 1]), np.ones((3, 2)) / 2, r"probabilities \(3, 2\) do not fit 2 labels"),
        (np.array([0, 1]), np.ones(2), r"probabilities \(2,\) do not fit 2 labels"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, 0.5]]), "NaN or infinite"),
        (np.array([0, 1]), np.array([[0.5, 0.5], [np.inf, 0.5]]), "NaN or infinite"),
        (np.array([1, 1]), np.ones((2, 2)) / 2, "at least two classes"),
    ],
)
def test_scores_that_mean_nothing_are_refused(labels, probabilities, message):
    """Shapes that differ, numbers that are none and a single class are errors."""
    with pytest.raises(UsageError, match=message):
        scores(labels, probabilities)
