"""Which code drew a figure: package version, commit, and whether the code was committed."""

import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

__all__ = ["UNKNOWN", "Provenance", "provenance"]

UNKNOWN = "unknown"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Provenance:
    """Version of the package, commit of its checkout and that commit's date; "unknown" outside a checkout."""

    version: str
    commit: str = UNKNOWN
    commit_date: str = UNKNOWN
    uncommitted_changes: bool = False


def provenance(root: Path = ROOT) -> Provenance:
    """Return the provenance of the code in `root`; only a repository at `root` itself counts."""
    version = _version()
    if not (root / ".git").exists():
        return Provenance(version)
    head = _git(root, "log", "-1", "--format=%H %cs")
    if head is None:
        return Provenance(version)
    commit, date = head.split()
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "medssl", "chapters")
    return Provenance(version, commit, date, bool(changed))


def _version() -> str:
    try:
        return metadata.version("medssl")
    except metadata.PackageNotFoundError:
        return UNKNOWN


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or no commit yet
        return None
    return result.stdout.strip()
