"""Jigsaw: cut an image into tiles, shuffle them and tell in which order they are.

Noroozi and Favaro (2016), "Unsupervised learning of visual representations by solving jigsaw puzzles":
tiles of a grid with random gaps pass the same encoder one by one, and a head on all their vectors says
which of a fixed set of permutations was applied; the set is chosen greedily for maximal Hamming distance.
A tile has 64 / 75 of its cell's side, at a random place in it, and is standardised by itself.

The paper uses 3 x 3 tiles (`grid=3`); the default is 2 x 2, with all 24 orders of four tiles, because nine
tiles of a small image show next to nothing.
A volume has 2 x 2 x 2 tiles; the greedy choice looks at all orders, and those of 3 x 3 x 3 are too many.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._dimensions import dimensions_of, in_words
from medssl.ssl._heads import mlp
from medssl.ssl._windows import crop, random_integers, standardise_tiles

__all__ = ["Jigsaw", "permutation_set", "random_tiles", "shuffle_tiles"]


@functools.cache
def permutation_set(tiles: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Choose permutations that are far from each other (Noroozi and Favaro 2016, algorithm 1).

    Each new permutation has the largest sum of Hamming distances to those that are there already.
    The paper starts anywhere and leaves ties open; here the first is the identity, and of equal ones the
    one is taken that is furthest from its nearest, so that the set is the same in every run.

    Parameters
    ----------
    tiles, count : int
        Length and number of the permutations; at most tiles! of them.

    Examples
    --------
    >>> permutation_set(3, 3)
    ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    """
    numbers = itertools.chain.from_iterable(itertools.permutations(range(tiles)))
    candidates = np.fromiter(numbers, np.uint8).reshape(-1, tiles).T.copy()  # [tiles, tiles!]
    total, least = np.zeros(candidates.shape[1], np.int64), np.full(candidates.shape[1], tiles)
    chosen = [0]
    while len(chosen) < count:
        distance = (candidates != candidates[:, chosen[-1:]]).sum(0)
        total += distance
        least = np.minimum(least, distance)  # 0 for those that are chosen
        chosen.append(int(np.where(least > 0, total * (tiles + 1) + least, -1).argmax()))
    return tuple(tuple(order) for order in candidates[:, chosen].T.tolist())


def random_tiles(images: torch.Tensor, grid: int, generator: torch.Generator) -> torch.Tensor:
    """Cut each image into grid x grid cells, a volume into grid x grid x grid, and take a tile of each cell.

    The place of the tile in its cell is random.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width]; rows and columns that the grid
        does not divide are left out.
    grid : int
        Cells along a side.
    generator : torch.Generator

    Returns
    -------
    Tensor
        Shape [batch, grid * grid, side, side], cells in reading order; for volumes one more axis of each.

    Raises
    ------
    UsageError
        A tile would have less than 3 pixels a side.

    Examples
    --------
    >>> random_tiles(torch.rand(2, 1, 28, 28), 3, torch.Generator()).shape
    torch.Size([2, 9, 8, 8])
    """
    batch, _, *sides = images.shape
    cells, grids = [length // grid for length in sides], len(sides) * (grid,)
    side = min(cells) - max(1, round(min(cells) * 11 / 75))
    if side < 3:
        raise UsageError(
            f"{in_words(sides)} are too small for {' x '.join(map(str, grids))} tiles: "
            f"a tile would have {side} a side, and 3 is the least."
        )
    places = torch.unravel_index(torch.arange(math.prod(grids), device=images.device), grids)
    shifts = [random_integers(0, cell - side, (batch, math.prod(grids)), generator) for cell in cells]
    corners = [place * cell + shift for place, cell, shift in zip(places, cells, shifts, strict=True)]
    return crop(images, corners, side)


def shuffle_tiles(tiles: torch.Tensor, permutations: torch.Tensor) -> torch.Tensor:
    """Put tile permutations[i, j] of image i at place j.

    Parameters
    ----------
    tiles : Tensor
        Shape [batch, tiles, side, side], for volumes [batch, tiles, side, side, side].
    permutations : Tensor of int
        Shape [batch, tiles].

    Examples
    --------
    >>> tiles = torch.tensor([5.0, 6.0, 7.0]).reshape(1, 3, 1, 1)
    >>> shuffle_tiles(tiles, torch.tensor([[2, 0, 1]])).flatten().tolist()
    [7.0, 5.0, 6.0]
    """
    order = permutations[..., *(tiles.ndim - 2) * (None,)]
    return tiles.gather(1, order.expand_as(tiles))


@dataclass(frozen=True)
class JigsawConfig:
    """Options of the jigsaw: tiles along a side, size of the set and width of the head."""

    grid: int = 2
    permutations: int = 24
    hidden: int = 128

    def __post_init__(self):
        if self.grid not in (2, 3) or self.hidden < 1:
            raise UsageError("grid must be 2 or 3 and hidden at least 1.")
        if not 2 <= self.permutations <= math.factorial(self.grid**2):
            raise UsageError(
                f"permutations must be between 2 and {math.factorial(self.grid**2)} for {self.grid**2} tiles."
            )


class Jigsaw(nn.Module):
    """Encoder and a head on the vectors of all tiles that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> Jigsaw(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = JigsawConfig

    def __init__(self, encoder: nn.Module, config: JigsawConfig | None = None):
        super().__init__()
        self.config = config or JigsawConfig()
        self.encoder = encoder
        dimensions = dimensions_of(encoder)
        if dimensions == 3 and self.config.grid != 2:
            raise UsageError(f"grid must be 2 for volumes, got {self.config.grid}.")
        tiles = self.config.grid**dimensions
        self.register_buffer("permutations", torch.tensor(permutation_set(tiles, self.config.permutations)))
        self.head = mlp(tiles * encoder.width, self.config.hidden, self.config.permutations)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the cross-entropy of a batch [batch, 1, *sides], one permutation an image."""
        tiles = random_tiles(view(images), self.config.grid, generator)
        tiles = standardise_tiles(tiles, tiles.ndim - 2)
        labels = random_integers(0, self.config.permutations - 1, (len(tiles),), generator)
        shuffled = shuffle_tiles(tiles, self.permutations[labels])  # [batch, tiles, side, side]
        vectors = self.encoder(shuffled.flatten(0, 1)[:, None]).reshape(len(tiles), -1)  # [batch, all]
        return functional.cross_entropy(self.head(vectors).float(), labels)
