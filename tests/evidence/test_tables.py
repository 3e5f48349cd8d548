"""The shipped tables: what is read, what is selected, and what was corrected."""

from pathlib import Path

import numpy as np
import pytest

from medssl.errors import DataError, UsageError
from medssl.evidence import published, read_table
from medssl.evidence.fields import COLUMNS, FIELDS, METRICS_OF_TASK
from medssl.evidence.tables import POOLS, TABLES, read_rows, table_path, typed, write_rows

MEBIBYTE = 2**20


def test_pools_part_the_table():
    """The four pools are disjoint and together are the whole table; `all` leaves out the excluded rows."""
    parts = {pool: set(published(pool)["effect_id"]) for pool in POOLS}
    assert sum(map(len, parts.values())) == len(set().union(*parts.values()))
    assert set().union(*parts.values()) == set(read_table("published_effects")["effect_id"])
    assert set(published("all")["effect_id"]) == set().union(*parts.values()) - parts["excluded"]


def test_a_selection_keeps_order_types_and_freshness():
    """Numbers are numbers, blanks of text are "", and a change of one copy does not reach the next."""
    table = published(["primary", "excluded"])
    assert table["effect_id"].is_monotonic_increasing
    assert table["n_labelled"].dtype == float
    assert table["n_labelled"].isna().any()
    assert (table["ssl_family"] == "").any()
    table.loc[0, "ssl_value"] = -1
    assert published(["primary", "excluded"]).loc[0, "ssl_value"] != -1


def test_supervision_selects():
    """Only self-supervision remains when it is asked for."""
    assert set(published(supervision="self")["supervision"]) == {"self"}
    assert len(published(supervision="self")) < len(published())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool": "main"}, "unknown pool 'main': choose one of primary"),
        ({"pool": ["primary", "rest"]}, "unknown pool 'rest'"),
        ({"supervision": "none"}, "unknown supervision 'none': choose one of self"),
    ],
)
def test_an_unknown_category_is_refused(arguments, message):
    """The error names the known ones."""
    with pytest.raises(UsageError, match=message):
        published(**arguments)


def test_an_unknown_table_is_refused():
    """The error names the tables that there are."""
    with pytest.raises(UsageError, match="unknown table 'effects': choose one of published_effects"):
        read_table("effects")


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_small_and_survives_reading_and_writing(name, tmp_path):
    """Reading and writing gives the same bytes, and no file exceeds 2 MiB."""
    original = table_path(name).read_bytes()
    assert len(original) < 2 * MEBIBYTE
    assert write_rows(tmp_path / "copy.csv", read_rows(table_path(name))).read_bytes() == original


def test_lines_are_those_of_the_file(tmp_path):
    """A cell with a line break does not shift the lines of the rows below; blank lines are skipped."""
    (tmp_path / "a.csv").write_text('a,b\n1,"x\ny"\n\n2,z\n')
    rows = read_rows(tmp_path / "a.csv")
    assert rows.index.tolist() == [2, 5]
    assert rows["b"].tolist() == ["x\ny", "z"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty. The first line names the columns"),
        (b"a,a\n1,2\n", "line 1: a column is named twice"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells, but the header has 2. Quote cells that contain commas"),
        (b"a,b\n\xff,2\n", "not readable as CSV in UTF-8"),
        (b'a,b\n"1,2\n', "not readable as CSV"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path, content, message):
    """Each kind of damage has one clear error."""
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_rows(tmp_path / "a.csv")


def test_a_missing_file_is_named(tmp_path):
    """The error says what to give."""
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_rows(tmp_path / "absent.csv")


def test_numbers_that_are_none_become_missing(texts):
    """Text in a numeric column is NaN after typing; validation names it."""
    assert np.isnan(typed(texts({"n_test": "many"}))["n_test"].iloc[0])


def test_the_columns_are_those_of_the_fields():
    """The file, the schema and the documentation of the columns cannot part."""
    assert read_table("published_effects").columns.tolist() == COLUMNS
    assert all(field.help for field in FIELDS)
    metrics = next(field for field in FIELDS if field.name == "metric").allowed
    assert set(metrics) == {metric for known in METRICS_OF_TASK.values() for metric in known}


def test_every_correction_is_in_the_table():
    """The corrected cell holds what the list says, each cell is listed once, and each has a reason."""
    table = read_table("published_effects").set_index("effect_id")
    corrections = read_table("corrections")
    assert not corrections.duplicated(["effect_id", "column"]).any()
    assert (corrections["reason"].str.len() > 20).all()
    for row in corrections.itertuples():
        assert table.loc[row.effect_id, row.column] == row.after
        assert row.before != row.after


def test_corrections_of_the_pool_come_with_adaptation_or_architecture():
    """A row left the primary pool only because its own text says that the arms were frozen or differ."""
    corrections = read_table("corrections")
    moved = set(corrections.loc[corrections["column"] == "pool", "effect_id"])
    table = read_table("published_effects").set_index("effect_id").loc[sorted(moved)]
    text = table["task"] + table["ssl_method"] + table["architecture"]
    assert text.str.contains("linear probe|froze all layers| vs ").all()
    assert set(table["pool"]) == {"sensitivity"}


def test_the_reading_notes_are_beside_the_tables():
    """Every note that a table names as a place is there, with the heading."""
    folder = Path(table_path("studies")).parent / "notes"
    places = set(read_table("dispersion_meaning")["place"]) | set(read_table("risk_of_bias_manual")["place"])
    for place in places - set(COLUMNS):
        name, _, heading = place.partition(": ")
        assert any(line.lstrip("# ").startswith(heading) for line in (folder / name).read_text().splitlines())
