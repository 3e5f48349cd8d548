"""Relative position: say where a patch lies, seen from another patch of the same image.

Doersch, Gupta and Efros (2015), "Unsupervised visual representation learning by context prediction":
a patch and one of its eight neighbours pass the same encoder, and a head on both vectors predicts which
neighbour it is; a gap of half a patch and random shifts keep edges from giving the answer away.
The shifts are 7 / 96 of a patch and patches are standardised one by one, as in the authors' code.

As in that code, the first patch may lie wherever there is room for the neighbour that is asked for.
Patches are a third of the image's side, more than in the paper, because its patches of a small image would
show next to nothing; so a patch's own place already tells a part of the answer.

In a volume patches are cubes, and a cube has 26 neighbours.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._dimensions import dimensions_of, in_words
from medssl.ssl._heads import mlp
from medssl.ssl._windows import crop, random_integers, standardise_tiles

__all__ = ["Layout", "RelativePosition", "layout_of", "neighbours_of", "random_neighbours"]


def neighbours_of(dimensions: int) -> list[tuple[int, ...]]:
    """Return the steps from the centre to its neighbours, in reading order: the label is the place here.

    Examples
    --------
    >>> neighbours_of(2)
    [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
    >>> len(neighbours_of(3))
    26
    """
    return [step for step in itertools.product((-1, 0, 1), repeat=dimensions) if any(step)]


@dataclass(frozen=True)
class Layout:
    """Side of a patch, gap between two and largest shift of each, in pixels."""

    patch: int
    gap: int
    jitter: int


def layout_of(sides: Sequence[int], share: float) -> Layout:
    """Return the patches of an image: a side of `share` of its shortest side, rounded down.

    Raises
    ------
    UsageError
        A patch would have less than 3 pixels a side, or two of them do not fit.

    Examples
    --------
    >>> layout_of((64, 64), 0.33)
    Layout(patch=21, gap=11, jitter=2)
    """
    side = min(sides)
    patch = int(share * side)
    layout = Layout(patch, (patch + 1) // 2, max(1, round(patch * 7 / 96)))
    if patch < 3 or 2 * layout.patch + layout.gap + 2 * layout.jitter > side:
        raise UsageError(
            f"{in_words(sides)} do not hold two patches of {patch} a side, {layout.gap} apart: "
            "a patch needs at least 3, and the pair room to be shifted."
        )
    return layout


def random_neighbours(
    batch: int, sides: Sequence[int], layout: Layout, generator: torch.Generator
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Draw a centre and one of its eight neighbours for each image, or of its 26 for each volume.

    The label is uniform, the centre is uniform over the places that leave room for that neighbour, and
    each of the two patches is shifted by up to `layout.jitter` pixels.

    Returns
    -------
    corners : list of Tensor of int
        First place along each axis (top and left), each of shape [batch, 2]: centre, neighbour.
    labels : Tensor of int
        Place in `neighbours_of`, shape [batch].

    Examples
    --------
    >>> (top, left), labels = random_neighbours(4, (28, 28), Layout(9, 5, 1), torch.Generator())
    >>> top.shape, labels.shape
    (torch.Size([4, 2]), torch.Size([4]))
    """
    neighbours = neighbours_of(len(sides))
    labels = random_integers(0, len(neighbours) - 1, (batch,), generator)
    steps = torch.tensor(neighbours, device=labels.device)[labels]  # [batch, axes]
    reach, jitter = layout.patch + layout.gap, layout.jitter
    corners = []
    for side, step in zip(sides, steps.split(1, 1), strict=True):
        first = jitter + reach * (step < 0)
        last = side - layout.patch - jitter - reach * (step > 0)
        centre = random_integers(first, last, (batch, 1), generator)
        shift = random_integers(-jitter, jitter, (batch, 2), generator)
        corners.append(torch.cat([centre, centre + reach * step], 1) + shift)
    return corners, labels


@dataclass(frozen=True)
class RelativePositionConfig:
    """Options of relative position: `patch` is a fraction of the image's shorter side."""

    patch: float = 0.33
    hidden: int = 128

    def __post_init__(self):
        if not 0 < self.patch < 0.4 or self.hidden < 1:
            raise UsageError("patch must be between 0 and 0.4 and hidden at least 1.")


class RelativePosition(nn.Module):
    """Encoder and a head on pairs of vectors that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> RelativePosition(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = RelativePositionConfig

    def __init__(self, encoder: nn.Module, config: RelativePositionConfig | None = None):
        super().__init__()
        self.config = config or RelativePositionConfig()
        self.encoder = encoder
        neighbours = len(neighbours_of(dimensions_of(encoder)))
        self.head = mlp(2 * encoder.width, self.config.hidden, neighbours)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the cross-entropy of a batch [batch, 1, *sides], one pair an image."""
        images = view(images)
        batch, _, *sides = images.shape
        layout = layout_of(sides, self.config.patch)
        corners, labels = random_neighbours(batch, sides, layout, generator)
        patches = crop(images, corners, layout.patch)  # [batch, 2, patch, patch]
        patches = standardise_tiles(patches, len(sides))
        vectors = self.encoder(patches.flatten(0, 1)[:, None]).reshape(batch, -1)  # [batch, 2 width]
        return functional.cross_entropy(self.head(vectors).float(), labels)
