"""What the evidence page shows: the comparisons with their effects, and the tables and words about them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from medssl.evidence import RUNGS, dispersion_coverage, effects, ladder_coverage, published, read_table
from medssl.evidence.tables import POOLS
from medssl.figures.style import display_name

__all__ = [
    "NAMES", "agreement_table", "candidate_table", "comparison_table", "comparisons", "dispersion_table",
    "map_table", "outcome_table", "read_agreement", "rung_table", "study_table",
]  # fmt: skip

MODALITIES = ("xray", "ct", "mri", "ultrasound")
NOT_STATED = "not stated"
CATEGORIES = {
    "modality": MODALITIES,
    "task_type": ("classification", "segmentation", "detection"),
    "family": ("contrastive", "noncontrastive", "generative", "predictive", "hybrid", NOT_STATED),
    "comparator": ("random", "imagenet_supervised", "other_supervised"),
    "access": ("yes", "no", NOT_STATED),
}
SHARES = {"at most 1%": 0.01, "over 1% to 10%": 0.1, "over 10% to 50%": 0.5, "over 50%, not all": 1 - 1e-9}
SHARES |= {"all labels": 1.0}
RATIOS = {
    "under 0.001": 1e-3,
    "0.001 to 0.01": 1e-2,
    "0.01 to 0.1": 1e-1,
    "0.1 to 1": 1.0,
    "1 and more": np.inf,
}
NAMES = {
    "task_type": "Task", "family": "Family of methods", "comparator": "Comparator",
    "access": "Images of the task", "share": "Share of labels", "ratio": "Label ratio",
    "yes": "public", "no": "private", "random": "random weights",
    "imagenet_supervised": "ImageNet weights", "other_supervised": "other supervised",
}  # fmt: skip
RUNG_WORDS = {
    "paired_ci": "a printed interval or error of the gain itself",
    "runs": "deviations over runs or folds of both arms",
    "test_ci": "intervals or errors over test cases of both arms",
    "hanley_mcneil": "AUC and the number of test cases",
    "binomial": "accuracy and the number of test cases",
    "dice_quadratic": "Dice and the number of test cases",
    "imputed": "nothing known: the median of comparable rows",
}
RUNG_NAMES = {
    "paired_ci": "printed for the gain", "test_ci": "test cases", "hanley_mcneil": "AUC and cases",
    "binomial": "accuracy and cases", "dice_quadratic": "Dice and cases",
}  # fmt: skip
OVER_WORDS = {"test_bootstrap": "bootstrap of the test set", "cases": "test cases", "unknown": NOT_STATED}
POOL_WORDS = {"natural_images": "natural images"}
_AGREED = re.compile(r"(?P<agreed>\d+)/(?P<read>\d+) = \S+ \((?P<low>[\d.]+) to (?P<high>[\d.]+)\)")


def comparisons() -> pd.DataFrame:
    """Return every published comparison, of all pools, with its gain, variance and label ratio.

    Returns
    -------
    DataFrame
        The columns of `medssl.evidence.published`, and `gain`, `vi`, `variance_origin`, `label_ratio`,
        `comparator` and `family`; rows of the pool excluded have no variance.

    Examples
    --------
    >>> rows = comparisons()
    >>> bool(rows["effect_id"].is_unique), bool((rows["label_ratio"].dropna() > 0).all())
    (True, True)
    """
    rows = published(POOLS)
    found = effects(published("all")).set_index("effect_id")
    joined = rows.join(found[["vi", "variance_origin", "n_unlabelled"]], on="effect_id")
    return joined.assign(
        gain=rows["ssl_value"] - rows["baseline_value"],
        label_ratio=rows["n_labelled"] / joined["n_unlabelled"],
        comparator=rows["baseline_type"],
        family=rows["ssl_family"].replace("", NOT_STATED),
        access=rows["public_data"].replace("", NOT_STATED),
    )


def map_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons that may be analysed, with categories that keep their order and their gaps.

    Parameters
    ----------
    rows : DataFrame
        What `comparisons` returned.

    Examples
    --------
    >>> table = map_table(comparisons())
    >>> table["modality"].cat.categories.tolist()
    ['xray', 'ct', 'mri', 'ultrasound']
    """
    kept = rows[rows["pool"] != "excluded"]
    share = _binned(kept["label_fraction"], SHARES)
    share = share.fillna(kept["n_labelled"].notna().map({True: "a count only", False: NOT_STATED}))
    ratio = _binned(kept["label_ratio"], RATIOS).fillna("unknown")
    columns = {name: pd.Categorical(kept[name], values) for name, values in CATEGORIES.items()}
    columns["share"] = pd.Categorical(share, [*SHARES, "a count only", NOT_STATED])
    columns["ratio"] = pd.Categorical(ratio, [*RATIOS, "unknown"])
    return kept.assign(**columns)


def _binned(values: pd.Series, limits: dict[str, float]) -> pd.Series:
    """Name the interval of each value: fractions include their upper limit, ratios their lower one."""
    edges = [0.0, *limits.values()]
    return pd.cut(values, edges, labels=list(limits), right=edges[-1] == 1.0).astype(object)


def outcome_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Count studies, clusters, comparisons, losses and ties by pool and comparator, without excluded rows."""
    kept = rows[rows["pool"] != "excluded"]
    kept = kept.assign(loss=kept["gain"] < 0, tie=kept["gain"] == 0)
    counts = kept.groupby(["pool", "comparator"], as_index=False).agg(
        studies=("study_id", "nunique"),
        clusters=("cluster_id", "nunique"),
        comparisons=("effect_id", "size"),
        losses=("loss", "sum"),
        ties=("tie", "sum"),
    )
    names = {"pool": counts["pool"].replace(POOL_WORDS), "comparator": counts["comparator"].map(NAMES)}
    return counts.assign(**names)


def comparison_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `comparisons` that a reader searches, with the headings of the page."""
    return pd.DataFrame(
        {
            "Study": rows["study_id"],
            "Modality": rows["modality"].map(display_name),
            "Task": rows["task"],
            "Method": rows["ssl_method"],
            "Comparator": rows["comparator"].map(NAMES),
            "Label ratio": rows["label_ratio"],
            "Gain": rows["gain"],
            "Standard error": np.sqrt(rows["vi"]),
            "Metric": rows["metric"].str.replace("_", " "),
            "Pretrained": rows["ssl_value"],
            "Compared": rows["baseline_value"],
            "Error from": rows["variance_origin"].replace(RUNG_NAMES),
            "Labels": rows["n_labelled"],
            "Share of labels": rows["label_fraction"],
            "Family": rows["family"],
            "Task type": rows["task_type"],
            "Data": rows["downstream_data"],
            "Pool": rows["pool"].replace(POOL_WORDS),
            "Read as": rows["extraction"].str.replace("_", " "),
            "Comparison": rows["effect_id"],
        }
    )


def study_table(rows: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """Return one row a study: what it is, its number of comparisons, its risk of bias and why."""
    groups = rows.groupby("study_id")
    table = groups.agg(
        first_author=("first_author", "first"),
        year=("year", "first"),
        title=("title", "first"),
        identifier=("doi_or_arxiv", "first"),
        cluster=("cluster_id", "first"),
        modality=("modality", lambda values: ", ".join(map(display_name, sorted(set(values))))),
        comparisons=("effect_id", "size"),
    )
    table["year"] = table["year"].map(lambda year: "" if pd.isna(year) else f"{year:.0f}")
    judged = judged.set_index("study_id")[["overall", "reasons"]]
    judged = judged.rename(columns={"overall": "risk of bias", "reasons": "why"})
    named = table.join(judged).reset_index(names="study")
    return named.rename(columns=lambda name: name.replace("_", " ").capitalize())


def candidate_table() -> pd.DataFrame:
    """Return the candidate studies from which no effect could be taken, as the list has them.

    Examples
    --------
    >>> len(candidate_table()) < len(read_table("studies"))
    True
    """
    listed = read_table("studies")
    extracted = set(read_table("published_effects")["study_id"])
    without = listed[[not set(text.split("; ")) & extracted for text in listed["study_id"]]]
    return pd.DataFrame(
        {
            "Modality": without["modality"],
            "First author": without["first_author"],
            "Year": without["year"],
            "Title": without["title"],
            "Identifier": without["doi_or_arxiv"],
            "Details": np.where(without["provenance"].str.startswith("seen"), "seen", "recalled, not seen"),
        }
    )


def dispersion_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Count printed dispersions by kind and by what varies, the most frequent kind first."""
    coverage = dispersion_coverage(rows)
    over = coverage["over"].replace(OVER_WORDS).where(coverage["kind"] != "none", "")
    groups = coverage.assign(over=over).groupby(["kind", "over"], sort=False)
    counts = groups[["cells", "distinct_texts"]].sum().sort_values("cells", ascending=False).reset_index()
    share = (100 * counts["cells"] / counts["cells"].sum()).map("{:.1f}".format)
    counts = counts.assign(share=share).rename(
        columns={"kind": "printed", "distinct_texts": "different texts"}
    )
    return counts.rename(columns={"cells": "arms", "share": "% of arms"})


def rung_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Count effects by the origin of their variance, the most direct first, and by modality."""
    totals = ladder_coverage(rows)["total"].unstack().reindex(index=RUNGS, columns=MODALITIES)
    shown = totals.rename(columns=display_name).assign(all=totals.sum(axis=1))
    shown["% of effects"] = (100 * shown["all"] / shown["all"].sum()).map("{:.1f}".format)
    shown.insert(0, "variance from", [RUNG_WORDS.get(name, name) for name in shown.index])
    return shown.reset_index(drop=True).rename_axis(columns=None)


def read_agreement(path: str | Path) -> pd.DataFrame:
    """Read the table of agreement from the notes on the second reading.

    Parameters
    ----------
    path : str or Path
        The notes: a Markdown table whose last column counts all rows, as ``72/72 = 100.0% (95.0 to 100.0)``.

    Returns
    -------
    DataFrame
        `field`, `agreed`, `read`, and `low` and `high`, the exact binomial 95% interval in percent.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        match = _AGREED.fullmatch(cells[-1])
        if match and len(cells) > 2:
            counts = {name: float(value) for name, value in match.groupdict().items()}
            found.append({"field": cells[0], **counts})
    return pd.DataFrame(found).astype({"agreed": int, "read": int})


def agreement_table(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return what `read_agreement` read as text for the page."""
    interval = [f"{row.low:g} to {row.high:g}" for row in agreement.itertuples()]
    percent = (100 * agreement["agreed"] / agreement["read"]).map("{:.1f}".format)
    fields = agreement["field"].replace({"ALL": "all cells"})
    table = agreement.assign(field=fields, percent=percent, interval=interval)[
        ["field", "agreed", "read", "percent", "interval"]
    ]
    return table.rename(columns={"interval": "exact 95% interval"})
