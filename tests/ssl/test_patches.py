"""Patches, tokens and pooling of images and volumes against loops."""

import itertools
import math

import pytest
import torch

from medssl.ssl._patches import (
    PatchDecoder,
    join_patches,
    pool_on_grid,
    split_patches,
    tokens_of,
)

SHAPES = [((4, 6), (2, 3)), ((6, 4), (1, 4)), ((4, 6, 2), (2, 3, 1)), ((2, 4, 4), (2, 2, 4))]


def images_of(sides, batch=2, seed=0):
    """Random images or volumes."""
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(seed))


def cells_of(sides, grid):
    """Slices of each cell in reading order."""
    lengths = [side // count for side, count in zip(sides, grid, strict=True)]
    for cell in itertools.product(*map(range, grid)):
        yield tuple(slice(i * n, (i + 1) * n) for i, n in zip(cell, lengths, strict=True))


@pytest.mark.parametrize(("sides", "grid"), SHAPES)
def test_splitting_is_the_loop_over_cells(sides, grid):
    """Each patch is the block of pixels of its cell, in reading order, in two and in three dimensions."""
    images = images_of(sides)
    expected = torch.stack([images[:, 0][(..., *cell)].flatten(1) for cell in cells_of(sides, grid)], 1)
    assert torch.equal(split_patches(images, grid), expected)


@pytest.mark.parametrize(("sides", "grid"), SHAPES)
def test_joining_undoes_splitting(sides, grid):
    """Patches put together again are the image, bit for bit."""
    images = images_of(sides)
    assert torch.equal(join_patches(split_patches(images, grid), grid, sides), images)


@pytest.mark.parametrize(("sides", "grid"), [((4, 4), (2, 2)), ((3, 5), (2, 2)), ((3, 2, 5), (2, 2, 3))])
def test_pooling_is_the_loop_over_places(sides, grid, generator):
    """Each place of the map counts in one cell, floor(i x cells / n) along each side."""
    features = torch.rand(2, 3, *sides, generator=generator, dtype=torch.double)
    total, count = torch.zeros(2, 3, *grid, dtype=torch.double), torch.zeros(grid)
    for place in itertools.product(*map(range, sides)):
        cell = tuple(i * n // side for i, n, side in zip(place, grid, sides, strict=True))
        total[(..., *cell)] += features[(..., *place)]
        count[cell] += 1
    assert count.min() > 0
    assert torch.allclose(pool_on_grid(features, grid), total / count, rtol=1e-12)


def test_pooling_a_map_on_its_own_grid_changes_nothing(generator):
    """Where cells and places are the same the average is the value."""
    features = torch.rand(2, 3, 4, 5, generator=generator)
    assert torch.equal(pool_on_grid(features, (4, 5)), features)


def test_tokens_are_places_in_reading_order(generator):
    """Token k is the vector at the k-th place of the map."""
    features = torch.rand(2, 3, 2, 2, 2, generator=generator)
    tokens = tokens_of(features)
    for k, place in enumerate(itertools.product(range(2), repeat=3)):
        assert torch.equal(tokens[:, k], features[(..., *place)])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_changed_feature_changes_its_own_block(dimensions, generator):
    """A single place of the map fills stride pixels a side and no others; surplus rows are cut off."""
    decoder, grid, sides = PatchDecoder(5, 4, dimensions), (2, 3, 2)[:dimensions], (8, 11, 7)[:dimensions]
    features = torch.rand(1, 5, *grid, generator=generator)
    changed = features.clone()
    changed[(..., 1, 2, 0)[: dimensions + 1]] += 1
    moved = (decoder(features, *sides) != decoder(changed, *sides))[0, 0].nonzero()
    assert decoder(features, *sides).shape == (1, 1, *sides)
    assert moved.amin(0).tolist() == [4, 8, 0][:dimensions]
    assert moved.amax(0).tolist() == [7, 10, 3][:dimensions]
    assert len(moved) == math.prod([4, 3, 4][:dimensions])


def test_the_decoder_is_in_single_precision_under_autocast(autocast):
    """Whatever the layer computes in, the image is in float32."""
    assert PatchDecoder(5, 4, 2)(torch.rand(1, 5, 2, 2), 8, 8).dtype == torch.float32
