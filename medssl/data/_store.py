"""Where a file is found: $MEDSSL_DATA, then the user's cache; checked before it is trusted."""

import hashlib
import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from medssl.errors import DataError, MedsslError
from medssl.files import write_json

__all__ = [
    "CARDS",
    "SourceFile",
    "cache_folder",
    "card_path",
    "check_hash",
    "locate",
    "read_arrays",
    "read_split",
    "require",
    "source_file",
]

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True)
class SourceFile:
    """What a source's one npz file must be.

    Parameters
    ----------
    name : str
        Name of the source.
    path : str
        Place below a data folder, for example ``medmnist/breastmnist.npz``.
    bytes : int
        Size of the file.
    md5 : str
        Expected MD5 as 32 hexadecimal digits.
    image_shape : tuple of int
        Shape of one image.
    licence : str
        Name of the licence, printed before a download.
    url : str or None
        Plain address, or None when the file must be made by hand.
    manual : str
        The exact steps to get the file without a download.
    """

    name: str
    path: str
    bytes: int
    md5: str
    image_shape: tuple[int, ...]
    licence: str
    url: str | None
    manual: str


def source_file(name: str) -> SourceFile:
    """Return the file facts of a real source, read from its card."""
    card = json.loads(card_path(name).read_text(encoding="utf-8"))
    facts = card["file"]
    return SourceFile(
        name=name,
        path=facts["path"],
        bytes=facts["bytes"],
        md5=facts["md5"],
        image_shape=tuple(facts["image_shape"]),
        licence=card["licence"]["name"],
        url=facts["url"],
        manual=facts["manual"],
    )


def card_path(name: str) -> Path:
    """Return the JSON file of a source's card."""
    return CARDS / f"{name}.json"


def cache_folder() -> Path:
    """Return the folder for downloads: $MEDSSL_CACHE, or the user's cache folder."""
    return Path(os.environ.get("MEDSSL_CACHE") or platformdirs.user_cache_path("medssl"))


def locate(source: SourceFile) -> Path | None:
    """Return the first existing file of `source` in $MEDSSL_DATA, its sub-folders, or the cache."""
    return next((path for path in _candidates(source) if path.is_file()), None)


def _candidates(source: SourceFile):
    base = Path(source.path).name
    given = os.environ.get("MEDSSL_DATA")
    if given:
        root = Path(given).expanduser()
        if not root.is_dir():
            raise DataError(f"MEDSSL_DATA={given}: no such folder. Set it to a folder that holds {base}.")
        yield root / source.path
        yield root / base
        yield from sorted(root.glob(f"*/{base}"))
    yield cache_folder() / source.path


def require(source: SourceFile) -> Path:
    """Return the path of `source`, or raise `DataError` with the three ways to get the file."""
    path = locate(source)
    if path is not None:
        return path
    raise DataError(
        f"{source.name}: {Path(source.path).name} was not found. Three ways to get it: "
        f"(1) set MEDSSL_DATA to a folder that holds {source.path}; "
        f"(2) put the file at {cache_folder() / source.path}; "
        f"(3) {_third_way(source)}"
    )


def _third_way(source: SourceFile) -> str:
    if source.url:
        return f"run `medssl data fetch {source.name}`, which downloads {source.url}"
    return f"make it by hand: {source.manual}"


def check_hash(source: SourceFile, path: Path) -> None:
    """Raise `DataError` when the MD5 differs; a file that passed is not hashed again while unchanged."""
    state = path.stat()
    stamp = [state.st_size, state.st_mtime_ns, source.md5]
    passed = _passed()
    if passed.get(str(path.resolve())) == stamp:
        return
    found = _md5(path)
    if found != source.md5:
        raise DataError(
            f"{path}: not the file that the card of {source.name} names: md5 {found}, {state.st_size} bytes; "
            f"expected {source.md5}, {source.bytes} bytes. Move it away and run "
            f"`medssl data fetch {source.name}`, or load it with verify=False if you converted it yourself."
        )
    _remember({**passed, str(path.resolve()): stamp})


def _md5(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _passed() -> dict:
    try:
        return json.loads((cache_folder() / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(passed: dict) -> None:
    # A cache folder that cannot be written costs a second of hashing at the next load, nothing more.
    try:
        write_json(cache_folder() / "verified.json", passed)
    except (MedsslError, OSError):
        return


def read_arrays(path: Path, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> list:
    """Return the named arrays of an npz file, None for an absent optional one.

    Pickled content, damage and absence raise `DataError`.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise DataError(f"{path}: no array {', '.join(missing)}; found {', '.join(archive.files)}.")
            return [archive[key] if key in archive.files else None for key in (*keys, *optional)]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, TypeError) as error:
        reason = "pickled arrays are refused" if "allow_pickle" in str(error) else f"{error}"
        raise DataError(f"{path}: not a whole npz file ({reason}). Use an intact copy.") from error


def read_split(name: str, split: str, extra: tuple[str, ...] = (), *, download=False, verify=True) -> list:
    """Return images, labels and `extra` arrays of one split, checked against the card.

    Parameters
    ----------
    name : str
        Name of a real source.
    split : str
        "train", "val" or "test".
    extra : tuple of str
        Suffixes of further arrays, for example ``("files",)`` for ``train_files``.
    download : bool
        Fetch the file when it is not found.
    verify : bool
        Compare the MD5 with the card; False accepts a copy converted by the user.

    Returns
    -------
    list of ndarray
        Images uint8 [n, *image_shape], labels as stored, then the extra arrays.
    """
    source = source_file(name)
    path = _get(source) if download else require(source)
    if verify:
        check_hash(source, path)
    arrays = read_arrays(path, tuple(f"{split}_{key}" for key in ("images", "labels", *extra)))
    _check_layout(source, path, split, arrays)
    return arrays


def _get(source: SourceFile) -> Path:
    from medssl.data._download import fetch_file  # requests and pooch only when a download is asked for

    return fetch_file(source)


def _check_layout(source: SourceFile, path: Path, split: str, arrays: list) -> None:
    images, labels = arrays[:2]
    if images.dtype != np.uint8:
        raise DataError(f"{path}: {split}_images is {images.dtype}, expected uint8 (0 to 255).")
    if images.shape[1:] != source.image_shape:
        raise DataError(
            f"{path}: {split}_images has shape {images.shape}, expected [n, {source.image_shape}]."
        )
    if labels.dtype.kind not in "iu":
        raise DataError(f"{path}: {split}_labels is {labels.dtype}, expected whole numbers.")
    if any(len(array) != len(images) for array in arrays[1:]):
        raise DataError(f"{path}: arrays of split {split} have lengths {[len(array) for array in arrays]}.")
