"""Gains that a study prints with an interval of their own, and the rows to which they belong."""

import pandas as pd

from medssl.evidence.tables import published, read_table

__all__ = ["PAIRED_KEY", "match_paired_gains", "paired_gains"]

PAIRED_KEY = [
    "study_id", "task", "downstream_data", "architecture", "label_fraction", "metric", "baseline_type",
]  # fmt: skip


def paired_gains() -> pd.DataFrame:
    """Return the gains printed with a paired 95% interval, numbers as float.

    Examples
    --------
    >>> gains = paired_gains()
    >>> bool((gains["gain_lo95"] < gains["gain_hi95"]).all())
    True
    """
    gains = read_table("paired_gains")
    numeric = ["label_fraction", "n_labelled", "gain", "gain_lo95", "gain_hi95"]
    return gains.assign(**{name: pd.to_numeric(gains[name]) for name in numeric})


def match_paired_gains(table: pd.DataFrame | None = None, gains: pd.DataFrame | None = None) -> pd.DataFrame:
    """Say to which row each printed paired gain belongs.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default every row but the excluded ones.
    gains : DataFrame, optional
        As `paired_gains` returns them.

    Returns
    -------
    DataFrame
        The gains with `matches` (how many rows share study, task, data, architecture, label fraction,
        metric and comparator), `effect_id` ("" unless there is exactly one) and `status`: "matched",
        "ambiguous" or "missing". Nothing is guessed: only a matched gain lends its interval to a row.

    Examples
    --------
    >>> match_paired_gains()["status"].value_counts().to_dict()
    {'matched': 60}
    """
    rows = published("all") if table is None else table
    gains = paired_gains() if gains is None else gains
    found = rows.groupby(PAIRED_KEY)["effect_id"].agg(["size", "first"])
    keys = pd.MultiIndex.from_frame(gains[PAIRED_KEY])
    found = found.reindex(keys).set_axis(gains.index)
    matches = found["size"].fillna(0).astype(int)
    status = matches.map(lambda count: {0: "missing", 1: "matched"}.get(count, "ambiguous"))
    twice = gains.duplicated(PAIRED_KEY, keep=False) & (matches == 1)
    status = status.mask(twice, "ambiguous")
    return gains.assign(
        matches=matches, effect_id=found["first"].where(status == "matched", ""), status=status
    )
