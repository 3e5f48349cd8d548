"""A record is repeated: equal where nothing changed, within the band elsewhere, refused otherwise."""

import json

import pytest

from medssl.errors import DataError
from medssl.experiments import record_path, verify
from medssl.experiments.verify import BAND


def path_of(place):
    """The first record of a finished grid."""
    return record_path(place.cells[0], place.records)


def changed(path, change):
    """Damage a record on disk and return its path."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    return path


def test_a_record_repeats_bit_for_bit(finished):
    """On the same machine, code and versions every score is the same."""
    found = verify(path_of(finished), device="cpu")
    assert found.same
    assert found.holds
    assert found.largest == 0
    assert set(found.table.arm) == {"ssl", "comparator"}


def test_a_score_that_cannot_be_repeated_is_found(started):
    """One digit changed in a record is a difference where equality is promised."""
    path = changed(path_of(started), lambda record: record["ssl"]["scores"].update(auc=0.123))
    found = verify(path, device="cpu")
    assert found.same
    assert not found.holds


@pytest.mark.parametrize(("shift", "holds"), [(0.5 * BAND, True), (1.5 * BAND, False)])
def test_other_versions_have_a_band(started, shift, holds):
    """Where something else changed, it is named, and scores may differ by the band."""

    def change(record):
        record["versions"]["torch"] = "1.0"
        record["ssl"]["scores"]["auc"] += shift

    found = verify(changed(path_of(started), change), device="cpu")
    assert not found.same
    assert any(word.startswith("torch 1.0 is now") for word in found.differences)
    assert found.holds == holds


def test_other_images_are_refused(started):
    """A record of other data cannot be repeated, and the message says so."""
    path = changed(path_of(started), lambda record: record.update(data_sha256="0" * 64))
    with pytest.raises(DataError, match="data_sha256: the images of phantom_xray here are not those"):
        verify(path)
