"""Where the variation of a gain comes from: labelled subset, seed, the rest of a run, test cases."""

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.study_effects import one_design, select_runs

__all__ = ["crossed_components", "variation"]

QUANTITIES = ("gain", "ssl", "comparator")


def variation(table: pd.DataFrame, **fixed) -> pd.DataFrame:
    """Split the variance of the gain and of both scores at one label count into its sources.

    Parameters
    ----------
    table : DataFrame
        One row a record, as `medssl.experiments.to_table` returns it, with labelled subsets crossed with
        seeds.
    **fixed
        Columns and their values, as in `medssl.evidence.select_runs`, until one design is left.

    Returns
    -------
    DataFrame
        Four rows for each `quantity` ("gain", "ssl", "comparator"): `component` ("cases", "subset", "seed",
        "rest"), `variance` (of a single run), `deviation` (its square root), `share` of the four,
        `truncated` (a negative estimate set to 0), `estimate` (before that), and `runs`, `seeds`, `subsets`.
        Records hold the error over test cases of the gain only: for scores "cases" is NaN, and shares are
        of the other three.

    Raises
    ------
    UsageError
        Runs of several designs, a crossing too thin to tell subset, seed and rest apart.

    Notes
    -----
    Subset, seed and rest are as in `crossed_components`; the subset that a seed drew by itself is one more
    level. "cases" is the mean squared bootstrap error of a run's gain over test cases. All runs share the
    test cases: what these add to every run alike is in "cases" only, and what they add to single runs is
    also in "rest", so the sum errs on the large side.

    Examples
    --------
    >>> rows = [dict(dataset="d", modality="ct", method="simclr", comparator_kind="random", pool=1.0,
    ...              pretrain_on=None, adaptation="fine_tune", selection="budget", n_labelled=100,
    ...              n_unlabelled=1000, seed=s, subset=u, ssl=g, comparator=0.0, gain=g,
    ...              standard_error=0.1, n_test=50)
    ...         for (s, u), g in {(1, 201): 0.0, (1, 202): 0.4, (2, 201): 0.2, (2, 202): 1.0}.items()]
    >>> split = variation(pd.DataFrame(rows)).query("quantity == 'gain'")
    >>> split.set_index("component").variance.round(3).to_dict()
    {'cases': 0.01, 'subset': 0.16, 'seed': 0.06, 'rest': 0.04}
    """
    runs = select_runs(table, **fixed)
    one_design(runs, ())
    subset = runs["subset"].fillna(runs["seed"])  # without a subset the seed draws it
    counts = {"runs": len(runs), "seeds": runs["seed"].nunique(), "subsets": subset.nunique()}
    parts = [_split(name, runs, subset, counts) for name in QUANTITIES]
    return pd.concat(parts, ignore_index=True)


def _split(name, runs, subset, counts):
    found = crossed_components(runs[name], subset, runs["seed"], names=("subset", "seed"))
    cases = float((runs["standard_error"] ** 2).mean()) if name == "gain" else np.nan
    estimates = pd.Series({"cases": cases, **found})
    variances = estimates.clip(lower=0.0)
    return pd.DataFrame(
        {
            "quantity": name, "component": estimates.index, "variance": variances.to_numpy(),
            "deviation": np.sqrt(variances.to_numpy()), "share": (variances / variances.sum()).to_numpy(),
            "truncated": (estimates < 0).to_numpy(), "estimate": estimates.to_numpy(), **counts,
        }
    )  # fmt: skip


def crossed_components(values, first, second, names: tuple[str, str] = ("first", "second")) -> dict:
    """Estimate the variances of two crossed random factors and of the rest by the method of moments.

    Parameters
    ----------
    values : array-like of shape (k,)
        One value a run.
    first, second : array-like of shape (k,)
        The level of each factor in each run.
    names : tuple of str
        What to call the factors.

    Returns
    -------
    dict
        Estimates by name and "rest"; unbiased, so they may be negative.

    Raises
    ------
    UsageError
        A factor with one level, or too few runs to tell the three variances apart.

    Notes
    -----
    The model is ``y = mu + a[first] + b[second] + e``, all three random with mean 0, and `rest` holds the
    interaction. Sums of squares of each factor after the other are set equal to their expectations
    (Henderson 1953, the method of fitting constants). On a full table of r by c runs that is the analysis
    of variance without replication: ``rest = MS_rest``, ``first = (MS_first - MS_rest) / c``.

    References
    ----------
    Henderson CR (1953). Estimation of variance and covariance components. Biometrics 9:226-252.

    Examples
    --------
    >>> found = crossed_components([0.0, 0.2, 0.4, 1.0], [1, 1, 2, 2], [1, 2, 1, 2])
    >>> {name: round(value, 3) for name, value in found.items()}
    {'first': 0.16, 'second': 0.06, 'rest': 0.04}
    """
    y = np.asarray(values, float)
    levels = {name: _indicators(factor, name) for name, factor in zip(names, (first, second), strict=True)}
    whole = _left(np.column_stack(list(levels.values())))  # projects on what both factors leave
    df = round(float(np.trace(whole)))
    if df < 1:
        raise UsageError(_thin(len(y), names))
    rest = float(y @ whole @ y) / df
    found = {}
    for name, other in (names, names[::-1]):
        after = _left(levels[other])
        squares = float(y @ (after - whole) @ y)
        weight = float(np.trace(levels[name].T @ after @ levels[name]))
        if weight < 1e-9:
            raise UsageError(_thin(len(y), names))
        found[name] = (squares - np.trace(after - whole) * rest) / weight
    return {name: float(value) for name, value in found.items()} | {"rest": rest}


def _indicators(factor, name):
    """Return a column of zeros and ones for each level."""
    codes, levels = pd.factorize(np.asarray(factor))
    if len(levels) < 2:
        raise UsageError(f"there is one {name} only, so nothing is known of how they differ.")
    return np.eye(len(levels))[codes]


def _left(columns):
    """Return the matrix that removes the fit on `columns`, which span the mean."""
    return np.eye(len(columns)) - columns @ np.linalg.pinv(columns)


def _thin(runs, names):
    return (
        f"{runs} runs are too few to tell {names[0]}, {names[1]} and the rest apart: "
        f"cross at least two levels of {names[0]} with two of {names[1]}."
    )
