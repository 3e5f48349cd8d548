"""MoCo v3: a predictor asks, a slow copy makes the keys, and the other keys of the batch are the negatives.

Chen, Xie and He (2021), "An empirical study of training self-supervised vision transformers":
the queue of MoCo is gone, the loss goes both ways round and is multiplied by 2 x temperature, and the
momentum of the teacher rises to 1 by half a cosine, as in BYOL.

Heads are those that the authors' code gives to convolutional networks: two layers without bias, and a batch
normalisation without weights at the end of projector and predictor.
That code has the temperature 1 for convolutional networks and 0.2 for vision transformers; 0.2 is the default
here.
The paper also keeps the patch projection of a vision transformer as it was drawn, against steps in which its
training goes wrong.
That is about vision transformers alone, and here no part of any encoder is frozen.
A batch is the only source of negatives, so that a small batch makes the task easy.
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

__all__ = ["MoCoV3", "batch_cross_entropy"]


def batch_cross_entropy(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE loss of queries among the keys of their batch, times 2 x temperature (Chen et al. 2021).

    Parameters
    ----------
    queries, keys : Tensor
        Shape [batch, dimensions]; row i of each is the same image. Keys get no gradient.
    temperature : float
        Divides the cosine similarities; the factor makes the size of the gradient depend less on it.

    Returns
    -------
    Tensor
        Mean over queries; 2 x temperature x log(batch) when all directions are equal.

    Examples
    --------
    >>> round(batch_cross_entropy(torch.ones(8, 3), torch.ones(8, 3), 0.5).item(), 4)
    2.0794
    """
    with single_precision(queries, keys.detach()) as (queries, keys):
        similarity = functional.normalize(queries) @ functional.normalize(keys).T  # [batch, batch]
        own = torch.arange(len(queries), device=queries.device)
        return 2 * temperature * functional.cross_entropy(similarity / temperature, own)


@dataclass(frozen=True)
class MoCoV3Config:
    """Options of MoCo v3; `momentum` is that of the first step, `hidden` the width inside both heads."""

    temperature: float = 0.2
    momentum: float = 0.99
    projection: int = 128
    hidden: int = 256

    def __post_init__(self):
        if not self.temperature > 0 or not 0 <= self.momentum <= 1:
            raise UsageError("temperature must be above 0 and momentum between 0 and 1.")
        if min(self.projection, self.hidden) < 1:
            raise UsageError("projection and hidden must be at least 1.")


def _head(inputs, hidden, outputs):
    layers = mlp(inputs, hidden, outputs, bias=False)
    return nn.Sequential(layers, nn.BatchNorm1d(outputs, affine=False))


class MoCoV3(nn.Module):
    """Encoder, projector and predictor for queries, and a teacher of encoder and projector for keys.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> MoCoV3(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = MoCoV3Config

    def __init__(self, encoder: nn.Module, config: MoCoV3Config | None = None):
        super().__init__()
        self.config = config or MoCoV3Config()
        hidden, projection = self.config.hidden, self.config.projection
        self.encoder = encoder
        self.projector = _head(encoder.width, hidden, projection)
        self.predictor = _head(projection, hidden, projection)
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
            first_key, second_key = self.teacher(views).chunk(2)
        temperature = self.config.temperature
        return batch_cross_entropy(first, second_key, temperature) + batch_cross_entropy(
            second, first_key, temperature
        )

    def after_step(self, step: int, steps: int) -> None:
        """Let the teacher follow."""
        follow(self.teacher, self.student(), momentum_at(step, steps, self.config.momentum))
