"""The policies of the four modalities: what they may not do, and what each is for."""

import pytest
import torch

from medssl.augmentation import Policy, augment, policy_for
from medssl.data import MODALITIES
from medssl.errors import UsageError

PURPOSES = ("pretrain", "fine_tune")
ALL = [(modality, purpose) for modality in MODALITIES for purpose in PURPOSES]


@pytest.mark.parametrize(("modality", "purpose"), ALL)
def test_every_modality_has_both_policies(modality, purpose):
    """Each modality can be pretrained on and fine-tuned on, and neither policy is the identity."""
    assert policy_for(modality, purpose) not in (None, Policy())


@pytest.mark.parametrize(("modality", "purpose"), ALL)
def test_top_stays_top(modality, purpose):
    """No policy turns an image upside down: a bright upper half stays above."""
    images = torch.cat([torch.full((200, 1, 14, 28), 0.8), torch.full((200, 1, 14, 28), 0.2)], 2)
    views = augment(images, policy_for(modality, purpose), torch.Generator().manual_seed(0))
    slope = views[:, :, :7].mean((1, 2, 3)) - views[:, :, -7:].mean((1, 2, 3))
    assert slope.min() > -0.05


@pytest.mark.parametrize(("modality", "purpose"), ALL)
def test_views_are_images(modality, purpose):
    """Views of random images keep shape, range and order."""
    images = torch.rand(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    views = augment(images, policy_for(modality, purpose), torch.Generator().manual_seed(0))
    assert views.shape == images.shape
    assert 0 <= views.min() <= views.max() <= 1
    assert (views != images).flatten(1).any(1).all()


@pytest.mark.parametrize("modality", MODALITIES)
def test_fine_tuning_is_the_milder_of_the_two(modality):
    """No strength of fine-tuning exceeds that of pretraining."""
    strong, mild = (policy_for(modality, purpose) for purpose in PURPOSES)
    assert mild.crop_scale > strong.crop_scale
    for field in set(Policy.__dataclass_fields__) - {"crop_scale"}:
        assert getattr(mild, field) <= getattr(strong, field), field


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_beam_of_ultrasound_comes_from_above(purpose):
    """Rotation stays within the tilt of a probe."""
    assert policy_for("ultrasound", purpose).rotation_degrees <= 5


@pytest.mark.parametrize("purpose", PURPOSES)
def test_sides_of_the_abdomen_are_kept_in_computed_tomography(purpose):
    """The side names organs, and attenuation has a linear scale."""
    policy = policy_for("ct", purpose)
    assert (policy.horizontal_flip, policy.gamma) == (0, 0)


def test_each_modality_has_the_noise_of_its_physics():
    """Only magnetic resonance has a coil and Rician noise, only ultrasound has speckle and depth gain."""
    for modality in MODALITIES:
        policy = policy_for(modality, "pretrain")
        assert (policy.rician > 0) == (policy.bias_field > 0) == (modality == "mri")
        assert (policy.speckle > 0) == (policy.depth_gain > 0) == (modality == "ultrasound")
        assert (policy.noise > 0) == (modality in ("xray", "ct"))


@pytest.mark.parametrize("request_", [("pet", "pretrain"), ("ct", "test"), ("", "")])
def test_an_unknown_policy_names_the_known_ones(request_):
    """A misspelt modality or purpose is an error that lists what exists."""
    with pytest.raises(UsageError, match=r"no augmentation policy for .*choose one of xray/pretrain"):
        policy_for(*request_)
