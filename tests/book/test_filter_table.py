"""Filter tables: plain HTML that says everything, and a script that is published but loads nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medssl.book.filter_table import SCRIPT, filter_table
from medssl.errors import UsageError

SOURCE = Path(__file__).parents[2] / "medssl/book/_theme" / Path(SCRIPT).name


class Cells(HTMLParser):
    """Collects the cells of a table, closed or not, as a browser does."""

    def __init__(self, html: str):
        super().__init__()
        self.rows, self.heads, self.kinds = [], [], []
        self._open = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag == "th":
            self.heads.append("")
            self.kinds.append(dict(attributes))
        elif tag == "td":
            self.rows[-1].append("")
        self._open = tag if tag in {"td", "th"} or (tag == "wbr" and self._open) else None
        self._open = "td" if tag == "wbr" else self._open

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "td":
            self.rows[-1][-1] += data
        elif self._open == "th":
            self.heads[-1] += data


@pytest.fixture
def frame():
    """Text with marks of HTML, whole numbers, fractions of both signs, and blanks."""
    return pd.DataFrame(
        {
            "Study": ["a_study<b>", "R&D", None],
            "Labels": [224000.0, 10, np.nan],
            "Gain": [-0.01234, 0.5, 0.0],
        }
    )


def table(frame, **options):
    """The parsed table; the first row holds the heads."""
    return Cells(filter_table(frame, "demo", "A demonstration", **options).data)


def test_every_cell_is_in_the_plain_table(frame):
    """Without any script the table shows each row and column, marks of HTML escaped and blanks blank."""
    parsed = table(frame, formats={"Gain": "+.3f"})
    assert parsed.heads == ["Study", "Labels", "Gain"]
    assert parsed.rows[1:] == [
        ["a_study<b>", "224,000", "−0.012"],
        ["R&D", "10", "+0.500"],
        ["", "", "0.000"],
    ]


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.00012345, ".3g", "0.000123"),
        (0.0000012345, ".3g", "1.23e-06"),
        (-0.00001, "+.3f", "0.000"),
        (-2.5, ".1f", "−2.5"),
        (1796.0, ",.0f", "1,796"),
    ],
)
def test_numbers_are_written(value, form, text):
    """A number takes its form, a true minus sign, and no sign where it rounds to zero."""
    assert table(pd.DataFrame({"x": [value, 0.5]}), formats={"x": form}).rows[1] == [text]


def test_columns_say_how_they_are_filtered(frame):
    """The script reads from the head of a column whether it holds numbers and how it is filtered."""
    parsed = table(frame, choose=["Study"], ranges=["Gain"])
    kinds = [(kind.get("data-type"), kind.get("data-filter")) for kind in parsed.kinds]
    assert kinds == [(None, "choose"), ("number", None), ("number", "range")]


def test_a_phone_gets_the_name_of_each_column(frame):
    """The style of the table names every column before its cell, quotes included."""
    html = filter_table(frame.rename(columns={"Gain": 'The "gain" </style>'}), "demo", "A demonstration").data
    style = html[: html.index("<div")]
    assert '#demo td:nth-child(2)::before { content: "Labels"; }' in style
    assert r'content: "The \"gain\" \3c /style>"' in style


def test_paper_gets_as_many_columns_as_fit():
    """The widths of the printed columns add up to the sheet, and the columns beyond it are not printed."""
    wide = pd.DataFrame({f"column {i}": ["text"] for i in range(15)})
    style = filter_table(wide, "demo", "A demonstration").data
    printed = style[style.index("@media print") : style.index("</style>")]
    assert sum(map(float, re.findall(r"width: ([\d.]+)%", printed))) == pytest.approx(100, abs=1)
    assert printed.count("display: none") == 15 - 11


def test_nothing_is_repeated_on_every_row(frame):
    """A row costs its text and its tags, so that a table of thousands of rows stays light."""
    long = pd.concat([frame.assign(Study="study")] * 100)
    html = filter_table(long, "demo", "A demonstration").data
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    assert "=" not in body
    assert len(body) < 300 * (len("<tr><td>study<td>224,000<td>−0.0123</tr>\n") + 1)


def test_the_table_is_reached_by_keyboard_and_named(frame):
    """The box that scrolls takes the focus and says what it holds."""
    html = filter_table(frame, "demo", "A <demonstration>").data
    assert 'tabindex="0" role="region" aria-label="A &lt;demonstration&gt;"' in html


def test_what_cannot_be_shown_is_refused(frame):
    """No rows, an unknown column and a range of text are usage errors."""
    with pytest.raises(UsageError, match="no rows"):
        filter_table(frame[:0], "demo", "A demonstration")
    with pytest.raises(UsageError, match="no column 'Modality'"):
        filter_table(frame, "demo", "A demonstration", choose=["Modality"])
    with pytest.raises(UsageError, match="column 'Study' holds no numbers"):
        filter_table(frame, "demo", "A demonstration", ranges=["Study"])


def test_the_script_is_where_the_page_looks_for_it(frame, monkeypatch):
    """The address of the script is relative to the page of the chapter, at any depth."""
    for chapter, address in (("evidence", "../scripts/"), ("xray/study", "../../scripts/")):
        monkeypatch.setenv("MEDSSL_BOOK_CHAPTER", chapter)
        html = filter_table(frame, "demo", "A demonstration").data
        assert f'<script src="{address}{SOURCE.name}" defer></script>' in html


def test_the_script_is_published_and_no_other_page_loads_it(built_book):
    """The rendered book has the script once, not below _static, where every page would load it."""
    assert (built_book.html / SCRIPT).read_bytes() == SOURCE.read_bytes()
    assert not list((built_book.html / "_static").rglob(SOURCE.name))
    pages = list((built_book.html / "chapters").rglob("*.html"))
    assert pages
    assert not [page for page in pages if SOURCE.name in page.read_text(encoding="utf-8")]


def test_the_script_asks_nobody_and_is_short():
    """The script has no address, loads nothing, and can be read in one go."""
    text = SOURCE.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|fetch\(|XMLHttp|import\(|eval\(|innerHTML", text)
    assert len(text.splitlines()) < 150
