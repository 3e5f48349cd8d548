"""Atomic writes and content hashes: a reader never sees half a file."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from medssl.errors import DataError, RunError

__all__ = ["atomic_path", "check_writable", "read_json", "sha256_of", "write_json", "write_text"]


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the block succeeds.

    Parameters
    ----------
    target : str or Path
        The final path; its folder is made when it is missing.

    Yields
    ------
    Path
        A file in the same folder, removed when the block raises.

    Raises
    ------
    RunError
        The folder cannot be written or the disk is full; the text names the folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as part:
    ...     _ = part.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    target = Path(target)
    part = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        yield part
        part.chmod(0o666 & ~_umask())
        os.replace(part, target)
    except OSError as error:
        raise RunError(
            f"{target}: cannot write here ({error.strerror or error}). "
            "Free some space, or name a folder that you may write to."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> None:
    """Raise `RunError` now when nothing can be written below `folder`, not after an hour of work."""
    with atomic_path(Path(folder) / ".writable") as part:
        part.write_text("yes")
    (Path(folder) / ".writable").unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(target: str | Path, text: str) -> Path:
    """Write `text` to `target` atomically and return the path."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")
    return Path(target)


def write_json(target: str | Path, value) -> Path:
    """Write `value` as indented JSON, keys in their given order, NaN refused."""
    return write_text(target, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path):
    """Read JSON; a missing or damaged file raises `DataError` that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}). Remove it and run again.") from error


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
