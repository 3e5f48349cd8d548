"""A few numbers for each kind of comparison."""

import pandas as pd

__all__ = ["summary"]


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Count and describe comparisons by modality, metric and comparator.

    Parameters
    ----------
    rows : DataFrame
        As `medssl.evidence.published` returns them.

    Returns
    -------
    DataFrame
        `studies`, `clusters`, `effects`, `primary` (in the primary pool), `with_ratio` (both counts
        known), `gain_positive` (share of gains above 0) and `median_gain`, which weighs every row alike
        and is no pooled estimate. The counts of effects add up to the number of rows.

    Examples
    --------
    >>> from medssl.evidence import published
    >>> int(summary(published("all"))["effects"].sum())
    1789
    """
    gain = rows["ssl_value"] - rows["baseline_value"]
    known = rows["n_labelled"].notna() & rows["n_pretrain_unlabelled"].notna()
    extended = rows.assign(
        gain=gain, gain_positive=gain > 0, primary=rows["pool"] == "primary", with_ratio=known
    ).rename(columns={"baseline_type": "comparator"})
    groups = extended.groupby(["modality", "metric", "comparator"], sort=True)
    return groups.agg(
        studies=("study_id", "nunique"),
        clusters=("cluster_id", "nunique"),
        effects=("effect_id", "size"),
        primary=("primary", "sum"),
        with_ratio=("with_ratio", "sum"),
        gain_positive=("gain_positive", "mean"),
        median_gain=("gain", "median"),
    ).reset_index()
