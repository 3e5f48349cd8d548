"""Context restoration: exchange patches of an image and restore the image.

Chen, Bentley, Mori, Misawa, Fujiwara and Rueckert (2019), "Self-supervised learning for medical image
analysis using image context restoration": two small patches that do not overlap are chosen at random and
swapped, this is repeated, and the squared error of the restored image is the loss.

The intensities of the image stay what they are, only their places change.

In volumes cubes change places.
A cube is a smaller share of a volume than a square is of an image, so that as many swaps disturb less of it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._decoder import Decoder
from medssl.ssl._dimensions import dimensions_of, in_words
from medssl.ssl._windows import pixel_index, random_integers

__all__ = ["ContextRestoration", "random_pairs", "swap_patches"]


def random_pairs(
    batch: int, pairs: int, sides: Sequence[int], patch: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw pairs of patches that do not overlap.

    The first corner is uniform, the second uniform among those whose patch is apart from the first.

    Returns
    -------
    first, second : Tensor of int
        First corners (row and column, or slice, row and column), shape [batch, pairs, axes], on the
        generator's device.

    Raises
    ------
    UsageError
        Some first patch would leave no room for a second.

    Examples
    --------
    >>> first, second = random_pairs(100, 5, (16, 16), 4, torch.Generator())
    >>> bool(((first - second).abs().amax(2) >= 4).all())
    True
    """
    if max(sides) < 3 * patch - 1 or min(sides) < patch:
        raise UsageError(
            f"{in_words(sides)} are too small to swap patches of {patch} a side: "
            f"one side must have {3 * patch - 1} and each other {patch}."
        )
    counts = [side - patch + 1 for side in sides]
    first = [random_integers(0, count - 1, (batch, pairs), generator) for count in counts]
    lows = [place.sub(patch - 1).clamp_min(0) for place in first]
    highs = [(place + patch).clamp_max(count) for place, count in zip(first, counts, strict=True)]
    taken = _volume(lows, highs)  # corners whose patch overlaps the first
    rank = random_integers(0, math.prod(counts) - taken - 1, (batch, pairs), generator)
    second = torch.unravel_index(_skip_box(rank, lows, highs, counts), counts)
    return torch.stack(first, 2), torch.stack(second, 2)


def _volume(lows, highs):
    return math.prod(high - low for low, high in zip(lows, highs, strict=True))


def _skip_box(rank, lows, highs, counts):
    """Place of the cell that has this rank in reading order when the cells of a box do not count.

    The first axis cuts the cells into layers, and the layers that meet the box are the same task with one
    axis less.
    """
    (low, *lows), (high, *highs), layer = lows, highs, math.prod(counts[1:])
    box = _volume(lows, highs)  # cells of a layer in the box
    inside = rank - low * layer  # rank among the cells from the first layer of the box on
    place = torch.where(inside < 0, rank, rank + (high - low) * box)
    if not lows:
        return place
    free = layer - box  # cells of a layer beside the box
    row, rest = low + inside // free.clamp_min(1), inside % free.clamp_min(1)
    beside = row * layer + _skip_box(rest, lows, highs, counts[1:])
    return torch.where((inside >= 0) & (inside < free * (high - low)), beside, place)


def swap_patches(images: torch.Tensor, first: torch.Tensor, second: torch.Tensor, patch: int) -> torch.Tensor:
    """Swap pairs of patches one pair after another, as they are drawn.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    first, second : Tensor of int
        Corners, shape [batch, pairs, axes]; the two patches of a pair do not overlap.
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
    pixels, sides = images.flatten(1), images.shape[2:]  # [batch, height * width]
    lengths = len(sides) * [patch]
    places = [pixel_index(corner.unbind(2), lengths, sides).flatten(2) for corner in (first, second)]
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
        self.decoder = Decoder(encoder.width, encoder.stride, dimensions_of(encoder))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the mean squared error of a batch [batch, 1, *sides] over all its pixels."""
        images = view(images)
        batch, _, *sides = images.shape
        patch = round(self.config.patch * min(sides))
        if patch < 2:
            raise UsageError(
                f"{in_words(sides)} are too small: a patch would have {patch} a side and 2 is the least."
            )
        pairs = random_pairs(batch, self.config.swaps, sides, patch, generator)
        features = self.encoder.features(swap_patches(images, *pairs, patch))
        return functional.mse_loss(self.decoder(features, *sides), images.float())
