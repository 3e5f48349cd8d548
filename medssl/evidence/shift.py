"""Gains under shift: corrupted test images, and pretraining on the images of another modality."""

import numpy as np
import pandas as pd
from scipy.stats import t

from medssl.errors import UsageError
from medssl.evidence.records import pool_seeds
from medssl.evidence.study_effects import STUDY_DESIGN, crossed, select_runs

__all__ = ["corruption_gains", "source_gains"]

ARMS = ("ssl", "comparator")
CORRUPTED_DESIGN = [*STUDY_DESIGN, "corruption", "severity"]
CHANCE = 0.5  # the AUC of a model that knows nothing
PAIR = [name for name in STUDY_DESIGN if name not in ("pretrain_on", "n_unlabelled")]


def corruption_gains(records, level: float = 0.95, **fixed) -> pd.DataFrame:
    """Return gain, scores and drops of both arms on corrupted test images, averaged over seeds.

    Parameters
    ----------
    records : list of Record
        As `medssl.experiments.load_records` returns them; those without corrupted images are passed over.
    level : float
        Coverage of the interval of the difference of drops.
    **fixed
        Columns and their values, as in `medssl.evidence.select_runs`; also `corruption` and `severity`.

    Returns
    -------
    DataFrame
        One row a design, `corruption` and `severity`, with at least two seeds: `yi` (mean gain in AUC),
        `vi`, `seed_variance`, `case_variance`, `seeds`, `positive`, `n_test`, `replicates`; `ssl` and
        `comparator` (mean AUC), `ssl_clean` and `comparator_clean`; `ssl_drop` and `comparator_drop` (clean
        minus corrupted); `ssl_kept` and `comparator_kept` (corrupted over clean, both above chance);
        `robustness` (drop of the comparator minus that of the SSL arm, paired by seed: above 0 the pretrained
        arm loses less), with `robustness_low` and `robustness_high` (t over seeds, for these test images).

    Raises
    ------
    UsageError
        No record has corrupted images, none fits `fixed`, no design has two seeds.

    Notes
    -----
    A large test set is corrupted in part, while its clean score is of the whole; drops then hold that
    difference too, which is the same for both arms but for noise.

    Examples
    --------
    >>> corruption_gains([])
    Traceback (most recent call last):
    ...
    medssl.errors.UsageError: no record has corrupted test images: run the cells with corruptions=True.
    """
    runs = select_runs(_corrupted(records), **fixed)
    runs = runs[~crossed(runs)]
    drops = {f"{arm}_drop": runs[f"{arm}_clean"] - runs[arm] for arm in ARMS}
    runs = runs.assign(**drops, robustness=drops["comparator_drop"] - drops["ssl_drop"])
    averaged = (*ARMS, *(f"{arm}_clean" for arm in ARMS), *drops)
    pooled = pool_seeds(runs, CORRUPTED_DESIGN, averaged)
    effects = pooled[pooled["seeds"] >= 2].reset_index(drop=True)
    if effects.empty:
        raise UsageError("no design has corrupted images of two seeds or more: run it with more seeds.")
    kept = {f"{arm}_kept": (effects[arm] - CHANCE) / (effects[f"{arm}_clean"] - CHANCE) for arm in ARMS}
    effects = effects.assign(vi=effects["seed_variance"] + effects["case_variance"], **kept)
    paired = _over_seeds(runs, CORRUPTED_DESIGN, "robustness", level).drop(columns="seeds")
    return effects.merge(paired, on=CORRUPTED_DESIGN)


def _corrupted(records) -> pd.DataFrame:
    """Return one row a record and corruption, with the columns of `medssl.experiments.to_table`."""
    rows = [
        _run(r) | {
            "corruption": name.rpartition("-")[0], "severity": int(name.rpartition("-")[2]),
            "ssl": found.ssl, "comparator": found.comparator, "gain": found.ssl - found.comparator,
            "standard_error": found.standard_error, "ssl_clean": r.ssl.scores["auc"],
            "comparator_clean": r.comparator.scores["auc"],
        }
        for r in records for name, found in r.corrupted.items()
    ]  # fmt: skip
    if not rows:
        raise UsageError("no record has corrupted test images: run the cells with corruptions=True.")
    return pd.DataFrame(rows)


def _run(record):
    cell = record.cell
    return {
        "dataset": cell["dataset"], "modality": record.modality, "method": cell["pretrain"]["method"],
        "comparator_kind": cell.get("comparator", "random"), "pool": cell.get("pool", 1.0),
        "pretrain_on": cell.get("pretrain_on"), "adaptation": cell["transfer"]["adaptation"],
        "selection": cell["selection"]["validation"], "n_labelled": record.n_labelled,
        "n_unlabelled": record.n_unlabelled, "seed": cell["seed"], "subset": cell.get("subset"),
        "n_test": record.n_test,
    }  # fmt: skip


def source_gains(table: pd.DataFrame, level: float = 0.95, **fixed) -> pd.DataFrame:
    """Compare pretraining on another modality with pretraining on the own images, paired by seed.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it.
    level : float
        Coverage of the interval.
    **fixed
        Columns and their values, as in `medssl.evidence.select_runs`, but for `pretrain_on`.

    Returns
    -------
    DataFrame
        One row for each data set, method, comparator, protocol, label count and `pretrain_on` (another data
        set) with two seeds or more in common: `seeds`, `gain` and `gain_own` (means over these seeds),
        `difference` (``gain - gain_own``: above 0 the other images serve better), `difference_low`,
        `difference_high` (t over seeds, for these test images).

    Raises
    ------
    UsageError
        Nothing fits `fixed`, or no two seeds have both.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="ct", method="simclr", comparator_kind="random", pool=1.0,
    ...              pretrain_on=source, adaptation="fine_tune", selection="budget", n_labelled=10,
    ...              n_unlabelled=100, seed=seed, subset=None, ssl=0.7, comparator=0.7, gain=gain,
    ...              standard_error=0.01, n_test=50)
    ...         for seed, source, gain in [(1, None, 0.0), (2, None, 0.1), (1, "e", 0.1), (2, "e", 0.3)]]
    >>> source_gains(pd.DataFrame(rows))[["gain", "gain_own", "difference"]].round(3).values.tolist()
    [[0.2, 0.05, 0.15]]
    """
    runs = select_runs(table, **fixed)
    own = runs["pretrain_on"] == runs["dataset"]
    key = [*PAIR, "seed", "subset"]
    pairs = runs[~own].merge(runs.loc[own, [*key, "gain"]], on=key, suffixes=("", "_own"))
    pairs = pairs.assign(difference=pairs["gain"] - pairs["gain_own"])
    design, gains = [*PAIR, "pretrain_on"], ["gain", "gain_own"]
    found = _over_seeds(pairs, design, "difference", level)
    found = found[found["seeds"] >= 2]
    if found.empty:
        raise UsageError("no two seeds were pretrained both on another data set and on the own images.")
    means = _seed_means(pairs, design, gains).groupby(design)[gains].mean().reset_index()
    limits = found.drop(columns="seeds")
    return found[[*design, "seeds"]].merge(means, on=design).merge(limits, on=design)


def _seed_means(runs, design, columns):
    return runs.groupby([*design, "seed"])[columns].mean().reset_index()


def _over_seeds(runs, design, column, level):
    """Return the mean over seeds of `column` and its t interval; NaN limits for a single seed."""
    groups = _seed_means(runs, design, [column]).groupby(design)[column]
    table = groups.agg(["mean", "std", "size"]).reset_index()
    half = t.isf((1 - level) / 2, np.maximum(table["size"] - 1, 1)) * table["std"] / np.sqrt(table["size"])
    limits = {f"{column}_low": table["mean"] - half, f"{column}_high": table["mean"] + half}
    return table[design].assign(**{column: table["mean"]}, **limits, seeds=table["size"])
