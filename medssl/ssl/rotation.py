"""Rotation: turn an image by a multiple of 90 degrees and tell by how much.

Gidaris, Singh and Komodakis (2018), "Unsupervised representation learning by predicting image rotations":
every image enters the batch in all its rotations, and the loss is the cross-entropy of the angle
(equations 2 and 3).

Patients are imaged in known positions, so the task can be solved from the outline of the body alone.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError

__all__ = ["Rotation", "all_rotations"]


def all_rotations(images: torch.Tensor, rotations: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Return every image in all its rotations, with the label of each.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width].
    rotations : int
        4 for quarter turns, 2 for half turns.

    Returns
    -------
    turned : Tensor
        Shape [rotations * batch, 1, height, width]: first the batch as it is, then turned once, and so on.
    labels : Tensor of int
        Shape [rotations * batch]; label k is k x 360 / rotations degrees counter-clockwise.

    Raises
    ------
    UsageError
        Quarter turns of images that are not square.

    Examples
    --------
    >>> turned, labels = all_rotations(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    >>> turned[1, 0].tolist(), labels.tolist()
    ([[2.0, 4.0], [1.0, 3.0]], [0, 1, 2, 3])
    """
    batch, _, height, width = images.shape
    if rotations == 4 and height != width:
        raise UsageError(
            f"images of {height} x {width} pixels are not square and have no quarter turns: use rotations=2."
        )
    turned = torch.cat([torch.rot90(images, k * 4 // rotations, (2, 3)) for k in range(rotations)])
    return turned, torch.arange(rotations, device=images.device).repeat_interleave(batch)


@dataclass(frozen=True)
class RotationConfig:
    """Options of rotation: 4 quarter turns or 2 half turns."""

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
        self.classifier = nn.Linear(encoder.width, self.config.rotations)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the cross-entropy of a batch [batch, 1, height, width]; only the view is random."""
        turned, labels = all_rotations(view(images), self.config.rotations)
        return functional.cross_entropy(self.classifier(self.encoder(turned)).float(), labels)
