"""Records: complete, strict, and consistent with the arms that they summarise."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from medssl.errors import DataError
from medssl.evaluation import METRICS, paired_bootstrap, scores, secondary_scores
from medssl.experiments import arms, find_records, grid, load_records, provenance, record_path, to_table
from medssl.experiments.cell import digest, from_dict
from medssl.files import read_json, write_json

COMMITTED = Path(__file__).parents[2] / "records"


def damaged(started, change):
    """Change the first record's content through a function and return its path."""
    path = record_path(started.cells[0], started.records)
    write_json(path, change(read_json(path)))
    return path


def segmented(record, cell, arm):
    """Assert that a segmentation took its steps at its one rate, and chose nothing."""
    assert arm.steps == cell.transfer.steps
    assert (arm.learning_rate, arm.held_out_log_loss) == (cell.transfer.learning_rate, {})


def chosen(record, cell, arm):
    """Assert that a classifier took the steps of its schedule, at the rate that its labels chose."""
    usual = cell.transfer.steps(record.n_labelled)
    longer = arm is record.comparator and cell.comparator == "compute_matched"
    assert arm.steps > usual if longer else arm.steps == usual
    losses, by_labels = arm.held_out_log_loss, record.n_labelled >= cell.selection.least_labels
    if by_labels or cell.selection.validation == "full_validation":
        assert set(losses) == {f"{rate:g}" for rate in cell.selection.learning_rates}
        assert losses[f"{arm.learning_rate:g}"] == min(losses.values())
    else:
        assert (arm.learning_rate, losses) == (cell.selection.fixed_learning_rate, {})


def consistent(record):
    """Assert what must hold inside any record, by whomever it was made."""
    cell = from_dict(record.cell)
    assert cell.record_id == record.record_id
    if cell.n_labelled is not None:
        assert record.n_labelled == cell.n_labelled
    if cell.segments:
        assert set(record.class_counts) == {record.n_labelled}  # every volume holds every class
    else:
        assert sum(record.class_counts) == record.n_labelled
    if cell.pool == 1 and cell.pretrain_on is None:
        assert record.n_labelled <= record.n_unlabelled
    assert min(record.class_counts) >= 1
    assert set(record.gain) == ({"dice"} if cell.segments else set(METRICS)) <= set(record.ssl.scores)
    assert set(record.ssl.scores) == set(record.comparator.scores)
    for name, gain in record.gain.items():
        difference = record.ssl.scores[name] - record.comparator.scores[name]
        assert gain.value == pytest.approx(difference, abs=1e-6)
        assert gain.ci_low <= gain.ci_high
    for arm in (record.ssl, record.comparator):
        (segmented if cell.segments else chosen)(record, cell, arm)
    assert len(record.pretraining["loss_by_epoch"]) == cell.pretrain.epochs
    assert record.pretraining["last_loss"] == record.pretraining["loss_by_epoch"][-1]
    for name in ("code_sha256", "data_sha256"):
        assert re.fullmatch("[0-9a-f]{64}", getattr(record, name))


def test_new_records_are_consistent(finished):
    """Counts, scores, gains and choices of a record agree with each other and with its cell."""
    for record, cell in zip(finished.found, finished.cells, strict=True):
        consistent(record)
        assert from_dict(record.cell) == cell


def test_a_record_is_what_its_arms_say(finished):
    """Scores and gains can be computed again from the predictions, and the subset from the seed."""
    for record, cell in zip(finished.found, finished.cells, strict=True):
        train, test, rows = (
            arms.load_split(cell, "train"),
            arms.load_split(cell, "test"),
            arms.label_rows(cell),
        )
        pair = [arms.read_arm(arms.arm_path(cell, arm, finished.work))[0] for arm in ("ssl", "comparator")]
        for arm, found in zip((record.ssl, record.comparator), pair, strict=True):
            expected = scores(test.labels, found) | secondary_scores(test.labels, found)
            assert arm.scores == pytest.approx(expected, rel=1e-6)
        gain = paired_bootstrap(test.labels, *pair, seed=cell.seed, groups=test.groups)
        assert vars(record.gain["auc"]) == pytest.approx(vars(gain), rel=1e-6)
        assert record.subset_sha256 == digest(rows.tolist())
        assert record.class_counts == np.bincount(train.labels[rows], minlength=2).tolist()


def test_a_record_says_where_it_comes_from(finished):
    """Code, data, commit, versions and device stand in it."""
    record, cell = finished.found[0], finished.cells[0]
    splits = [arms.load_split(cell, split) for split in ("train", "val", "test")]
    assert record.code_sha256 == provenance.code_sha256()
    assert record.data_sha256 == provenance.data_sha256(*splits)
    assert set(record.versions) == {"medssl", "python", "torch", "numpy", "scikit-learn", "monai"}
    assert record.device["kind"] == "cpu"
    assert record.device["name"]
    assert record.commit


def test_methods_share_subset_and_comparator(finished):
    """Two methods of one budget have the same rows and the same comparator, down to its bits."""
    for first, second in (finished.found[:2], finished.found[2:]):
        assert first.cell["pretrain"]["method"] != second.cell["pretrain"]["method"]
        assert first.subset_sha256 == second.subset_sha256
        assert first.comparator == second.comparator
        assert first.ssl != second.ssl


def test_a_record_is_small_text(finished):
    """It can be read and reviewed: indented JSON of a few kilobytes, without NaN."""
    for path in find_records(finished.records):
        text = path.read_text()
        assert len(text) < 6000
        assert text.count("\n") > 50
        json.loads(text, parse_constant=lambda word: pytest.fail(word))


def test_a_record_survives_its_file(finished):
    """What is read from a file and written again is the same file."""
    for path, record in zip(
        find_records(finished.records), sorted(finished.found, key=lambda r: r.record_id), strict=True
    ):
        assert load_records([path]) == [record]
        empty = {"corrupted": True, "ssl": {"weights_sha256"}, "comparator": {"weights_sha256"}}
        assert json.loads(path.read_text()) == json.loads(record.model_dump_json(exclude=empty))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: {key: value for key, value in r.items() if key != "n_test"}, "n_test: Field required"),
        (lambda r: r | {"n_labelled": "many"}, "n_labelled: Input should be a valid integer"),
        (lambda r: r | {"n_labelled": 0}, "n_labelled: Input should be greater than 0"),
        (lambda r: r | {"remark": "good"}, "remark: Extra inputs are not permitted"),
        (lambda r: r | {"ssl": r["ssl"] | {"scores": None}}, r"ssl\.scores: Input should be a valid dict"),
        (
            lambda r: r | {"gain": {"auc": r["gain"]["auc"] | {"value": 1.5}}},
            r"gain\.auc\.value: Input should be",
        ),
        (lambda r: [r], "file: .*mapping"),
    ],
)
def test_a_damaged_record_names_file_and_field(change, field, started):
    """A field that is missing, unknown, of another type or impossible is named, with the remedy."""
    path = damaged(started, change)
    with pytest.raises(
        DataError, match=rf"{path.name}: field {field}.*Remove the file and run the grid again"
    ):
        load_records([path])
    assert DataError.exit_code == 2


def test_a_renamed_record_is_refused(started):
    """The name of a file is the identity of its content."""
    path = record_path(started.cells[0], started.records)
    other = path.rename(path.with_name("another.json"))
    with pytest.raises(DataError, match=rf"another\.json: holds record {path.stem}"):
        load_records([other])


def test_records_are_found_by_data_set(finished, tmp_path):
    """All, or those of one data set, sorted; a folder that is not there holds none."""
    assert len(find_records(finished.records)) == len(find_records(finished.records, "phantom_xray")) == 4
    assert find_records(finished.records, "pneumoniamnist") == find_records(tmp_path / "absent") == []


@pytest.mark.parametrize("metric", METRICS)
def test_the_table_has_a_row_a_record(finished, metric):
    """Design, scores, gain and error of each record stand in one row."""
    table = to_table(finished.found, metric)
    assert table.record_id.tolist() == [record.record_id for record in finished.found]
    assert table.n_labelled.tolist() == [4, 4, 8, 8]
    assert table.method.tolist() == ["simclr", "masked_autoencoder"] * 2
    assert np.allclose(table.gain, table.ssl - table.comparator)
    assert table.standard_error.tolist() == [record.gain[metric].standard_error for record in finished.found]
    assert (table.n_unlabelled == 60).all()


def test_committed_records_load_and_are_consistent():
    """Every record in the repository fits the schema, its own cell and a grid that a reader can run."""
    known = {cell.record_id for name in ("xray", "study") for cell in grid(name)}
    records = load_records(find_records(COMMITTED))
    for record in records:
        consistent(record)
        assert record.record_id in known
    assert len({record.record_id for record in records}) == len(records)


def test_committed_records_of_one_data_set_share_their_data():
    """All records of a data set were made from the same images and labels, and pairs share their subset."""
    by_data, by_subset = {}, {}
    for record in load_records(find_records(COMMITTED)):
        cell = record.cell
        pool = (cell["dataset"], cell.get("pretrain_on"), cell.get("pool"))
        by_data.setdefault(pool, set()).add((record.data_sha256, record.n_unlabelled, record.n_test))
        key = (cell["dataset"], record.n_labelled, cell.get("subset", cell["seed"]))
        by_subset.setdefault(key, set()).add(record.subset_sha256)
    assert all(len(found) == 1 for found in [*by_data.values(), *by_subset.values()])
