"""What a batch of the pool goes through before it meets an encoder: crop, view, standardisation."""

from dataclasses import dataclass

import torch

from medssl.augmentation import Policy, augment
from medssl.training.tensors import Standardisation

__all__ = ["Preparation"]


@dataclass(frozen=True)
class Preparation:
    """Crops, views and standardisation of one pool.

    Parameters
    ----------
    standardise : Standardisation
    policy : Policy
        Strengths of the views.
    crop : tuple of int, optional
        Depth, height and width in voxels of the random part of a volume; None keeps the whole image.
    seed : int
        Of the generators of `plain` and `two_views`: what only watches a run leaves the run's own alone.

    Examples
    --------
    >>> preparation = Preparation(Standardisation(0.5, 0.25), Policy())
    >>> preparation.plain(torch.ones(2, 1, 4, 4)).max().item()
    2.0
    """

    standardise: Standardisation
    policy: Policy
    crop: tuple[int, int, int] | None = None
    seed: int = 1

    def cropped(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return a random crop of each volume [batch, 1, depth, height, width], or what is given."""
        if self.crop is None:
            return images
        from medssl.augmentation._volume import random_crops

        return random_crops(images, self.crop, generator)

    def view(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return one random view of each image, standardised; the crop was taken before."""
        return self.standardise(augment(images, self.policy, generator))

    def plain(self, images: torch.Tensor) -> torch.Tensor:
        """Return the images standardised, without a view; volumes cropped in the same places each time."""
        return self.standardise(self.cropped(images, self._own_generator(images)))

    def two_views(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two views of the same crop of each image, the same two each time."""
        generator = self._own_generator(images)
        images = self.cropped(images, generator)
        return self.view(images, generator), self.view(images, generator)

    def _own_generator(self, images):
        return torch.Generator(device=images.device).manual_seed(self.seed)
