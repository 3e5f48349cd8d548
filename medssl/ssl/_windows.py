"""Boxes of a batch of images or volumes: each has its own, and nothing loops over the batch."""

from collections.abc import Sequence

import torch

__all__ = ["box_mask", "crop", "pixel_index", "random_integers", "standardise_tiles"]


def random_integers(low, high, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draw whole numbers in low..high, both included; `low` and `high` are numbers or tensors.

    Examples
    --------
    >>> random_integers(3, torch.tensor([3, 3]), (4, 2), torch.Generator()).unique().tolist()
    [3]
    """
    unit = torch.rand(shape, generator=generator, device=generator.device)
    return low + (unit * (high - low + 1)).long()


def pixel_index(corners: Sequence[torch.Tensor], lengths: Sequence[int], sides: Sequence[int]):
    """Return the places of a box's pixels in the flattened image.

    Parameters
    ----------
    corners : sequence of Tensor of int
        The box's first place along each axis (top and left for an image), each of shape [...].
    lengths, sides : sequence of int
        Extent of the box, and of the image, along each axis.

    Returns
    -------
    Tensor of int
        Shape [..., *lengths].

    Examples
    --------
    >>> pixel_index((torch.tensor([1]), torch.tensor([2])), (2, 2), (4, 5)).tolist()
    [[[7, 8], [12, 13]]]
    """
    index = corners[0].new_zeros(())
    for axis, (corner, length, side) in enumerate(zip(corners, lengths, sides, strict=True)):
        places = corner[..., None] + torch.arange(length, device=corner.device)  # [..., length]
        index = index[..., None] * side + places[..., *axis * (None,), :]
    return index


def crop(images: torch.Tensor, corners: Sequence[torch.Tensor], side: int) -> torch.Tensor:
    """Cut squares out of images [batch, 1, height, width], or cubes out of volumes.

    Parameters
    ----------
    corners : sequence of Tensor of int
        First place along each axis, each of shape [batch, k].
    side : int
        Of the square or the cube.

    Returns
    -------
    Tensor
        Shape [batch, k, side, side], for volumes [batch, k, side, side, side].

    Examples
    --------
    >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> crop(image, (torch.tensor([[1]]), torch.tensor([[0]])), 2).tolist()
    [[[[3.0, 4.0], [6.0, 7.0]]]]
    """
    index = pixel_index(corners, len(corners) * [side], images.shape[2:])  # [batch, k, side, side]
    return images.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)


def box_mask(corners, lengths, sides: Sequence[int]) -> torch.Tensor:
    """Return True inside boxes, shape [..., *sides].

    Parameters
    ----------
    corners, lengths : sequence of Tensor of int
        First place and extent along each axis, each of shape [...].
    sides : sequence of int
        Of the image or the volume.

    Examples
    --------
    >>> one = torch.tensor(1)
    >>> box_mask((one, one), (one, one), (2, 3)).long().tolist()
    [[0, 0, 0], [0, 1, 0]]
    """
    mask = torch.ones((), dtype=torch.bool, device=corners[0].device)
    for axis, (corner, length, side) in enumerate(zip(corners, lengths, sides, strict=True)):
        places = torch.arange(side, device=corner.device)
        inside = (places >= corner[..., None]) & (places < (corner + length)[..., None])  # [..., side]
        mask = mask[..., None] & inside[..., *axis * (None,), :]
    return mask


def standardise_tiles(tiles: torch.Tensor, dimensions: int = 2) -> torch.Tensor:
    """Give every tile the mean 0 and the deviation 1, so that brightness does not tell its place.

    Parameters
    ----------
    tiles : Tensor
        Shape [..., height, width].
    dimensions : int
        3 for tiles of volumes, shape [..., depth, height, width].

    Notes
    -----
    The variance is that of the pixels themselves (divided by their number) and 1e-6 is added to it:
    a constant tile becomes zero.

    Examples
    --------
    >>> standardise_tiles(torch.tensor([[1.0, 3.0], [3.0, 1.0]])).round(decimals=3).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    axes = tuple(range(-dimensions, 0))
    centred = tiles - tiles.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True) + 1e-6).sqrt()
