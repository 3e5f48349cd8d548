"""The fixed layer between frozen features and a linear probe."""

import torch
from torch import nn

__all__ = ["FeatureScale"]


class FeatureScale(nn.Module):
    """Standardise features with the mean and deviation of the labelled images.

    Parameters
    ----------
    mean, deviation : Tensor
        Shape [width].
    """

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (features - mean) / deviation, shape [batch, width]."""
        return (features - self.mean) / self.deviation
