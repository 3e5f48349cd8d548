"""Multiverse analysis: the same question under every defensible choice, in one table."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import t
from tqdm import tqdm

from medssl.errors import MedsslError, UsageError
from medssl.meta.multilevel import multilevel
from medssl.meta.random_effects import random_effects

__all__ = ["multiverse"]

DEFAULTS = {
    "yi": "yi", "vi": "vi", "cluster": "cluster_id", "moderators": None, "model": "multilevel", "rho": 0.6,
    "kind": "CR2", "method": "REML", "test": "knha",
}  # fmt: skip
USED = {
    "multilevel": ("yi", "vi", "cluster", "moderators", "model", "rho", "kind"),
    "random_effects": ("yi", "vi", "cluster", "moderators", "model", "method", "test"),
}
LEAST_CLUSTERS = 3
EMPTY = {
    "estimate": np.nan, "se": np.nan, "df": np.nan, "p_value": np.nan, "ci_low": np.nan, "ci_high": np.nan,
    "k": 0, "clusters": 0, "fitted": False, "reason": "",
}  # fmt: skip


def multiverse(
    data: pd.DataFrame,
    choices: Mapping[str, Mapping[str, Mapping]],
    *,
    term: str = "intercept",
    level: float = 0.95,
    progress: bool = False,
    **fixed,
) -> pd.DataFrame:
    """Refit under every combination of choices.

    Parameters
    ----------
    data : DataFrame
        One row an effect.
    choices : mapping of mappings
        Name of a choice to its options, and name of an option to the settings that it makes. Settings:
        `rows` (a query such as ``"confidence == 'high'"``, or a boolean array of shape (k,)), `yi`, `vi`,
        `cluster` (columns), `moderators` (formula), `model` ("multilevel" or "random_effects"), `rho`, `kind`
        (of a multilevel model), `method`, `test` (of random effects). An empty option leaves all as it is.
        Rows of several choices are intersected; another setting belongs to one choice only.
    term : str
        The coefficient to collect.
    level : float
        Coverage of the intervals.
    progress : bool
        Whether to show a progress bar.
    **fixed
        Settings that all analyses share, in place of the defaults: columns "yi", "vi", "cluster_id", a
        multilevel model with rho 0.6, CR2 errors.

    Returns
    -------
    DataFrame
        One row an analysis: a column for each choice, `estimate`, `se`, `df`, `p_value`, `ci_low`, `ci_high`,
        `k`, `clusters`, `fitted`, `reason`, and `main` (the first option everywhere). Analyses that come to
        the same (random effects under another rho) are listed once. One with fewer than three clusters, or
        that fails, is kept with `fitted` False and the reason.

    Raises
    ------
    UsageError
        An unknown setting, a setting in two choices, a query that cannot be used, a column that is absent.

    Examples
    --------
    >>> table = pd.DataFrame({"yi": [0.05, 0.03, 0.04, 0.01, 0.0, 0.02], "vi": 0.0004,
    ...                       "cluster_id": list("aabbcc"), "public": [1, 1, 1, 1, 1, 0]})
    >>> choices = {"rho": {"0.6": {"rho": 0.6}, "0": {"rho": 0.0}},
    ...            "data": {"all": {}, "public only": {"rows": "public == 1"}}}
    >>> multiverse(table, choices)[["rho", "data", "k"]].values.tolist()
    [['0.6', 'all', 6], ['0.6', 'public only', 5], ['0', 'all', 6], ['0', 'public only', 5]]
    """
    base = {**DEFAULTS, **fixed}
    _check(choices, base)
    masks = {
        (name, option): _mask(data, settings.get("rows"), f"{name}: {option}")
        for name, options in choices.items() for option, settings in options.items()
    }  # fmt: skip
    rows, seen = [], set()
    combinations = list(itertools.product(*(options.items() for options in choices.values())))
    for number, combination in enumerate(tqdm(combinations, desc="multiverse", disable=not progress)):
        picked = {name: option for name, (option, _) in zip(choices, combination, strict=True)}
        settings = base | {
            key: value for _, one in combination for key, value in one.items() if key != "rows"
        }
        kept = np.logical_and.reduce([np.ones(len(data), bool), *(masks[item] for item in picked.items())])
        key = (kept.tobytes(), *(str(settings[name]) for name in USED[settings["model"]]))
        if key not in seen:
            seen.add(key)
            rows.append({**picked, **_analyse(data[kept], settings, term, level), "main": number == 0})
    return pd.DataFrame(rows)


def _check(choices, base) -> None:
    unknown = sorted(set(base) - set(DEFAULTS))
    makers: dict[str, str] = {}
    taken = sorted(set(choices) & {*EMPTY, "main"})
    if taken:
        raise UsageError(f"choice {taken[0]!r} has the name of a column of the result; call it otherwise.")
    for name, options in choices.items():
        if not options:
            raise UsageError(f"choice {name!r} has no options.")
        made = set().union(*options.values())
        unknown += sorted(made - set(DEFAULTS) - {"rows"})
        for key in made - {"rows"}:
            if key in makers:
                raise UsageError(f"{key} is set by the choices {makers[key]!r} and {name!r}; join the two.")
            makers[key] = name
    if unknown:
        raise UsageError(f"unknown setting {unknown[0]!r}; known: rows, {', '.join(DEFAULTS)}.")
    models = {base["model"]} | {o["model"] for c in choices.values() for o in c.values() if "model" in o}
    if models - set(USED):
        raise UsageError(f"model is {sorted(models - set(USED))[0]!r}; it must be one of {', '.join(USED)}.")


def _mask(data: pd.DataFrame, rows, where: str) -> np.ndarray:
    if rows is None:
        return np.ones(len(data), dtype=bool)
    if isinstance(rows, str):
        try:
            mask = np.asarray(data.eval(rows))
        except Exception as error:  # pandas raises what the expression raises
            raise UsageError(f"{where}: the rows {rows!r} cannot be selected ({error}).") from error
    else:
        mask = np.asarray(rows)
    if mask.dtype != bool or mask.shape != (len(data),):
        raise UsageError(f"{where}: rows must give one true or false for each of the {len(data)} effects.")
    return mask


def _analyse(data: pd.DataFrame, settings: dict, term: str, level: float) -> dict:
    columns = [settings[name] for name in ("yi", "vi", "cluster")]
    missing = [name for name in columns if name not in data]
    if missing:
        known = ", ".join(map(str, data))
        raise UsageError(f"the table has no column {', '.join(missing)}; it has {known}.")
    clusters = data[settings["cluster"]].nunique()
    result = EMPTY | {"k": len(data), "clusters": clusters}
    if clusters < LEAST_CLUSTERS:
        return result | {"reason": f"{clusters} clusters; a model needs {LEAST_CLUSTERS}"}
    try:
        return result | _estimate(data, settings, term, level) | {"fitted": True}
    except MedsslError as error:
        return result | {"reason": str(error)}


def _estimate(data: pd.DataFrame, settings: dict, term: str, level: float) -> dict:
    y, v, cluster = (data[settings[name]] for name in ("yi", "vi", "cluster"))
    formula = settings["moderators"]
    options = {"moderators": formula, "data": data} if formula else {}
    if settings["model"] == "random_effects":
        fit = random_effects(y, v, method=settings["method"], test=settings["test"], **options)
        df = np.full(len(fit.names), fit.df)
    else:
        fit = multilevel(y, v, cluster, rho=settings["rho"], **options).robust(settings["kind"], level)
        df = fit.df
    if term not in fit.names:
        raise UsageError(f"the model has no coefficient {term!r}; it has {', '.join(fit.names)}.")
    i = fit.names.index(term)
    half = float(t.isf((1 - level) / 2, df[i]) * fit.se[i])
    return {"estimate": fit.coef[i], "se": fit.se[i], "df": df[i], "p_value": fit.p_value[i],
            "ci_low": fit.coef[i] - half, "ci_high": fit.coef[i] + half}  # fmt: skip
