"""CT: values are Hounsfield units behind a display window, so the window is what varies.

Contrast and brightness are the width and level of that window.
No flip: the liver is on one side, and the side names some organs.
Gamma is off, because the scale of attenuation is linear.

Images that are already windowed have lost what lies outside; where Hounsfield units are at hand,
`window_jitter` moves the window itself.
"""

import torch

from medssl.augmentation._batched import Policy, _Uniform
from medssl.errors import UsageError

__all__ = ["FINE_TUNE", "PRETRAIN", "window_jitter"]

PRETRAIN = Policy(crop_scale=0.6, rotation_degrees=15, contrast=0.4, brightness=0.2, noise=0.05, blur=0.5)
FINE_TUNE = Policy(crop_scale=0.9, rotation_degrees=5, contrast=0.1, brightness=0.05)


def window_jitter(
    hounsfield: torch.Tensor, level: float, width: float, policy: Policy, generator: torch.Generator
) -> torch.Tensor:
    """Show each image of a batch through its own random display window.

    Parameters
    ----------
    hounsfield : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width], in Hounsfield units.
    level, width : float
        Centre and width of the window that is varied, in Hounsfield units.
    policy : Policy
        `brightness` is the largest change of the level in widths, `contrast` that of the logarithm of the
        width; other fields play no part.
    generator : torch.Generator
        On the device of the images.

    Returns
    -------
    Tensor
        Shape of `hounsfield`, values in 0..1: with u and v uniform in -1..1 for each image, (hounsfield -
        level - v * brightness * width) / (width * exp(u * contrast)) + 1/2, cut off at 0 and 1.

    Raises
    ------
    UsageError
        The width is not above 0.

    Notes
    -----
    `augment` varies the contrast of values that a window has cut off already; here tissue outside the
    window can come into sight, as when a reader moves it.

    Examples
    --------
    >>> water, bone = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 1000.0)
    >>> window_jitter(torch.cat([water, bone]), 0, 400, Policy(), torch.Generator())[:, 0, 0, 0].tolist()
    [0.5, 0.5, 1.0, 1.0]
    """
    if not width > 0:
        raise UsageError(f"the width of a window must be above 0 Hounsfield units, got {width:g}.")
    draw = _Uniform(hounsfield, generator)
    shape = [len(hounsfield)] + [1] * (hounsfield.ndim - 1)
    levels = level + policy.brightness * width * draw().reshape(shape)
    widths = width * (policy.contrast * draw()).exp().reshape(shape)
    return ((hounsfield - levels) / widths + 0.5).clamp(0, 1)
