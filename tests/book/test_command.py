"""`medssl book` on the command line."""

import io

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from medssl._commands._book_progress import PrintingWatcher
from medssl._commands.book import book
from medssl.errors import UsageError


@pytest.fixture
def application() -> typer.Typer:
    app = typer.Typer()
    app.command()(book)
    return app


def test_an_unchanged_book_says_so(application, built_book, monkeypatch):
    """The command finds the repository from a folder inside it and names the page to open."""
    monkeypatch.chdir(built_book.html.parents[1] / "chapters")
    done = CliRunner().invoke(application, [])
    assert done.exit_code == 0
    assert "small/study: unchanged, not executed" in done.output
    assert "unchanged: _build/html/index.html" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "profile 'fast' is not known"),
        (["--chapter", "small/study", "-p", "factor"], "write NAME=VALUE"),
        (["--chapter", "small/study", "-p", "size=3"], "has no parameter 'size'"),
        (["-p", "factor=3"], "name it with --chapter"),
    ],
)
def test_wrong_usage_reaches_the_caller(application, small_book, monkeypatch, arguments, message):
    """Wrong usage is an error of exit code 2 for `medssl` to print."""
    monkeypatch.chdir(small_book)
    done = CliRunner().invoke(application, arguments)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
    assert done.exception.exit_code == 2


def test_outside_a_repository_the_remedy_is_named(application, tmp_path, monkeypatch):
    """Without a table of contents the command says where to run it."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(application, [])
    assert "run the command inside the repository" in str(done.exception)


@pytest.mark.parametrize("terminal", [True, False])
def test_each_step_is_printed(terminal):
    """On a terminal and in a log alike, every chapter's start, reason and end are one line each."""
    stream = io.StringIO()
    with PrintingWatcher(Console(file=stream, force_terminal=terminal, width=100)) as watcher:
        watcher.kept("ct/study")
        watcher.started("xray/study", "not executed before")
        watcher.cell("xray/study", 3, 12)
        watcher.finished("xray/study")
        watcher.rendering()
    text = stream.getvalue()
    assert "ct/study: unchanged, not executed" in text
    assert "xray/study: executing (not executed before)" in text
    assert "xray/study: executed in 0 min 0 s" in text
    assert "rendering the pages" in text


def test_chapters_may_follow_and_overlap_each_other():
    """Any order of starts and ends is printed, each chapter with its own time."""
    stream = io.StringIO()
    with PrintingWatcher(Console(file=stream, width=100)) as watcher:
        for step in ("a+", "b+", "a-", "c+", "c-", "b-"):
            name = step[0]
            watcher.started(name, "asked for") if step[1] == "+" else watcher.finished(name)
    lines = stream.getvalue().split("\n")
    assert [line for line in lines if "executed in" in line] == [
        f"{name}: executed in 0 min 0 s" for name in "acb"
    ]


def test_the_help_has_an_example(application):
    """`--help` shows a command that can be typed."""
    shown = CliRunner().invoke(application, ["--help"]).output
    assert "medssl book --chapter xray/study" in shown
