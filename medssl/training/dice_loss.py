"""The loss of segmentation: soft Dice of the foreground classes and cross-entropy of all voxels.

Milletari, Navab and Ahmadi (2016), "V-Net: fully convolutional neural networks for volumetric medical
image segmentation", brought the soft Dice into training; here sums of probabilities stand in the
denominator, not of their squares, as in MONAI's default.
Dice does not see how rare a class is, and cross-entropy has a gradient where Dice has almost none.
"""

import torch
from torch.nn import functional

__all__ = ["dice_and_cross_entropy", "dice_loss"]


def dice_loss(logits: torch.Tensor, masks: torch.Tensor, smooth: float = 1e-5) -> torch.Tensor:
    """Return one minus the soft Dice, averaged over cases and foreground classes.

    Parameters
    ----------
    logits : Tensor
        Shape [batch, classes, depth, height, width]; class 0 is the background.
    masks : Tensor of int
        Class of each voxel, shape [batch, depth, height, width].
    smooth : float
        Added above and below the fraction line, so that a class that is absent and not predicted costs
        nothing.

    Returns
    -------
    Tensor
        Scalar between 0 and 1.

    Examples
    --------
    >>> logits = torch.zeros(1, 2, 1, 1, 2)  # one half everywhere: 1 - 2 * 0.5 / (1 + 1)
    >>> round(dice_loss(logits, torch.tensor([[[[0, 1]]]])).item(), 4)
    0.5
    """
    probabilities = logits.softmax(1).flatten(2)[:, 1:]  # [batch, foreground classes, voxels]
    truth = _one_hot(masks, logits.shape[1])[:, 1:]
    shared = (probabilities * truth).sum(2)
    total = probabilities.sum(2) + truth.sum(2)
    return (1 - (2 * shared + smooth) / (total + smooth)).mean()


def dice_and_cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return the sum of `dice_loss` and the mean cross-entropy; shapes as there.

    Examples
    --------
    >>> logits = torch.zeros(1, 2, 1, 1, 2)
    >>> round(dice_and_cross_entropy(logits, torch.tensor([[[[0, 1]]]])).item(), 4)  # 0.5 + log(2)
    1.1931
    """
    # written out, because the sum over voxels of torch's own differs between runs on a GPU
    likelihood = (logits.log_softmax(1).flatten(2) * _one_hot(masks, logits.shape[1])).sum(1)
    return dice_loss(logits, masks) - likelihood.mean()


def _one_hot(masks, classes):
    return functional.one_hot(masks.flatten(1), classes).movedim(2, 1)  # [batch, classes, voxels]
