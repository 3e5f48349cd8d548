"""Our effects and the published ones in one model: what each says, and whether they differ."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t

from medssl.errors import UsageError
from medssl.evidence import effects
from medssl.meta import MultilevelFit, multilevel
from medssl.synthesis.stratum import LEAST_CLUSTERS, RHO

__all__ = ["OriginModel", "coefficient_row", "origin_model"]

X = "log10_label_ratio"
SHARED = ["yi", "vi", "cluster_id", "modality", X, "label", "variance_origin"]
NUMBERS = ["estimate", "se", "df", "p_value", "ci_low", "ci_high"]
ONE_DESIGN = ["comparator_kind", "pool", "pretrain_on", "adaptation", "selection"]


@dataclass(frozen=True, eq=False)
class OriginModel:
    """A model of both origins.

    Attributes
    ----------
    modality : str
        The modality, or "all".
    effects : DataFrame
        The rows of both origins with a known ratio: `origin` ("ours" or "published"), `yi`, `vi`,
        `cluster_id`, `log10_label_ratio`, `modality`, `label`, `variance_origin`.
    centre : float
        The log10 label ratio at which `table` states gains; NaN where nothing was fitted.
    fit : MultilevelFit or None
        The model with the published gain as intercept; None with fewer than three published clusters.
    table : DataFrame
        Rows "ours", "published" (mean gains at `centre`), "difference" (ours minus published) and "slope"
        (change of the gain for each tenfold ratio); columns `estimate`, `se`, `df`, `p_value`, `ci_low`,
        `ci_high`, `error`. `error` is "CR2", or "model" where one cluster alone supports the coefficient:
        then the model's error is given, with clusters minus coefficients as degrees of freedom.
    counts : DataFrame
        `effects` and `clusters` of each origin.
    reason : str
        Why nothing was fitted, or why to be careful; "" where there is nothing to say.
    """

    modality: str
    effects: pd.DataFrame
    centre: float
    fit: MultilevelFit | None
    table: pd.DataFrame
    counts: pd.DataFrame
    reason: str


def origin_model(
    ours: pd.DataFrame, published: pd.DataFrame | None = None, modality: str | None = None, *,
    rho: float = RHO, centre: float | None = None,
) -> OriginModel:  # fmt: skip
    """Fit the gain of both origins against the label ratio and the origin.

    Parameters
    ----------
    ours : DataFrame
        As `medssl.evidence.study_effects` returns them, of one comparator, pool, source and protocol; each
        data set is a cluster.
    published : DataFrame, optional
        As `medssl.evidence.effects` returns them, which is the default; AUC against random initialisation
        in the primary pool enters.
    modality : str, optional
        One modality; all of them without it.
    rho : float
        Sampling correlation within clusters.
    centre : float, optional
        The log10 label ratio at which gains are stated; the mean of all rows without it.

    Returns
    -------
    OriginModel
        Without a fit where fewer than three published clusters have a known ratio.

    Raises
    ------
    UsageError
        Ours mix designs, are against another comparator, or lack the modality.

    Notes
    -----
    Random intercepts for cluster and for effect within cluster, sampling correlation `rho`, CR2 errors with
    Satterthwaite degrees of freedom. The slope is common to both origins.

    Examples
    --------
    >>> ours = pd.DataFrame({"yi": [0.05, 0.01], "vi": 1e-4, "cluster_id": "d", "modality": "ct",
    ...                      "log10_label_ratio": [-2.0, 0.0], "label": ["a", "b"], "variance_origin": "runs",
    ...                      "comparator_kind": "random", "pool": 1.0, "pretrain_on": "d", "dataset": "d",
    ...                      "adaptation": "fine_tune", "selection": "budget"})
    >>> model = origin_model(ours, modality="ct")
    >>> model.counts.clusters.to_dict(), model.table.error.difference
    ({'ours': 1, 'published': 7}, 'model')
    >>> origin_model(ours.assign(modality="ultrasound"), modality="ultrasound").reason
    '1 published cluster has a known ratio; it is shown, and a model needs 3'
    """
    _check(ours)
    theirs = effects() if published is None else published
    primary = (theirs["metric"] == "AUC") & (theirs["comparator"] == "random") & (theirs["pool"] == "primary")
    joint = pd.concat(
        [_part(ours, "ours", modality), _part(theirs[primary], "published", modality)], ignore_index=True
    )
    counts = joint.groupby("origin")["cluster_id"].agg(["size", "nunique"])
    counts = counts.reindex(["ours", "published"], fill_value=0).set_axis(["effects", "clusters"], axis=1)
    if counts["clusters"]["ours"] == 0:
        raise UsageError(f"ours hold no effect of {modality or 'any modality'} with a known label ratio.")
    many = int(counts["clusters"]["published"])
    if many < LEAST_CLUSTERS:
        words = "cluster has" if many == 1 else "clusters have"
        shown = "it is shown" if many == 1 else "they are shown"
        why = f"{many} published {words} a known ratio; {shown}, and a model needs {LEAST_CLUSTERS}"
        return OriginModel(modality or "all", joint, np.nan, None, _empty(), counts, why)
    at = float(joint[X].mean()) if centre is None else centre
    fit, table = _fitted(joint, at, rho)
    return OriginModel(modality or "all", joint, at, fit, table, counts, _caution(table))


def _check(ours):
    absent = [column for column in [*SHARED, *ONE_DESIGN, "dataset"] if column not in ours.columns]
    if absent:
        raise UsageError(f"the effects of the study lack {', '.join(absent)}.")
    other = sorted(set(ours["comparator_kind"]) - {"random"})
    if other:
        raise UsageError(f"ours are against {', '.join(other)} too; fix comparator_kind='random'.")
    if not (ours["pretrain_on"] == ours["dataset"]).all():
        raise UsageError("ours hold effects of pretraining on other images; fix pretrain_on=None.")
    for column in ("pool", "adaptation", "selection"):
        if ours[column].nunique() > 1:
            raise UsageError(f"ours differ in {column}; fix it, for example in study_effects.")


def _part(table, origin, modality):
    """Return the rows of one origin, with clusters that no other origin has."""
    kept = np.isfinite(table[X]) & (True if modality is None else table["modality"] == modality)
    part = table.loc[kept, SHARED]
    return part.assign(origin=origin, cluster_id=origin + ": " + part["cluster_id"].astype(str))


def _fitted(joint, centre, rho):
    """Fit the same model twice, with either origin as the intercept."""
    table = {}
    for origin, other in (("ours", "published"), ("published", "ours")):
        columns = pd.DataFrame({X: joint[X] - centre, other: (joint["origin"] == other).astype(float)})
        fit = multilevel(joint["yi"], joint["vi"], joint["cluster_id"], columns, rho=rho)
        table[origin] = coefficient_row(fit, 0)
    table |= {"difference": coefficient_row(fit, 2), "slope": coefficient_row(fit, 1)}
    return fit, pd.DataFrame(table).T.infer_objects()


def coefficient_row(fit: MultilevelFit, number: int, level: float = 0.95) -> dict:
    """Return one coefficient with the error that its clusters support.

    Parameters
    ----------
    fit : MultilevelFit
    number : int
        Place of the coefficient, 0 for the intercept.
    level : float
        Coverage of the limits.

    Returns
    -------
    dict
        `estimate`, `se`, `df`, `p_value`, `ci_low`, `ci_high` and `error`: "CR2", or "model" (t with
        clusters minus coefficients degrees of freedom) where one cluster alone supports the coefficient.

    Examples
    --------
    >>> fit = multilevel([0.05, 0.03, 0.04, 0.01, 0.00, 0.02], [0.0004] * 6, list("aabbcc"), rho=0.6)
    >>> coefficient_row(fit, 0)["error"]
    'CR2'
    """
    robust = fit.robust(level=level)
    alone = not robust.supported[number]
    se = float((fit if alone else robust).se[number])
    df = float(fit.clusters - len(fit.names)) if alone else float(robust.df[number])
    estimate, half = float(fit.coef[number]), float(t.isf((1 - level) / 2, df)) * se
    return {
        "estimate": estimate, "se": se, "df": df, "p_value": float(2 * t.sf(abs(estimate) / se, df)),
        "ci_low": estimate - half, "ci_high": estimate + half, "error": "model" if alone else "CR2",
    }  # fmt: skip


def _empty():
    rows = pd.DataFrame(np.nan, index=["ours", "published", "difference", "slope"], columns=NUMBERS)
    return rows.assign(error="")


def _caution(table):
    notes = []
    alone = table.index[table["error"] == "model"].tolist()
    if alone:
        notes.append(f"one cluster alone supports {' and '.join(alone)}, so the error is that of the model")
    few = table.index[table["df"] < 4].tolist()
    if few:
        notes.append(f"fewer than 4 degrees of freedom: {', '.join(few)}")
    return "; ".join(notes)
