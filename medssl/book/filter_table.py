"""A table that a reader can search, filter, sort and save, with a small script of the book's own.

Without the script, on paper and on a phone, the same HTML is a plain table; nothing is asked of other hosts.
"""

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import HTML

from medssl.book._workspace import workspace
from medssl.errors import UsageError

__all__ = ["SCRIPT", "filter_table"]

WIDTHS = {15: 4.0, 35: 6.5, 130: 11.0}  # longest text in letters, and width of its column in rem
NUMBER = 4.5
ON_PAPER = 11  # as many columns from the left as a sheet can hold
SCRIPT = "scripts/filter_table.js"  # as seen from the root of the rendered book


def filter_table(
    frame: pd.DataFrame,
    name: str,
    title: str,
    *,
    choose: Sequence[str] = (),
    ranges: Sequence[str] = (),
    formats: Mapping[str, str] | None = None,
) -> HTML:
    """Return a table with a search box, filters, sorting by each column and a CSV of the rows shown.

    Parameters
    ----------
    frame : DataFrame
        One row a line, with the headings that the page shall show; missing values become blank cells.
    name : str
        Identifier of the table, which nothing else on its page has, and the stem of the saved file.
    title : str
        What the table holds, for readers who do not see it.
    choose : sequence of str
        Columns from whose values a reader chooses one.
    ranges : sequence of str
        Columns of numbers between whose limits a reader chooses; rows without a number are then hidden.
    formats : mapping, optional
        How to write the numbers of a column, for example ``{"gain": "+.3f"}``; ``,.0f`` for whole ones and
        ``.3g`` otherwise.

    Returns
    -------
    HTML
        Light: no attribute is repeated on every row.

    Raises
    ------
    UsageError
        No rows, a column that is not there, or a range of a column that holds no numbers.

    Examples
    --------
    >>> table = filter_table(pd.DataFrame({"gain": [0.5, None]}), "gains", "Gains", ranges=["gain"])
    >>> table.data.count("<tr>"), "<tr><td>0.5</tr>" in table.data
    (3, True)
    """
    _check(frame, choose, ranges)
    numeric = [pd.api.types.is_numeric_dtype(frame[column]) for column in frame]
    heads = [
        _head(column, is_number, column in choose, column in ranges)
        for column, is_number in zip(frame, numeric, strict=True)
    ]
    texts = [_texts(frame[column], (formats or {}).get(column)) for column in frame]
    rows = "\n".join(f"<tr>{''.join(f'<td>{text}' for text in row)}</tr>" for row in zip(*texts, strict=True))
    return HTML(
        f"<style>{_rules(name, frame, numeric)}</style>\n"
        f'<div class="medssl-filter" id="{escape(name)}">\n'
        f'<div class="medssl-filter-box" tabindex="0" role="region" aria-label="{escape(title)}">\n'
        f"<table>\n<thead><tr>{''.join(heads)}</thead>\n<tbody>\n{rows}\n</tbody></table></div></div>\n"
        f'<script src="{_root()}{SCRIPT}" defer></script>'
    )


def _check(frame: pd.DataFrame, choose: Sequence[str], ranges: Sequence[str]) -> None:
    if frame.empty:
        raise UsageError("the table to show has no rows.")
    missing = [column for column in (*choose, *ranges) if column not in frame]
    if missing:
        raise UsageError(f"the table to show has no column {missing[0]!r}; it has {', '.join(frame)}.")
    for column in ranges:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise UsageError(f"column {column!r} holds no numbers; a range needs some.")


def _head(column: str, is_number: bool, choose: bool, in_range: bool) -> str:
    kind = ' data-type="number"' if is_number else ""
    kind += ' data-filter="choose"' if choose else ' data-filter="range"' if in_range else ""
    return f'<th scope="col"{kind}>{escape(column)}</th>'


def _texts(column: pd.Series, form: str | None) -> list[str]:
    """Write the cells of one column; HTML lets a closing tag of a cell be left out."""
    if not pd.api.types.is_numeric_dtype(column):
        texts = column.astype(object).where(column.notna(), "").astype(str)
        return [escape(text, quote=False).replace("_", "_<wbr>") for text in texts]  # names may break there
    whole = (column.dropna() % 1 == 0).all()
    form = form or (",.0f" if whole else ".3g")
    return ["" if pd.isna(value) else _written(float(value), form) for value in column]


def _written(value: float, form: str) -> str:
    text = f"{value:{form}}"
    text = text.lstrip("+-") if not any(digit in text for digit in "123456789") else text  # no sign of zero
    return text.replace("-", "−") if "e" not in text else text


def _rules(name: str, frame: pd.DataFrame, numeric: Sequence[bool]) -> str:
    """Return the style of this table's columns: on a screen, on a phone with their names, and on paper."""
    widths = [
        NUMBER if is_number else _width(frame[column])
        for column, is_number in zip(frame, numeric, strict=True)
    ]
    sheet = sum(widths[:ON_PAPER])
    wide, narrow, paper = [], [], []
    for i, (column, is_number, width) in enumerate(zip(frame, numeric, widths, strict=True), 1):
        cell = f"#{name} td:nth-child({i})"
        style = "text-align: right; white-space: nowrap" if is_number else f"min-width: {width}rem"
        wide.append(f"{cell} {{ {style}; }}")
        narrow.append(f'{cell}::before {{ content: "{_quoted(column)}"; }}')
        share = f"width: {100 * width / sheet:.1f}%" if i <= ON_PAPER else "display: none"
        paper.append(f"#{name} :is(th, td):nth-child({i}) {{ {share}; }}")
    media = ("screen and (min-width: 601px)", "screen and (max-width: 600px)", "print")
    blocks = zip(media, (wide, narrow, paper), strict=True)
    return "\n".join(f"@media {where} {{\n" + "\n".join(rules) + "\n}" for where, rules in blocks)


def _width(column: pd.Series) -> float:
    """Return a width in rem in which the longest text takes a few lines."""
    longest = column.astype(str).str.len().max()
    return next((width for limit, width in WIDTHS.items() if longest <= limit), 22.0)


def _quoted(text: str) -> str:
    return str(text).replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\3c ")


def _root() -> str:
    """Return the way from the page of this chapter, chapters/NAME.html, to the root of the book."""
    return "../" * (workspace().chapter.count("/") + 1)
