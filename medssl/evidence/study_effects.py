"""Effects of the controlled study: one row for each design, with the seed as the unit of replication."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.records import pool_seeds

__all__ = [
    "FAMILIES",
    "STUDY_DESIGN",
    "crossed",
    "one_design",
    "select_runs",
    "study_effects",
    "thin_designs",
]

STUDY_DESIGN = [
    "dataset", "modality", "method", "comparator_kind", "pool", "pretrain_on", "adaptation", "selection",
    "n_labelled", "n_unlabelled",
]  # fmt: skip
NEEDED = [*STUDY_DESIGN, "seed", "subset", "gain", "standard_error", "n_test", "ssl", "comparator"]

# families as the published comparisons are coded: whether negatives are contrasted, what is predicted
FAMILIES = {
    "simclr": "contrastive", "moco": "contrastive", "barlow_twins": "noncontrastive",
    "byol": "noncontrastive", "masked_autoencoder": "generative", "models_genesis": "generative",
    "jigsaw": "predictive", "rotation": "predictive",
}  # fmt: skip


def study_effects(table: pd.DataFrame, **fixed) -> pd.DataFrame:
    """Average paired gains over seeds for each design of the study.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it.
    **fixed
        Columns and the value, or the list of values, that they must have; see `select_runs`.

    Returns
    -------
    DataFrame
        One row for each combination of `dataset`, `modality`, `method`, `comparator_kind`, `pool`,
        `pretrain_on`, `adaptation`, `selection`, `n_labelled` and `n_unlabelled` with at least two seeds:
        `yi`, `vi`, `seed_variance` and `case_variance` (the two components of `vi`), `seeds`, `replicates`
        (runs), `positive` (seeds with a gain above 0), `n_test`, `ssl` and `comparator` (mean scores),
        `family`, `log10_label_ratio`, `log10_pool` (of the share of the pool: 0 is all of it),
        `log10_label_fraction` (of all training images; NaN where no run had them all), `cluster_id` (the
        data set), `label`, `variance_origin`.

    Raises
    ------
    UsageError
        A column is absent, nothing fits `fixed`, two records of one run differ, no design has two seeds.

    Notes
    -----
    With G_s the mean gain of the runs of seed s, S seeds, and b_r the bootstrap error of run r,

        yi = mean(G_s),  vi = var(G_s) / S + mean over seeds of the mean of b_r ** 2 within the seed.

    Runs of a seed that differ in the labelled subset share an encoder, so they are averaged first.
    A subset that several seeds have in common makes their gains depend on each other; such runs are left
    out here, and `medssl.evidence.variation` is for them.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="ct", method="simclr", comparator_kind="random", pool=1.0,
    ...              pretrain_on=None, adaptation="fine_tune", selection="budget", n_labelled=10,
    ...              n_unlabelled=100, seed=seed, subset=subset, ssl=0.7 + gain, comparator=0.7, gain=gain,
    ...              standard_error=0.01, n_test=50)
    ...         for seed, subset, gain in [(1, None, 0.00), (1, 101, 0.04), (2, None, 0.06)]]
    >>> effects = study_effects(pd.DataFrame(rows), comparator_kind="random")
    >>> effects[["yi", "vi", "seeds", "replicates"]].round(6).values.tolist()
    [[0.04, 0.0005, 2.0, 3.0]]
    """
    pooled = _pooled(table, fixed)
    effects = pooled[pooled["seeds"] >= 2].reset_index(drop=True)
    if effects.empty:
        raise UsageError("no design has records of two seeds or more: run the study with more seeds.")
    return _describe(effects, table)


def thin_designs(table: pd.DataFrame, **fixed) -> pd.DataFrame:
    """Return the designs that `study_effects` leaves out because they have one seed only.

    Parameters
    ----------
    table, **fixed
        As for `study_effects`.

    Returns
    -------
    DataFrame
        The columns of the design, `seeds` and `replicates`; its length is the count to show.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="ct", method="simclr", comparator_kind="random", pool=1.0,
    ...              pretrain_on=None, adaptation="fine_tune", selection="budget", n_labelled=10,
    ...              n_unlabelled=100, seed=1, subset=None, ssl=0.7, comparator=0.7, gain=0.0,
    ...              standard_error=0.01, n_test=50)]
    >>> len(thin_designs(pd.DataFrame(rows)))
    1
    """
    pooled = _pooled(table, fixed)
    return pooled.loc[pooled["seeds"] < 2, [*STUDY_DESIGN, "seeds", "replicates"]].reset_index(drop=True)


def select_runs(table: pd.DataFrame, **fixed) -> pd.DataFrame:
    """Return the runs of the study that have the given values, each run once.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it.
    **fixed
        A column and its value, or a list of values; ``pretrain_on=None`` is pretraining on the own images,
        ``subset=None`` the subset that the seed drew.

    Returns
    -------
    DataFrame
        The rows, with `pretrain_on` filled by `dataset` where pretraining saw the own images. A record that
        repeats another one with corrupted test images is kept once.

    Raises
    ------
    UsageError
        A column is absent or unknown, no record is there or has the value, or two records of one run differ.

    Examples
    --------
    >>> select_runs(pd.DataFrame({"dataset": ["d"]}))
    Traceback (most recent call last):
    ...
    medssl.errors.UsageError: the table of records lacks modality, method, comparator_kind, pool, \
pretrain_on, adaptation, selection, n_labelled, n_unlabelled, seed, subset, gain, standard_error, n_test, \
ssl, comparator.
    """
    absent = [column for column in NEEDED if column not in table.columns]
    if absent:
        raise UsageError(f"the table of records lacks {', '.join(absent)}.")
    if table.empty:
        raise UsageError("the table holds no record: run the cells with medssl run study.")
    own = table["pretrain_on"].where(table["pretrain_on"].notna(), table["dataset"])
    runs = table.assign(pretrain_on=own.astype(str), subset=table["subset"].astype(float))
    for column, value in fixed.items():
        runs = _having(runs, column, value)
    return _once(runs)


def _having(runs, column, value):
    if column not in runs.columns:
        raise UsageError(f"the table of records has no column {column!r}; it has {', '.join(runs.columns)}.")
    if value is None:
        kept = runs[column] == runs["dataset"] if column == "pretrain_on" else runs[column].isna()
    else:
        kept = runs[column].isin(value if isinstance(value, list | tuple | set) else [value])
    if not kept.any():
        there = ", ".join(map(str, runs[column].drop_duplicates().sort_values())) or "no runs"
        raise UsageError(f"no run has {column} {value!r}; there are {there}.")
    return runs[kept]


def _once(runs):
    """Keep one record a run: the same cell may have been scored again on corrupted test images."""
    image = [column for column in ("corruption", "severity") if column in runs.columns]
    key = [*STUDY_DESIGN, *image, "seed", "subset"]
    repeated = runs.groupby(key, dropna=False)[["ssl", "comparator"]].transform(np.ptp)
    differs = (repeated > 1e-6).any(axis=1)
    if differs.any():
        row = runs[differs].iloc[0]
        raise UsageError(
            f"two records of {row['dataset']}, {row['method']}, {row['adaptation']}, {row['n_labelled']} "
            f"labels, seed {row['seed']} differ in their scores: keep the one whose cell is in the study."
        )
    return runs[~runs.duplicated(key)].reset_index(drop=True)


def crossed(runs: pd.DataFrame) -> pd.Series:
    """Return which runs have a labelled subset that another seed of the same design has too.

    Examples
    --------
    >>> runs = pd.DataFrame({name: [0] * 3 for name in STUDY_DESIGN})
    >>> crossed(runs.assign(seed=[1, 2, 1], subset=[201.0, 201.0, None])).tolist()
    [True, True, False]
    """
    groups = runs.groupby([*STUDY_DESIGN, "subset"], dropna=False)
    return runs["subset"].notna() & (groups["seed"].transform("nunique") > 1)


def one_design(runs: pd.DataFrame, varying: tuple[str, ...]) -> None:
    """Raise `UsageError` unless only the columns `varying` of the design vary.

    Examples
    --------
    >>> one_design(pd.DataFrame({name: [0, 0] for name in STUDY_DESIGN}), ())
    """
    for column in STUDY_DESIGN:
        values = runs[column].drop_duplicates()
        if column not in varying and len(values) > 1:
            raise UsageError(
                f"the runs differ in {column} ({', '.join(map(str, values))}): fix it, for example "
                f"{column}={values.iloc[0]!r}."
            )


def _pooled(table, fixed):
    runs = select_runs(table, **fixed)
    return pool_seeds(runs[~crossed(runs)], STUDY_DESIGN, ("ssl", "comparator"))


def _describe(effects, table):
    whole = table[(table["pool"] == 1) & table["pretrain_on"].isna()]
    images = effects["dataset"].map(whole.groupby("dataset")["n_unlabelled"].max())
    labels = [f"{row.dataset}, {row.method}, {row.n_labelled:,} labels" for row in effects.itertuples()]
    return effects.assign(
        vi=effects["seed_variance"] + effects["case_variance"],
        family=effects["method"].map(FAMILIES).fillna("not_stated"),
        log10_label_ratio=np.log10(effects["n_labelled"] / effects["n_unlabelled"]),
        log10_label_fraction=np.log10(effects["n_labelled"] / images),
        log10_pool=np.log10(effects["pool"]),
        cluster_id=effects["dataset"],
        label=labels,
        variance_origin="runs_and_paired_bootstrap",
    )
