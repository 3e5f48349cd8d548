"""The ladder of variances: for each row the most direct rung that its source allows.

1. `paired_ci`: a printed paired interval or standard error of the gain.
2. `runs`: deviations over runs or folds of both arms.
3. `test_ci`: intervals, standard errors or deviations over test cases of both arms.
4. `hanley_mcneil`: AUC and the number of test cases.
5. `binomial`: accuracy and the number of test cases; `dice_quadratic`: Dice and that number.
6. `imputed`: nothing known; `medssl.evidence.effects` fills in a median.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

from medssl.evidence.dispersion import dispersions
from medssl.evidence.paired import match_paired_gains
from medssl.evidence.sampling import (
    binomial_variance,
    case_deviations,
    dice_deviation,
    hanley_mcneil_variance,
    pull_in,
)
from medssl.evidence.tables import published

__all__ = ["ASSUMED_RUNS", "RUNGS", "arm_variances", "implied_correlations", "join_flags"]

RUNGS = ("paired_ci", "runs", "test_ci", "hanley_mcneil", "binomial", "dice_quadratic", "imputed")
ASSUMED_RUNS = 3
HALF_WIDTH = norm.ppf(0.975)
ARMS = ("baseline", "ssl")


def arm_variances(table: pd.DataFrame) -> pd.DataFrame:
    """Climb the ladder for each row.

    Parameters
    ----------
    table : DataFrame
        Rows as `medssl.evidence.published` returns them, with unique `effect_id`.

    Returns
    -------
    DataFrame
        Index of `table`; `variance_origin` (one of `RUNGS`), `baseline_variance` and `ssl_variance` (of
        the two scores; NaN where only the gain's is known, or nothing), `gain_variance` (NaN but on the
        rung `paired_ci`), `shared_cases` (whether both variances come from the same test cases, so that
        they are correlated) and `flags` (names joined by ", ").

    Examples
    --------
    >>> from medssl.evidence import published
    >>> table = published()
    >>> climbed = arm_variances(table[table["study_id"] == "hosseinzadehtaher2022_caid"])
    >>> set(climbed["variance_origin"])
    {'runs'}
    """
    found = dispersions(table)
    steps = {
        "runs": _runs(table, found),
        "test_ci": _test(table, found),
        "hanley_mcneil": _hanley_mcneil(table),
        "binomial": _binomial(table),
        "dice_quadratic": _dice(table),
    }
    arms, origin, flags = _first(table.index, steps)
    gain = _paired(table, found)
    marginal = steps["test_ci"][0]
    arms = arms.mask(gain.notna(), marginal)
    origin = origin.mask(gain.notna(), "paired_ci")
    flags = flags.mask(gain.notna(), "")
    return arms.assign(
        gain_variance=gain,
        variance_origin=origin,
        shared_cases=~origin.isin(["runs", "imputed"]),
        flags=join_flags(flags, _unused(table, found, origin)),
    )


def implied_correlations(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the correlation between arms that paired and marginal intervals of one row imply.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default every row but the excluded ones.

    Returns
    -------
    DataFrame
        `effect_id`, `study_id`, `adaptation` and `rho` = (v1 + v2 - v) / (2 sqrt(v1 v2)), for the rows
        that print both: what the assumed correlation of the other rows can be held against.

    Examples
    --------
    >>> found = implied_correlations()
    >>> len(found), round(float(found["rho"].median()), 2)
    (68, 0.66)
    """
    rows = published("all") if table is None else table
    climbed = arm_variances(rows)
    first, second, gain = (climbed[f"{name}_variance"] for name in ("baseline", "ssl", "gain"))
    rho = (first + second - gain) / (2 * np.sqrt(first * second))
    found = rows[["effect_id", "study_id", "adaptation"]].assign(rho=rho)
    return found[rho.notna()].reset_index(drop=True)


def join_flags(*columns: pd.Series) -> pd.Series:
    """Join columns of flag names row by row, without blanks.

    Examples
    --------
    >>> join_flags(pd.Series(["a", ""]), pd.Series(["b", "c"])).tolist()
    ['a, b', 'c']
    """
    rows = zip(*columns, strict=True)
    joined = [", ".join(name for name in row if name) for row in rows]
    return pd.Series(joined, index=columns[0].index, dtype=object)


def _flag(index, **masks):
    return join_flags(
        pd.Series("", index=index, dtype=object),
        *(pd.Series(np.where(mask, name, ""), index=index, dtype=object) for name, mask in masks.items()),
    )


def _first(index, steps):
    """Take the first rung on which both arms have a variance."""
    arms = pd.DataFrame(np.nan, index=index, columns=[f"{arm}_variance" for arm in ARMS])
    origin = pd.Series("imputed", index=index, dtype=object)
    flags = pd.Series("", index=index, dtype=object)
    for name, (variances, notes) in steps.items():
        takes = (origin == "imputed") & variances.notna().all(axis=1)
        arms = arms.mask(takes, variances)
        origin = origin.mask(takes, name)
        flags = flags.mask(takes, notes)
    return arms, origin, flags


def _both(index, baseline, ssl):
    both = pd.DataFrame({"baseline_variance": baseline, "ssl_variance": ssl}, index=index).astype(float)
    return both.where(both.gt(0).all(axis=1))


def _paired(table, found):
    """Variance of the gain where a paired interval or standard error of it is printed."""
    of_cases = found["paired_over"] == "cases"
    error = found["paired_value"].where(of_cases & (found["paired_kind"] == "SE"))
    width = (found["paired_high"] - found["paired_low"]).where(of_cases)
    gains = match_paired_gains(table)
    gains = gains[gains["status"] == "matched"].set_index("effect_id")
    printed = table["effect_id"].map(gains["gain_hi95"] - gains["gain_lo95"])
    error = error.fillna((width.fillna(printed)) / (2 * HALF_WIDTH))
    return (error**2).where(error > 0)


def _runs(table, found):
    variances, assumed, rounded = {}, False, False
    for arm in ARMS:
        over_runs = found[f"{arm}_over"].isin(["runs", "folds"]) & (found[f"{arm}_kind"] == "SD")
        deviation = found[f"{arm}_value"].where(over_runs)
        zero = deviation == 0
        n = table["n_runs"].fillna(found[f"{arm}_n"])
        assumed, rounded = assumed | n.isna(), rounded | zero
        variances[arm] = deviation.mask(zero, found[f"{arm}_half_unit"]) ** 2 / n.fillna(ASSUMED_RUNS)
    notes = _flag(table.index, runs_assumed=assumed, zero_deviation_rounded=rounded)
    return _both(table.index, **variances), notes


def _test(table, found):
    variances, of_cases, halves = {}, False, False
    for arm in ARMS:
        kind, over = found[f"{arm}_kind"], found[f"{arm}_over"]
        known = over.isin(["cases", "test_bootstrap"])
        width = (found[f"{arm}_high"] - found[f"{arm}_low"]).where(known & (kind == "95% interval"))
        error = found[f"{arm}_value"].where(known & ((kind == "SE") | (over == "test_bootstrap")))
        deviation = found[f"{arm}_value"].where((over == "cases") & (kind == "SD"))
        of_cases |= deviation.notna()
        halves |= (over == "test_bootstrap") & (kind == "SD")
        error = error.fillna(width / (2 * HALF_WIDTH)).fillna(deviation / np.sqrt(table["n_test"]))
        variances[arm] = error**2
    notes = _flag(table.index, rho_assumed=True, from_case_deviation=of_cases, bootstrap_deviation=halves)
    return _both(table.index, **variances), notes


def _hanley_mcneil(table):
    prevalence = table["prevalence"] if "prevalence" in table else pd.Series(np.nan, index=table.index)
    share = prevalence.fillna(0.5)
    rows = table["metric"] == "AUC"
    variances = {
        arm: hanley_mcneil_variance(value, share * table["n_test"], (1 - share) * table["n_test"])
        for arm, value in _inside(table, rows)
    }
    notes = _flag(table.index, rho_assumed=True, prevalence_assumed=prevalence.isna())
    return _both(table.index, **variances), notes


def _binomial(table):
    rows = table["metric"].isin(["accuracy", "balanced_accuracy"])
    variances = {arm: binomial_variance(value, table["n_test"]) for arm, value in _inside(table, rows)}
    notes = _flag(table.index, rho_assumed=True, balanced_as_plain=table["metric"] == "balanced_accuracy")
    return _both(table.index, **variances), notes


def _dice(table):
    rows = table["metric"] == "Dice"
    variances = {arm: dice_deviation(value) ** 2 / table["n_test"] for arm, value in _inside(table, rows)}
    fitted = case_deviations()["dice"]
    values = table[["baseline_value", "ssl_value"]]
    outside = (values.lt(fitted.min()) | values.gt(fitted.max())).any(axis=1)
    notes = _flag(table.index, rho_assumed=True, dice_deviation_fitted=True, dice_outside_fit=outside)
    return _both(table.index, **variances), notes


def _inside(table, rows):
    for arm in ARMS:
        yield arm, pd.Series(pull_in(table[f"{arm}_value"], table["n_test"]), index=table.index).where(rows)


def _unused(table, found, origin):
    """Name printed dispersions that the chosen rung could not use."""
    below = ~origin.isin(["paired_ci", "runs", "test_ci"])
    kinds = found[["baseline_kind", "ssl_kind"]]
    printed = ~kinds.isin(["none", "not understood"])
    unknown = (found[["baseline_over", "ssl_over"]] == "unknown").any(axis=1)
    return _flag(
        table.index,
        dispersion_not_understood=(kinds == "not understood").any(axis=1),
        dispersion_of_unknown_meaning=below & unknown,
        dispersion_of_one_arm=below & (printed.sum(axis=1) == 1),
        test_size_unknown=below & printed.all(axis=1) & ~unknown,
        organ_error_not_used=found["paired_over"] == "organs",
    )
