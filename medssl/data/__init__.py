"""Image sources: one file a source, one function that loads any of them by name."""

import difflib
import functools
import importlib
import inspect
from pathlib import Path

from medssl.data import _store
from medssl.data._dataset import MODALITIES, SPLITS, ImageDataset
from medssl.errors import UsageError

__all__ = ["MODALITIES", "SPLITS", "ImageDataset", "available", "check_name", "fetch", "load", "locate"]

# Name of a source -> module that defines a function of that name.
# Modules are imported when they are asked for: the command line should not wait for physics.
_MODULES = {
    "pneumoniamnist": "medmnist",
    "organamnist": "medmnist",
    "breastmnist": "medmnist",
    "brain_tumour_64": "brain_tumour",
    "brain_tumour_128": "brain_tumour",
    "hippocampus": "hippocampus",
    "phantom_xray": "phantom_xray",
    "phantom_ct": "phantom_ct",
    "phantom_mri": "phantom_mri",
    "phantom_ultrasound": "phantom_ultrasound",
}


def available() -> tuple[str, ...]:
    """Return the names that `load` accepts, besides ``folder:PATH`` for a user's own images.

    Examples
    --------
    >>> "pneumoniamnist" in available()
    True
    """
    return tuple(_MODULES)


def load(name: str, split: str = "train", **options) -> ImageDataset:
    """Load one split of one source.

    Parameters
    ----------
    name : str
        One of `available()`, or ``folder:PATH`` for a folder or npz file of one's own.
    split : str
        "train", "val" or "test".
    **options
        Keyword options of the source: ``download`` and ``verify`` for the real ones; ``n``, ``size``,
        ``seed``, ``difficulty`` and ``prevalence`` for the phantoms; ``modality``, ``size`` and ``seed``
        for a folder.

    Returns
    -------
    ImageDataset
        Images [n, height, width] or [n, depth, height, width], uint8, with labels and groups.

    Raises
    ------
    UsageError
        Unknown name, split or option; the text lists what exists.
    DataError
        The file is missing, damaged or not what its card says.

    Examples
    --------
    >>> load("phantom_xrays")
    Traceback (most recent call last):
    ...
    medssl.errors.UsageError: Unknown data set 'phantom_xrays'; did you mean 'phantom_xray'? Known: ...
    """
    if split not in SPLITS:
        raise UsageError(f"Unknown split {split!r}; choose from {', '.join(SPLITS)}.")
    if name.startswith("folder:"):
        folder = importlib.import_module("medssl.data.folder").folder
        loader = functools.partial(folder, path=name.removeprefix("folder:"))
    else:
        loader = _loader(name)
    _check_options(name, loader, options)
    return loader(split, **options)


def _loader(name: str):
    check_name(name)
    module = importlib.import_module(f"medssl.data.{_MODULES[name]}")
    return getattr(module, name)


def check_name(name: str) -> str:
    """Return `name` when it is a known source, else raise `UsageError` with the nearest match."""
    if name in _MODULES:
        return name
    near = difflib.get_close_matches(name, _MODULES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UsageError(f"Unknown data set {name!r}{hint} Known: {', '.join(_MODULES)}, folder:PATH.")


def _check_options(name: str, loader, options: dict) -> None:
    known = [key for key in inspect.signature(loader).parameters if key not in ("split", "path")]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UsageError(f"{name}: unknown option {', '.join(unknown)}; it takes {', '.join(known)}.")


def locate(name: str) -> Path | None:
    """Return where the file of a real source lies, or None when it is missing or the source is generated.

    $MEDSSL_DATA and its sub-folders are searched first, then the user's cache.
    """
    if _generated(name):
        return None
    return _store.locate(_store.source_file(name))


def fetch(name: str, echo=None) -> Path:
    """Download the file of a real source into the user's cache, unless it is already there.

    Parameters
    ----------
    name : str
        One of `available()` that is not generated.
    echo : callable or None
        Receives one line with size and licence before the download; None writes it to stderr.

    Returns
    -------
    Path
        The file, its MD5 checked.

    Raises
    ------
    UsageError
        The source is generated, so there is nothing to fetch.
    DataError
        No plain address exists (the text holds the manual steps), or the hash is wrong.
    RunError
        The network or the disk failed.
    """
    if _generated(name):
        raise UsageError(f"{name} is generated on the spot: there is nothing to fetch.")
    from medssl.data._download import fetch_file

    return fetch_file(_store.source_file(name), echo)


def _generated(name: str) -> bool:
    return check_name(name).startswith("phantom_")
