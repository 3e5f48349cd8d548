"""The four distortions of Models Genesis against loops over images, and their statistics."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._bezier import map_intensity
from medssl.ssl._windows import random_integers
from medssl.ssl.models_genesis import (
    ModelsGenesis,
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


def windows_of(batch, count, height, width, longest, seed=0):
    """Random windows: corners, sides and keys."""
    generator, shape = fixed(seed), (batch, count)
    tall, wide = (random_integers(1, longest, shape, generator) for _ in range(2))
    top = random_integers(0, height - tall, shape, generator)
    left = random_integers(0, width - wide, shape, generator)
    return (top, left), (tall, wide), torch.rand(batch, count, longest**2, generator=generator)


def slow_shuffle(images, corners, lengths, keys):
    """One window after another: its pixels, in the order of their keys, go to its places in reading order."""
    (top, left), (tall, wide) = corners, lengths
    result = images.clone()
    for image in range(len(images)):
        for window in range(top.shape[1]):
            row, column = top[image, window].item(), left[image, window].item()
            rows, columns = tall[image, window].item(), wide[image, window].item()
            original = images[image, 0, row : row + rows, column : column + columns].flatten()
            order = sorted(range(rows * columns), key=lambda place: keys[image, window, place].item())
            result[image, 0, row : row + rows, column : column + columns] = original[order].reshape(
                rows, columns
            )
    return result


def slow_boxes(batch, height, width, ranges, least, generator):
    """One box after another, until the first draw that does not go on; `least` boxes are always there."""
    drawn = []
    for side, (shortest, longest) in zip((height, width), ranges, strict=True):
        margin = max(1, round(side * 3 / 64))
        lengths = random_integers(shortest, longest, (batch, 5), generator)
        drawn += [random_integers(margin, side - lengths - margin, (batch, 5), generator), lengths]
    goes_on = torch.rand(batch, 5, generator=generator) < 0.95
    masks = torch.zeros(batch, 1, height, width, dtype=torch.bool)
    for image in range(batch):
        for box in range(5):
            if box >= least and not goes_on[image, box]:
                break
            row, tall, column, wide = (value[image, box].item() for value in drawn)
            masks[image, 0, row : row + tall, column : column + wide] = True
    return masks


@pytest.mark.parametrize(
    ("height", "width", "longest", "count"), [(12, 12, 3, 40), (8, 14, 5, 10), (16, 16, 1, 9)]
)
def test_shuffling_is_the_loop_over_images_and_windows(height, width, longest, count):
    """Every window shuffles original pixels, and where windows overlap the later one shows."""
    images, windows = torch.rand(4, 1, height, width), windows_of(4, count, height, width, longest)
    assert torch.equal(shuffle_windows(images, *windows), slow_shuffle(images, *windows))


def test_a_single_window_keeps_its_pixels_and_leaves_the_rest():
    """Inside the window the same intensities stand in another order; outside nothing changes."""
    images, windows = torch.rand(20, 1, 12, 12), windows_of(20, 1, 12, 12, 5)
    shuffled = shuffle_windows(images, *windows)
    assert torch.equal(shuffled.flatten(1).sort(1).values, images.flatten(1).sort(1).values)
    for image in range(20):
        row, column, rows, columns = (value[image, 0].item() for value in (*windows[0], *windows[1]))
        outside = torch.ones(12, 12, dtype=torch.bool)
        outside[row : row + rows, column : column + columns] = False
        assert torch.equal(shuffled[image, 0][outside], images[image, 0][outside])


def test_orders_inside_a_window_are_uniform():
    """Each of the six orders of three pixels comes up in a sixth of the images."""
    images = torch.arange(3.0).expand(12000, 1, 1, 3)
    one, keys = torch.ones(12000, 1, dtype=torch.long), torch.rand(12000, 1, 3, generator=fixed())
    shuffled = shuffle_windows(images, (0 * one, 0 * one), (one, 3 * one), keys)
    counts = shuffled.flatten(1).unique(dim=0, return_counts=True)[1]
    assert torch.allclose(counts / 12000, torch.full((6,), 1 / 6), atol=0.015)


@pytest.mark.parametrize(("side", "longest"), [(28, 3), (64, 6), (16, 3)])
def test_pixels_move_no_further_than_a_tenth_of_the_image(side, longest):
    """On images whose pixels are their coordinates, no pixel comes from beyond a window's side."""
    index = torch.arange(side * side).reshape(1, 1, side, side).expand(4, -1, -1, -1).contiguous()
    shuffled = local_pixel_shuffling(index, fixed())
    moved = torch.maximum((shuffled // side - index // side).abs(), (shuffled % side - index % side).abs())
    assert moved.max() == longest - 1
    assert 0.4 < (moved > 0).float().mean() < 0.8


def test_images_are_shuffled_differently():
    """Equal images come out different."""
    images = torch.rand(1, 1, 28, 28).expand(5, -1, -1, -1)
    assert len(local_pixel_shuffling(images, fixed()).flatten(1).unique(dim=0)) == 5


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 40), (12, 15)])
def test_boxes_are_the_loop_over_images(height, width):
    """Sides lie in a sixth to a third of the image for in-painting, in 3/7 to 4/7 for out-painting."""
    sixths = [(side // 6, side // 3) for side in (height, width)]
    expected = slow_boxes(200, height, width, sixths, 0, fixed())
    assert torch.equal(in_painting_boxes(200, (height, width), fixed()), expected)
    sevenths = [(side - 4 * side // 7, side - 3 * side // 7) for side in (height, width)]
    expected = ~slow_boxes(200, height, width, sevenths, 1, fixed())
    assert torch.equal(out_painting_boxes(200, (height, width), fixed()), expected)


def test_a_twentieth_of_in_painted_images_has_no_box():
    """The first box is drawn with probability 0.95."""
    painted = in_painting_boxes(4000, (28, 28), fixed()).flatten(1).any(1)
    assert painted.float().mean().item() == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("side", [28, 64])
def test_out_painting_keeps_at_least_one_box_and_paints_the_border(side):
    """The least that is kept is a box of 3/7 of the side, and nothing in the margin is."""
    painted = out_painting_boxes(1000, (side, side), fixed())
    assert (~painted).sum((1, 2, 3)).min() >= (side - 4 * side // 7) ** 2
    margin = max(1, round(side * 3 / 64))
    inner = painted[..., margin:-margin, margin:-margin]
    assert (painted.sum((1, 2, 3)) - inner.sum((1, 2, 3))).unique().item() == side**2 - (
        side - 2 * margin
    ) ** 2


@pytest.mark.parametrize("boxes", [in_painting_boxes, out_painting_boxes])
def test_images_are_painted_differently_and_the_generator_decides(boxes):
    """Each image has its own boxes; the same state of the generator gives the same ones."""
    painted = boxes(30, (64, 64), fixed(2))
    assert torch.equal(painted, boxes(30, (64, 64), fixed(2)))
    assert len(painted.flatten(1).unique(dim=0)) >= 25


def test_painting_is_the_loop_over_pixels():
    """A painted pixel is minimum + unit x range of its image, another one stays."""
    images, unit = torch.randn(2, 3, 1, 5, 5, generator=fixed()).unbind(0)
    unit, painted = unit.sigmoid(), torch.rand(3, 1, 5, 5, generator=fixed(1)) < 0.5
    done = paint(images, painted, unit)
    for image in range(3):
        low, high = images[image].min(), images[image].max()
        for row in range(5):
            for column in range(5):
                expected = images[image, 0, row, column]
                if painted[image, 0, row, column]:
                    expected = low + (high - low) * unit[image, 0, row, column]
                assert done[image, 0, row, column] == expected


def test_each_distortion_has_its_probability():
    """Alone, each of the four changes the stated share of images and leaves the others bit for bit."""
    images = torch.rand(2000, 1, 16, 16, generator=fixed())
    for field in ("non_linear", "shuffling", "painting"):
        config = ModelsGenesisConfig(
            **{"non_linear": 0, "shuffling": 0, "painting": 0, field: 0.3}, in_painting=0
        )
        changed = (distort(images, config, fixed(1)) != images).flatten(1).any(1)
        assert changed.float().mean().item() == pytest.approx(0.3, abs=0.03)


def test_the_share_of_in_painted_images_is_that_of_the_option():
    """In-painted images keep their border, out-painted ones lose it."""
    images = torch.rand(2000, 1, 16, 16, generator=fixed())
    done = distort(images, ModelsGenesisConfig(0, 0, 1, in_painting=0.2), fixed(1))
    border = (done == images)[:, 0, 0].all(1)
    assert border.float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_distortion_is_the_composition_of_its_parts():
    """With every probability 1 the parts follow one another, with the draws of the same generator."""
    images, generator = torch.rand(6, 1, 28, 28), fixed(3)
    done = distort(images, ModelsGenesisConfig(1, 1, 1, in_painting=1), fixed(3))
    torch.rand(6, 1, 1, 1, generator=generator)
    expected = local_pixel_shuffling(images, generator)
    control, falling = torch.rand(6, 2, 2, generator=generator), torch.rand(6, generator=generator) < 0.5
    expected = map_intensity(expected, control, falling)
    torch.rand(6, 1, 1, 1, generator=generator)
    torch.rand(6, 1, 1, 1, generator=generator)
    boxes = in_painting_boxes(6, (28, 28), generator)
    out_painting_boxes(6, (28, 28), generator)
    torch.rand(6, 1, 1, 1, generator=generator)
    assert torch.equal(done, paint(expected, boxes, torch.rand(6, 1, 28, 28, generator=generator)))


def test_intensities_stay_between_those_of_the_image():
    """No distortion leaves the range from the image's minimum to its maximum."""
    images = torch.randn(50, 1, 28, 28, generator=fixed())
    done = distort(images, ModelsGenesisConfig(1, 1, 1, in_painting=0.5), fixed(1)).flatten(1)
    assert (done.amin(1) >= images.flatten(1).amin(1) - 1e-5).all()
    assert (done.amax(1) <= images.flatten(1).amax(1) + 1e-5).all()


def test_equal_images_are_distorted_differently():
    """Every image has its own parameters, and the same state of the generator gives the same ones."""
    images = torch.rand(1, 1, 28, 28).expand(20, -1, -1, -1)
    done = distort(images, ModelsGenesisConfig(), fixed(4))
    assert torch.equal(done, distort(images, ModelsGenesisConfig(), fixed(4)))
    assert len(done.flatten(1).unique(dim=0)) >= 18  # one in a hundred stays as it is


def test_autocast_does_not_change_the_distortion():
    """Under half precision, as on a GPU, the same pixels come out."""
    images = torch.rand(8, 1, 28, 28)
    expected = distort(images, ModelsGenesisConfig(), fixed(5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distort(images, ModelsGenesisConfig(), fixed(5)), expected)


def test_loss_is_the_squared_error_over_all_pixels_of_the_view():
    """A decoder that returns the distorted image pays for the distortion, one that restores nothing."""
    method = ModelsGenesis(SmallCNN())
    method.encoder.features = lambda x: x
    images = torch.rand(4, 1, 28, 28)
    distorted = distort(images, ModelsGenesisConfig(), fixed(6)).flatten().tolist()
    errors = [(a - b) ** 2 for a, b in zip(distorted, images.flatten().tolist(), strict=True)]
    method.decoder.forward = lambda features, height, width: features
    loss = method.loss(images, lambda x: x, fixed(6)).item()
    assert loss == pytest.approx(sum(errors) / len(errors), rel=1e-4)
    method.decoder.forward = lambda features, height, width: images
    assert method.loss(images, lambda x: x, fixed(6)).item() == 0


@pytest.mark.parametrize(("height", "width"), [(11, 28), (28, 8)])
def test_images_too_small_for_boxes_are_refused(height, width, generator):
    """The error names the size of the image."""
    with pytest.raises(UsageError, match=f"images of {height} x {width} pixels are too small: 12 x 12"):
        ModelsGenesis(SmallCNN()).loss(torch.rand(2, 1, height, width), lambda x: x, generator)


@pytest.mark.parametrize("side", range(12, 40))
def test_boxes_fit_into_images_of_every_size(side):
    """From the least size on, both kinds of boxes stay inside the margin."""
    for boxes in (in_painting_boxes, lambda *a: ~out_painting_boxes(*a)):
        mask = boxes(60, (side, side + 3), fixed())[:, 0]
        assert mask.any()
        assert not mask[:, 0].any()
        assert not mask[:, -1].any()
        assert not mask[:, :, 0].any()
        assert not mask[:, :, -1].any()


@pytest.mark.parametrize("options", [{"non_linear": -0.1}, {"shuffling": 1.1}, {"in_painting": float("nan")}])
def test_probabilities_outside_the_unit_interval_are_refused(options):
    """The error says what is allowed."""
    with pytest.raises(UsageError, match="must be between 0 and 1"):
        ModelsGenesisConfig(**options)
