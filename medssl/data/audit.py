"""Audit of a source: exact and near duplicates, label conflicts, imbalance, constant images.

Two images are exact duplicates when every pixel agrees.
They are near duplicates when the Pearson correlation of their thumbnails (area means on a grid of at most
14 cells an axis) is at least `THRESHOLD`.
The correlation ignores brightness and contrast, so a copy that was windowed anew is still found; a copy that
was shifted, turned or cropped otherwise is not.
The threshold was chosen by looking at the best match of each image in another split.
In the chest, CT and hippocampus sources no pair of different images reaches it across splits, and the fifteen
breast pairs above it that were looked at are visibly the same picture.
In the brain source some pairs above it show different tumours in the same plane (the near conflicts).
There a match means "looks alike", and a patient has to be confirmed by eye.
Counts at 0.95 and 0.995 are kept beside it so that a reader can see how much hangs on the choice.
"""

import hashlib
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement

import numpy as np

from medssl.data import SPLITS, ImageDataset, load
from medssl.data._thumbnails import thumbnails

__all__ = [
    "THRESHOLD",
    "THRESHOLDS",
    "Audit",
    "Overlap",
    "audit_source",
    "audit_splits",
    "class_counts",
    "matched",
    "thumbnails",
]

THRESHOLD = 0.98
THRESHOLDS = (0.95, 0.98, 0.995)
_BLOCK = 2048
_EXAMPLES = 5


@dataclass(frozen=True)
class Overlap:
    """Duplicates of one split in another, or within one split.

    Parameters
    ----------
    first, second : str
        Names of the splits; the same name twice for duplicates within a split.
    exact_pairs, exact_conflicts : int
        Pairs that agree in every pixel, and those of them with different labels.
    exact_images : int
        Images of `second` with an exact copy in `first` (another one, within a split).
    near_pairs, near_conflicts : int
        Pairs with thumbnail correlation at least `THRESHOLD` (exact ones included), and those of them
        with different labels.
    near_images : dict
        Images of `second` with a match in `first`, for each threshold in `THRESHOLDS`.
    highest : float
        Highest correlation of a pair that is not exact; -1 when there is no such pair.
    examples : tuple of tuple of int
        The first few near pairs: position in `first`, position in `second`.
    """

    first: str
    second: str
    exact_pairs: int
    exact_conflicts: int
    exact_images: int
    near_pairs: int
    near_conflicts: int
    near_images: dict
    highest: float
    examples: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Audit:
    """What `audit_source` found.

    Parameters
    ----------
    name : str
        Name of the source.
    threshold : float
        Thumbnail correlation from which two images count as near duplicates.
    n : dict
        Images in each split.
    class_counts : dict
        Images of each class in each split; voxels for segmentation.
    imbalance : dict
        Largest class over smallest class in each split; None where a class is absent.
    constant : dict
        Images with a single grey value in each split.
    shared_groups : int
        Units of independence that occur in more than one split; -1 where they are unknown.
    overlaps : tuple of Overlap
        One entry for each split and each pair of splits.
    """

    name: str
    threshold: float
    n: dict
    class_counts: dict
    imbalance: dict
    constant: dict
    shared_groups: int
    overlaps: tuple[Overlap, ...]

    def to_dict(self) -> dict:
        """Return plain types that JSON can hold."""
        return {**asdict(self), "overlaps": [asdict(overlap) for overlap in self.overlaps]}

    def overlap(self, first: str, second: str) -> Overlap:
        """Return the entry of one pair of splits."""
        return next(entry for entry in self.overlaps if (entry.first, entry.second) == (first, second))


@dataclass(frozen=True)
class _Prints:
    """What the comparison needs of a split: thumbnails [n, cells], pixel codes [n], label codes [n]."""

    name: str
    thumbnails: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray


def audit_source(name: str, **options) -> Audit:
    """Audit the three splits of a source; `options` go to `medssl.data.load`.

    Examples
    --------
    >>> audit_source("nowhere")
    Traceback (most recent call last):
    ...
    medssl.errors.UsageError: Unknown data set 'nowhere'. Known: ...
    """
    return audit_splits([load(name, split, **options) for split in SPLITS])


def audit_splits(splits: list[ImageDataset]) -> Audit:
    """Audit splits that are already loaded.

    Parameters
    ----------
    splits : list of ImageDataset
        The splits of one source, in order; an empty split is allowed.
    """
    prints = [_prints(part) for part in splits]
    pairs = combinations_with_replacement(prints, 2)
    counts = {part.split: class_counts(part) for part in splits}
    return Audit(
        name=splits[0].name,
        threshold=THRESHOLD,
        n={part.split: len(part) for part in splits},
        class_counts=counts,
        imbalance={split: _imbalance(values) for split, values in counts.items()},
        constant={part.split: _constant(part.images) for part in splits},
        shared_groups=_shared_groups(splits),
        overlaps=tuple(_overlap(first, second) for first, second in pairs),
    )


def class_counts(part: ImageDataset) -> list[int]:
    """Return the images (or voxels) of each class, in the order of `part.classes`."""
    return np.bincount(part.labels.reshape(-1), minlength=len(part.classes)).tolist()


def matched(first: ImageDataset, second: ImageDataset, threshold: float = THRESHOLD) -> np.ndarray:
    """Return which images of `second` have a near or exact duplicate in `first`.

    Parameters
    ----------
    first, second : ImageDataset
        Two different splits, for example train and test.
    threshold : float
        Thumbnail correlation from which two images count as near duplicates.

    Returns
    -------
    ndarray of bool
        Shape [n of second]; leaving these images out of a test set is a check on how much leakage helps.

    Examples
    --------
    >>> train, test = load("phantom_xray", "train", n=4), load("phantom_xray", "test", n=3)
    >>> matched(train, test, threshold=0.999).tolist()
    [False, False, False]
    """
    prints = _prints(first), _prints(second)
    best = np.full(len(second), -1.0)
    for _, column, match in _blocks(*prints):
        _raise_to(best, column, match.max(axis=0))
    return (best >= threshold) | np.isin(prints[1].pixels, prints[0].pixels)


def _prints(part: ImageDataset) -> _Prints:
    masks = part.task == "segmentation"
    labels = _codes(part.labels) if masks else part.labels
    return _Prints(part.split, thumbnails(part.images), _codes(part.images), labels)


def _codes(arrays: np.ndarray) -> np.ndarray:
    digests = [hashlib.blake2b(array.tobytes(), digest_size=8).digest() for array in arrays]
    return np.frombuffer(b"".join(digests), dtype=np.int64)


def _overlap(first: _Prints, second: _Prints) -> Overlap:
    exact, agreeing, images = _exact(first, second)
    near, conflicts, examples = 0, 0, []
    best, highest = np.full(len(second.pixels), -1.0), -1.0
    for row, column, match in _blocks(first, second):  # match [rows, columns]
        rows, columns = np.nonzero(match >= THRESHOLD)
        rows, columns = rows + row, columns + column
        near += len(rows)
        conflicts += int((first.labels[rows] != second.labels[columns]).sum())
        examples += zip(rows[:_EXAMPLES].tolist(), columns[:_EXAMPLES].tolist(), strict=True)
        _raise_to(best, column, match.max(axis=0))
        if first is second:
            _raise_to(best, row, match.max(axis=1))
        highest = max(highest, _highest_unequal(first, second, row, column, match))
    return Overlap(
        first=first.name,
        second=second.name,
        exact_pairs=exact,
        exact_conflicts=exact - agreeing,
        exact_images=images,
        near_pairs=near,
        near_conflicts=conflicts,
        near_images={f"{level:g}": int((best >= level).sum()) for level in THRESHOLDS},
        highest=round(min(highest, 1.0), 4),
        examples=tuple(examples[:_EXAMPLES]),
    )


def _blocks(first: _Prints, second: _Prints):
    """Yield row offset, column offset and correlations, so that memory stays bounded for any n."""
    within = first is second
    for row in range(0, len(first.pixels), _BLOCK):
        for column in range(row if within else 0, len(second.pixels), _BLOCK):
            match = first.thumbnails[row : row + _BLOCK] @ second.thumbnails[column : column + _BLOCK].T
            if within and row == column:
                match[np.tril_indices_from(match)] = -1.0  # each pair once, no image with itself
            yield row, column, match


def _raise_to(best: np.ndarray, start: int, values: np.ndarray) -> None:
    part = best[start : start + len(values)]
    np.maximum(part, values, out=part)


def _highest_unequal(first: _Prints, second: _Prints, row: int, column: int, match: np.ndarray) -> float:
    height, width = match.shape
    equal = first.pixels[row : row + height, None] == second.pixels[None, column : column + width]
    return float(match.max(initial=-1.0, where=~equal))


def _exact(first: _Prints, second: _Prints) -> tuple[int, int, int]:
    """Return pairs equal in pixels, pairs equal in pixels and label, images of `second` with a copy."""
    within = first is second
    codes, counts = np.unique(first.pixels, return_counts=True)
    wanted = codes[counts > 1] if within else codes
    images = int(np.isin(second.pixels, wanted).sum())
    both = [np.stack([part.pixels, part.labels.astype(np.int64)], axis=1) for part in (first, second)]
    return _equal_pairs(first.pixels, second.pixels, within), _equal_pairs(*both, within), images


def _equal_pairs(first: np.ndarray, second: np.ndarray, within: bool) -> int:
    keys, counts = np.unique(first, axis=0, return_counts=True)
    if within:
        return int((counts * (counts - 1) // 2).sum())
    known = {np.asarray(key).tobytes(): count for key, count in zip(keys, counts, strict=True)}
    return int(sum(known.get(np.asarray(row).tobytes(), 0) for row in second))


def _imbalance(counts: list[int]) -> float | None:
    return round(max(counts) / min(counts), 2) if min(counts) else None


def _constant(images: np.ndarray) -> int:
    pixels = tuple(range(1, images.ndim))
    return int((images.min(axis=pixels) == images.max(axis=pixels)).sum())


def _shared_groups(splits: list[ImageDataset]) -> int:
    if any(part.groups is None for part in splits):
        return -1
    groups = np.concatenate([np.unique(part.groups) for part in splits])
    return int((np.unique(groups, return_counts=True)[1] > 1).sum())
