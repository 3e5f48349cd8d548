"""DINO: a student learns the output distribution of its own slow copy for the other view.

Caron, Touvron, Misra, Jegou, Mairal, Bojanowski and Joulin (2021), "Emerging properties in self-supervised
vision transformers".

Two rules hold each other in balance.
Centring subtracts a moving average from the teacher's outputs: without it one output wins for all images.
Sharpening gives the teacher a low temperature: without it all outputs become equally likely.

There are two global views and no smaller crops, the teacher's temperature is constant, and the encoder that
a run returns is the student's.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._momentum import follow, momentum_at, teacher_of
from medssl.ssl._precision import single_precision

__all__ = ["DINO", "self_distillation"]


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

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> DINO(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = DINOConfig

    def __init__(self, encoder: nn.Module, config: DINOConfig | None = None):
        super().__init__()
        self.config = config or DINOConfig()
        self.encoder = encoder
        self.head = _Head(encoder.width, self.config.hidden, self.config.bottleneck, self.config.outputs)
        self.teacher = teacher_of(self.student())
        self.register_buffer("centre", torch.zeros(self.config.outputs))

    def student(self) -> nn.Sequential:
        """Return the part that the teacher follows."""
        return nn.Sequential(self.encoder, self.head)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width]; both views pass a network together."""
        views = torch.cat([view(images), view(images)])  # [2 batch, 1, height, width]
        student = self.head(self.encoder(views))
        with torch.no_grad():
            teacher = self.teacher(views)
            self.batch_centre = teacher.mean(0)  # until after_step
        temperatures = (self.config.student_temperature, self.config.teacher_temperature)
        return self_distillation(student, teacher, self.centre, *temperatures)

    def after_step(self, step: int, steps: int) -> None:
        """Move the centre towards the batch's mean output, and let the teacher follow."""
        self.centre.lerp_(self.batch_centre, 1 - self.config.centre_momentum)
        follow(self.teacher, self.student(), momentum_at(step, steps, self.config.momentum))
