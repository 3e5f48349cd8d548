"""What the four generated sources share: seeds, patients, smooth random fields and ellipses.

Images are drawn in chunks of fixed size, each with its own random streams that depend on the source, the
seed, the split and the chunk number alone.
Image i is therefore the same whatever the number of images, and splits share no stream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from medssl.data._dataset import MODALITIES, SPLITS, ImageDataset
from medssl.errors import UsageError

__all__ = [
    "CHUNK",
    "Cases",
    "area_mean",
    "cases_of",
    "check_request",
    "ellipse_level",
    "generate",
    "inside",
    "oversampling",
    "pixel_axis",
    "smooth_field",
    "to_uint8",
    "windowed",
]

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


def oversampling(size: int) -> int:
    """Return how many fine samples a side of a pixel is drawn with: 3 at 28 pixels, 2 at 64."""
    return max(1, min(3, 128 // size))


def pixel_axis(size: int, half_width: float) -> np.ndarray:
    """Return pixel centres of an axis from -half_width to half_width, shape [size].

    Examples
    --------
    >>> [float(centre) for centre in pixel_axis(4, 2.0)]
    [-1.5, -0.5, 0.5, 1.5]
    """
    return ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1) * np.float32(half_width)


def area_mean(fine: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of factor x factor fine samples into pixels.

    Examples
    --------
    >>> area_mean(np.arange(16.0).reshape(1, 4, 4), 2).tolist()
    [[[2.5, 4.5], [10.5, 12.5]]]
    """
    count, height, width = fine.shape
    blocks = fine.reshape(count, height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(2, 4))


@cache
def _bumps(size: int, length: float) -> np.ndarray:
    """Gaussian bumps that turn independent knots into a smooth unit-variance line, [size, knots]."""
    knots = np.arange(-3 * length, 1 + 3 * length, length / 1.5)
    positions = (np.arange(size) + 0.5) / size
    weights = np.exp(-0.5 * ((positions[:, None] - knots) / (0.7 * length)) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def smooth_field(generator: np.random.Generator, count: int, size: int, length: float) -> np.ndarray:
    """Draw Gaussian random fields of mean 0 and variance 1.

    Parameters
    ----------
    generator : Generator
        Source of the random knots.
    count, size : int
        Number of fields and their side.
    length : float
        Correlation length as a fraction of the side; the standard deviation of the Gaussian
        autocorrelation is about `length`.

    Returns
    -------
    ndarray of float32, shape [count, size, size]

    Examples
    --------
    >>> smooth_field(np.random.default_rng(0), 2, 8, 0.3).shape
    (2, 8, 8)
    """
    weights = _bumps(size, length)
    knots = generator.standard_normal((count, weights.shape[1], weights.shape[1]), dtype=np.float32)
    return weights @ knots @ weights.T


def ellipse_level(x, y, centre_x, centre_y, radius_x, radius_y, angle=0.0) -> np.ndarray:
    """Return the squared elliptic radius of each point: below 1 inside, 1 on the edge.

    Parameters
    ----------
    x, y : ndarray
        Coordinates that broadcast to [count, height, width].
    centre_x, centre_y, radius_x, radius_y, angle : ndarray of shape [count], or float
        Ellipses in the unit of `x`; `angle` in radians turns the first axis towards +y.

    Returns
    -------
    ndarray of float32, shape [count, height, width]

    Examples
    --------
    >>> ellipse_level(np.array([[[0.0, 2.0]]]), np.zeros((1, 1, 1)), 0.0, 0.0, 2.0, 1.0).tolist()
    [[[0.0, 1.0]]]
    """
    column = [
        np.asarray(value, np.float32).reshape(-1, 1, 1)
        for value in (centre_x, centre_y, radius_x, radius_y, np.cos(angle), np.sin(angle))
    ]
    centre_x, centre_y, radius_x, radius_y, cosine, sine = column
    along_x, along_y = cosine / radius_x, sine / radius_x
    across_x, across_y = -sine / radius_y, cosine / radius_y
    moved_x, moved_y = x - centre_x, y - centre_y
    return (moved_x * along_x + moved_y * along_y) ** 2 + (moved_x * across_x + moved_y * across_y) ** 2


def inside(level: np.ndarray, softness: float) -> np.ndarray:
    """Turn squared elliptic radii into membership 0..1 with a linear edge.

    Parameters
    ----------
    level : ndarray
        From `ellipse_level`, or any function of that form.
    softness : float
        Width of the edge as a fraction of the radius.

    Examples
    --------
    >>> inside(np.array([0.0, 1.0, 4.0]), 0.1).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.clip((1 - np.sqrt(np.maximum(level, 0))) / softness + 0.5, 0, 1)


def windowed(values: np.ndarray, low, high) -> np.ndarray:
    """Map values linearly so that low becomes 0 and high becomes 1, and clip.

    `low` and `high` are floats or arrays of shape [count].

    Examples
    --------
    >>> windowed(np.array([[[-200.0, 50.0, 500.0]]]), -100.0, 200.0).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    low, high = (np.asarray(edge, np.float32).reshape(-1, 1, 1) for edge in (low, high))
    return np.clip((values - low) / (high - low), 0, 1)


def to_uint8(fraction: np.ndarray) -> np.ndarray:
    """Round values in 0..1 to 0..255; values outside are clipped.

    Examples
    --------
    >>> to_uint8(np.array([-1.0, 0.5, 2.0])).tolist()
    [0, 128, 255]
    """
    return np.rint(np.clip(fraction, 0, 1) * 255).astype(np.uint8)
