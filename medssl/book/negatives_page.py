"""What the page on losses shows: its tables in words."""

import re

import numpy as np
import pandas as pd

from medssl.book.wording import signed
from medssl.synthesis.expect import COMPARATORS, MODALITIES

__all__ = [
    "chance_table",
    "direction_table",
    "expectation_table",
    "holder_list",
    "holder_table",
    "in_words",
    "joint_test_table",
    "named",
    "outcomes",
    "percent",
    "points",
    "range_words",
    "regression_table",
    "share_words",
    "size_table",
]

LEVELS = MODALITIES | COMPARATORS | {
    "noncontrastive": "non-contrastive", "not_stated": "not stated", "both_finetuned": "both arms fine-tuned",
    "both_frozen": "both arms frozen", "ssl_frozen_only": "only the pretrained arm frozen",
    "balanced_accuracy": "balanced accuracy", "PICAI_score": "PI-CAI score",
    "Dice_incl_background": "Dice with background",
}  # fmt: skip
TERMS = {
    "log10_label_ratio": "tenfold label ratio", "log10_n_labelled": "tenfold number of labels",
    "log10_label_fraction": "tenfold label fraction", "log10_n_unlabelled": "tenfold pool",
    "log10_n_test": "tenfold number of test cases", "baseline_value": "score of the comparator",
    "task_type": "task", "own_method": "methods that the authors test", "family": "family of methods",
}  # fmt: skip
WAYS = {
    "larger": "imprecise comparisons show larger gains",
    "smaller": "imprecise comparisons show smaller gains",
    "no clear direction": "no clear direction",
}  # fmt: skip


def percent(share: float) -> str:
    """Write a share in percent, with a decimal where it is small.

    Examples
    --------
    >>> percent(0.2301), percent(0.0123), percent(0.0), percent(float("nan"))
    ('23%', '1.2%', '0%', '')
    """
    if not np.isfinite(share):
        return ""
    return f"{100 * share:.1f}%" if 0 < share < 0.0995 else f"{100 * share:.0f}%"


def points(change: float) -> str:
    """Write a difference of shares in percentage points.

    Examples
    --------
    >>> points(-0.264), points(0.05)
    ('−26', '+5')
    """
    return "" if not np.isfinite(change) else signed(100 * change, 0)


def named(level: str) -> str:
    """Return a level, or a term of a regression with its level, in words.

    Examples
    --------
    >>> named("xray"), named("comparator: imagenet_supervised"), named("log10_n_labelled")
    ('X-ray', 'comparator: supervised ImageNet weights', 'tenfold number of labels')
    """
    factor, colon, rest = level.partition(": ")
    if colon:
        return f"{TERMS.get(factor, factor)}: {LEVELS.get(rest, rest)}"
    return TERMS.get(level, LEVELS.get(level, level))


def in_words(text: str) -> str:
    """Return a text in which the names of levels and variables are words.

    Examples
    --------
    >>> in_words("family: not_stated left out (3 comparisons)")
    'family of methods: not stated left out (3 comparisons)'
    """
    known = TERMS | {name: words for name, words in LEVELS.items() if "_" in name}
    return re.sub(r"\w+", lambda match: known.get(match[0], match[0]), text)


def range_words(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}" if np.isfinite(low) else ""


def outcomes(rows: pd.DataFrame, limits: pd.DataFrame) -> pd.Series:
    """Return for each comparison whether it was a loss, and whether its own interval says so.

    An imputed variance belongs to no comparison and says nothing of it.
    """
    clear = (limits["high"] < 0) & (rows["variance_origin"] != "imputed")
    words = np.select([clear, rows["loss"]], ["Loss, interval below zero", "Loss"], "Gain or tie")
    return pd.Series(words, index=rows.index)


def share_words(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `medssl.synthesis.negatives.shares` as text; factors become rows of their own."""
    if "factor" not in table:
        return _share_rows(table)
    parts = []
    for factor, part in table.groupby("factor", sort=False):
        rows = _share_rows(part)
        parts += [pd.DataFrame([[f"{factor}:", *[""] * (rows.shape[1] - 1)]], columns=rows.columns), rows]
    return pd.concat(parts, ignore_index=True)


def _share_rows(table: pd.DataFrame) -> pd.DataFrame:
    limits = zip(table["ci_low"], table["ci_high"], strict=True)
    shown = {
        "level": table["level"].map(named), "mean over clusters": table["share_clusters"].map(percent),
        "95% CI": [range_words(*pair) for pair in limits], "clusters": table["clusters"],
        "with a loss": table["clusters_with_loss"], "all": table["share_rows"].map(percent),
        "losses": table["losses"], "ties": table["ties"], "comparisons": table["effects"],
    }  # fmt: skip
    return pd.DataFrame(shown).astype(str)


def size_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `medssl.synthesis.negatives.sizes` as a page writes it."""
    return pd.DataFrame(
        {
            "metric": table["level"].map(named), "losses": table["losses"], "clusters": table["clusters"],
            "median loss": table["median_loss"].map(gain_words),
            "largest loss": table["largest_loss"].map(gain_words),
            "losses beyond minimal": table["share_beyond"].map(percent), "gains": table["gains"],
            "median gain": table["median_gain"].map(gain_words),
            "gains beyond minimal": table["share_gains_beyond"].map(percent),
        }
    )  # fmt: skip


def gain_words(value: float) -> str:
    return signed(value) if np.isfinite(value) else ""


def regression_table(coefficients: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients of a `LossRegression` in percentage points; thin ones are marked."""
    rows = coefficients[coefficients["name"] != "intercept"]
    limits = zip(rows["ci_low"], rows["ci_high"], strict=True)
    return pd.DataFrame(
        {
            "variable": rows["name"].map(named), "change in points": rows["change"].map(points),
            "95% CI": [f"{points(low)} to {points(high)}" for low, high in limits],
            "df": rows["df"].map("{:.1f}".format), "p": rows["p_value"].map(_p),
            "": np.where(rows["thin"], "thin", ""),
        }
    )  # fmt: skip


def joint_test_table(alone: pd.DataFrame, together: pd.DataFrame) -> pd.DataFrame:
    """Return the joint tests of each variable in a regression of its own, and beside all others."""
    joint = together.set_index("term").reindex(alone["term"])
    return pd.DataFrame(
        {
            "variable": alone["term"].map(named), "comparisons": alone["effects"],
            "clusters": alone["clusters"], "p alone": [_test(row) for _, row in alone.iterrows()],
            "p beside the others": [_test(row) for _, row in joint.iterrows()],
        }
    )  # fmt: skip


def _test(row) -> str:
    if not np.isfinite(row.get("df_num", np.nan)):
        return ""
    if not np.isfinite(row["p_value"]):
        return "too few clusters to test"
    return f"{_p(row['p_value'])} ({row['df_den']:.1f} df{', thin' if row['thin'] else ''})"


def _p(value: float) -> str:
    return "" if not np.isfinite(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def expectation_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `expected_losses`, with `metric` and `comparator`, as a page writes them."""
    rows = list(table.itertuples())
    return pd.DataFrame(
        {
            "metric": table["metric"],
            "against": table["comparator"].map(named),
            "clusters": table["clusters"],
            "observed": [_with(r.observed, percent(r.observed_clusters)) for r in rows],
            "sampling error": [_with(r.sampling, f"≤ {percent(r.sampling_high)}") for r in rows],
            "heterogeneity": [_with(r.expected, range_words(r.low, r.high)) for r in rows],
            "true gains": table["true"].map(percent),
            "new cluster": table["new"].map(percent),
        }
    )


def _with(share: float, more: str) -> str:
    return f"{percent(share)} ({more})" if np.isfinite(share) and more else percent(share)


def chance_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `clear_losses` as a page writes it, one column a basis."""
    columns = {}
    for _, row in table.iterrows():
        columns[f"{row['basis']} variance"] = {
            "comparisons": row["effects"], "losses": row["losses"], "interval below zero": row["below"],
            "clusters with such intervals": row["below_clusters"],
            "the same by chance": chance_words(row, "chance"),
            "the same if clusters share errors": f"{row['cluster_low']:.0f} to {row['cluster_high']:.0f}",
            "interval below minus the minimal gain": row["below_minimal"],
            "that by chance": chance_words(row, "minimal"), "interval above zero": row["above"],
            "interval above the minimal gain": row["above_minimal"],
        }  # fmt: skip
    return pd.DataFrame(columns).rename_axis("number of").reset_index()


def chance_words(row, name: str) -> str:
    mean = row["chance"] if name == "chance" else row["minimal_chance"]
    return f"{mean:.0f} ({row[f'{name}_low']:.0f} to {row[f'{name}_high']:.0f})"


def holder_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `holders` as a page writes it."""
    return pd.DataFrame(
        {
            "name": table["level"], "losses": table["losses"], "comparisons": table["effects"],
            "share": table["share_rows"].map(percent), "of all losses": table["share_of_losses"].map(percent),
            "median loss": table["median_loss"].map(gain_words), "clusters": table["clusters"],
        }
    )  # fmt: skip


def holder_list(table: pd.DataFrame, notes: pd.DataFrame, names: dict[str, str]) -> str:
    """Return clusters of `holders` as a list with what the notes say of each.

    Parameters
    ----------
    table : DataFrame
        What `medssl.synthesis.negatives.holders` returned for clusters.
    notes : DataFrame
        `cluster_id`, `note`, `place`.
    names : dict
        A readable name of each cluster.
    """
    known = notes.set_index("cluster_id")
    lines = []
    for row in table.itertuples():
        counts = f"{row.losses} of {row.effects} lost, {percent(row.share_of_losses)} of all losses, "
        counts += f"median {gain_words(row.median_loss)}"
        said = "The notes say nothing of it."
        if row.level in known.index:
            said = f"{known.note[row.level]} *({known.place[row.level]})*"
        lines.append(f"- **{names[row.level]}** (`{row.level}`): {counts}. {said}")
    return "\n".join(lines)


def direction_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted rows of `small_study_direction` as a page writes them."""
    rows = table[table["direction"] != "too few clusters"]
    limits = zip(rows["slope"], rows["ci_low"], rows["ci_high"], strict=True)
    texts = [f"{signed(slope, 2)} ({signed(low, 2)} to {signed(high, 2)})" for slope, low, high in limits]
    return pd.DataFrame(
        {
            "stratum": rows["name"], "clusters": rows["clusters"], "slope (95% CI)": texts,
            "df": rows["df"].map("{:.1f}".format), "p": rows["p_value"].map(_p),
            "direction": rows["direction"].map(WAYS),
        }
    )  # fmt: skip
