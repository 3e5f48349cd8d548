"""The one container that every source returns."""

from dataclasses import dataclass

import numpy as np

from medssl.errors import DataError

__all__ = ["MODALITIES", "SPLITS", "ImageDataset"]

MODALITIES = ("xray", "ct", "mri", "ultrasound")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ImageDataset:
    """Images of one split with their labels.

    Parameters
    ----------
    name : str
        Name of the source, as in `medssl.data.available()`.
    modality : str
        One of `MODALITIES`.
    split : str
        One of `SPLITS`.
    images : ndarray of uint8
        Shape [n, height, width], or [n, depth, height, width] for volumes.
    labels : ndarray
        Class indices, shape [n], int64; for segmentation masks of the shape of `images`, uint8.
    classes : tuple of str
        Class names; the index is the label.
    groups : ndarray or None
        Unit of independence of each image (patient or block), shape [n]; None where unknown.
    task : str
        "classification" or "segmentation".

    Raises
    ------
    DataError
        Shapes, types or labels contradict each other.

    Examples
    --------
    >>> images = np.zeros((2, 4, 4), np.uint8)
    >>> len(ImageDataset("demo", "xray", "train", images, np.array([0, 1]), ("a", "b")))
    2
    """

    name: str
    modality: str
    split: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    groups: np.ndarray | None = None
    task: str = "classification"

    def __post_init__(self):
        problem = self._problem()
        if problem:
            raise DataError(f"{self.name}, split {self.split}: {problem}")

    def _problem(self) -> str:
        if self.images.dtype != np.uint8 or self.images.ndim not in (3, 4):
            return f"images are {self.images.dtype} {self.images.shape}, expected uint8 [n, height, width]"
        if len(self.images) != len(self.labels):
            return f"{len(self.images)} images but {len(self.labels)} labels"
        if self.task == "segmentation" and self.labels.shape != self.images.shape:
            return f"masks {self.labels.shape} do not match images {self.images.shape}"
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            return f"labels lie outside 0..{len(self.classes) - 1}"
        if self.groups is not None and len(self.groups) != len(self.images):
            return f"{len(self.images)} images but {len(self.groups)} groups"
        return ""

    def __len__(self) -> int:
        return len(self.images)
