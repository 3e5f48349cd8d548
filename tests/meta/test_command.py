"""`medssl meta` on the command line."""

import pytest
import typer
from typer.testing import CliRunner

from medssl._commands.meta import meta
from medssl.errors import DataError, UsageError
from medssl.meta import random_effects

APP = typer.Typer()
APP.command()(meta)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "effects.csv"
    path.write_text("yi,vi,ratio\n0.1,0.01,-3\n0.05,0.01,-2\n0.02,0.02,-1\n0.0,0.01,0\n")
    return path


def test_the_command_prints_the_fit(table):
    """The printed table and paragraph are those of the fitted model."""
    result = CliRunner().invoke(APP, [str(table), "--moderator", "ratio", "--method", "DL"])
    fit = random_effects([0.1, 0.05, 0.02, 0.0], [0.01, 0.01, 0.02, 0.01], [-3, -2, -1, 0], method="DL")
    assert result.exit_code == 0
    assert f"{fit.coef[1]:.6g}" in result.stdout
    assert "regressed on ratio" in result.stdout


def test_missing_files_and_columns_are_named(table, tmp_path):
    """A missing file, a column that is not there and a file that is no table are told apart."""
    with pytest.raises(DataError, match="no such file"):
        meta(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="no column year; it has yi, vi, ratio"):
        meta(table, moderators=["year"])
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="not readable as CSV"):
        meta(tmp_path / "empty.csv")
