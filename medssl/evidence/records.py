"""Effects from our own records: one row for each method, adaptation and label count."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError

__all__ = ["from_records", "pool_seeds"]

DESIGN = ["dataset", "modality", "method", "adaptation", "selection", "n_labelled", "n_unlabelled"]
NEEDED = [*DESIGN, "seed", "gain", "standard_error", "n_test"]


def from_records(table: pd.DataFrame) -> pd.DataFrame:
    """Average paired gains over seeds and join the two components of their variance.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it; gains on the 0..1 scale.

    Returns
    -------
    DataFrame
        One row for each design with at least two seeds: `yi` (mean gain), `vi` (its variance),
        `seed_variance` and `case_variance` (the two components of `vi`), `seeds`, `positive` (seeds
        with a gain above 0), `log10_label_ratio`, `log10_label_fraction`, `cluster_id`, `label`,
        `variance_origin`.

    Raises
    ------
    UsageError
        A column is absent, a seed occurs twice in a design, or no design has two seeds.

    Notes
    -----
    With gains g_s over S seeds, each with bootstrap error b_s over test cases,

        yi = mean(g_s),  vi = var(g_s) / S + mean(b_s ** 2).

    Seeds vary the label subset, the weights and the order; they share the test images, so the second
    term does not shrink with S. Taking it whole errs on the side of wide intervals, because the gains
    of different seeds are not perfectly correlated over cases.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="xray", method="simclr", adaptation="fine_tune",
    ...              selection="budget", n_labelled=10, n_unlabelled=100, seed=seed, gain=gain,
    ...              standard_error=0.01, n_test=50) for seed, gain in [(1, 0.02), (2, 0.04)]]
    >>> effects = from_records(pd.DataFrame(rows))
    >>> float(effects.yi[0].round(3)), float(effects.vi[0].round(6)), float(effects.log10_label_ratio[0])
    (0.03, 0.0002, -1.0)
    """
    _check(table)
    effects = pool_seeds(table, DESIGN).drop(columns="replicates")
    effects = effects[effects["seeds"] >= 2].reset_index(drop=True)
    if effects.empty:
        raise UsageError("no design has records of two seeds or more: run the grid with more seeds.")
    return _describe(effects)


def pool_seeds(table: pd.DataFrame, design: list[str], averaged: tuple[str, ...] = ()) -> pd.DataFrame:
    """Average runs within each seed, then over seeds, for every combination of the columns `design`.

    Parameters
    ----------
    table : DataFrame
        One row a run: `design`, `seed`, `gain`, `standard_error`, `n_test` and the columns of `averaged`.
    design : list of str
        What tells effects apart.
    averaged : tuple of str
        Further columns of which the mean over seeds is wanted.

    Returns
    -------
    DataFrame
        `design`, `yi` (mean over seeds of a seed's mean gain), `seed_variance` (of `yi`; NaN for one seed),
        `case_variance`, `seeds`, `positive`, `n_test`, `replicates` (runs), and the columns of `averaged`.

    Notes
    -----
    Runs of one seed share an encoder or its random draws, so the seed is the unit.
    They also share test cases, so the error over cases of a seed's mean is taken as that of one run:
    the mean of the squared errors, not divided by the number of runs.

    Examples
    --------
    >>> runs = pd.DataFrame({"method": "simclr", "seed": [1, 1, 2], "gain": [0.0, 0.04, 0.06],
    ...                      "standard_error": 0.01, "n_test": 50})
    >>> pool_seeds(runs, ["method"])[["yi", "seed_variance", "seeds", "replicates"]].round(4).values.tolist()
    [[0.04, 0.0004, 2.0, 3.0]]
    """
    squared = table.assign(squared_error=table["standard_error"] ** 2)
    means = {name: (name, "mean") for name in ("gain", "squared_error", *averaged)}
    seeds = squared.groupby([*design, "seed"], sort=False, dropna=False).agg(
        **means, runs=("gain", "size"), n_test=("n_test", "first")
    )
    groups = seeds.reset_index().groupby(design, sort=True, dropna=False)
    return groups.agg(
        yi=("gain", "mean"),
        seed_variance=("gain", lambda gain: gain.var(ddof=1) / len(gain)),
        case_variance=("squared_error", lambda squared: squared.mean()),
        seeds=("seed", "size"),
        positive=("gain", lambda gain: int((gain > 0).sum())),
        n_test=("n_test", "first"),
        replicates=("runs", "sum"),
        **{name: (name, "mean") for name in averaged},
    ).reset_index()


def _check(table):
    absent = [column for column in NEEDED if column not in table.columns]
    if absent:
        raise UsageError(f"the table of records lacks {', '.join(absent)}.")
    twice = table.duplicated([*DESIGN, "seed"])
    if twice.any():
        row = table[twice].iloc[0]
        raise UsageError(
            f"two records of {row['method']}, {row['adaptation']}, {row['n_labelled']} labels, "
            f"seed {row['seed']}: select one protocol before pooling."
        )


def _describe(effects):
    labels = [f"{n:,} labels" for n in effects["n_labelled"]]
    return effects.assign(
        vi=effects["seed_variance"] + effects["case_variance"],
        log10_label_ratio=np.log10(effects["n_labelled"] / effects["n_unlabelled"]),
        log10_label_fraction=np.log10(effects["n_labelled"] / effects["n_unlabelled"]),
        cluster_id=effects["dataset"],
        label=labels,
        variance_origin="runs_and_paired_bootstrap",
    )
