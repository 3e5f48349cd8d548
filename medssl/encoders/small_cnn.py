"""A small strided residual network that two processor cores can train, for images and for volumes."""

import torch
from torch import nn

from medssl.encoders._layers import convolution, normalisation, pooled

__all__ = ["ResidualBlock", "SmallCNN", "SmallCNN3D"]


class ResidualBlock(nn.Module):
    """Two convolutions of side 3 with a projected shortcut (He et al. 2016, figure 5 left).

    Parameters
    ----------
    inputs, outputs : int
        Channels before and after.
    stride : int
        Stride of the first convolution and of the shortcut.
    dimensions : int
        2 for images, 3 for volumes.

    Examples
    --------
    >>> ResidualBlock(2, 4, stride=2)(torch.zeros(1, 2, 8, 8)).shape
    torch.Size([1, 4, 4, 4])
    """

    def __init__(self, inputs: int, outputs: int, stride: int, dimensions: int = 2):
        super().__init__()
        self.body = nn.Sequential(
            convolution(dimensions, inputs, outputs, 3, stride),
            normalisation(dimensions, outputs),
            nn.ReLU(inplace=True),
            convolution(dimensions, outputs, outputs, 3, 1),
            normalisation(dimensions, outputs),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                convolution(dimensions, inputs, outputs, 1, stride), normalisation(dimensions, outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output, shape [batch, outputs, height / stride, width / stride]."""
        return torch.relu(self.body(x) + self.shortcut(x))


class SmallCNN(nn.Module):
    """Strided stem and three residual blocks: 0.30 million weights, total stride 8.

    The early strides are what makes it fast: at 28 pixels the blocks work on 7 x 7 and 4 x 4 maps.

    Examples
    --------
    >>> encoder = SmallCNN()
    >>> encoder(torch.zeros(2, 1, 28, 28)).shape, encoder.features(torch.zeros(2, 1, 28, 28)).shape
    (torch.Size([2, 128]), torch.Size([2, 128, 4, 4]))
    """

    dimensions = 2
    width = 128
    stride = 8

    def __init__(self):
        super().__init__()
        dimensions = self.dimensions
        self.stem = nn.Sequential(
            convolution(dimensions, 1, 16, 3, 2), normalisation(dimensions, 16), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            ResidualBlock(16, 32, 2, dimensions),
            ResidualBlock(32, 64, 2, dimensions),
            ResidualBlock(64, 128, 1, dimensions),
        )

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to [batch, 128, height / 8, width / 8], rounded up."""
        return self.blocks(self.stem(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to pooled features [batch, 128]."""
        return pooled(self.features(x))


class SmallCNN3D(SmallCNN):
    """SmallCNN for volumes [batch, 1, depth, height, width], with cubes for squares: 0.88 million weights.

    Examples
    --------
    >>> encoder = SmallCNN3D()
    >>> [tuple(part.shape) for part in encoder.pyramid(torch.zeros(1, 1, 16, 24, 20))]
    [(1, 16, 8, 12, 10), (1, 32, 4, 6, 5), (1, 128, 2, 3, 3)]
    """

    dimensions = 3
    pyramid_widths = (16, 32, 128)
    pyramid_strides = (2, 4, 8)

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return maps from fine to coarse, with the class's channels and strides; the last is `features`."""
        fine = self.stem(x)
        middle = self.blocks[0](fine)
        return [fine, middle, self.blocks[2](self.blocks[1](middle))]
