"""Cropped T1 volumes of the hippocampus with masks: Medical Segmentation Decathlon, Task04.

References
----------
Antonelli M et al. The Medical Segmentation Decathlon. Nature Communications 13:4128 (2022).
doi 10.1038/s41467-022-30695-9
"""

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._store import read_split
from medssl.errors import DataError

__all__ = ["hippocampus"]

_CLASSES = ("background", "anterior", "posterior")


def hippocampus(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load volumes and masks, both [n, 48, 64, 48]; groups are the published volume numbers."""
    images, masks, names = read_split("hippocampus", split, ("ids",), download=download, verify=verify)
    groups = _numbers(names)
    return ImageDataset("hippocampus", "mri", split, images, masks, _CLASSES, groups, "segmentation")


def _numbers(names: np.ndarray) -> np.ndarray:
    try:
        return np.array([int(str(name).rpartition("_")[2]) for name in names], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"hippocampus: a volume name does not end in its number ({error}).") from error
