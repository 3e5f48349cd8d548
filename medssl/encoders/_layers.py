"""What encoders of images and of volumes share: layers by number of dimensions, and pooling."""

import torch
from torch import nn

__all__ = ["convolution", "normalisation", "pooled"]

_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMALISATION = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def convolution(dimensions: int, inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    """Return a convolution without bias that keeps the size, divided by the stride and rounded up.

    Examples
    --------
    >>> convolution(3, 1, 2, kernel=3, stride=2)(torch.zeros(1, 1, 7, 8, 9)).shape
    torch.Size([1, 2, 4, 4, 5])
    """
    return _CONVOLUTION[dimensions](inputs, outputs, kernel, stride, kernel // 2, bias=False)


def normalisation(dimensions: int, channels: int) -> nn.Module:
    """Return batch normalisation of images or volumes.

    Examples
    --------
    >>> type(normalisation(3, 8)).__name__
    'BatchNorm3d'
    """
    return _NORMALISATION[dimensions](channels)


def pooled(features: torch.Tensor) -> torch.Tensor:
    """Return the mean over all places of a map [batch, width, ...], shape [batch, width].

    Examples
    --------
    >>> pooled(torch.ones(2, 5, 3, 3, 3)).shape
    torch.Size([2, 5])
    """
    return features.mean(tuple(range(2, features.ndim)))
