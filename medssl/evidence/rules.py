"""Rules that join cells of one row."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from medssl.evidence.dispersion import ARMS, dispersions
from medssl.evidence.fields import METRICS_OF_TASK
from medssl.evidence.problems import Problem, problems_of

__all__ = ["check_rows"]

FROZEN_WORDS = r"(?i)linear (?:probe|evaluation)|\bfrozen\b|froze all"


def check_rows(rows: pd.DataFrame) -> list[Problem]:
    """Return a problem for each row whose cells contradict each other.

    Parameters
    ----------
    rows : DataFrame
        As `medssl.evidence.tables.typed` returns them, indexed by line.
    """
    checks = (_metric_of_task, _pool, _adaptation, _deviation, _interval, _fold_values, _counts)
    return [problem for check in checks for problem in check(rows)]


def _metric_of_task(rows) -> Iterator[Problem]:
    for task, metrics in METRICS_OF_TASK.items():
        yield from problems_of(
            rows,
            (rows["task_type"] == task) & ~rows["metric"].isin(metrics),
            "metric",
            lambda row: f"the metric {row['metric']} does not belong to {row['task_type']}",
            f"Choose one of {', '.join(metrics)}, or correct task_type",
        )


def _pool(rows):
    primary, natural = rows["pool"] == "primary", rows["pool"] == "natural_images"
    blank = rows["pool_reason"] == ""
    yield from problems_of(
        rows,
        primary & ~blank,
        "pool_reason",
        "a primary row has a reason not to be one",
        "Remove it or change the pool",
    )
    yield from problems_of(
        rows, ~primary & blank, "pool_reason", "a row outside the primary pool has no reason", "Say why"
    )
    not_primary = {
        "adaptation": (rows["adaptation"] != "both_finetuned", "both arms must be fine-tuned"),
        "extraction": (rows["extraction"] == "second_hand", "a second-hand value must be verified first"),
        "metric": (rows["metric"] == "Dice_incl_background", "a Dice with background cannot be pooled"),
        "pretrain_data": (
            rows["pretrain_data"].str.match(r"(?i)imagenet|natural images"),
            "natural images are no medical pool",
        ),
    }
    for column, (wrong, reason) in not_primary.items():
        yield from problems_of(
            rows,
            primary & wrong,
            column,
            f"in the primary pool {reason}",
            "Move the row to another pool, with the reason",
        )
    yield from problems_of(
        rows,
        natural & rows["n_pretrain_unlabelled"].notna(),
        "n_pretrain_unlabelled",
        "a row of natural_images has no label ratio, so no number of unlabelled images",
        "Leave it blank or change the pool",
    )


def _adaptation(rows):
    told = rows["task"].str.contains(FROZEN_WORDS) | rows["ssl_method"].str.contains(FROZEN_WORDS)
    yield from problems_of(
        rows,
        told & (rows["adaptation"] == "both_finetuned"),
        "adaptation",
        "the task or the method says that an encoder was frozen",
        "Choose both_frozen or ssl_frozen_only",
    )
    yield from problems_of(
        rows,
        (rows["pool"] == "primary") & rows["architecture"].str.contains(" vs "),
        "architecture",
        "in the primary pool both arms have one architecture, and this names two",
        "Move the row to another pool, with the reason",
    )


def _deviation(rows):
    """Values between 0 and 1 with mean m have a variance of m (1 - m) at most (Bhatia and Davis, 2000)."""
    found = dispersions(rows)
    for arm in ARMS:
        value, n = rows[f"{arm}_value"], rows["n_runs"].fillna(found[f"{arm}_n"]).fillna(2).clip(lower=2)
        sample = np.where(found[f"{arm}_over"].isin(["runs", "folds"]), n / (n - 1), 1.0)
        most = np.sqrt((value * (1 - value)).clip(lower=0) * sample)
        deviation = found[f"{arm}_value"]
        yield from problems_of(
            rows,
            deviation.gt(most + found[f"{arm}_half_unit"].fillna(0)) | deviation.lt(0),
            f"{arm}_sd_or_ci",
            lambda row, arm=arm: (
                f"no values between 0 and 1 with mean {row[f'{arm}_value']:g} deviate so much"
            ),
            "Check the unit (percents are divided by 100) and the cell",
        )


def _interval(rows):
    found = dispersions(rows)
    for arm in ARMS:
        low, high = found[f"{arm}_low"], found[f"{arm}_high"]
        yield from problems_of(
            rows, low > high, f"{arm}_sd_or_ci", "the lower limit exceeds the upper one", "Write low-high"
        )
        yield from problems_of(
            rows,
            (low < 0) | (high > 1),
            f"{arm}_sd_or_ci",
            "a limit lies outside 0 to 1",
            "Percents are divided by 100; an interval of the gain is written paired diff 95%CI low to high",
        )


def _fold_values(rows):
    """A deviation printed with its folds must be theirs."""
    for arm in ARMS:
        texts = rows[f"{arm}_sd_or_ci"]
        folds = texts.str.extract(r"SD\s*([\d.]+)\s*\(([\d.,\s]*,[\d.,\s]*)\)")
        printed = pd.to_numeric(folds[0], errors="coerce")
        recomputed = folds[1].map(_deviation_of, na_action="ignore").astype(float)
        yield from problems_of(
            rows,
            (printed - recomputed).abs() > 0.0006,
            f"{arm}_sd_or_ci",
            "the deviation is not that of the listed folds",
            "Recompute it",
        )
    yield from _run_counts(rows)


def _run_counts(rows):
    found = dispersions(rows)
    wrong = pd.Series(False, index=rows.index)
    for arm in ARMS:
        told = rows[f"{arm}_sd_or_ci"].str.contains("fold|run|split") & found[f"{arm}_n"].notna()
        wrong |= told & rows["n_runs"].notna() & (found[f"{arm}_n"] != rows["n_runs"])
    yield from problems_of(
        rows, wrong, "n_runs", "it differs from the number in a dispersion", "Make them agree"
    )


def _deviation_of(text):
    return np.std([float(x) for x in text.split(",") if x.strip()], ddof=1)


def _counts(rows):
    whole = rows["n_labelled"] / rows["label_fraction"]
    yield from problems_of(
        rows,
        rows["n_labelled"].lt(1) | whole.gt(1e8),
        "n_labelled",
        "the count and label_fraction imply an impossible training set",
        "Check both",
    )
