"""Masked autoencoder: hide most patches of an image and predict their pixels.

He, Chen, Xie, Li, Dollar and Girshick (2022), "Masked autoencoders are scalable vision learners",
section 3: random patches, mean squared error on the hidden patches only, targets normalised by patch.

A transformer drops hidden patches from its input; a convolution cannot, so here they are set to the
mean of the pool (zero after standardisation) and the decoder is a single transposed convolution.
That is the convolutional form of the idea, and results for it are not results for the transformer.

Volumes have cubes for patches; everything else is the same.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from medssl.errors import UsageError
from medssl.ssl._dimensions import cut, dimensions_of, in_pixels, in_words, layer, take_patches

__all__ = ["MaskedAutoencoder", "hidden_patch_error", "hide_at_random", "random_mask"]


def random_mask(
    batch: int, rows: int, columns: int, ratio: float, generator: torch.Generator
) -> torch.Tensor:
    """Hide exactly round(ratio x patches) patches of each image, chosen uniformly.

    Returns
    -------
    Tensor of bool
        True where hidden, shape [batch, rows, columns], on the generator's device.

    Examples
    --------
    >>> random_mask(2, 4, 4, 0.75, torch.Generator()).sum((1, 2)).tolist()
    [12, 12]
    """
    noise = torch.rand(batch, rows * columns, generator=generator, device=generator.device)
    hidden = noise.argsort(1).argsort(1) < round(ratio * rows * columns)
    return hidden.reshape(batch, rows, columns)


def hide_at_random(
    images: torch.Tensor, patch: int, ratio: float, generator: torch.Generator
) -> torch.Tensor:
    """Hide the same share of patches in each image or volume.

    Returns
    -------
    Tensor of bool
        True where hidden, shape [batch, rows, columns], for volumes [batch, layers, rows, columns].

    Raises
    ------
    UsageError
        A side does not divide into patches.

    Examples
    --------
    >>> hide_at_random(torch.rand(2, 1, 8, 16, 16), 4, 0.75, torch.Generator()).sum((1, 2, 3)).tolist()
    [24, 24]
    """
    batch, _, *sides = images.shape
    if any(side % patch for side in sides):
        raise UsageError(f"{in_words(sides)} do not divide into patches of {patch}.")
    grid = [side // patch for side in sides]
    hidden = random_mask(batch, math.prod(grid[:-1]), grid[-1], ratio, generator)
    return hidden.reshape(batch, *grid)


def hidden_patch_error(
    prediction: torch.Tensor, images: torch.Tensor, hidden: torch.Tensor, patch: int
) -> torch.Tensor:
    """Mean squared error on hidden patches, each target patch with mean 0 and variance 1.

    Parameters
    ----------
    prediction, images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width], sides divisible by `patch`.
    hidden : Tensor of bool
        Shape [batch, height / patch, width / patch], for volumes with depth / patch before them.
    patch : int
        Side of a patch in pixels.

    Returns
    -------
    Tensor
        Scalar; (p - 1) / p for a prediction of zeros on patches that are not constant and have p pixels.

    Notes
    -----
    The variance is unbiased and 1e-6 is added to it, as in the authors' code.
    """
    target = take_patches(images, patch)  # [batch, patch * patch, rows, columns]
    target = (target - target.mean(1, keepdim=True)) / (target.var(1, keepdim=True) + 1e-6).sqrt()
    error = (take_patches(prediction, patch) - target).square().mean(1)
    return error[hidden].mean()


@dataclass(frozen=True)
class MaskedAutoencoderConfig:
    """Options of the masked autoencoder; `patch` is in pixels."""

    patch: int = 4
    ratio: float = 0.6

    def __post_init__(self):
        if self.patch < 2 or not 0 < self.ratio < 1:
            raise UsageError("patch must be at least 2 pixels and ratio between 0 and 1.")


class MaskedAutoencoder(nn.Module):
    """Encoder and a one-layer decoder that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> MaskedAutoencoder(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = MaskedAutoencoderConfig

    def __init__(self, encoder: nn.Module, config: MaskedAutoencoderConfig | None = None):
        super().__init__()
        self.config = config or MaskedAutoencoderConfig()
        self.encoder = encoder
        upsample = layer("ConvTranspose", dimensions_of(encoder))
        self.decoder = upsample(encoder.width, 1, encoder.stride, encoder.stride)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides] with sides divisible by `patch`."""
        patch, images = self.config.patch, view(images)
        hidden = hide_at_random(images, patch, self.config.ratio, generator)
        prediction = self.decoder(self.encoder.features(images * ~in_pixels(hidden, patch)))
        prediction = cut(prediction, images.shape[2:])
        return hidden_patch_error(prediction.float(), images.float(), hidden, patch)
