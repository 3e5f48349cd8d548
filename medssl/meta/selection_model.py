"""The step-function selection model of Vevea and Hedges, by default with three parameters."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from medssl.errors import RunError, UsageError
from medssl.meta._fit import RandomEffectsFit
from medssl.meta._inputs import check_choice, effects_and_variances
from medssl.meta._report import p_text
from medssl.meta._selection import Maximum, Selection, maximise
from medssl.meta._tau2 import log_likelihood
from medssl.meta.random_effects import random_effects

__all__ = ["SelectionModel", "selection_model"]


@dataclass(frozen=True, eq=False)
class SelectionModel:
    """The fitted model.

    Attributes
    ----------
    mu, mu_se, statistic, p_value, ci_low, ci_high : float
        Mean effect before selection, standard error, z test, 95% limits.
    tau2, tau2_se : float
        Variance between studies; its standard error is NaN where `tau2` is 0.
    delta, delta_se : ndarray of shape (steps + 1,)
        Chance of being selected in each interval of p values, relative to the first, which is 1; errors are
        NaN for what was not estimated.
    steps : tuple of float
        One-sided p values at which the chance changes.
    counts : ndarray of shape (steps + 1,)
        Number of p values in each interval.
    log_likelihood : float
        At the maximum.
    lr_statistic, lr_df, lr_p : float
        Likelihood-ratio test that all chances are 1; NaN when `delta` was given.
    unselected : RandomEffectsFit
        The fit without selection (maximum likelihood, normal limits).
    alternative : {"greater", "less"}
        As given.
    """

    mu: float
    mu_se: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    tau2: float
    tau2_se: float
    delta: np.ndarray
    delta_se: np.ndarray
    steps: tuple[float, ...]
    counts: np.ndarray
    log_likelihood: float
    lr_statistic: float
    lr_df: int
    lr_p: float
    unselected: RandomEffectsFit
    alternative: str

    def report(self) -> str:
        """Return the result in words."""
        chances = ", ".join(f"{each:.3g}" for each in self.delta[1:])
        steps = ", ".join(f"{each:g}" for each in self.steps)
        text = (
            f"Selection model of {self.unselected.k} effects (one-sided p values, steps at {steps}): beyond "
            f"the steps the chance of selection is {chances} times that of the smallest p values; the mean "
            f"effect before selection is {self.mu:.3g} (95% interval {self.ci_low:.3g} to "
            f"{self.ci_high:.3g}) instead of {self.unselected.coef[0]:.3g}, tau2 = {self.tau2:.3g}"
        )
        if np.isnan(self.lr_p):
            return f"{text}; the chances were given, not estimated."
        return (
            f"{text}; no selection: chi-square({self.lr_df}) = {self.lr_statistic:.2f}, {p_text(self.lr_p)}."
        )


def selection_model(yi, vi, *, steps=(0.025,), alternative: str = "greater", delta=None) -> SelectionModel:
    r"""Fit a random-effects model in which the chance of being selected depends on the p value.

    Parameters
    ----------
    yi, vi : array-like of shape (k,)
        Effects and their sampling variances.
    steps : sequence of float
        Increasing one-sided p values between 0 and 1 at which the chance of selection changes; 0.025 is the
        two-sided 5% level with the effect in the direction of `alternative`.
    alternative : {"greater", "less"}
        Whether selection favours positive or negative effects.
    delta : sequence of float, optional
        Chances of selection beyond each step relative to the first interval, positive, to be held fixed: a
        sensitivity analysis (Vevea and Woods 2005) for data that cannot tell them.

    Returns
    -------
    SelectionModel

    Raises
    ------
    UsageError
        Malformed input, steps that do not increase inside 0 to 1, an unknown alternative, a `delta` of
        another length or not positive.
    RunError
        An interval between steps holds no p value, so that its chance cannot be estimated (unless `delta` is
        given); or the likelihood has no maximum that can be found.

    Notes
    -----
    Vevea and Hedges (1995): an effect has the density
    :math:`\delta(p_i)\,\phi\{(y_i - \mu)/\sigma_i\}/(\sigma_i A_i)` with :math:`\sigma_i^2 = v_i + \tau^2`,
    :math:`p_i = 1 - \Phi(y_i/\sqrt{v_i})`, a chance :math:`\delta_j` for
    :math:`\alpha_{j-1} < p_i \le \alpha_j` and
    :math:`A_i = \sum_j \delta_j P(\alpha_{j-1} < p \le \alpha_j)`. It is fitted by maximum likelihood;
    standard errors come from the observed information. It is metafor's selmodel of type "stepfun"; one step
    gives the three-parameter model. It needs some tens of effects to say much about selection.

    Examples
    --------
    >>> y = [0.12, 0.10, 0.15, 0.30, 0.05, 0.26, 0.42, 0.01, 0.20, 0.09]
    >>> v = [0.002, 0.001, 0.004, 0.020, 0.001, 0.012, 0.030, 0.003, 0.009, 0.002]
    >>> fit = selection_model(y, v)
    >>> print(fit.counts, f"{fit.mu:.3f} {fit.tau2:.3f} {fit.delta[1]:.2f} {fit.lr_p:.2f}")
    [8 2] 0.030 0.000 0.02 0.00
    """
    check_choice("alternative", alternative, ("greater", "less"))
    y, v = effects_and_variances(yi, vi)
    steps = _steps(steps)
    fixed = None if delta is None else np.log(_chances(delta, len(steps)))
    unselected = random_effects(yi, vi, method="ML", test="z")
    sign, unit = (1.0 if alternative == "greater" else -1.0), float(np.sqrt(np.mean(v)))
    selection = Selection.of(sign * y / unit, v / unit**2, steps)
    if fixed is None:
        _every_interval_is_seen(selection.counts, steps)
    start = (sign * unselected.coef[0] / unit, unselected.tau2 / unit**2)
    best = maximise(selection, start, fixed)
    without = log_likelihood(unselected.tau2, y, v, unselected.design, restricted=False)
    value = best.value - len(y) * np.log(unit)
    return _result(best, selection, unselected, sign, unit, value, without, steps, alternative, fixed is None)


def _steps(steps) -> tuple[float, ...]:
    try:
        values = np.atleast_1d(np.asarray(steps, float))
    except (TypeError, ValueError) as error:
        raise UsageError(f"steps is {steps!r}; give p values such as (0.025,).") from error
    inside = values.ndim == 1 and len(values) and np.all((values > 0) & (values < 1))
    if not (inside and np.all(np.diff(values) > 0)):
        raise UsageError(f"steps is {steps!r}; give increasing p values between 0 and 1, such as (0.025,).")
    return tuple(float(value) for value in values)


def _chances(delta, count: int) -> np.ndarray:
    try:
        values = np.atleast_1d(np.asarray(delta, float))
    except (TypeError, ValueError) as error:
        raise UsageError(f"delta is {delta!r}; give one positive number for each step.") from error
    if values.shape != (count,) or not np.all(np.isfinite(values) & (values > 0)):
        raise UsageError(f"delta is {delta!r}; give one positive number for each of the {count} step(s).")
    return values


def _every_interval_is_seen(counts: np.ndarray, steps) -> None:
    edges = (0.0, *steps, 1.0)
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        if count == 0:
            raise RunError(
                f"no effect has a one-sided p value between {low:g} and {high:g}, so the chance of selection "
                "there cannot be estimated. Use other steps, or give the chances as delta."
            )


def _result(best: Maximum, selection, unselected, sign, unit, value, without, steps, alternative, estimated):
    mu, tau2, *logs = best.parameters
    errors = np.sqrt(np.diag(best.covariance))
    mu, se = sign * mu * unit, errors[0] * unit
    half = stats.norm.isf(0.025) * se
    delta = np.exp([0.0, *logs])
    statistic = max(0.0, 2 * (value - without)) if estimated else float("nan")
    return SelectionModel(
        mu=float(mu),
        mu_se=float(se),
        statistic=float(mu / se),
        p_value=float(2 * stats.norm.sf(abs(mu / se))),
        ci_low=float(mu - half),
        ci_high=float(mu + half),
        tau2=float(tau2 * unit**2),
        tau2_se=float(errors[1] * unit**2),
        delta=delta,
        delta_se=delta * np.array([np.nan, *errors[2:]]),
        steps=steps,
        counts=selection.counts,
        log_likelihood=float(value),
        lr_statistic=statistic,
        lr_df=len(steps) if estimated else 0,
        lr_p=float(stats.chi2.sf(statistic, len(steps))),
        unselected=unselected,
        alternative=alternative,
    )
