"""Read the cells of a percent-format chapter without importing a notebook library."""

import ast
import re
from typing import NamedTuple

__all__ = ["Cell", "code_cells", "literal", "markdown_text", "without_magics"]

_MARKER = re.compile(r"^# %%(?P<title>.*)$")
_TAGS = re.compile(r"tags=(\[[^\]]*\])")


class Cell(NamedTuple):
    """One code cell: its source, its tags and the line of the file on which its source begins."""

    code: str
    tags: tuple[str, ...]
    line: int


def code_cells(source: str) -> list[Cell]:
    """Return the code cells of a chapter in order.

    Examples
    --------
    >>> code_cells('# %% tags=["parameters"]\\nsize: int = 3\\n# %% [markdown]\\n# text')
    [Cell(code='size: int = 3\\n', tags=('parameters',), line=2)]
    """
    cells: list[Cell] = []
    title, start, lines = "[header]", 1, []
    for number, line in enumerate([*source.splitlines(), "# %%"], start=1):
        marker = _MARKER.match(line)
        if marker is None:
            lines.append(line)
            continue
        if "[" not in title.split("tags=")[0]:
            cells.append(Cell("\n".join(lines) + "\n", _tags(title), start))
        title, start, lines = marker["title"], number + 1, []
    return cells


def markdown_text(source: str) -> str:
    """Return the prose of a chapter with code blanked, each line at its place in the file.

    Examples
    --------
    >>> markdown_text("# %% [markdown]\\n# Three images.\\n# %%\\nx = 3")
    '\\nThree images.\\n\\n'
    """
    lines, prose = [], False
    for line in source.splitlines():
        marker = _MARKER.match(line)
        if marker is not None:
            prose = "[markdown]" in marker["title"]
        lines.append(line.removeprefix("#").removeprefix(" ") if prose and marker is None else "")
    return "\n".join(lines)


def literal(source: str, name: str):
    """Return the literal assigned to `name` in some code cell, or None when there is none."""
    for cell in code_cells(source):
        for statement in _statements(cell.code):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return ast.literal_eval(statement.value)
    return None


def _statements(code: str) -> list:
    body = ast.parse(without_magics(code)).body
    return [each for each in body if isinstance(each, ast.Assign | ast.AnnAssign) and each.value is not None]


def without_magics(code: str) -> str:
    """Blank the lines that only a notebook understands (``%magic``, ``!command``)."""
    return "\n".join("" if re.match(r"\s*[%!]", line) else line for line in code.splitlines())


def _tags(title: str) -> tuple[str, ...]:
    found = _TAGS.search(title)
    return tuple(ast.literal_eval(found[1])) if found else ()
