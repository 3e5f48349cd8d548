"""SimSiam: predict one view's projection from the other's; a stopped gradient is all that prevents collapse.

Chen and He (2021), "Exploring simple Siamese representation learning":
minus the cosine of prediction and projection, averaged over both ways round.

Without the stopped gradient all images move to one direction, at which the loss is -1; the normalisation at
the end of the projector only slows that.
Collapse is silent, because the loss looks best then: read `feature_deviation` in the history of a run.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["SimSiam", "negative_cosine"]


def negative_cosine(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Minus the mean cosine (Chen and He 2021); the target gets no gradient.

    Parameters
    ----------
    prediction, target : Tensor
        Shape [batch, dimensions]; row i of each is the same image.

    Returns
    -------
    Tensor
        -1 for equal directions, 0 for orthogonal and 1 for opposite ones.

    Examples
    --------
    >>> negative_cosine(torch.eye(3), 2 * torch.eye(3)).item()
    -1.0
    """
    with single_precision(prediction, target.detach()) as (prediction, target):
        return -functional.cosine_similarity(prediction, target).mean()


@dataclass(frozen=True)
class SimSiamConfig:
    """Options of SimSiam; `bottleneck` is the width inside the predictor."""

    projection: int = 128
    bottleneck: int = 64

    def __post_init__(self):
        if min(self.projection, self.bottleneck) < 1:
            raise UsageError("projection and bottleneck must be at least 1.")


class SimSiam(nn.Module):
    """Encoder, a three-layer projector that ends in batch normalisation, and a predictor with a bottleneck.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> SimSiam(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = SimSiamConfig

    def __init__(self, encoder: nn.Module, config: SimSiamConfig | None = None):
        super().__init__()
        self.config = config or SimSiamConfig()
        width, projection = encoder.width, self.config.projection
        self.encoder = encoder
        self.projector = nn.Sequential(
            mlp(width, width, width, projection, bias=False), nn.BatchNorm1d(projection, affine=False)
        )
        self.predictor = mlp(projection, self.config.bottleneck, projection)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass the encoder together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        projections = self.projector(self.encoder(views))
        first_target, second_target = projections.chunk(2)
        first, second = self.predictor(projections).chunk(2)
        return (negative_cosine(first, second_target) + negative_cosine(second, first_target)) / 2
