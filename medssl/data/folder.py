"""A user's own images: a folder of class sub-folders, or an npz file of the same layout as the real sources.

Folder layouts, with PNG, JPEG, DICOM (.dcm) or NIfTI (.nii, .nii.gz) files::

    PATH/CLASS/image.png                 split here, 70 / 10 / 20 %, the same every time
    PATH/CLASS/PATIENT/image.png         the same, with no patient in two splits
    PATH/train/CLASS/..., PATH/val/..., PATH/test/...    split by the user

The modality comes from the option, from a file ``PATH/modality.txt`` that holds one word, or from DICOM.
An npz file holds ``{train,val,test}_images`` (uint8 [n, height, width]) and ``*_labels`` ([n] or [n, 1]), and
optionally ``classes``, ``modality`` and ``*_groups``.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medssl.data._dataset import MODALITIES, SPLITS, ImageDataset
from medssl.data._pixels import SUFFIXES, dicom_modality, read_grey
from medssl.data._store import read_arrays
from medssl.data.medmnist import one_column
from medssl.data.splits import grouped_split
from medssl.errors import DataError, UsageError

__all__ = ["folder"]


@dataclass(frozen=True)
class _Entry:
    file: Path
    label: str
    group: str


def folder(
    split: str = "train", *, path: str | Path, modality: str | None = None, size: int = 64, seed: int = 0
) -> ImageDataset:
    """Load one split of a folder or npz file.

    Parameters
    ----------
    split : str
        "train", "val" or "test".
    path : str or Path
        The folder or npz file.
    modality : str or None
        "xray", "ct", "mri" or "ultrasound"; None reads ``modality.txt``, the npz file or DICOM.
    size : int
        Side in pixels to which the centre square of each file is resized; not used for npz.
    seed : int
        Seed of the split where the folder has none.

    Returns
    -------
    ImageDataset
        Images uint8 [n, size, size], labels [n], groups [n].

    Raises
    ------
    UsageError
        The modality or the size is not one of those allowed.
    DataError
        The path is missing, empty or holds a file that cannot be read.
    """
    path = Path(path).expanduser()
    if modality not in (None, *MODALITIES):
        raise UsageError(f"Unknown modality {modality!r}; choose from {', '.join(MODALITIES)}.")
    if not 8 <= size <= 512:
        raise UsageError(f"size {size}: choose a side from 8 to 512 pixels.")
    if path.is_file() and path.suffix == ".npz":
        return _from_npz(path, split, modality)
    if not path.is_dir():
        raise DataError(f"{path}: neither a folder nor an npz file.")
    return _from_folder(path, split, modality, size, seed)


def _from_npz(path: Path, split: str, modality: str | None) -> ImageDataset:
    wanted = (f"{split}_images", f"{split}_labels")
    images, labels, classes, groups, found = read_arrays(
        path, wanted, ("classes", f"{split}_groups", "modality")
    )
    labels = one_column(str(path), split, labels)
    if classes is None:
        classes = np.arange(labels.max(initial=0) + 1)
    modality = modality or _known(path, None if found is None else str(found))
    return ImageDataset(f"folder:{path}", modality, split, images, labels, tuple(map(str, classes)), groups)


def _from_folder(path: Path, split: str, modality: str | None, size: int, seed: int) -> ImageDataset:
    ready = (path / "train").is_dir()
    everything = {name: _entries(path / name) for name in SPLITS} if ready else {"all": _entries(path)}
    classes = sorted({entry.label for part in everything.values() for entry in part})
    if not classes:
        raise DataError(f"{path}: no image found. Put files ({', '.join(SUFFIXES)}) into one folder a class.")
    entries = everything[split] if ready else _chosen(everything["all"], classes, split, seed)
    modality = modality or _modality(path, everything)
    images = np.zeros((len(entries), size, size), dtype=np.uint8)
    for index, entry in enumerate(entries):
        images[index] = read_grey(entry.file, size)
    labels = np.array([classes.index(entry.label) for entry in entries], dtype=np.int64)
    groups = np.array([entry.group for entry in entries], dtype=str)
    return ImageDataset(f"folder:{path}", modality, split, images, labels, tuple(classes), groups)


def _entries(root: Path) -> list[_Entry]:
    found = []
    for file in sorted(root.glob("*/**/*")):
        if file.is_file() and file.name.lower().endswith(SUFFIXES):
            label, *between = file.relative_to(root).parts[:-1]
            # A sub-folder of the class is a patient; without one, the file stands for itself.
            group = between[0] if between else str(file.relative_to(root))
            found.append(_Entry(file, label, group))
    return found


def _chosen(entries: list[_Entry], classes: list[str], split: str, seed: int) -> list[_Entry]:
    labels = np.array([classes.index(entry.label) for entry in entries])
    parts = grouped_split(labels, np.array([entry.group for entry in entries]), seed=seed)
    return [entry for entry, part in zip(entries, parts, strict=True) if part == split]


def _modality(path: Path, everything: dict[str, list[_Entry]]) -> str:
    note = path / "modality.txt"
    if note.is_file():
        return _known(path, note.read_text(encoding="utf-8").strip())
    first = next(entry.file for part in everything.values() for entry in part)
    return _known(path, dicom_modality(first))


def _known(path: Path, modality: str | None) -> str:
    if modality in MODALITIES:
        return modality
    given = "is not given" if modality is None else f"{modality!r} is unknown"
    raise UsageError(
        f"{path}: the modality {given}. Pass modality=..., or write one word into {path}/modality.txt: "
        f"{', '.join(MODALITIES)}."
    )
