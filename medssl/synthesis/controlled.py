"""The models of the controlled study: all data sets together, and the gain against the size of the pool."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.meta import MultilevelFit, RandomEffectsFit, multilevel, random_effects
from medssl.synthesis.origin import coefficient_row
from medssl.synthesis.stratum import LEAST_CLUSTERS, RHO

__all__ = ["StudyModel", "pool_model", "study_model"]

X = "log10_label_ratio"
SERIES = ["dataset", "method", "comparator_kind", "pretrain_on", "adaptation", "selection", "n_labelled"]
PROTOCOL = ["comparator_kind", "adaptation", "selection"]


@dataclass(frozen=True, eq=False)
class StudyModel:
    """The study as one model, with a data set as a cluster.

    Attributes
    ----------
    effects : DataFrame
        The rows that entered.
    centre : float
        The log10 label ratio at which gains are stated: its mean over the rows.
    fit : MultilevelFit or None
        The gain against the ratio; None with fewer than three data sets.
    table : DataFrame
        Rows "gain" (the mean at `centre`) and "slope" (change for each tenfold ratio), with `estimate`, `se`,
        `df`, `p_value`, `ci_low`, `ci_high` and `error`, as in `OriginModel`.
    families : DataFrame
        One row a family of methods: `family`, `effects`, `clusters`, its mean gain at `centre` with the same
        columns, and `difference` from the other families with its own columns, prefixed `difference_`.
        NaN where a family has fewer than three data sets.
    reason : str
        Why nothing was fitted, or why to be careful.
    """

    effects: pd.DataFrame
    centre: float
    fit: MultilevelFit | None
    table: pd.DataFrame
    families: pd.DataFrame
    reason: str


def study_model(effects: pd.DataFrame, *, rho: float = RHO) -> StudyModel:
    """Fit the gain of all data sets against the label ratio, and each family of methods against the others.

    Parameters
    ----------
    effects : DataFrame
        As `medssl.evidence.study_effects` returns them, of one comparator and protocol.
    rho : float
        Sampling correlation within a data set.

    Returns
    -------
    StudyModel
        Without a fit with fewer than three data sets.

    Raises
    ------
    UsageError
        The effects mix comparators or protocols.

    Notes
    -----
    Random intercepts for data set and for effect within it, CR2 errors. Four data sets cannot support the
    ratio and a coefficient for each family at once, so each family is fitted alone for its mean, and as one
    indicator beside the ratio, in all effects, for its difference from the others.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset": list("aabbccdd"), "log10_label_ratio": [-2.0, 0.0] * 4, "vi": 1e-4,
    ...                      "yi": [0.05, 0.01, 0.04, 0.02, 0.07, 0.00, 0.05, 0.02], "family": "contrastive",
    ...                      "comparator_kind": "random", "adaptation": "fine_tune", "selection": "budget"})
    >>> model = study_model(rows)
    >>> model.table[["estimate", "df"]].round(4).values.tolist()
    [[0.0325, 3.0], [-0.02, 3.0]]
    """
    _one_protocol(effects)
    rows = effects[np.isfinite(effects[X])].reset_index(drop=True)
    clusters, centre = rows["dataset"].nunique(), float(rows[X].mean())
    if clusters < LEAST_CLUSTERS:
        why = f"{clusters} data set(s) have effects; they are shown, and a model needs {LEAST_CLUSTERS}"
        return StudyModel(rows, centre, None, pd.DataFrame(), pd.DataFrame(), why)
    rows_centred = rows.assign(**{X: rows[X] - centre})
    fit = _fit(rows_centred, [X], rho)
    table = pd.DataFrame({"gain": coefficient_row(fit, 0), "slope": coefficient_row(fit, 1)}).T
    families = [_family(rows_centred, family, rho) for family in sorted(rows["family"].unique())]
    table = table.infer_objects()
    few = table.index[table["df"] < 4].tolist()
    reason = f"fewer than 4 degrees of freedom: {', '.join(few)}" if few else ""
    return StudyModel(rows, centre, fit, table, pd.DataFrame(families), reason)


def _fit(rows, columns, rho):
    return multilevel(rows["yi"], rows["vi"], rows["dataset"], rows[columns], rho=rho)


def _family(rows, family, rho):
    mine = rows["family"] == family
    counts = {"effects": int(mine.sum()), "clusters": rows.loc[mine, "dataset"].nunique()}
    if counts["clusters"] < LEAST_CLUSTERS:
        return {"family": family, **counts}
    own = coefficient_row(_fit(rows[mine], [X], rho), 0)
    if mine.all():
        return {"family": family, **counts, **own}
    beside = _fit(rows.assign(of_family=mine.astype(float)), [X, "of_family"], rho)
    against = coefficient_row(beside, 2)
    difference = {"difference": against.pop("estimate")}
    difference |= {f"difference_{name}": value for name, value in against.items()}
    return {"family": family, **counts, **own, **difference}


def pool_model(effects: pd.DataFrame, *, test: str = "adhoc") -> RandomEffectsFit:
    """Fit the gain against the size of the unlabelled pool at a fixed number of labels.

    Parameters
    ----------
    effects : DataFrame
        As `medssl.evidence.study_effects` returns them, of one comparator and protocol. Series of a data
        set, method and label count that have one pool only are passed over.
    test : {"adhoc", "knha", "z"}
        As for `medssl.meta.random_effects`; "adhoc" never narrows an interval.

    Returns
    -------
    RandomEffectsFit
        REML; the intercept is the gain at the whole pool, the coefficient `log10_pool` the change of the
        gain for a tenfold pool.

    Raises
    ------
    UsageError
        Mixed comparators or protocols, no series with two pools, or a data set with several label counts.

    Examples
    --------
    >>> rows = pd.DataFrame({"dataset": "d", "method": "simclr", "comparator_kind": "random",
    ...                      "pretrain_on": "d", "adaptation": "fine_tune", "selection": "budget",
    ...                      "n_labelled": 100, "log10_pool": [-1.2, -0.6, 0.0], "yi": [0.00, 0.01, 0.02],
    ...                      "vi": 1e-4})
    >>> fit = pool_model(rows)
    >>> fit.names, fit.coef.round(4).tolist()
    (('intercept', 'log10_pool'), [0.02, 0.0167])
    """
    _one_protocol(effects)
    pools = effects.groupby(SERIES, dropna=False)["log10_pool"].transform("nunique")
    rows = effects[pools >= 2].reset_index(drop=True)
    if rows.empty:
        raise UsageError("no data set and method has effects of two pools at the same number of labels.")
    counts = rows.groupby("dataset")["n_labelled"].nunique()
    if (counts > 1).any():
        raise UsageError(f"{counts.idxmax()} has pools at several label counts; fix n_labelled.")
    return random_effects(rows["yi"], rows["vi"], rows[["log10_pool"]], method="REML", test=test)


def _one_protocol(effects):
    for column in PROTOCOL:
        if effects[column].nunique() > 1:
            raise UsageError(f"the effects differ in {column}; fix it, for example in study_effects.")
