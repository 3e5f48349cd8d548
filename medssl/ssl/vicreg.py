"""VICReg: views agree (invariance), each dimension varies (variance), no two say the same (covariance).

Bardes, Ponce and LeCun (2022), "VICReg: variance-invariance-covariance regularization for self-supervised
learning".

The squared differences are averaged over dimensions and the variance terms over the two views, as in
the authors' code, because the weights 25, 25 and 1 belong to that scale.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["VICReg", "covariance_term", "variance_invariance_covariance", "variance_term"]


def variance_term(projections: torch.Tensor) -> torch.Tensor:
    """Mean over dimensions of max(0, 1 - sqrt(variance + 1e-4)) (Bardes et al. 2022).

    Parameters
    ----------
    projections : Tensor
        Shape [batch, dimensions].

    Returns
    -------
    Tensor
        Scalar in 0..0.99: 0 where each deviation over the batch is at least 1, 0.99 where all are 0.

    Examples
    --------
    >>> round(variance_term(torch.ones(4, 3)).item(), 4)
    0.99
    """
    with single_precision(projections) as (projections,):
        return functional.relu(1 - (projections.var(0) + 1e-4).sqrt()).mean()


def covariance_term(projections: torch.Tensor) -> torch.Tensor:
    """Squared covariances of different dimensions, summed and divided by dimensions.

    Parameters
    ----------
    projections : Tensor
        Shape [batch, dimensions].

    Returns
    -------
    Tensor
        Scalar; 0 for uncorrelated dimensions, (dimensions - 1) x variance^2 where all are the same.

    Examples
    --------
    >>> covariance_term(torch.tensor([[-1.0], [0.0], [1.0]]).expand(3, 4)).item()
    3.0
    """
    with single_precision(projections) as (projections,):
        centred = projections - projections.mean(0)
        covariance = centred.T @ centred / (len(centred) - 1)  # [dimensions, dimensions]
        return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)


def variance_invariance_covariance(
    first: torch.Tensor, second: torch.Tensor, invariance: float, variance: float, covariance: float
) -> torch.Tensor:
    """Weighted sum of the three terms (Bardes et al. 2022).

    Parameters
    ----------
    first, second : Tensor
        Projections of the two views, shape [batch, dimensions].
    invariance, variance, covariance : float
        The paper's lambda, mu and nu.

    Returns
    -------
    Tensor
        Scalar; 0.99 x variance when all projections are equal.

    Examples
    --------
    >>> round(variance_invariance_covariance(torch.ones(4, 3), torch.ones(4, 3), 25, 25, 1).item(), 4)
    24.75
    """
    with single_precision(first, second) as (first, second):
        return (
            invariance * functional.mse_loss(first, second)
            + variance * (variance_term(first) + variance_term(second)) / 2
            + covariance * (covariance_term(first) + covariance_term(second))
        )


@dataclass(frozen=True)
class VICRegConfig:
    """Options of VICReg: the weights of the three terms and the length of a projection."""

    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    projection: int = 128

    def __post_init__(self):
        if not min(self.invariance, self.variance, self.covariance) >= 0 or self.projection < 2:
            raise UsageError("invariance, variance and covariance must be 0 or more, projection at least 2.")


class VICReg(nn.Module):
    """Encoder and a three-layer projector, the paper's expander.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> VICReg(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = VICRegConfig

    def __init__(self, encoder: nn.Module, config: VICRegConfig | None = None):
        super().__init__()
        self.config = config or VICRegConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, *[self.config.projection] * 3, bias=False)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass the encoder together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        first, second = self.projector(self.encoder(views)).chunk(2)
        weights = (self.config.invariance, self.config.variance, self.config.covariance)
        return variance_invariance_covariance(first, second, *weights)
