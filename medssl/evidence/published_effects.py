"""Effects from published comparisons: gain, variance with its origin, and moderators."""

from functools import lru_cache

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.sampling import logit, logit_difference_variance, pull_in
from medssl.evidence.tables import published
from medssl.evidence.variance import RUNGS, arm_variances, join_flags

__all__ = ["SCALES", "effects", "ladder_coverage"]

SCALES = ("difference", "logit")
KEPT = [
    "effect_id", "cluster_id", "study_id", "modality", "task_type", "task", "metric", "ssl_method",
    "downstream_data", "architecture", "pool", "supervision", "adaptation", "confidence", "extraction",
    "public_data", "baseline_value", "ssl_value", "label_fraction", "n_labelled", "n_test",
]  # fmt: skip
LEAST_VALUES = 3  # a median of one or two variances would be a variance, not a median


def effects(
    table: pd.DataFrame | None = None, *, scale: str = "difference", rho: float = 0.5
) -> pd.DataFrame:
    """Return one effect a row: the gain, its sampling variance, and what may moderate it.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default those of the primary analysis (pool
        "primary", supervision "self"). A column `prevalence` is used where there is one.
    scale : str
        "difference": ssl_value - baseline_value. "logit": the difference of their logits, the one scale
        on which different metrics may meet.
    rho : float
        Correlation of two scores on the same test cases, -1 < rho < 1.

    Returns
    -------
    DataFrame
        In the order of `table`: `yi`, `vi`, `variance_origin` (one of `medssl.evidence.RUNGS`), `flags`
        (names joined by ", "), `comparator`, `family`, `log10_label_ratio` (labelled over unlabelled;
        NaN for the pool natural_images and where a count is missing), `log10_label_fraction`,
        `n_unlabelled`, `label` (for a forest plot), and columns of the table that select or describe.

    Raises
    ------
    UsageError
        An unknown scale, a rho out of range, an empty table, an `effect_id` twice, or a row of the pool
        "excluded".

    Notes
    -----
    `vi` is that of the first rung of the ladder in `medssl.evidence.variance` which the row allows.
    With v1 and v2 the variances of the two scores,

        runs                      v1 + v2
        other rungs of two arms   v1 + v2 - 2 rho sqrt(v1 v2)
        paired_ci                 (width / (2 * 1.96))^2, or the printed error squared.

    On the logit scale the delta method applies, with covariance rho sqrt(v1 v2), 0 for runs, and for
    `paired_ci` the covariance (v1 + v2 - v) / 2 that the printed intervals imply; where only the gain's
    variance is known, the slope at the mean of the scores (flag `logit_at_mean`). Scores of 0 or 1 are
    pulled in first (flag `pulled_in`). `imputed` is the median variance, on the same scale, of the
    measured rows of the package with the same metric and modality; with fewer than three of them the same
    metric, then the same task type, then all, as the flag says. So the variance of a row does not depend
    on which rows stand beside it.

    Examples
    --------
    >>> found = effects()
    >>> row = found.set_index("effect_id").loc["E0009"]
    >>> round(float(row["yi"]), 3), round(float(row["vi"]) ** 0.5, 4), row["variance_origin"]
    (0.038, 0.012, 'paired_ci')
    """
    rows = published("primary", supervision="self") if table is None else table
    _check(rows, scale, rho)
    measured = _measured(rows, scale, rho)
    filled = _impute(measured, _reference(scale, float(rho)))
    return _describe(rows, filled).reset_index(drop=True)


def _check(rows, scale, rho):
    if scale not in SCALES:
        raise UsageError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}.")
    if not -1 < rho < 1:
        raise UsageError(f"rho must lie between -1 and 1, got {rho}.")
    if len(rows) == 0:
        raise UsageError("the table of comparisons has no rows: widen the selection.")
    twice = rows["effect_id"].duplicated()
    if twice.any():
        raise UsageError(
            f"effect_id {rows.loc[twice, 'effect_id'].iloc[0]} occurs twice: give each row its own."
        )
    if (rows["pool"] == "excluded").any():
        first = rows.loc[rows["pool"] == "excluded", "effect_id"].iloc[0]
        raise UsageError(
            f"{first} belongs to the pool excluded, which never enters an analysis: leave it out."
        )


def _measured(rows, scale, rho):
    """Gain, variance (NaN on the last rung) and flags."""
    climbed = arm_variances(rows)
    first, second = (pull_in(rows[f"{arm}_value"], rows["n_test"]) for arm in ("baseline", "ssl"))
    v_first, v_second = climbed["baseline_variance"], climbed["ssl_variance"]
    shared = np.sqrt(v_first * v_second)
    covariance = (rho * shared).where(climbed["shared_cases"], 0.0)
    implied = ((v_first + v_second - climbed["gain_variance"]) / 2).clip(-shared, shared)
    covariance = covariance.mask(climbed["gain_variance"].notna(), implied)
    alone = climbed["gain_variance"].notna() & v_first.isna()
    moved = (first != rows["baseline_value"]) | (second != rows["ssl_value"])
    notes = [climbed["flags"]]
    if scale == "difference":
        yi = rows["ssl_value"] - rows["baseline_value"]
        vi = climbed["gain_variance"].fillna(v_first + v_second - 2 * covariance)
    else:
        yi = logit(second) - logit(first)
        vi = pd.Series(logit_difference_variance(first, second, v_first, v_second, covariance), rows.index)
        middle = (first + second) / 2
        vi = vi.mask(alone, climbed["gain_variance"] / (middle * (1 - middle)) ** 2)
        notes += [_mark(alone, "logit_at_mean"), _mark(moved, "pulled_in")]
    columns = {"yi": yi, "vi": vi, "variance_origin": climbed["variance_origin"], "flags": join_flags(*notes)}
    return pd.DataFrame(columns, index=rows.index).join(rows[["metric", "modality", "task_type"]])


def _mark(mask, name):
    return pd.Series(np.where(mask, name, ""), index=mask.index, dtype=object)


@lru_cache
def _reference(scale, rho):
    """Measured variances of the package, from which medians are taken."""
    measured = _measured(published("all"), scale, rho)
    return measured[measured["vi"].notna()]


def _impute(measured, reference):
    levels = {
        "imputed_from_metric_and_modality": ["metric", "modality"],
        "imputed_from_metric": ["metric"],
        "imputed_from_task_type": ["task_type"],
    }
    vi, flags = measured["vi"], measured["flags"]
    for name, keys in levels.items():
        medians = reference.groupby(keys)["vi"].agg(["median", "size"])
        medians = medians.loc[medians["size"] >= LEAST_VALUES, "median"]
        found = measured[keys].join(medians, on=keys)["median"]
        flags = join_flags(flags, _mark(vi.isna() & found.notna(), name))
        vi = vi.fillna(found)
    flags = join_flags(flags, _mark(vi.isna(), "imputed_from_all"))
    return measured.assign(vi=vi.fillna(reference["vi"].median()), flags=flags)


def _describe(rows, filled):
    unlabelled = rows["n_pretrain_unlabelled"].mask(rows["pool"] == "natural_images")
    return filled[["yi", "vi", "variance_origin", "flags"]].assign(
        **rows[KEPT],
        comparator=rows["baseline_type"],
        family=rows["ssl_family"].replace("", "not_stated"),
        n_unlabelled=unlabelled,
        log10_label_ratio=np.log10(rows["n_labelled"] / unlabelled),
        log10_label_fraction=np.log10(rows["label_fraction"]),
        label=_labels(rows),
    )


def _labels(rows):
    initials = r" [A-Z]{1,3}$"
    years = rows["year"].map(lambda year: "" if np.isnan(year) else f" {year:.0f}")
    authors = rows["first_author"].str.replace(initials, "", regex=True) + years
    authors = authors.where(rows["first_author"] != "", rows["study_id"])
    task, method = (rows[name].map(lambda text: _shorten(text, 44)) for name in ("task", "ssl_method"))
    labelled = [_amount(*pair) for pair in zip(rows["n_labelled"], rows["label_fraction"], strict=True)]
    return authors + ", " + task + ", " + method + ", " + labelled


def _shorten(text, width):
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _amount(n, share):
    if not np.isnan(n):
        return f"{n:,.0f} labels"
    return "labels not stated" if np.isnan(share) else f"{share:.3g} of the labels"


def ladder_coverage(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Count effects by rung, modality and metric.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default those of the primary analysis.

    Returns
    -------
    DataFrame
        Rows (variance_origin, modality), every rung in the order of the ladder and every modality; one
        column a metric and `total`. The totals add up to the number of rows of `table`.

    Examples
    --------
    >>> ladder_coverage().loc["paired_ci", "total"].to_dict()
    {'xray': 30, 'ct': 8, 'mri': 0, 'ultrasound': 0}
    """
    found = effects(table)
    counts = pd.crosstab([found["variance_origin"], found["modality"]], found["metric"])
    rows = pd.MultiIndex.from_product(
        [RUNGS, ("xray", "ct", "mri", "ultrasound")], names=["variance_origin", "modality"]
    )
    counts = counts.reindex(rows, fill_value=0)
    return counts.assign(total=counts.sum(axis=1))
