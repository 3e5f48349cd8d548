"""MedMNIST v2: PneumoniaMNIST (X-ray), OrganAMNIST (CT) and BreastMNIST (ultrasound), 28 x 28 pixels.

References
----------
Yang J et al. MedMNIST v2. Scientific Data 10:41 (2023). doi 10.1038/s41597-022-01721-8
"""

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._store import read_split
from medssl.errors import DataError

__all__ = ["breastmnist", "organamnist", "pneumoniamnist"]

_CLASSES = {
    "pneumoniamnist": ("normal", "pneumonia"),
    "organamnist": (
        "bladder",
        "femur-left",
        "femur-right",
        "heart",
        "kidney-left",
        "kidney-right",
        "liver",
        "lung-left",
        "lung-right",
        "pancreas",
        "spleen",
    ),
    "breastmnist": ("malignant", "normal or benign"),
}


def pneumoniamnist(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load paediatric chest radiographs: 0 normal, 1 pneumonia; images [n, 28, 28]."""
    return _load("pneumoniamnist", "xray", split, download, verify)


def organamnist(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load axial abdominal CT crops of eleven organs; images [n, 28, 28]."""
    return _load("organamnist", "ct", split, download, verify)


def breastmnist(split: str = "train", *, download: bool = False, verify: bool = True) -> ImageDataset:
    """Load breast ultrasound images: 0 malignant, 1 normal or benign; images [n, 28, 28]."""
    return _load("breastmnist", "ultrasound", split, download, verify)


def _load(name: str, modality: str, split: str, download: bool, verify: bool) -> ImageDataset:
    images, labels = read_split(name, split, download=download, verify=verify)
    # No patient identifiers were published: groups stay None rather than invented.
    return ImageDataset(name, modality, split, images, one_column(name, split, labels), _CLASSES[name])


def one_column(name: str, split: str, labels: np.ndarray) -> np.ndarray:
    """Return labels [n] int64 from [n] or [n, 1]."""
    if labels.ndim > 2 or (labels.ndim == 2 and labels.shape[1] != 1):
        raise DataError(f"{name}: {split}_labels has shape {labels.shape}, expected [n, 1].")
    return labels.reshape(-1).astype(np.int64)
