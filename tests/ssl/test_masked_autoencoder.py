"""Random masks and the error on hidden patches against loops and closed forms."""

import itertools

import pytest
import torch
from torch import nn

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl import MaskedAutoencoder
from medssl.ssl.masked_autoencoder import (
    MaskedAutoencoderConfig,
    hidden_patch_error,
    hide_at_random,
    random_mask,
)


def images_of(batch=3, side=8, seed=0):
    """Random images."""
    return torch.rand(batch, 1, side, side, generator=torch.Generator().manual_seed(seed))


def slow_error(prediction, images, hidden, patch):
    """Section 3 of He et al. (2022), one patch at a time."""
    errors = []
    for image, row, column in hidden.nonzero().tolist():
        rows, columns = (slice(start * patch, (start + 1) * patch) for start in (row, column))
        target = images[image, 0, rows, columns].double()
        target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
        errors.append((prediction[image, 0, rows, columns].double() - target).square().mean())
    return torch.stack(errors).mean().item()


@pytest.mark.parametrize(
    ("rows", "columns", "ratio"), [(4, 4, 0.75), (7, 7, 0.6), (3, 5, 0.5), (4, 4, 0.0), (2, 2, 1.0)]
)
def test_mask_hides_exactly_its_share(rows, columns, ratio, generator):
    """Every image hides round(ratio x patches) patches, no more and no fewer."""
    hidden = random_mask(50, rows, columns, ratio, generator)
    assert hidden.shape == (50, rows, columns)
    assert hidden.dtype == torch.bool
    assert set(hidden.sum((1, 2)).tolist()) == {round(ratio * rows * columns)}


def test_mask_is_uniform(generator):
    """Each patch, and each pair of patches, is hidden as often as chance says."""
    hidden = random_mask(20000, 3, 3, 4 / 9, generator).flatten(1).double()
    assert torch.allclose(hidden.mean(0), torch.full((9,), 4 / 9).double(), atol=0.015)
    pairs = (hidden.T @ hidden / len(hidden))[~torch.eye(9, dtype=torch.bool)]
    assert torch.allclose(pairs, torch.full((72,), 4 / 9 * 3 / 8).double(), atol=0.015)


def test_mask_is_drawn_for_each_image_and_from_the_generator():
    """Images of a batch hide different patches; the same state of the generator hides the same ones."""
    first, again = (random_mask(8, 4, 4, 0.5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert len({tuple(mask.flatten().tolist()) for mask in first}) > 1


@pytest.mark.parametrize("patch", [2, 4])
def test_error_is_the_loop_over_patches(patch, generator):
    """The vectorised error is that of one patch at a time."""
    images, prediction = images_of(), images_of(seed=1)
    hidden = random_mask(3, 8 // patch, 8 // patch, 0.5, generator)
    expected = slow_error(prediction, images, hidden, patch)
    assert hidden_patch_error(prediction, images, hidden, patch).item() == pytest.approx(expected, rel=1e-5)


def test_visible_patches_do_not_count(generator):
    """Any prediction and any image content at visible patches gives the same error."""
    images, prediction = images_of(), images_of(seed=1)
    hidden = random_mask(3, 4, 4, 0.5, generator)
    visible = ~hidden.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None]
    error = hidden_patch_error(prediction, images, hidden, 2)
    assert torch.equal(error, hidden_patch_error(prediction + 9 * visible, images, hidden, 2))
    assert torch.equal(error, hidden_patch_error(prediction, images + 9 * visible, hidden, 2))


@pytest.mark.parametrize("patch", [2, 4])
def test_predicting_zero_costs_the_variance_of_the_target(patch):
    """A patch has p^2 pixels and an unbiased variance of 1, so zeros cost (p^2 - 1) / p^2."""
    images = 100 * images_of()  # large, so that the 1e-6 below the root does not show
    hidden = torch.ones(3, 8 // patch, 8 // patch, dtype=torch.bool)
    error = hidden_patch_error(torch.zeros_like(images), images, hidden, patch)
    assert error.item() == pytest.approx((patch**2 - 1) / patch**2, rel=1e-5)


def test_brightness_and_contrast_of_a_patch_do_not_count(generator):
    """Targets are normalised by patch: a x image + b has the targets of the image."""
    images, prediction = images_of(), images_of(seed=1)
    hidden = random_mask(3, 4, 4, 0.5, generator)
    error = hidden_patch_error(prediction, images, hidden, 2)
    assert torch.allclose(error, hidden_patch_error(prediction, 3 * images + 5, hidden, 2), rtol=1e-3)


def test_constant_patches_do_not_divide_by_zero():
    """A constant patch has the target zero."""
    images, hidden = torch.full((1, 1, 4, 4), 0.3), torch.ones(1, 1, 1, dtype=torch.bool)
    assert hidden_patch_error(torch.zeros_like(images), images, hidden, 4).item() < 1e-6


def test_encoder_sees_zeros_at_hidden_patches_only(generator):
    """Hidden pixels reach the encoder as zeros, visible ones as they are, in the patches of the mask."""
    method, seen = MaskedAutoencoder(SmallCNN(), MaskedAutoencoderConfig(patch=4, ratio=0.5)), []
    method.encoder.features = lambda x: seen.append(x) or torch.zeros(len(x), 128, 2, 2)
    images = images_of(5, 16) + 1
    method.loss(images, lambda x: x, generator)
    zero = (seen[0] == 0).reshape(5, 4, 4, 4, 4).transpose(2, 3).reshape(5, 16, 16)  # [batch, patch, pixel]
    assert (zero.all(2) | ~zero.any(2)).all()
    assert zero.all(2).sum(1).tolist() == [8] * 5
    assert torch.equal(seen[0][seen[0] != 0], images[seen[0] != 0])


@pytest.mark.parametrize(("height", "width"), [(18, 16), (16, 30)])
def test_sides_that_do_not_divide_into_patches_are_refused(height, width, generator):
    """The error names the size and the patch, before anything is computed."""
    method = MaskedAutoencoder(SmallCNN())
    with pytest.raises(UsageError, match=f"{height} x {width} pixels do not divide into patches of 4"):
        method.loss(torch.rand(2, 1, height, width), lambda x: x, generator)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 36)])
def test_sides_that_the_stride_does_not_divide_are_fine(height, width, generator):
    """The decoder's surplus rows and columns are cut off."""
    method = MaskedAutoencoder(SmallCNN())
    assert torch.isfinite(method.loss(torch.rand(4, 1, height, width), lambda x: x, generator))


def test_error_of_volumes_is_the_loop_over_cubes(generator):
    """The vectorised error is that of one cube at a time, and zeros cost (p^3 - 1) / p^3."""
    volumes, prediction = torch.rand(2, 3, 1, 4, 8, 12, generator=generator).unbind(0)
    hidden = hide_at_random(volumes, 4, 0.5, generator)
    errors = []
    for volume, *place in hidden.nonzero().tolist():
        cube = (volume, 0, *(slice(4 * start, 4 * start + 4) for start in place))
        target = volumes[cube].double()
        target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
        errors.append((prediction[cube].double() - target).square().mean())
    error = hidden_patch_error(prediction, volumes, hidden, 4)
    assert error.item() == pytest.approx(torch.stack(errors).mean().item(), rel=1e-5)
    zeros = hidden_patch_error(torch.zeros_like(volumes), 100 * volumes, hidden, 4)
    assert zeros.item() == pytest.approx(63 / 64, rel=1e-5)


def test_cubes_are_hidden_by_the_share_and_uniformly(generator):
    """Each volume hides the same number of cubes, and each cube is hidden as often as another."""
    hidden = hide_at_random(torch.zeros(8000, 1, 4, 4, 6), 2, 0.25, generator)
    assert hidden.shape == (8000, 2, 2, 3)
    assert set(hidden.sum((1, 2, 3)).tolist()) == {3}
    assert torch.allclose(hidden.float().mean(0), torch.full((2, 2, 3), 0.25), atol=0.02)


def test_encoder_of_volumes_sees_zeros_in_hidden_cubes_only():
    """Hidden voxels reach the encoder as zeros, visible ones as they are."""
    encoder, seen = nn.Module(), []
    encoder.dimensions, encoder.width, encoder.stride = 3, 2, 4
    encoder.features = lambda x: seen.append(x) or torch.zeros(len(x), 2, 2, 2, 3)
    volumes = torch.rand(3, 1, 8, 8, 12) + 1
    method = MaskedAutoencoder(encoder, MaskedAutoencoderConfig(patch=4, ratio=0.5))
    method.loss(volumes, lambda x: x, torch.Generator().manual_seed(4))
    hidden = hide_at_random(volumes, 4, 0.5, torch.Generator().manual_seed(4))
    for place in itertools.product(range(8), range(8), range(12)):
        expected = torch.where(hidden[:, *(start // 4 for start in place)], 0.0, volumes[:, 0, *place])
        assert torch.equal(seen[0][:, 0, *place], expected)
