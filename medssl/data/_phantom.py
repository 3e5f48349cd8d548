"""What the four generated sources share: patients, labels and random streams.

Images are drawn in chunks of fixed size, each with its own random streams that depend on the source, the
seed, the split and the chunk number alone.
Image i is therefore the same whatever the number of images, and splits share no stream.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medssl.data._dataset import MODALITIES, SPLITS, ImageDataset
from medssl.data._shapes import smooth_field
from medssl.errors import UsageError

__all__ = ["CHUNK", "Cases", "cases_of", "check_request", "generate"]

CHUNK = 32  # images drawn together
LARGEST_GROUP = 3  # images of one patient
SIZES = (16, 128)  # smallest and largest side in pixels


@dataclass(frozen=True)
class Cases:
    """The images of one chunk: whom they show, their labels and the streams that draw them.

    Parameters
    ----------
    labels : ndarray of int64
        Class of each image, shape [count]; all images of a patient share it.
    patients : ndarray of int64
        Position of each image's patient within the chunk, shape [count].
    groups : ndarray of int64
        Patient number that is unique over chunks and splits, shape [count].
    anatomy, lesion, imaging : Generator
        Independent streams; none of them depends on the labels.
    """

    labels: np.ndarray
    patients: np.ndarray
    groups: np.ndarray
    anatomy: np.random.Generator
    lesion: np.random.Generator
    imaging: np.random.Generator

    def __len__(self) -> int:
        return len(self.labels)

    def patient_value(self, low: float, high: float) -> np.ndarray:
        """Draw one anatomical value for each patient and repeat it for the patient's images."""
        return self.anatomy.uniform(low, high, len(self))[self.patients].astype(np.float32)

    def lesion_value(self, low: float, high: float) -> np.ndarray:
        """Draw one lesion value for each patient and repeat it for the patient's images."""
        return self.lesion.uniform(low, high, len(self))[self.patients].astype(np.float32)

    def image_value(self, low: float, high: float) -> np.ndarray:
        """Draw one value of pose or acquisition for each image."""
        return self.imaging.uniform(low, high, len(self)).astype(np.float32)

    def patient_field(self, size: int, length: float) -> np.ndarray:
        """Draw one smooth field for each patient (see `smooth_field`)."""
        return smooth_field(self.anatomy, len(self), size, length)[self.patients]

    def image_field(self, size: int, length: float) -> np.ndarray:
        """Draw one smooth field for each image (see `smooth_field`)."""
        return smooth_field(self.imaging, len(self), size, length)

    def lesion_field(self, size: int, length: float) -> np.ndarray:
        """Draw one smooth field for each patient's lesion (see `smooth_field`)."""
        return smooth_field(self.lesion, len(self), size, length)[self.patients]


def cases_of(modality: str, split: str, seed: int, chunk: int, prevalence: float) -> Cases:
    """Draw patients and labels of one chunk and open its streams.

    Patients have one to three images and never cross a chunk.
    """
    entropy = [seed, MODALITIES.index(modality), SPLITS.index(split), chunk]
    who, anatomy, lesion, imaging = (
        np.random.default_rng(child) for child in np.random.SeedSequence(entropy).spawn(4)
    )
    images_each = who.integers(1, LARGEST_GROUP + 1, CHUNK)
    patients = np.repeat(np.arange(CHUNK), images_each)[:CHUNK]
    labels = (who.random(CHUNK) < prevalence).astype(np.int64)[patients]
    groups = (chunk * CHUNK + patients) * len(SPLITS) + SPLITS.index(split)
    return Cases(labels, patients, groups, anatomy, lesion, imaging)


def check_request(
    source: str, split: str, n: int, size: int, seed: int, difficulty: float, prevalence: float
) -> None:
    """Raise `UsageError` that names the first wrong argument and its allowed values."""
    if split not in SPLITS:
        raise UsageError(f"{source}: split is {split!r}; allowed: {', '.join(SPLITS)}.")
    whole = {"n": (n, 1, 10**7), "size": (size, *SIZES), "seed": (seed, 0, 2**63 - 1)}
    for name, (value, low, high) in whole.items():
        is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not is_whole or not low <= value <= high:
            raise UsageError(f"{source}: {name} is {value!r}; allowed: whole numbers {low} to {high}.")
    for name, value in {"difficulty": difficulty, "prevalence": prevalence}.items():
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= 1:
            raise UsageError(f"{source}: {name} is {value!r}; allowed: numbers from 0 to 1.")


def generate(
    modality: str,
    classes: tuple[str, str],
    render: Callable[[Cases, int, float], np.ndarray],
    *,
    split: str,
    n: int,
    size: int,
    seed: int,
    difficulty: float,
    prevalence: float,
) -> ImageDataset:
    """Check the request, draw as many chunks as it needs and return the first `n` images.

    Parameters
    ----------
    modality : str
        One of `medssl.data` modalities; the source is named after it.
    classes : tuple of str
        Names of labels 0 and 1.
    render : callable
        `render(cases, size, difficulty)` gives uint8 images [count, size, size].
    split, n, size, seed, difficulty, prevalence
        As in `medssl.data.phantom_xray.phantom_xray`.

    Returns
    -------
    ImageDataset

    Raises
    ------
    UsageError
        An argument is not allowed.
    """
    name = f"phantom_{modality}"
    check_request(name, split, n, size, seed, difficulty, prevalence)
    chunks = [cases_of(modality, split, int(seed), chunk, prevalence) for chunk in range(-(-n // CHUNK))]
    images = np.empty((len(chunks) * CHUNK, size, size), np.uint8)
    for position, cases in enumerate(chunks):
        images[position * CHUNK : (position + 1) * CHUNK] = render(cases, int(size), float(difficulty))
    labels = np.concatenate([cases.labels for cases in chunks])
    groups = np.concatenate([cases.groups for cases in chunks])
    return ImageDataset(name, modality, split, images[:n].copy(), labels[:n], classes, groups[:n])
