"""Pairs of patches and their exchange against loops."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.context_restoration import (
    ContextRestoration,
    ContextRestorationConfig,
    random_pairs,
    swap_patches,
)


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def apart(first, second, patch):
    """Whether two patches do not overlap, from their corners [..., 2]."""
    return ((first - second).abs() >= patch).any(-1)


@pytest.mark.parametrize(("height", "width", "patch"), [(28, 28, 4), (12, 20, 3), (11, 11, 4), (8, 3, 3)])
def test_swaps_are_the_loop_over_images_and_pairs(height, width, patch):
    """Image by image and pair by pair, slices are exchanged."""
    images = torch.rand(4, 1, height, width)
    first, second = random_pairs(4, 6, (height, width), patch, fixed())
    expected = images.clone()
    for image in range(4):
        for pair in range(6):
            here, there = (
                tuple(slice(start, start + patch) for start in corner[image, pair].tolist())
                for corner in (first, second)
            )
            kept = expected[image, 0][here].clone()
            expected[image, 0][here] = expected[image, 0][there]
            expected[image, 0][there] = kept
    assert torch.equal(swap_patches(images, first, second, patch), expected)


def test_swaps_in_reverse_order_restore_the_image():
    """A swap is its own inverse; pairs that share pixels have to be undone last first."""
    images = torch.rand(8, 1, 16, 16)
    first, second = random_pairs(8, 10, (16, 16), 4, fixed())
    swapped = swap_patches(images, first, second, 4)
    assert not torch.equal(swapped, images)
    assert torch.equal(swap_patches(swapped, first.flip(1), second.flip(1), 4), images)


def test_intensities_only_change_places():
    """Every image keeps its histogram, and the two patches of a pair may be named in either order."""
    images = torch.rand(8, 1, 16, 16)
    first, second = random_pairs(8, 10, (16, 16), 4, fixed())
    swapped = swap_patches(images, first, second, 4)
    assert torch.equal(swapped.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    assert torch.equal(swapped, swap_patches(images, second, first, 4))


def test_one_swap_moves_two_patches():
    """Distinct pixels outside a single pair of patches stay in place, all those inside move."""
    images = torch.arange(256.0).reshape(1, 1, 16, 16).expand(50, -1, -1, -1)
    first, second = random_pairs(50, 1, (16, 16), 4, fixed())
    assert (swap_patches(images, first, second, 4) != images).sum((1, 2, 3)).tolist() == [32] * 50


@pytest.mark.parametrize(("height", "width", "patch"), [(28, 28, 4), (11, 11, 4), (5, 5, 2), (11, 4, 4)])
def test_pairs_lie_inside_and_do_not_overlap(height, width, patch):
    """No patch leaves its image, and no pair shares a pixel."""
    first, second = random_pairs(500, 4, (height, width), patch, fixed())
    for corner in (first, second):
        assert corner.amin() >= 0
        assert (corner <= torch.tensor([height - patch, width - patch])).all()
    assert apart(first, second, patch).all()


@pytest.mark.parametrize(("height", "width", "patch"), [(5, 5, 2), (6, 3, 2), (5, 2, 2), (2, 6, 2)])
def test_second_patch_is_uniform_among_those_apart(height, width, patch):
    """Given the first corner, every corner whose patch is apart comes up equally often."""
    first, second = random_pairs(400, 200, (height, width), patch, fixed())
    rows, columns = height - patch + 1, width - patch + 1
    joint = torch.zeros(rows * columns, rows * columns)
    place = [corner[..., 0] * columns + corner[..., 1] for corner in (first, second)]
    joint.view(-1).index_add_(0, (place[0] * rows * columns + place[1]).flatten(), torch.ones(80000))
    corners = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    allowed = apart(corners[:, None], corners[None], patch)
    expected = allowed / allowed.sum(1, keepdim=True) / (rows * columns)
    assert torch.equal(joint > 0, allowed)
    assert torch.allclose(joint / 80000, expected, atol=0.004)


def test_images_have_their_own_pairs_and_the_generator_decides():
    """Each image swaps other patches; the same state of the generator swaps the same ones."""
    first, second = random_pairs(8, 3, (28, 28), 4, fixed(1))
    assert len({tuple(image.flatten().tolist()) for image in first}) == 8
    again = random_pairs(8, 3, (28, 28), 4, fixed(1))
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])


@pytest.mark.parametrize(("side", "patch"), [(28, 4), (64, 10), (16, 2)])
def test_the_encoder_sees_swapped_patches_of_the_stated_size(side, patch):
    """The side of a patch is the fraction of the image's side, rounded."""
    method, seen = ContextRestoration(SmallCNN(), ContextRestorationConfig(patch=0.15, swaps=3)), []
    method.encoder.features = lambda x: seen.append(x) or torch.zeros(len(x), 128, 8, 8)
    images = torch.rand(4, 1, side, side)
    method.loss(images, lambda x: x, fixed(6))
    expected = swap_patches(images, *random_pairs(4, 3, (side, side), patch, fixed(6)), patch)
    assert torch.equal(seen[0], expected)


def test_loss_is_the_squared_error_over_all_pixels_of_the_image_before_the_swaps():
    """A decoder that returns what the encoder saw pays for moved pixels; one that restores pays nothing."""
    method = ContextRestoration(SmallCNN())
    method.encoder.features = lambda x: x
    images = torch.rand(4, 1, 28, 28)
    swapped = swap_patches(images, *random_pairs(4, 10, (28, 28), 4, fixed(6)), 4)
    errors = [
        (a - b) ** 2 for a, b in zip(swapped.flatten().tolist(), images.flatten().tolist(), strict=True)
    ]
    method.decoder.forward = lambda features, height, width: features
    loss = method.loss(images, lambda x: x, fixed(6)).item()
    assert loss == pytest.approx(sum(errors) / len(errors), rel=1e-4)
    method.decoder.forward = lambda features, height, width: images
    assert method.loss(images, lambda x: x, fixed(6)).item() == 0


@pytest.mark.parametrize(("height", "width", "patch"), [(10, 10, 4), (3, 28, 4)])
def test_no_room_for_a_second_patch_is_an_error(height, width, patch, generator):
    """The text names the size and what it would have to be."""
    with pytest.raises(UsageError, match=f"images of {height} x {width} pixels are too small to swap"):
        random_pairs(2, 1, (height, width), patch, generator)


def test_patches_of_a_pixel_are_refused(generator):
    """A patch that would be a single pixel is an error that names the size of the image."""
    method = ContextRestoration(SmallCNN())
    with pytest.raises(UsageError, match="images of 8 x 28 pixels are too small: a patch would"):
        method.loss(torch.rand(2, 1, 8, 28), lambda x: x, generator)


@pytest.mark.parametrize("options", [{"patch": 0.0}, {"patch": 0.5}, {"swaps": 0}, {"patch": float("nan")}])
def test_bad_options_are_refused(options):
    """The error says what is allowed."""
    with pytest.raises(UsageError, match=r"patch must be between 0 and 0.5 and swaps at least 1"):
        ContextRestorationConfig(**options)


def test_swaps_of_cubes_are_the_loop_over_volumes_and_pairs():
    """Volume by volume and pair by pair, cubes are exchanged."""
    volumes, sides = torch.rand(3, 1, 6, 10, 8), (6, 10, 8)
    first, second = random_pairs(3, 5, sides, 2, fixed())
    expected = volumes.clone()
    for volume in range(3):
        for pair in range(5):
            here, there = (
                tuple(slice(start, start + 2) for start in corner[volume, pair].tolist())
                for corner in (first, second)
            )
            kept = expected[volume, 0][here].clone()
            expected[volume, 0][here] = expected[volume, 0][there]
            expected[volume, 0][there] = kept
    assert torch.equal(swap_patches(volumes, first, second, 2), expected)


@pytest.mark.parametrize(("sides", "patch"), [((3, 5, 4), 2), ((5, 2, 3), 2), ((2, 3, 6), 2)])
def test_second_cube_is_uniform_among_those_apart(sides, patch):
    """Given the first corner, every corner whose cube is apart comes up equally often, and no other does."""
    first, second = random_pairs(400, 200, sides, patch, fixed())
    counts = [side - patch + 1 for side in sides]
    corners = torch.cartesian_prod(*(torch.arange(count) for count in counts))
    cells = len(corners)
    index = [
        (corner * torch.tensor([counts[1] * counts[2], counts[2], 1])).sum(-1) for corner in (first, second)
    ]
    joint = (index[0] * cells + index[1]).flatten().bincount(minlength=cells**2).reshape(cells, cells)
    allowed = apart(corners[:, None], corners[None], patch)
    assert torch.equal(joint > 0, allowed)
    expected = allowed / allowed.sum(1, keepdim=True) / cells
    assert torch.allclose(joint / 80000, expected, atol=0.004)
