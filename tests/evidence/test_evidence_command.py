"""`medssl evidence`: what is printed, which exit code comes, and what is written."""

import io
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from medssl._commands.evidence import Topic, app
from medssl.cli import main
from medssl.errors import DataError, UsageError
from medssl.evidence.fields import FIELDS
from medssl.evidence.tables import read_rows, write_rows


def run(*arguments, **more):
    """Run a command that must succeed and return what it printed."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False, **more)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_shipped_table_is_valid():
    """One line says how many comparisons and studies have no problem."""
    assert run("validate") == "published_effects.csv: 1796 comparisons of 75 studies, no problem.\n"


def test_suspicious_rows_are_listed_on_request(copied):
    """The forensic list is a table, and the command still succeeds."""
    text = run("validate", copied, "--suspicious")
    assert "near_chance" in text
    assert "inherited" in text
    assert "no problem" in text


def test_each_problem_is_a_line_and_the_exit_code_is_2(copied, monkeypatch, capsys):
    """Row, column, reason and remedy on the screen; one line of error with the counts."""
    table = read_rows(copied)
    table.loc[[3, 4], "modality"] = "pet"
    table.loc[4, "ssl_value"] = "83.8"
    write_rows(copied, table)
    monkeypatch.setattr(sys, "argv", ["medssl", "evidence", "validate", str(copied)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    lines = printed.out.splitlines()
    assert lines[0] == (
        "line 3, E0002, column modality: 'pet' is not known. Choose one of xray, ct, mri, ultrasound."
    )
    assert lines[2].startswith("line 4, E0003, column ssl_value: '83.8' lies outside from 0 to 1.")
    assert printed.err.startswith(f"medssl: {copied}: ")
    assert printed.err.endswith("problems in 2 rows; correct them and run this again.\n")


def test_a_missing_file_is_named():
    """The error says which file."""
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        run("validate", "absent.csv")


def test_rows_are_added_from_a_file(copied, texts, tmp_path):
    """The new id is printed and the row is in the table."""
    new = write_rows(tmp_path / "new.csv", texts({}).drop(columns="effect_id"))
    assert run("add", new, "--table", copied) == f"{copied}: added E1797.\n"
    assert read_rows(copied)["study_id"].iloc[-1] == "demo2020"


def test_rows_are_added_by_questions(copied, texts):
    """Each field is asked for, a bad answer is asked again with the reason, the row is written."""
    row = texts({}).iloc[0]
    answers = [row["study_id"]]
    for field in FIELDS:
        if field.name in ("effect_id", "study_id"):
            continue
        answers += ["pet"] * (field.name == "modality") + [row[field.name]]
    text = run("add", "--table", copied, input="\n".join(answers) + "\n")
    assert "'pet' is not known. Choose one of xray, ct, mri, ultrasound." in text
    assert text.endswith("added E1797.\n")
    written = read_rows(copied).iloc[-1]
    assert (written.drop("effect_id") == row.drop("effect_id")).all()


def test_a_known_study_answers_for_itself(copied):
    """Entering nothing accepts what other rows of the study say."""
    table = read_rows(copied)
    known = table[table["study_id"] == "xiao2023_medicalmae"].iloc[0]
    changed = known.to_dict() | {"ssl_method": "Another method"}
    answers = ["xiao2023_medicalmae"]
    for field in FIELDS:
        if field.name not in ("effect_id", "study_id"):
            silent = field.name in ("cluster_id", "first_author", "year", "title", "venue", "doi_or_arxiv")
            answers.append("" if silent else changed[field.name])
    run("add", "--table", copied, input="\n".join(answers) + "\n")
    written = read_rows(copied).iloc[-1]
    assert written["title"] == known["title"]
    assert written["cluster_id"] == known["cluster_id"]


def test_questions_that_are_broken_off_write_nothing(copied):
    """When the answers end early the file is as it was."""
    before = copied.read_bytes()
    result = CliRunner().invoke(app, ["add", "--table", str(copied)], input="demo2020\n\nDemo\n")
    assert result.exit_code == 1
    assert copied.read_bytes() == before


def test_export_prints_the_filtered_rows():
    """The CSV on the screen holds exactly the rows of the filters."""
    text = run("export", "--format", "csv", "--modality", "mri", "--pool", "primary", "--metric", "Dice")
    found = pd.read_csv(io.StringIO(text))
    assert set(found["modality"]) == {"mri"}
    assert set(found["metric"]) == {"Dice"}
    assert set(found["pool"]) == {"primary"}


def test_export_writes_a_file(tmp_path):
    """The path and the number of comparisons are printed."""
    text = run("export", "--format", "ris", "--study", "vu2021_medaug", "--output", tmp_path / "a.ris")
    assert text == f"{tmp_path / 'a.ris'}: 16 comparisons.\n"
    assert (tmp_path / "a.ris").read_text().startswith("TY  - GEN\nID  - vu2021_medaug\n")


def test_export_refuses_an_unknown_category():
    """The error lists what there is."""
    with pytest.raises(UsageError, match="no row has modality 'pet': choose among ct, mri, ultrasound, xray"):
        run("export", "--format", "csv", "--modality", "pet")


@pytest.mark.parametrize("what", Topic)
def test_each_table_is_shown(what):
    """Every topic prints a table with its title."""
    assert run("show", "--what", what.value).startswith(what.value)


def test_show_counts_what_the_filters_keep():
    """The numbers of effects add up to the filtered rows."""
    lines = [line.split("│") for line in run("show", "--modality", "ultrasound").splitlines() if "│" in line]
    assert {line[1].strip() for line in lines} == {"ultrasound"}
    assert sum(int(line[6]) for line in lines) == 232


def test_the_flow_takes_no_filters():
    """A filter that would be ignored is refused."""
    with pytest.raises(UsageError, match="leave the filters out"):
        run("show", "--what", "flow", "--modality", "mri")
