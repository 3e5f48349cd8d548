"""Boxes of a batch against slices of one image after another."""

import pytest
import torch

from medssl.ssl._windows import box_mask, crop, pixel_index, random_integers, standardise_tiles


def corners_of(shape, height, width, generator):
    """Random upper left corners."""
    return random_integers(0, height, shape, generator), random_integers(0, width, shape, generator)


def test_random_integers_are_uniform_and_include_both_ends(generator):
    """Each of -2, ..., 3 comes up in a sixth of the draws, and nothing else does."""
    values, counts = random_integers(-2, 3, (60000,), generator).unique(return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2, 3]
    assert torch.allclose(counts / 60000, torch.full((6,), 1 / 6), atol=0.01)


def test_random_integers_take_an_end_for_each_element(generator):
    """Bounds may be tensors that broadcast to the shape."""
    low, high = torch.tensor([0, 5, 7]), torch.tensor([1, 5, 9])
    drawn = random_integers(low, high, (2000, 3), generator)
    assert drawn.amin(0).tolist() == low.tolist()
    assert drawn.amax(0).tolist() == high.tolist()


def test_the_largest_uniform_number_does_not_reach_past_the_end(monkeypatch, generator):
    """1 - 2**-24, the largest that torch.rand returns, gives the upper end for every range."""
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, 1 - 2**-24))
    for high in (*range(1, 300), 2**20, 2**22 - 1):
        assert random_integers(0, high, (1,), generator).item() == high


@pytest.mark.parametrize(("height", "width", "side"), [(9, 9, 3), (7, 12, 5), (6, 6, 6)])
def test_crop_is_a_slice(height, width, side, generator):
    """Every square is the slice of its own image at its own corner."""
    images = torch.rand(4, 1, height, width, generator=generator)
    top, left = corners_of((4, 3), height - side, width - side, generator)
    squares = crop(images, (top, left), side)
    assert squares.shape == (4, 3, side, side)
    for image in range(4):
        for square in range(3):
            row, column = top[image, square], left[image, square]
            expected = images[image, 0, row : row + side, column : column + side]
            assert torch.equal(squares[image, square], expected)


def test_pixel_index_counts_in_reading_order(generator):
    """The index of row r and column c of an image of width w is r w + c."""
    top, left = corners_of((5,), 6, 4, generator)
    index = pixel_index((top, left), (2, 3), (8, 7))
    for box in range(5):
        for row in range(2):
            for column in range(3):
                assert index[box, row, column] == (top[box] + row) * 7 + left[box] + column


def test_box_mask_is_a_slice_set_to_true(generator):
    """A box is True on its slice and False elsewhere, also where it would leave the image."""
    top, left = corners_of((4, 2), 8, 5, generator)
    tall, wide = (random_integers(0, 4, (4, 2), generator) for _ in range(2))
    mask = box_mask((top, left), (tall, wide), (8, 5))
    assert mask.shape == (4, 2, 8, 5)
    for image in range(4):
        for box in range(2):
            expected = torch.zeros(8, 5, dtype=torch.bool)
            row, column = top[image, box].item(), left[image, box].item()
            expected[row : row + tall[image, box], column : column + wide[image, box]] = True
            assert torch.equal(mask[image, box], expected)


def test_standardised_tiles_have_mean_zero_and_deviation_one(generator):
    """Brightness and contrast of a tile do not survive, and each tile is taken by itself."""
    tiles = torch.rand(3, 4, 5, 5, generator=generator)
    scale, shift = torch.rand(2, 3, 4, 1, 1, generator=generator) + 0.5
    done = standardise_tiles(tiles)
    assert torch.allclose(done.mean((2, 3)), torch.zeros(3, 4), atol=1e-6)
    assert torch.allclose(done.std((2, 3), correction=0), torch.ones(3, 4), atol=1e-4)
    assert torch.allclose(standardise_tiles(scale * tiles + shift), done, atol=1e-3)


def test_boxes_of_volumes_are_slices(generator):
    """Masks, indices and crops have a third axis, first in the order of the tensor."""
    volumes, sides = torch.rand(3, 1, 6, 7, 9, generator=generator), (6, 7, 9)
    corners = [random_integers(0, side - 3, (3, 2), generator) for side in sides]
    cubes, mask = crop(volumes, corners, 3), box_mask(corners, 3 * [torch.tensor(3)], sides)
    for volume in range(3):
        for box in range(2):
            place = tuple(slice(corner[volume, box], corner[volume, box] + 3) for corner in corners)
            expected = torch.zeros(sides, dtype=torch.bool)
            expected[place] = True
            assert torch.equal(cubes[volume, box], volumes[volume, 0][place])
            assert torch.equal(mask[volume, box], expected)
    tiles = standardise_tiles(cubes, 3)
    assert torch.allclose(tiles.mean((2, 3, 4)), torch.zeros(3, 2), atol=1e-6)
    assert torch.allclose(tiles.std((2, 3, 4), correction=0), torch.ones(3, 2), atol=1e-3)


def test_a_constant_tile_becomes_zero():
    """Nothing is divided by zero."""
    assert torch.equal(standardise_tiles(torch.full((1, 2, 3, 3), 7.0)), torch.zeros(1, 2, 3, 3))
