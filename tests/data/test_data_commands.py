"""`medssl data` prints what the library knows and raises what the library raises."""

import json

import pytest
from typer.testing import CliRunner

from medssl._commands.data import app
from medssl.data import available
from medssl.data.card import leakage_found, markdown, read_card
from medssl.errors import DataError, UsageError


def run(*arguments):
    """Run a command that must succeed and return what it printed."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_has_a_row_for_every_source_and_says_where_it_is(copies, monkeypatch):
    """Each source is listed with its counts, licence and place; a missing one is called missing."""
    (copies.folder / "medmnist" / "breastmnist.npz").unlink()
    rows = {line.split()[1]: line for line in run("list").splitlines() if line.startswith("│")}
    assert set(rows) == set(available())
    assert "missing" in rows["breastmnist"]
    assert "CC BY 4.0" in rows["pneumoniamnist"]
    assert "generated on the spot" in rows["phantom_ct"]


def test_list_shows_the_path_of_a_found_file(copies):
    """The whole path can be copied from the table."""
    lines = run("list").replace("│", " ")
    assert str(copies.folder / "medmnist" / "pneumoniamnist.npz")[:20] in lines


@pytest.mark.parametrize("name", available())
def test_card_prints_the_same_facts_in_three_forms(name):
    """JSON and Markdown are those of the library; the terminal form holds the title."""
    card = read_card(name)
    assert json.loads(run("card", name, "--format", "json")) == card.to_dict()
    assert run("card", name, "--format", "markdown") == markdown(card)
    assert card.name in run("card", name)


def test_audit_prints_what_it_found_and_writes_json(copies, tmp_path):
    """The table ends in the sentences of the card; JSON goes to the screen and to a file alike."""
    result = json.loads(
        run("audit", "breastmnist", "--format", "json", "--output", str(tmp_path / "audit.json"))
    )
    assert json.loads((tmp_path / "audit.json").read_text()) == result
    text = " ".join(run("audit", "breastmnist").split())
    for sentence in leakage_found(result):
        assert sentence in text


def test_audit_can_write_the_card(copies):
    """A maintainer's audit goes onto the card."""
    assert read_card("breastmnist").audit["n"]["train"] == 546
    run("audit", "breastmnist", "--update-card")
    assert read_card("breastmnist").audit["n"]["train"] == 24


def test_audit_takes_a_folder(tmp_path):
    """A user's own folder is audited like any source."""
    import numpy as np
    from PIL import Image

    for index in range(10):
        for label in "ab":
            (tmp_path / label).mkdir(exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{index}.png")
    result = json.loads(run("audit", f"folder:{tmp_path}", "--modality", "ct", "--format", "json"))
    assert sum(entry["exact_conflicts"] for entry in result["overlaps"]) == 10


def test_fetch_prints_where_a_found_file_is(copies):
    """Fetching what is already there costs nothing and names the place."""
    printed = run("fetch", "breastmnist").strip()
    assert printed == str(copies.folder / "medmnist" / "breastmnist.npz")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("fetch", "brain_tumour_64"), DataError, "no plain address"),
        (("fetch", "phantom_mri"), UsageError, "generated on the spot"),
        (("card", "breastmnst"), UsageError, "did you mean 'breastmnist'"),
        (("audit", "hippocampus"), DataError, "Three ways to get it"),
    ],
)
def test_errors_are_raised_for_the_root_command(arguments, error, message):
    """A command raises the library's error; the root command turns it into one line and an exit code."""
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize("command", ["list", "fetch", "card", "audit"])
def test_help_has_a_runnable_example(command):
    """Each command's help ends in an example that starts with its own name."""
    assert f"Example: medssl data {command}" in run(command, "--help")
