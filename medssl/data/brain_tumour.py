"""Contrast-enhanced T1 brain slices with a meningioma, glioma or pituitary tumour, 64 or 128 pixels.

References
----------
Cheng J et al. Enhanced performance of brain tumor classification via tumor region augmentation and
partition. PLoS ONE 10(10):e0140381 (2015). doi 10.1371/journal.pone.0140381
"""

from pathlib import PurePosixPath

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._store import read_split
from medssl.data.medmnist import one_column
from medssl.errors import DataError

__all__ = ["MEAN_SLICES", "block_ids", "brain_tumour_64", "brain_tumour_128", "slice_numbers"]

_CLASSES = ("meningioma", "glioma", "pituitary")

# 3064 slices of 233 patients: 13.2 a patient on average.
MEAN_SLICES = 13


def brain_tumour_64(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load the 64 x 64 copy; groups are blocks of consecutive slices, see `block_ids`."""
    return _load("brain_tumour_64", split, download, verify)


def brain_tumour_128(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load the 128 x 128 copy; groups are blocks of consecutive slices, see `block_ids`."""
    return _load("brain_tumour_128", split, download, verify)


def _load(name: str, split: str, download: bool, verify: bool) -> ImageDataset:
    images, labels, files = read_split(name, split, ("files",), download=download, verify=verify)
    labels = one_column(name, split, labels)
    groups = block_ids(slice_numbers(name, files), labels)
    return ImageDataset(name, "mri", split, images, labels, _CLASSES, groups)


def slice_numbers(name: str, files: np.ndarray) -> np.ndarray:
    """Return the original slice number of each file, its name without the suffix; shape [n]."""
    try:
        return np.array([int(PurePosixPath(str(file)).stem) for file in files], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"{name}: a file name is not a slice number ({error}).") from error


def block_ids(numbers: np.ndarray, labels: np.ndarray, length: int = MEAN_SLICES) -> np.ndarray:
    """Return a block for each slice: consecutive numbers of one class, cut to about `length` slices.

    The copies carry no patient identifiers, but consecutive numbers are mostly one patient.
    A run of consecutive numbers with one label is therefore cut into equal blocks near the mean
    number of slices a patient (233 patients, 3064 slices). This is an approximation: a block may
    hold the end of one patient and the start of the next.

    Parameters
    ----------
    numbers : ndarray of int
        Original slice numbers, shape [n], in any order.
    labels : ndarray of int
        Class indices, shape [n].
    length : int
        Wanted number of slices in a block.

    Returns
    -------
    ndarray of int64
        Lowest slice number of each slice's block, shape [n].

    Examples
    --------
    >>> block_ids(np.array([1, 2, 3, 4, 9, 5]), np.array([0, 0, 0, 0, 0, 1]), length=2)
    array([1, 1, 3, 3, 9, 5])
    """
    order = np.argsort(numbers, kind="stable")
    jumps = (np.diff(numbers[order]) != 1) | (np.diff(labels[order]) != 0)
    blocks = np.empty(len(numbers), dtype=np.int64)
    for run in np.split(order, np.flatnonzero(jumps) + 1):
        for block in np.array_split(run, max(1, round(len(run) / length))):
            blocks[block] = numbers[block].min(initial=np.iinfo(np.int64).max)
    return blocks
