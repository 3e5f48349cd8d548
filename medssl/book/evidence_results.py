"""The numbers that the evidence page quotes."""

import pandas as pd

from medssl.book.results import Results
from medssl.evidence import read_table
from medssl.figures.style import display_name

__all__ = [
    "report_agreement", "report_bias", "report_comparisons", "report_flow", "report_gaps",
    "report_suspicious", "report_variances",
]  # fmt: skip


def _add(results: Results, counts: dict, cell: str) -> None:
    for key, value in counts.items():
        results.add(key, int(value), text=f"{value:,}" if value else "none", cell=cell)


def _percent(results: Results, key: str, part: int, whole: int, cell: str) -> None:
    results.add(key, 100 * part / whole, text=f"{100 * part / whole:.0f}%", cell=cell)


def report_flow(results: Results, steps: pd.DataFrame, *, cell: str) -> None:
    """Add the counts of candidates, studies, clusters and effects of `medssl.evidence.flow`."""
    listed = read_table("studies")
    studies = steps.groupby("stage", sort=False)["studies"].sum()
    seen = listed["provenance"].str.startswith("seen").sum()
    counts = {"candidates": len(listed), "candidates_seen": seen, "candidates_recalled": len(listed) - seen}
    counts["candidates_without"] = studies["candidates without effects"]
    counts["candidates_with"] = studies["candidates with effects"]
    counts["found_later"] = studies["found while extracting"]
    for stage, prefix in (
        ("effects extracted", "all"),
        ("primary pool", "pool"),
        ("primary analysis", "primary"),
    ):
        row = steps[steps["stage"] == stage].iloc[0]
        counts |= {f"{prefix}_{name}": row[name] for name in ("studies", "clusters", "effects")}
    counts["gain_only"] = len(read_table("gain_only"))
    counts["unmatched"] = len(read_table("unmatched"))
    _add(results, counts, cell)
    _percent(results, "primary_share", counts["primary_effects"], counts["all_effects"], cell)


def report_comparisons(results: Results, rows: pd.DataFrame, *, cell: str) -> None:
    """Add how many comparisons are losses, how they were read, and how many have a label ratio."""
    kept = rows[rows["pool"] != "excluded"]
    primary = kept[(kept["pool"] == "primary") & (kept["supervision"] == "self")]
    losses = int((kept["gain"] < 0).sum())
    counts = {
        "kept_effects": len(kept),
        "losses": losses,
        "ties": (kept["gain"] == 0).sum(),
        "primary_losses": (primary["gain"] < 0).sum(),
        "primary_ratio": primary["label_ratio"].notna().sum(),
        "digitised": (kept["extraction"] == "digitised").sum(),
        "second_hand": (kept["extraction"] == "second_hand").sum(),
        "random_comparators": (primary["comparator"] == "random").sum(),
        "imagenet_comparators": (primary["comparator"] == "imagenet_supervised").sum(),
    }
    _add(results, counts, cell)
    _percent(results, "loss_share", losses, len(kept), cell)
    sizes = primary["cluster_id"].value_counts()
    results.add("largest_cluster", int(sizes.iloc[0]), text=f"{sizes.iloc[0]:,}", cell=cell)
    _percent(results, "largest_cluster_share", sizes.iloc[0], len(primary), cell)
    clusters = primary.groupby("modality")["cluster_id"].nunique().sort_values()
    words = f"{display_name(clusters.index[0])} ({clusters.iloc[0]})"
    results.add("fewest_clusters", int(clusters.iloc[0]), text=words, cell=cell)


def report_gaps(results: Results, data: pd.DataFrame, *, cell: str) -> None:
    """Add how many cells of an evidence map are empty, or rest on a single cluster."""
    cells = data[data["layer"].isin(["cell", "empty"])]
    counts = {"map_cells": len(cells), "map_empty": (cells["layer"] == "empty").sum()}
    counts["map_single"] = (cells["clusters"] == 1).sum()
    _add(results, counts, cell)


def report_variances(results: Results, dispersions: pd.DataFrame, rungs: pd.DataFrame, *, cell: str) -> None:
    """Add the shares of arms without a dispersion, and of effects by the origin of their variance.

    Parameters
    ----------
    dispersions, rungs : DataFrame
        What `medssl.evidence.dispersion_coverage` and `ladder_coverage` returned for the same rows.
    """
    kinds = dispersions.groupby("kind")["cells"].sum()
    unclear = {"not understood", "none"}
    meant = dispersions[~dispersions["kind"].isin(unclear) & (dispersions["over"] == "unknown")][
        "cells"
    ].sum()
    totals = rungs["total"].groupby(level=0).sum()
    _percent(results, "no_dispersion_share", kinds.get("none", 0), kinds.sum(), cell)
    _percent(results, "imputed_share", totals["imputed"], totals.sum(), cell)
    _percent(results, "runs_share", totals["runs"], totals.sum(), cell)
    computed = totals[["hanley_mcneil", "binomial", "dice_quadratic"]].sum()
    _percent(results, "computed_share", computed, totals.sum(), cell)
    counts = {"unknown_meaning": meant, "not_understood": kinds.get("not understood", 0)}
    _add(
        results, counts | {"paired_effects": totals["paired_ci"], "imputed_effects": totals["imputed"]}, cell
    )


def report_agreement(results: Results, agreement: pd.DataFrame, *, cell: str) -> None:
    """Add how far a second reading agreed with the first, and how much was corrected since."""
    fields = agreement.set_index("field")
    values = fields.loc[["ssl_value", "baseline_value"]]
    results.add("read_again", int(values["read"].max()), cell=cell)
    results.add("values_read_again", int(values["read"].sum()), cell=cell)
    results.add("values_agreed", int(values["agreed"].sum()), cell=cell)
    results.add(
        "value_agreement_low", float(values["low"].min()), text=f"{values['low'].min():g}%", cell=cell
    )
    coded = fields.loc[["metric", "baseline_type"]]
    lowest = coded.sort_values("agreed").iloc[0]
    results.add(
        "coding_agreed", int(lowest["agreed"]), text=f"{lowest.agreed:.0f} of {lowest['read']:.0f}", cell=cell
    )
    results.add(
        "coding_low", float(lowest["low"]), text=f"{lowest['low']:g}% to {lowest['high']:g}%", cell=cell
    )
    corrections = read_table("corrections")
    _add(results, {"corrections": len(corrections), "corrected": corrections["effect_id"].nunique()}, cell)


def report_bias(results: Results, judged: pd.DataFrame, *, cell: str) -> None:
    """Add the number of studies by overall judgement, and of the judgements that the page speaks of."""
    counts = {
        f"bias_{level}": (judged["overall"] == level).sum() for level in ("low", "some", "high", "unclear")
    }
    counts["judged"] = len(judged)
    counts["choice_unclear"] = (judged["chosen_on_test"] == "unclear").sum()
    counts["seen_doubtful"] = judged["test_images_seen"].isin(["some", "high"]).sum()
    counts["seen_unclear"] = (judged["test_images_seen"] == "unclear").sum()
    counts["sponsored"] = judged["sponsor_evaluates"].isin(["some", "high"]).sum()
    counts["judged_by_hand"] = len(read_table("risk_of_bias_manual"))
    _add(results, counts, cell)


def report_suspicious(results: Results, found: pd.DataFrame, *, cell: str) -> None:
    """Add the number of findings, and of the comparisons that have any."""
    counts = {"findings": len(found), "suspicious_rows": found["effect_id"].nunique()}
    primary = found[found["pool"] == "primary"]
    counts["suspicious_primary"] = primary["effect_id"].nunique()
    chance = found[found["check"] == "near_chance"]
    counts |= {
        "near_chance": chance["effect_id"].nunique(),
        "inherited": (found["check"] == "inherited").sum(),
    }
    _add(results, counts, cell)
