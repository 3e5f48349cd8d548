"""Keep what an executed chapter made, under a key of everything that went into it.

The key covers the chapter's source, its parameters and profile, every medssl file that it can import
(not only its cells), the data files that it declares, ``requirements.lock``, the Python version and the
kind of device.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from medssl.book._closure import imported_files
from medssl.book._percent import literal
from medssl.errors import UsageError
from medssl.files import read_json, sha256_of, write_json

__all__ = ["declared_files", "device_kind", "find", "key_of", "parts_of", "store", "why"]

_DATA_PREFIX = "$MEDSSL_DATA/"
_KEPT_PER_CHAPTER = 6


def parts_of(
    source: Path, values: dict, profile: str, *, root: Path, package_root: Path, package: str = "medssl"
) -> dict[str, str]:
    """Return everything that the result of a chapter depends on, each named and hashed.

    Parameters
    ----------
    source : Path
        The chapter's percent-format file.
    values : dict
        Overridden parameters.
    profile : str
        "quick", "published" or "full".
    root : Path
        The repository, for declared data and the lock.
    package_root : Path
        The folder that holds the imported package.
    package : str
        The package whose modules are followed.

    Returns
    -------
    dict of str to str
        Names such as ``"module medssl/meta/random_effects.py"`` with a hash or a plain value.
    """
    text = source.read_text(encoding="utf-8")
    parts = {
        "chapter": sha256_of(source),
        "parameters": json.dumps(values, sort_keys=True),
        "profile": profile,
    }
    parts |= {"python": platform.python_version(), "device": device_kind()}
    lock = root / "requirements.lock"
    parts["lock"] = sha256_of(lock) if lock.is_file() else "none"
    for path in imported_files(text, package_root, package):
        parts[f"module {path.relative_to(package_root).as_posix()}"] = sha256_of(path)
    for name, path in declared_files(text, profile, root):
        parts[f"data {name}"] = sha256_of(path)
    return parts


def key_of(parts: dict[str, str]) -> str:
    """Return 20 hexadecimal digits that change with any part."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


def find(cache: Path, chapter: str, parts: dict[str, str]) -> Path | None:
    """Return the folder of a finished execution with exactly these parts, or None."""
    entry = cache / chapter / key_of(parts)
    if not (entry / "parts.json").is_file():
        return None
    os.utime(entry)
    return entry


def store(cache: Path, chapter: str, parts: dict[str, str], folder: Path) -> Path:
    """Move a finished execution into the cache in one step, and drop the oldest ones.

    Parameters
    ----------
    folder : Path
        The executed notebook, figures and results; on the same disk as the cache.

    Returns
    -------
    Path
        Where they are now.
    """
    entry = cache / chapter / key_of(parts)
    entry.parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / "parts.json", parts)
    shutil.rmtree(entry, ignore_errors=True)
    os.replace(folder, entry)
    os.utime(entry)
    for old in _entries(cache, chapter)[_KEPT_PER_CHAPTER:]:
        shutil.rmtree(old)
    return entry


def why(cache: Path, chapter: str, parts: dict[str, str]) -> str:
    """Say in a few words why a chapter is executed: what differs from its last execution."""
    entries = _entries(cache, chapter)
    if not entries:
        return "not executed before"
    last = read_json(entries[0] / "parts.json")
    names = [name for name in {**last, **parts} if last.get(name) != parts.get(name)]
    shown = ", ".join(name.removeprefix("module ").removeprefix("data ") for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"changed: {shown}{more}" if names else "asked for"


def declared_files(text: str, profile: str, root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of every data file that a chapter declares.

    Parameters
    ----------
    text : str
        The chapter's source, with ``declared_data = [patterns]`` in some cell; without it, everything
        below ``records/`` counts.
    profile : str
        Patterns that begin with ``$MEDSSL_DATA/`` count in the "full" profile.
    root : Path
        The folder to which the other patterns are relative.
    """
    patterns = literal(text, "declared_data")
    for pattern in ["records/**/*"] if patterns is None else patterns:
        prefix = _DATA_PREFIX if pattern.startswith(_DATA_PREFIX) else ""
        folder = _data_folder(profile) if prefix else root
        if folder is not None:
            files = (path for path in sorted(folder.glob(_relative(pattern))) if path.is_file())
            yield from ((prefix + path.relative_to(folder).as_posix(), path) for path in files)


def device_kind() -> str:
    """Return "cuda", "mps" or "cpu" without importing torch, which takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in {"", "-1"}
    if Path("/proc/driver/nvidia/version").exists() and not hidden:
        return "cuda"
    return "mps" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else "cpu"


def _relative(pattern: str) -> str:
    plain = pattern.removeprefix(_DATA_PREFIX)
    if Path(plain).is_absolute() or ".." in Path(plain).parts:
        raise UsageError(f"declared_data: {pattern!r} leaves its folder; write a relative pattern")
    return plain


def _data_folder(profile: str) -> Path | None:
    given = os.environ.get("MEDSSL_DATA")
    return Path(given).resolve() if given and profile == "full" else None


def _entries(cache: Path, chapter: str) -> list[Path]:
    """Return the finished executions of a chapter, the last used first."""
    found = [path.parent for path in (cache / chapter).glob("*/parts.json")]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)
