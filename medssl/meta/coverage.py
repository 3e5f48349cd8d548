"""Coverage of 95% intervals where the truth is known, for independent effects and for effects in clusters."""

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import stats

from medssl.errors import UsageError
from medssl.meta._coverage_designs import (
    DependentSetting,
    IndependentSetting,
    Sample,
    Setting,
    draw,
    settings,
)
from medssl.meta._inputs import design_matrix
from medssl.meta._tau2 import estimate_tau2
from medssl.meta.multilevel import multilevel
from medssl.meta.random_effects import TESTS, fit_given_tau2, random_effects

__all__ = [
    "DependentSetting",
    "IndependentSetting",
    "Sample",
    "draw",
    "of_setting",
    "read_table",
    "replicate",
    "settings",
    "simulate",
    "to_csv",
]

WORKING_RHO = 0.6
MODERATORS = ("cluster moderator", "effect moderator")
COLUMNS = ["effects", "count", "variances", "i2", "rho", "target", "method", "replicates", "seed"]
COLUMNS += ["undefined", "coverage", "coverage_se", "mean_width", "median_width"]


def replicate(setting: Setting, number: int, seed: int) -> pd.DataFrame:
    """Draw one data set, fit every model, and say which intervals hold the truth.

    Parameters
    ----------
    setting : IndependentSetting or DependentSetting
    number : int
        Which data set of the setting.
    seed : int
        The same setting, number and seed give the same numbers, bit for bit.

    Returns
    -------
    DataFrame
        ``target, method, covers, width``: 1 or 0, and the width of the interval; both are NaN where there is
        no interval, as with too few clusters. A joint test "covers" when it does not reject the true
        coefficients, and has no width.

    Notes
    -----
    Methods of independent effects: REML with the tests "z", "knha" and "adhoc" of `random_effects`. Methods
    of dependent effects: "naive", `random_effects` as if effects were independent; "model", `multilevel` with
    rho = 0.6 and its own errors; "CR1", the same with robust errors and t with clusters - p degrees of
    freedom; "CR2", the same with Satterthwaite degrees of freedom, and HTZ as its joint test.

    Examples
    --------
    >>> table = replicate(IndependentSetting(count=10, variances="mild", i2=0.5), number=0, seed=1)
    >>> table.method.to_list()
    ['z', 'knha', 'adhoc']
    """
    sample = draw(setting, np.random.default_rng([seed, *setting.seeds, number]))
    fits = _independent if isinstance(setting, IndependentSetting) else _dependent
    return pd.DataFrame(list(fits(sample)), columns=["target", "method", "covers", "width"])


def _independent(sample: Sample) -> Iterator[tuple]:
    design = design_matrix(None, sample.yi, len(sample.yi))
    tau2 = estimate_tau2("REML", sample.yi, sample.vi, design.values)
    for test in TESTS:
        fit = fit_given_tau2(sample.yi, sample.vi, design, tau2, "REML", test)
        yield _interval("mean", test, fit.ci_low[0], fit.ci_high[0])


def _dependent(sample: Sample) -> Iterator[tuple]:
    """Fit the mean alone, then both moderators, ignoring clusters and with three ways of minding them."""
    data = sample.yi, sample.vi
    for moderators, targets in ((None, {0: "mean"}), (sample.moderators, dict(enumerate(MODERATORS, 1)))):
        naive = random_effects(*data, moderators)
        model = multilevel(*data, sample.cluster, moderators, rho=WORKING_RHO)
        first, second = model.robust("CR1"), model.robust("CR2")
        df = model.clusters - len(model.names)
        half = stats.t.isf(0.025, df) * first.se
        for i, target in targets.items():
            yield _interval(target, "naive", naive.ci_low[i], naive.ci_high[i])
            yield _interval(target, "model", model.ci_low[i], model.ci_high[i])
            yield _interval(target, "CR1", first.coef[i] - half[i], first.coef[i] + half[i])
            yield _interval(target, "CR2", second.ci_low[i], second.ci_high[i])
    yield from (("joint test", name, _kept(p), np.nan) for name, p in _joint(naive, model, first, second, df))


def _joint(naive, model, first, second, df: int) -> Iterator[tuple[str, float]]:
    """Yield the p value of the test that both slopes are 0."""
    yield "naive", naive.qm_p
    yield "model", model.qm_p
    coef, covariance = first.coef[1:], first.covariance[1:, 1:]
    wald = coef @ np.linalg.solve(covariance, coef) / len(coef)
    yield "CR1", float(stats.f.sf(wald, len(coef), df))
    yield "CR2", second.wald().p_value


def _interval(target: str, method: str, low: float, high: float) -> tuple:
    if not np.isfinite(high - low):
        return target, method, np.nan, np.nan
    return target, method, float(low <= 0 <= high), float(high - low)


def _kept(p_value: float) -> float:
    return float(p_value >= 0.05) if np.isfinite(p_value) else np.nan


def simulate(setting: Setting, replicates: int, seed: int) -> pd.DataFrame:
    r"""Repeat a setting and summarise it.

    Parameters
    ----------
    setting : IndependentSetting or DependentSetting
    replicates : int
        Number of data sets.
    seed : int
        See `replicate`.

    Returns
    -------
    DataFrame
        One row a target and method. ``effects``: independent or dependent; ``count, variances, i2, rho``: the
        setting; ``target, method, replicates, seed``; ``undefined``, the number of data sets without an
        interval, which the other columns leave out; ``coverage`` and its Monte Carlo standard error
        ``coverage_se``, :math:`\sqrt{c (1 - c) / n}`; ``mean_width, median_width``, in units of the typical
        standard error. The type I error of a joint test is 1 less its coverage.

    Raises
    ------
    UsageError
        Fewer than one replicate.

    Examples
    --------
    >>> table = simulate(IndependentSetting(count=5, variances="mild", i2=0.0), replicates=20, seed=1)
    >>> bool(table.mean_width[2] >= table.mean_width[0])
    True
    """
    if replicates < 1:
        raise UsageError(f"replicates is {replicates}; give 1 or more.")
    rows = pd.concat([replicate(setting, number, seed) for number in range(replicates)], ignore_index=True)
    table = rows.groupby(["target", "method"], sort=False).agg(
        undefined=("covers", lambda covers: int(covers.isna().sum())),
        coverage=("covers", "mean"),
        mean_width=("width", "mean"),
        median_width=("width", "median"),
    )
    table = table.reset_index().assign(replicates=replicates, seed=seed, **_columns(setting))
    counted = table.replicates - table.undefined
    return table.assign(coverage_se=np.sqrt(table.coverage * (1 - table.coverage) / counted))[COLUMNS]


def _columns(setting) -> dict:
    effects = "independent" if isinstance(setting, IndependentSetting) else "dependent"
    return {"effects": effects, "variances": "", "i2": np.nan, "rho": np.nan, **asdict(setting)}


def to_csv(table: pd.DataFrame) -> str:
    """Return a table as text, with eight digits: the last ones of an iterated fit depend on the machine."""
    return table.to_csv(index=False, lineterminator="\n", float_format="%.8g")


def read_table(path) -> pd.DataFrame:
    """Read a file that holds the text of `to_csv`, which is what `to_csv` then gives back."""
    return pd.read_csv(path).fillna({"variances": ""})


def of_setting(table: pd.DataFrame, setting: Setting) -> np.ndarray:
    """Return which rows of a table belong to a setting."""
    wanted = pd.Series(_columns(setting)).fillna(-1.0)
    return (table[list(wanted.index)].fillna(-1.0) == wanted).all(axis=1).to_numpy()
