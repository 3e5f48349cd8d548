"""Read the table of contents: which pages the book has, and which of them are notebooks."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import yaml

from medssl.book.execute import Chapter
from medssl.errors import UsageError

__all__ = ["Contents", "read_contents"]

_SOURCES = "chapters/"


@dataclass(frozen=True)
class Contents:
    """The pages of the book.

    Attributes
    ----------
    pages : tuple of Path
        Markdown sources, relative to the repository.
    chapters : tuple of Chapter
        Notebook sources, named without ``chapters/`` and suffix.
    """

    pages: tuple[Path, ...]
    chapters: tuple[Chapter, ...]

    def chapter(self, name: str) -> Chapter:
        """Return the notebook of that name; an unknown name is an error with the nearest one."""
        for chapter in self.chapters:
            if chapter.name == name.removeprefix(_SOURCES).removesuffix(".py"):
                return chapter
        names = [chapter.name for chapter in self.chapters]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UsageError(
            f"there is no chapter {name!r}.{hint} The notebooks are: {', '.join(names) or 'none'}."
        )


def read_contents(root: Path) -> Contents:
    """Read ``_toc.yml`` of a repository.

    Raises
    ------
    UsageError
        There is no ``_toc.yml``, or a page that it names has no ``.md`` or ``.py`` source, or both.
    """
    file = root / "_toc.yml"
    if not file.is_file():
        raise UsageError(f"{root}: there is no _toc.yml here; run the command inside the repository")
    names = _files(yaml.safe_load(file.read_text(encoding="utf-8")))
    pages, chapters = [], []
    for name in names:
        sources = [path for path in (Path(f"{name}.md"), Path(f"{name}.py")) if (root / path).is_file()]
        if len(sources) != 1:
            found = "both" if sources else "neither"
            raise UsageError(f"_toc.yml: {name} needs one source, {name}.md or {name}.py, and has {found}")
        if sources[0].suffix == ".md":
            pages.append(sources[0])
        else:
            chapters.append(Chapter(name.removeprefix(_SOURCES), root / sources[0]))
    return Contents(tuple(pages), tuple(chapters))


def _files(node) -> list[str]:
    """Return every ``root`` and ``file`` entry in order."""
    if isinstance(node, list):
        return [name for each in node for name in _files(each)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("root", "file") if key in node]
    return own + [name for value in node.values() for name in _files(value)]
