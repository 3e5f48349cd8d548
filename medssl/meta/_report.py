"""A fitted model as one written paragraph."""

import numpy as np

__all__ = ["p_text", "paragraph"]

TESTS = {
    "z": "normal intervals",
    "knha": "Knapp-Hartung intervals",
    "adhoc": "Knapp-Hartung intervals that may not narrow",
}


def p_text(p: float) -> str:
    """Return `p = 0.012` or `p < 0.001`.

    Examples
    --------
    >>> p_text(0.0123), p_text(1e-9)
    ('p = 0.012', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def paragraph(fit) -> str:
    """Describe a `RandomEffectsFit`: model, estimates, prediction, heterogeneity."""
    return " ".join([_model(fit), *_estimates(fit), *_heterogeneity(fit)])


def _model(fit) -> str:
    kind = "common-effect" if fit.method == "FE" else "random-effects"
    verb = "pooled in" if len(fit.names) == 1 else "regressed on " + ", ".join(fit.names[1:]) + " in"
    degrees = f" on {fit.df:g} degrees of freedom" if np.isfinite(fit.df) else ""
    noun = "effect was" if fit.k == 1 else "effects were"
    method = "" if fit.method == "FE" else f"{fit.method}; "
    return f"{fit.k} {noun} {verb} a {kind} model ({method}{TESTS[fit.test]}{degrees})."


def _estimates(fit) -> list[str]:
    if len(fit.names) == 1:
        text = [f"The pooled estimate is {_interval(fit, 0)}."]
        row = fit.predict().iloc[0]
        if np.isfinite(row.pi_low):
            text.append(
                f"A new true effect is predicted between {row.pi_low:.3g} and {row.pi_high:.3g} (95%)."
            )
        return text
    slopes = "; ".join(f"{name} {_interval(fit, i + 1)}" for i, name in enumerate(fit.names[1:]))
    degrees = f"F({len(fit.names) - 1}, {fit.df:g})" if np.isfinite(fit.df) else f"QM({len(fit.names) - 1})"
    joint = f"Jointly, {degrees} = {fit.qm:.2f}, {p_text(fit.qm_p)}"
    explained = f"; R2 = {fit.r2:.1f}%." if np.isfinite(fit.r2) else "."
    return [f"Intercept {_interval(fit, 0)}; coefficients: {slopes}.", joint + explained]


def _interval(fit, i: int) -> str:
    limits = f"95% interval {fit.ci_low[i]:.3g} to {fit.ci_high[i]:.3g}"
    return f"{fit.coef[i]:.3g} ({limits}, {p_text(fit.p_value[i])})"


def _heterogeneity(fit) -> list[str]:
    degrees = fit.k - len(fit.names)
    if degrees == 0:
        return []
    test = f"Q({degrees}) = {fit.q:.2f}, {p_text(fit.q_p)}"
    kind = "Residual heterogeneity" if len(fit.names) > 1 else "Heterogeneity"
    if fit.method == "FE":
        return [f"{kind}: {test}, I2 = {fit.i2:.1f}%."]
    interval = fit.tau2_interval()
    limits = f"tau2 = {fit.tau2:.3g} (95% Q-profile interval {interval.low:.3g} to {interval.high:.3g})"
    if interval.is_empty:
        limits = (
            f"tau2 = {fit.tau2:.3g} (the Q-profile interval is empty: effects scatter less than expected)"
        )
    return [f"{kind}: {limits}, I2 = {fit.i2:.1f}%, {test}."]
