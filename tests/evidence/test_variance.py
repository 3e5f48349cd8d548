"""Each rung of the ladder by hand, and the order in which rungs are tried."""

import numpy as np
import pandas as pd
import pytest

from medssl.evidence import RUNGS, implied_correlations, published
from medssl.evidence.paired import match_paired_gains, paired_gains
from medssl.evidence.sampling import dice_deviation
from medssl.evidence.variance import arm_variances

Z = 1.959963984540054


def climb(rows, **cells):
    """The rung of one row that differs from the plain one in some cells."""
    return arm_variances(rows(cells)).iloc[0]


def test_runs_by_hand(rows):
    """sd^2 / n for each arm, with n of the row before n of the text."""
    found = climb(
        rows, baseline_sd_or_ci="SD 0.02 (5 runs)", ssl_sd_or_ci="SD 0.01 (5 runs)", n_runs="10", n_test="100"
    )
    assert found["variance_origin"] == "runs"
    assert found["baseline_variance"] == pytest.approx(0.0004 / 10)
    assert found["ssl_variance"] == pytest.approx(0.0001 / 10)
    assert (found["shared_cases"], found["flags"]) == (False, "")
    assert climb(rows, baseline_sd_or_ci="SD 0.02 (5-fold)", ssl_sd_or_ci="SD 0.01 (4-fold)")[
        ["baseline_variance", "ssl_variance"]
    ].tolist() == pytest.approx([0.0004 / 5, 0.0001 / 4])


def test_a_missing_number_of_runs_is_three_and_flagged(rows):
    """Deviations over runs without a count are divided by 3."""
    found = climb(rows, baseline_sd_or_ci="fold SD 0.03", ssl_sd_or_ci="fold SD 0.06")
    assert found[["baseline_variance", "ssl_variance"]].tolist() == pytest.approx([0.0003, 0.0012])
    assert found["flags"] == "runs_assumed"


def test_a_printed_zero_is_half_a_unit_and_flagged(rows):
    """0.00 becomes 0.005."""
    found = climb(rows, baseline_sd_or_ci="SD 0.00 (5-fold)", ssl_sd_or_ci="SD 0.02 (5-fold)")
    assert found["baseline_variance"] == pytest.approx(0.005**2 / 5)
    assert found["flags"] == "zero_deviation_rounded"


def test_test_intervals_by_hand(rows):
    """The half width over 1.96 is the standard error of each arm."""
    found = climb(
        rows,
        study_id="holste2022_echoas",
        baseline_sd_or_ci="95%CI 0.60-0.80",
        ssl_sd_or_ci="95%CI 0.75-0.85",
        n_test="1000",
    )
    assert (found["variance_origin"], found["flags"]) == ("test_ci", "rho_assumed")
    assert found["baseline_variance"] == pytest.approx((0.1 / Z) ** 2)
    assert found["ssl_variance"] == pytest.approx((0.05 / Z) ** 2)
    assert found["shared_cases"]


def test_errors_and_case_deviations_are_test_intervals_too(rows):
    """A DeLong error is used as it is; a deviation over cases is divided by their number."""
    delong = climb(rows, baseline_sd_or_ci="DeLong SE 0.03", ssl_sd_or_ci="DeLong SE 0.02")
    assert delong["variance_origin"] == "test_ci"
    assert delong[["baseline_variance", "ssl_variance"]].tolist() == pytest.approx([9e-4, 4e-4])
    cells = {"metric": "Dice", "task_type": "segmentation", "n_test": "25"}
    cases = climb(rows, baseline_sd_or_ci="SD 0.2 (over cases)", ssl_sd_or_ci="SD 0.1 (over cases)", **cells)
    assert cases[["baseline_variance", "ssl_variance"]].tolist() == pytest.approx([0.04 / 25, 0.01 / 25])
    assert cases["flags"] == "rho_assumed, from_case_deviation"
    resampled = climb(rows, baseline_sd_or_ci="bootstrap SD 0.2", ssl_sd_or_ci="bootstrap SD 0.1")
    assert resampled[["baseline_variance", "ssl_variance"]].tolist() == pytest.approx([0.04, 0.01])
    assert resampled["flags"] == "rho_assumed, bootstrap_deviation"


def test_hanley_mcneil_rung_by_hand(rows):
    """AUC and 30 cases, half of them positive where no prevalence is printed."""
    auc, n = 0.8, 15
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    expected = (auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / n**2
    found = climb(rows, n_test="30")
    assert (found["variance_origin"], found["flags"]) == ("hanley_mcneil", "rho_assumed, prevalence_assumed")
    assert found["ssl_variance"] == pytest.approx(expected)


def test_a_printed_prevalence_is_used(rows):
    """A column `prevalence` changes the variance and removes the flag."""
    table = rows({"n_test": "30"}).assign(prevalence=0.1)
    found = arm_variances(table).iloc[0]
    assert found["flags"] == "rho_assumed"
    assert found["ssl_variance"] > climb(rows, n_test="30")["ssl_variance"]


def test_binomial_rung_by_hand(rows):
    """p (1 - p) / n; the balanced accuracy is treated alike and flagged; a perfect score is pulled in."""
    found = climb(rows, metric="accuracy", n_test="50", baseline_value="0.8", ssl_value="1.0")
    assert found["variance_origin"] == "binomial"
    assert found["baseline_variance"] == pytest.approx(0.8 * 0.2 / 50)
    assert found["ssl_variance"] == pytest.approx(0.99 * 0.01 / 50)
    balanced = climb(rows, metric="balanced_accuracy", n_test="50", baseline_value="0.8")
    assert balanced["flags"] == "rho_assumed, balanced_as_plain"


def test_dice_rung_by_hand(rows):
    """The fitted deviation squared, over the number of cases; flagged, also outside the fitted range."""
    cells = {"metric": "Dice", "task_type": "segmentation", "n_test": "40"}
    found = climb(rows, **cells)
    assert found["variance_origin"] == "dice_quadratic"
    assert found["ssl_variance"] == pytest.approx(float(dice_deviation(0.8)) ** 2 / 40)
    assert found["flags"] == "rho_assumed, dice_deviation_fitted"
    assert "dice_outside_fit" in climb(rows, **cells, ssl_value="0.97")["flags"]


@pytest.mark.parametrize("metric", ["IoU", "AP", "PICAI_score", "mAP", "Dice_incl_background"])
def test_other_metrics_need_a_printed_dispersion(rows, metric):
    """Without one their variance is left to imputation."""
    found = climb(rows, metric=metric, n_test="100")
    assert found["variance_origin"] == "imputed"
    assert np.isnan(found["ssl_variance"])


def test_a_paired_error_or_interval_comes_first(rows):
    """It beats deviations over runs, and the marginal errors beside it are kept for the logit scale."""
    text = "DeLong SE 0.02; paired diff SE 0.01"
    found = climb(rows, baseline_sd_or_ci="DeLong SE 0.03", ssl_sd_or_ci=text, n_test="100")
    assert (found["variance_origin"], found["flags"]) == ("paired_ci", "")
    assert found["gain_variance"] == pytest.approx(1e-4)
    assert found["baseline_variance"] == pytest.approx(9e-4)
    text = "SD 0.01 (3 runs); paired diff 95%CI -0.02 to 0.06"
    found = climb(rows, baseline_sd_or_ci="SD 0.01 (3 runs)", ssl_sd_or_ci=text)
    assert found["gain_variance"] == pytest.approx((0.04 / Z) ** 2)
    assert np.isnan(found["ssl_variance"])


def test_what_a_rung_cannot_use_is_said(rows):
    """One arm only, an unknown meaning, an unknown test size, organs: each leaves its flag."""
    one = climb(rows, baseline_sd_or_ci="SD 0.02 (5 runs)", n_test="30")
    assert (one["variance_origin"], "dispersion_of_one_arm" in one["flags"]) == ("hanley_mcneil", True)
    unknown = climb(rows, baseline_sd_or_ci="SD 0.02", ssl_sd_or_ci="SD 0.02", n_test="30")
    assert "dispersion_of_unknown_meaning" in unknown["flags"]
    size = climb(rows, baseline_sd_or_ci="SD 0.1 (over cases)", ssl_sd_or_ci="SD 0.1 (over cases)")
    assert (size["variance_origin"], size["flags"]) == ("imputed", "test_size_unknown")
    organs = climb(rows, ssl_sd_or_ci="paired over 117 organs: diff SE 0.0013")
    assert (organs["variance_origin"], organs["flags"]) == ("imputed", "organ_error_not_used")
    odd = climb(rows, ssl_sd_or_ci="IQR 0.1", n_test="30")
    assert "dispersion_not_understood" in odd["flags"]


def test_every_row_of_the_package_stands_on_one_rung():
    """No row is lost, and a variance is missing exactly where it is to be imputed."""
    table = published("all")
    found = arm_variances(table)
    assert set(found["variance_origin"]) == set(RUNGS)
    known = found["gain_variance"].notna() | found[["baseline_variance", "ssl_variance"]].notna().all(axis=1)
    assert (known == (found["variance_origin"] != "imputed")).all()


def test_one_row_at_a_time_gives_the_same(rows):
    """The vectorised ladder does not mix rows up."""
    table = published("all").sample(30, random_state=0)
    whole = arm_variances(table)
    single = pd.concat(arm_variances(table.loc[[label]]) for label in table.index)
    pd.testing.assert_frame_equal(whole, single)


def test_every_printed_paired_gain_finds_its_row():
    """All sixty match one row each, whose scores differ by the printed gain within 0.005."""
    matched = match_paired_gains()
    assert (matched["status"] == "matched").all()
    assert matched["effect_id"].is_unique
    table = published("all").set_index("effect_id").loc[matched["effect_id"]]
    difference = (table["ssl_value"] - table["baseline_value"]).to_numpy()
    assert np.abs(difference - matched["gain"].to_numpy()).max() <= 0.005


def test_a_gain_that_fits_no_row_or_two_is_listed_and_not_used():
    """Ambiguous and missing matches lend their interval to nobody."""
    table = published("all")
    mine = table[table["study_id"] == "sowrirajan2021_mococxr"]
    twice = pd.concat([mine, mine.iloc[[0]].assign(effect_id="E9999")], ignore_index=True)
    found = match_paired_gains(twice.iloc[1:]).set_index(mine["effect_id"].to_numpy())
    assert found.loc["E0001", "status"] == "matched"
    found = match_paired_gains(twice).set_index(mine["effect_id"].to_numpy())
    assert found.loc["E0001", ["status", "matches", "effect_id"]].tolist() == ["ambiguous", 2, ""]
    assert arm_variances(twice)["variance_origin"].iloc[[0, -1]].tolist() == ["test_ci", "test_ci"]
    missing = match_paired_gains(mine.iloc[1:]).set_index(mine["effect_id"].to_numpy())
    assert missing.loc["E0001", ["status", "matches", "effect_id"]].tolist() == ["missing", 0, ""]


def test_two_printed_gains_of_one_design_are_ambiguous():
    """When the source prints two gains for one row, neither is taken."""
    gains = pd.concat([paired_gains(), paired_gains().iloc[[0]]], ignore_index=True)
    found = match_paired_gains(gains=gains)
    assert found["status"].iloc[[0, -1]].tolist() == ["ambiguous", "ambiguous"]
    assert (found["status"].iloc[1:-1] == "matched").all()


def test_implied_correlations_invert_the_formula(rows):
    """From v1, v2 and the variance of the gain the correlation comes back."""
    text = f"DeLong SE 0.02; paired diff SE {(9e-4 + 4e-4 - 2 * 0.4 * 6e-4) ** 0.5:.10f}"
    table = rows({"baseline_sd_or_ci": "DeLong SE 0.03", "ssl_sd_or_ci": text}, {})
    found = implied_correlations(table)
    assert found["effect_id"].tolist() == ["E0001"]
    assert found["rho"].tolist() == pytest.approx([0.4])


def test_the_assumed_correlation_is_on_the_careful_side():
    """The median that printed intervals imply is above 0.5, so the assumption does not narrow intervals."""
    assert implied_correlations()["rho"].median() > 0.5
