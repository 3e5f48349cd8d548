"""Rows that break no rule and still deserve a second look, with the reason."""

import numpy as np
import pandas as pd

from medssl.evidence.dispersion import ARMS, dispersions
from medssl.evidence.tables import read_rows, table_path, typed
from medssl.evidence.variance import implied_correlations

__all__ = ["suspicious"]

LARGE_GAIN = 0.2
NEAR_CHANCE = 0.55
ASYMMETRY = 3  # one side of an interval that many times the other
MANY_ARMS = 4


def suspicious(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return rows that a careful reader would check against the source.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default all rows of the package.

    Returns
    -------
    DataFrame
        `effect_id`, `study_id`, `check`, `column`, `reason`, `pool`; one row for each finding. Checks:

        - grim: an accuracy that no whole number of right answers gives (after Brown and Heathers, 2017);
        - inherited: value and deviation identical to those of another study on the same data;
        - repeated: one value in four or more arms of a study;
        - large_gain: a gain above 0.2 in size;
        - near_chance: a comparator below 0.55 in AUC or balanced accuracy;
        - zero_deviation: a printed deviation of exactly 0;
        - interval: it does not contain the value, or one side is over three times the other;
        - beyond_range: value plus or minus the deviation over runs leaves 0 to 1;
        - correlation: paired and marginal intervals imply a correlation below 0 or above 1;
        - ratio_as_fraction: label_fraction equals labelled over unlabelled images;
        - more_labels: more labelled than unlabelled images.

    Examples
    --------
    >>> found = suspicious()
    >>> {"inherited", "large_gain", "near_chance"} <= set(found["check"])
    True
    """
    rows = (
        typed(read_rows(table_path("published_effects")).reset_index(drop=True)) if table is None else table
    )
    rows = rows.reset_index(drop=True)
    found = dispersions(rows)
    checks = (
        _grim(rows, found), *(_inherited(rows, arm) for arm in ARMS), _repeated(rows), _gain(rows),
        _chance(rows), *_arms(rows, found), _correlation(rows), *_labels(rows),
    )  # fmt: skip
    return pd.concat(checks).sort_values(["check", "effect_id"], kind="stable").reset_index(drop=True)


def _findings(rows, mask, check, column, reason):
    part = rows[np.asarray(mask, bool)]
    reasons = [reason(row) for _, row in part.iterrows()] if callable(reason) else reason
    return part[["effect_id", "study_id", "pool"]].assign(check=check, column=column, reason=reasons)[
        ["effect_id", "study_id", "check", "column", "reason", "pool"]
    ]


def _grim(rows, found):
    """Accuracies printed with d digits must lie within half a unit of k / (cases * runs).

    A mean over resamples, or over an unknown number of runs, may take any value.
    """
    parts = []
    for arm in ARMS:
        value, n = rows[f"{arm}_value"], rows["n_runs"].fillna(found[f"{arm}_n"])
        single = found[f"{arm}_kind"] == "none"
        answers = rows["n_test"] * n.fillna(1)
        half = 0.5 * 10.0 ** -_decimals(value)
        nearest = (value * answers).round() / answers
        counted = (rows["metric"] == "accuracy") & rows["extraction"].isin(["printed", "computed"])
        counted &= single | (n.notna() & found[f"{arm}_over"].isin(["runs", "folds"]))
        wrong = counted & answers.notna() & ((nearest - value).abs() > half + 1e-9)
        reason = "no whole number of right answers out of n_test cases and n_runs runs gives this value"
        parts.append(_findings(rows, wrong, "grim", f"{arm}_value", reason))
    return pd.concat(parts)


def _decimals(values):
    return values.map(lambda value: len(f"{value:.10f}".rstrip("0").partition(".")[2]))


def _inherited(rows, arm):
    """The same data, metric, value and deviation in another study; two digits coincide by chance."""
    key = ["downstream_data", "metric", f"{arm}_value", f"{arm}_sd_or_ci"]
    precise = rows[_decimals(rows[f"{arm}_value"]) >= 3]
    studies = precise.groupby(key)["study_id"].agg(lambda names: ", ".join(sorted(set(names))))
    shared = precise.join(studies.rename("studies"), on=key)
    shared = shared[shared["studies"].str.contains(", ")]
    return _findings(
        shared,
        np.ones(len(shared)),
        "inherited",
        f"{arm}_value",
        lambda row: f"{row[f'{arm}_value']:g} with the same deviation stands in {row['studies']}",
    )


def _repeated(rows):
    """One value in many arms of one study on one data set; an arm that stands in several rows counts once."""
    amounts = rows[["label_fraction", "n_labelled"]].fillna(-1).astype(str)  # a missing one stays apart
    labels = amounts["label_fraction"] + amounts["n_labelled"] + rows["task"]
    comparator = rows["baseline_type"] + rows["architecture"] + labels
    pretrained = rows["ssl_method"] + rows["pretrain_data"] + labels.str.partition("; comparator")[0]
    arms = pd.concat(
        [
            rows.assign(value=rows["baseline_value"], run=comparator),
            rows.assign(value=rows["ssl_value"], run=pretrained),
        ]
    )
    arms = arms[_decimals(arms["value"]) >= 3]
    key = ["study_id", "downstream_data", "metric", "value"]
    counts = arms["run"].groupby([arms[name] for name in key]).transform("nunique")
    arms = arms[counts >= MANY_ARMS].assign(arms=counts[counts >= MANY_ARMS])
    arms = arms.drop_duplicates(["effect_id", "value"])
    return _findings(
        arms,
        np.ones(len(arms)),
        "repeated",
        "ssl_value",
        lambda row: (
            f"{row['value']:g} stands in {row['arms']} arms of this study on {row['downstream_data']}"
        ),
    )


def _gain(rows):
    gain = rows["ssl_value"] - rows["baseline_value"]
    return _findings(
        rows.assign(gain=gain),
        gain.abs() > LARGE_GAIN,
        "large_gain",
        "ssl_value",
        lambda row: f"gain {row['gain']:+.3f}",
    )


def _chance(rows):
    near = rows["metric"].isin(["AUC", "balanced_accuracy"]) & (rows["baseline_value"] < NEAR_CHANCE)
    return _findings(
        rows,
        near,
        "near_chance",
        "baseline_value",
        lambda row: f"comparator at {row['baseline_value']:g}: it may have failed to train",
    )


def _arms(rows, found):
    for arm in ARMS:
        column, value = f"{arm}_sd_or_ci", rows[f"{arm}_value"]
        deviation = found[f"{arm}_value"]
        yield _findings(
            rows, deviation == 0, "zero_deviation", column, "exactly 0: rounding, or runs that are copies"
        )
        over_runs = found[f"{arm}_over"].isin(["runs", "folds"])
        leaves = over_runs & ((value + deviation > 1) | (value - deviation < 0))
        yield _findings(rows, leaves, "beyond_range", column, "value and deviation over runs leave 0 to 1")
        low, high = value - found[f"{arm}_low"], found[f"{arm}_high"] - value
        outside = (low < 0) | (high < 0)
        yield _findings(rows, outside, "interval", column, "the interval does not contain the value")
        sides = np.maximum(low, high) > ASYMMETRY * np.minimum(low, high)
        skewed = ~outside & sides & (np.maximum(low, high) > 0.01)
        yield _findings(rows, skewed, "interval", column, f"one side is over {ASYMMETRY} times the other")


def _correlation(rows):
    kept = rows[rows["pool"] != "excluded"]
    implied = implied_correlations(kept).set_index("effect_id")["rho"]
    rho = rows["effect_id"].map(implied)
    return _findings(
        rows.assign(rho=rho),
        (rho < 0) | (rho > 1),
        "correlation",
        "ssl_sd_or_ci",
        lambda row: f"implied correlation {row['rho']:.2f}",
    )


def _labels(rows):
    ratio = rows["n_labelled"] / rows["n_pretrain_unlabelled"]
    several = rows.groupby(["study_id", "downstream_data"])["label_fraction"].transform("nunique") > 1
    same = np.isclose(rows["label_fraction"], ratio, rtol=0.02) & (rows["label_fraction"] < 0.05) & ~several
    yield _findings(
        rows,
        same,
        "ratio_as_fraction",
        "label_fraction",
        "right only if the unlabelled images are the whole training set",
    )
    yield _findings(
        rows.assign(ratio=ratio),
        ratio > 1,
        "more_labels",
        "n_labelled",
        lambda row: f"{row['ratio']:.1f} labelled images for each unlabelled one",
    )
