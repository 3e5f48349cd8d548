"""One view of each image: identity, geometry, intensity and randomness of the batched transforms."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from medssl.augmentation import Policy, augment
from medssl.augmentation._batched import _affine_grid, _mean_of_neighbours

ON = {
    "crop_scale": 0.5, "rotation_degrees": 30.0, "horizontal_flip": 1.0, "shift": 0.2, "contrast": 0.5,
    "brightness": 0.3, "gamma": 0.5, "bias_field": 0.5, "depth_gain": 0.5, "speckle": 0.3, "noise": 0.2,
    "rician": 0.2, "blur": 1.0, "shadow": 0.9, "ghosting": 0.5,
}  # fmt: skip


def seeded(seed=0):
    """A generator on the processor."""
    return torch.Generator().manual_seed(seed)


def random_images(batch=6, height=16, width=16):
    """Random images with all values in 0.2..0.8, so that no transform runs into the clamp by itself."""
    return 0.2 + 0.6 * torch.rand(batch, 1, height, width, generator=seeded(9))


def column_ramp(batch=40, side=32):
    """Images whose value is the column's centre as a fraction of the width."""
    ramp = (torch.arange(side) + 0.5) / side
    return ramp.expand(batch, 1, side, side).clone()


def test_every_field_has_a_value_that_turns_it_on():
    """The table of this file covers the whole policy, but for the crop's place, which acts on crops alone."""
    assert ON.keys() | {"keep_top"} == Policy.__dataclass_fields__.keys()


def test_the_default_policy_is_the_identity():
    """A policy with everything off returns the images bit for bit, and draws nothing."""
    images, generator = random_images(), seeded()
    before = generator.get_state()
    assert torch.equal(augment(images, Policy(), generator), images)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("field", ON)
def test_each_field_has_an_effect(field):
    """Turning on one transform changes every image."""
    images = random_images()
    changed = augment(images, Policy(**{field: ON[field]}), seeded())
    assert ((changed - images).abs().amax((1, 2, 3)) > 1e-4).all()


@pytest.mark.parametrize("field", ON)
def test_shape_type_and_range_are_kept(field):
    """Any transform of black, white and grey images that are not square stays in 0..1."""
    images = torch.cat([random_images(4, 12, 20), torch.zeros(4, 1, 12, 20), torch.ones(4, 1, 12, 20)])
    changed = augment(images, Policy(**{field: ON[field]}), seeded())
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert torch.isfinite(changed).all()
    assert 0 <= changed.min() <= changed.max() <= 1


@pytest.mark.parametrize("field", [field for field in ON if field != "horizontal_flip"])
def test_each_image_gets_its_own_parameters(field):
    """Copies of one image become different images."""
    copies = random_images(1).expand(8, -1, -1, -1)
    changed = augment(copies, Policy(**{field: ON[field]}), seeded()).flatten(1)
    distances = torch.cdist(changed, changed) + torch.eye(8)
    assert distances.min() > 1e-4


@pytest.mark.parametrize("field", ON)
def test_the_generator_decides(field):
    """The same state of the generator gives the same view; the global state plays no part."""
    images, policy = random_images(), Policy(**{field: ON[field]})
    torch.manual_seed(1)
    first = augment(images, policy, seeded(5))
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, policy, seeded(5)))
    if field != "horizontal_flip":  # with probability 1 nothing is left to chance
        assert not torch.equal(first, augment(images, policy, seeded(6)))


def test_input_is_not_changed():
    """The pool of images stays as it is."""
    images = random_images()
    before = images.clone()
    augment(images, Policy(**ON), seeded())
    assert torch.equal(images, before)


def test_a_flip_only_flips():
    """Each image is either itself or its mirror image, both about equally often at one half."""
    images = random_images(200)
    changed = augment(images, Policy(horizontal_flip=0.5), seeded())
    same = (changed - images).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (changed - images.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    assert (same ^ mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_a_crop_stays_inside_and_is_as_large_as_promised():
    """The columns that a crop shows lie in the image and span between crop_scale and 1 of its width."""
    shown = augment(column_ramp(200), Policy(crop_scale=0.5), seeded())[:, 0, 16]  # [batch, columns]
    span = (shown[:, -2] - shown[:, 1]) * 32 / 29
    assert shown.min() >= 0.5 / 32 - 1e-5
    assert shown.max() <= 31.5 / 32 + 1e-5
    assert 0.49 < span.min() < 0.55
    assert 0.95 < span.max() < 1.01
    assert shown[:, 0].max() > 0.4  # some crops lie at the right, some at the left
    assert shown[:, -1].min() < 0.6


def test_a_crop_keeps_the_aspect_ratio():
    """Rows and columns are scaled alike."""
    ramp = column_ramp(50)
    policy = Policy(crop_scale=0.5)
    across = augment(ramp, policy, seeded(3))[:, 0, 16]
    down = augment(ramp.transpose(2, 3), policy, seeded(3))[:, 0, :, 16]
    assert torch.allclose(across[:, 20] - across[:, 10], down[:, 20] - down[:, 10], atol=1e-5)


def test_a_shift_moves_by_at_most_its_fraction():
    """A pure translation adds one constant to the ramp, within plus or minus the given fraction."""
    ramp = column_ramp(200)
    moved = (augment(ramp, Policy(shift=0.25), seeded()) - ramp)[:, 0, 16, 10:22]
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-5)
    assert 0.23 < moved.abs().max() <= 0.25 + 1e-5
    assert moved.min() < 0 < moved.max()


def test_a_rotation_turns_by_at_most_its_angle():
    """The ramp's gradient turns within plus or minus the given angle and keeps its length."""
    turned = augment(column_ramp(200), Policy(rotation_degrees=20), seeded())[:, 0, 10:22, 10:22]
    across = (turned[:, 5, 9] - turned[:, 5, 2]) / 7
    down = (turned[:, 9, 5] - turned[:, 2, 5]) / 7
    angle = torch.rad2deg(torch.atan2(down, across))
    assert torch.allclose((across**2 + down**2).sqrt(), torch.full((200,), 1 / 32), rtol=1e-3)
    assert 18 < angle.abs().max() <= 20 + 1e-3
    assert angle.min() < 0 < angle.max()


def test_contrast_and_brightness_are_what_they_say():
    """Contrast keeps the mean of an image and brightness keeps its deviations from it."""
    images = 0.4 + 0.2 * torch.rand(30, 1, 8, 8, generator=seeded(1))
    mean = images.mean((2, 3), keepdim=True)
    contrasted = augment(images, Policy(contrast=0.5), seeded())
    factor = (contrasted - mean) / (images - mean)
    assert torch.allclose(contrasted.mean((2, 3), keepdim=True), mean, atol=1e-6)
    assert torch.allclose(factor, factor[:, :, :1, :1].expand_as(factor), rtol=0.05)
    assert 0.5 - 1e-3 < factor.median() < 1.5 + 1e-3
    difference = augment(images, Policy(brightness=0.3), seeded()) - images
    assert torch.allclose(difference, difference[:, :, :1, :1].expand_as(difference), atol=1e-6)
    assert 0.2 < difference.abs().max() <= 0.3


def test_gamma_keeps_order_and_fixes_white():
    """Gamma is a power: brighter stays brighter, and 1 stays 1."""
    images = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8).expand(20, -1, -1, -1)
    changed = augment(images, Policy(gamma=0.7), seeded())
    assert (changed.flatten(1).diff(dim=1) >= 0).all()
    assert torch.equal(changed[:, :, -1, -1], torch.ones(20, 1))
    exponent = changed[:, 0, 4, 0].log() / images[:, 0, 4, 0].log()
    assert exponent.log().abs().max() <= 0.7 + 1e-4


def test_bias_field_is_smooth_and_multiplicative():
    """The logarithm of the field is a quadratic polynomial of the pixel's place."""
    images = torch.full((10, 1, 16, 16), 0.3)
    field = (augment(images, Policy(bias_field=0.2), seeded()) / images).log()
    assert field.diff(n=3, dim=2).abs().max() < 1e-5
    assert field.diff(n=3, dim=3).abs().max() < 1e-5
    assert field.std((2, 3)).min() > 0


def test_depth_gain_changes_along_the_depth_only():
    """Time-gain compensation is the same in every column and linear in the row."""
    images = torch.full((10, 1, 16, 16), 0.5)
    gain = augment(images, Policy(depth_gain=0.4), seeded()) / images
    assert torch.allclose(gain, gain[..., :1].expand_as(gain), atol=1e-6)
    assert gain.diff(n=2, dim=2).abs().max() < 1e-5
    assert gain.sub(1).abs().max() <= 0.4 + 1e-6


def test_speckle_leaves_black_black_and_noise_does_not():
    """Speckle is multiplicative, additive noise is not."""
    black = torch.zeros(5, 1, 16, 16)
    assert augment(black, Policy(speckle=0.3), seeded()).max() == 0
    assert augment(black, Policy(noise=0.3), seeded()).max() > 0


def test_rician_noise_raises_the_background():
    """A magnitude is never negative: in black its mean is that of a Rayleigh law."""
    black = torch.zeros(400, 1, 16, 16)
    magnitude = augment(black, Policy(rician=0.1), seeded()).mean((2, 3))
    largest = 0.1 * (torch.pi / 2) ** 0.5  # mean of a Rayleigh law whose parameter is the largest deviation
    assert 0.95 * largest < magnitude.max() < 1.05 * largest
    assert magnitude.mean() == pytest.approx(largest / 2, rel=0.1)


def test_blur_keeps_a_constant_and_lowers_the_variance():
    """A weighted mean of neighbours leaves a constant alone and smooths noise."""
    flat, noisy = torch.full((3, 1, 8, 8), 0.4), random_images()
    assert torch.allclose(augment(flat, Policy(blur=1.0), seeded()), flat)
    assert (augment(noisy, Policy(blur=1.0), seeded()).var((1, 2, 3)) < noisy.var((1, 2, 3))).all()


def test_the_order_of_the_batch_is_kept():
    """View i shows image i: labels need not follow."""
    brightness = torch.linspace(0.1, 0.9, 9)
    images = brightness[:, None, None, None].expand(9, 1, 16, 16)
    policy = Policy(crop_scale=0.5, rotation_degrees=20, horizontal_flip=0.5, shift=0.1, blur=1.0, noise=0.01)
    assert torch.allclose(augment(images, policy, seeded()).mean((1, 2, 3)), brightness, atol=0.02)


def test_an_unknown_field_raises():
    """A misspelt strength is an error, and a policy cannot be changed."""
    with pytest.raises(TypeError, match="rotation"):
        Policy(rotation=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().blur = 1.0


def row_ramp(batch=40, side=32):
    """Images whose value is the row's centre as a fraction of the height."""
    return column_ramp(batch, side).transpose(2, 3).contiguous()


def test_a_crop_that_keeps_the_top_begins_at_the_first_row():
    """Depth keeps its origin: the first row shows the first row, whatever the size of the crop."""
    images = row_ramp()
    free = augment(images, Policy(crop_scale=0.5), seeded())
    kept = augment(images, Policy(crop_scale=0.5, keep_top=True), seeded())
    assert (kept[:, 0, 0] < 0.03).all()
    assert (free[:, 0, 0] > 0.1).any()
    spread = kept[:, 0, -1, 0] - kept[:, 0, 0, 0]
    assert ((spread > 0.45) & (spread < 1)).all()


def test_a_crop_that_keeps_the_top_still_moves_sideways():
    """Only depth is anchored."""
    images = column_ramp()
    kept = augment(images, Policy(crop_scale=0.5, keep_top=True), seeded())
    assert kept[:, 0, 0, 0].std() > 0.05


def test_a_shadow_darkens_below_and_nothing_above():
    """Something is lost below some depth in every image, and nothing in its first rows."""
    white = torch.ones(40, 1, 32, 32)
    shaded = augment(white, Policy(shadow=0.9), seeded())
    assert (shaded[:, :, 0] > 0.99).all()
    assert (shaded <= 1).all()
    deepest = (1 - shaded).amax(3)[:, 0]  # [batch, height]: what is lost at each depth
    assert (deepest[:, -1] > 0.01).sum() > 30
    assert (deepest.diff(dim=1) > -1e-3).all()


def test_ghosts_are_copies_along_the_columns():
    """A bright column leaves fainter copies a quarter and half an image away, and the sum stays the same."""
    images = torch.zeros(6, 1, 8, 32)
    images[..., 4] = 0.5
    ghosted = augment(images, Policy(ghosting=0.5), seeded())
    assert torch.allclose(ghosted.sum((2, 3)), images.sum((2, 3)), atol=1e-5)
    share = 1 - ghosted[..., 4] / 0.5
    assert ((share > 0) & (share < 0.5)).all()
    assert torch.allclose(ghosted[..., 12] + ghosted[..., 20], 0.5 * share, atol=1e-6)
    assert (ghosted[..., 20] >= ghosted[..., 12]).all()
    assert set(ghosted.sum((0, 1, 2)).nonzero().flatten().tolist()) == {4, 12, 20}


@pytest.mark.parametrize(("height", "width"), [(28, 28), (20, 31), (2, 5)])
def test_fast_parts_are_those_of_torch(height, width):
    """Places of an affine map are as near to the exact ones as torch's, and means of neighbours are equal.

    How torch rounds the product behind `affine_grid` depends on the processor, so its bits are no reference.
    """
    matrix = torch.randn(5, 2, 3, generator=seeded())
    shape = [5, 1, height, width]
    exact = functional.affine_grid(matrix.double(), shape, align_corners=False)
    torchs = functional.affine_grid(matrix, shape, align_corners=False)
    for found in (_affine_grid(matrix, height, width), torchs):
        assert (found - exact).abs().max() <= 2 * torch.finfo(torch.float32).eps * exact.abs().max()
    down, across = (torch.linspace(-1, 1, n) * (n - 1) / n for n in (height, width))
    loop = [
        [[[a * x + b * y + shift for a, b, shift in rows] for x in across.numpy()] for y in down.numpy()]
        for rows in matrix.numpy()
    ]  # each product and sum rounded to single precision
    assert np.array_equal(_affine_grid(matrix, height, width).numpy(), np.array(loop, np.float32))
    images = random_images(5, height, width)
    smooth = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    assert torch.equal(_mean_of_neighbours(images), smooth)
