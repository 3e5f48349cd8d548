"""The comparisons that self-supervised pretraining lost: how many, where, how large, and who holds them.

A loss is a comparison whose printed score of the pretrained arm is below that of the comparator; equal
scores are ties. Effects of one cluster share data or a baseline run, so that shares of rows are always
accompanied by shares averaged over clusters.
"""

import itertools
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from medssl.errors import UsageError
from medssl.evidence import MINIMAL_GAIN, effects, published, risk_of_bias
from medssl.evidence.tables import read_rows

__all__ = [
    "FACTORS",
    "LEAST_FOR_INTERVAL",
    "comparisons",
    "holders",
    "loss_notes",
    "share_table",
    "shares",
    "sizes",
]

LEAST_FOR_INTERVAL = 5  # clusters; fewer have too few resamples for an interval
UNKNOWN = "not known"
# upper limits of the bins of a number, each included in its bin
BINS = {
    "label ratio": ("label_ratio", (0.01, 0.1, 1)),
    "label fraction": ("label_fraction", (0.01, 0.1, 0.5)),
    "labels": ("n_labelled", (100, 1_000, 10_000)),
    "unlabelled images": ("n_unlabelled", (1_000, 10_000, 100_000)),
    "test cases": ("n_test", (100, 1_000)),
    "comparator's score": ("baseline_value", (0.7, 0.8, 0.9)),
}
OWN_METHOD = {
    "high": "only their own", "some": "their own and others'", "low": "only others'", "unclear": UNKNOWN,
}  # fmt: skip
RUN = ["cluster_id", "task", "downstream_data", "metric", "comparator", "baseline_value"]
FACTORS = {
    "modality": "Modality",
    "comparator": "Comparator",
    "task_type": "Task",
    "metric": "Metric",
    "family": "Family of methods",
    "label ratio": "Label ratio",
    "label fraction": "Label fraction",
    "labels": "Labels",
    "unlabelled images": "Unlabelled images",
    "test cases": "Test cases",
    "comparator's score": "Score of the comparator",
    "own_method": "Methods that the authors test",
    "confidence": "Confidence in the extraction",
    "adaptation": "Adaptation",
}


def comparisons(scale: str = "difference") -> pd.DataFrame:
    """Return every comparison but the excluded ones as an effect, with its outcome and what may explain it.

    Parameters
    ----------
    scale : {"difference", "logit"}
        As for `medssl.evidence.effects`.

    Returns
    -------
    DataFrame
        The columns of `medssl.evidence.effects` and

        - `set`: "primary" (the primary analysis: primary pool, self-supervision), "sensitivity" (the
          sensitivity pool, and rows supervised by metadata or weak labels), "natural images";
        - `loss`, `tie`: whether the gain, as printed, is below 0, or 0;
        - a column for each key of `FACTORS`, numbers in bins, "not known" where the source is silent;
        - `comparator_run`: comparisons of a cluster with the same task, test data, metric and score of the
          comparator share its run;
        - `log10_n_labelled`, `log10_n_unlabelled`, `log10_n_test`; `method`, the name before any bracket.

    Examples
    --------
    >>> rows = comparisons()
    >>> int(rows.loss.sum()), int(rows.loss[rows.set == "primary"].sum())
    (493, 171)
    """
    table = published("all")
    found = effects(table, scale=scale)
    natural, main = found["pool"] == "natural_images", found["pool"] == "primary"
    main &= found["supervision"] == "self"
    gain = (table["ssl_value"] - table["baseline_value"]).round(9)  # 0.83 - 0.82 has rounding of its own
    owner = risk_of_bias().set_index("study_id")["sponsor_evaluates"]
    found = found.assign(
        set=np.select([natural, main], ["natural images", "primary"], "sensitivity"),
        loss=gain < 0,
        tie=gain == 0,
        label_ratio=10 ** found["log10_label_ratio"],
        own_method=pd.Categorical(
            found["study_id"].map(owner).map(OWN_METHOD), [*OWN_METHOD.values()], ordered=True
        ),
        comparator_run=found.groupby(RUN, sort=False).ngroup(),
        method=found["ssl_method"].str.split(r"\s*[(,;]|\s[-–+]\s", regex=True).str[0],
        **{f"log10_{name}": np.log10(found[name]) for name in ("n_labelled", "n_unlabelled", "n_test")},
    )
    return found.assign(**{name: _bins(found[column], ends) for name, (column, ends) in BINS.items()})


def _bins(values: pd.Series, ends: tuple) -> pd.Categorical:
    words = [f"up to {ends[0]:,g}"]
    words += [f"over {low:,g} to {high:,g}" for low, high in itertools.pairwise(ends)]
    words += [f"over {ends[-1]:,g}"]
    place = np.searchsorted(ends, values.round(9), side="left")  # 10 ** -1.0 may be a little over 0.1
    codes = np.where(values.isna(), len(words), place)
    return pd.Categorical.from_codes(codes, [*words, UNKNOWN], ordered=True)


def shares(rows: pd.DataFrame, by: str, *, replicates: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Return how often comparisons were lost, over rows and over clusters, for each level of a column.

    Parameters
    ----------
    rows : DataFrame
        As `comparisons` returns them: `loss`, `tie`, `cluster_id`, and the column `by`.
    by : str
        What to split by.
    replicates, seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        `level`, `effects`, `losses`, `ties`, `share_rows` (losses over effects), `clusters`,
        `clusters_with_loss`, `share_clusters` (the mean over clusters of each one's share, so that a cluster
        with hundreds of rows counts once), `ci_low`, `ci_high` (95%).

    Notes
    -----
    The interval draws clusters with replacement and takes percentiles of the mean share. As percentiles are
    too narrow with few clusters, their levels are Phi(-+ sqrt(C / (C - 1)) t), with the quantile t of C - 1
    degrees of freedom (Hesterberg 2015, the expanded percentile interval). It is missing with fewer than
    five clusters, and where all clusters have the same share.

    Examples
    --------
    >>> rows = pd.DataFrame({"loss": [True, False, False, True], "tie": False, "cluster_id": list("aaab"),
    ...                      "kind": "u"})
    >>> shares(rows, "kind")[["share_rows", "share_clusters"]].round(3).values.tolist()
    [[0.5, 0.667]]
    """
    if by not in rows:
        raise UsageError(f"there is no column {by!r} to split by; the table has {', '.join(map(str, rows))}.")
    found = []
    for level, part in rows.groupby(by, observed=True, sort=True):
        own = part.groupby("cluster_id")["loss"].mean().to_numpy()  # [clusters]
        low, high = _bootstrap_limits(own, replicates, seed)
        found.append(
            {
                "level": str(level), "effects": len(part), "losses": int(part["loss"].sum()),
                "ties": int(part["tie"].sum()), "share_rows": part["loss"].mean(), "clusters": len(own),
                "clusters_with_loss": int((own > 0).sum()), "share_clusters": own.mean(), "ci_low": low,
                "ci_high": high,
            }
        )  # fmt: skip
    return pd.DataFrame(found)


def _bootstrap_limits(own: np.ndarray, replicates: int, seed: int) -> tuple[float, float]:
    """Expanded percentile limits of the mean of one number a cluster."""
    count = len(own)
    if count < LEAST_FOR_INTERVAL or np.ptp(own) == 0:
        return np.nan, np.nan
    draws = np.random.default_rng(seed).integers(count, size=(replicates, count))
    tail = norm.cdf(-np.sqrt(count / (count - 1)) * t.isf(0.025, count - 1))
    low, high = np.quantile(own[draws].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def share_table(rows: pd.DataFrame, factors: dict[str, str] | None = None, **options) -> pd.DataFrame:
    """Return `shares` for several columns below each other, with the words for each column in `factor`.

    A column with one level is left out.

    Examples
    --------
    >>> table = share_table(comparisons(), {"set": "Set", "pool": "Pool"}, replicates=200)
    >>> table.level.tolist()
    ['natural images', 'primary', 'sensitivity', 'natural_images', 'primary', 'sensitivity']
    """
    factors = FACTORS if factors is None else factors
    varying = {name: words for name, words in factors.items() if rows[name].nunique() > 1}
    if not varying:
        raise UsageError(f"none of {', '.join(factors)} varies in these rows; there is nothing to compare.")
    parts = [shares(rows, name, **options).assign(factor=words) for name, words in varying.items()]
    table = pd.concat(parts, ignore_index=True)
    return table[["factor", *table.columns.drop("factor")]]


def sizes(rows: pd.DataFrame, by: str, minimal: float = MINIMAL_GAIN) -> pd.DataFrame:
    """Return how large losses are, beside the gains, for each level of a column.

    Returns
    -------
    DataFrame
        `level`, `losses`, `clusters` (with a loss), `median_loss`, `largest_loss`, `beyond` (losses larger
        than `minimal`), `share_beyond` (of the losses), and `gains`, `median_gain`, `share_gains_beyond`.

    Examples
    --------
    >>> rows = comparisons()
    >>> int(sizes(rows[rows.set == "primary"], "metric").set_index("level").losses["Dice"])
    40
    """
    found = []
    for level, part in rows.groupby(by, observed=True, sort=True):
        lost, won = part[part["loss"]], part.loc[~part["loss"] & ~part["tie"], "yi"]
        found.append(
            {
                "level": str(level), "losses": len(lost), "clusters": lost["cluster_id"].nunique(),
                "median_loss": lost["yi"].median(), "largest_loss": lost["yi"].min(),
                "beyond": int((lost["yi"] < -minimal).sum()), "share_beyond": (lost["yi"] < -minimal).mean(),
                "gains": len(won), "median_gain": won.median(), "share_gains_beyond": (won > minimal).mean(),
            }
        )  # fmt: skip
    return pd.DataFrame(found)


def holders(rows: pd.DataFrame, by: str = "cluster_id") -> pd.DataFrame:
    """Return who holds the losses: one row a cluster or another level, those with most losses first.

    Returns
    -------
    DataFrame
        `level`, `effects`, `losses`, `share_rows`, `clusters`, `share_of_losses`, `cumulative` (share of all
        losses down to this row), `median_loss`. Levels without a loss are left out.

    Examples
    --------
    >>> rows = comparisons()
    >>> holders(rows[rows.set == "primary"]).level.iloc[0]
    'jlianglab'
    """
    groups = rows.groupby(by, observed=True)
    table = groups.agg(
        effects=("loss", "size"), losses=("loss", "sum"), share_rows=("loss", "mean"),
        clusters=("cluster_id", "nunique"),
    )  # fmt: skip
    table["share_of_losses"] = table["losses"] / table["losses"].sum()
    table["median_loss"] = rows[rows["loss"]].groupby(by, observed=True)["yi"].median()
    table = table[table["losses"] > 0].sort_values("losses", ascending=False, kind="stable")
    table.insert(5, "cumulative", table["share_of_losses"].cumsum())
    return table.rename_axis("level").reset_index()


def loss_notes() -> pd.DataFrame:
    """Return what the reading notes say of clusters with losses: `cluster_id`, `note`, `place`.

    Examples
    --------
    >>> loss_notes().columns.tolist()
    ['cluster_id', 'note', 'place']
    """
    return read_rows(files("medssl.synthesis").joinpath("loss_notes.csv")).reset_index(drop=True)
