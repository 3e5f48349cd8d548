"""The shipped table passes, and each kind of corruption is named by row, column and reason."""

import pandas as pd
import pytest

from medssl.errors import DataError
from medssl.evidence.tables import write_rows
from medssl.evidence.validate import validate, validate_rows

# name: cells to change {effect_id: {column: text}}, and the column and reason that must be reported
CORRUPTIONS = {
    "score above 1": ({"E0009": {"ssl_value": "81.3"}}, "ssl_value", "outside from 0 to 1"),
    "score below 0": ({"E0009": {"baseline_value": "-0.1"}}, "baseline_value", "outside from 0 to 1"),
    "score missing": ({"E0009": {"baseline_value": ""}}, "baseline_value", "the cell is blank"),
    "score no number": ({"E0009": {"ssl_value": "0,813"}}, "ssl_value", "'0,813' is not a number"),
    "unknown modality": ({"E0009": {"modality": "pet"}}, "modality", "'pet' is not known"),
    "unknown metric": ({"E0009": {"metric": "AUROC"}}, "metric", "'AUROC' is not known"),
    "unknown family": ({"E0009": {"ssl_family": "Contrastive"}}, "ssl_family", "is not known"),
    "no study": ({"E0009": {"study_id": ""}}, "study_id", "the cell is blank"),
    "id twice": ({"E0010": {"effect_id": "E0009"}}, "effect_id", "'E0009' occurs twice"),
    "id malformed": ({"E0009": {"effect_id": "9"}}, "effect_id", "not a name of the right form"),
    "year impossible": ({"E0009": {"year": "2201"}}, "year", "outside from 2000 to 2100"),
    "white space": ({"E0009": {"task": " pleural effusion"}}, "task", "white space around it"),
    "half a case": ({"E0200": {"n_test": "99.5"}}, "n_test", "'99.5' is not a whole number"),
    "no labels": ({"E0009": {"n_labelled": "0"}}, "n_labelled", "outside from 1"),
    "fraction 0": ({"E0009": {"label_fraction": "0"}}, "label_fraction", "outside above 0 to 1"),
    "fraction in percent": ({"E0009": {"label_fraction": "10"}}, "label_fraction", "outside above 0 to 1"),
    "dispersion unreadable": (
        {"E0009": {"ssl_sd_or_ci": "+-0.02"}},
        "ssl_sd_or_ci",
        "'+-0.02' is not understood",
    ),
    "deviation in percent": (
        {"E0145": {"ssl_sd_or_ci": "SD 2.1"}},
        "ssl_sd_or_ci",
        "no values between 0 and 1 with mean",
    ),
    "interval reversed": (
        {"E0009": {"ssl_sd_or_ci": "95%CI 0.85-0.75"}},
        "ssl_sd_or_ci",
        "the lower limit exceeds the upper one",
    ),
    "interval beyond 1": (
        {"E0009": {"ssl_sd_or_ci": "95%CI 0.75-1.02"}},
        "ssl_sd_or_ci",
        "a limit lies outside 0 to 1",
    ),
    "folds do not fit": (
        {"E1308": {"ssl_sd_or_ci": "fold SD 0.0155 (0.9032,0.9182,0.9121,0.9100,0.9139)"}},
        "ssl_sd_or_ci",
        "not that of the listed folds",
    ),
    "runs disagree": ({"E1255": {"n_runs": "7"}}, "n_runs", "differs from the number in a dispersion"),
    "labels against fraction": (
        {"E0010": {"n_labelled": "9000"}},
        "n_labelled",
        "of the training set of the other rows is about 2240",
    ),
    "fraction against labels": (
        {"E1180": {"label_fraction": "0.6"}},
        "n_labelled",
        "of the training set of the other rows is about 14",
    ),
    "comparator differs": (
        {"E0410": {"baseline_value": "0.5"}},
        "baseline_value",
        "other rows of the same comparator run have",
    ),
    "comparator's deviation differs": (
        {"E0410": {"baseline_sd_or_ci": "SD 0.09"}},
        "baseline_sd_or_ci",
        "other rows of the same comparator run have",
    ),
    "cluster unknown": (
        {"E1322": {"cluster_id": "wang2023"}},
        "cluster_id",
        "the cluster is not known",
    ),
    "study in two clusters": (
        {"E0009": {"cluster_id": "jlianglab"}},
        "cluster_id",
        "other rows of sowrirajan2021_mococxr have 'stanfordml_chexpert'",
    ),
    "study of two years": ({"E0009": {"year": "2020"}}, "year", "have 2021"),
    "gain against its printed value": (
        {"E0009": {"ssl_value": "0.853"}},
        "ssl_value",
        "minus baseline_value it is not the printed gain of +0.037",
    ),
    "labels against the printed gain": (
        {"E0009": {"n_labelled": "225"}},
        "n_labelled",
        "the printed gain has 224 labels",
    ),
    "printed gain without a row": (
        {"E0009": {"task": "effusion"}},
        "task",
        "the printed paired gain of sowrirajan2021_mococxr",
    ),
    "primary with a reason": (
        {"E0009": {"pool_reason": "odd"}},
        "pool_reason",
        "a primary row has a reason not to be one",
    ),
    "sensitivity without a reason": (
        {"E0001": {"pool_reason": ""}},
        "pool_reason",
        "a row outside the primary pool has no reason",
    ),
    "natural images with a ratio": (
        {"E0464": {"n_pretrain_unlabelled": "926028"}},
        "n_pretrain_unlabelled",
        "no label ratio",
    ),
    "frozen in the primary pool": (
        {"E0009": {"adaptation": "both_frozen"}},
        "adaptation",
        "both arms must be fine-tuned",
    ),
    "second-hand in the primary pool": (
        {"E0009": {"extraction": "second_hand"}},
        "extraction",
        "must be verified first",
    ),
    "natural images in the primary pool": (
        {"E0009": {"pretrain_data": "ImageNet-1k (no labels)"}},
        "pretrain_data",
        "natural images are no medical pool",
    ),
    "background in the primary pool": (
        {"E1088": {"metric": "Dice_incl_background"}},
        "metric",
        "a Dice with background cannot be pooled",
    ),
    "two architectures in the primary pool": (
        {"E0009": {"architecture": "ViT vs ResNet18"}},
        "architecture",
        "this names two",
    ),
    "frozen by its own words": (
        {"E0001": {"adaptation": "both_finetuned"}},
        "adaptation",
        "says that an encoder was frozen",
    ),
    "metric of another task": (
        {"E0009": {"metric": "Dice"}},
        "metric",
        "the metric Dice does not belong to classification",
    ),
}


def damaged(shipped, changes):
    table = shipped.copy()
    for effect_id, cells in changes.items():
        table.loc[table["effect_id"] == effect_id, list(cells)] = list(cells.values())
    return table


def test_the_shipped_table_breaks_no_rule():
    """Nothing is reported for the table of the package."""
    assert validate().empty


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_named_by_row_column_and_reason(name, shipped):
    """The damaged row is reported, with line, column, reason and remedy, in the right column."""
    changes, column, reason = CORRUPTIONS[name]
    found = validate_rows(damaged(shipped, changes))
    own = found[(found["column"] == column) & found["reason"].str.contains(reason, regex=False)]
    assert len(own) == 1 or column in ("effect_id", "study_id", "cluster_id")
    effect_id = next(iter(changes))
    line = shipped.index[shipped["effect_id"] == effect_id][0]
    if name == "printed gain without a row":
        assert own["line"].iloc[0] == shipped.index[shipped["study_id"] == "sowrirajan2021_mococxr"][0]
    else:
        assert line in own["line"].tolist()
    assert (own["remedy"].str.len() > 5).all()


def test_a_repeated_row_is_named(shipped):
    """The same comparison under a new id is a duplicate, and the other row is named."""
    copy = shipped.iloc[[9]].assign(effect_id="E9999")
    table = pd.concat([shipped, copy])
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    found = validate_rows(table)
    assert found.loc[found["effect_id"] == "E9999", "reason"].iloc[0] == "it is the same comparison as E0010"


def test_columns_are_checked_before_anything_else(shipped):
    """A missing and an unknown column are named on line 1."""
    found = validate_rows(shipped.drop(columns="pool").assign(notes="x"))
    assert found[["line", "column", "reason"]].to_numpy().tolist() == [
        [1, "notes", "the column is not known"],
        [1, "pool", "the column is missing"],
    ]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(shipped, tmp_path):
    """Two corruptions of one file are two problems with their own lines, read from the file."""
    changes = {"E0500": {"modality": "pet"}, "E0100": {"confidence": "very"}}
    path = write_rows(tmp_path / "effects.csv", damaged(shipped, changes))
    found = validate(path)
    assert found["column"].tolist() == ["confidence", "modality"]
    assert found["line"].tolist() == [101, 501]


def test_a_blank_where_the_source_is_silent_is_no_problem(texts):
    """Optional cells may be blank."""
    optional = dict.fromkeys(["n_test", "n_runs", "label_fraction", "n_labelled", "year", "ssl_family"], "")
    assert validate_rows(texts(optional)).empty


def test_a_new_study_may_be_its_own_cluster(texts):
    """A single study is a known cluster when the cluster bears its name; two studies may share any name."""
    both = texts({}, {"study_id": "other2021", "cluster_id": "demo2020", "title": "Other"})
    assert validate_rows(both).empty
    alone = validate_rows(texts({"cluster_id": "laboratory"}))
    assert alone["column"].tolist() == ["cluster_id"]


def test_rounded_counts_are_no_contradiction(texts):
    """Ten percent of 24 volumes are 2 or 3, not 5."""
    cells = {"label_fraction": "0.1", "n_labelled": "3"}
    whole = {"label_fraction": "1.0", "n_labelled": "24"}
    half = {"label_fraction": "0.5", "n_labelled": "12"}
    assert validate_rows(texts(cells, whole, half)).empty
    assert validate_rows(texts(cells | {"n_labelled": "5"}, whole, half))["effect_id"].tolist() == ["E0001"]


def test_a_file_without_rows_is_refused(tmp_path, shipped):
    """A header alone is an error that says what to write."""
    path = write_rows(tmp_path / "effects.csv", shipped.iloc[:0])
    with pytest.raises(DataError, match="it has no rows"):
        validate(path)


def test_there_are_more_than_twenty_kinds_of_corruption():
    """The list above cannot shrink unnoticed."""
    assert len(CORRUPTIONS) >= 40
