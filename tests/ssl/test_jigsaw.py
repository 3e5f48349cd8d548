"""Permutations, tiles and labels of the jigsaw against loops."""

import itertools
import math

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._windows import random_integers, standardise_tiles
from medssl.ssl.jigsaw import Jigsaw, JigsawConfig, permutation_set, random_tiles, shuffle_tiles


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def hamming(first, second):
    """Number of places in which two permutations differ."""
    return sum(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("tiles", "count"), [(3, 6), (4, 24), (5, 20)])
def test_permutations_are_the_greedy_loop(tiles, count):
    """Algorithm 1, one candidate at a time: largest sum of distances, then furthest from its nearest."""
    rest, chosen = list(itertools.permutations(range(tiles))), [tuple(range(tiles))]

    def merit(candidate):
        distances = [hamming(candidate, other) for other in chosen]
        return sum(distances), min(distances)

    while len(chosen) < count:
        rest.remove(chosen[-1])
        chosen.append(max(rest, key=merit))
    assert permutation_set(tiles, count) == tuple(chosen)


@pytest.mark.parametrize(("tiles", "count"), [(4, 24), (9, 24), (9, 100)])
def test_permutations_are_different_permutations(tiles, count):
    """The set has no duplicates, and every member names each tile once."""
    chosen = permutation_set(tiles, count)
    assert len(set(chosen)) == count
    assert all(sorted(one) == list(range(tiles)) for one in chosen)


def test_the_first_nine_differ_in_every_place():
    """Nine orders of nine tiles can differ everywhere, and the greedy choice finds such a set."""
    for first, second in itertools.combinations(permutation_set(9, 9), 2):
        assert hamming(first, second) == 9


def test_chosen_permutations_are_further_apart_than_random_ones():
    """24 random orders of nine have a mean distance of 8; the chosen ones have 8.3 and never less than 6."""

    def distances(orders):
        return [hamming(*pair) for pair in itertools.combinations(orders, 2)]

    chosen = distances(permutation_set(9, 24))
    random = distances([torch.randperm(9, generator=fixed(seed)).tolist() for seed in range(24)])
    assert sum(chosen) / len(chosen) > 8.3 > sum(random) / len(random)
    assert min(chosen) == 6 > min(random)


@pytest.mark.parametrize(
    ("height", "width", "grid", "side"),
    [(28, 28, 3, 8), (64, 64, 3, 18), (28, 28, 2, 12), (16, 16, 3, 4), (30, 47, 3, 9)],
)
def test_tiles_come_from_their_own_cells(height, width, grid, side):
    """On images whose pixels are their coordinates, each tile is a square inside its cell."""
    index = torch.arange(height * width).reshape(1, 1, height, width).expand(100, -1, -1, -1)
    tiles = random_tiles(index, grid, fixed())
    assert tiles.shape == (100, grid**2, side, side)
    square = torch.arange(side)[:, None] * width + torch.arange(side)
    assert torch.equal(tiles, tiles[..., :1, :1] + square)
    for place in range(grid**2):
        rows, columns = tiles[:, place] // width, tiles[:, place] % width
        for values, cell, number in (
            (rows, height // grid, place // grid),
            (columns, width // grid, place % grid),
        ):
            assert values.min() == number * cell
            assert values.max() == (number + 1) * cell - 1


def test_tiles_of_an_image_are_shifted_independently():
    """Places inside the cells are uniform and differ between tiles and images."""
    index = torch.arange(28 * 28).reshape(1, 1, 28, 28).expand(4000, -1, -1, -1)
    row = random_tiles(index, 2, fixed())[:, :, 0, 0] // 28 % 14  # [batch, tiles], in 0..2
    for tile in range(4):
        share = row[:, tile].bincount(minlength=3) / 4000
        assert torch.allclose(share, torch.full((3,), 1 / 3), atol=0.03)
    assert abs(torch.corrcoef(row.T.double()).triu(1)).max() < 0.06


def test_shuffling_is_the_loop_and_its_inverse_restores_the_order():
    """Place j shows tile p[j]; the tiles at argsort(p) are those of the image in order."""
    tiles = torch.rand(5, 9, 4, 4)
    orders = torch.stack([torch.randperm(9, generator=fixed(seed)) for seed in range(5)])
    shuffled = shuffle_tiles(tiles, orders)
    for image in range(5):
        for place in range(9):
            assert torch.equal(shuffled[image, place], tiles[image, orders[image, place]])
    assert torch.equal(shuffle_tiles(shuffled, orders.argsort(1)), tiles)


@pytest.mark.parametrize("grid", [2, 3])
def test_the_label_restores_the_order(grid, monkeypatch):
    """What the encoder sees, put in the order of the label's permutation, is the image's row of tiles."""
    method, seen, labels = Jigsaw(SmallCNN(), JigsawConfig(grid)), [], []
    method.encoder.forward = lambda x: seen.append(x) or torch.zeros(len(x), 128)
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        "medssl.ssl.jigsaw.functional.cross_entropy", lambda scores, y: labels.append(y) or loss(scores, y)
    )
    images = torch.rand(6, 1, 28, 28)
    method.loss(images, lambda x: x, fixed(3))
    tiles = standardise_tiles(random_tiles(images, grid, fixed(3)))
    shuffled = seen[0].reshape(tiles.shape)
    for image, label in enumerate(labels[0].tolist()):
        order = method.permutations[label].argsort()
        assert torch.equal(shuffled[image, order], tiles[image])


def test_labels_are_uniform_and_each_image_has_its_own():
    """Among many images every permutation comes up equally often."""
    method, labels = Jigsaw(SmallCNN(), JigsawConfig(2, 24)), []
    method.encoder.forward = lambda x: torch.zeros(len(x), 128)
    method.head.forward = lambda x: labels.append(x) or torch.zeros(len(x), 24)
    generator = fixed(4)
    random_tiles(torch.zeros(24000, 1, 8, 8), 2, generator)
    drawn = random_integers(0, 23, (24000,), generator)
    assert torch.allclose(drawn.bincount() / 24000, torch.full((24,), 1 / 24), atol=0.006)
    loss = method.loss(torch.zeros(24000, 1, 8, 8), lambda x: x, fixed(4))
    assert loss.item() == pytest.approx(math.log(24), rel=1e-5)


@pytest.mark.parametrize("grid", [2, 3])
def test_loss_is_the_loop_over_images(grid):
    """Batch normalisation aside, the loss is the mean of -log p(label) over the images."""
    method, images, generator = (
        Jigsaw(SmallCNN(), JigsawConfig(grid)).eval(),
        torch.rand(3, 1, 28, 28),
        fixed(9),
    )
    tiles = random_tiles(images, grid, generator)
    labels = random_integers(0, 23, (3,), generator)
    total = 0.0
    for image, label in enumerate(labels.tolist()):
        order = permutation_set(grid**2, 24)[label]
        vectors = [method.encoder(standardise_tiles(tiles[image, tile])[None, None])[0] for tile in order]
        scores = method.head(torch.cat(vectors)[None])[0]
        total -= (scores[label] - scores.exp().sum().log()).item()
    assert method.loss(images, lambda x: x, fixed(9)).item() == pytest.approx(total / 3, rel=1e-4)


def test_the_permutations_travel_with_the_weights():
    """They are part of the state, and the same in every run."""
    state = Jigsaw(SmallCNN(), JigsawConfig(3, 10)).state_dict()
    assert state["permutations"].tolist() == [list(one) for one in permutation_set(9, 10)]


@pytest.mark.parametrize(("height", "width", "grid"), [(11, 28, 3), (28, 6, 2)])
def test_images_too_small_for_tiles_are_refused(height, width, grid, generator):
    """The error names the size of the image and of the grid."""
    words = f"images of {height} x {width} pixels are too small for {grid} x {grid} tiles"
    with pytest.raises(UsageError, match=words):
        Jigsaw(SmallCNN(), JigsawConfig(grid)).loss(torch.rand(2, 1, height, width), lambda x: x, generator)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": 1}, "grid must be 2 or 3"), ({"grid": 4}, "grid must be 2 or 3"),
        ({"hidden": 0}, "hidden at least 1"), ({"permutations": 1}, "permutations must be between 2 and"),
        ({"grid": 2, "permutations": 25}, "permutations must be between 2 and 24 for 4 tiles"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed."""
    with pytest.raises(UsageError, match=words):
        JigsawConfig(**options)


def test_tiles_of_volumes_come_from_their_own_cells():
    """On volumes whose voxels are their coordinates, each of eight tiles is a cube inside its cell."""
    sides = (12, 16, 21)
    index = torch.arange(math.prod(sides)).reshape(1, 1, *sides).expand(100, -1, -1, -1, -1)
    tiles = random_tiles(index, 2, fixed())
    assert tiles.shape == (100, 8, 5, 5, 5)
    cube = torch.arange(5)
    cube = (cube[:, None, None] * sides[1] + cube[:, None]) * sides[2] + cube
    assert torch.equal(tiles, tiles[..., :1, :1, :1] + cube)
    coordinates = torch.unravel_index(tiles, sides)
    for place, numbers in enumerate(itertools.product(range(2), repeat=3)):
        for number, side, values in zip(numbers, sides, coordinates, strict=True):
            assert values[:, place].min() == number * (side // 2)
            assert values[:, place].max() == (number + 1) * (side // 2) - 1


def test_the_label_restores_the_order_of_the_tiles_of_a_volume():
    """What the encoder sees is the volume's tiles in the order of one of the set's permutations of eight."""
    encoder, seen = torch.nn.Module(), []
    encoder.dimensions, encoder.width = 3, 4
    encoder.forward = lambda x: seen.append(x) or torch.zeros(len(x), 4)
    method, volumes = Jigsaw(encoder), torch.rand(5, 1, 12, 12, 12)
    method.loss(volumes, lambda x: x, fixed(3))
    again = fixed(3)
    tiles = standardise_tiles(random_tiles(volumes, 2, again), 3)
    labels = random_integers(0, 23, (5,), again)
    shuffled = seen[0].reshape(tiles.shape)
    for volume, label in enumerate(labels.tolist()):
        for place, tile in enumerate(permutation_set(8, 24)[label]):
            assert torch.equal(shuffled[volume, place], tiles[volume, tile])


def test_more_tiles_of_volumes_are_refused():
    """27 tiles have too many orders to choose among."""
    encoder = torch.nn.Module()
    encoder.dimensions, encoder.width = 3, 4
    with pytest.raises(UsageError, match="grid must be 2 for volumes, got 3"):
        Jigsaw(encoder, JigsawConfig(3))
