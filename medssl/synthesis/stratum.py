"""One stratum of the evidence: its pooled gain, what a new study may expect, and the grade it deserves."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.evidence import MINIMAL_GAIN, Grade, grade
from medssl.meta import MultilevelFit, RobustFit, leave_one_out, multilevel, probability_of_gain

__all__ = ["LEAST_CLUSTERS", "RHO", "STRONG_RUNGS", "Stratum", "pool", "strata"]

RHO = 0.6  # sampling correlation of the working model
LEAST_CLUSTERS = 3  # below it the estimates are shown and nothing is fitted
STRONG_RUNGS = ("paired_ci", "runs", "test_ci")


@dataclass(frozen=True, eq=False)
class Stratum:
    """A pooled stratum.

    Attributes
    ----------
    name : str
        What it holds.
    effects : DataFrame
        Its rows.
    fit : MultilevelFit or None
        The correlated-and-hierarchical-effects model; None with fewer than three clusters.
    robust : RobustFit or None
        Its cluster-robust form (CR2).
    left_out : DataFrame or None
        The mean without each cluster.
    grade : Grade
        The grade of the claim that the gain is positive, and why.
    strong_weight : float
        Share of the weight whose variance rests on paired intervals, runs or test intervals.
    """

    name: str
    effects: pd.DataFrame
    fit: MultilevelFit | None
    robust: RobustFit | None
    left_out: pd.DataFrame | None
    grade: Grade
    strong_weight: float

    @property
    def clusters(self) -> int:
        """Number of independent clusters."""
        return self.effects["cluster_id"].nunique()

    def row(self) -> dict:
        """Return the stratum as one row: counts, mean with its intervals, probabilities, grade."""
        facts = {
            "name": self.name,
            "k": len(self.effects),
            "clusters": self.clusters,
            "studies": self.effects["study_id"].nunique(),
            "negative": int((self.effects["yi"] < 0).sum()),
            "strong_weight": self.strong_weight,
            "grade": self.grade.name,
            "reason": self.grade.reason,
        }
        return facts | self._numbers()

    def _numbers(self) -> dict:
        names = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high", "df"]
        if self.fit is None:
            return dict.fromkeys(
                [*names, "sigma2_cluster", "sigma2_effect", "p_gain", "p_minimal", "left_low", "left_high"],
                np.nan,
            ) | {"sign_changes": ""}
        means = self.robust.predict().iloc[0]
        left = self.left_out["estimate"] if self.left_out is not None else pd.Series([np.nan])
        changed = [] if self.left_out is None else self.left_out["left_out"][self.left_out["sign_changes"]]
        return {name: float(means[name]) for name in names} | {
            "sigma2_cluster": float(self.fit.sigma2[0]),
            "sigma2_effect": float(self.fit.sigma2[1]),
            "p_gain": float(probability_of_gain(self.fit, 0.0)["probability"].iloc[0]),
            "p_minimal": float(probability_of_gain(self.fit, MINIMAL_GAIN)["probability"].iloc[0]),
            "left_low": float(left.min()),
            "left_high": float(left.max()),
            "sign_changes": ", ".join(map(str, changed)),
        }


def pool(effects: pd.DataFrame, name: str = "", *, rho: float = RHO) -> Stratum:
    """Pool the effects of one stratum and grade the claim that the gain is positive.

    Parameters
    ----------
    effects : DataFrame
        As `medssl.evidence.effects` returns them: `yi`, `vi`, `cluster_id`, `study_id`, `variance_origin`.
    name : str
        What to call it.
    rho : float
        Sampling correlation within clusters.

    Returns
    -------
    Stratum
        Without a fit, and graded insufficient, where there are fewer than three clusters.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> found = effects()
    >>> part = found[(found.metric == "AUC") & (found.comparator == "imagenet_supervised")]
    >>> stratum = pool(part, "AUC against ImageNet")
    >>> stratum.clusters, stratum.grade.name
    (7, 'insufficient')
    """
    clusters = effects["cluster_id"].nunique()
    if clusters < LEAST_CLUSTERS:
        weak = grade(
            confidence=(0.0, 0.0), prediction=None, clusters=clusters, sign_changes=False, strong_weight=0.0
        )
        return Stratum(name, effects, None, None, None, weak, _strong(effects, 0.0))
    fit = multilevel(effects["yi"], effects["vi"], effects["cluster_id"], rho=rho)
    robust = fit.robust()
    left_out = None
    if clusters > LEAST_CLUSTERS:
        left_out = leave_one_out(effects["yi"], effects["vi"], cluster=effects["cluster_id"], rho=rho)
    row = robust.predict().iloc[0]
    share = _strong(effects, fit.heterogeneity)
    graded = grade(
        confidence=(row.ci_low, row.ci_high), prediction=(row.pi_low, row.pi_high), clusters=clusters,
        sign_changes=left_out is not None and bool(left_out["sign_changes"].any()), strong_weight=share,
    )  # fmt: skip
    return Stratum(name, effects, fit, robust, left_out, graded, share)


def _strong(effects: pd.DataFrame, heterogeneity: float) -> float:
    if effects.empty:
        return float("nan")
    weight = 1 / (effects["vi"] + heterogeneity)
    return float(weight[effects["variance_origin"].isin(STRONG_RUNGS)].sum() / weight.sum())


def strata(effects: pd.DataFrame, by: list[str], *, rho: float = RHO) -> pd.DataFrame:
    """Pool each combination of the columns `by` and return one row each, columns of `by` first.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> found = effects()
    >>> table = strata(found[found.metric == "Dice"], ["comparator"])
    >>> table[["comparator", "clusters"]].values.tolist()
    [['imagenet_supervised', 4], ['other_supervised', 2], ['random', 18]]
    """
    rows = []
    for key, part in effects.groupby(by, sort=True):
        keys = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        rows.append(keys | pool(part, ", ".join(map(str, keys.values())), rho=rho).row())
    return pd.DataFrame(rows)
