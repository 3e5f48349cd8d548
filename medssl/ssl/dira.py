"""DiRA: discriminate, then restore as well, then restore against an adversary.

Haghighi, Hosseinzadeh Taher, Gotway and Liang (2022), "DiRA: discriminative, restorative, and adversarial
learning for self-supervised medical image analysis", in the form of the authors' code with MoCo.
A run has three stages.
The first is MoCo.
In the second the views are distorted, and a decoder restores the first of them from the features that also
make the queries.
In the third a discriminator learns to tell restored images from clean ones (least squares), and the restorer
learns to be taken for clean.

The authors give the two players an optimiser each; here there is one, and each term reaches one player alone:
the discriminator judges a restored image without gradient, and deceives with weights without gradient.
Both players learn from the same restored image, as in the authors' code.

Distortions are those of Models Genesis, and the decoder sees the last feature map alone, where the authors
have cut-outs, exchanged patches and a U-net with shortcuts.
The authors' weight of restoration is 10 for intensities in 0..1; here intensities have variance 1.
The loss of a run rises where a stage begins, because a term is added.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._decoder import Decoder
from medssl.ssl._dimensions import dimensions_of, layer
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views
from medssl.ssl.moco import MoCo, MoCoConfig, queue_cross_entropy
from medssl.ssl.models_genesis import ModelsGenesisConfig, distort

__all__ = ["DiRA", "deception_loss", "judgement_loss", "stage_at"]


def stage_at(step: int, steps: int, discriminative: float, restorative: float) -> int:
    """Return the stage of a step: 1, then 2 after the first share of the steps, then 3 after both.

    Examples
    --------
    >>> [stage_at(step, 10, 0.25, 0.5) for step in range(10)]
    [1, 1, 1, 2, 2, 2, 2, 2, 3, 3]
    """
    done = step / steps
    return 1 + (done >= discriminative) + (done >= discriminative + restorative)


def judgement_loss(discriminator: nn.Module, clean: torch.Tensor, restored: torch.Tensor) -> torch.Tensor:
    """Squared error of a discriminator that should say 1 of clean images and 0 of restored ones, halved.

    Parameters
    ----------
    discriminator : torch.nn.Module
        Maps images to scores of any shape.
    clean, restored : Tensor
        Shape [batch, 1, *sides]; neither gets a gradient.

    Returns
    -------
    Tensor
        0 for a discriminator that is always right, 1/4 for one that always says 1/2.

    Examples
    --------
    >>> ones = torch.ones(2, 1, 4, 4)
    >>> judgement_loss(nn.Identity(), ones, 0 * ones).item(), judgement_loss(nn.Identity(), ones, ones).item()
    (0.0, 0.5)
    """
    scores = discriminator(clean.detach()), discriminator(restored.detach())
    with single_precision(*scores) as (of_clean, of_restored):
        return ((of_clean - 1).square().mean() + of_restored.square().mean()) / 2


def deception_loss(discriminator: nn.Module, restored: torch.Tensor) -> torch.Tensor:
    """Squared distance of the scores of restored images from 1; the discriminator gets no gradient.

    Parameters
    ----------
    discriminator : torch.nn.Module
        Its weights stand still, the gradient passes through it.
    restored : Tensor
        Shape [batch, 1, *sides].

    Examples
    --------
    >>> deception_loss(nn.Identity(), torch.zeros(2, 1, 4, 4)).item()
    1.0
    """
    weights = {key: weight.detach() for key, weight in discriminator.named_parameters()}
    with single_precision(functional_call(discriminator, weights, (restored,))) as (scores,):
        return (scores - 1).square().mean()


def _distort(images, generator):
    return distort(images, ModelsGenesisConfig(), generator)


def _discriminator(dimensions: int, channels: int = 16) -> nn.Sequential:
    """Three layers that give a score for each region of 4 pixels a side."""
    convolution, normalisation = layer("Conv", dimensions), layer("InstanceNorm", dimensions)
    return nn.Sequential(
        convolution(1, channels, 3, 2, 1), nn.LeakyReLU(0.2),
        convolution(channels, 2 * channels, 3, 2, 1), normalisation(2 * channels), nn.LeakyReLU(0.2),
        convolution(2 * channels, 1, 3, 1, 1),
    )  # fmt: skip


@dataclass(frozen=True)
class DiRAConfig(MoCoConfig):
    """Options of DiRA beside those of MoCo.

    `discriminative` and `restorative` are the shares of the steps of the first two stages; the third has the
    rest. The weights are those of the three terms of the restorer; the discriminator's own term has none.
    """

    discriminative: float = 0.3
    restorative: float = 0.3
    discriminative_weight: float = 1.0
    restorative_weight: float = 1.0
    adversarial_weight: float = 0.001

    def __post_init__(self):
        super().__post_init__()
        shares = self.discriminative, self.restorative
        if not (min(shares) >= 0 and sum(shares) <= 1):
            raise UsageError("discriminative and restorative must be at least 0 and together at most 1.")
        weights = self.discriminative_weight, self.restorative_weight, self.adversarial_weight
        if not all(weight >= 0 for weight in weights):
            raise UsageError("the three weights must be at least 0.")


class DiRA(MoCo):
    """MoCo, a decoder that restores, a discriminator, and the stage that the next step belongs to.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> DiRA(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = DiRAConfig

    def __init__(self, encoder: nn.Module, config: DiRAConfig | None = None):
        super().__init__(encoder, config or DiRAConfig())
        dimensions = dimensions_of(encoder)
        self.decoder = Decoder(encoder.width, encoder.stride, dimensions)
        self.discriminator = _discriminator(dimensions)
        self.register_buffer("stage", torch.tensor(self._stage_at(0, 1)))

    def _stage_at(self, step, steps):
        return stage_at(step, steps, self.config.discriminative, self.config.restorative)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, partner: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, *sides]: the terms of the present stage."""
        config = self.config
        if self.stage == 1:
            return config.discriminative_weight * super().loss(images, view, generator, partner)
        clean, other = two_views(images, view, partner)
        features = self.encoder.features(_distort(clean, generator))  # [batch, width, *map]
        loss = config.discriminative_weight * self._discriminate(features, other, generator)
        restored = self.decoder(features, *images.shape[2:])
        loss = loss + config.restorative_weight * functional.mse_loss(restored, clean.float())
        if self.stage == 2:
            return loss
        loss = loss + config.adversarial_weight * deception_loss(self.discriminator, restored)
        return loss + judgement_loss(self.discriminator, clean, restored)

    def _discriminate(self, features, other, generator):
        """MoCo's loss of features of one distorted view, with keys of the other."""
        queries = self.projector(features.flatten(2).mean(2))
        with torch.no_grad():
            keys = self.teacher(_distort(other, generator))
            self.keys = functional.normalize(keys.float())  # until after_step
        return queue_cross_entropy(queries, self.keys, self.queue, self.config.temperature)

    def after_step(self, step: int, steps: int) -> None:
        """Do as MoCo does, and note the stage of the next step."""
        super().after_step(step, steps)
        self.stage.fill_(self._stage_at(step + 1, steps))
