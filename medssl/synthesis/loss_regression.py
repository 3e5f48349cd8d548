"""Which properties of a comparison go with losing it: a linear probability model with robust errors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta import MultilevelFit, multilevel

__all__ = ["LEAST_CLUSTERS", "LEAST_DF", "LossRegression", "loss_regression", "single_regressions"]

LEAST_CLUSTERS = 10  # below it nothing is fitted
LEAST_IN_LEVEL = 3  # clusters; rarer levels are merged, or left out where all together have fewer
LEAST_DF = 4  # Satterthwaite degrees of freedom below which p values cannot be trusted (Tipton 2015)
CONSTANT = 1e-3  # any constant below the residual variance gives the same fit
REFERENCES = {
    "comparator": "random", "modality": "xray", "family": "contrastive", "task_type": "classification",
    "own_method": "only their own",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LossRegression:
    """A fitted linear probability model.

    Attributes
    ----------
    rows : DataFrame
        The comparisons that entered, rare levels merged.
    fit : MultilevelFit or None
        None where nothing was fitted; `reason` then says why.
    coefficients : DataFrame
        `name`, `change` (of the probability of a loss, against the reference level or for each unit),
        `ci_low`, `ci_high`, `df`, `p_value`, and `thin`: whether df is below `LEAST_DF`.
    tests : DataFrame
        `term`, `statistic` (F), `df_num`, `df_den`, `p_value`, `thin`: the joint robust test (HTZ) of each
        variable; without p value where the clusters are too few for it.
    reason : str
        Why nothing was fitted, or what was merged or left out.
    outside : float
        Share of the fitted probabilities outside 0 to 1, which a linear model allows.
    """

    rows: pd.DataFrame
    fit: MultilevelFit | None
    coefficients: pd.DataFrame
    tests: pd.DataFrame
    reason: str
    outside: float

    @property
    def clusters(self) -> int:
        """Number of clusters that entered."""
        return self.rows["cluster_id"].nunique()


def loss_regression(rows: pd.DataFrame, factors=(), numbers=()) -> LossRegression:
    """Regress the indicator of a loss on factors and numbers, clusters as random intercepts.

    Parameters
    ----------
    rows : DataFrame
        `loss`, `cluster_id`, and the variables; as `medssl.synthesis.negatives.comparisons` returns them.
    factors : sequence of str
        Categorical variables. Levels in fewer than three clusters are merged as "other", or left out where
        all of them have fewer.
    numbers : sequence of str
        Numeric variables; rows without a value are left out.

    Returns
    -------
    LossRegression
        Without a fit where fewer than ten clusters, or no variation, are left.

    Notes
    -----
    With d the indicator, x the variables, u_j a random intercept of cluster j and w the residual,
    d_ij = x_ij' b + u_j + w_ij by restricted maximum likelihood: `medssl.meta.multilevel` with one small
    constant in place of sampling variances, which have no part in an indicator. The errors are
    cluster-robust (CR2) with Satterthwaite degrees of freedom, so that neither equal variances nor the
    correlation inside clusters is believed. A coefficient is a difference of probabilities.

    Examples
    --------
    >>> from medssl.synthesis.negatives import comparisons
    >>> rows = comparisons()
    >>> found = loss_regression(rows[rows.set == "primary"], ["comparator"])
    >>> found.clusters, found.coefficients.name.tolist()
    (42, ['intercept', 'comparator: imagenet_supervised', 'comparator: other_supervised'])
    """
    if not factors and not numbers:
        raise UsageError("name at least one factor or number; a model without any is a share.")
    known = rows[np.isfinite(rows[list(numbers)].astype(float)).all(axis=1)].reset_index(drop=True)
    known, kept, notes = _merged(known, factors)
    columns = pd.concat([known[list(numbers)].astype(float), _dummies(known, kept)], axis=1)
    varying = known["loss"].nunique() > 1 and not columns.empty and (columns.nunique() > 1).all()
    clusters = known["cluster_id"].nunique()
    if clusters < LEAST_CLUSTERS or not varying:
        why = f"{clusters} clusters; a regression needs {LEAST_CLUSTERS}" if varying else "nothing varies"
        return LossRegression(known, None, pd.DataFrame(), pd.DataFrame(), why, np.nan)
    constant = np.full(len(known), CONSTANT)
    fit = multilevel(known["loss"].astype(float), constant, known["cluster_id"], columns)
    fitted = fit.design @ fit.coef
    outside = float(((fitted < 0) | (fitted > 1)).mean())
    terms = {name: [name] for name in numbers}
    terms |= {factor: [name for name in columns if name.startswith(f"{factor}: ")] for factor in kept}
    return LossRegression(known, fit, _coefficients(fit), _tests(fit, terms), "; ".join(notes), outside)


def single_regressions(rows: pd.DataFrame, factors=(), numbers=()) -> pd.DataFrame:
    """Return the joint test of each variable in a regression of its own.

    Returns
    -------
    DataFrame
        The columns of `LossRegression.tests`, `effects`, `clusters` and `reason`.

    Examples
    --------
    >>> from medssl.synthesis.negatives import comparisons
    >>> rows = comparisons()
    >>> single_regressions(rows[rows.set == "primary"], ["modality"]).clusters.tolist()
    [42]
    """
    found = []
    for name in (*factors, *numbers):
        one = {"factors": [name]} if name in factors else {"numbers": [name]}
        alone = loss_regression(rows, **one)
        facts = {"effects": len(alone.rows), "clusters": alone.clusters, "reason": alone.reason}
        test = {"term": name} if alone.fit is None else alone.tests.iloc[0].to_dict()
        found.append(test | facts)
    return pd.DataFrame(found)


def _merged(known: pd.DataFrame, factors) -> tuple[pd.DataFrame, list[str], list[str]]:
    kept, notes = [], []
    for factor in factors:
        values = known[factor].astype(str)
        clusters = known.groupby(values)["cluster_id"].nunique()
        rare = sorted(clusters.index[clusters < LEAST_IN_LEVEL])
        part = values.isin(rare)
        if rare and known.loc[part, "cluster_id"].nunique() < LEAST_IN_LEVEL:
            known, values = known[~part].reset_index(drop=True), values[~part].reset_index(drop=True)
            notes.append(f"{factor}: {', '.join(rare)} left out ({int(part.sum())} comparisons)")
        elif rare:
            values = values.mask(part, "other")
            notes.append(f"{factor}: {', '.join(rare)} merged as other")
        known = known.assign(**{factor: values})
        if values.nunique() > 1:
            kept.append(factor)
        else:
            notes.append(f"{factor} does not vary")
    return known, kept, notes


def _dummies(known: pd.DataFrame, factors) -> pd.DataFrame:
    columns = {}
    for factor in factors:
        levels = sorted(set(known[factor]))
        reference = REFERENCES.get(factor) if REFERENCES.get(factor) in levels else levels[0]
        for level in levels:
            if level != reference:
                columns[f"{factor}: {level}"] = (known[factor] == level).astype(float)
    return pd.DataFrame(columns, index=known.index)


def _coefficients(fit: MultilevelFit) -> pd.DataFrame:
    robust = fit.robust()
    columns = {"name": fit.names, "change": robust.coef, "ci_low": robust.ci_low, "ci_high": robust.ci_high}
    table = pd.DataFrame(columns | {"df": robust.df, "p_value": robust.p_value})
    return table.assign(thin=~(table["df"] >= LEAST_DF))


def _tests(fit: MultilevelFit, terms: dict[str, list[str]]) -> pd.DataFrame:
    robust = fit.robust()
    tests = {term: robust.wald(names) for term, names in terms.items()}
    rows = [
        {"term": term, "statistic": test.statistic, "df_num": test.df_num, "df_den": test.df_den,
         "p_value": test.p_value, "thin": not test.df_den >= LEAST_DF}
        for term, test in tests.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)
