"""The decoder of the methods that restore an image; it is thrown away after pretraining."""

from itertools import pairwise

import torch
from torch import nn

from medssl.errors import UsageError
from medssl.ssl._dimensions import cut, layer

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """Convolve and double the feature map until it has the size of the image.

    The channels are few (64, 32, 16), so that the encoder has to do the work and a step stays cheap.
    Doubling repeats pixels: its gradient is the same in every run, which is not so for bilinear doubling.

    Parameters
    ----------
    width : int
        Channels of the feature map.
    stride : int
        Pixels of the image a feature stands for along one side; a power of two.
    dimensions : int
        2 for images, 3 for volumes.

    Raises
    ------
    UsageError
        The stride is not a power of two.

    Examples
    --------
    >>> Decoder(128, 8)(torch.zeros(2, 128, 4, 4), 28, 30).shape
    torch.Size([2, 1, 28, 30])
    >>> Decoder(16, 4, dimensions=3)(torch.zeros(2, 16, 2, 3, 3), 8, 12, 10).shape
    torch.Size([2, 1, 8, 12, 10])
    """

    def __init__(self, width: int, stride: int, dimensions: int = 2):
        super().__init__()
        steps = stride.bit_length() - 1
        if stride != 2**steps:
            raise UsageError(f"the decoder doubles: the encoder's stride is {stride}, not a power of two.")
        channels = [width, *(max(64 >> step, 16) for step in range(steps))]
        convolution, normalisation = layer("Conv", dimensions), layer("BatchNorm", dimensions)
        layers = []
        for inputs, outputs in pairwise(channels):
            layers += [convolution(inputs, outputs, 3, padding=1, bias=False), normalisation(outputs)]
            layers += [nn.ReLU(inplace=True), nn.Upsample(scale_factor=2)]
        self.layers = nn.Sequential(*layers, convolution(channels[-1], 1, 3, padding=1))

    def forward(self, features: torch.Tensor, *sides: int) -> torch.Tensor:
        """Return an image [batch, 1, *sides] in single precision; surplus rows are cut off."""
        return cut(self.layers(features), sides).float()
