"""Hidden patches, the token and the absolute error against loops and closed forms."""

import pytest
import torch
from torch import nn

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl.masked_autoencoder import random_mask
from medssl.ssl.simmim import SimMIM, SimMIMConfig, hidden_absolute_error, hide_patches


def images_of(batch=3, height=8, width=8, seed=0):
    """Random images."""
    return torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed))


def patches_of(hidden, patch):
    """Image, rows and columns of each hidden patch, one after another."""
    for image, row, column in hidden.nonzero().tolist():
        yield image, *(slice(start * patch, (start + 1) * patch) for start in (row, column))


@pytest.mark.parametrize(("height", "width", "patch"), [(8, 8, 2), (8, 12, 4)])
def test_hiding_is_the_loop_over_patches(height, width, patch, generator):
    """The token stands in each hidden patch, pixel for pixel, and nothing else changes."""
    images, token = images_of(height=height, width=width), torch.rand(patch, patch, generator=generator)
    hidden = random_mask(3, height // patch, width // patch, 0.5, generator)
    expected = images.clone()
    for image, rows, columns in patches_of(hidden, patch):
        expected[image, 0, rows, columns] = token
    assert torch.equal(hide_patches(images, hidden, token), expected)


@pytest.mark.parametrize(("height", "width", "patch"), [(8, 8, 2), (8, 12, 4)])
def test_error_is_the_loop_over_patches(height, width, patch, generator):
    """The vectorised error is that of one hidden pixel at a time."""
    images, prediction = (images_of(height=height, width=width, seed=seed) for seed in (0, 1))
    hidden = random_mask(3, height // patch, width // patch, 0.5, generator)
    errors = [
        (images[image, 0, rows, columns].double() - prediction[image, 0, rows, columns].double()).abs()
        for image, rows, columns in patches_of(hidden, patch)
    ]
    expected = torch.stack(errors).mean().item()
    assert hidden_absolute_error(prediction, images, hidden).item() == pytest.approx(expected, rel=1e-5)


def test_visible_pixels_do_not_count(generator):
    """Any prediction at visible pixels gives the same error, bit for bit, and has no gradient."""
    images, prediction = images_of(), images_of(seed=1).requires_grad_()
    hidden = random_mask(3, 4, 4, 0.5, generator)
    visible = ~hidden.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, None]
    error = hidden_absolute_error(prediction, images, hidden)
    assert torch.equal(error, hidden_absolute_error(prediction + 9 * visible, images, hidden))
    error.backward()
    assert torch.equal(prediction.grad != 0, ~visible)


@pytest.mark.parametrize("offset", [-3.0, 0.25])
def test_a_constant_offset_costs_its_size(offset, generator):
    """The error is absolute, not squared, and is a mean: it does not depend on the number hidden."""
    images = images_of()
    for ratio in (0.25, 0.75):
        hidden = random_mask(3, 4, 4, ratio, generator)
        error = hidden_absolute_error(images + offset, images, hidden).item()
        assert error == pytest.approx(abs(offset), rel=1e-5)


def test_targets_are_raw_pixels(generator):
    """Doubling image and prediction doubles the error: patches are not normalised."""
    images, prediction = images_of(), images_of(seed=1)
    hidden = random_mask(3, 4, 4, 0.5, generator)
    error = hidden_absolute_error(prediction, images, hidden)
    assert torch.allclose(hidden_absolute_error(2 * prediction, 2 * images, hidden), 2 * error)


def test_the_encoder_sees_the_token_at_the_share_of_the_ratio(generator):
    """Each image hides round(ratio x patches) patches of its own, filled with the learnt token."""
    method, seen = SimMIM(SmallCNN(), SimMIMConfig(patch=4, ratio=0.6)), []
    method.encoder.features = lambda x: seen.append(x.detach()) or torch.zeros(len(x), 128, 2, 2)
    with torch.no_grad():
        method.token.copy_(torch.arange(16.0).reshape(4, 4) + 5)
    method.loss(images_of(6, 16, 16), lambda x: x, generator)
    patches = seen[0].reshape(6, 4, 4, 4, 4).transpose(2, 3).flatten(1, 2)  # [batch, patches, 4, 4]
    hidden = (patches == method.token).all((2, 3))
    assert hidden.sum(1).tolist() == [round(0.6 * 16)] * 6
    assert len({tuple(row) for row in hidden.tolist()}) > 1
    assert patches[~hidden].max() < 1


def test_the_learnt_token_gets_a_gradient_and_the_mean_is_no_weight(generator):
    """`token="learned"` trains the token; `token="mean"` keeps zeros that no optimiser sees."""
    learnt = SimMIM(SmallCNN())
    learnt.loss(images_of(8, 16, 16), lambda x: x, generator).backward()
    assert learnt.token.grad.abs().min() > 0
    mean = SimMIM(SmallCNN(), SimMIMConfig(token="mean"))
    assert "token" not in dict(mean.named_parameters())
    assert torch.equal(mean.token, torch.zeros(4, 4))


def test_both_tokens_start_from_the_mean():
    """The learnt token is zero before the first step, so that both options begin with the same loss."""
    losses = []
    for token in ("learned", "mean"):
        torch.manual_seed(0)
        method = SimMIM(SmallCNN(), SimMIMConfig(token=token))
        losses.append(method.loss(images_of(4, 16, 16), lambda x: x, torch.Generator().manual_seed(2)).item())
    assert losses[0] == losses[1]


def test_the_head_is_one_layer_that_fills_a_block_for_each_feature():
    """A single changed feature changes its own stride x stride pixels and no others."""
    method = SimMIM(SmallCNN())
    features = torch.rand(1, 128, 3, 3)
    changed = features.clone()
    changed[..., 1, 2] += 1
    moved = (method.head(features) != method.head(changed))[0, 0].nonzero()
    assert moved.amin(0).tolist() == [8, 16]
    assert moved.amax(0).tolist() == [15, 23]


@pytest.mark.parametrize(("height", "width"), [(18, 16), (16, 30)])
def test_sides_that_do_not_divide_into_patches_are_refused(height, width, generator):
    """The error names the size and the patch."""
    with pytest.raises(UsageError, match=f"{height} x {width} pixels do not divide into patches of 4"):
        SimMIM(SmallCNN()).loss(torch.rand(2, 1, height, width), lambda x: x, generator)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 1}, "patch must be at least 2"), ({"ratio": 0.0}, "ratio between 0 and 1"),
        ({"ratio": 1.0}, "ratio between 0 and 1"), ({"token": "noise"}, "token must be 'learned' or 'mean'"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed."""
    with pytest.raises(UsageError, match=words):
        SimMIMConfig(**options)


def test_hiding_cubes_is_the_loop_and_their_error_is_that_of_hidden_voxels(generator):
    """Each hidden cube shows the token, and only hidden voxels cost anything."""
    volumes, hidden = torch.rand(2, 1, 4, 6, 8, generator=generator), torch.rand(2, 2, 3, 4) < 0.5
    hidden[0, 0, 0, 0] = True
    token = torch.arange(8.0).reshape(2, 2, 2)
    expected, errors = volumes.clone(), []
    for volume, *place in hidden.nonzero().tolist():
        cube = (volume, 0, *(slice(2 * start, 2 * start + 2) for start in place))
        expected[cube] = token
        errors.append((token - volumes[cube]).abs().mean())
    shown = hide_patches(volumes, hidden, token)
    assert torch.equal(shown, expected)
    error = hidden_absolute_error(shown, volumes, hidden)
    assert torch.allclose(error, torch.stack(errors).mean())


def test_the_head_of_volumes_fills_a_cube_for_each_feature():
    """A single changed feature changes its own stride^3 voxels, each by another weight, and no others."""
    encoder = nn.Module()
    encoder.dimensions, encoder.width, encoder.stride = 3, 2, 2
    head, features = SimMIM(encoder).head, torch.rand(1, 2, 3, 3, 3)
    changed = features.clone()
    changed[0, 1, 0, 1, 2] += 1
    difference = (head(changed) - head(features))[0, 0]
    cube = difference[:2, 2:4, 4:6].clone()
    assert torch.allclose(cube.flatten(), head[0].weight[:, 1].flatten(), atol=1e-5)
    difference[:2, 2:4, 4:6] = 0
    assert difference.abs().max() < 1e-6
