"""From candidate studies to the primary analysis: counts that cannot differ from the tables."""

import pandas as pd

from medssl.evidence.tables import POOLS, read_table

__all__ = ["flow"]

BLANK = ""
OUT = {
    "excluded": "excluded",
    "natural_images": "analysed apart",
    "sensitivity": "sensitivity analyses only",
}


def flow() -> pd.DataFrame:
    """Count studies, clusters and effects along the way into the analysis, after PRISMA 2020.

    Returns
    -------
    DataFrame
        `stage`, `reason`, `studies`, `clusters`, `effects`, in reading order; counts are missing where
        they do not apply. A candidate study is a line of `studies.csv`; a line may describe two
        tables of effects, and an extracted study may be absent from the candidates, so both numbers are
        given. `studies` of later stages are not disjoint: a study may have effects in several pools.

    Notes
    -----
    Page et al. (2021), BMJ 372:n71, give the stages. The candidates were collected by hand, not by a
    registered search, so there is no count of screened records.

    Examples
    --------
    >>> steps = flow()
    >>> int(steps.loc[steps["stage"] == "effects extracted", "effects"].iloc[0])
    1796
    """
    effects = read_table("published_effects")
    rows = [*_candidates(effects), _count("effects extracted", BLANK, effects)]
    for pool in reversed(POOLS[1:]):
        part = effects[effects["pool"] == pool]
        for reason, group in part.groupby("pool_reason"):
            rows.append(_count(OUT[pool], reason, group))
    primary = effects[effects["pool"] == "primary"]
    rows.append(_count("primary pool", BLANK, primary))
    for kind, group in primary[primary["supervision"] != "self"].groupby("supervision"):
        rows.append(
            _count("left out of the primary analysis", f"supervision by {kind.replace('_', ' ')}", group)
        )
    rows.append(_count("primary analysis", BLANK, primary[primary["supervision"] == "self"]))
    columns = ["stage", "reason", "studies", "clusters", "effects"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], "Int64"))


def _count(stage, reason, effects):
    return stage, reason, effects["study_id"].nunique(), effects["cluster_id"].nunique(), len(effects)


def _candidates(effects):
    extracted = set(effects["study_id"])
    named = [set(text.split("; ")) - {""} for text in read_table("studies")["study_id"]]
    yield "candidate studies", BLANK, len(named), None, None
    without = pd.Series([_why_not(names) for names in named if not names & extracted], dtype=object)
    for reason, count in without.value_counts().items():
        yield "candidates without effects", reason, count, None, None
    kept = [names for names in named if names & extracted]
    yield "candidates with effects", BLANK, len(kept), None, None
    found = extracted - set.union(*kept)
    part = effects[effects["study_id"].isin(found)]
    yield _count("found while extracting", "not among the candidates", part)


def _why_not(names):
    if names & set(read_table("gain_only")["study_id"]):
        return "only a gain is printed, without the scores"
    if names & set(read_table("unmatched")["study_id"]):
        return "the arms have different numbers of labels"
    return "no matched values could be read"
