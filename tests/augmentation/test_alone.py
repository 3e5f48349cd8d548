"""The parts of a policy."""

import dataclasses

import pytest

from medssl.augmentation import Policy, policy_for
from medssl.augmentation.alone import alone


@pytest.mark.parametrize("modality", ["xray", "ct", "mri", "ultrasound"])
def test_the_parts_together_are_the_policy(modality):
    """Each transform that is on has one part, and nothing is lost or added."""
    policy = policy_for(modality, "pretrain")
    joined = {}
    for part in alone(policy).values():
        joined |= {k: v for k, v in dataclasses.asdict(part).items() if v != getattr(Policy(), k)}
    assert Policy(**joined) == policy


def test_nothing_on_has_no_parts():
    """The identity has no transform."""
    assert alone(Policy()) == {}


def test_the_place_of_a_crop_goes_with_the_crop():
    """A crop of ultrasound keeps the probe, and noise alone has no crop to place."""
    parts = alone(policy_for("ultrasound", "pretrain"))
    assert parts["crop_scale"].keep_top
    assert not parts["speckle"].keep_top
