"""Put together the folder that jupyter-book renders: sources, executed notebooks, results and figures."""

import hashlib
import shutil
from pathlib import Path

from medssl.book._offline import copy_mathjax
from medssl.book._percent import markdown_text
from medssl.book._toc import Contents
from medssl.book.execute import Chapter
from medssl.book.prose import typed_numbers
from medssl.errors import RunError, UsageError

__all__ = ["check_prose", "digest", "make_stage"]

_ASSETS = {".bib", ".svg", ".png", ".jpg", ".csv", ".css"}


def make_stage(root: Path, stage: Path, contents: Contents, products: dict[Chapter, Path]) -> None:
    """Fill an empty stage.

    Parameters
    ----------
    root : Path
        The repository with ``_config.yml``, ``_toc.yml`` and ``chapters/``.
    stage : Path
        The folder to make; an older one is removed.
    contents : Contents
        The pages to copy.
    products : dict of Chapter to Path
        The folder of what each chapter made: notebook, ``results.json`` and ``figures/``.

    Notes
    -----
    ``published/`` goes to the root of the rendered book (``html_extra_path``): figures, scripts and MathJax.
    jupyter-book would load a script below ``_static/`` on every page.
    ``results/xray/study.json`` holds the results that pages quote.
    """
    shutil.rmtree(stage, ignore_errors=True)
    for path in (Path("_config.yml"), Path("_toc.yml"), *contents.pages, *_assets(root)):
        _copy(root / path, stage / path)
    theme = Path(__file__).parent / "_theme"
    shutil.copytree(theme, stage / "_static", ignore=shutil.ignore_patterns("*.js"))
    for script in theme.glob("*.js"):
        _copy(script, stage / "published" / "scripts" / script.name)
    copy_mathjax(stage / "published" / "vendor" / "mathjax")
    (stage / "published" / "figures").mkdir()
    for chapter, folder in products.items():
        _add_product(root, stage, chapter, folder)


def check_prose(root: Path, contents: Contents) -> None:
    """Raise when a page, or the prose of a notebook, holds a typed number that is not marked as a fact.

    Raises
    ------
    RunError
        Lists page, line and number of each.
    """
    texts = {page.as_posix(): (root / page).read_text(encoding="utf-8") for page in contents.pages}
    for chapter in contents.chapters:
        source = chapter.source.read_text(encoding="utf-8")
        texts[chapter.source.relative_to(root).as_posix()] = markdown_text(source)
    problems = [
        f'{name}, line {each.line}: {each.number} in "{each.context}"'
        for name, text in texts.items()
        for each in typed_numbers(text)
    ]
    if problems:
        raise RunError(
            "numbers on these pages must come from results ({result}`key`), or be marked {fact}`...`:\n"
            + "\n".join(problems)
        )


def digest(folder: Path, *others: Path) -> str:
    """Return a hash over the names and contents of every file in a folder, and of other files."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    for path in others:
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _add_product(root: Path, stage: Path, chapter: Chapter, folder: Path) -> None:
    target = stage / chapter.source.relative_to(root).parent / chapter.notebook_name
    _copy(folder / chapter.notebook_name, target)
    if (folder / "results.json").is_file():
        _copy(folder / "results.json", stage / "results" / f"{chapter.name}.json")
    for figure in sorted((folder / "figures").glob("[!.]*")):
        published = stage / "published" / "figures" / figure.name
        if published.exists():
            raise UsageError(f"{chapter.name}: figure {figure.name!r} is made by another chapter too")
        shutil.copytree(figure, published)


def _assets(root: Path) -> list[Path]:
    """Bibliographies, images and tables that pages refer to."""
    found = sorted(path for path in (root / "chapters").rglob("*") if path.suffix in _ASSETS)
    return [path.relative_to(root) for path in found if "_build" not in path.parts]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
