"""Where a chapter reads records and writes figures and results."""

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Workspace", "find_root", "workspace"]

ROOT_VARIABLE = "MEDSSL_BOOK_ROOT"
FOLDER_VARIABLE = "MEDSSL_BOOK_FOLDER"
CHAPTER_VARIABLE = "MEDSSL_BOOK_CHAPTER"
PROFILE_VARIABLE = "MEDSSL_BOOK_PROFILE"


@dataclass(frozen=True)
class Workspace:
    """The folders and the profile of one execution of one chapter.

    Attributes
    ----------
    root : Path
        The repository: the folder that holds ``_toc.yml``.
    folder : Path
        Everything that the chapter writes lies below this folder, but for records.
    chapter : str
        The chapter's name, for instance ``"xray/study"``; ``"manual"`` in a session by hand.
    profile : str
        ``"quick"``, ``"published"`` or ``"full"``.
    """

    root: Path
    folder: Path
    chapter: str
    profile: str

    @property
    def figures(self) -> Path:
        """The folder of the figures, one folder a figure in it."""
        return self.folder / "figures"

    @property
    def results(self) -> Path:
        """The file of the numbers that pages may quote."""
        return self.folder / "results.json"

    @property
    def records(self) -> Path:
        """The committed records of real-data runs."""
        return self.root / "records"


def workspace() -> Workspace:
    """Return the workspace of the chapter that is being executed.

    ``medssl book`` names it through the environment; in a notebook opened by hand it is
    ``_build/manual`` of the repository around the working folder, in the ``quick`` profile.

    Returns
    -------
    Workspace
        Its folder of figures exists.

    Examples
    --------
    >>> place = workspace()
    >>> place.results.name, place.figures.is_dir()
    ('results.json', True)
    """
    given = os.environ.get(ROOT_VARIABLE)
    root = Path(given) if given else find_root(Path.cwd())
    place = Workspace(
        root=root,
        folder=Path(os.environ.get(FOLDER_VARIABLE) or root / "_build" / "manual"),
        chapter=os.environ.get(CHAPTER_VARIABLE, "manual"),
        profile=os.environ.get(PROFILE_VARIABLE, "quick"),
    )
    place.figures.mkdir(parents=True, exist_ok=True)
    return place


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above `start` that holds ``_toc.yml``, else `start`."""
    start = start.resolve()
    return next((folder for folder in [start, *start.parents] if (folder / "_toc.yml").is_file()), start)
