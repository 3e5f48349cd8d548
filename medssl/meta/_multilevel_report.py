"""A multilevel fit as one written paragraph."""

from medssl.meta._report import p_text

__all__ = ["multilevel_paragraph"]


def multilevel_paragraph(fit) -> str:
    """Describe a `MultilevelFit`: model, robust estimates, prediction, variances."""
    robust = fit.robust() if fit.clusters >= max(2, len(fit.names)) else None
    return " ".join([_model(fit), *_estimates(fit, robust), *_variances(fit)])


def _model(fit) -> str:
    kind = "three-level" if fit.rho == 0 else "correlated-and-hierarchical-effects"
    verb = "pooled in" if len(fit.names) == 1 else "regressed on " + ", ".join(fit.names[1:]) + " in"
    rho = f", sampling correlation {fit.rho:g} within clusters" if fit.rho else ""
    return (
        f"{fit.k} effects in {fit.clusters} clusters were {verb} a {kind} model (REML{rho}); "
        "intervals are cluster-robust (CR2, Satterthwaite degrees of freedom)."
    )


def _estimates(fit, robust) -> list[str]:
    if robust is None:
        return ["There are too few clusters for robust errors."]
    if len(fit.names) == 1:
        row = robust.predict().iloc[0]
        return [
            f"The pooled estimate is {_interval(robust, 0)}.",
            f"The true effect in a new cluster is predicted between {row.pi_low:.3g} and "
            f"{row.pi_high:.3g} (95%).",
        ]
    slopes = "; ".join(f"{name} {_interval(robust, i + 1)}" for i, name in enumerate(fit.names[1:]))
    return [f"Intercept {_interval(robust, 0)}; coefficients: {slopes}.", robust.wald().report()]


def _interval(robust, i: int) -> str:
    limits = f"95% interval {robust.ci_low[i]:.3g} to {robust.ci_high[i]:.3g}"
    thin = ", too few degrees of freedom to trust it" if robust.df[i] < 4 else ""
    if not robust.supported[i]:
        thin = ", one cluster alone supports it, so this error is too small"
    return f"{robust.coef[i]:.3g} ({limits}, df {robust.df[i]:.1f}, {p_text(robust.p_value[i])}{thin})"


def _variances(fit) -> list[str]:
    cluster, effect = fit.sigma2
    test = f"Q({fit.k - len(fit.names)}) = {fit.q:.2f}, {p_text(fit.q_p)}"
    kind = "Residual heterogeneity" if len(fit.names) > 1 else "Heterogeneity"
    text = (
        f"{kind}: variance {cluster:.3g} between clusters (I2 = {fit.i2[0]:.1f}%) and {effect:.3g} between "
        f"effects within a cluster (I2 = {fit.i2[1]:.1f}%), {test}."
    )
    if not fit._likelihood.free[1]:
        why = "Each cluster has" if fit.clusters == fit.k else "The moderators leave each cluster"
        text += f" {why} one effect, so both variances are one, and it stands with the clusters."
    return [text]
