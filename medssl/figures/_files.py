"""The files of a figure: written without dates or random ids, and put in place all at once."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from medssl.errors import RunError
from medssl.figures.drawing import Drawing
from medssl.figures.style import figure_style
from medssl.files import sha256_of

__all__ = ["whole_folder", "write_files"]

DOTS_PER_INCH = 300


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target` that takes its place when the block succeeds."""
    part, old = None, target.with_name(f".{target.name}.old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
        yield part
        part.chmod(0o755)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        part.rename(target)
    except OSError as error:
        raise RunError(
            f"{target}: cannot write here ({error.strerror or error}). "
            "Free some space, or name a folder that you may write to."
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def write_files(drawing: Drawing, stem: Path, title: str) -> dict[str, str]:
    """Write every file but the card, without dates or random ids, and return their SHA-256 by kind."""
    metadata = {
        "svg": {"Date": None, "Creator": "medssl", "Title": title, "Description": drawing.alt},
        "pdf": {
            "CreationDate": None,
            "Creator": "medssl",
            "Producer": None,
            "Title": title,
            "Subject": drawing.alt,
        },
        "png": {"Software": "medssl", "Title": title, "Description": drawing.alt},
    }
    with figure_style(hash_salt=stem.name):
        for kind, words in metadata.items():
            drawing.figure.savefig(f"{stem}.{kind}", dpi=DOTS_PER_INCH, metadata=words)
    drawing.data.to_csv(f"{stem}.csv", index=False, lineterminator="\n")
    return {kind: sha256_of(f"{stem}.{kind}") for kind in (*metadata, "csv")}
