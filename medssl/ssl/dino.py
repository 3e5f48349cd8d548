"""DINO: a student learns the output distribution of its own slow copy for the other view.

Caron, Touvron, Misra, Jegou, Mairal, Bojanowski and Joulin (2021), "Emerging properties in self-supervised
vision transformers".

Two rules hold each other in balance.
Centring subtracts a moving average from the teacher's outputs: without it one output wins for all images.
Sharpening gives the teacher a low temperature: without it all outputs become equally likely.

The teacher's temperature is constant, and the encoder that a run returns is the student's.
By default there are two global views and no smaller crops.
With `MultiCrop` the student also sees small squares of the views, or cubes of volumes, and learns what the
teacher says of either whole view; the crops keep the scale of the view, where the paper enlarges them.
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
from medssl.ssl._windows import crop, random_integers

__all__ = ["DINO", "MultiCrop", "crop_distillation", "random_squares", "self_distillation"]


def self_distillation(
    student: torch.Tensor,
    teacher: torch.Tensor,
    centre: torch.Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> torch.Tensor:
    """Cross-entropy of the student with the centred, sharpened teacher (Caron et al. 2021).

    Parameters
    ----------
    student, teacher : Tensor
        Outputs for both views, shape [2 batch, outputs]: rows i and batch + i are the same image.
        The teacher gets no gradient.
    centre : Tensor
        Subtracted from the teacher's outputs, shape [outputs].
    student_temperature, teacher_temperature : float
        Divide the outputs.

    Returns
    -------
    Tensor
        Mean over images and both ways round; log(outputs) when the student's outputs are equal.

    Examples
    --------
    >>> zero = torch.zeros(6, 4)
    >>> round(self_distillation(zero, zero, zero[0], 0.1, 0.04).item(), 4)
    1.3863
    """
    with single_precision(student, teacher.detach(), centre) as (student, teacher, centre):
        target = ((teacher - centre) / teacher_temperature).softmax(1)
        other_view = target.roll(len(target) // 2, 0)
        return functional.cross_entropy(student / student_temperature, other_view)


def crop_distillation(
    student: torch.Tensor,
    teacher: torch.Tensor,
    centre: torch.Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> torch.Tensor:
    """Cross-entropy of the student's outputs for small crops with the teacher's for both whole views.

    Parameters
    ----------
    student : Tensor
        Shape [crops * batch, outputs]: row i of each block of `batch` rows is image i.
    teacher, centre, student_temperature, teacher_temperature
        As in `self_distillation`.

    Returns
    -------
    Tensor
        Mean over crops and both whole views.

    Examples
    --------
    >>> zero = torch.zeros(6, 4)
    >>> round(crop_distillation(zero, zero[:4], zero[0], 0.1, 0.04).item(), 4)
    1.3863
    """
    with single_precision(student, teacher.detach(), centre) as (student, teacher, centre):
        first, second = ((teacher - centre) / teacher_temperature).softmax(1).chunk(2)
        both = (first + second) / 2  # the cross-entropy is linear in its target
        return functional.cross_entropy(
            student / student_temperature, both.repeat(len(student) // len(both), 1)
        )


def random_squares(images: torch.Tensor, side: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Cut `count` squares out of each image, or cubes out of each volume, at places of their own.

    Returns
    -------
    Tensor
        Shape [count * batch, 1, side, side] or [count * batch, 1, side, side, side]: the first of all images,
        then the second of all.

    Examples
    --------
    >>> random_squares(torch.rand(2, 1, 8, 16, 16), 6, 3, torch.Generator()).shape
    torch.Size([6, 1, 6, 6, 6])
    """
    batch, _, *sides = images.shape
    corners = [random_integers(0, length - side, (batch, count), generator) for length in sides]
    return crop(images, corners, side).transpose(0, 1).flatten(0, 1)[:, None]


@dataclass(frozen=True)
class MultiCrop:
    """Small crops: how many, and their side as a fraction of the view's shortest side."""

    crops: int = 4
    share: float = 0.5

    def __post_init__(self):
        if self.crops < 1 or not 0 < self.share < 1:
            raise UsageError("crops must be at least 1 and share between 0 and 1.")


class _Head(nn.Module):
    """Three layers, unit length, and a last layer whose rows have unit length (weight normalisation)."""

    def __init__(self, width, hidden, bottleneck, outputs):
        super().__init__()
        self.layers = mlp(width, hidden, hidden, bottleneck, normalise=False, activation=nn.GELU)
        self.last = nn.Linear(bottleneck, outputs, bias=False)

    def forward(self, x):  # [batch, width] -> [batch, outputs], cosines
        with single_precision(self.layers(x), self.last.weight) as (x, weight):
            return functional.normalize(x) @ functional.normalize(weight).T


@dataclass(frozen=True)
class DINOConfig:
    """Options of DINO; `momentum` is the teacher's in the first step."""

    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    momentum: float = 0.97
    centre_momentum: float = 0.9
    outputs: int = 64
    hidden: int = 256
    bottleneck: int = 64

    def __post_init__(self):
        if not 0 < self.teacher_temperature < self.student_temperature:
            raise UsageError("teacher_temperature must be above 0 and below student_temperature.")
        if not (0 <= self.momentum <= 1 and 0 <= self.centre_momentum <= 1):
            raise UsageError("momentum and centre_momentum must be between 0 and 1.")
        if min(self.hidden, self.bottleneck) < 1 or self.outputs < 2:
            raise UsageError("hidden and bottleneck must be at least 1, outputs at least 2.")


class DINO(nn.Module):
    """Encoder and head of the student, a teacher of both, and the centre of the teacher's outputs.

    Parameters
    ----------
    encoder : torch.nn.Module
    config : DINOConfig, optional
    multi_crop : MultiCrop, optional
        Small crops beside the two whole views; none by default.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> DINO(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = DINOConfig

    def __init__(
        self,
        encoder: nn.Module,
        config: DINOConfig | None = None,
        multi_crop: MultiCrop | None = None,
    ):
        super().__init__()
        self.config, self.multi_crop = config or DINOConfig(), multi_crop
        self.encoder = encoder
        self.head = _Head(encoder.width, self.config.hidden, self.config.bottleneck, self.config.outputs)
        self.teacher = teacher_of(self.student())
        self.register_buffer("centre", torch.zeros(self.config.outputs))

    def student(self) -> nn.Sequential:
        """Return the part that the teacher follows."""
        return nn.Sequential(self.encoder, self.head)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides]; both views pass a network together.

        The second view is one of `partner`, if given; small crops are those of the first.
        """
        views = torch.cat(two_views(images, view, partner))  # [2 batch, 1, *sides]
        student = self.head(self.encoder(views))
        with torch.no_grad():
            teacher = self.teacher(views)
            self.batch_centre = teacher.mean(0)  # until after_step
        given = (teacher, self.centre, self.config.student_temperature, self.config.teacher_temperature)
        loss = self_distillation(student, *given)
        if self.multi_crop is None:
            return loss
        small = self.head(self.encoder(self._small_crops(views[: len(images)], generator)))
        crops = self.multi_crop.crops  # the mean over all pairs of a student's view and another whole view
        return (loss + crops * crop_distillation(small, *given)) / (1 + crops)

    def _small_crops(self, views, generator):
        side = round(self.multi_crop.share * min(views.shape[2:]))
        return random_squares(views, side, self.multi_crop.crops, generator)

    def after_step(self, step: int, steps: int) -> None:
        """Move the centre towards the batch's mean output, and let the teacher follow."""
        self.centre.lerp_(self.batch_centre, 1 - self.config.centre_momentum)
        follow(self.teacher, self.student(), momentum_at(step, steps, self.config.momentum))
