"""The distortions of Models Genesis on volumes: windows, boxes and their composition against loops."""

import math

import torch

from medssl.ssl._bezier import map_intensity
from medssl.ssl._windows import random_integers
from medssl.ssl.models_genesis import (
    ModelsGenesisConfig,
    distort,
    in_painting_boxes,
    local_pixel_shuffling,
    out_painting_boxes,
    paint,
    shuffle_windows,
)


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def test_shuffling_volumes_is_the_loop_over_windows():
    """Every window shuffles original voxels, and where windows overlap the later one shows."""
    sides, shape, generator = (6, 7, 9), (3, 12), fixed()
    volumes = torch.rand(3, 1, *sides, generator=generator)
    lengths = [random_integers(1, 3, shape, generator) for _ in sides]
    corners = [random_integers(0, s - n, shape, generator) for s, n in zip(sides, lengths, strict=True)]
    keys, expected = torch.rand(*shape, 27, generator=generator), volumes.clone()
    for volume in range(3):
        for window in range(12):
            box = tuple(
                slice(a[volume, window].item(), (a + n)[volume, window].item())
                for a, n in zip(corners, lengths, strict=True)
            )
            original = volumes[volume, 0][box]
            order = keys[volume, window, : original.numel()].argsort()
            expected[volume, 0][box] = original.flatten()[order].reshape(original.shape)
    assert torch.equal(shuffle_windows(volumes, corners, lengths, keys), expected)


def test_windows_of_volumes_have_a_third_side():
    """Voxels move along all three axes, by less than the longest side of a window."""
    index = torch.arange(16**3).reshape(1, 1, 16, 16, 16)
    shuffled = local_pixel_shuffling(index, fixed())
    for step in (256, 16, 1):
        moved = (shuffled // step % 16 - index // step % 16).abs()
        assert moved.max() == 2
        assert 0.2 < (moved > 0).float().mean() < 0.8


def test_boxes_of_volumes_keep_their_ranges_and_their_margin():
    """In-painted boxes have a sixth to a third of each side; out-painting leaves the margin painted."""
    sides, margins = (12, 30, 48), (1, 1, 2)
    inside, outside = (make(400, sides, fixed()) for make in (in_painting_boxes, out_painting_boxes))
    assert inside.shape == outside.shape == (400, 1, *sides)
    for axis, (side, margin) in enumerate(zip(sides, margins, strict=True)):
        for mask in (inside, ~outside):
            along = mask.movedim(2 + axis, 1).flatten(2).any(2)  # [batch, side]
            assert not along[:, :margin].any()
            assert not along[:, -margin:].any()
            assert along[:, margin : side - margin].any(0).all()
    sizes = inside.flatten(1).sum(1)
    assert sizes[sizes > 0].min() >= math.prod(side // 6 for side in sides)
    least = (~outside).flatten(1).sum(1).min()
    assert least >= math.prod(side - 4 * side // 7 for side in sides)


def test_volumes_are_distorted_by_the_composition_of_the_parts():
    """With every probability 1 the parts follow one another, with the draws of the same generator."""
    volumes, generator = torch.rand(3, 1, 12, 14, 16), fixed(3)
    done = distort(volumes, ModelsGenesisConfig(1, 1, 1, in_painting=0), fixed(3))
    torch.rand(3, 1, 1, 1, 1, generator=generator)
    expected = local_pixel_shuffling(volumes, generator)
    control, falling = torch.rand(3, 2, 2, generator=generator), torch.rand(3, generator=generator) < 0.5
    expected = map_intensity(expected, control, falling)
    torch.rand(2, 3, 1, 1, 1, 1, generator=generator)
    in_painting_boxes(3, (12, 14, 16), generator)
    boxes = out_painting_boxes(3, (12, 14, 16), generator)
    torch.rand(3, 1, 1, 1, 1, generator=generator)
    unit = torch.rand(3, 1, 12, 14, 16, generator=generator)
    assert torch.equal(done, paint(expected, boxes, unit))
    assert len(done.flatten(1).unique(dim=0)) == 3
