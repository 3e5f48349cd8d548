"""One table of effects, analysed as a reviewer would: model, small-study effects, influence, figures."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import medssl
from medssl.files import write_json, write_text
from medssl.meta import MultilevelFit, RandomEffectsFit, RobustFit, leave_one_out, multilevel, random_effects
from medssl.synthesis._figures import draw_figures
from medssl.synthesis._small_study import small_study

__all__ = ["Analysis", "analyse", "plain"]

REMARKABLE = 5  # rows of the influence table that the text shows
MANY = 2000  # effects above which single effects are not left out in turn


@dataclass(frozen=True, eq=False)
class Analysis:
    """A fitted model with its checks.

    Attributes
    ----------
    effects : DataFrame
        The analysed rows: `yi`, `vi`, `label`, and `cluster_id` when effects depend on each other.
    moderators : str or None
        The formula.
    fit : RandomEffectsFit or MultilevelFit
        The model.
    robust : RobustFit or None
        Cluster-robust inference of a multilevel model.
    left_out : DataFrame or None
        The mean without each effect or cluster; None with moderators, with fewer than three effects or
        clusters, and for single effects when there are thousands.
    checks : dict
        Small-study effects by name, each a dict of numbers or the reason why there are none.
    """

    effects: pd.DataFrame
    moderators: str | None
    fit: RandomEffectsFit | MultilevelFit
    robust: RobustFit | None
    left_out: pd.DataFrame | None
    checks: dict[str, dict]

    @property
    def table(self) -> pd.DataFrame:
        """One row a coefficient, with the inference that counts: robust where effects are clustered."""
        return (self.robust or self.fit).table()

    @property
    def predictions(self) -> pd.DataFrame:
        """The mean with its intervals, or the fitted values of a regression."""
        return (self.robust or self.fit).predict()

    def results(self) -> dict:
        """Return everything as plain numbers and words, ready for JSON; what does not exist is null."""
        fit = self.fit
        return plain(
            {
                "model": self._model(),
                "coefficients": self._coefficients(),
                "mean": self.predictions.iloc[0].to_dict() if len(fit.names) == 1 else None,
                "heterogeneity": self._heterogeneity(),
                "moderators": self._joint(),
                "small_study_effects": self.checks,
                "influence": None if self.left_out is None else self.left_out.to_dict("records"),
                "report": fit.report(),
                "software": {"medssl": medssl.__version__, "numpy": np.__version__, "pandas": pd.__version__},
            }
        )

    def _coefficients(self) -> list[dict]:
        table = self.table if self.robust is None else self.table.assign(supported=self.robust.supported)
        return table.reset_index(names="name").to_dict("records")

    def _model(self) -> dict:
        fit = self.fit
        facts = {"effects": fit.k, "formula": self.moderators}
        if isinstance(fit, MultilevelFit):
            return {
                "kind": "multilevel",
                "clusters": fit.clusters,
                "rho": fit.rho,
                "errors": self.robust.kind,
            } | facts
        return {"kind": "random effects", "method": fit.method, "test": fit.test} | facts

    def _heterogeneity(self) -> dict:
        fit = self.fit
        common = {"q": fit.q, "q_p": fit.q_p}
        if isinstance(fit, MultilevelFit):
            cluster, effect = fit.sigma2
            shares = {"i2_cluster": fit.i2[0], "i2_effect": fit.i2[1]}
            return common | {"sigma2_cluster": cluster, "sigma2_effect": effect} | shares
        low, high = fit.tau2_interval() if fit.k > len(fit.names) and fit.method != "FE" else (math.nan,) * 2
        return common | {"tau2": fit.tau2, "tau2_low": low, "tau2_high": high, "i2": fit.i2, "h2": fit.h2}

    def _joint(self) -> dict | None:
        if len(self.fit.names) == 1:
            return None
        if self.robust is not None:
            test = self.robust.wald()
            return {
                "f": test.statistic,
                "df_num": test.df_num,
                "df_den": test.df_den,
                "p_value": test.p_value,
            }
        df = self.fit.df if math.isfinite(self.fit.df) else None
        return {"qm": self.fit.qm, "df_num": len(self.fit.names) - 1, "df_den": df, "p_value": self.fit.qm_p,
                "r2": self.fit.r2}  # fmt: skip

    def text(self) -> str:
        """Return the analysis as a reader of a terminal wants it: table, paragraph, checks."""
        parts = [self.table.to_string(float_format=lambda value: f"{value:.6g}"), self.fit.report()]
        parts += [f"{name}: {check['report']}" for name, check in self.checks.items()]
        if self.left_out is not None:
            parts.append(self._influence_text())
        return "\n\n".join(parts)

    def _influence_text(self) -> str:
        table = self.left_out.dropna(subset="estimate")
        what = "cluster" if "cluster_id" in self.effects else "effect"
        mean = self.predictions.estimate.iloc[0]
        far = table.iloc[(table.estimate - mean).abs().argsort()[::-1][:REMARKABLE]]
        changed = ", ".join(map(str, table.left_out[table.sign_changes])) or "none"
        shown = far[["left_out", "estimate", "ci_low", "ci_high"]].to_string(
            index=False, float_format=lambda value: f"{value:.6g}"
        )
        title = f"Influence: the mean without one {what}, largest changes first."
        return f"{title}\n{shown}\nSign changes: {changed}."

    def write(self, folder: Path, results: dict | None = None) -> list[str]:
        """Write tables, results.json, report.txt and figures into a new folder, all or nothing.

        Raises
        ------
        UsageError
            The folder exists and holds something else than an earlier analysis.
        RunError
            It cannot be written.
        """
        from medssl.figures._files import whole_folder
        from medssl.synthesis._folder import check_replaceable

        check_replaceable(folder)
        with whole_folder(Path(folder).resolve()) as part:
            write_json(part / "results.json", results or self.results())
            write_text(part / "report.txt", self.text() + "\n")
            self.table.to_csv(part / "coefficients.csv", index_label="name")
            self.effects.to_csv(part / "effects.csv", index=False)
            if len(self.fit.names) == 1 and self.left_out is not None:
                self.left_out.to_csv(part / "leave_one_out.csv", index=False)
            draw_figures(self, part / "figures")
            return sorted(str(path.relative_to(part)) for path in part.rglob("*") if path.is_file())


def analyse(
    effects: pd.DataFrame, moderators: str | None = None, *, clustered: bool, rho: float = 0.6,
    method: str = "REML", test: str = "knha",
) -> Analysis:  # fmt: skip
    """Fit the model of a table of effects and check it.

    Parameters
    ----------
    effects : DataFrame
        One row an effect: `yi`, `vi`, `label`, the variables of the formula, and `cluster_id`.
    moderators : str, optional
        A formula.
    clustered : bool
        Whether effects with the same `cluster_id` depend on each other: a multilevel model with CR2 errors.
    rho : float
        Sampling correlation within clusters.
    method, test : str
        Of the random-effects model without clusters.

    Returns
    -------
    Analysis

    Examples
    --------
    >>> table = pd.DataFrame({"yi": [0.05, 0.03, 0.04, 0.0, 0.02, 0.06], "vi": 0.0004,
    ...                       "cluster_id": list("aabbcc"), "label": list("uvwxyz")})
    >>> analysis = analyse(table, clustered=True)
    >>> analysis.results()["model"]["clusters"], list(analysis.checks)
    (3, ['Egger, cluster-robust', 'PET-PEESE, cluster-robust'])
    """
    options = {"moderators": moderators, "data": effects} if moderators else {}
    cluster = effects["cluster_id"] if clustered else None
    if clustered:
        fit = multilevel(effects["yi"], effects["vi"], cluster, rho=rho, **options)
        robust = fit.robust()
    else:
        fit, robust = random_effects(effects["yi"], effects["vi"], method=method, test=test, **options), None
    kept = effects if clustered else effects.drop(columns="cluster_id", errors="ignore")
    left_out = None if len(fit.names) > 1 else _left_out(kept, cluster, rho, method, test)
    return Analysis(kept, moderators, fit, robust, left_out, small_study(kept, fit, rho, method))


def _left_out(effects: pd.DataFrame, cluster, rho: float, method: str, test: str) -> pd.DataFrame | None:
    units = len(effects) if cluster is None else cluster.nunique()
    if units < 3 or units > MANY:
        return None
    if cluster is not None:
        return leave_one_out(effects["yi"], effects["vi"], cluster=cluster, rho=rho)
    return leave_one_out(effects["yi"], effects["vi"], labels=effects["label"], method=method, test=test)


def plain(value):
    """Return numbers, texts and containers that JSON knows; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
