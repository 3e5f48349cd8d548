"""The central model of the survey: the gain against the label ratio, beside what else moderates it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence import MINIMAL_GAIN
from medssl.meta import (
    BreakEven,
    MultilevelFit,
    RobustFit,
    ShapeFit,
    WaldTest,
    multilevel,
    probability_of_gain,
    shape,
)

__all__ = ["LEAST_FOR_MODERATORS", "CentralModel", "central_model"]

LEAST_FOR_MODERATORS = 10  # clusters; below it no model with moderators is fitted
LEAST_IN_LEVEL = 3  # clusters; rarer levels of a moderator are merged or left out
FACTORS = {"comparator": "random", "modality": "xray", "family": "contrastive", "task_type": "classification"}


@dataclass(frozen=True, eq=False)
class CentralModel:
    """The fitted central model of one set of effects.

    Attributes
    ----------
    effects : DataFrame
        The rows that entered: those with a known ratio, rare levels merged.
    x : str
        "log10_label_ratio" or "log10_label_fraction".
    factors : tuple of str
        Moderators beside the ratio.
    shape : ShapeFit or None
        Line and spline of the ratio, factors as dummies; None where nothing was fitted.
    tests : DataFrame
        Joint robust tests (HTZ) of the ratio's departure from a line, of its slope, and of each factor.
    interaction : WaldTest or None
        Of modality by ratio; None where modalities are too thin.
    reason : str
        Why nothing was fitted, or what was merged or left out.
    r2 : float
        Share of both variances that the line and the factors account for, in percent.
    """

    effects: pd.DataFrame
    x: str
    factors: tuple[str, ...]
    shape: ShapeFit | None
    tests: pd.DataFrame
    interaction: WaldTest | None
    reason: str
    r2: float

    def slope(self) -> RobustFit:
        """Return the robust form of the straight line; its second coefficient is the slope."""
        return self.shape.line.robust()

    def curves(
        self, by: str = "modality", form: str = "line", points: int = 25, minimal: float = MINIMAL_GAIN
    ) -> pd.DataFrame:
        """Return the fitted curve for each level of a factor over its own observed range.

        Other factors are at their means. Columns: `by`, the ratio, ``estimate, ci_low, ci_high, pi_low,
        pi_high``, and the probabilities `p_gain` and `p_minimal` that a new study gains more than 0 and more
        than `minimal`.
        """
        levels = sorted(self.effects[by].unique())
        return pd.concat(
            [self._curve(by, level, form, points, minimal) for level in levels], ignore_index=True
        )

    def _curve(self, by: str, level: str, form: str, points: int, minimal: float) -> pd.DataFrame:
        seen = self.effects.loc[self.effects[by] == level, self.x]
        at = np.linspace(seen.min(), seen.max(), points if seen.min() < seen.max() else 1)
        rows = self.rows_at(at, form, **{by: level})
        fit = self.shape.line if form == "line" else self.shape.spline
        table = fit.robust().predict(rows[:, 1:])
        for column, least in (("p_gain", 0.0), ("p_minimal", minimal)):
            table[column] = probability_of_gain(fit, least, rows[:, 1:])["probability"]
        return table.assign(**{by: level, self.x: at})

    def rows_at(self, at, form: str = "line", **levels: str) -> np.ndarray:
        """Return design rows [m, p] at ratios and given levels of factors, other factors at their means."""
        rows = self.shape.rows(at, form)
        names = (self.shape.line if form == "line" else self.shape.spline).names
        for number, name in enumerate(names):
            factor, _, level = name.partition(": ")
            if factor in levels:
                rows[:, number] = float(level == levels[factor])
        return rows

    def break_even(self, minimal: float = 0.0, bootstrap: int = 0, seed: int = 0) -> BreakEven:
        """Find the ratio at which the mean gain of the line falls to `minimal`, factors at their means."""
        return self.shape.break_even(minimal, bootstrap=bootstrap, seed=seed)


def central_model(
    effects: pd.DataFrame,
    x: str = "log10_label_ratio",
    factors: tuple[str, ...] = tuple(FACTORS),
    *,
    rho: float = 0.6,
) -> CentralModel:
    """Fit the gain against the ratio and the factors that vary enough.

    Parameters
    ----------
    effects : DataFrame
        As `medssl.evidence.effects` returns them.
    x : {"log10_label_ratio", "log10_label_fraction"}
        The moderator of interest.
    factors : tuple of str
        Columns to adjust for; those with one level are dropped, levels with fewer than three clusters are
        merged as "other", or left out where all of them have fewer; the reference levels are the survey's.
    rho : float
        Sampling correlation within clusters.

    Returns
    -------
    CentralModel
        Without a fit where fewer than ten clusters have a known ratio.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> found = effects()
    >>> model = central_model(found[found.metric == "AUC"])
    >>> model.effects.cluster_id.nunique(), model.factors
    (15, ('comparator', 'modality', 'family'))
    """
    if x not in ("log10_label_ratio", "log10_label_fraction"):
        raise UsageError(f"x is {x!r}; it must be log10_label_ratio or log10_label_fraction.")
    known = effects[np.isfinite(effects[x])].reset_index(drop=True)
    clusters = known["cluster_id"].nunique()
    if clusters < LEAST_FOR_MODERATORS:
        why = f"{clusters} clusters have a known ratio; a model with moderators needs {LEAST_FOR_MODERATORS}"
        return CentralModel(known, x, (), None, pd.DataFrame(), None, why, np.nan)
    known, kept, merged = _merged(known, factors)
    dummies = _dummies(known, kept)
    values = known[x].rename(x)
    other = dummies if dummies.shape[1] else None
    fitted = shape(known["yi"], known["vi"], values, known["cluster_id"], other, rho=rho)
    tests = _tests(fitted, kept)
    return CentralModel(
        known,
        x,
        kept,
        fitted,
        tests,
        _interaction(known, values, dummies, rho),
        merged,
        _explained(known, fitted.line, rho),
    )


def _merged(known: pd.DataFrame, factors) -> tuple[pd.DataFrame, tuple[str, ...], str]:
    """Merge or leave out rare levels; drop factors that do not vary."""
    notes, kept = [], []
    for factor in factors:
        clusters = known.groupby(factor)["cluster_id"].nunique()
        rare = sorted(clusters.index[clusters < LEAST_IN_LEVEL])
        if rare:
            part = known[factor].isin(rare)
            if known.loc[part, "cluster_id"].nunique() < LEAST_IN_LEVEL:
                known = known[~part].reset_index(drop=True)
                notes.append(f"{factor}: {', '.join(rare)} left out, {int(part.sum())} effects")
            else:
                known = known.assign(**{factor: known[factor].mask(part, "other")})
                notes.append(f"{factor}: {', '.join(rare)} merged as other")
        if known[factor].nunique() > 1:
            kept.append(factor)
        else:
            notes.append(f"{factor} does not vary")
    return known, tuple(kept), "; ".join(notes)


def _dummies(known: pd.DataFrame, factors) -> pd.DataFrame:
    columns = {}
    for factor in factors:
        levels = sorted(known[factor].unique())
        reference = FACTORS.get(factor) if FACTORS.get(factor) in levels else levels[0]
        for level in levels:
            if level != reference:
                columns[f"{factor}: {level}"] = (known[factor] == level).astype(float)
    return pd.DataFrame(columns, index=known.index)


def _tests(fitted: ShapeFit, factors) -> pd.DataFrame:
    line = fitted.line.robust()
    rows = [
        {"term": f"{fitted.name}, slope of the line"} | vars(line.wald([fitted.name])),
        {"term": f"{fitted.name}, departure from the line"} | vars(fitted.nonlinearity),
    ]
    for factor in factors:
        names = [name for name in line.names if name.startswith(f"{factor}: ")]
        rows.append({"term": factor} | vars(line.wald(names)))
    return pd.DataFrame(rows).drop(columns="names")


def _interaction(
    known: pd.DataFrame, values: pd.Series, dummies: pd.DataFrame, rho: float
) -> WaldTest | None:
    modality = [name for name in dummies if name.startswith("modality: ")]
    if not modality:
        return None
    products = {f"{values.name} x {name}": dummies[name] * values for name in modality}
    columns = pd.concat([values, dummies, pd.DataFrame(products)], axis=1)
    try:
        fit = multilevel(known["yi"], known["vi"], known["cluster_id"], columns, rho=rho)
        return fit.robust().wald(list(products))
    except UsageError:  # a modality in which the ratio does not vary
        return None


def _explained(known: pd.DataFrame, line: MultilevelFit, rho: float) -> float:
    alone = multilevel(known["yi"], known["vi"], known["cluster_id"], rho=rho).heterogeneity
    return max(0.0, 100 * (1 - line.heterogeneity / alone)) if alone > 0 else np.nan
