"""How many losses sampling error and heterogeneity would make, beside how many there were."""

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from medssl.errors import UsageError
from medssl.evidence import MINIMAL_GAIN, published
from medssl.evidence.dispersion import dispersions
from medssl.evidence.variance import ASSUMED_RUNS, arm_variances
from medssl.meta import egger, multilevel, probability_of_gain
from medssl.synthesis.stratum import LEAST_CLUSTERS, RHO, STRONG_RUNGS

__all__ = ["clear_losses", "expected_losses", "gain_limits", "small_study_direction"]

LEAST_FOR_EGGER = 10  # clusters
BASES = {"measured": STRONG_RUNGS, "modelled": ("hanley_mcneil", "binomial", "dice_quadratic")}


def expected_losses(
    rows: pd.DataFrame, name: str = "", *, rho: float = RHO, draws: int = 4000, seed: int = 0
) -> dict:
    """Compare the observed share of losses with that of the fitted model.

    Parameters
    ----------
    rows : DataFrame
        Effects of one metric and one comparator: `yi`, `vi`, `cluster_id`, `loss`.
    name : str
        What to call them.
    rho : float
        Correlation of sampling errors within clusters.
    draws, seed : int
        Of the simulation of the number of losses.

    Returns
    -------
    dict
        `name`, `effects`, `clusters`, `losses`, `mean`, `observed` (share of losses) and, where three
        clusters allow a fit,

        - `sampling`: the expected share were every true gain the pooled mean, and `sampling_high`, above
          which the share lies in 2.5% of simulated literatures of that kind;
        - `expected`: the expected share with heterogeneity too, and `low`, `high`, within which the share
          lies in 95% of simulated literatures of the same design;
        - `expected_clusters`, `observed_clusters`: both shares as means over clusters;
        - `as_few`: how often a simulated literature has as few losses as there were, or fewer;
        - `true`: the share of true gains below 0, which remains however many cases are tested;
        - `new`: the probability that a new cluster's true gain is below 0, which adds the uncertainty of the
          mean (t distribution, as in `medssl.meta.probability_of_gain`).

    Notes
    -----
    With the fitted mean m and variances s1^2 of clusters and s2^2 of effects, an observed gain of variance v
    is N(m, s1^2 + s2^2 + v), so that the expected share is the mean of Phi(-m / sqrt(s1^2 + s2^2 + v)); for
    `sampling` both variances are left out, and for `true` v is. The simulation draws u_j, w_ij and errors
    with correlation `rho` inside clusters, all normal. A normal distribution is symmetric: where gains have
    a long upper tail, its variance describes that tail and expects too many losses.

    Examples
    --------
    >>> from medssl.synthesis.negatives import comparisons
    >>> rows = comparisons()
    >>> part = rows[(rows.set == "primary") & (rows.metric == "AUC") & (rows.comparator == "random")]
    >>> found = expected_losses(part)
    >>> found["sampling"] < found["expected"]
    True
    """
    facts = {
        "name": name, "effects": len(rows), "clusters": rows["cluster_id"].nunique(),
        "losses": int(rows["loss"].sum()), "observed": float(rows["loss"].mean()),
        "observed_clusters": float(rows.groupby("cluster_id")["loss"].mean().mean()),
    }  # fmt: skip
    if facts["clusters"] < LEAST_CLUSTERS:
        return facts
    fit = multilevel(rows["yi"], rows["vi"], rows["cluster_id"], rho=rho)
    mean, spread, v = float(fit.coef[0]), fit.heterogeneity, rows["vi"].to_numpy()
    each = norm.cdf(-mean / np.sqrt(spread + v))
    counts = _simulated_losses(fit, fit.sigma2, draws, seed)
    low, high = np.quantile(counts, [0.025, 0.975]) / len(rows)
    alone = np.quantile(_simulated_losses(fit, (0.0, 0.0), draws, seed), 0.975) / len(rows)
    return facts | {
        "mean": mean, "sampling": float(norm.cdf(-mean / np.sqrt(v)).mean()), "sampling_high": float(alone),
        "expected": float(each.mean()),
        "expected_clusters": float(pd.Series(each).groupby(rows["cluster_id"].to_numpy()).mean().mean()),
        "low": float(low), "high": float(high), "as_few": float((counts <= facts["losses"]).mean()),
        "true": float(norm.cdf(-mean / np.sqrt(spread))) if spread > 0 else float(mean < 0),
        "new": float(1 - probability_of_gain(fit)["probability"].iloc[0]),
    }  # fmt: skip


def _simulated_losses(fit, sigma2, draws: int, seed: int) -> np.ndarray:
    """Number of gains below 0 in each simulated literature with these variances, [draws]."""
    random = np.random.default_rng(seed)
    codes, _ = pd.factorize(fit.cluster)
    between, within = np.sqrt(sigma2)
    counts = np.empty(draws, dtype=int)
    for number in range(draws):
        shared = random.standard_normal((2, fit.clusters))[:, codes]  # of true effects, of errors; [2, k]
        own = random.standard_normal((2, fit.k))
        error = np.sqrt(fit.rho) * shared[1] + np.sqrt(1 - fit.rho) * own[1]
        gain = fit.coef[0] + between * shared[0] + within * own[0] + np.sqrt(fit.vi) * error
        counts[number] = (gain < 0).sum()
    return counts


def gain_limits(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a 95% interval of each gain: t limits where the variance is over a few runs, else normal ones.

    Parameters
    ----------
    rows : DataFrame
        Effects of the package on the scale of differences: `effect_id`, `yi`, `vi`, `variance_origin`.

    Returns
    -------
    DataFrame
        `low`, `high`, `critical` and `df`, infinite but on the rung `runs`, where it is Welch's with the
        numbers of runs of both arms (3 where the source does not say). The index is that of `rows`.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> limits = gain_limits(effects())
    >>> bool((limits.critical >= 1.959).all()), bool((limits.df >= 1).all())
    (True, True)
    """
    df = _degrees(rows)
    critical = t.isf(0.025, df)
    half = critical * np.sqrt(rows["vi"])
    table = {"low": rows["yi"] - half, "high": rows["yi"] + half, "critical": critical, "df": df}
    return pd.DataFrame(table, index=rows.index)


def _degrees(rows: pd.DataFrame) -> np.ndarray:
    """Welch's degrees of freedom of differences whose variances are over runs, else infinity."""
    table = published("all").set_index("effect_id", drop=False)
    unknown = sorted(set(rows["effect_id"]) - set(table.index))
    if unknown:
        raise UsageError(f"effect {unknown[0]} is not among the published comparisons; give their effects.")
    table = table.loc[rows["effect_id"]].reset_index(drop=True)
    climbed, found = arm_variances(table), dispersions(table)
    total, spent = 0.0, 0.0
    for arm in ("baseline", "ssl"):
        runs = table["n_runs"].fillna(found[f"{arm}_n"]).fillna(ASSUMED_RUNS).clip(lower=2)
        variance = climbed[f"{arm}_variance"]
        total, spent = total + variance, spent + variance**2 / (runs - 1)
    return np.where(rows["variance_origin"] == "runs", total**2 / spent, np.inf)


def clear_losses(
    rows: pd.DataFrame, minimal: float = MINIMAL_GAIN, *, rho: float = RHO, draws: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """Count comparisons whose own interval lies wholly on one side, and how many chance alone would make.

    Parameters
    ----------
    rows : DataFrame
        As `medssl.synthesis.negatives.comparisons` returns them, with `comparator_run`.
    minimal : float
        The minimal important gain.
    rho : float
        Correlation of sampling errors within runs of a comparator, and within clusters.
    draws, seed : int
        Of the simulation of the number expected by chance.

    Returns
    -------
    DataFrame
        Rows `basis`: "measured" (variances from paired intervals, runs or test intervals), "modelled" (from
        the number of test cases); imputed variances belong to no comparison and are left out. Columns
        `effects`, `clusters`, `losses`; `below` and `below_minimal`, intervals wholly below 0 and below
        -`minimal`, with the clusters that hold them (`below_clusters`); `above`, `above_minimal`;
        `chance`, how many would lie below 0 were every true gain 0; `chance_low` and `chance_high`, within
        which that number lies in 95% of draws where comparisons with one comparator's run share errors;
        `cluster_low` and `cluster_high`, the same where a whole cluster does; and `minimal_chance`,
        `minimal_low`, `minimal_high` for intervals below -`minimal` (runs share errors).

    Notes
    -----
    An interval of 95% lies below 0 by chance in 2.5% of comparisons without a difference; below -m with the
    probability P(T < -c - m / s), with c its critical value and s its standard error. Errors of one cluster
    are correlated, which leaves the expected number and widens its range: two gains over one comparator's
    run share its error, half of their variance. Indicators are drawn from a normal copula with correlation
    `rho` inside runs, or inside clusters. Where pretraining helps, chance alone makes fewer losses, so that
    the number is an upper one.

    Examples
    --------
    >>> from medssl.synthesis.negatives import comparisons
    >>> rows = comparisons()
    >>> clear_losses(rows[rows.set == "primary"], draws=50).basis.tolist()
    ['measured', 'modelled']
    """
    found = []
    for basis, rungs in BASES.items():
        part = rows[rows["variance_origin"].isin(rungs)]
        if len(part):
            found.append({"basis": basis} | _clear(part, minimal, rho, draws, seed))
    return pd.DataFrame(found)


def _clear(part: pd.DataFrame, minimal: float, rho: float, draws: int, seed: int) -> dict:
    limits = gain_limits(part)
    below, deep = limits["high"] < 0, limits["high"] < -minimal
    counts = {
        "effects": len(part), "clusters": part["cluster_id"].nunique(), "losses": int(part["loss"].sum()),
        "below": int(below.sum()), "below_clusters": part.loc[below, "cluster_id"].nunique(),
        "below_minimal": int(deep.sum()), "above": int((limits["low"] > 0).sum()),
        "above_minimal": int((limits["low"] > minimal).sum()),
    }  # fmt: skip
    deviation = np.sqrt(part["vi"])
    each, rare = (t.cdf(-limits["critical"] - m / deviation, limits["df"]) for m in (0.0, minimal))
    ranges = {
        "chance": (each, "comparator_run"), "cluster": (each, "cluster_id"),
        "minimal": (rare, "comparator_run"),
    }  # fmt: skip
    counts |= {"chance": float(each.sum()), "minimal_chance": float(rare.sum())}
    for name, (probability, shared) in ranges.items():
        drawn = _correlated_counts(probability, part[shared], rho, draws, seed)
        counts |= dict(zip((f"{name}_low", f"{name}_high"), np.quantile(drawn, [0.025, 0.975]), strict=True))
    return counts


def _correlated_counts(each: np.ndarray, group: pd.Series, rho: float, draws: int, seed: int) -> np.ndarray:
    """How many of events with these probabilities happen, from a normal copula inside groups; [draws]."""
    random = np.random.default_rng(seed)
    codes, names = pd.factorize(group)
    bound = norm.ppf(each)
    shared = random.standard_normal((draws, len(names)))
    counts = np.empty(draws, dtype=int)
    for number in range(draws):
        own = random.standard_normal(len(each))
        counts[number] = (np.sqrt(rho) * shared[number][codes] + np.sqrt(1 - rho) * own < bound).sum()
    return counts


def small_study_direction(strata: dict[str, pd.DataFrame], *, rho: float = RHO) -> pd.DataFrame:
    """Return Egger's regression with cluster-robust errors for each stratum, and which way it points.

    Parameters
    ----------
    strata : dict
        Name to effects of one metric and one comparator.
    rho : float
        Correlation of sampling errors within clusters.

    Returns
    -------
    DataFrame
        `name`, `effects`, `clusters`, `slope` (change of the gain for each unit of its standard error),
        `ci_low`, `ci_high`, `df`, `p_value`, and `direction`: "larger" where imprecise comparisons show
        clearly larger gains, as when imprecise losses go unreported; "smaller"; "no clear direction"; or "too
        few clusters", below ten, where nothing is fitted.

    Examples
    --------
    >>> from medssl.evidence import effects
    >>> few = effects().groupby("cluster_id").head(1).head(4)
    >>> small_study_direction({"four effects": few}).direction.tolist()
    ['too few clusters']
    """
    found = []
    for name, rows in strata.items():
        facts = {"name": name, "effects": len(rows), "clusters": rows["cluster_id"].nunique()}
        if facts["clusters"] < LEAST_FOR_EGGER:
            found.append(facts | {"direction": "too few clusters"})
            continue
        test = egger(rows["yi"], rows["vi"], form="cluster", cluster=rows["cluster_id"], rho=rho)
        way = "larger" if test.ci_low > 0 else "smaller" if test.ci_high < 0 else "no clear direction"
        found.append(
            facts
            | {name: getattr(test, name) for name in ("slope", "ci_low", "ci_high", "df", "p_value")}
            | {"direction": way}
        )
    return pd.DataFrame(found)
