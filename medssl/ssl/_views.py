"""The two views of a method that compares views: both of one image, or of an image and its positive."""

import torch

from medssl.errors import UsageError

__all__ = ["two_views"]


def two_views(images: torch.Tensor, view, partner: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a view of the images and a view of their positives.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width].
    view : callable
        Maps images to one random view.
    partner : Tensor or None
        The positive of each image, such as an adjacent slice or another image of the same patient, in the
        shape of the images; None stands for the images themselves.

    Raises
    ------
    UsageError
        The partner has another shape than the images.

    Examples
    --------
    >>> first, second = two_views(torch.zeros(2, 1, 4, 4), lambda x: x + 1, torch.ones(2, 1, 4, 4))
    >>> first.unique().item(), second.unique().item()
    (1.0, 2.0)
    """
    if partner is not None and partner.shape != images.shape:
        raise UsageError(
            f"partner must have the shape of the images, {list(images.shape)}, got {list(partner.shape)}."
        )
    return view(images), view(images if partner is None else partner)
