"""SwAV: assign views to prototypes so that all are used alike, and predict one view's code from the other.

Caron, Misra, Mairal, Goyal, Bojanowski and Joulin (2020), "Unsupervised learning of visual features by
contrasting cluster assignments": codes from three Sinkhorn-Knopp iterations, and the
cross-entropy between the code of one view and the softmax of the other view's scores.

There are two views of one size; the paper's multi-crop adds smaller ones, which the loss does not need.
There is no queue of features either: it serves batches smaller than the number of prototypes, so the
number of prototypes here should not exceed the batch.
Near-equal features, as of a random encoder, lead to equal codes and a loss that stays at log(prototypes);
a small epsilon and prototypes that stay as they are in the first steps work against it, and the default of
epsilon is below the paper's 0.05 because small pools of similar images need it.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["SwAV", "sinkhorn_codes", "swapped_prediction"]


@torch.no_grad()
def sinkhorn_codes(scores: torch.Tensor, epsilon: float, iterations: int = 3) -> torch.Tensor:
    """Soft assignments that use each prototype equally often (Caron et al. 2020).

    Parameters
    ----------
    scores : Tensor
        Cosines of projections and prototypes, shape [batch, prototypes].
    epsilon : float
        Weight of the entropy: small values give nearly hard codes.
    iterations : int
        Times that columns and rows of exp(scores / epsilon) are normalised in turn.

    Returns
    -------
    Tensor
        Shape [batch, prototypes]; rows sum to 1, columns nearly to batch / prototypes.
        The computation is in logarithms, so that no epsilon overflows.

    Examples
    --------
    >>> sinkhorn_codes(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0.05).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    with single_precision(scores) as (scores,):
        logarithm = scores / epsilon
        for _ in range(iterations):
            logarithm = logarithm.log_softmax(0).log_softmax(1)
        return logarithm.exp()


def swapped_prediction(
    first: torch.Tensor, second: torch.Tensor, temperature: float, epsilon: float
) -> torch.Tensor:
    """Cross-entropy between the codes of one view and the scores of the other.

    Parameters
    ----------
    first, second : Tensor
        Scores of the two views, shape [batch, prototypes]; the codes get no gradient.
    temperature, epsilon : float
        Softness of the prediction and of the codes.

    Returns
    -------
    Tensor
        Mean over images and both ways round; log(prototypes) when all scores are equal.

    Examples
    --------
    >>> round(swapped_prediction(torch.zeros(8, 5), torch.zeros(8, 5), 0.1, 0.05).item(), 4)
    1.6094
    """
    with single_precision(first, second) as (first, second):
        pairs = ((first, second), (second, first))
        return sum(
            functional.cross_entropy(scores / temperature, sinkhorn_codes(other, epsilon)) / 2
            for other, scores in pairs
        )


@dataclass(frozen=True)
class SwAVConfig:
    """Options of SwAV; prototypes stay as they are during the first share `frozen` of the steps."""

    temperature: float = 0.1
    epsilon: float = 0.02
    projection: int = 128
    prototypes: int = 32
    frozen: float = 0.05

    def __post_init__(self):
        if not min(self.temperature, self.epsilon) > 0 or not 0 <= self.frozen < 1:
            raise UsageError("temperature and epsilon must be above 0, frozen at least 0 and below 1.")
        if self.projection < 1 or self.prototypes < 2:
            raise UsageError("projection must be at least 1 and prototypes at least 2.")


class SwAV(nn.Module):
    """Encoder, a two-layer projector, and prototypes of unit length.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> SwAV(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = SwAVConfig

    def __init__(self, encoder: nn.Module, config: SwAVConfig | None = None):
        super().__init__()
        self.config = config or SwAVConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, encoder.width, self.config.projection)
        random = torch.randn(self.config.prototypes, self.config.projection)
        self.prototypes = nn.Parameter(functional.normalize(random))  # [prototypes, dimensions]
        self.register_buffer("frozen", torch.tensor(self.config.frozen > 0))

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass the encoder together."""
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, height, width]
        prototypes = self.prototypes.detach() if self.frozen else self.prototypes
        with single_precision(self.projector(self.encoder(views)), prototypes) as (projections, prototypes):
            first, second = (functional.normalize(projections) @ prototypes.T).chunk(2)
        return swapped_prediction(first, second, self.config.temperature, self.config.epsilon)

    @torch.no_grad()
    def after_step(self, step: int, steps: int) -> None:
        """Give the prototypes unit length again, and free them when their share of the steps is over."""
        self.prototypes.copy_(functional.normalize(self.prototypes))
        self.frozen.fill_(step + 1 < self.config.frozen * steps)
