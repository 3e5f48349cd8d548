"""SimMIM: hide patches of an image and predict their raw pixels with one layer.

Xie, Zhang, Cao, Lin, Bao, Yao, Dai and Hu (2022), "SimMIM: a simple framework for masked image modeling":
random patches, a learnable mask token, a one-layer head, the absolute error on hidden pixels only.

The paper replaces embedded patches of a transformer by the token.
A convolution has none, so here the token is a patch of pixels that is learnt and stands in the image itself;
with `token="mean"` it is the mean of the pool (zero after standardisation) and stays so.
That is the convolutional form of the idea, and results for it are not results for the transformer.

Volumes have cubes for patches, and the token is one; everything else is the same.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from medssl.errors import UsageError
from medssl.ssl._dimensions import PutPatches, cut, dimensions_of, in_pixels, layer
from medssl.ssl.masked_autoencoder import hide_at_random

__all__ = ["SimMIM", "hidden_absolute_error", "hide_patches"]


def hide_patches(images: torch.Tensor, hidden: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
    """Put the token into hidden patches.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width], sides divisible by the token's.
    hidden : Tensor of bool
        Shape [batch, height / patch, width / patch], for volumes with depth / patch before them.
    token : Tensor
        The pixels of a hidden patch, shape [patch, patch] or [patch, patch, patch].

    Returns
    -------
    Tensor
        Shape of `images`.

    Examples
    --------
    >>> hidden = torch.tensor([[[True, False]]])
    >>> hide_patches(torch.ones(1, 1, 2, 4), hidden, torch.zeros(2, 2)).tolist()
    [[[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]]
    """
    tokens = token.tile(hidden.shape[1:])  # [height, width]
    return torch.where(in_pixels(hidden, len(token)), tokens, images)


def hidden_absolute_error(
    prediction: torch.Tensor, images: torch.Tensor, hidden: torch.Tensor
) -> torch.Tensor:
    """Mean absolute error over the hidden pixels of the batch (Xie et al. 2022, section 3.4).

    Parameters
    ----------
    prediction, images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    hidden : Tensor of bool
        Shape [batch, rows, columns], where rows divides the height and columns the width, or with layers
        before them, which divide the depth.

    Returns
    -------
    Tensor
        Scalar.

    Examples
    --------
    >>> hidden = torch.tensor([[[True, False]]])
    >>> hidden_absolute_error(torch.zeros(1, 1, 2, 4), torch.full((1, 1, 2, 4), -3.0), hidden).item()
    3.0
    """
    pixels = in_pixels(hidden, images.shape[-1] // hidden.shape[-1])
    return ((prediction - images).abs() * pixels).sum() / pixels.sum()


@dataclass(frozen=True)
class SimMIMConfig:
    """Options of SimMIM; `patch` is in pixels, `token` is "learned" or "mean"."""

    patch: int = 4
    ratio: float = 0.6
    token: Literal["learned", "mean"] = "learned"

    def __post_init__(self):
        if self.patch < 2 or not 0 < self.ratio < 1:
            raise UsageError("patch must be at least 2 pixels and ratio between 0 and 1.")
        if self.token not in ("learned", "mean"):
            raise UsageError(f"token must be 'learned' or 'mean', got {self.token!r}.")


class SimMIM(nn.Module):
    """Encoder, token and a one-layer head; token and head are thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> SimMIM(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = SimMIMConfig

    def __init__(self, encoder: nn.Module, config: SimMIMConfig | None = None):
        super().__init__()
        self.config = config or SimMIMConfig()
        self.encoder = encoder
        dimensions, stride = dimensions_of(encoder), encoder.stride
        token = torch.zeros(dimensions * (self.config.patch,))
        if self.config.token == "learned":
            self.token = nn.Parameter(token)
        else:
            self.register_buffer("token", token)
        shuffle = nn.PixelShuffle if dimensions == 2 else PutPatches
        self.head = nn.Sequential(
            layer("Conv", dimensions)(encoder.width, stride**dimensions, 1), shuffle(stride)
        )

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides] with sides divisible by `patch`."""
        images = view(images)
        hidden = hide_at_random(images, self.config.patch, self.config.ratio, generator)
        features = self.encoder.features(hide_patches(images, hidden, self.token))
        prediction = cut(self.head(features), images.shape[2:])
        return hidden_absolute_error(prediction.float(), images.float(), hidden)
