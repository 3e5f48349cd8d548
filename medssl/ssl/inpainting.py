"""Inpainting: hide random blocks of an image and predict them from what surrounds them.

Pathak, Krähenbühl, Donahue, Darrell and Efros (2016), "Context encoders: feature learning by inpainting":
random blocks that may overlap and together cover up to a quarter of the image, squared error on the
hidden region (equation 1), and optionally on a visible margin around it with ten times the weight.

Only the reconstruction loss is here: there is no adversarial loss, and no channel-wise fully connected
layer, so that a pixel is predicted from the receptive field of the encoder and the decoder.

The blocks of a volume are boxes that together cover the same share of it.
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
from medssl.ssl._windows import box_mask, random_integers

__all__ = ["Inpainting", "pixel_weights", "random_blocks", "weighted_squared_error"]


def random_blocks(
    batch: int, sides: Sequence[int], blocks: int, share: float, generator: torch.Generator
) -> torch.Tensor:
    """Hide `blocks` blocks of each image, which together cover at most `share` of it.

    A block has sqrt(share / blocks) of each side of the image, or the cube root of that share of each side
    of a volume, rounded down; its place is uniform inside the image, and blocks may overlap.

    Returns
    -------
    Tensor of bool
        True where hidden, shape [batch, 1, *sides], on the generator's device.

    Raises
    ------
    UsageError
        A block would be less than 2 pixels along a side.

    Examples
    --------
    >>> hidden = random_blocks(3, (28, 28), 1, 0.25, torch.Generator())
    >>> hidden.sum((1, 2, 3)).tolist()
    [196, 196, 196]
    """
    fraction = (share / blocks) ** (1 / len(sides))
    lengths = [math.floor(side * fraction + 1e-9) for side in sides]
    if min(lengths) < 2:
        raise UsageError(
            f"{in_words(sides)} are too small: {blocks} blocks that cover {share:g} of them would be "
            f"{' x '.join(map(str, lengths))}, and 2 along each side is the least."
        )
    corners = [
        random_integers(0, side - length, (batch, blocks), generator)
        for side, length in zip(sides, lengths, strict=True)
    ]
    return box_mask(corners, lengths, sides).any(1, keepdim=True)


def pixel_weights(hidden: torch.Tensor, overlap: int, weight: float = 10.0) -> torch.Tensor:
    """Weigh hidden pixels 1, visible pixels up to `overlap` away from them `weight`, and all others 0.

    Distance is that of a king on a chess board.

    Parameters
    ----------
    hidden : Tensor of bool
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    overlap : int
        Width of the margin in pixels; 0 for none.
    weight : float
        Pathak et al. (2016) weigh the margin ten times.

    Returns
    -------
    Tensor
        Shape of `hidden`.

    Examples
    --------
    >>> pixel_weights(torch.tensor([[[[False, False, True]]]]), 1).tolist()
    [[[[0.0, 10.0, 1.0]]]]
    """
    region = hidden.float()
    pool = functional.max_pool2d if hidden.ndim == 4 else functional.max_pool3d
    near = pool(region, 2 * overlap + 1, 1, overlap)
    return region + weight * (near - region)


def weighted_squared_error(
    prediction: torch.Tensor, images: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Mean over the batch's pixels of the squared error, weighted.

    Parameters
    ----------
    prediction, images, weights : Tensor
        Of one shape.

    Returns
    -------
    Tensor
        Scalar.

    Examples
    --------
    >>> weights = torch.tensor([1.0, 3.0, 0.0]).reshape(1, 1, 1, 3)
    >>> error = torch.tensor([2.0, 0.0, 9.0]).reshape(1, 1, 1, 3)
    >>> weighted_squared_error(error, torch.zeros_like(error), weights).item()
    1.0
    """
    return ((prediction - images).square() * weights).sum() / weights.sum()


@dataclass(frozen=True)
class InpaintingConfig:
    """Options of inpainting; `share` is of the image's pixels, `overlap` in pixels."""

    blocks: int = 4
    share: float = 0.25
    overlap: int = 0

    def __post_init__(self):
        if self.blocks < 1 or not 0 < self.share < 1 or self.overlap < 0:
            raise UsageError("blocks must be at least 1, share between 0 and 1 and overlap at least 0.")


class Inpainting(nn.Module):
    """Encoder and a small decoder that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> Inpainting(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = InpaintingConfig

    def __init__(self, encoder: nn.Module, config: InpaintingConfig | None = None):
        super().__init__()
        self.config = config or InpaintingConfig()
        self.encoder = encoder
        self.decoder = Decoder(encoder.width, encoder.stride, dimensions_of(encoder))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides]; hidden pixels are set to the pool's mean."""
        config, images = self.config, view(images)
        batch, _, *sides = images.shape
        hidden = random_blocks(batch, sides, config.blocks, config.share, generator)
        prediction = self.decoder(self.encoder.features(images * ~hidden), *sides)
        weights = pixel_weights(hidden, config.overlap)
        return weighted_squared_error(prediction, images.float(), weights)
