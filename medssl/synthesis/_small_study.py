"""Small-study effects of a table of effects, each as numbers and one sentence."""

import pandas as pd

from medssl.errors import MedsslError
from medssl.meta import egger, pet_peese, rank_correlation, selection_model, trim_and_fill

__all__ = ["small_study"]


def small_study(effects: pd.DataFrame, fit, rho: float, method: str) -> dict[str, dict]:
    """Return the checks that suit the model: cluster-robust ones, or those for independent effects.

    A check that cannot be made says why. With moderators only Egger's regression is made, beside them.
    """
    y, v = effects["yi"], effects["vi"]
    others = fit.design[:, 1:] if len(fit.names) > 1 else None
    if "cluster_id" in effects:
        cluster = effects["cluster_id"]
        checks = {
            "Egger, cluster-robust": lambda: egger(y, v, others, form="cluster", cluster=cluster, rho=rho)
        }
        if others is None:
            checks["PET-PEESE, cluster-robust"] = lambda: pet_peese(y, v, cluster=cluster, rho=rho)
    else:
        checks = {"Egger": lambda: egger(y, v, others, form="regression", method=method)}
        if others is None:
            checks |= {
                "Egger, classical": lambda: egger(y, v, form="classical"),
                "Rank correlation": lambda: rank_correlation(y, v),
                "Trim and fill": lambda: trim_and_fill(y, v, method=method),
                "Selection model": lambda: selection_model(y, v),
                "PET-PEESE": lambda: pet_peese(y, v),
            }
    return {name: _outcome(check) for name, check in checks.items()}


def _outcome(check) -> dict:
    try:
        result = check()
    except MedsslError as error:
        return {"report": f"not computed: {error}"}
    numbers = {
        name: value for name, value in vars(result).items()
        if isinstance(value, int | float | str | bool) and not name.startswith("_")
    }  # fmt: skip
    adjusted = getattr(result, "fit", None)  # trim and fill: the mean with the imputed effects
    if adjusted is not None:
        numbers |= {
            "estimate": adjusted.coef[0],
            "ci_low": adjusted.ci_low[0],
            "ci_high": adjusted.ci_high[0],
        }
    return {"report": result.report(), **numbers}
