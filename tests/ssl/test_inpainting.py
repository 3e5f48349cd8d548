"""Random blocks, the margin around them and the weighted error against loops and closed forms."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._windows import random_integers
from medssl.ssl.inpainting import (
    Inpainting,
    InpaintingConfig,
    pixel_weights,
    random_blocks,
    weighted_squared_error,
)


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def share_of_union(height, width, tall, wide, blocks):
    """Expected share of hidden pixels: 1 - (1 - p)^blocks, p the chance of a pixel to lie in one block."""

    def chance(side, length):
        starts = torch.arange(side - length + 1)[:, None]
        places = torch.arange(side)
        return ((starts <= places) & (places < starts + length)).float().mean(0)

    inside = chance(height, tall)[:, None] * chance(width, wide)[None]
    return (1 - (1 - inside) ** blocks).mean().item()


@pytest.mark.parametrize(("height", "width", "blocks", "share"), [(28, 28, 4, 0.25), (16, 24, 3, 0.5)])
def test_blocks_are_the_loop_over_images(height, width, blocks, share):
    """The same corners, filled one block after another, hide the same pixels."""
    hidden = random_blocks(5, (height, width), blocks, share, fixed())
    tall, wide = (int(side * (share / blocks) ** 0.5) for side in (height, width))
    again = fixed()
    top = random_integers(0, height - tall, (5, blocks), again)
    left = random_integers(0, width - wide, (5, blocks), again)
    for image in range(5):
        expected = torch.zeros(height, width, dtype=torch.bool)
        for row, column in zip(top[image].tolist(), left[image].tolist(), strict=True):
            expected[row : row + tall, column : column + wide] = True
        assert torch.equal(hidden[image, 0], expected)


@pytest.mark.parametrize(("blocks", "side", "share"), [(1, 28, 0.25), (4, 28, 0.25), (9, 64, 0.5)])
def test_share_of_hidden_pixels_is_that_of_overlapping_blocks(blocks, side, share, generator):
    """No image hides more than `share`, and on average they hide what the union of blocks covers."""
    hidden = random_blocks(3000, (side, side), blocks, share, generator)
    length = int(side * (share / blocks) ** 0.5 + 1e-9)
    shares = hidden.float().mean((1, 2, 3))
    assert shares.max() <= share + 1e-6
    assert shares.mean().item() == pytest.approx(
        share_of_union(side, side, length, length, blocks), abs=0.005
    )


def test_images_hide_different_blocks_and_the_generator_decides():
    """Each image has its own blocks; the same state of the generator gives the same ones."""
    hidden = random_blocks(8, (28, 28), 2, 0.25, fixed(3))
    assert len({tuple(image.flatten().tolist()) for image in hidden}) == 8
    assert torch.equal(hidden, random_blocks(8, (28, 28), 2, 0.25, fixed(3)))


@pytest.mark.parametrize("overlap", [0, 1, 3])
def test_weights_are_the_loop_over_pixels(overlap):
    """Hidden pixels weigh 1, visible ones at most `overlap` away 10 and the others 0."""
    hidden = random_blocks(2, (16, 16), 2, 0.2, fixed(1))
    weights = pixel_weights(hidden, overlap)
    for image in range(2):
        places = hidden[image, 0].nonzero().tolist()
        for row in range(16):
            for column in range(16):
                distance = min(max(abs(row - r), abs(column - c)) for r, c in places)
                expected = 1 if distance == 0 else 10 if distance <= overlap else 0
                assert weights[image, 0, row, column] == expected


def test_error_is_the_loop_over_pixels(generator):
    """The vectorised error is the sum of weighted squares over the sum of weights."""
    images, prediction = torch.rand(2, 3, 1, 6, 6, generator=generator).unbind(0)
    weights = torch.rand(3, 1, 6, 6, generator=generator)
    total = sum(
        w * (a - b) ** 2
        for w, a, b in zip(*(x.double().flatten() for x in (weights, images, prediction)), strict=True)
    )
    expected = (total / weights.double().sum()).item()
    assert weighted_squared_error(prediction, images, weights).item() == pytest.approx(expected, rel=1e-5)


def test_visible_pixels_do_not_count_without_overlap(generator):
    """Equation 1: any prediction outside the hidden region gives the same error and has no gradient."""
    hidden = random_blocks(3, (16, 16), 4, 0.25, generator)
    images, prediction = torch.rand(2, 3, 1, 16, 16, generator=generator).unbind(0)
    prediction.requires_grad_()
    weights = pixel_weights(hidden, 0)
    error = weighted_squared_error(prediction, images, weights)
    assert torch.equal(error, weighted_squared_error(prediction + 9 * ~hidden, images, weights))
    error.backward()
    assert torch.equal(prediction.grad != 0, hidden)


def test_a_constant_offset_costs_its_square(generator):
    """The error is a mean: neither the number of hidden pixels nor the margin changes its scale."""
    images = torch.rand(3, 1, 16, 16, generator=generator)
    for overlap in (0, 2):
        weights = pixel_weights(random_blocks(3, (16, 16), 3, 0.3, generator), overlap)
        assert weighted_squared_error(images - 3, images, weights).item() == pytest.approx(9, rel=1e-5)


def test_the_encoder_sees_zeros_in_the_blocks_only():
    """Hidden pixels are set to the mean of the pool, visible ones reach the encoder as they are."""
    method, seen = Inpainting(SmallCNN()), []
    method.encoder.features = lambda x: seen.append(x) or torch.zeros(len(x), 128, 4, 4)
    images = torch.rand(5, 1, 28, 28) + 1
    method.loss(images, lambda x: x, fixed(2))
    hidden = random_blocks(5, (28, 28), 4, 0.25, fixed(2))
    assert torch.equal(seen[0], torch.where(hidden, 0.0, images))


@pytest.mark.parametrize("overlap", [0, 2])
def test_loss_of_a_decoder_that_answers_zero_is_the_mean_square_of_what_counts(overlap):
    """With `overlap` the margin enters the loss, ten times."""
    method = Inpainting(SmallCNN(), InpaintingConfig(overlap=overlap))
    method.decoder.forward = lambda features, height, width: torch.zeros(len(features), 1, height, width)
    images = torch.rand(5, 1, 28, 28)
    loss = method.loss(images, lambda x: x, fixed(4))
    weights = pixel_weights(random_blocks(5, (28, 28), 4, 0.25, fixed(4)), overlap)
    expected = (images.square() * weights).sum() / weights.sum()
    assert torch.allclose(loss, expected)
    assert (weights == 10).any().item() == (overlap > 0)


@pytest.mark.parametrize(("height", "width"), [(7, 28), (28, 7)])
def test_images_too_small_for_blocks_are_refused(height, width, generator):
    """The error names the size of the image and of the block that it would have."""
    with pytest.raises(UsageError, match=f"images of {height} x {width} pixels are too small: 4 blocks"):
        Inpainting(SmallCNN()).loss(torch.rand(2, 1, height, width), lambda x: x, generator)


@pytest.mark.parametrize(
    "options", [{"blocks": 0}, {"share": 0.0}, {"share": 1.0}, {"overlap": -1}, {"share": float("nan")}]
)
def test_bad_options_are_refused(options):
    """The error says what is allowed."""
    with pytest.raises(UsageError, match="blocks must be at least 1, share between 0 and 1 and overlap"):
        InpaintingConfig(**options)


def test_blocks_of_volumes_are_the_loop_over_boxes():
    """The same corners, filled one box after another, hide the same voxels, at most the share of them."""
    sides, blocks, share = (10, 16, 20), 3, 0.3
    hidden = random_blocks(4, sides, blocks, share, fixed())
    lengths, again = [int(side * (share / blocks) ** (1 / 3)) for side in sides], fixed()
    corners = [random_integers(0, s - n, (4, blocks), again) for s, n in zip(sides, lengths, strict=True)]
    for volume in range(4):
        expected = torch.zeros(sides, dtype=torch.bool)
        for block in range(blocks):
            starts = [corner[volume, block].item() for corner in corners]
            expected[*(slice(start, start + n) for start, n in zip(starts, lengths, strict=True))] = True
        assert torch.equal(hidden[volume, 0], expected)
    assert hidden.float().mean((1, 2, 3, 4)).max() <= share


def test_the_margin_of_volumes_reaches_across_slices():
    """A single hidden voxel has a margin of weight 10 around it in all three directions."""
    hidden = torch.zeros(1, 1, 7, 7, 7, dtype=torch.bool)
    hidden[..., 3, 2, 4] = True
    expected = torch.zeros(7, 7, 7)
    expected[1:6, 0:5, 2:7] = 10
    expected[3, 2, 4] = 1
    assert torch.equal(pixel_weights(hidden, 2)[0, 0], expected)
