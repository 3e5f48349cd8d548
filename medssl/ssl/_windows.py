"""Boxes of a batch: every image has its own, and none of it loops over images."""

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


def pixel_index(top: torch.Tensor, left: torch.Tensor, tall: int, wide: int, width: int) -> torch.Tensor:
    """Return the places of a box's pixels in the flattened image, shape [..., tall, wide].

    Examples
    --------
    >>> pixel_index(torch.tensor([1]), torch.tensor([2]), 2, 2, 5).tolist()
    [[[7, 8], [12, 13]]]
    """
    rows = top[..., None] + torch.arange(tall, device=top.device)  # [..., tall]
    columns = left[..., None] + torch.arange(wide, device=top.device)  # [..., wide]
    return rows[..., :, None] * width + columns[..., None, :]


def crop(images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, side: int) -> torch.Tensor:
    """Cut squares out of images [batch, 1, height, width]; corners have the shape [batch, k].

    Returns
    -------
    Tensor
        Shape [batch, k, side, side].

    Examples
    --------
    >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> crop(image, torch.tensor([[1]]), torch.tensor([[0]]), 2).tolist()
    [[[[3.0, 4.0], [6.0, 7.0]]]]
    """
    index = pixel_index(top, left, side, side, images.shape[-1])  # [batch, k, side, side]
    return images.flatten(1).gather(1, index.flatten(1)).reshape(index.shape)


def box_mask(top, left, tall, wide, height: int, width: int) -> torch.Tensor:
    """Return True inside boxes, shape [..., height, width]; the four tensors have the shape [...].

    Examples
    --------
    >>> one = torch.tensor(1)
    >>> box_mask(one, one, one, one, 2, 3).long().tolist()
    [[0, 0, 0], [0, 1, 0]]
    """
    rows, columns = (torch.arange(side, device=top.device) for side in (height, width))
    in_rows = (rows >= top[..., None]) & (rows < (top + tall)[..., None])  # [..., height]
    in_columns = (columns >= left[..., None]) & (columns < (left + wide)[..., None])  # [..., width]
    return in_rows[..., :, None] & in_columns[..., None, :]


def standardise_tiles(tiles: torch.Tensor) -> torch.Tensor:
    """Give every tile the mean 0 and the deviation 1, so that brightness does not tell its place.

    Parameters
    ----------
    tiles : Tensor
        Shape [..., height, width].

    Notes
    -----
    The variance is that of the pixels themselves (divided by their number) and 1e-6 is added to it:
    a constant tile becomes zero.

    Examples
    --------
    >>> standardise_tiles(torch.tensor([[1.0, 3.0], [3.0, 1.0]])).round(decimals=3).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    centred = tiles - tiles.mean((-2, -1), keepdim=True)
    return centred / (centred.square().mean((-2, -1), keepdim=True) + 1e-6).sqrt()
