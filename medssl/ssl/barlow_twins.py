"""Barlow Twins: the correlations between the features of two views should form the identity matrix.

Zbontar, Jing, Misra, LeCun and Deny (2021), "Barlow Twins: self-supervised learning via redundancy
reduction": sum over i of (1 - C_ii)^2 + lambda x sum over i and j != i of C_ij^2.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["BarlowTwins", "cross_correlation", "redundancy_reduction"]


def cross_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Correlations over the batch between dimensions of two views (Zbontar et al. 2021).

    Parameters
    ----------
    first, second : Tensor
        Shape [batch, dimensions]; row i of each is the same image.

    Returns
    -------
    Tensor
        Shape [dimensions, dimensions], each in -1..1; 0 for a dimension that is constant over the batch.

    Notes
    -----
    1e-5 is added to the variances, as the batch normalisation of the authors' code does.

    Examples
    --------
    >>> signs = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> cross_correlation(signs, -signs).diagonal().round(decimals=3).tolist()
    [-1.0, -1.0]
    """
    with single_precision(first, second) as views:
        first, second = (functional.batch_norm(view, None, None, training=True) for view in views)
        return first.T @ second / len(first)


def redundancy_reduction(first: torch.Tensor, second: torch.Tensor, off_diagonal: float) -> torch.Tensor:
    """Distance of the correlations from the identity matrix (Zbontar et al. 2021).

    Parameters
    ----------
    first, second : Tensor
        Projections of the two views, shape [batch, dimensions].
    off_diagonal : float
        The paper's lambda.

    Returns
    -------
    Tensor
        Scalar; 0 for equal views with uncorrelated dimensions, and
        off_diagonal x dimensions x (dimensions - 1) for equal views whose dimensions are all the same.

    Examples
    --------
    >>> same = torch.tensor([[3.0], [-3.0]]).expand(2, 4)
    >>> round(redundancy_reduction(same, same, 0.5).item(), 3)
    6.0
    """
    correlation = cross_correlation(first, second)  # [dimensions, dimensions]
    diagonal = correlation.diagonal()
    rest = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * rest


@dataclass(frozen=True)
class BarlowTwinsConfig:
    """Options of Barlow Twins; `off_diagonal` is the paper's lambda."""

    off_diagonal: float = 0.005
    projection: int = 128

    def __post_init__(self):
        if not self.off_diagonal > 0 or self.projection < 2:
            raise UsageError("off_diagonal must be above 0 and projection at least 2.")


class BarlowTwins(nn.Module):
    """Encoder and a three-layer projector.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> BarlowTwins(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = BarlowTwinsConfig

    def __init__(self, encoder: nn.Module, config: BarlowTwinsConfig | None = None):
        super().__init__()
        self.config = config or BarlowTwinsConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, *[self.config.projection] * 3, bias=False)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass the encoder together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        first, second = self.projector(self.encoder(views)).chunk(2)
        return redundancy_reduction(first, second, self.config.off_diagonal)
