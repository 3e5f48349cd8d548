"""Each forensic check finds what it was made for, and says why."""

import pytest

from medssl.evidence import published, suspicious
from medssl.evidence.tables import POOLS
from medssl.evidence.validate import validate_rows

ACCURACY = {"metric": "accuracy", "n_test": "40", "baseline_value": "0.7", "ssl_value": "0.8"}
CHECKS = {
    "grim": [ACCURACY | {"ssl_value": "0.812"}],
    "large_gain": [{"ssl_value": "0.95"}],
    "near_chance": [{"baseline_value": "0.51", "ssl_value": "0.6"}],
    "zero_deviation": [{"ssl_sd_or_ci": "SD 0.000 (3 runs)"}],
    "beyond_range": [{"baseline_value": "0.75", "ssl_value": "0.9", "ssl_sd_or_ci": "SD 0.12 (3 runs)"}],
    "interval": [{"ssl_sd_or_ci": "95%CI 0.60-0.79"}],
    "ratio_as_fraction": [{"label_fraction": "0.02", "n_labelled": "20"}],
    "more_labels": [{"n_labelled": "3000"}],
    "correlation": [
        {"baseline_sd_or_ci": "DeLong SE 0.03", "ssl_sd_or_ci": "DeLong SE 0.02; paired diff SE 0.05"}
    ],
    "inherited": [
        {"baseline_value": "0.7132", "baseline_sd_or_ci": "SD 0.01 (3 runs)"},
        {"study_id": "other", "baseline_value": "0.7132", "baseline_sd_or_ci": "SD 0.01 (3 runs)"},
    ],
    "repeated": [
        {"baseline_value": "0.721", "ssl_value": "0.721", "label_fraction": fraction, "n_labelled": ""}
        for fraction in ("0.1", "0.2")
    ],
}  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_finds_its_example(check, rows):
    """Every row of the example is listed under the check, with a reason; no rule is broken."""
    table = rows(*CHECKS[check])
    found = suspicious(table)
    assert set(found.loc[found["check"] == check, "effect_id"]) == set(table["effect_id"])
    assert (found["reason"].str.len() > 5).all()


@pytest.mark.parametrize("check", CHECKS)
def test_suspicion_is_no_failure(check, texts):
    """What is only suspicious passes validation."""
    changes = [change | {"study_id": "demo2020"} for change in CHECKS[check]]
    assert validate_rows(texts(changes[0])).empty


def test_a_plain_row_is_above_suspicion(rows):
    """An ordinary comparison is not listed."""
    assert suspicious(rows({}, ACCURACY | {"label_fraction": "0.5", "n_labelled": "250"})).empty


def test_grim_knows_the_number_of_answers(rows):
    """With two runs 81 answers of 80 become possible; a mean of an unknown number of runs may be anything."""
    value = ACCURACY | {"ssl_value": "0.812"}
    allowed = [
        value | {"n_runs": "2"},
        value | {"ssl_sd_or_ci": "fold SD 0.1", "baseline_sd_or_ci": "fold SD 0.1"},
        value | {"extraction": "digitised"},
        ACCURACY | {"ssl_value": "0.825"},
    ]
    for change in allowed:
        assert "grim" not in set(suspicious(rows(change))["check"])


def test_an_interval_may_be_skewed_but_not_absurdly(rows):
    """One side three times the other is listed, twice is not."""
    skewed, fair = "95%CI 0.79-0.84", "95%CI 0.78-0.84"
    assert suspicious(rows({"ssl_sd_or_ci": skewed}))["reason"].tolist() == [
        "one side is over 3 times the other"
    ]
    assert suspicious(rows({"ssl_sd_or_ci": fair})).empty


def test_two_digits_coincide_by_chance(rows):
    """Short values are not called inherited."""
    values = {"baseline_value": "0.71", "baseline_sd_or_ci": "SD 0.01 (3 runs)"}
    assert suspicious(rows(values, values | {"study_id": "other"})).empty


def test_the_duplicates_that_the_second_reading_found_are_found():
    """Each excluded row carries a value that another study prints."""
    found = suspicious(published(POOLS))
    excluded = set(published("excluded")["effect_id"])
    assert excluded <= set(found.loc[found["check"] == "inherited", "effect_id"])


def test_known_training_failures_are_found():
    """The comparators that the reading notes call near chance are listed."""
    found = suspicious()
    studies = set(found.loc[found["check"] == "near_chance", "study_id"])
    assert {"pai2025_ctfm", "malkiel2022_tff", "rosenman2023_metricfmri"} <= studies
