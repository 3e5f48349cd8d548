"""SimCLR: two views of an image attract each other and repel the other images of the batch.

Chen, Kornblith, Norouzi and Hinton (2020), "A simple framework for contrastive learning of visual
representations", equation 1 and algorithm 1.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["SimCLR", "normalised_temperature_cross_entropy"]


def normalised_temperature_cross_entropy(
    first: torch.Tensor, second: torch.Tensor, temperature: float
) -> torch.Tensor:
    """NT-Xent loss of two sets of projections (Chen et al. 2020, equation 1).

    Parameters
    ----------
    first, second : Tensor
        Projections of the two views, shape [batch, dimensions]; row i of each is the same image.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Mean over the 2 x batch anchors; log(2 x batch - 1) when all projections are equal.

    Examples
    --------
    >>> round(normalised_temperature_cross_entropy(torch.ones(4, 3), torch.ones(4, 3), 0.5).item(), 4)
    1.9459
    """
    batch = len(first)
    with single_precision(torch.cat([first, second])) as (z,):
        z = functional.normalize(z, dim=1)  # [2 batch, dimensions]
        itself = torch.eye(2 * batch, dtype=torch.bool, device=z.device)
        similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
        partner = torch.arange(2 * batch, device=z.device).roll(batch)
        return functional.cross_entropy(similarity, partner)


@dataclass(frozen=True)
class SimCLRConfig:
    """Options of SimCLR."""

    temperature: float = 0.2
    projection: int = 128

    def __post_init__(self):
        if not self.temperature > 0 or self.projection < 1:
            raise UsageError("temperature must be above 0 and projection at least 1.")


class SimCLR(nn.Module):
    """Encoder and a two-layer projection head that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> SimCLR(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = SimCLRConfig

    def __init__(self, encoder: nn.Module, config: SimCLRConfig | None = None):
        super().__init__()
        self.config = config or SimCLRConfig()
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, encoder.width, bias=False),
            nn.BatchNorm1d(encoder.width),
            nn.ReLU(inplace=True),
            nn.Linear(encoder.width, self.config.projection),
        )

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass the encoder together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        first, second = self.projector(self.encoder(views)).chunk(2)
        return normalised_temperature_cross_entropy(first, second, self.config.temperature)
