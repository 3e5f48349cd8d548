"""Rules that join rows: one study, one comparator run, one data set, one printed gain."""

import numpy as np
import pandas as pd

from medssl.evidence.fields import STUDY_COLUMNS
from medssl.evidence.paired import PAIRED_KEY, match_paired_gains, paired_gains
from medssl.evidence.problems import Problem, problems_of

__all__ = ["COMPARATOR_KEY", "DESIGN_KEY", "check_table", "duplicated_designs"]

DESIGN_KEY = [
    "study_id", "task", "downstream_data", "label_fraction", "n_labelled", "n_test", "ssl_method",
    "pretrain_data", "architecture", "metric", "baseline_type", "adaptation",
]  # fmt: skip
COMPARATOR_KEY = [
    "cluster_id", "study_id", "task", "downstream_data", "architecture", "label_fraction", "n_labelled",
    "n_test", "metric", "baseline_type", "adaptation",
]  # fmt: skip
GAIN_TOLERANCE = 0.005  # a printed gain may be a mean over resamples, not the difference of the scores


def check_table(rows: pd.DataFrame) -> list[Problem]:
    """Return a problem for each row that contradicts another one.

    Parameters
    ----------
    rows : DataFrame
        As `medssl.evidence.tables.typed` returns them, indexed by line.
    """
    checks = (_designs, _studies, _clusters, _comparators, _label_counts, _printed_gains)
    return [problem for check in checks for problem in check(rows)]


def duplicated_designs(rows: pd.DataFrame) -> pd.Series:
    """Return, for each row, the `effect_id` of an earlier row of the same comparison, or ""."""
    first = rows.groupby(DESIGN_KEY, dropna=False)["effect_id"].transform("first")
    return first.where(rows.duplicated(DESIGN_KEY), "")


def _designs(rows):
    earlier = duplicated_designs(rows)
    yield from problems_of(
        rows.assign(earlier=earlier),
        earlier != "",
        "effect_id",
        lambda row: f"it is the same comparison as {row['earlier']}",
        "Remove one, or say in task, ssl_method or architecture what differs",
    )


def _studies(rows):
    for column in STUDY_COLUMNS:
        if column == "study_id":
            continue
        usual = _usual(rows, ["study_id"], column)
        same = (rows[column] == usual) | (rows[column].isna() & usual.isna())
        yield from problems_of(
            rows.assign(usual=usual),
            ~same,
            column,
            lambda row: f"other rows of {row['study_id']} have {row['usual']!r}",
            "One study has one value",
        )


def _usual(rows, keys, column):
    """Return for each row the most common value of its group."""
    groups = rows.groupby(keys, dropna=False)[column]
    several = groups.transform("nunique") > 1
    common = rows[several].groupby(keys, dropna=False)[column].transform(lambda cells: cells.mode().iloc[0])
    usual = groups.transform("first")
    return usual.where(~several, common.reindex(usual.index))


def _clusters(rows):
    studies = rows.groupby("cluster_id")["study_id"].transform("nunique")
    own = rows["cluster_id"] == rows["study_id"]
    named = rows["cluster_id"].isin(set(rows["study_id"]))
    yield from problems_of(
        rows,
        (studies == 1) & ~own & ~named & (rows["cluster_id"] != ""),
        "cluster_id",
        "the cluster is not known: it holds one study and is not named after it",
        "Use the cluster of the studies that share data or runs, or the study_id",
    )


def _comparators(rows):
    for column in ("baseline_value", "baseline_sd_or_ci"):
        usual = _usual(rows, COMPARATOR_KEY, column)
        yield from problems_of(
            rows.assign(usual=usual),
            (rows[column] != usual) & ~(rows[column].isna() & usual.isna()),
            column,
            lambda row: f"other rows of the same comparator run have {row['usual']}",
            "Give one run one value, or say in task what differs",
        )


def _label_counts(rows):
    """Count and fraction agree with the size of the training set that the other rows imply."""
    group = ["study_id", "downstream_data", "task"]
    implied = rows["n_labelled"] / rows["label_fraction"]
    size = implied.groupby([rows[name] for name in group]).transform("median")
    expected = size * rows["label_fraction"]
    wrong = (rows["n_labelled"] - expected).abs() > np.maximum(1, 0.05 * expected)
    yield from problems_of(
        rows.assign(expected=expected),
        wrong,
        "n_labelled",
        lambda row: (
            f"{row['label_fraction']:g} of the training set of the other rows is about {row['expected']:.0f}"
        ),
        "Check n_labelled and label_fraction",
    )


def _printed_gains(rows):
    gains = paired_gains()[[*PAIRED_KEY, "gain", "n_labelled"]].rename(columns={"n_labelled": "n_printed"})
    gains = gains.drop_duplicates(PAIRED_KEY)
    joined = rows.reset_index().merge(gains, on=PAIRED_KEY, how="inner").set_index("line")
    difference = joined["ssl_value"] - joined["baseline_value"]
    yield from problems_of(
        joined,
        (difference - joined["gain"]).abs() > GAIN_TOLERANCE + 1e-9,
        "ssl_value",
        lambda row: f"minus baseline_value it is not the printed gain of {row['gain']:+.3f}",
        f"Check both values; they may differ by {GAIN_TOLERANCE}",
    )
    yield from problems_of(
        joined,
        joined["n_labelled"] != joined["n_printed"],
        "n_labelled",
        lambda row: f"the printed gain has {row['n_printed']:.0f} labels",
        "Make them agree",
    )
    yield from _lost_gains(rows)


def _lost_gains(rows):
    """A gain whose study is in the table belongs to exactly one row, or its interval would be lost."""
    found = match_paired_gains(rows)
    first = rows.reset_index().groupby("study_id")["line"].first()
    for _, gain in found[found["status"] != "matched"].iterrows():
        if gain["study_id"] in first:
            what = f"{gain['task']}, {gain['architecture']}, label fraction {gain['label_fraction']:g}"
            reason = (
                f"the printed paired gain of {gain['study_id']} ({what}) belongs to {gain['matches']} rows"
            )
            yield Problem(int(first[gain["study_id"]]), "", "task", reason, "Exactly one row must fit")
