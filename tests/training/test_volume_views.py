"""Views of volumes: masks move with their volumes, in voxels, and all chance is the generator's."""

import torch

from medssl.evaluation.segmentation import dice
from medssl.training.volume_views import mild_view, random_crop, resample


def test_a_turn_moves_masks_with_their_volumes():
    """A quarter turn about the depth axis is torch's own, for values and for labels."""
    volumes, masks = torch.rand(1, 1, 4, 6, 6), torch.randint(0, 3, (1, 4, 6, 6))
    turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    moved, labels = resample(volumes, masks, turn, torch.zeros(1, 3))
    assert torch.allclose(moved, torch.rot90(volumes, 1, (3, 4)), atol=1e-5)
    assert torch.equal(labels, torch.rot90(masks, 1, (2, 3)))


def test_a_turn_keeps_lengths_in_voxels():
    """On sides that differ a quarter turn of a bar in the middle is a bar of the same length."""
    masks = torch.zeros(1, 4, 12, 8, dtype=torch.long)
    masks[0, :, 3:9, 3:5] = 1
    turn = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
    _, labels = resample(masks[:, None].float(), masks, turn, torch.zeros(1, 3))
    expected = torch.zeros_like(masks)
    expected[0, :, 5:7, 1:7] = 1
    assert torch.equal(labels, expected)


def test_a_mild_view_changes_little_and_volumes_as_masks():
    """Values stay in 0..1, labels stay labels, most voxels of a large structure keep theirs."""
    masks = torch.zeros(8, 16, 16, 16, dtype=torch.long)
    masks[:, 4:12, 4:12, 4:12] = 2
    volumes = masks[:, None] / 2 * 0.8 + 0.1
    views, labels = mild_view(volumes, masks, torch.Generator().manual_seed(0))
    assert 0 <= views.min() <= views.max() <= 1
    assert set(labels.unique().tolist()) == {0, 2}
    overlap = dice(masks.numpy(), labels.numpy(), 3)[:, 1]
    assert ((overlap > 0.7) & (overlap < 1)).all()
    assert (views[:, 0][labels == 2].mean() - views[:, 0][labels == 0].mean()) > 0.5
    assert len({view.sum().item() for view in views}) == 8


def test_views_are_drawn_from_the_generator():
    """The same state gives the same view."""
    volumes, masks = torch.rand(2, 1, 6, 6, 6), torch.zeros(2, 6, 6, 6, dtype=torch.long)
    first, again = (mild_view(volumes, masks, torch.Generator().manual_seed(3))[0] for _ in range(2))
    assert torch.equal(first, again)


def test_a_box_is_the_same_in_volume_and_mask():
    """Cut from both at one place inside, and over many draws every place is taken."""
    masks = torch.arange(4 * 5 * 6).reshape(1, 4, 5, 6).repeat(300, 1, 1, 1)
    cut, labels = random_crop(masks[:, None].float(), masks, (3, 4, 6), torch.Generator().manual_seed(0))
    assert torch.equal(cut[:, 0].long(), labels)
    assert set(labels[:, 0, 0, 0].tolist()) == {30 * a + 6 * b for a in range(2) for b in range(2)}
    assert (labels[:, 0, 0].diff(dim=1) == 1).all()
