"""Pairs of neighbouring patches: geometry, labels and the loss."""

import math

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._windows import crop, standardise_tiles
from medssl.ssl.relative_position import (
    Layout,
    RelativePosition,
    RelativePositionConfig,
    layout_of,
    neighbours_of,
    random_neighbours,
)


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (64, 64), (16, 16), (28, 40)])
def test_label_is_the_direction_in_which_the_second_patch_lies(height, width):
    """On images whose pixels are their coordinates, the patches' pixels tell the direction."""
    layout = layout_of((height, width), 0.33)
    (top, left), labels = random_neighbours(200, (height, width), layout, fixed())
    index = torch.arange(height * width).reshape(1, 1, height, width).expand(200, -1, -1, -1)
    patches = crop(index, (top, left), layout.patch)  # [batch, 2, patch, patch], values row * width + column
    for (centre, neighbour), label in zip(patches, labels.tolist(), strict=True):
        rows, columns = (neighbour // width - centre // width), (neighbour % width - centre % width)
        near = 2 * layout.jitter  # both patches are shifted
        direction = []
        for distance in (rows, columns):
            assert (distance == distance[0, 0]).all()
            moved = distance[0, 0].item()
            away = layout.patch + layout.gap - near
            direction.append(0 if abs(moved) <= near else int(math.copysign(abs(moved) >= away, moved)))
        assert tuple(direction) == neighbours_of(2)[label]


def test_the_eight_neighbours_are_those_of_a_grid():
    """Every direction but the centre is there once, in reading order."""
    grid = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    assert list(neighbours_of(2)) == [place for place in grid if place != (0, 0)]


@pytest.mark.parametrize("side", [16, 28, 64])
def test_patches_lie_inside_and_do_not_touch(side):
    """No patch leaves the image, and the two have at least gap - 2 x jitter pixels between them."""
    layout = layout_of((side, side), 0.33)
    (top, left), _ = random_neighbours(3000, (side, side), layout, fixed())
    for corner in (top, left):
        assert corner.min() >= 0
        assert corner.max() <= side - layout.patch
    distance = torch.maximum((top[:, 0] - top[:, 1]).abs(), (left[:, 0] - left[:, 1]).abs())
    assert distance.min() == layout.patch + layout.gap - 2 * layout.jitter
    assert distance.max() == layout.patch + layout.gap + 2 * layout.jitter


def test_labels_are_uniform():
    """Each label comes up in an eighth of the images."""
    labels = random_neighbours(40000, (28, 28), layout_of((28, 28), 0.33), fixed())[1]
    assert torch.allclose(labels.bincount() / 40000, torch.full((8,), 1 / 8), atol=0.006)


def test_centres_are_uniform_over_the_places_with_room():
    """Before the shift, rows of the centre are equally frequent where the neighbour fits, and only there."""
    layout = Layout(patch=6, gap=3, jitter=1)
    (top, _), labels = random_neighbours(60000, (28, 28), layout, fixed())
    for direction, first, last in ((-1, 10, 21), (0, 1, 21), (1, 1, 12)):
        rows = top[torch.tensor(neighbours_of(2))[labels, 0] == direction, 0]
        assert (rows.min(), rows.max()) == (first - 1, last + 1)
        share = rows.bincount(minlength=24)[first - 1 : last + 2] / len(rows)
        places = last - first + 1
        expected = torch.full((places + 2,), 1.0)  # a shift of one pixel spreads each place over three
        expected[[0, -1]], expected[[1, -2]] = 1 / 3, 2 / 3
        assert torch.allclose(share, expected / places, atol=0.006)


def test_shifts_of_the_two_patches_are_independent_and_uniform():
    """With a pixel of shift for each, the distance between them varies with a triangular law."""
    layout = layout_of((28, 28), 0.33)
    (top, _), labels = random_neighbours(40000, (28, 28), layout, fixed())
    offset = top[:, 1] - top[:, 0] - torch.tensor(neighbours_of(2))[labels, 0] * (layout.patch + layout.gap)
    share = (offset + 2).bincount(minlength=5) / 40000
    assert torch.allclose(share, torch.tensor([1, 2, 3, 2, 1]) / 9, atol=0.01)


def test_images_have_their_own_pairs_and_the_generator_decides():
    """Each image has its own places and label; the same state of the generator gives the same."""
    drawn, again = (random_neighbours(64, (64, 64), layout_of((64, 64), 0.33), fixed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], again[0], strict=True))
    assert torch.equal(drawn[1], again[1])
    assert len(set(drawn[1].tolist())) == 8
    assert len({tuple(row) for row in torch.cat(drawn[0], 1).tolist()}) > 50


@pytest.mark.parametrize(
    ("side", "share", "layout"),
    [(28, 0.33, Layout(9, 5, 1)), (64, 0.33, Layout(21, 11, 2)), (16, 0.33, Layout(5, 3, 1)),
     (224, 0.2, Layout(44, 22, 3))],
)  # fmt: skip
def test_layout_follows_the_proportions(side, share, layout):
    """The gap is half a patch, the shift 7 / 96 of one and at least a pixel."""
    assert layout_of((side, side + 5), share) == layout


def test_the_head_sees_the_centre_first(generator):
    """Patches enter standardised, in one batch, as pairs of centre and neighbour."""
    method, seen = RelativePosition(SmallCNN()), []
    method.encoder.forward = lambda x: seen.append(x) or torch.zeros(len(x), 128)
    images = torch.rand(4, 1, 28, 28)
    method.loss(images, lambda x: x, fixed(7))
    layout = layout_of((28, 28), 0.33)
    (top, left), _ = random_neighbours(4, (28, 28), layout, fixed(7))
    for image in range(4):
        for patch in range(2):
            row, column = top[image, patch], left[image, patch]
            expected = images[image, 0, row : row + 9, column : column + 9]
            given = seen[0][2 * image + patch, 0]
            assert torch.allclose(given, standardise_tiles(expected), atol=1e-5)


def test_loss_is_the_loop_over_pairs():
    """Batch normalisation aside, the loss is the mean of -log p(label) over the images."""
    method, images = RelativePosition(SmallCNN()).eval(), torch.rand(3, 1, 28, 28)
    (top, left), labels = random_neighbours(3, (28, 28), layout_of((28, 28), 0.33), fixed(2))
    total = 0.0
    for image, label in enumerate(labels.tolist()):
        patches = standardise_tiles(
            crop(images[image : image + 1], (top[image : image + 1], left[image : image + 1]), 9)
        )
        vectors = [method.encoder(patches[:, place, None])[0] for place in range(2)]
        scores = method.head(torch.cat(vectors)[None])[0]
        total -= (scores[label] - scores.exp().sum().log()).item()
    assert method.loss(images, lambda x: x, fixed(2)).item() == pytest.approx(total / 3, rel=1e-4)


def test_a_head_of_zeros_pays_the_logarithm_of_eight(generator):
    """Guessing costs log 8."""
    method = RelativePosition(SmallCNN())
    torch.nn.init.zeros_(method.head[-1].weight)
    torch.nn.init.zeros_(method.head[-1].bias)
    loss = method.loss(torch.rand(4, 1, 28, 28), lambda x: x, generator).item()
    assert loss == pytest.approx(math.log(8), rel=1e-5)


@pytest.mark.parametrize(("height", "width"), [(9, 28), (28, 7)])
def test_images_too_small_for_two_patches_are_refused(height, width, generator):
    """The error names the size of the image."""
    with pytest.raises(UsageError, match=f"images of {height} x {width} pixels do not hold two patches"):
        RelativePosition(SmallCNN()).loss(torch.rand(2, 1, height, width), lambda x: x, generator)


def test_patches_that_leave_no_room_are_refused():
    """Two patches of 11 pixels fit into 28, but not with a gap of 6 and shifts."""
    with pytest.raises(UsageError, match="images of 28 x 28 pixels do not hold two patches of 11 a side, 6"):
        layout_of((28, 28), 0.395)


@pytest.mark.parametrize("options", [{"patch": 0.0}, {"patch": 0.4}, {"hidden": 0}, {"patch": float("nan")}])
def test_bad_options_are_refused(options):
    """The error says what is allowed."""
    with pytest.raises(UsageError, match=r"patch must be between 0 and 0.4 and hidden at least 1"):
        RelativePositionConfig(**options)


def test_the_label_of_volumes_is_the_direction_among_26():
    """On volumes whose voxels are their coordinates, the cubes' voxels tell the direction."""
    sides = (14, 16, 28)
    layout = layout_of(sides, 0.33)
    assert layout == Layout(4, 2, 1)
    corners, labels = random_neighbours(600, sides, layout, fixed())
    index = torch.arange(math.prod(sides)).reshape(1, 1, *sides).expand(600, -1, -1, -1, -1)
    cubes = crop(index, corners, layout.patch)  # [batch, 2, patch, patch, patch]
    places = torch.stack(torch.unravel_index(cubes[:, :, 0, 0, 0], sides), 2)  # [batch, 2, axes]
    moved = places[:, 1] - places[:, 0]
    reach, near = layout.patch + layout.gap, 2 * layout.jitter
    expected = torch.tensor(neighbours_of(3))[labels]
    assert ((moved - reach * expected).abs() <= near).all()
    assert labels.bincount(minlength=26).min() > 0
    assert (places >= 0).all()
    assert (places <= torch.tensor(sides) - layout.patch).all()
    for pair in cubes[:20].flatten(0, 1):
        block = [torch.arange(4) + start for start in torch.unravel_index(pair[0, 0, 0], sides)]
        grid = torch.meshgrid(*block, indexing="ij")
        assert torch.equal(pair, (grid[0] * sides[1] + grid[1]) * sides[2] + grid[2])


def test_cubes_enter_the_encoder_standardised_and_in_pairs():
    """Each cube has mean 0 and deviation 1 over its three axes, and guessing costs log 26."""
    encoder, seen = torch.nn.Module(), []
    encoder.dimensions, encoder.width = 3, 8
    encoder.forward = lambda x: seen.append(x) or torch.zeros(len(x), 8)
    method = RelativePosition(encoder)
    torch.nn.init.zeros_(method.head[-1].weight)
    torch.nn.init.zeros_(method.head[-1].bias)
    volumes = torch.rand(4, 1, 16, 16, 16)
    loss = method.loss(volumes, lambda x: x, fixed(7)).item()
    assert loss == pytest.approx(math.log(26), rel=1e-5)
    corners, _ = random_neighbours(4, (16, 16, 16), layout_of((16, 16, 16), 0.33), fixed(7))
    for place, cube in enumerate(seen[0][:, 0]):
        box = (slice(*(start := corner.flatten()[place].item(), start + 5)) for corner in corners)
        expected = volumes[place // 2, 0][tuple(box)]
        expected = (expected - expected.mean()) / expected.std(correction=0)
        assert torch.allclose(cube, expected, atol=1e-3)
