"""Adding comparisons: ids, duplicates, broken rules, and files that stay whole."""

import pandas as pd
import pytest

from medssl.errors import DataError, UsageError
from medssl.evidence import add_rows, read_table
from medssl.evidence.add import known_study, refusal, row_of
from medssl.evidence.fields import FIELDS
from medssl.evidence.tables import read_rows


def test_new_rows_get_the_next_ids_and_come_last(copied, texts):
    """Two rows of a new study are appended with consecutive ids; the old rows keep their bytes."""
    before = copied.read_bytes()
    added = add_rows(texts({}, {"label_fraction": "0.2", "n_labelled": "100"}), copied)
    assert added["effect_id"].tolist() == ["E1797", "E1798"]
    assert copied.read_bytes().startswith(before)
    table = read_rows(copied)
    assert len(table) == 1798
    assert table["n_labelled"].tolist()[-2:] == ["50", "100"]


def test_ids_of_the_new_file_are_not_trusted(copied, texts):
    """An id that someone typed, or a table without ids, makes no difference."""
    for new in (texts({"effect_id": "E0001"}), texts({"task": "other"}).drop(columns="effect_id")):
        assert add_rows(new, copied)["effect_id"].str.fullmatch(r"E179[78]").all()


def test_a_comparison_that_is_there_is_refused(copied):
    """The row and the id of the other one are named, whatever the scores say; the file is untouched."""
    before = copied.read_bytes()
    row = read_table("published_effects").iloc[[100]].assign(ssl_value="0.5", effect_id="")
    with pytest.raises(UsageError, match=r"new row 1 \(truong2021.*same comparison as E0101"):
        add_rows(row, copied)
    assert copied.read_bytes() == before


def test_numbers_written_differently_are_the_same_number(copied):
    """1.0 and 1 are one label fraction."""
    row = read_table("published_effects").iloc[[300]]
    assert row["label_fraction"].iloc[0] == "1.0"
    with pytest.raises(UsageError, match="same comparison as E0301"):
        add_rows(row.assign(label_fraction="1"), copied)


def test_a_comparison_twice_among_the_new_rows_is_refused(copied, texts):
    """Its number among the new rows is named."""
    with pytest.raises(UsageError, match=r"new row 2 .* same comparison as row 1 of the new rows"):
        add_rows(texts({}, {}), copied)


def test_one_bad_row_keeps_all_out(copied, texts):
    """A broken rule in the second row is named, and the first row is not written either."""
    before = copied.read_bytes()
    with pytest.raises(DataError, match=r"E1798, column modality: 'pet' is not known.*left as it was"):
        add_rows(texts({}, {"modality": "pet", "task": "other"}), copied)
    assert copied.read_bytes() == before
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_rules_that_join_rows_hold_for_new_rows_too(copied):
    """A new row of a known comparator run with another value is refused."""
    row = read_table("published_effects").iloc[[409]]
    with pytest.raises(DataError, match="column baseline_value: other rows of the same comparator run"):
        add_rows(row.assign(ssl_method="Another", baseline_value="0.5"), copied)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda new: new.drop(columns="metric"), "lacks the column metric"),
        (lambda new: new.assign(remark="x"), "has the unknown column remark"),
        (lambda new: new.iloc[:0], "there is no row to add"),
    ],
)
def test_a_table_of_another_shape_is_refused(copied, texts, change, message):
    """The columns are named, before anything is written."""
    with pytest.raises(UsageError, match=message):
        add_rows(change(texts()), copied)


def test_a_study_that_is_known_offers_what_is_known():
    """Cluster, author and title of a known study; nothing of a new one."""
    table = read_table("published_effects")
    known = known_study(table, "vu2021_medaug")
    assert known["cluster_id"] == "stanfordml_chexpert"
    assert known["first_author"] == "Vu"
    assert known_study(table, "nobody2030") == {}


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("modality", "pet", "'pet' is not known"),
        ("modality", "", "the cell is blank"),
        ("ssl_value", "81", "lies outside from 0 to 1"),
        ("ssl_sd_or_ci", "+-2", "is not understood"),
        ("n_test", "12.5", "is not a whole number"),
    ],
)
def test_an_answer_is_checked_at_once(name, text, reason):
    """The reason comes from the same schema as validation."""
    field = next(field for field in FIELDS if field.name == name)
    assert reason in refusal(field, text)


def test_good_answers_are_accepted_and_make_a_row():
    """Blank optional answers pass, and the row has every column."""
    for field in FIELDS:
        if not field.required:
            assert refusal(field, "") == ""
    row = row_of({"task": "pneumonia"})
    assert isinstance(row, pd.DataFrame)
    assert row["task"].tolist() == ["pneumonia"]
    assert row["venue"].tolist() == [""]
