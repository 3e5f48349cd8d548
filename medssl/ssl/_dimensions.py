"""What differs between images [batch, 1, height, width] and volumes [batch, 1, depth, height, width].

An encoder of volumes says `dimensions = 3`; sides are in the order of the tensor, depth first.
"""

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "PutPatches",
    "cut",
    "dimensions_of",
    "in_pixels",
    "in_words",
    "layer",
    "put_patches",
    "take_patches",
]


def dimensions_of(encoder: nn.Module) -> int:
    """Return 3 for an encoder of volumes, and 2 for one that does not say what it takes.

    Examples
    --------
    >>> dimensions_of(nn.Identity())
    2
    """
    return getattr(encoder, "dimensions", 2)


def layer(name: str, dimensions: int) -> type[nn.Module]:
    """Return the layer of torch that has this name without its ending.

    Examples
    --------
    >>> layer("ConvTranspose", 3).__name__
    'ConvTranspose3d'
    """
    return getattr(nn, f"{name}{dimensions}d")


def in_words(sides) -> str:
    """Return the size of an image or a volume as an error names it.

    Examples
    --------
    >>> in_words((28, 30)), in_words((8, 28, 30))
    ('images of 28 x 30 pixels', 'volumes of 8 x 28 x 30 voxels')
    """
    kind, unit = ("images", "pixels") if len(sides) == 2 else ("volumes", "voxels")
    return f"{kind} of {' x '.join(map(str, sides))} {unit}"


def cut(images: torch.Tensor, sides) -> torch.Tensor:
    """Cut off what lies beyond the sides.

    Examples
    --------
    >>> cut(torch.zeros(2, 1, 8, 8, 8), (8, 7, 6)).shape
    torch.Size([2, 1, 8, 7, 6])
    """
    return images[..., *map(slice, sides)]


def in_pixels(chosen: torch.Tensor, patch: int) -> torch.Tensor:
    """Repeat the value of each patch for all its pixels.

    Parameters
    ----------
    chosen : Tensor
        Shape [batch, rows, columns] or [batch, layers, rows, columns].

    Returns
    -------
    Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].

    Examples
    --------
    >>> in_pixels(torch.tensor([[[1, 2]]]), 2).tolist()
    [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    """
    for axis in range(1, chosen.ndim):
        chosen = chosen.repeat_interleave(patch, axis)
    return chosen[:, None]


def take_patches(images: torch.Tensor, patch: int) -> torch.Tensor:
    """Take images or volumes of one channel apart into patches.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width], sides divisible by `patch`.

    Returns
    -------
    Tensor
        Shape [batch, patch**2, rows, columns] or [batch, patch**3, layers, rows, columns]; the pixels of a
        patch are in reading order, as `pixel_unshuffle` has them.

    Examples
    --------
    >>> take_patches(torch.arange(8.0).reshape(1, 1, 2, 4), 2)[0, :, 0].T.tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    if images.ndim == 4:  # the same values in the memory layout that images have always had
        return functional.pixel_unshuffle(images, patch)
    return _take_apart(images, patch)


def _take_apart(images, patch):
    batch, _, *sides = images.shape
    axes = len(sides)
    split = images.reshape(batch, *(part for side in sides for part in (side // patch, patch)))
    inside, outside = range(2, 2 * axes + 1, 2), range(1, 2 * axes, 2)
    return split.permute(0, *inside, *outside).flatten(1, axes)


def put_patches(patches: torch.Tensor, patch: int) -> torch.Tensor:
    """Put volumes together from their patches, the inverse of `take_patches`.

    Parameters
    ----------
    patches : Tensor
        Shape [batch, patch**n, *grid], where the grid has n axes.

    Examples
    --------
    >>> volumes = torch.rand(2, 1, 4, 8, 6)
    >>> torch.equal(put_patches(take_patches(volumes, 2), 2), volumes)
    True
    """
    batch, _, *grid = patches.shape
    axes = len(grid)
    split = patches.reshape(batch, *axes * (patch,), *grid)
    order = (number for axis in range(1, axes + 1) for number in (axes + axis, axis))
    return split.permute(0, *order).reshape(batch, 1, *(patch * number for number in grid))


class PutPatches(nn.Module):
    """`put_patches` as the last layer of a head: what `torch.nn.PixelShuffle` is for images."""

    def __init__(self, patch: int):
        super().__init__()
        self.patch = patch

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return volumes [batch, 1, depth, height, width]."""
        return put_patches(patches, self.patch)
