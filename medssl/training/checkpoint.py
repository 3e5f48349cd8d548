"""Checkpoints: written atomically, loaded without executing code, strict about every key."""

import pickle
from pathlib import Path

import torch

from medssl.errors import DataError, RunError
from medssl.files import atomic_path

__all__ = ["load_checkpoint", "load_encoder", "save_checkpoint", "save_encoder"]


# what torch.load raises for text, cut or foreign files, depending on their first bytes
_DAMAGE = (
    OSError, RuntimeError, EOFError, LookupError, ValueError, AttributeError, pickle.UnpicklingError,
)  # fmt: skip


def save_checkpoint(path: str | Path, state: dict) -> None:
    """Write tensors and plain values atomically: a killed run leaves the last whole checkpoint."""
    with atomic_path(path) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's word for a full disk
            raise RunError(f"{path}: cannot write the checkpoint ({error}). Free some space.") from error


def load_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint with `weights_only=True`, tensors on the processor.

    Raises
    ------
    DataError
        The file is missing, damaged or holds more than tensors and plain values.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise DataError(
            f"{path}: not a readable checkpoint ({type(error).__name__}). Remove it and run again."
        ) from error
    if not isinstance(state, dict):
        raise DataError(f"{path}: holds no checkpoint but a {type(state).__name__}. Name another file.")
    return state


def save_encoder(path: str | Path, encoder: torch.nn.Module, about: dict) -> None:
    """Write an encoder's weights with plain values that describe it (architecture, standardisation)."""
    save_checkpoint(path, {"encoder": encoder.state_dict(), "about": about})


def load_encoder(path: str | Path, encoder: torch.nn.Module) -> dict:
    """Load weights into `encoder` strictly and return the values that describe them.

    Raises
    ------
    DataError
        Keys are missing, unexpected or of another shape; each is listed.
    """
    saved = load_checkpoint(path)
    own, given = encoder.state_dict(), saved.get("encoder", {})
    problems = [f"missing {key}" for key in own.keys() - given.keys()]
    problems += [f"unexpected {key}" for key in given.keys() - own.keys()]
    problems += [
        f"{key} has shape {tuple(given[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own.keys() & given.keys()
        if own[key].shape != given[key].shape
    ]
    if problems:
        raise DataError(f"{path}: weights do not fit the encoder: " + "; ".join(sorted(problems)))
    encoder.load_state_dict(given)
    return saved.get("about", {})
