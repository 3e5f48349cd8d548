"""Small normalised versions of images, whose products are correlations."""

import math

import numpy as np

__all__ = ["CELLS", "thumbnails"]

CELLS = 14
_BLOCK = 2048


def thumbnails(images: np.ndarray, cells: int = CELLS) -> np.ndarray:
    """Return area means on a grid, each row centred and of unit length.

    Parameters
    ----------
    images : ndarray
        Shape [n, height, width] or [n, depth, height, width].
    cells : int
        Cells an axis; a shorter axis keeps its length.

    Returns
    -------
    ndarray of float32
        Shape [n, cells**2] (or ``cells**3``); the product of two rows is their Pearson correlation.
        A constant image gives zeros.

    Examples
    --------
    >>> image = np.arange(784, dtype=np.uint8).reshape(1, 28, 28)
    >>> thumbnails(image).shape
    (1, 196)
    """
    small = np.empty((len(images), *(min(cells, size) for size in images.shape[1:])), dtype=np.float32)
    for start in range(0, len(images), _BLOCK):  # a block at a time: float copies are eight times larger
        small[start : start + _BLOCK] = _area_means(images[start : start + _BLOCK], cells)
    flat = small.reshape(len(images), math.prod(small.shape[1:]))  # [n, cells]
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 1e-3)


def _area_means(images: np.ndarray, cells: int) -> np.ndarray:
    means = images.astype(np.float64)
    for axis in range(1, images.ndim):
        size = images.shape[axis]
        edges = np.linspace(0, size, min(cells, size) + 1).astype(int)
        shape = [-1 if other == axis else 1 for other in range(images.ndim)]
        means = np.add.reduceat(means, edges[:-1], axis=axis) / np.diff(edges).reshape(shape)
    return means
