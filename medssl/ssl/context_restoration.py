"""Context restoration: exchange patches of an image and restore the image.

Chen, Bentley, Mori, Misawa, Fujiwara and Rueckert (2019), "Self-supervised learning for medical image
analysis using image context restoration": two small patches that do not overlap are chosen at random and
swapped, this is repeated, and the squared error of the restored image is the loss.

The intensities of the image stay what they are, only their places change.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._decoder import Decoder
from medssl.ssl._windows import pixel_index, random_integers

__all__ = ["ContextRestoration", "random_pairs", "swap_patches"]


def random_pairs(
    batch: int, pairs: int, height: int, width: int, patch: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw pairs of patches that do not overlap.

    The first corner is uniform, the second uniform among those whose patch is apart from the first.

    Returns
    -------
    first, second : Tensor of int
        Row and column of the upper left corners, shape [batch, pairs, 2], on the generator's device.

    Raises
    ------
    UsageError
        Some first patch would leave no room for a second.

    Examples
    --------
    >>> first, second = random_pairs(100, 5, 16, 16, 4, torch.Generator())
    >>> bool(((first - second).abs().amax(2) >= 4).all())
    True
    """
    if max(height, width) < 3 * patch - 1 or min(height, width) < patch:
        raise UsageError(
            f"images of {height} x {width} pixels are too small to swap patches of {patch} pixels: "
            f"one side must have {3 * patch - 1} and the other {patch}."
        )
    rows, columns = height - patch + 1, width - patch + 1
    row = random_integers(0, rows - 1, (batch, pairs), generator)
    column = random_integers(0, columns - 1, (batch, pairs), generator)
    above, below = (row - patch + 1).clamp_min(0), (row + patch).clamp_max(rows)
    before, after = (column - patch + 1).clamp_min(0), (column + patch).clamp_max(columns)
    taken = (below - above) * (after - before)  # corners whose patch overlaps the first
    rank = random_integers(0, rows * columns - taken - 1, (batch, pairs), generator)
    place = _skip_box(rank, above, below, before, after, columns)
    return torch.stack([row, column], 2), torch.stack([place // columns, place % columns], 2)


def _skip_box(rank, above, below, before, after, columns):
    """Place of the cell that has this rank in reading order when the cells of a box do not count."""
    free = columns - (after - before)  # cells of a row beside the box
    inside = rank - above * columns  # rank among the cells from the first row of the box on
    row, column = above + inside // free.clamp_min(1), inside % free.clamp_min(1)
    beside = row * columns + torch.where(column < before, column, column + after - before)
    beyond = rank + (below - above) * (after - before)
    place = torch.where(inside < free * (below - above), beside, beyond)
    return torch.where(inside < 0, rank, place)


def swap_patches(images: torch.Tensor, first: torch.Tensor, second: torch.Tensor, patch: int) -> torch.Tensor:
    """Swap pairs of patches one pair after another, as they are drawn.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width].
    first, second : Tensor of int
        Corners, shape [batch, pairs, 2]; the two patches of a pair do not overlap.
    patch : int
        Side of a patch in pixels.

    Returns
    -------
    Tensor
        Shape [batch, 1, height, width]; the same swaps in reverse order give the images back.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> swap_patches(image, torch.tensor([[[0, 0]]]), torch.tensor([[[0, 2]]]), 1).tolist()
    [[[[3.0, 2.0, 1.0]]]]
    """
    pixels, width = images.flatten(1), images.shape[-1]  # [batch, height * width]
    places = [pixel_index(*corner.unbind(2), patch, patch, width).flatten(2) for corner in (first, second)]
    for here, there in zip(*(place.unbind(1) for place in places), strict=True):  # [batch, patch * patch]
        moved = pixels.scatter(1, here, pixels.gather(1, there))
        pixels = moved.scatter(1, there, pixels.gather(1, here))
    return pixels.reshape(images.shape)


@dataclass(frozen=True)
class ContextRestorationConfig:
    """Options of context restoration; `patch` is a fraction of the image's shorter side."""

    patch: float = 0.15
    swaps: int = 10

    def __post_init__(self):
        if not 0 < self.patch < 0.5 or self.swaps < 1:
            raise UsageError("patch must be between 0 and 0.5 and swaps at least 1.")


class ContextRestoration(nn.Module):
    """Encoder and a small decoder that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> ContextRestoration(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = ContextRestorationConfig

    def __init__(self, encoder: nn.Module, config: ContextRestorationConfig | None = None):
        super().__init__()
        self.config = config or ContextRestorationConfig()
        self.encoder = encoder
        self.decoder = Decoder(encoder.width, encoder.stride)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the mean squared error of a batch [batch, 1, height, width] over all its pixels."""
        images = view(images)
        batch, _, height, width = images.shape
        patch = round(self.config.patch * min(height, width))
        if patch < 2:
            raise UsageError(
                f"images of {height} x {width} pixels are too small: a patch would have {patch} pixels "
                "and 2 is the least."
            )
        pairs = random_pairs(batch, self.config.swaps, height, width, patch, generator)
        features = self.encoder.features(swap_patches(images, *pairs, patch))
        return functional.mse_loss(self.decoder(features, height, width), images.float())
