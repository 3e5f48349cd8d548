"""A check that respects seeds as clusters: one mean gain and one slope a seed, then a t interval."""

import numpy as np
import pandas as pd
from scipy.stats import t

from medssl.errors import UsageError

__all__ = ["by_seed"]


def by_seed(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Summarise each seed by itself and return means over seeds with t intervals.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it, one protocol only.
    level : float
        Coverage of the interval.

    Returns
    -------
    DataFrame
        Rows `mean` (average gain of a seed) and `slope` (least-squares change of the gain for each
        tenfold label ratio), columns `estimate`, `ci_low`, `ci_high`, `seeds`.

    Raises
    ------
    UsageError
        Fewer than two seeds, or seeds that lack a cell which others have.

    Notes
    -----
    All gains of a seed share their subsets, so within a seed they are not independent; between seeds
    they share the test images only. The interval holds for these test images.

    Examples
    --------
    >>> rows = [dict(seed=s, method="simclr", n_labelled=n, n_unlabelled=1000,
    ...              gain=0.03 - 0.01 * np.log10(n) + s / 100) for s in (1, 2, 3) for n in (10, 100)]
    >>> by_seed(pd.DataFrame(rows)).estimate.round(4).tolist()
    [0.035, -0.01]
    """
    pairs = table[["seed", "method", "n_labelled"]]
    cells = pd.Series(
        {
            seed: frozenset(part.itertuples(index=False))
            for seed, part in pairs.set_index("seed").groupby(level=0)
        }
    )
    if len(cells) < 2 or cells.nunique() > 1:
        raise UsageError(
            "each seed needs the same methods and label counts, and there must be two seeds or more."
        )
    x = np.log10(table["n_labelled"] / table["n_unlabelled"])
    parts = {
        "mean": table.groupby("seed")["gain"].mean(),
        "slope": table.assign(x=x).groupby("seed")[["x", "gain"]].apply(_slope),
    }
    return pd.DataFrame({name: _interval(values, level) for name, values in parts.items()}).T


def _slope(part):
    return np.polyfit(part["x"], part["gain"], 1)[0] if part["x"].nunique() > 1 else np.nan


def _interval(values, level):
    half = t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    centre = values.mean()
    return {"estimate": centre, "ci_low": centre - half, "ci_high": centre + half, "seeds": len(values)}
