"""The rule that grades a claim, at each of its edges."""

import pytest

from medssl.errors import UsageError
from medssl.evidence import grade, importance, verdict

STRONG = {
    "confidence": (0.02, 0.06), "prediction": (0.001, 0.08), "clusters": 10, "sign_changes": False,
    "strong_weight": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "strong"),
        ({"clusters": 9}, "moderate"),
        ({"prediction": (-0.001, 0.08)}, "moderate"),
        ({"prediction": None}, "moderate"),
        ({"sign_changes": True}, "moderate"),
        ({"strong_weight": 0.49}, "moderate"),
        ({"clusters": 4}, "weak"),
        ({"clusters": 9, "confidence": (0.01, 0.06)}, "weak"),
        ({"confidence": (0.0, 0.06)}, "insufficient"),
        ({"confidence": (-0.02, 0.06)}, "insufficient"),
        ({"clusters": 2}, "insufficient"),
        ({"confidence": (-0.06, -0.02), "prediction": (-0.08, 0.0)}, "against"),
        ({"confidence": (-0.06, -0.02), "clusters": 2}, "insufficient"),
    ],
)
def test_each_condition_of_the_rule_decides(change, name):
    """Changing one fact of a strong claim moves its grade to what the rule says."""
    assert grade(**STRONG | change).name == name


def test_the_reason_names_the_number_of_clusters():
    """A reader learns why the evidence is insufficient."""
    assert "1 independent cluster" in grade(**STRONG | {"clusters": 1}).reason


@pytest.mark.parametrize("limits", [{"confidence": (0.1, 0.0)}, {"prediction": (0.1, 0.0)}])
def test_limits_in_the_wrong_order_are_refused(limits):
    """An interval with its limits swapped is a mistake of the caller."""
    with pytest.raises(UsageError, match="low, high"):
        grade(**STRONG | limits)


@pytest.mark.parametrize(
    ("limits", "words"),
    [((0.001, 0.2), "a gain"), ((-0.2, -0.001), "a loss"), ((0, 0.2), "no clear difference")],
)
def test_verdict_follows_the_interval(limits, words):
    """Only an interval that excludes zero is called a gain or a loss."""
    assert verdict(*limits) == words


def test_verdict_refuses_swapped_limits():
    """An interval with its limits swapped is a mistake of the caller."""
    with pytest.raises(UsageError, match="low, high"):
        verdict(0.2, 0.1)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ((0.0, 0.009), "smaller than"),
        ((0.011, 0.2), "larger than"),
        ((0.009, 0.011), "not clearly different from"),
    ],
)
def test_importance_compares_the_whole_interval_with_the_minimal_gain(limits, words):
    """Only an interval wholly on one side of the minimal important gain is called smaller or larger."""
    assert importance(*limits) == words


def test_importance_refuses_swapped_limits():
    """An interval with its limits swapped is a mistake of the caller."""
    with pytest.raises(UsageError, match="low, high"):
        importance(0.2, 0.1)
