"""`medssl cite` finds a card and prints its citation."""

import pytest
import typer
from typer.testing import CliRunner

from medssl._commands.cite import cite
from medssl.book.cite import citation, find_card
from medssl.errors import DataError, UsageError
from medssl.figures import bubble, save_figure

APP = typer.Typer()
APP.command()(cite)


@pytest.fixture
def figures(effects, slope, tmp_path):
    """A folder with one saved figure."""
    words = {
        "title": "Gain by label ratio",
        "caption": "Gain",
        "interval": "Bands: 95%",
        "chapter": "xray/study",
    }
    save_figure(bubble(effects, slope), "xray-bubble", folder=tmp_path, records=[], seeds=[0], **words)
    return tmp_path


def test_the_command_prints_each_format(figures):
    """BibTeX by default, RIS and a sentence on request."""
    card = find_card("xray-bubble", figures)
    for options, expected in (
        ([], card["bibtex"]),
        (["--format", "ris"], "TY  - FIGURE"),
        (["--format", "text"], "The medssl authors ("),
    ):
        result = CliRunner().invoke(APP, ["xray-bubble", "--folder", str(figures), *options])
        assert result.exit_code == 0
        assert expected in result.stdout


def test_ris_is_well_formed(figures):
    """Every RIS line has a two-letter tag, the first is the type and the last ends the record."""
    lines = citation(find_card("xray-bubble", figures), "ris").split("\n")
    assert all(line[2:6] == "  - " for line in lines)
    assert (lines[0][:2], lines[-1][:2]) == ("TY", "ER")


def test_unknown_figures_are_answered_with_the_known_ones(figures, tmp_path):
    """A misspelt id gets the nearest one and the list; an empty folder says to build the book."""
    with pytest.raises(UsageError, match=r"Did you mean 'xray-bubble'\? Known: xray-bubble"):
        find_card("xray-buble", figures)
    with pytest.raises(UsageError, match="make book"):
        find_card("xray-bubble", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="must be one of bibtex, ris, text"):
        citation(find_card("xray-bubble", figures), "endnote")


def test_a_file_that_is_no_card_is_named(figures):
    """A card that was overwritten by something else is an error that names the file."""
    (figures / "xray-bubble" / "xray-bubble.json").write_text("[]")
    with pytest.raises(DataError, match="not a figure card"):
        find_card("xray-bubble", figures)
