"""Test images made worse by degrees: a small stand-in for another scanner or another hand.

Five corruptions act on values in 0..1 at three severities.
The same draws serve every arm of a cell, so that comparisons stay paired.
"""

import numpy as np
import torch
from torch.nn import functional

__all__ = ["CORRUPTIONS", "MOST_CASES", "SEVERITIES", "corrupt", "corrupted_rows", "predict_corrupted"]

SEVERITIES = (1, 2, 3)
MOST_CASES = 1000  # of the test set: a drop under corruption needs fewer cases than a gain


def _noise(images, severity, generator):
    return images + (0.04, 0.08, 0.16)[severity - 1] * torch.randn(images.shape, generator=generator)


def _blur(images, severity, generator):
    for _ in range(severity):
        images = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    return images


def _contrast(images, severity, generator):
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean) * (0.75, 0.5, 0.3)[severity - 1] + mean


def _bias_field(images, severity, generator):
    rows = torch.linspace(-1, 1, images.shape[2])[:, None]
    columns = torch.linspace(-1, 1, images.shape[3])[None]
    slopes = 2 * torch.rand(2, len(images), 1, 1, 1, generator=generator) - 1
    return images * ((0.3, 0.6, 1.0)[severity - 1] * (slopes[0] * rows + slopes[1] * columns)).exp()


def _gain(images, severity, generator):
    sign = 2.0 * (torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5) - 1
    return images * 2 ** (sign * (0.25, 0.5, 1.0)[severity - 1])


CORRUPTIONS = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "bias_field": _bias_field,
    "gain": _gain,
}


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Return uint8 images [n, height, width] with one corruption at severity 1, 2 or 3.

    Parameters
    ----------
    images : ndarray of uint8
    name : str
        A key of `CORRUPTIONS`: additive noise, mean filter, contrast towards the mean of the image,
        a smooth multiplicative field, or a factor up or down.
    severity : int
        1, 2 or 3.
    seed : int
        Draws noise, field and direction for each image.

    Examples
    --------
    >>> grey = np.full((2, 8, 8), 100, np.uint8)
    >>> np.array_equal(corrupt(grey, "blur", 3), grey), bool(corrupt(grey, "noise", 1).std() > 5)
    (True, True)
    """
    generator = torch.Generator().manual_seed(seed)
    values = torch.from_numpy(images)[:, None].float() / 255
    worse = CORRUPTIONS[name](values, severity, generator).clamp(0, 1)[:, 0]
    return (worse * 255).round().to(torch.uint8).numpy()


def corrupted_rows(total: int) -> np.ndarray:
    """Return the rows of the test set that are corrupted: all, or a fixed draw of `MOST_CASES`."""
    if total <= MOST_CASES:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).permutation(total)[:MOST_CASES])


def predict_corrupted(model, images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Return probabilities by "name-severity" for the corrupted rows of test images.

    Parameters
    ----------
    model : Transferred
    images : ndarray of uint8
        The whole test set, shape [n, height, width].
    seed : int
        Of the corruption; the same for both arms of a cell.
    """
    rows = corrupted_rows(len(images))
    return {
        f"{name}-{severity}": model.predict(corrupt(images[rows], name, severity, seed))
        for name in CORRUPTIONS
        for severity in SEVERITIES
    }
