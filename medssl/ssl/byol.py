"""BYOL: predict a slow copy's projection of one view from the other view, without negatives.

Grill et al. (2020), "Bootstrap your own latent: a new approach to self-supervised learning":
the squared distance of unit vectors, 2 - 2 cos(prediction, target), summed over both ways round.

The target network is a momentum average of encoder and projector; its momentum rises to 1 by half a cosine.
The authors start it at 0.996; the default here is lower, because runs on small pools have hundreds of steps.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._momentum import follow, momentum_at, teacher_of
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["BYOL", "normalised_squared_error"]


def normalised_squared_error(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared distance of unit vectors (Grill et al. 2020); the target gets no gradient.

    Parameters
    ----------
    prediction, target : Tensor
        Shape [batch, dimensions]; row i of each is the same image.

    Returns
    -------
    Tensor
        Mean of 2 - 2 cos over the batch: 0 for equal directions, 2 for orthogonal and 4 for opposite ones.

    Examples
    --------
    >>> normalised_squared_error(torch.eye(3), 5 * torch.eye(3).roll(1, 0)).item()
    2.0
    """
    with single_precision(prediction, target.detach()) as (prediction, target):
        return 2 - 2 * functional.cosine_similarity(prediction, target).mean()


@dataclass(frozen=True)
class BYOLConfig:
    """Options of BYOL; `momentum` is that of the first step, `hidden` the width inside both heads."""

    momentum: float = 0.99
    projection: int = 128
    hidden: int = 256

    def __post_init__(self):
        if not 0 <= self.momentum <= 1 or min(self.projection, self.hidden) < 1:
            raise UsageError("momentum must be between 0 and 1, projection and hidden at least 1.")


class BYOL(nn.Module):
    """Encoder, projector and predictor, and a teacher of encoder and projector.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> BYOL(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = BYOLConfig

    def __init__(self, encoder: nn.Module, config: BYOLConfig | None = None):
        super().__init__()
        self.config = config or BYOLConfig()
        hidden, projection = self.config.hidden, self.config.projection
        self.encoder = encoder
        self.projector = mlp(encoder.width, hidden, projection)
        self.predictor = mlp(projection, hidden, projection)
        self.teacher = teacher_of(self.student())

    def student(self) -> nn.Sequential:
        """Return the part that the teacher follows: it has no predictor."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass a network together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        first, second = self.predictor(self.projector(self.encoder(views))).chunk(2)
        with torch.no_grad():
            first_target, second_target = self.teacher(views).chunk(2)
        return normalised_squared_error(first, second_target) + normalised_squared_error(second, first_target)

    def after_step(self, step: int, steps: int) -> None:
        """Let the teacher follow."""
        follow(self.teacher, self.student(), momentum_at(step, steps, self.config.momentum))
