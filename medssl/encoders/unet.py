"""The encoder half of a U-Net, for images and for volumes."""

from itertools import pairwise

import torch
from torch import nn

from medssl.encoders._layers import convolution, normalisation, pooled

__all__ = ["UNet", "UNet3D"]


def _level(dimensions, inputs, outputs, stride):
    layers = []
    for channels, step in ((inputs, stride), (outputs, 1)):
        layers += [convolution(dimensions, channels, outputs, 3, step), normalisation(dimensions, outputs)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Four levels of two convolutions, each with batch normalisation and rectification: 1.2 million weights.

    After Ronneberger et al. (2015), and Cicek et al. (2016), who normalise before each rectification.
    A level halves the map by the stride of its first convolution and not by pooling, because the gradient of
    3-D pooling differs between runs on a GPU.

    Examples
    --------
    >>> [tuple(part.shape) for part in UNet().pyramid(torch.zeros(1, 1, 28, 20))]
    [(1, 32, 28, 20), (1, 64, 14, 10), (1, 128, 7, 5), (1, 256, 4, 3)]
    """

    dimensions = 2
    width = 256
    stride = 8
    pyramid_widths = (32, 64, 128, 256)
    pyramid_strides = (1, 2, 4, 8)

    def __init__(self):
        super().__init__()
        self.levels = nn.ModuleList(
            _level(self.dimensions, inputs, outputs, stride=1 if inputs == 1 else 2)
            for inputs, outputs in pairwise((1, *self.pyramid_widths))
        )

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the map of each level from fine to coarse, with the class's channels and strides."""
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to [batch, width, height / 8, width / 8], rounded up."""
        return self.pyramid(x)[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to pooled features [batch, width]."""
        return pooled(self.features(x))


class UNet3D(UNet):
    """U-Net encoder for volumes [batch, 1, depth, height, width], half as wide: 0.88 million weights.

    Examples
    --------
    >>> UNet3D().features(torch.zeros(1, 1, 8, 16, 12)).shape
    torch.Size([1, 128, 1, 2, 2])
    """

    dimensions = 3
    width = 128
    pyramid_widths = (16, 32, 64, 128)
