"""A result folder may replace an earlier one, and nothing else."""

from pathlib import Path

from medssl.errors import UsageError

__all__ = ["check_replaceable"]

MARK = "results.json"


def check_replaceable(folder: Path) -> None:
    """Raise `UsageError` when `folder` holds something that is no earlier analysis."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a new folder.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise UsageError(f"{folder} holds other files, which would be replaced; name a new folder.")
