"""The tensors of anybody's checkpoint, from under the keys where training code usually puts them."""

from collections.abc import Mapping
from pathlib import Path

import torch

from medssl.errors import DataError
from medssl.training.checkpoint import load_checkpoint

__all__ = ["NESTS", "read_weights"]

NESTS = ("state_dict", "model", "encoder", "method")


def read_weights(path: str | Path | Mapping, name: str | None = None) -> dict[str, torch.Tensor]:
    """Return the tensors of a file, or of what it would hold, by their keys.

    Parameters
    ----------
    path : path or mapping
        A file of `torch.save`, read without executing code, or a mapping.
    name : str, optional
        What an error calls it; the path by default.

    Raises
    ------
    DataError
        The file cannot be read or holds no tensor, bare or under one of `NESTS`.

    Examples
    --------
    >>> read_weights({"epoch": 3, "model": {"state_dict": {"stem.weight": torch.ones(2)}}})
    {'stem.weight': tensor([1., 1.])}
    """
    saved = path if isinstance(path, Mapping) else _read(path)
    while nest := next((key for key in NESTS if isinstance(saved.get(key), Mapping)), None):
        saved = saved[nest]
    weights = {key: value for key, value in saved.items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise DataError(
            f"{name or path}: holds no weights, bare or under {', '.join(NESTS)}. Name another file."
        )
    return weights


def _read(path) -> dict:
    try:
        return load_checkpoint(path)
    except DataError as error:
        if error.__cause__ is None:  # not damaged, but no dictionary: the error says so
            raise
        raise DataError(
            f"{path}: not a readable checkpoint ({type(error.__cause__).__name__}). "
            "Name a file that torch.save made from tensors and plain values, such as a state dict."
        ) from error
