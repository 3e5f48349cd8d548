"""PIRL: the vector of an image should be that of its jigsaw, whichever way the tiles lie.

Misra and van der Maaten (2020), "Self-supervised learning of pretext-invariant representations":
where the jigsaw of Noroozi and Favaro asks in which order the tiles are, PIRL asks for a vector that does not
know.
Tiles pass the encoder one by one and a linear layer each; their vectors in random order pass another linear
layer, and the image has a linear head of its own.
Both vectors are contrasted with a memory of images, and the two losses are weighted and added.

The memory differs from the paper.
There a bank holds a vector of each image of the pool, a running average over epochs that is found by the
image's number; here a loss sees images without numbers.
So the positive of an image is its own vector from a slow copy of encoder and head, made from a third view,
and the negatives are a queue of the vectors that this copy made of recent images, as in MoCo.
The positive is thus of the present step and not of earlier epochs, the momentum is that of weights and not
of vectors, and an image can meet an older vector of itself among the negatives unless the queue is shorter
than the pool.

The grid is 2 x 2 by default, for the reason that `medssl.ssl.jigsaw` gives; the paper has 3 x 3.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._momentum import follow, teacher_of
from medssl.ssl.jigsaw import random_tiles, shuffle_tiles
from medssl.ssl.moco import queue_similarity, replace_oldest

__all__ = ["PIRL", "noise_contrastive_loss"]


def noise_contrastive_loss(
    vectors: torch.Tensor, keys: torch.Tensor, queue: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Tell the own key from a queue of others (Misra and van der Maaten 2020).

    With p the softmax of cosine / temperature over the own key and the queue, the loss is
    minus log p of the own key minus the sum of log(1 - p) over the queue.

    Parameters
    ----------
    vectors, keys : Tensor
        Shape [batch, dimensions]; row i of each is the same image. Keys get no gradient.
    queue : Tensor
        Vectors of other images of unit length, shape [length, dimensions].
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Mean over images; log(1 + length) + length x log(1 + 1 / length) when all directions are equal.

    Notes
    -----
    A p of a negative above 1 - 1e-6 counts as this, so that the loss stays finite.

    Examples
    --------
    >>> one = torch.ones(2, 1)
    >>> round(noise_contrastive_loss(one, one, torch.ones(1, 1), 0.1).item(), 4)  # 2 log 2
    1.3863
    """
    logarithm = queue_similarity(vectors, keys, queue, temperature).log_softmax(1)  # [batch, 1 + length]
    rejected = torch.log1p(-logarithm[:, 1:].exp().clamp_max(1 - 1e-6))
    return -(logarithm[:, 0] + rejected.sum(1)).mean()


@dataclass(frozen=True)
class PIRLConfig:
    """Options of PIRL; `weight` is the paper's lambda, the share of the jigsaw in the loss.

    `grid` is the number of tiles along a side, `queue` the number of vectors in memory and `momentum`
    that of the copy which makes them.
    """

    weight: float = 0.5
    temperature: float = 0.07
    grid: int = 2
    projection: int = 128
    queue: int = 512
    momentum: float = 0.99

    def __post_init__(self):
        if not 0 <= self.weight <= 1 or not 0 <= self.momentum <= 1 or not self.temperature > 0:
            raise UsageError("weight and momentum must be between 0 and 1, temperature above 0.")
        if self.grid not in (2, 3) or min(self.projection, self.queue) < 1:
            raise UsageError("grid must be 2 or 3, projection and queue at least 1.")


class PIRL(nn.Module):
    """Encoder with a linear head for images and two layers for tiles, a teacher, and a queue of its vectors.

    Raises
    ------
    UsageError
        The encoder is one of volumes.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> PIRL(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = PIRLConfig

    def __init__(self, encoder: nn.Module, config: PIRLConfig | None = None):
        super().__init__()
        if getattr(encoder, "dimensions", 2) != 2:
            raise UsageError(f"pirl cuts images into tiles, and {type(encoder).__name__} is for volumes.")
        self.config = config or PIRLConfig()
        projection, tiles = self.config.projection, self.config.grid**2
        self.encoder = encoder
        self.projector = nn.Linear(encoder.width, projection)
        self.tile_projector = nn.Linear(encoder.width, projection)
        self.jigsaw_projector = nn.Linear(tiles * projection, projection)
        self.teacher = teacher_of(self.student())
        random = torch.randn(self.config.queue, projection)
        self.register_buffer("queue", functional.normalize(random))  # [length, dimensions]
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    def student(self) -> nn.Sequential:
        """Return the part that the teacher follows: it makes vectors of whole images."""
        return nn.Sequential(self.encoder, self.projector)

    def jigsaw_vectors(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return the vectors of images whose tiles lie in random order, shape [batch, dimensions]."""
        tiles = random_tiles(images, self.config.grid, generator)  # [batch, tiles, side, side]
        order = torch.rand(tiles.shape[:2], generator=generator, device=tiles.device).argsort(1)
        vectors = self.tile_projector(self.encoder(shuffle_tiles(tiles, order).flatten(0, 1)[:, None]))
        return self.jigsaw_projector(vectors.reshape(len(tiles), -1))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]: jigsaw, image and key have a view each."""
        cut, whole, remembered = (view(images) for _ in range(3))
        with torch.no_grad():
            self.keys = functional.normalize(self.teacher(remembered).float())  # until after_step
        memory = (self.keys, self.queue, self.config.temperature)
        jigsaw = noise_contrastive_loss(self.jigsaw_vectors(cut, generator), *memory)
        image = noise_contrastive_loss(self.projector(self.encoder(whole)), *memory)
        return self.config.weight * jigsaw + (1 - self.config.weight) * image

    def after_step(self, step: int, steps: int) -> None:
        """Replace the oldest vectors of the queue by those of this step, and let the teacher follow."""
        replace_oldest(self.queue, self.oldest, self.keys)
        follow(self.teacher, self.student(), self.config.momentum)
