"""The loss of segmentation against MONAI and torch, and its ends in closed form."""

import pytest
import torch
from torch.nn import functional

from medssl.training.dice_loss import dice_and_cross_entropy, dice_loss


def logits_and_masks(seed=0):
    random = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 3, 4, 5, 6, generator=random)
    return logits, torch.randint(0, 3, (2, 4, 5, 6), generator=random)


def test_dice_loss_is_that_of_monai():
    """Foreground classes, softmax, one value a case and class; also where a class is absent."""
    from monai.losses import DiceLoss

    reference = DiceLoss(include_background=False, to_onehot_y=True, softmax=True)
    logits, masks = logits_and_masks()
    for truth in (masks, masks.clamp(max=1), torch.zeros_like(masks)):
        assert torch.allclose(dice_loss(logits, truth), reference(logits, truth[:, None]), atol=1e-6)


def test_the_ends_of_the_dice_loss():
    """Certain and right is 0, certain and wrong is 1, absent and not predicted costs nothing."""
    _, masks = logits_and_masks()
    right = 60.0 * functional.one_hot(masks, 3).movedim(4, 1)
    assert dice_loss(right, masks).item() == pytest.approx(0, abs=1e-5)
    assert dice_loss(right, (masks + 1) % 3).item() == pytest.approx(1, abs=1e-5)
    empty = torch.zeros_like(masks)
    assert dice_loss(60.0 * functional.one_hot(empty, 3).movedim(4, 1), empty).item() == pytest.approx(0)


def test_the_loss_is_the_sum_of_dice_and_cross_entropy():
    """The second part is torch's mean over voxels."""
    logits, masks = logits_and_masks()
    expected = dice_loss(logits, masks) + functional.cross_entropy(logits, masks)
    assert torch.allclose(dice_and_cross_entropy(logits, masks), expected)
