"""Patches of a grid and tokens of a feature map, for images and volumes alike."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from medssl.ssl._dimensions import cut

__all__ = [
    "PatchDecoder",
    "join_patches",
    "pool_on_grid",
    "split_patches",
    "tokens_of",
]


def split_patches(images: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """Cut images or volumes into the cells of a grid.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, *sides], sides divisible by the grid.
    grid : sequence of int
        Number of cells along each side.

    Returns
    -------
    Tensor
        Shape [batch, patches, pixels], patches and their pixels in reading order.

    Examples
    --------
    >>> split_patches(torch.arange(8.0).reshape(1, 1, 2, 4), (1, 2)).tolist()
    [[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]]
    """
    batch, _, *sides = images.shape
    shape = [length for side, cells in zip(sides, grid, strict=True) for length in (cells, side // cells)]
    axes = 1 + torch.arange(len(shape)).reshape(-1, 2).T.flatten()  # cells first, then places inside them
    return images.reshape(batch, *shape).permute(0, *axes.tolist()).reshape(batch, math.prod(grid), -1)


def join_patches(patches: torch.Tensor, grid: Sequence[int], sides: Sequence[int]) -> torch.Tensor:
    """Put patches together again, the inverse of `split_patches`.

    Parameters
    ----------
    patches : Tensor
        Shape [batch, patches, pixels].
    grid, sides : sequence of int
        Number of cells along each side, and the sides in pixels.

    Returns
    -------
    Tensor
        Shape [batch, 1, *sides].

    Examples
    --------
    >>> image = torch.rand(1, 1, 4, 6)
    >>> torch.equal(join_patches(split_patches(image, (2, 3)), (2, 3), (4, 6)), image)
    True
    """
    cell = [side // cells for side, cells in zip(sides, grid, strict=True)]
    axes = 1 + torch.arange(2 * len(cell)).reshape(2, -1).T.flatten()
    blocks = patches.reshape(len(patches), *grid, *cell).permute(0, *axes.tolist())
    return blocks.reshape(len(patches), 1, *sides)


def tokens_of(features: torch.Tensor) -> torch.Tensor:
    """Return the places of a feature map [batch, width, *grid] as tokens [batch, places, width].

    Examples
    --------
    >>> tokens_of(torch.zeros(2, 16, 3, 4, 5)).shape
    torch.Size([2, 60, 16])
    """
    return features.flatten(2).transpose(1, 2)


def pool_on_grid(features: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """Average a feature map over the cells of a grid that is no finer than the map.

    Place i of n belongs to cell floor(i x cells / n); unlike torch's adaptive pooling each place counts in
    one cell alone, and the gradient is the same in every run.

    Parameters
    ----------
    features : Tensor
        Shape [batch, width, *map].
    grid : sequence of int
        Number of cells along each side.

    Returns
    -------
    Tensor
        Shape [batch, width, *grid].

    Examples
    --------
    >>> pool_on_grid(torch.tensor([[[[1.0, 3.0, 5.0]]]]), (1, 2)).tolist()
    [[[[2.0, 5.0]]]]
    """
    for axis, cells in enumerate(grid, start=2):
        length = features.shape[axis]
        cell = torch.arange(length, device=features.device) * cells // length
        member = (cell[:, None] == torch.arange(cells, device=features.device)).to(features.dtype)
        features = (features.movedim(axis, -1) @ (member / member.sum(0))).movedim(-1, axis)
    return features


class PatchDecoder(nn.Module):
    """One layer that turns each place of a feature map into a block of stride pixels a side.

    Parameters
    ----------
    width, stride, dimensions : int
        Channels of the feature map, pixels a place stands for along one side, and 2 or 3.

    Examples
    --------
    >>> PatchDecoder(16, 4, 3)(torch.zeros(2, 16, 2, 2, 2), 8, 8, 7).shape
    torch.Size([2, 1, 8, 8, 7])
    """

    def __init__(self, width: int, stride: int, dimensions: int):
        super().__init__()
        self.stride = stride
        self.layer = nn.Linear(width, stride**dimensions)

    def forward(self, features: torch.Tensor, *sides: int) -> torch.Tensor:
        """Return images [batch, 1, *sides] in single precision; surplus rows are cut off."""
        grid = features.shape[2:]
        blocks = self.layer(tokens_of(features))  # [batch, places, pixels]
        images = join_patches(blocks, grid, [cells * self.stride for cells in grid])
        return cut(images, sides).float()
