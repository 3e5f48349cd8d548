"""The hybrid methods on volumes, around a tiny encoder in three dimensions."""

import pytest
import torch
from torch import nn

from medssl.ssl import build
from medssl.ssl._patches import split_patches

METHODS = ("dira", "popar", "smit", "brain_aware_replacement")
SIDES = (12, 12, 16)
QUIET = {
    "smit": {"patch_weight": 0.0, "image_weight": 0.0},
    "dira": {"discriminative_weight": 0.0, "adversarial_weight": 0.0},
}


class TinyVolume(nn.Module):
    """Two strided layers on volumes that keep what they see."""

    width, stride, dimensions = 8, 4, 3

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(1, 8, 3, 2, 1), nn.BatchNorm3d(8), nn.ReLU(), nn.Conv3d(8, 8, 3, 2, 1), nn.ReLU()
        )
        self.seen = []

    def features(self, volumes):
        self.seen.append(volumes.detach())
        return self.layers(volumes)

    def forward(self, volumes):
        return self.features(volumes).mean((2, 3, 4))


def made(name, **options):
    """A method around the tiny encoder, in its last stage where it has stages."""
    torch.manual_seed(0)
    last_stage = {"discriminative": 0.0, "restorative": 0.0} if name == "dira" else {}
    return build(name, TinyVolume(), **last_stage | options)


def volumes_of(batch=4, seed=0):
    """Random volumes without zeros."""
    return torch.rand(batch, 1, *SIDES, generator=torch.Generator().manual_seed(seed)) + 0.1


def noisy(generator):
    """A view that adds noise."""
    return lambda volumes: volumes + 0.1 * torch.randn(volumes.shape, generator=generator)


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_learns_from_volumes(name, generator):
    """The loss is a scalar that reaches all weights but the teacher's, and the encoder sees volumes."""
    method = made(name)
    loss = method.loss(volumes_of(), noisy(generator), generator)
    assert loss.ndim == 0
    loss.backward()
    for key, weight in method.named_parameters():
        if key.startswith("teacher"):
            assert weight.grad is None, key
        else:
            assert torch.isfinite(weight.grad).all(), key
            assert weight.grad.abs().max() > 0 or "bias" in key, key
    assert {seen.shape[2:] for seen in method.encoder.seen} == {torch.Size(SIDES)}


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_falls_on_volumes(name, generator):
    """Within thirty steps on four volumes the loss is below that of the first.

    A teacher that moves and a discriminator that learns can raise a loss: SMIT predicts pixels alone here,
    and DiRA restores without discrimination or deception, beside a discriminator that learns.
    """
    method, volumes = made(name, **QUIET.get(name, {})), volumes_of()
    optimizer = torch.optim.AdamW(method.parameters(), 5e-3)
    losses = []
    for step in range(30):
        loss = method.loss(volumes, noisy(generator), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if hasattr(method, "after_step"):
            method.after_step(step, 30)
    assert sum(losses[-5:]) < sum(losses[:5])


def test_patches_are_shuffled_in_three_dimensions(generator):
    """POPAR moves cuboids of a volume, over depth as well."""
    method, volumes = made("popar", distorted=0.0), volumes_of()
    method.loss(volumes, lambda x: x, generator)
    seen, original = (split_patches(part, (2, 2, 2)) for part in (method.encoder.seen[0], volumes))
    same = (seen[:, :, None] == original[:, None]).all(3)  # [batch, 8, 8]
    assert (same.sum(2) == 1).all()
    assert (same.long().argmax(2) // 4 != torch.arange(8) // 4).any()


def test_cubes_are_hidden_from_the_student(generator):
    """SMIT hides cubes of a volume, as many in each view."""
    method = made("smit", ratio=0.5)
    method.loss(volumes_of(), lambda x: x, generator)
    hidden = split_patches((method.encoder.seen[0] == 0).float(), (3, 3, 4))  # [2 batch, 36, 64]
    assert torch.equal(hidden.amin(2), hidden.amax(2))
    assert hidden.amin(2).sum(1).tolist() == [18] * 8


def test_blocks_and_atlases_are_volumes(generator):
    """Brain-aware replacement takes an atlas of the shape of the volumes, and a grid of blocks without it."""
    method, numbers = made("brain_aware_replacement", share=1.0), torch.arange(4.0).reshape(-1, 1, 1, 1, 1)
    volumes, atlas = numbers.expand(4, 1, *SIDES), torch.zeros(SIDES, dtype=torch.long)
    atlas[2:5, 3:7, 8:] = 1
    for regions, moved in ((None, torch.ones(SIDES, dtype=torch.bool)), (atlas, atlas > 0)):
        method.encoder.seen.clear()
        method.loss(volumes, lambda x: x, generator, regions=regions)
        changed = (method.encoder.seen[0][:4] != volumes).any(0)[0]
        assert changed.any()
        assert not (changed & ~moved).any()
