"""The figures of an analysis, in neutral words: any effects, any moderators."""

from pathlib import Path

import pandas as pd

from medssl.errors import MedsslError
from medssl.figures import (
    baujat_plot,
    bubble,
    forest,
    forest_by_cluster,
    funnel,
    leave_one_out_plot,
    profile_plot,
)
from medssl.figures._files import write_files
from medssl.files import write_text
from medssl.meta import MultilevelFit, baujat, trim_and_fill

__all__ = ["draw_figures", "drawings"]

MOST_ROWS = 60  # single effects in a forest plot; above it one row a cluster
NEUTRAL = {"scale": "effect", "comparator": ""}


def drawings(analysis) -> dict:
    """Return a function for each figure that this analysis has; each draws it when called."""
    fit, effects = analysis.fit, analysis.effects
    pooled = fit if len(fit.names) == 1 else None
    clustered = isinstance(fit, MultilevelFit)
    interval = "robust" if clustered and pooled is not None else "model"
    made = {}
    if len(effects) <= MOST_ROWS:
        made["forest"] = lambda: forest(effects, pooled, interval=interval, **NEUTRAL)
    if clustered:
        made["forest-by-cluster"] = lambda: forest_by_cluster(effects, pooled, interval=interval, **NEUTRAL)
    made["funnel"] = lambda: funnel(effects, pooled, filled=_filled(analysis), **NEUTRAL)
    if analysis.left_out is not None:
        made["leave-one-out"] = lambda: leave_one_out_plot(
            analysis.left_out,
            analysis.predictions.iloc[0],
            unit="clusters" if clustered else "effects",
            **NEUTRAL,
        )
    if clustered:
        made["profile-likelihood"] = lambda: profile_plot(_profiles(fit))
    else:
        made["baujat"] = lambda: baujat_plot(_baujat(analysis))
        if fit.method in ("ML", "REML"):
            made["profile-likelihood"] = lambda: profile_plot([fit.profile()])
    name = numeric_moderator(analysis)
    if name is not None:
        bands = "robust" if clustered else "model"
        alike = effects.assign(effects="effects")
        made["bubble"] = lambda: bubble(alike, fit, name, by="effects", interval=bands, **NEUTRAL)
    return made


def draw_figures(analysis, folder: Path) -> None:
    """Write each figure as SVG, PDF, PNG and CSV with its alternative text; say which could not be drawn."""
    folder.mkdir(parents=True)
    left_out = []
    for name, draw in drawings(analysis).items():
        try:
            drawing = draw()
        except MedsslError as error:
            left_out.append(f"{name}: {error}\n")
            continue
        write_files(drawing, folder / name, name.replace("-", " "))
        write_text(folder / f"{name}.txt", drawing.alt + "\n")
    if left_out:
        write_text(folder / "not_drawn.txt", "".join(left_out))


def numeric_moderator(analysis) -> str | None:
    """Return the moderator of a regression on one numeric column, which a bubble plot can show."""
    names = analysis.fit.names
    alone = len(names) == 2 and names[1] in analysis.effects
    return names[1] if alone and pd.api.types.is_numeric_dtype(analysis.effects[names[1]]) else None


def _profiles(fit: MultilevelFit) -> list:
    components = ["cluster", "effect"] if len(fit.yi) > fit.clusters else ["cluster"]
    return [fit.profile(component) for component in components]


def _baujat(analysis) -> pd.DataFrame:
    fit, effects = analysis.fit, analysis.effects
    others = fit.design[:, 1:] if len(fit.names) > 1 else None
    return baujat(effects["yi"], effects["vi"], others, labels=effects["label"], method=fit.method)


def _filled(analysis):
    """Return what trim and fill imputes, where effects are independent and have no moderators."""
    if "cluster_id" in analysis.effects or len(analysis.fit.names) > 1:
        return None
    try:
        return trim_and_fill(analysis.effects["yi"], analysis.effects["vi"], method=analysis.fit.method)
    except MedsslError:
        return None
