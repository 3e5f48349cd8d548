"""Brain-aware replacement: regions of one image are replaced by those of another, and targets are as mixed.

Seyfioglu, Liu, Kamath, Gangolli, Wang, Grabowski and Shapiro (2022), "Brain-aware replacements for supervised
contrastive learning in detection of Alzheimer's disease".
As its abstract says, regions of a standard parcellation of an anchor are replaced by those of a randomly
picked image, labels are mixed linearly by the replacement ratio, and a supervised contrastive loss takes such
soft labels.

What the abstract leaves open is chosen here.
The target of two synthetic images is the inner product of their soft labels, normalised over the batch: the
chance that a place of the one and a place of the other come from the same source.
Without replacement that is the supervised contrastive loss; without labels each image is a class of its own,
which makes it the loss of SimCLR with soft positives.
Each region is replaced with a probability that is drawn anew for each image.
Regions are those of a label map (an atlas in the space of the images) where one is given.
The pretraining loop gives none, and then they are the blocks of a fixed grid, which knows nothing of brains.
Images are mixed before their views are drawn, so that an atlas fits; the share of a source in a cropped view
may differ from the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision

__all__ = [
    "BrainAwareReplacement",
    "block_regions",
    "mix_labels",
    "replace_regions",
    "soft_label_contrast",
]


def block_regions(sides: Sequence[int], blocks: int, device=None) -> torch.Tensor:
    """Return a label map of a grid of blocks, numbered from 1 in reading order.

    Parameters
    ----------
    sides : sequence of int
        Sides of the image or volume in pixels.
    blocks : int
        Blocks along each side; their sizes differ by a pixel where they do not divide it.

    Returns
    -------
    Tensor of int
        Shape [*sides].

    Examples
    --------
    >>> block_regions((2, 3), 2).tolist()
    [[1, 1, 2], [3, 3, 4]]
    """
    regions = torch.zeros((), dtype=torch.long, device=device)
    for side in sides:
        block = torch.arange(side, device=device) * blocks // side
        regions = regions[..., None] * blocks + block
    return regions + 1


def replace_regions(
    images: torch.Tensor, partner: torch.Tensor, replaced: torch.Tensor, regions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace regions of each image by the same regions of its partner.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, *sides].
    partner : Tensor of int
        Row of the other image, shape [batch].
    replaced : Tensor of bool
        Shape [batch, regions]: whether region 1, 2, ... is replaced.
    regions : Tensor of int
        Label map, shape [*sides]; 0 is background, which is never replaced.

    Returns
    -------
    images : Tensor
        Shape [batch, 1, *sides].
    ratio : Tensor
        Share of the pixels in regions that come from the partner, shape [batch].

    Examples
    --------
    >>> images = torch.tensor([[[[1.0, 2.0, 3.0]]], [[[7.0, 8.0, 9.0]]]])
    >>> replaced = torch.tensor([[False, True], [False, False]])
    >>> mixed, ratio = replace_regions(images, torch.tensor([1, 0]), replaced, torch.tensor([[0, 1, 2]]))
    >>> mixed[0].tolist(), ratio.tolist()
    ([[[1.0, 2.0, 9.0]]], [0.5, 0.0])
    """
    place = functional.pad(replaced, (1, 0))[:, regions]  # [batch, *sides], False in the background
    ratio = place.flatten(1).sum(1) / (regions > 0).sum()
    return torch.where(place[:, None], images[partner], images), ratio


def mix_labels(labels: torch.Tensor, partner: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    """Mix the labels of images and of their partners linearly.

    Parameters
    ----------
    labels : Tensor of int
        Shape [batch], from 0.
    partner : Tensor of int
        Shape [batch].
    ratio : Tensor
        Share of the partner, shape [batch].

    Returns
    -------
    Tensor
        Soft labels, shape [batch, classes]; each row sums to 1.

    Examples
    --------
    >>> mix_labels(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0.25, 0.0])).tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    hard = functional.one_hot(labels).float()  # [batch, classes]
    return torch.lerp(hard, hard[partner], ratio[:, None])


def soft_label_contrast(projections: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss of soft labels.

    For each anchor i the loss is minus the sum over k of w_ik log p_ik, where p_ik is the softmax of
    cosine / temperature over all projections but i, and w_ik is the inner product of the labels of i and k,
    normalised to sum to 1 over the same; an anchor whose label no other shares costs nothing.

    Parameters
    ----------
    projections : Tensor
        Shape [n, dimensions].
    labels : Tensor
        Soft labels, shape [n, classes].
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Mean over the n anchors; log(n - 1) when all projections are equal and each label is shared.

    Examples
    --------
    >>> labels = torch.eye(4).repeat(2, 1)
    >>> round(soft_label_contrast(torch.ones(8, 3), labels, 0.5).item(), 4)
    1.9459
    """
    with single_precision(projections, labels) as (z, labels):
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        z = functional.normalize(z)  # [n, dimensions]
        similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
        shared = (labels @ labels.T).masked_fill(itself, 0)  # [n, n]
        weights = shared / shared.sum(1, keepdim=True).clamp_min(1e-12)
        logarithm = similarity.log_softmax(1).masked_fill(itself, 0)
        return -(weights * logarithm).sum(1).mean()


@dataclass(frozen=True)
class BrainAwareReplacementConfig:
    """Options of brain-aware replacement.

    `share` is the largest probability with which a region is replaced, `blocks` the number of regions along a
    side when no label map is given.
    """

    share: float = 0.5
    blocks: int = 4
    temperature: float = 0.2
    projection: int = 128

    def __post_init__(self):
        if not 0 <= self.share <= 1 or self.blocks < 1:
            raise UsageError("share must be between 0 and 1 and blocks at least 1.")
        if not self.temperature > 0 or self.projection < 1:
            raise UsageError("temperature must be above 0 and projection at least 1.")


class BrainAwareReplacement(nn.Module):
    """Encoder and a two-layer projection head that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> BrainAwareReplacement(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = BrainAwareReplacementConfig

    def __init__(self, encoder: nn.Module, config: BrainAwareReplacementConfig | None = None):
        super().__init__()
        self.config = config or BrainAwareReplacementConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, encoder.width, self.config.projection)

    def loss(
        self,
        images: torch.Tensor,
        view,
        generator: torch.Generator,
        regions: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of two synthetic views of each image of a batch.

        Parameters
        ----------
        images : Tensor
            Shape [batch, 1, *sides].
        view : callable
            Maps images to one random view.
        generator : torch.Generator
        regions : Tensor of int, optional
            An atlas: label map in the space of the images, shape [*sides], 0 for the background; a grid of
            blocks without it.
        labels : Tensor of int, optional
            Classes of the images from 0, shape [batch]; each image is a class of its own without them.

        Raises
        ------
        UsageError
            The label map has another shape, no whole numbers or no region, or labels have another shape.
        """
        regions = self._regions(images, regions)
        labels = torch.arange(len(images), device=images.device) if labels is None else labels
        if labels.shape != images.shape[:1]:
            raise UsageError(f"labels must have shape [{len(images)}], got {list(labels.shape)}.")
        views, soft = zip(*(self._mix(images, regions, labels, generator) for _ in range(2)), strict=True)
        projections = self.projector(self.encoder(torch.cat([view(mixed) for mixed in views])))
        return soft_label_contrast(projections, torch.cat(soft), self.config.temperature)

    def _mix(self, images, regions, labels, generator):
        """Synthetic images [batch, 1, *sides] and their soft labels [batch, classes]."""
        batch, count = len(images), int(regions.max())

        def unit(*shape):
            return torch.rand(batch, *shape, generator=generator, device=images.device)

        partner = unit().argsort()
        replaced = unit(count) < self.config.share * unit(1)
        mixed, ratio = replace_regions(images, partner, replaced, regions)
        return mixed, mix_labels(labels, partner, ratio)

    def _regions(self, images, regions):
        sides = images.shape[2:]
        if regions is None:
            return block_regions(sides, self.config.blocks, images.device)
        if regions.shape != sides or regions.is_floating_point():
            raise UsageError(
                f"regions must be whole numbers of shape {list(sides)}, got {regions.dtype} of shape "
                f"{list(regions.shape)}."
            )
        if regions.min() < 0 or regions.max() < 1:
            raise UsageError("regions must be 0 in the background and count up from 1; none is above 0.")
        return regions.to(images.device, torch.long)
