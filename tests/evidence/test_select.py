"""Filters keep what was asked for, and each export can be read by other programs."""

import io
import json

import pandas as pd
import pytest
from pybtex.database import parse_string

from medssl.errors import UsageError
from medssl.evidence import read_table
from medssl.evidence.select import FILTERS, FORMATS, export, select


@pytest.fixture(scope="module")
def table():
    """The shipped table as text."""
    return read_table("published_effects")


def test_filters_are_joined_by_and_their_values_by_or(table):
    """Two modalities and one comparator keep the rows of either modality with that comparator."""
    found = select(table, modality=["mri", "ct"], comparator=["random"], metric=None)
    assert set(found["modality"]) == {"mri", "ct"}
    assert set(found["baseline_type"]) == {"random"}
    expected = table["modality"].isin(["mri", "ct"]) & (table["baseline_type"] == "random")
    assert found["effect_id"].tolist() == table.loc[expected, "effect_id"].tolist()


def test_no_filter_keeps_everything(table):
    """Empty lists and None are no filters."""
    assert len(select(table, modality=[], study=None)) == len(table)


@pytest.mark.parametrize("name", FILTERS)
def test_an_unknown_value_is_refused_with_the_known_ones(table, name):
    """The error lists what the table has."""
    with pytest.raises(UsageError, match=rf"no row has {name} 'nothing': choose among"):
        select(table, **{name: ["nothing"]})


def test_an_empty_result_is_refused(table):
    """Filters that exclude each other are an error, not an empty file."""
    with pytest.raises(UsageError, match="no row has all the chosen categories together"):
        select(table, modality=["ct"], study=["vu2021_medaug"])


def test_csv_comes_back_as_it_went(table):
    """The text holds every cell."""
    part = table.iloc[::50].reset_index(drop=True)
    back = pd.read_csv(io.StringIO(export(part, "csv")), dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(back, part)


def test_json_comes_back_as_it_went(table):
    """One object a row, with text cells."""
    part = table.iloc[::50]
    assert json.loads(export(part, "json")) == part.to_dict("records")


def test_bibtex_names_each_study_once(table):
    """A BibTeX reader finds every study with its title, and the number of its effects."""
    found = parse_string(export(table, "bibtex"), "bibtex").entries
    assert set(found) == set(table["study_id"])
    entry = found["sowrirajan2021_mococxr"]
    assert entry.fields["eprint"] == "2010.05352"
    assert entry.fields["note"].startswith("60 comparisons")
    assert found["pai2024_fmcib"].fields["doi"] == "10.1038/s42256-024-00807-9"


def test_bibtex_escapes_what_latex_would_read(table):
    """A percent sign or an ampersand in a title stays text."""
    part = table.iloc[[0]].assign(title="10% & more_of #1")
    assert r"{10\% \& more\_of \#1}" in export(part, "bibtex")


def test_ris_has_the_tags_of_each_study(table):
    """Each record begins with TY, ends with ER, and has a title; identifiers are split."""
    records = export(table, "ris").split("ER  - ")
    assert len(records) - 1 == table["study_id"].nunique()
    assert all(record.lstrip().startswith("TY  - GEN") and "TI  - " in record for record in records[:-1])
    mine = export(table[table["study_id"] == "sowrirajan2021_mococxr"], "ris")
    assert "UR  - https://arxiv.org/abs/2010.05352" in mine
    assert "AU  - Sowrirajan" in mine


def test_an_identifier_that_is_none_is_left_out(table):
    """A venue in the identifier's column is neither a DOI nor an arXiv number."""
    part = table.iloc[[0]].assign(doi_or_arxiv="PMLR v149 vu21a", year="", first_author="", venue="")
    for style in ("ris", "bibtex"):
        text = export(part, style)
        assert "arxiv" not in text
        assert "PY  -" not in text
        assert "year" not in text


def test_an_unknown_format_is_refused(table):
    """The error names the known ones."""
    with pytest.raises(UsageError, match=f"unknown format 'xlsx': choose one of {', '.join(FORMATS)}"):
        export(table, "xlsx")
