"""Effects of published rows: gains, variances on both scales, imputation, moderators and bad requests."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import RUNGS, effects, ladder_coverage, published
from medssl.evidence.published_effects import SCALES

COLUMNS = {
    "yi", "vi", "variance_origin", "flags", "cluster_id", "study_id", "effect_id", "modality", "metric",
    "comparator", "family", "task_type", "log10_label_ratio", "log10_label_fraction", "n_labelled",
    "n_unlabelled", "label",
}  # fmt: skip
DELONG = {"baseline_sd_or_ci": "DeLong SE 0.03", "ssl_sd_or_ci": "DeLong SE 0.02"}
PAIRED = DELONG | {"ssl_sd_or_ci": "DeLong SE 0.02; paired diff SE 0.025"}


def slope(share):
    return 1 / (share * (1 - share))


def test_the_default_is_the_primary_analysis():
    """Pool primary, supervision self, in the order of the file, with the promised columns."""
    found = effects()
    assert set(found.columns) >= COLUMNS
    assert set(found["pool"]) == {"primary"}
    assert set(found["supervision"]) == {"self"}
    assert found["effect_id"].tolist() == published("primary", supervision="self")["effect_id"].tolist()


@pytest.mark.parametrize("scale", SCALES)
def test_every_row_gets_a_finite_gain_and_a_variance_above_zero(scale):
    """Nothing is dropped, and nothing is missing."""
    table = published("all")
    found = effects(table, scale=scale)
    assert len(found) == len(table)
    assert np.isfinite(found[["yi", "vi"]]).all(axis=None)
    assert (found["vi"] > 0).all()
    assert set(found["variance_origin"]) <= set(RUNGS)


def test_difference_by_hand(rows):
    """The gain is a difference; rho enters where test cases are shared."""
    found = effects(rows(DELONG), rho=0.5).iloc[0]
    assert found["yi"] == pytest.approx(0.1)
    assert found["vi"] == pytest.approx(9e-4 + 4e-4 - 6e-4)
    assert effects(rows(DELONG), rho=0).iloc[0]["vi"] == pytest.approx(13e-4)


def test_runs_do_not_depend_on_rho(rows):
    """Runs of two arms are independent."""
    cells = {"baseline_sd_or_ci": "SD 0.02 (4 runs)", "ssl_sd_or_ci": "SD 0.04 (4 runs)"}
    for rho in (0, 0.8):
        assert effects(rows(cells), rho=rho).iloc[0]["vi"] == pytest.approx((4e-4 + 16e-4) / 4)


def test_logit_by_hand(rows):
    """The difference of logits, and the delta method with covariance rho s1 s2."""
    found = effects(rows(DELONG), scale="logit").iloc[0]
    assert found["yi"] == pytest.approx(np.log(4) - np.log(7 / 3))
    first, second = slope(0.7) * 0.03, slope(0.8) * 0.02
    assert found["vi"] == pytest.approx(first**2 + second**2 - 2 * 0.5 * first * second)


def test_logit_of_a_paired_row_uses_the_implied_covariance(rows):
    """The covariance is (v1 + v2 - v) / 2, whatever rho is assumed elsewhere."""
    covariance = (9e-4 + 4e-4 - 6.25e-4) / 2
    expected = (slope(0.7) * 0.03) ** 2 + (slope(0.8) * 0.02) ** 2 - 2 * slope(0.7) * slope(0.8) * covariance
    for rho in (0, 0.8):
        found = effects(rows(PAIRED), scale="logit", rho=rho).iloc[0]
        assert found["vi"] == pytest.approx(expected)
        assert found["flags"] == ""


def test_logit_of_a_gain_alone_takes_the_slope_at_the_mean(rows):
    """Without variances of the arms the gain's variance is stretched at the mean score, and flagged."""
    found = effects(rows({"ssl_sd_or_ci": "paired diff SE 0.01"}), scale="logit").iloc[0]
    assert found["vi"] == pytest.approx((0.01 * slope(0.75)) ** 2)
    assert found["flags"] == "logit_at_mean"


def test_logit_pulls_in_scores_of_zero_and_one(rows):
    """A score of 1 over 50 cases becomes 0.99; the difference scale keeps it."""
    cells = {"metric": "accuracy", "n_test": "50", "baseline_value": "0.5", "ssl_value": "1.0"}
    found = effects(rows(cells), scale="logit").iloc[0]
    assert found["yi"] == pytest.approx(np.log(99))
    assert "pulled_in" in found["flags"]
    plain = effects(rows(cells)).iloc[0]
    assert plain["yi"] == 0.5
    assert "pulled_in" not in plain["flags"]


def test_exchanging_the_arms_changes_the_sign_only(rows):
    """Gain mirrored, variance kept, on both scales."""
    table = rows(PAIRED, {"n_test": "80"}, {"metric": "accuracy", "n_test": "90"})
    pairs = [("baseline_value", "ssl_value"), ("baseline_sd_or_ci", "ssl_sd_or_ci")]
    names = {old: new for first, second in pairs for old, new in ((first, second), (second, first))}
    for scale in SCALES:
        there, back = effects(table, scale=scale), effects(table.rename(columns=names), scale=scale)
        assert back["yi"].tolist() == pytest.approx((-there["yi"]).tolist())
        assert back["vi"].tolist() == pytest.approx(there["vi"].tolist())


def test_imputation_is_the_median_of_metric_and_modality(rows):
    """A row without anything takes the median variance of the measured rows of its kind."""
    everything = effects(published("all"))
    measured = everything[everything["variance_origin"] != "imputed"]
    kind = (measured["metric"] == "AUC") & (measured["modality"] == "ct")
    found = effects(rows({"modality": "ct"})).iloc[0]
    assert (found["variance_origin"], found["flags"]) == ("imputed", "imputed_from_metric_and_modality")
    assert found["vi"] == pytest.approx(measured.loc[kind, "vi"].median())


def test_imputation_falls_back_step_by_step(rows):
    """Same metric, then same task type, then all, each with its flag and its median."""
    everything = effects(published("all"))
    measured = everything[everything["variance_origin"] != "imputed"]
    steps = {
        "imputed_from_metric": ({"metric": "IoU", "modality": "ultrasound"}, measured["metric"] == "IoU"),
        "imputed_from_task_type": (
            {"metric": "Dice_incl_background", "task_type": "segmentation"},
            measured["task_type"] == "segmentation",
        ),
        "imputed_from_all": ({"metric": "other", "task_type": "other"}, measured["metric"].notna()),
    }
    for flag, (cells, part) in steps.items():
        found = effects(rows(cells)).iloc[0]
        assert found["flags"] == flag
        assert found["vi"] == pytest.approx(measured.loc[part, "vi"].median())


@pytest.mark.parametrize("scale", SCALES)
def test_a_variance_does_not_depend_on_the_selection(scale):
    """A row has the same effect among few rows as among all."""
    part = published("primary").iloc[::9]
    alone = effects(part, scale=scale).set_index("effect_id")
    among = effects(published("all"), scale=scale).set_index("effect_id").loc[part["effect_id"]]
    pd.testing.assert_frame_equal(alone, among)


def test_ratio_and_fraction_are_what_they_are_called(rows):
    """log10 of labelled over unlabelled, and of labelled over all labelled images."""
    found = effects(rows({}, {"pool": "natural_images"}, {"n_labelled": ""}))
    assert found["log10_label_ratio"].tolist() == pytest.approx([np.log10(0.05), np.nan, np.nan], nan_ok=True)
    assert found["log10_label_fraction"].tolist() == pytest.approx([-1, -1, -1])
    assert found["n_unlabelled"].tolist() == pytest.approx([1000, np.nan, 1000], nan_ok=True)


def test_labels_name_study_task_method_and_labels(rows):
    """A forest plot can be read without the table; what is missing is said."""
    table = rows(
        {"first_author": "Demo AB", "n_labelled": "1500"},
        {"first_author": "", "year": "", "n_labelled": ""},
        {"n_labelled": "", "label_fraction": "", "task": "x" * 60},
    )
    found = effects(table)["label"].tolist()
    assert found[0] == "Demo 2020, pneumonia, SimCLR, 1,500 labels"
    assert found[1] == "demo2020, pneumonia, SimCLR, 0.1 of the labels"
    assert found[2] == f"Demo 2020, {'x' * 43}…, SimCLR, labels not stated"


def test_a_blank_family_is_a_category(rows):
    """It is called not_stated, so that no model drops the row."""
    assert effects(rows({"ssl_family": ""}))["family"].tolist() == ["not_stated"]


def test_the_paired_rows_of_the_package_have_their_printed_width():
    """The variance of each matched row is that of the printed interval of its gain."""
    found = effects(published("all")).set_index("effect_id")
    row = found.loc["E0009"]  # gain 0.037, 95% interval 0.015 to 0.062
    assert row["variance_origin"] == "paired_ci"
    assert row["vi"] == pytest.approx((0.047 / (2 * 1.959963984540054)) ** 2)


def test_coverage_adds_up_to_the_table():
    """Every rung and modality has a row, and the totals are the counts of `effects`."""
    for table in (None, published("all")):
        coverage, found = ladder_coverage(table), effects(table)
        assert coverage["total"].sum() == len(found)
        assert len(coverage) == 4 * len(RUNGS)
        part = found[(found["variance_origin"] == "runs") & (found["modality"] == "mri")]
        assert coverage.loc[("runs", "mri"), "total"] == len(part)
        assert coverage.loc[("runs", "mri"), "Dice"] == (part["metric"] == "Dice").sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "log"}, "unknown scale 'log': choose one of difference, logit"),
        ({"rho": 1.0}, "rho must lie between -1 and 1, got 1.0"),
        ({"rho": float("nan")}, "rho must lie between"),
    ],
)
def test_a_wrong_scale_or_rho_is_refused(rows, arguments, message):
    """The error names the argument and the remedy."""
    with pytest.raises(UsageError, match=message):
        effects(rows(), **arguments)


def test_tables_that_cannot_be_analysed_are_refused(rows):
    """No rows, an id twice, or a row of the excluded pool."""
    with pytest.raises(UsageError, match="no rows"):
        effects(rows().iloc[:0])
    with pytest.raises(UsageError, match="E0001 occurs twice"):
        effects(rows({}, {"effect_id": "E0001"}))
    with pytest.raises(UsageError, match="E0002 belongs to the pool excluded"):
        effects(rows({}, {"pool": "excluded"}))
    with pytest.raises(UsageError, match="excluded"):
        effects(published("excluded"))
