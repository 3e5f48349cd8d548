"""Label budgets: nested, stratified, with whole patients, and split without a leak."""

import numpy as np
import pytest

from medssl.errors import UsageError
from medssl.training import nested_subset, split_budget
from medssl.training.subsets import label_count


def labels_of(counts, seed=0):
    """Labels with the given class counts, in random order."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def patients_of(count, seed=0):
    """Labels and patients of one to three images, a label for each patient, in random order of images."""
    random = np.random.default_rng(seed)
    images = random.integers(1, 4, count)
    order = random.permutation(images.sum())
    return np.repeat(np.arange(count) % 2, images)[order], np.repeat(np.arange(count) + 100, images)[order]


COUNTS = [(30, 10), (200, 7), (11, 60, 29), (100, 50, 25, 12, 3)]


@pytest.mark.parametrize("counts", COUNTS)
def test_a_larger_budget_contains_a_smaller_one(counts):
    """The rows of a smaller n are the first rows of a larger one, and no row comes twice."""
    labels = labels_of(counts)
    whole = nested_subset(labels, len(labels), seed=3)
    assert sorted(whole) == list(range(len(labels)))
    for n in range(len(counts), len(labels)):
        assert np.array_equal(nested_subset(labels, n, seed=3), whole[:n])


@pytest.mark.parametrize("counts", COUNTS)
def test_classes_come_in_proportion(counts):
    """Each class has its share within one image, but for the one that every class is given."""
    labels = labels_of(counts)
    share = np.array(counts) / len(labels)
    for seed in range(3):
        for n in range(len(counts), len(labels) + 1):
            taken = np.bincount(labels[nested_subset(labels, n, seed)], minlength=len(counts))
            assert taken.min() >= 1
            rest = n - (share * n < 1).sum()  # what classes too rare for a share leave to the others
            low, high = np.floor(share * rest) - 1, np.ceil(share * n) + 1
            assert ((taken >= low) & (taken <= high)).all(), (n, taken)


def test_two_balanced_classes_stay_within_one_image():
    """With equal classes no budget favours one by more than one image."""
    labels = labels_of((40, 40))
    for n in range(2, 81):
        assert np.ptp(np.bincount(labels[nested_subset(labels, n, 1)])) <= 1


def test_the_seed_draws_the_subset():
    """The same seed draws the same rows, other seeds draw others, and over seeds every image is drawn."""
    labels = labels_of((30, 10))
    first = nested_subset(labels, 12, 1)
    assert np.array_equal(first, nested_subset(labels, 12, 1))
    assert set(first) != set(nested_subset(labels, 12, 2))
    assert len(set(np.concatenate([nested_subset(labels, 12, seed) for seed in range(40)]))) == 40


def test_patients_are_taken_one_after_the_other():
    """All images of a patient stand together, so only the last patient of a budget may be cut."""
    labels, groups = patients_of(40)
    order = nested_subset(labels, len(labels), 5, groups)
    runs = groups[order][np.flatnonzero(np.diff(groups[order], prepend=-1))]
    assert len(runs) == len(set(runs)) == 40
    for n in range(4, len(labels)):
        rows = nested_subset(labels, n, 5, groups)
        left_out = np.setdiff1d(np.arange(len(labels)), rows)
        assert set(groups[rows]) & set(groups[left_out]) <= {groups[rows[-1]]}


def test_patients_of_both_classes_come_first():
    """As soon as two patients fit into the budget, both classes are there."""
    labels, groups = patients_of(40)
    for seed in range(10):
        for n in range(4, 20):  # three images of the first patient and one of the second
            assert set(labels[nested_subset(labels, n, seed, groups)]) == {0, 1}


@pytest.mark.parametrize("n", [0, 2, 41, -1])
def test_a_budget_outside_its_bounds_is_refused(n):
    """The error says from how many to how many labels there may be."""
    with pytest.raises(UsageError, match=rf"n labels must lie in 3..40 for this training set, got {n}"):
        nested_subset(labels_of((20, 15, 5)), n, 0)


@pytest.mark.parametrize("counts", [(40, 12), (25, 25), (30, 20, 10)])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
def test_a_split_is_disjoint_complete_and_stratified(counts, fraction):
    """Fit and held-out rows are all rows once; each side has every class in proportion."""
    labels = labels_of(counts)
    fit, held_out = split_budget(labels, 2, fraction)
    assert sorted([*fit, *held_out]) == list(range(len(labels)))
    assert len(held_out) == round(fraction * len(labels))
    taken = np.bincount(labels[held_out], minlength=len(counts))
    assert np.abs(taken - fraction * np.array(counts)).max() <= 1.5
    assert np.bincount(labels[fit], minlength=len(counts)).min() >= 1


def test_a_split_never_divides_a_patient():
    """A patient is on one side only, whatever the seed."""
    labels, groups = patients_of(40)
    for seed in range(20):
        fit, held_out = split_budget(labels, seed, 0.25, groups)
        assert not set(groups[fit]) & set(groups[held_out])
        assert sorted([*fit, *held_out]) == list(range(len(labels)))
        assert 0.25 * len(labels) - 1 <= len(held_out) <= 0.25 * len(labels) + 3


def test_the_seed_draws_the_split():
    """The same seed splits alike, another seed otherwise, and not as the subset was drawn."""
    labels = labels_of((40, 20))
    splits = [tuple(split_budget(labels, seed)[1]) for seed in (1, 1, 2)]
    assert splits[0] == splits[1] != splits[2]
    assert set(splits[0]) != set(nested_subset(labels, 15, 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, 1), (40, 40), (np.int64(7), 7), (1.0, 40), (0.5, 20), (0.26, 10), (np.float32(0.1), 4), (1e-9, 1)],
)
def test_a_number_or_a_fraction_of_labels(given, expected):
    """Integers are numbers and floats are fractions, also in numpy's types; at least one label remains."""
    found = label_count(40, given)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize("given", [0, 41, -3])
def test_a_number_outside_the_labels_is_refused(given):
    """The error says how many there are."""
    with pytest.raises(UsageError, match=rf"number of labels must lie in 1..40, got {given}"):
        label_count(40, given)


@pytest.mark.parametrize("given", [0.0, 1.5, 10.0, -0.1, float("nan"), float("inf")])
def test_a_fraction_outside_its_bounds_is_refused(given):
    """The error says that a number of labels would be an integer."""
    with pytest.raises(UsageError, match=r"above 0 and up to 1, got .*; a number of labels is an integer"):
        label_count(40, given)


@pytest.mark.parametrize("given", [True, "10", None])
def test_what_is_no_number_of_labels_is_refused(given):
    """Truth values and text are not taken for numbers."""
    with pytest.raises(UsageError, match="labels must be a number or a fraction"):
        label_count(40, given)
