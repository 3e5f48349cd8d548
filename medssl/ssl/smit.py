"""SMIT: a student sees a part of an image and predicts the rest, and what a teacher says that sees all of it.

Jiang, Tyagi, Tringale, Crane and Veeraraghavan (2022), "Self-supervised 3D anatomy segmentation using
self-distilled masked image transformer (SMIT)", with the losses, weights and ratio of the authors' code:
masked image prediction (absolute error on hidden pixels), masked patch token distillation (the teacher's
distribution of the same view at hidden tokens) and image token distillation (that of the other view).
The teacher is a momentum average of the student, and its outputs are centred and sharpened as in DINO.

The tokens of the paper are those of a transformer, and a learnt token stands for a hidden one.
Here the places of a convolution's feature map are the tokens, the mean of the map is the image token, and
hidden patches, one a place, are set to the mean of the pool (zero after standardisation).
That is the convolutional form of the idea, and results for it are not results for the transformer.
Images and volumes take the same code; temperatures are constant.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from medssl.errors import UsageError
from medssl.ssl._dimensions import cut, dimensions_of, in_pixels, in_words
from medssl.ssl._momentum import follow, momentum_at, teacher_of
from medssl.ssl._patches import PatchDecoder, tokens_of
from medssl.ssl._precision import single_precision
from medssl.ssl.dino import _Head, self_distillation
from medssl.ssl.masked_autoencoder import random_mask

__all__ = ["SMIT", "masked_image_prediction", "masked_token_distillation"]


def masked_image_prediction(
    prediction: torch.Tensor, images: torch.Tensor, hidden: torch.Tensor
) -> torch.Tensor:
    """Mean absolute error over the hidden pixels of the batch.

    Parameters
    ----------
    prediction, images : Tensor
        Shape [batch, 1, *sides].
    hidden : Tensor of bool
        True at hidden pixels, shape [batch, 1, *sides].

    Examples
    --------
    >>> hidden = torch.tensor([[[[True, False]]]])
    >>> masked_image_prediction(torch.zeros(1, 1, 1, 2), torch.tensor([[[[-3.0, 8.0]]]]), hidden).item()
    3.0
    """
    with single_precision(prediction, images) as (prediction, images):
        return ((prediction - images).abs() * hidden).sum() / hidden.sum()


def masked_token_distillation(
    student: torch.Tensor,
    teacher: torch.Tensor,
    hidden: torch.Tensor,
    centre: torch.Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> torch.Tensor:
    """Cross-entropy of the student with the centred, sharpened teacher at hidden tokens.

    Parameters
    ----------
    student, teacher : Tensor
        Outputs for the same views, masked for the student and whole for the teacher, shape
        [batch, tokens, outputs]. The teacher gets no gradient.
    hidden : Tensor of bool
        Shape [batch, tokens].
    centre : Tensor
        Subtracted from the teacher's outputs, shape [outputs].
    student_temperature, teacher_temperature : float
        Divide the outputs.

    Returns
    -------
    Tensor
        Mean over the hidden tokens of the batch; log(outputs) when the student's outputs are equal.

    Examples
    --------
    >>> zero, hidden = torch.zeros(2, 3, 4), torch.tensor([[True, False, True]] * 2)
    >>> round(masked_token_distillation(zero, zero, hidden, zero[0, 0], 0.1, 0.04).item(), 4)
    1.3863
    """
    with single_precision(student, teacher.detach(), centre) as (student, teacher, centre):
        target = ((teacher - centre) / teacher_temperature).softmax(2)
        entropy = -(target * (student / student_temperature).log_softmax(2)).sum(2)  # [batch, tokens]
        return (entropy * hidden).sum() / hidden.sum()


@dataclass(frozen=True)
class SMITConfig:
    """Options of SMIT; `ratio` of the tokens is hidden, the weights are those of the two distillations.

    The other options are those of DINO.
    """

    ratio: float = 0.7
    patch_weight: float = 0.1
    image_weight: float = 0.1
    student_temperature: float = 0.1
    teacher_temperature: float = 0.04
    momentum: float = 0.97
    centre_momentum: float = 0.9
    outputs: int = 64
    hidden: int = 256
    bottleneck: int = 64

    def __post_init__(self):
        if not (0 < self.ratio < 1 and self.patch_weight >= 0 and self.image_weight >= 0):
            raise UsageError("ratio must be between 0 and 1, patch_weight and image_weight at least 0.")
        if not 0 < self.teacher_temperature < self.student_temperature:
            raise UsageError("teacher_temperature must be above 0 and below student_temperature.")
        if not (0 <= self.momentum <= 1 and 0 <= self.centre_momentum <= 1):
            raise UsageError("momentum and centre_momentum must be between 0 and 1.")
        if min(self.hidden, self.bottleneck) < 1 or self.outputs < 2:
            raise UsageError("hidden and bottleneck must be at least 1, outputs at least 2.")


class SMIT(nn.Module):
    """Encoder and two heads of the student, a teacher of all three, a decoder, and the two centres.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> SMIT(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = SMITConfig

    def __init__(self, encoder: nn.Module, config: SMITConfig | None = None):
        super().__init__()
        self.config = config or SMITConfig()
        sizes = encoder.width, self.config.hidden, self.config.bottleneck, self.config.outputs
        self.encoder = encoder
        self.token_head, self.image_head = _Head(*sizes), _Head(*sizes)
        self.decoder = PatchDecoder(encoder.width, encoder.stride, dimensions_of(encoder))
        self.teacher = teacher_of(self.student())
        self.register_buffer("token_centre", torch.zeros(self.config.outputs))
        self.register_buffer("image_centre", torch.zeros(self.config.outputs))

    def student(self) -> nn.ModuleDict:
        """Return the part that the teacher follows: it has no decoder."""
        parts = {"encoder": self.encoder, "token_head": self.token_head, "image_head": self.image_head}
        return nn.ModuleDict(parts)

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides]; both views pass a network together."""
        views = torch.cat([view(images), view(images)])  # [2 batch, 1, *sides]
        hidden = self._hide(views, generator)  # [2 batch, *grid]
        pixels = cut(in_pixels(hidden, self.encoder.stride), views.shape[2:])  # [2 batch, 1, *sides]
        features, *student = _outputs(self.student(), views * ~pixels)
        with torch.no_grad():
            _, *teacher = _outputs(self.teacher, views)
            self.batch_centres = [part.flatten(0, -2).mean(0) for part in teacher]  # until after_step
        prediction = self.decoder(features, *views.shape[2:])
        distilled = self._distil(student, teacher, hidden.flatten(1))
        return masked_image_prediction(prediction, views, pixels) + distilled

    def _hide(self, views, generator):
        """True at hidden patches: one patch a place of the feature map, the same number in each view."""
        grid = [math.ceil(side / self.encoder.stride) for side in views.shape[2:]]
        tokens = math.prod(grid)
        if not 0 < round(self.config.ratio * tokens) < tokens:
            raise UsageError(
                f"{in_words(views.shape[2:])} have a feature map of {tokens} places, too few to hide a share "
                f"of {self.config.ratio}: use larger ones or change ratio."
            )
        return random_mask(len(views), 1, tokens, self.config.ratio, generator).reshape(-1, *grid)

    def _distil(self, student, teacher, hidden):
        """Weighted sum of the distillations of masked patch tokens and of image tokens."""
        config = self.config
        temperatures = config.student_temperature, config.teacher_temperature
        (tokens, image), (target_tokens, target_image) = student, teacher
        patch = masked_token_distillation(tokens, target_tokens, hidden, self.token_centre, *temperatures)
        whole = self_distillation(image, target_image, self.image_centre, *temperatures)
        return config.patch_weight * patch + config.image_weight * whole

    def after_step(self, step: int, steps: int) -> None:
        """Move the centres towards the batch's mean outputs, and let the teacher follow."""
        for centre, mean in zip((self.token_centre, self.image_centre), self.batch_centres, strict=True):
            centre.lerp_(mean, 1 - self.config.centre_momentum)
        follow(self.teacher, self.student(), momentum_at(step, steps, self.config.momentum))


def _outputs(network, images):
    """Feature map [batch, width, *grid], token outputs [batch, tokens, outputs], image outputs."""
    features = network["encoder"].features(images)
    tokens = tokens_of(features)  # [batch, tokens, width]
    by_token = network["token_head"](tokens.flatten(0, 1)).reshape(*tokens.shape[:2], -1)
    return features, by_token, network["image_head"](tokens.mean(1))
