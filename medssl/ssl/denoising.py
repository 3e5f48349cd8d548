"""Denoising autoencoder: add noise to an image and predict the image without it.

Vincent, Larochelle, Bengio and Manzagol (2008), "Extracting and composing robust features with denoising
autoencoders", and Vincent et al. (2010), "Stacked denoising autoencoders", here with additive isotropic
Gaussian noise and the squared error.

The papers stack layers that are trained one after another; here a whole convolutional encoder is trained
at once, with a small decoder.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._decoder import Decoder
from medssl.ssl._dimensions import dimensions_of

__all__ = ["Denoising", "add_noise"]


def add_noise(images: torch.Tensor, deviation: float, generator: torch.Generator) -> torch.Tensor:
    """Add independent Gaussian noise to every pixel.

    Parameters
    ----------
    images : Tensor
        Any shape, on the generator's device.
    deviation : float
        Standard deviation of the noise in units of the images.
    generator : torch.Generator

    Examples
    --------
    >>> images = torch.zeros(2, 1, 64, 64)
    >>> round(add_noise(images, 0.5, torch.Generator().manual_seed(0)).std().item(), 2)
    0.5
    """
    return images + deviation * torch.randn(images.shape, generator=generator, device=images.device)


@dataclass(frozen=True)
class DenoisingConfig:
    """Options of the denoising autoencoder; `deviation` is in units of the pool's deviation."""

    deviation: float = 0.5

    def __post_init__(self):
        if not self.deviation > 0:
            raise UsageError("deviation must be above 0.")


class Denoising(nn.Module):
    """Encoder and a small decoder that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> Denoising(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = DenoisingConfig

    def __init__(self, encoder: nn.Module, config: DenoisingConfig | None = None):
        super().__init__()
        self.config = config or DenoisingConfig()
        self.encoder = encoder
        self.decoder = Decoder(encoder.width, encoder.stride, dimensions_of(encoder))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the mean squared error of a batch [batch, 1, *sides] against the clean view."""
        images = view(images)
        noisy = add_noise(images, self.config.deviation, generator)
        restored = self.decoder(self.encoder.features(noisy), *images.shape[2:])
        return functional.mse_loss(restored, images.float())
