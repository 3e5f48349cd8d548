"""POPAR: shuffle the patches of an image, tell where each belongs, and recover the image in its order.

Pang, Haghighi, Ma, Islam, Hosseinzadeh Taher, Gotway and Liang (2022), "POPAR: patch order prediction and
appearance recovery for self-supervised medical image analysis".
As in the authors' code, an image has either its patches shuffled or, with probability one half, its order
kept and its appearance distorted as by Models Genesis.
The loss is the mean of two terms: the cross-entropy of the order and the squared error of the image.

The paper's transformer has one token a patch.
A convolution has a feature map, which is averaged over the cells of the grid, so that the grid must not be
finer than the map; neighbouring cells share pixels through their receptive fields, and padding tells a
convolution where it is.
That is the convolutional form of the idea, and results for it are not results for the transformer.
Volumes are shuffled and distorted in three dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._dimensions import dimensions_of, in_words
from medssl.ssl._patches import PatchDecoder, join_patches, pool_on_grid, split_patches, tokens_of
from medssl.ssl._precision import single_precision
from medssl.ssl.models_genesis import ModelsGenesisConfig, distort

__all__ = ["POPAR", "order_cross_entropy", "random_orders", "shuffle_patches"]


def random_orders(batch: int, patches: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a permutation of the patches for each image, all equally likely.

    Returns
    -------
    Tensor of int
        Shape [batch, patches], on the generator's device.

    Examples
    --------
    >>> random_orders(2, 3, torch.Generator()).sort(1).values.tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    return torch.rand(batch, patches, generator=generator, device=generator.device).argsort(1)


def shuffle_patches(images: torch.Tensor, order: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
    """Put patch order[i, j] of image i at place j.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, *sides], sides divisible by the grid.
    order : Tensor of int
        Shape [batch, patches], places in reading order.
    grid : sequence of int
        Number of cells along each side.

    Examples
    --------
    >>> image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    >>> shuffle_patches(image, torch.tensor([[2, 0, 1]]), (1, 3)).tolist()
    [[[[3.0, 1.0, 2.0]]]]
    """
    patches = split_patches(images, grid)  # [batch, patches, pixels]
    moved = patches.gather(1, order[..., None].expand_as(patches))
    return join_patches(moved, grid, images.shape[2:])


def order_cross_entropy(logits: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the place that each patch came from, averaged over patches and images.

    Parameters
    ----------
    logits : Tensor
        Shape [batch, patches, patches]: image, place where a patch is now, place where it may belong.
    order : Tensor of int
        Shape [batch, patches].

    Returns
    -------
    Tensor
        Scalar; log(patches) for equal logits.

    Examples
    --------
    >>> round(order_cross_entropy(torch.zeros(2, 4, 4), torch.arange(4).repeat(2, 1)).item(), 4)
    1.3863
    """
    with single_precision(logits) as (logits,):
        return functional.cross_entropy(logits.flatten(0, 1), order.flatten())


@dataclass(frozen=True)
class POPARConfig:
    """Options of POPAR.

    `grid` is the number of patches along a side, `distorted` the share of images whose appearance is
    distorted and whose order is kept, `recovery` the weight of appearance recovery; that of the order is
    1 - `recovery`.
    """

    grid: int = 2
    distorted: float = 0.5
    recovery: float = 0.5

    def __post_init__(self):
        if self.grid < 2:
            raise UsageError(f"grid must be at least 2, got {self.grid}.")
        if not (0 <= self.distorted <= 1 and 0 <= self.recovery <= 1):
            raise UsageError("distorted and recovery must be between 0 and 1.")


class POPAR(nn.Module):
    """Encoder, a one-layer order head and a one-layer decoder; both heads are thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> POPAR(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = POPARConfig

    def __init__(self, encoder: nn.Module, config: POPARConfig | None = None):
        super().__init__()
        self.config = config or POPARConfig()
        dimensions = dimensions_of(encoder)
        self.encoder = encoder
        self.grid = (self.config.grid,) * dimensions
        self.head = nn.Linear(encoder.width, self.config.grid**dimensions)
        self.decoder = PatchDecoder(encoder.width, encoder.stride, dimensions)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides] with sides divisible by `grid`."""
        images = view(images)
        seen, order = self._shuffle_or_distort(images, generator)
        features = self.encoder.features(seen)
        self._require_fine(features, images)
        logits = self.head(tokens_of(pool_on_grid(features, self.grid)))  # [batch, patches, patches]
        recovered = self.decoder(features, *images.shape[2:])
        error = functional.mse_loss(recovered, images.float())
        share = self.config.recovery
        return (1 - share) * order_cross_entropy(logits, order) + share * error

    def _shuffle_or_distort(self, images, generator):
        """What the encoder sees [batch, 1, *sides], and the order of its patches [batch, patches]."""
        batch, _, *sides = images.shape
        if any(side % self.config.grid for side in sides):
            raise UsageError(f"{in_words(sides)} do not divide into {self.config.grid} patches a side.")
        patches = self.head.out_features
        in_order = torch.rand(batch, generator=generator, device=images.device) < self.config.distorted
        order = random_orders(batch, patches, generator)
        order = torch.where(in_order[:, None], torch.arange(patches, device=images.device), order)
        distorted = distort(images, ModelsGenesisConfig(), generator)
        keeps = in_order.reshape(-1, *[1] * (images.ndim - 1))
        return torch.where(keeps, distorted, shuffle_patches(images, order, self.grid)), order

    def _require_fine(self, features, images):
        if min(features.shape[2:]) < self.config.grid:
            places = " x ".join(map(str, features.shape[2:]))
            raise UsageError(
                f"{in_words(images.shape[2:])} have a feature map of {places}, coarser than the grid of "
                f"{self.config.grid} patches a side: lower grid or use larger ones."
            )
