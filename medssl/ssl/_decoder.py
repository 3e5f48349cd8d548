"""The decoder of the methods that restore an image; it is thrown away after pretraining."""

from itertools import pairwise

import torch
from torch import nn

from medssl.errors import UsageError

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

    Raises
    ------
    UsageError
        The stride is not a power of two.

    Examples
    --------
    >>> Decoder(128, 8)(torch.zeros(2, 128, 4, 4), 28, 30).shape
    torch.Size([2, 1, 28, 30])
    """

    def __init__(self, width: int, stride: int):
        super().__init__()
        steps = stride.bit_length() - 1
        if stride != 2**steps:
            raise UsageError(f"the decoder doubles: the encoder's stride is {stride}, not a power of two.")
        channels = [width, *(max(64 >> step, 16) for step in range(steps))]
        layers = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU(inplace=True), nn.Upsample(scale_factor=2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, features: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return an image [batch, 1, height, width] in single precision; surplus rows are cut off."""
        return self.layers(features)[..., :height, :width].float()
