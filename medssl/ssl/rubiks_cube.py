"""Rubik's cube: cut a volume into eight cubes, move and turn them, and tell what was done.

Zhuang, Li, Hu, Ma, Yang and Zheng (2019), "Self-supervised feature learning for 3D medical images by playing
a Rubik's cube": the cubes of a 2 x 2 x 2 grid, with gaps between them, pass the same encoder one by one, and
two heads on all their vectors say which of a fixed set of permutations was applied and, for each place,
whether its cube was turned.
Turns are by 180 degrees, about the vertical axis and about the horizontal axis; each is drawn for itself, so
that a cube can have neither or both, which is a turn by 180 degrees about the third axis.

The set of permutations is that of `medssl.ssl.jigsaw`, chosen for its Hamming distances.
As there, a cube has 64 / 75 of its cell's side and a random place in it; cells need not be cubes.
Each cube is standardised by itself, so that brightness does not tell its place.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._windows import random_integers, standardise_tiles
from medssl.ssl.jigsaw import permutation_set, shuffle_tiles

__all__ = ["RubiksCube", "random_cubes", "turn_cubes"]

CUBES = 8


def random_cubes(volumes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cut each volume into 2 x 2 x 2 cells and take a cube at a random place of each cell.

    Parameters
    ----------
    volumes : Tensor
        Shape [batch, 1, depth, height, width]; of an odd side the last slice is left out.
    generator : torch.Generator

    Returns
    -------
    Tensor
        Shape [batch, 8, cube's depth, height, width], cells in reading order: depth, height, width.

    Raises
    ------
    UsageError
        The images are no volumes, or a cube would have less than 3 voxels a side.

    Examples
    --------
    >>> random_cubes(torch.rand(2, 1, 16, 20, 20), torch.Generator()).shape
    torch.Size([2, 8, 7, 9, 9])
    """
    if volumes.ndim != 5:
        raise UsageError(
            f"rubiks_cube needs volumes [batch, 1, depth, height, width], got {list(volumes.shape)}."
        )
    cells = [size // 2 for size in volumes.shape[2:]]
    sides = [cell - max(1, round(cell * 11 / 75)) for cell in cells]
    if min(sides) < 3:
        raise UsageError(
            f"volumes of {' x '.join(map(str, volumes.shape[2:]))} voxels are too small for rubiks_cube: "
            f"a cube would have {min(sides)} voxels a side, and 3 is the least."
        )
    place = torch.arange(CUBES, device=volumes.device)
    corners = [
        place // step % 2 * cell + random_integers(0, cell - side, (len(volumes), CUBES), generator)
        for step, cell, side in zip((4, 2, 1), cells, sides, strict=True)
    ]
    return _crop(volumes, corners, sides)


def _crop(volumes, corners, sides):  # corners: three of [batch, cubes] -> [batch, cubes, *sides]
    _, _, _, height, width = volumes.shape
    deep, tall, wide = (
        corner[..., None] + torch.arange(side, device=volumes.device)
        for corner, side in zip(corners, sides, strict=True)
    )  # [batch, cubes, side]
    rows = deep[..., :, None] * height + tall[..., None, :]  # [batch, cubes, depth, height]
    index = rows[..., None] * width + wide[..., None, None, :]
    return volumes.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)


def turn_cubes(cubes: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    """Turn cubes by 180 degrees about the vertical axis, the horizontal axis, both or none.

    Parameters
    ----------
    cubes : Tensor
        Shape [batch, cubes, depth, height, width].
    turned : Tensor of bool
        Shape [batch, cubes, 2]: about the vertical axis, which reverses depth and width, and about the
        horizontal axis, which reverses depth and height.

    Examples
    --------
    >>> cube = torch.arange(4.0).reshape(1, 1, 2, 1, 2)
    >>> turn_cubes(cube, torch.tensor([[[True, False]]])).flatten().tolist()
    [3.0, 2.0, 1.0, 0.0]
    >>> turn_cubes(cube, torch.tensor([[[False, True]]])).flatten().tolist()
    [2.0, 3.0, 0.0, 1.0]
    """
    vertical, horizontal = turned[..., None, None, None].unbind(2)  # [batch, cubes, 1, 1, 1]
    for reverse, axis in ((vertical ^ horizontal, 2), (horizontal, 3), (vertical, 4)):
        cubes = torch.where(reverse, cubes.flip(axis), cubes)
    return cubes


@dataclass(frozen=True)
class RubiksCubeConfig:
    """Options of the Rubik's cube: size of the set, share of the turns in the loss, width of the heads."""

    permutations: int = 24
    turns: float = 0.5
    hidden: int = 128

    def __post_init__(self):
        if not 2 <= self.permutations <= math.factorial(CUBES):
            raise UsageError(f"permutations must be between 2 and {math.factorial(CUBES)} for {CUBES} cubes.")
        if not 0 <= self.turns <= 1 or self.hidden < 1:
            raise UsageError("turns must be between 0 and 1 and hidden at least 1.")


class RubiksCube(nn.Module):
    """A three-dimensional encoder and two heads on the vectors of all cubes.

    Raises
    ------
    UsageError
        The encoder is not one of volumes, which has the attribute `dimensions` with the value 3.

    Examples
    --------
    >>> encoder = nn.Sequential(nn.Conv3d(1, 4, 3, 2), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    >>> encoder.width, encoder.dimensions = 4, 3
    >>> RubiksCube(encoder).loss(torch.rand(4, 1, 16, 16, 16), lambda x: x, torch.Generator()).ndim
    0
    """

    Config = RubiksCubeConfig

    def __init__(self, encoder: nn.Module, config: RubiksCubeConfig | None = None):
        super().__init__()
        dimensions = getattr(encoder, "dimensions", 2)
        if dimensions != 3:
            raise UsageError(
                f"rubiks_cube needs an encoder of volumes, and {type(encoder).__name__} has {dimensions} "
                "dimensions: choose a three-dimensional encoder."
            )
        self.config = config or RubiksCubeConfig()
        self.encoder = encoder
        orders = torch.tensor(permutation_set(CUBES, self.config.permutations))
        self.register_buffer("permutations", orders)  # [permutations, cubes]
        self.order_head = mlp(CUBES * encoder.width, self.config.hidden, self.config.permutations)
        self.turn_head = mlp(CUBES * encoder.width, self.config.hidden, CUBES * 2)

    def scramble(
        self, volumes: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return cubes [batch, 8, depth, height, width], permutations [batch] and turns [batch, 8, 2]."""
        cubes = random_cubes(volumes, generator)
        cubes = standardise_tiles(cubes.flatten(3)).reshape(cubes.shape)
        labels = random_integers(0, self.config.permutations - 1, (len(cubes),), generator)
        cubes = shuffle_tiles(cubes.flatten(3), self.permutations[labels]).reshape(cubes.shape)
        turned = random_integers(0, 1, (len(cubes), CUBES, 2), generator).bool()
        return turn_cubes(cubes, turned), labels, turned

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, depth, height, width], weighted over both tasks."""
        cubes, labels, turned = self.scramble(view(images), generator)
        vectors = self.encoder(cubes.flatten(0, 1)[:, None]).reshape(len(cubes), -1)  # [batch, all]
        order = functional.cross_entropy(self.order_head(vectors).float(), labels)
        turns = functional.binary_cross_entropy_with_logits(
            self.turn_head(vectors).float(), turned.flatten(1).float()
        )
        return (1 - self.config.turns) * order + self.config.turns * turns
