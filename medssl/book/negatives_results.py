"""The numbers that the page on losses quotes, with what they mean in words."""

import numpy as np
import pandas as pd

from medssl.book.negatives_page import (
    chance_words,
    gain_words,
    in_words,
    named,
    percent,
    points,
    range_words,
)
from medssl.book.results import Results
from medssl.evidence import MINIMAL_GAIN

__all__ = [
    "report_chance",
    "report_direction",
    "report_expectation",
    "report_holders",
    "report_regression",
    "report_share",
    "report_sizes",
]


def report_share(results: Results, key: str, row, *, cell: str) -> None:
    """Add counts and shares of one row of `shares`: `key_losses`, `key_share`, `key_mean` and so on."""
    for name in ("losses", "effects", "ties", "clusters", "clusters_with_loss"):
        results.add(f"{key}_{name}", int(row[name]), cell=cell)
    without = int(row["clusters"] - row["clusters_with_loss"])
    results.add(f"{key}_clusters_without", without, cell=cell)
    results.add(f"{key}_share", float(row["share_rows"]), text=percent(row["share_rows"]), cell=cell)
    limits = f" (95% CI {range_words(row['ci_low'], row['ci_high'])})" if np.isfinite(row["ci_low"]) else ""
    text = f"{percent(row['share_clusters'])}{limits}"
    results.add(f"{key}_mean", float(row["share_clusters"]), text=text, cell=cell)


def report_sizes(results: Results, table: pd.DataFrame, levels: dict[str, str], *, cell: str) -> None:
    """Add `loss_size_<key>_...` for the levels that `levels` maps to keys, and the minimal gain."""
    results.add("loss_minimal_gain", MINIMAL_GAIN, cell=cell)
    for level, key in levels.items():
        row = table.set_index("level").loc[level]
        for name in ("median_loss", "largest_loss", "median_gain"):
            results.add(f"loss_size_{key}_{name}", float(row[name]), text=gain_words(row[name]), cell=cell)
        for name in ("share_beyond", "share_gains_beyond"):
            results.add(f"loss_size_{key}_{name}", float(row[name]), text=percent(row[name]), cell=cell)
        results.add(f"loss_size_{key}_losses", int(row["losses"]), cell=cell)


def report_regression(results: Results, found, key: str, *, cell: str) -> None:
    """Add `key_effects`, `key_clusters`, `key_outside`, `key_merged`, and in words what is clear.

    `key_more` and `key_fewer` list the terms that go with more and with fewer losses, their interval apart
    from 0 and their degrees of freedom enough; `key_thin` counts the terms that are too thin to trust, and
    `key_<number>` says what each numeric variable does.
    """
    results.add(f"{key}_effects", len(found.rows), cell=cell)
    results.add(f"{key}_clusters", found.clusters, cell=cell)
    results.add(f"{key}_outside", found.outside, text=percent(found.outside), cell=cell)
    results.add(f"{key}_merged", None, text=in_words(found.reason) or "nothing", cell=cell)
    terms = found.coefficients[found.coefficients["name"] != "intercept"]
    results.add(f"{key}_terms", len(terms), cell=cell)
    results.add(f"{key}_thin", int(terms["thin"].sum()), text=_count(terms["thin"].sum()), cell=cell)
    sound = terms[~terms["thin"]]
    for name, part in (("more", sound[sound["ci_low"] > 0]), ("fewer", sound[sound["ci_high"] < 0])):
        words = "; ".join(_term(row) for _, row in part.iterrows()) or "none"
        results.add(f"{key}_{name}", len(part), text=words, cell=cell)
    for _, row in terms[terms["name"].str.startswith("log10_")].iterrows():
        word = "more" if row["ci_low"] > 0 else "fewer" if row["ci_high"] < 0 else None
        text = f"{word} losses" if word else "no clear change of losses"
        limits = f"{points(row['change'])} points, 95% CI {points(row['ci_low'])} to {points(row['ci_high'])}"
        name = row["name"].removeprefix("log10_")
        results.add(f"{key}_{name}", float(row["change"]), text=f"{text} ({limits})", cell=cell)


def _term(row) -> str:
    limits = f"{points(row['change'])} points, 95% CI {points(row['ci_low'])} to {points(row['ci_high'])}"
    return f"{named(row['name'])} ({limits})"


def _count(value) -> str:
    return f"{int(value)}" if value else "none"


def report_expectation(results: Results, key: str, row: dict, *, cell: str) -> None:
    """Add what one row of `expected_losses` says: shares, the range, and where the observed share lies."""
    for name in ("observed", "sampling", "expected", "true", "new"):
        results.add(f"{key}_{name}", row[name], text=percent(row[name]), cell=cell)
    results.add(f"{key}_range", None, text=range_words(row["low"], row["high"]), cell=cell)
    below, above = row["observed"] < row["low"], row["observed"] > row["high"]
    place = "below" if below else "above" if above else "inside"
    results.add(f"{key}_place", None, text=place, cell=cell)
    explains = "could explain" if row["observed"] <= row["sampling_high"] else "does not explain"
    results.add(f"{key}_sampling_high", row["sampling_high"], text=percent(row["sampling_high"]), cell=cell)
    results.add(f"{key}_sampling_verdict", row["observed"], text=explains, cell=cell)
    results.add(f"{key}_as_few", row["as_few"], text=percent(row["as_few"]), cell=cell)


def report_chance(results: Results, table: pd.DataFrame, *, cell: str) -> None:
    """Add `loss_clear_<basis>_...`: counts on each side, what chance makes, and whether there are more."""
    for _, row in table.iterrows():
        key = f"loss_clear_{row['basis']}"
        names = ("effects", "clusters", "losses", "below", "below_clusters", "below_minimal", "above")
        for name in (*names, "above_minimal"):
            results.add(f"{key}_{name}", int(row[name]), cell=cell)
        for name in ("chance", "minimal"):
            results.add(f"{key}_{name}_expected", None, text=chance_words(row, name), cell=cell)
        cluster = f"{row['cluster_low']:.0f} to {row['cluster_high']:.0f}"
        results.add(f"{key}_cluster_range", None, text=cluster, cell=cell)
        high = float(row["cluster_high"])
        results.add(f"{key}_cluster_high", high, text=f"{high:.0f}", cell=cell)
        for name, high in (("verdict", "chance_high"), ("cluster_verdict", "cluster_high")):
            word = "more than" if row["below"] > row[high] else "no more than"
            results.add(f"{key}_{name}", None, text=word, cell=cell)


def report_holders(results: Results, table: pd.DataFrame, key: str, *, cell: str) -> None:
    """Add how many levels hold half of the losses, `key_half`, and what the first holds, `key_first`."""
    half = int((table["cumulative"] < 0.5).sum()) + 1
    results.add(f"{key}_half", half, cell=cell)
    first = table.iloc[0]
    share = float(first["share_of_losses"])
    results.add(f"{key}_first_share", share, text=percent(share), cell=cell)
    results.add(f"{key}_first", int(first["losses"]), cell=cell)


def report_direction(results: Results, table: pd.DataFrame, key: str, *, cell: str) -> None:
    """Add how many strata there are, were fitted, and point each way: `key_larger`, `key_smaller`."""
    results.add(f"{key}_strata", len(table), cell=cell)
    fitted = table[table["direction"] != "too few clusters"]
    results.add(f"{key}_fitted", len(fitted), cell=cell)
    for way in ("larger", "smaller"):
        count = int((fitted["direction"] == way).sum())
        results.add(f"{key}_{way}", count, text=_count(count), cell=cell)
