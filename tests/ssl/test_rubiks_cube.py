"""Cubes, permutations and turns of the Rubik's cube against loops."""

import math

import pytest
import torch
from torch import nn

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl import RubiksCube
from medssl.ssl._windows import random_integers, standardise_tiles
from medssl.ssl.jigsaw import permutation_set
from medssl.ssl.rubiks_cube import RubiksCubeConfig, random_cubes, turn_cubes


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def volumes_of(batch=4, depth=10, height=12, width=14):
    """Random volumes with three different sides."""
    return torch.rand(batch, 1, depth, height, width, generator=fixed(7))


def numbered(batch, depth, height, width):
    """Volumes whose voxels are their own places."""
    return (
        torch.arange(depth * height * width).reshape(1, 1, depth, height, width).expand(batch, -1, -1, -1, -1)
    )


def made(**options):
    """A method around a tiny encoder of volumes."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(1, 4, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    encoder.width, encoder.dimensions = 4, 3
    return RubiksCube(encoder, RubiksCubeConfig(**options))


def unchanged(volumes):
    """The view that is the volume itself."""
    return volumes


@pytest.mark.parametrize(
    ("sizes", "sides"), [((16, 16, 16), (7, 7, 7)), ((8, 20, 30), (3, 9, 13)), ((17, 28, 9), (7, 12, 3))]
)
def test_cubes_come_from_their_own_cells(sizes, sides):
    """Each cube is a block inside its cell, and touches every wall of it now and then."""
    cubes = random_cubes(numbered(200, *sizes), fixed())
    assert cubes.shape == (200, 8, *sides)
    block = numbered(1, *sizes)[0, 0, : sides[0], : sides[1], : sides[2]]
    assert torch.equal(cubes, cubes[..., :1, :1, :1] + block)
    for cell in range(8):
        corner = (cell // 4, cell // 2 % 2, cell % 2)
        where = torch.stack(torch.unravel_index(cubes[:, cell], sizes))  # [3, batch, *sides]
        for axis, size in enumerate(sizes):
            assert where[axis].min() == corner[axis] * (size // 2)
            assert where[axis].max() == (corner[axis] + 1) * (size // 2) - 1


def test_cubes_are_cut_as_the_loop_cuts_them():
    """For the same draws, one volume and one cell at a time."""
    volumes, random = volumes_of(), fixed(3)
    cubes = random_cubes(volumes, fixed(3))
    shifts = [random_integers(0, cell - cell * 6 // 7, (4, 8), random) for cell in (5, 6, 7)]
    sides = cubes.shape[2:]
    assert sides == (4, 5, 6)
    for image in range(4):
        for cell in range(8):
            start = [
                number * size + shift[image, cell].item()
                for number, size, shift in zip(
                    (cell // 4, cell // 2 % 2, cell % 2), (5, 6, 7), shifts, strict=True
                )
            ]
            parts = tuple(slice(first, first + side) for first, side in zip(start, sides, strict=True))
            assert torch.equal(cubes[image, cell], volumes[image, 0][parts])


def test_cubes_of_a_volume_are_shifted_independently():
    """Places inside the cells are uniform and differ between cubes, volumes and axes."""
    corners = random_cubes(numbered(4000, 8, 8, 8), fixed())[..., 0, 0, 0]  # [batch, cubes]
    shift = torch.stack(torch.unravel_index(corners, (8, 8, 8)), 2).flatten(1) % 4  # [batch, cubes and axes]
    assert torch.allclose(shift.double().mean(0), torch.full((24,), 0.5).double(), atol=0.04)
    assert abs(torch.corrcoef(shift.T.double()).triu(1)).max() < 0.07


@pytest.mark.parametrize(
    ("turned", "axes"),
    [((False, False), None), ((True, False), (0, 2)), ((False, True), (0, 1)), ((True, True), (1, 2))],
)
def test_turns_are_rotations_by_half_a_circle(turned, axes):
    """Depth and width turn about the vertical axis, depth and height about the horizontal one."""
    cubes = torch.rand(2, 3, 4, 5, 6)
    result = turn_cubes(cubes, torch.tensor(turned).expand(2, 3, 2))
    for cube, other in zip(cubes.flatten(0, 1), result.flatten(0, 1), strict=True):
        assert torch.equal(other, cube if axes is None else torch.rot90(cube, 2, axes))


def test_each_cube_has_its_own_turn_and_a_second_turn_undoes_it():
    """A mixed batch is the loop over cubes."""
    cubes, turned = torch.rand(5, 8, 3, 4, 5), torch.rand(5, 8, 2, generator=fixed()) < 0.5
    result = turn_cubes(cubes, turned)
    for image in range(5):
        for place in range(8):
            alone = turn_cubes(cubes[image, place][None, None], turned[image, place][None, None])
            assert torch.equal(result[image, place], alone[0, 0])
    assert torch.equal(turn_cubes(result, turned), cubes)


def test_the_labels_undo_what_was_done():
    """Turned back and put in order, the scrambled cubes are the standardised cubes of the volume."""
    method, volumes = made(), volumes_of()
    scrambled, labels, turned = method.scramble(volumes, fixed(2))
    back = turn_cubes(scrambled, turned)
    cubes = random_cubes(volumes, fixed(2))
    assert not torch.equal(scrambled, back)
    for image, label in enumerate(labels.tolist()):
        for place, cell in enumerate(permutation_set(8, 24)[label]):
            expected = standardise_tiles(cubes[image, cell].flatten(1))
            assert torch.allclose(back[image, place].flatten(1), expected, atol=1e-6)


def test_every_cube_has_mean_0_and_deviation_1():
    """Over all its voxels, so that brightness does not tell where it was."""
    cubes = made().scramble(volumes_of() * 7 + 3, fixed())[0].flatten(2)
    assert torch.allclose(cubes.mean(2), torch.zeros(4, 8), atol=1e-5)
    assert torch.allclose(cubes.var(2, unbiased=False), torch.ones(4, 8), atol=1e-4)


def test_labels_are_uniform_and_independent():
    """Among many volumes each permutation and each of the four turns comes up equally often."""
    _, labels, turned = made().scramble(torch.zeros(6000, 1, 8, 8, 8), fixed())
    assert torch.allclose(labels.bincount(minlength=24) / 6000, torch.full((24,), 1 / 24), atol=0.01)
    kinds = (turned[..., 0] * 2 + turned[..., 1]).long()  # [batch, cubes]
    for place in range(8):
        assert torch.allclose(kinds[:, place].bincount() / 6000, torch.full((4,), 0.25), atol=0.03)
    drawn = torch.cat([labels[:, None], turned.flatten(1)], 1).T.double()
    assert abs(torch.corrcoef(drawn).triu(1)).max() < 0.06


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_heads_that_know_nothing_have_the_loss_of_guessing(share):
    """Equal scores cost log(permutations) for the order and log 2 for the turns, weighted by their share."""
    method = made(turns=share, permutations=10)
    for head in (method.order_head, method.turn_head):
        nn.init.zeros_(head[-1].weight)
        nn.init.zeros_(head[-1].bias)
    loss = method.loss(volumes_of(), unchanged, fixed()).item()
    assert loss == pytest.approx((1 - share) * math.log(10) + share * math.log(2), rel=1e-5)


def test_loss_is_the_loop_over_volumes_and_cubes():
    """Batch normalisation aside: -log p of the order, and -log p of sixteen turns one by one."""
    method = made(turns=0.3).eval()
    cubes, labels, turned = method.scramble(volumes_of(), fixed(5))
    total = 0.0
    for image in range(4):
        vector = torch.cat([method.encoder(cube[None, None])[0] for cube in cubes[image]])[None]
        order = method.order_head(vector)[0].softmax(0)[labels[image]].log().item()
        turns = 0.0
        for score, happened in zip(method.turn_head(vector)[0], turned[image].flatten(), strict=True):
            chance = 1 / (1 + math.exp(-score.item()))
            turns += math.log(chance if happened else 1 - chance) / 16
        total -= 0.7 * order + 0.3 * turns
    loss = method.loss(volumes_of(), unchanged, fixed(5)).item()
    assert loss == pytest.approx(total / 4, rel=1e-4)


@pytest.mark.parametrize(("share", "idle"), [(0.0, "turn_head"), (1.0, "order_head")])
def test_each_task_trains_its_own_head(share, idle):
    """Without its share in the loss a head gets no pull."""
    method = made(turns=share)
    method.loss(volumes_of(), unchanged, fixed()).backward()
    for name in ("order_head", "turn_head"):
        assert (getattr(method, name)[-1].bias.grad.abs().max() == 0) == (name == idle)


def test_the_permutations_travel_with_the_weights():
    """They are part of the state, and the set of the jigsaw for eight tiles."""
    state = made(permutations=10).state_dict()
    assert state["permutations"].tolist() == [list(one) for one in permutation_set(8, 10)]


def test_the_cut_volume_is_a_view():
    """The loss is that of the view and not of the volume."""
    method = made()
    losses = [
        method.loss(given, view, fixed()).item()
        for given, view in ((volumes_of(), lambda x: x.flip(2)), (volumes_of().flip(2), unchanged))
    ]
    assert losses[0] == losses[1]


def test_an_encoder_of_images_is_refused():
    """The error says what is needed, before any volume is seen."""
    with pytest.raises(
        UsageError, match="rubiks_cube needs an encoder of volumes, and SmallCNN has 2 dimensions"
    ):
        RubiksCube(SmallCNN())


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            (2, 1, 16, 16),
            r"rubiks_cube needs volumes \[batch, 1, depth, height, width\], got \[2, 1, 16, 16\]",
        ),
        (
            (2, 1, 16, 7, 16),
            "volumes of 16 x 7 x 16 voxels are too small for rubiks_cube: a cube would have 2",
        ),
    ],
)
def test_images_that_cannot_be_cut_are_refused(shape, words):
    """The error names the shape."""
    with pytest.raises(UsageError, match=words):
        made().loss(torch.rand(shape), unchanged, fixed())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"permutations": 1}, "permutations must be between 2 and 40320 for 8 cubes"),
        ({"permutations": 40321}, "permutations must be between 2 and 40320 for 8 cubes"),
        ({"turns": 1.1}, "turns must be between 0 and 1 and hidden at least 1"),
        ({"hidden": 0}, "turns must be between 0 and 1 and hidden at least 1"),
    ],
)
def test_impossible_options_are_refused(options, words):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=words):
        RubiksCubeConfig(**options)
