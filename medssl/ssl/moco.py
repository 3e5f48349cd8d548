"""MoCo: find the key of the same image among a queue of keys that a slow copy of the encoder has made.

He, Fan, Wu, Xie and Girshick (2020), "Momentum contrast for unsupervised visual representation learning",
with the two-layer head and the temperature of Chen, Fan, Girshick and
He (2020), "Improved baselines with momentum contrastive learning".

The queue starts with random directions, as in the paper; one pass over it replaces them all.
It should hold fewer keys than the pool has images, or an image meets its own older keys as negatives.
The authors shuffle a batch among devices so that batch normalisation does not mark a key's batch.
On one device the statistics are those of the whole batch in any order, and shuffling would change nothing;
a batch is then marked a little, and less so the larger it is.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._momentum import follow, teacher_of
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["MoCo", "queue_cross_entropy", "queue_similarity", "replace_oldest"]


def queue_similarity(
    queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Cosines of each query with its own key and with the queue, divided by the temperature.

    Parameters
    ----------
    queries, keys : Tensor
        Shape [batch, dimensions]; row i of each is the same image. Keys get no gradient.
    queue : Tensor
        Unit vectors, shape [length, dimensions].
    temperature : float
        Divides the cosines.

    Returns
    -------
    Tensor
        Shape [batch, 1 + length]; the own key comes first.

    Examples
    --------
    >>> queue_similarity(torch.ones(1, 1), 2 * torch.ones(1, 1), -torch.ones(2, 1), 0.5).tolist()
    [[2.0, -2.0, -2.0]]
    """
    with single_precision(queries, keys.detach(), queue) as (queries, keys, queue):
        queries, keys = functional.normalize(queries), functional.normalize(keys)
        own = (queries * keys).sum(1, keepdim=True)
        return torch.cat([own, queries @ queue.T], 1) / temperature


def queue_cross_entropy(
    queries: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float
) -> torch.Tensor:
    """InfoNCE loss of queries, their keys and a queue of other keys (He et al. 2020).

    Parameters
    ----------
    queries, keys : Tensor
        Shape [batch, dimensions]; row i of each is the same image. Keys get no gradient.
    queue : Tensor
        Keys of other images as unit vectors, shape [length, dimensions].
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Mean over queries; log(1 + length) when all directions are equal.

    Examples
    --------
    >>> round(queue_cross_entropy(torch.ones(2, 1), torch.ones(2, 1), torch.ones(7, 1), 0.2).item(), 4)
    2.0794
    """
    similarity = queue_similarity(queries, keys, queue, temperature)
    return functional.cross_entropy(similarity, similarity.new_zeros(len(queries), dtype=torch.long))


@torch.no_grad()
def replace_oldest(queue: torch.Tensor, oldest: torch.Tensor, keys: torch.Tensor) -> None:
    """Put keys in the places of the oldest of a queue, in place.

    Parameters
    ----------
    queue : Tensor
        Shape [length, dimensions].
    oldest : Tensor of int
        Scalar, the place of the oldest; it moves on.
    keys : Tensor
        Shape [batch, dimensions]; of more keys than places the last ones stay.

    Examples
    --------
    >>> queue, oldest = torch.zeros(3, 1), torch.tensor(2)
    >>> replace_oldest(queue, oldest, torch.tensor([[4.0], [5.0]]))
    >>> queue.flatten().tolist(), oldest.item()
    ([5.0, 0.0, 4.0], 1)
    """
    keys = keys[-len(queue) :]
    places = torch.arange(len(keys), device=keys.device) + oldest
    queue[places % len(queue)] = keys
    oldest.add_(len(keys)).remainder_(len(queue))


@dataclass(frozen=True)
class MoCoConfig:
    """Options of MoCo; `queue` is its number of keys, `momentum` that of the key encoder."""

    temperature: float = 0.2
    projection: int = 128
    queue: int = 512
    momentum: float = 0.99

    def __post_init__(self):
        if not self.temperature > 0 or not 0 <= self.momentum <= 1:
            raise UsageError("temperature must be above 0 and momentum between 0 and 1.")
        if min(self.projection, self.queue) < 1:
            raise UsageError("projection and queue must be at least 1.")


class MoCo(nn.Module):
    """Encoder and head for queries, a teacher of both for keys, and the queue.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> MoCo(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = MoCoConfig

    def __init__(self, encoder: nn.Module, config: MoCoConfig | None = None):
        super().__init__()
        self.config = config or MoCoConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, encoder.width, self.config.projection, normalise=False)
        self.teacher = teacher_of(self.student())
        random = torch.randn(self.config.queue, self.config.projection)
        self.register_buffer("queue", functional.normalize(random))  # [length, dimensions]
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    def student(self) -> nn.Sequential:
        """Return the part that the teacher follows."""
        return nn.Sequential(self.encoder, self.projector)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]: one view asks, the other is the key."""
        first, second = two_views(images, view, partner)
        queries = self.projector(self.encoder(first))
        with torch.no_grad():
            self.keys = functional.normalize(self.teacher(second).float())  # until after_step
        return queue_cross_entropy(queries, self.keys, self.queue, self.config.temperature)

    def after_step(self, step: int, steps: int) -> None:
        """Replace the oldest keys of the queue by those of this step, and let the teacher follow."""
        replace_oldest(self.queue, self.oldest, self.keys)
        follow(self.teacher, self.student(), self.config.momentum)
