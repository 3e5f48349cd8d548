"""Rotation: turn an image by a multiple of 90 degrees and tell by how much.

Gidaris, Singh and Komodakis (2018), "Unsupervised representation learning by predicting image rotations":
every image enters the batch in all its rotations, and the loss is the cross-entropy of the angle
(equations 2 and 3).

Patients are imaged in known positions, so the task can be solved from the outline of the body alone.

A volume is turned about one axis at a time, as in the code of Taleb et al. (2020), "3D self-supervised
methods for medical imaging": itself and three turns about each of three axes, ten copies.
The other 14 turns of a cube are two such turns one after another; they would more than double the batch, and
who can tell the ten has found all three axes.
A quarter turn needs equal sides in its own plane alone, so that a volume of few slices keeps its quarter
turns in the slice; where sides differ there is the half turn, and the labels of the others stay empty.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._dimensions import dimensions_of, in_words

__all__ = ["Rotation", "all_rotations", "turns_of"]


def turns_of(dimensions: int, rotations: int = 4) -> list[tuple[int, tuple[int, int]]]:
    """Return the turns, as quarters and the plane's two axes in the tensor: the label is the place here.

    Parameters
    ----------
    dimensions : int
        2 for images; 3 for volumes, whose planes are those of the slice, then the two upright ones.
    rotations : int
        4 for quarter turns, 2 for half turns.

    Examples
    --------
    >>> turns_of(2)
    [(0, (2, 3)), (1, (2, 3)), (2, (2, 3)), (3, (2, 3))]
    >>> turns_of(3, 2)
    [(0, (3, 4)), (2, (3, 4)), (2, (2, 4)), (2, (2, 3))]
    """
    planes = list(itertools.combinations(range(2, 2 + dimensions), 2))[::-1]
    quarters = range(4 // rotations, 4, 4 // rotations)
    return [(0, planes[0]), *((quarter, plane) for plane in planes for quarter in quarters)]


def all_rotations(images: torch.Tensor, rotations: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every image in all its rotations, with the label of each.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    rotations : int
        4 for quarter turns, 2 for half turns.

    Returns
    -------
    turned : Tensor
        Shape [copies * batch, 1, *sides]: first the batch as it is, then turned once, and so on.
    labels : Tensor of int
        Shape [copies * batch], the place in `turns_of`; for images, label k is k x 360 / rotations degrees
        counter-clockwise.

    Raises
    ------
    UsageError
        Quarter turns of images that are not square; of volumes those turns are left out.

    Examples
    --------
    >>> turned, labels = all_rotations(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> turned[1, 0].tolist(), labels.tolist()
    ([[2.0, 4.0], [1.0, 3.0]], [0, 1, 2, 3])
    """
    batch, _, *sides = images.shape
    if len(sides) == 2 and rotations == 4 and sides[0] != sides[1]:
        raise UsageError(f"{in_words(sides)} are not square and have no quarter turns: use rotations=2.")
    turns = [
        (label, quarter, plane)
        for label, (quarter, plane) in enumerate(turns_of(len(sides), rotations))
        if quarter % 2 == 0 or images.shape[plane[0]] == images.shape[plane[1]]
    ]
    turned = torch.cat([torch.rot90(images, quarter, plane) for _, quarter, plane in turns])
    labels = torch.tensor([label for label, *_ in turns], device=images.device)
    return turned, labels.repeat_interleave(batch)


@dataclass(frozen=True)
class RotationConfig:
    """Options of rotation: 4 for quarter turns, 2 for half turns."""

    rotations: int = 4

    def __post_init__(self):
        if self.rotations not in (2, 4):
            raise UsageError(f"rotations must be 2 or 4, got {self.rotations}.")


class Rotation(nn.Module):
    """Encoder and a linear classifier of the angle that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> Rotation(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = RotationConfig

    def __init__(self, encoder: nn.Module, config: RotationConfig | None = None):
        super().__init__()
        self.config = config or RotationConfig()
        self.encoder = encoder
        turns = turns_of(dimensions_of(encoder), self.config.rotations)
        self.classifier = nn.Linear(encoder.width, len(turns))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the cross-entropy of a batch [batch, 1, *sides]; only the view is random."""
        turned, labels = all_rotations(view(images), self.config.rotations)
        return functional.cross_entropy(self.classifier(self.encoder(turned)).float(), labels)
