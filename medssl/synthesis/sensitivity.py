"""The full list of sensitivity analyses of a stratum, as one multiverse."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medssl.errors import UsageError
from medssl.evidence import effects, published
from medssl.meta import multiverse
from medssl.synthesis.stratum import RHO, STRONG_RUNGS

__all__ = ["CHOICES", "sensitivity", "sensitivity_effects"]

CORRELATIONS = {"0.5": "vi", "0": "vi_independent", "0.8": "vi_correlated"}
CHOICES = {
    "rows": {"primary pool": {"rows": "primary"}, "with the sensitivity pool": {}},
    "variance": {"every rung": {}, "rungs 1 to 3 only": {"rows": "strong_rung"}},
    "test cases": {f"correlation {name}": {"vi": column} for name, column in CORRELATIONS.items()},
    "confidence": {"any": {}, "high only": {"rows": "high_confidence"}},
    "values": {"any": {}, "printed only": {"rows": "printed"}},
    "data": {"any": {}, "public only": {"rows": "public"}},
    "largest cluster": {"kept": {}, "left out": {"rows": "not_largest"}},
    "model": {
        f"rho {RHO:g}": {"rho": RHO},
        "rho 0": {"rho": 0.0},
        "rho 0.9": {"rho": 0.9},
        "effects independent": {"model": "random_effects"},
    },
}


def sensitivity_effects(scale: str = "difference") -> pd.DataFrame:
    """Return the effects of the primary and the sensitivity pools with a column for each choice.

    Columns beside those of `medssl.evidence.effects`: `vi_independent` and `vi_correlated` (variances under
    correlations of 0 and 0.8 between both arms on the same test cases), and the booleans `primary`,
    `strong_rung`, `high_confidence`, `printed`, `public`.
    """
    table = published("all", supervision="self")
    table = table[table["pool"].isin(["primary", "sensitivity"])].reset_index(drop=True)
    found = effects(table, scale=scale)
    return found.assign(
        vi_independent=effects(table, scale=scale, rho=0.0)["vi"],
        vi_correlated=effects(table, scale=scale, rho=0.8)["vi"],
        primary=found["pool"] == "primary",
        strong_rung=found["variance_origin"].isin(STRONG_RUNGS),
        high_confidence=found["confidence"] == "high",
        printed=found["extraction"] == "printed",
        public=found["public_data"] == "yes",
    )


def sensitivity(
    rows: pd.DataFrame, names: Sequence[str] = tuple(CHOICES), *, progress: bool = False
) -> pd.DataFrame:
    """Refit the mean of a stratum under every combination of `CHOICES`.

    Parameters
    ----------
    rows : DataFrame
        Rows of `sensitivity_effects` of one metric and one comparator.
    names : sequence of str
        The choices to vary; the others stay at their first option.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        As `medssl.meta.multiverse`; the main analysis is the first option everywhere. The largest cluster is
        that with most effects in the primary pool.
    """
    unknown = [name for name in names if name not in CHOICES]
    if unknown:
        raise UsageError(f"there is no choice {unknown[0]!r}; choose among {', '.join(CHOICES)}.")
    varied = {
        name: options if name in names else dict([next(iter(options.items()))])
        for name, options in CHOICES.items()
    }
    sizes = rows.loc[rows["primary"], "cluster_id"].value_counts()
    largest = sizes.index[0] if len(sizes) else None
    marked = rows.assign(not_largest=np.asarray(rows["cluster_id"] != largest))
    return multiverse(marked.reset_index(drop=True), varied, progress=progress)
