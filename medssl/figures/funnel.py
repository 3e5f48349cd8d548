"""The funnel plot: effects against their standard errors, with the regions of significance."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures._fits import pooled_row, require_mean
from medssl.figures._layout import LEGEND_LONGEST, legend_columns
from medssl.figures._rows import short
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    Look,
    display_name,
    figure_style,
    finish,
    gain_label,
    looks,
    new_axes,
    noun,
    number,
    quantity,
    require_columns,
)

__all__ = ["funnel"]

SHADES = ("0.70", "0.82", "0.91", "0.96")  # outwards from the white region, in steps that show in print
FEW = 150  # effects; above it the points shrink
LEGEND_ROW = 0.2  # inches
ALONE = Look((0.0, 0.45, 0.70), "o", "-")


def funnel(
    effects: pd.DataFrame,
    fit=None,
    *,
    contours: Sequence[float] = (0.9, 0.95, 0.99),
    filled=None,
    by: str | None = None,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
) -> Drawing:
    """Draw effects against their standard errors, precise ones on top, over regions of significance.

    Parameters
    ----------
    effects : DataFrame
        One row an effect: `yi`, `vi`, and `label` and `by` where given.
    fit : RandomEffectsFit or MultilevelFit, optional
        A fit of these effects without moderators: the centre of the pseudo-confidence funnel, inside which
        the share `level` of the effects would lie if sampling were all that made them differ.
    contours : sequence of float
        Coverages, at most four; between them lie the shaded regions, centred at a gain of 0, where a single
        effect has a two-sided normal p value between one minus each (Peters et al. 2008).
    filled : DataFrame or TrimAndFill, optional
        The effects that trim and fill has imputed: a table of `yi` and `vi`, or its result. They get open
        markers.
    by : str, optional
        A column whose values get a colour and a marker.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of the funnel.

    Returns
    -------
    Drawing
        Layers of the data: `effect`, `filled`, `contour` (with `p_value` and the number of effects
        `inside`), `funnel` (with the numbers of effects `inside`, `below` and `above` the centre).

    Raises
    ------
    UsageError
        A column is absent or incomplete, a fit with moderators or of other effects, more than four contours,
        a coverage outside 0 to 1.

    Examples
    --------
    >>> effects = pd.DataFrame({"yi": [0.08, 0.05, 0.01], "vi": [0.0016, 0.0004, 0.0001]})
    >>> data = funnel(effects).data
    >>> data[data.layer == "contour"][["p_value", "inside"]].round(2).values.tolist()
    [[0.1, 1.0], [0.05, 1.0], [0.01, 3.0]]
    """
    filled = _filled(filled)
    _check(effects, fit, contours, filled, by, level)
    data = _layers(effects, fit, sorted(contours), filled, by, level)
    with figure_style():
        figure, axes = new_axes(height=5.0)
        handles = _draw_points(axes, data, by) + _draw_regions(axes, data, level)
        axes.set_xlabel(gain_label(scale, comparator))
        axes.set_ylabel("Standard error (precise effects on top)")
        columns = legend_columns(handles)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.set_figheight(4.2 + LEGEND_ROW * math.ceil(len(handles) / columns))
        finish(figure)
    return Drawing(figure, data, _alt(data, scale, level), count=len(effects), level=level)


def _filled(filled) -> pd.DataFrame | None:
    if filled is None or isinstance(filled, pd.DataFrame):
        return filled
    return pd.DataFrame({"yi": filled.yi[filled.filled], "vi": filled.vi[filled.filled]})


def _check(effects: pd.DataFrame, fit, contours, filled, by, level: float) -> None:
    require_columns(effects, ["yi", "vi", *([by] if by else [])], "the table of effects")
    if filled is not None and len(filled):
        require_columns(filled, ["yi", "vi"], "the table of filled effects")
    require_mean(fit, "a funnel")
    if fit is not None and fit.k != len(effects):
        raise UsageError(f"the fit is of {fit.k} effects and the table has {len(effects)}.")
    if len(contours) > len(SHADES):
        raise UsageError(f"{len(contours)} contours cannot be told apart; give at most {len(SHADES)}.")
    wrong = [coverage for coverage in (*contours, level) if not 0 < coverage < 1]
    if wrong:
        raise UsageError(f"contours and level must lie between 0 and 1; {wrong[0]!r} does not.")


def _layers(effects, fit, contours, filled, by, level: float) -> pd.DataFrame:
    points = _points(effects, "effect")
    points["label"] = effects["label"].astype(str) if "label" in effects else effects.index.astype(str)
    if by:
        points["group"] = effects[by].astype(str).to_numpy()
    parts = [points]
    if filled is not None and len(filled):
        parts.append(_points(filled, "filled"))
    deepest = 1.05 * max(part.standard_error.max() for part in parts)
    rows = [_region("contour", 0.0, coverage, deepest, points) for coverage in contours]
    if fit is not None:
        centre = float(pooled_row(fit, "model", level).estimate)
        sides = {"below": (points.estimate < centre).sum(), "above": (points.estimate > centre).sum()}
        rows.append(_region("funnel", centre, level, deepest, points) | sides)
    return pd.concat([*parts, *([pd.DataFrame(rows)] if rows else [])], ignore_index=True)


def _points(table: pd.DataFrame, layer: str) -> pd.DataFrame:
    columns = {"estimate": table["yi"], "standard_error": np.sqrt(table["vi"])}
    return pd.DataFrame({"layer": layer, **columns}).reset_index(drop=True)


def _region(layer: str, centre: float, coverage: float, deepest: float, points: pd.DataFrame) -> dict:
    """Return the limits of a region at the largest standard error; it narrows to `estimate` at 0."""
    half = norm.isf((1 - coverage) / 2)
    inside = (points.estimate - centre).abs() <= half * points.standard_error
    return {
        "layer": layer,
        "estimate": centre,
        "standard_error": deepest,
        "low": centre - half * deepest,
        "high": centre + half * deepest,
        "p_value": 1 - coverage,
        "inside": int(inside.sum()),
    }


def _draw_points(axes: Axes, data: pd.DataFrame, by: str | None) -> list:
    singles = data[data.layer == "effect"]
    groups = looks(singles.group) if by else {"Effect": ALONE}
    small = len(singles) > FEW
    size, edge = (13, 0.4) if small else (30, 0.6)
    handles = []
    for name, look in groups.items():
        rows = singles[singles.group == name] if by else singles
        style = {"marker": look.marker, "facecolor": (*look.color, 0.75), "edgecolor": "black"}
        axes.scatter(
            rows.estimate, rows.standard_error, s=size, linewidth=edge, zorder=3, label=name, **style
        )
        key = {"markerfacecolor": (*look.color, 0.75), "markeredgecolor": "black", "markersize": 6.5}
        words = short(display_name(name), LEGEND_LONGEST)
        handles.append(Line2D([], [], linestyle="", marker=look.marker, label=words, **key))
    added = data[data.layer == "filled"]
    if len(added):
        style = {"marker": "o", "facecolor": "white", "edgecolor": "black", "linewidth": 1.1}
        axes.scatter(added.estimate, added.standard_error, s=size + 6, zorder=4, label="filled", **style)
        key = {"markerfacecolor": "white", "markeredgecolor": "black", "markeredgewidth": 1.1}
        handles.append(Line2D([], [], linestyle="", marker="o", label="Filled by trim and fill", **key))
    return handles


def _draw_regions(axes: Axes, data: pd.DataFrame, level: float) -> list:
    """Shade outwards from white, and draw the funnel; the axes end where the data do."""
    points = data[data.layer.isin(["effect", "filled"])]
    regions, centre = data[data.layer == "contour"], data[data.layer == "funnel"]
    deepest = 1.05 * points.standard_error.max()
    low, high = min(points.estimate.min(), 0.0), max(points.estimate.max(), 0.0)
    if len(centre):
        low, high = min(low, centre.low.item()), max(high, centre.high.item())
    margin = 0.04 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(deepest, 0)
    handles = _shade(axes, regions, deepest)
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    if len(centre):
        row = centre.iloc[0]
        axes.plot(
            [row.low, row.estimate, row.high], [deepest, 0, deepest], color="black", linestyle="--", zorder=2
        )
        axes.axvline(row.estimate, color="black", linewidth=1.1, linestyle=":", zorder=2)
        words = f"{number(100 * level)}% funnel around the pooled mean"
        handles.append(Line2D([], [], color="black", linestyle="--", label=words))
    return handles


def _shade(axes: Axes, regions: pd.DataFrame, deepest: float) -> list:
    if regions.empty:
        return []
    steps = [*regions.p_value]
    shades = dict(zip(steps, SHADES, strict=False))
    axes.set_facecolor(shades[steps[-1]])
    for outer, inner in zip(regions.iloc[::-1].itertuples(), [*steps[-2::-1], None], strict=True):
        color = "white" if inner is None else shades[inner]
        corners = [outer.low, 0.0, outer.high], [deepest, 0.0, deepest]
        axes.fill(
            *corners,
            facecolor=color,
            edgecolor="0.45",
            linewidth=0.6,
            zorder=0.5,
            label=f"p {outer.p_value:g}",
        )
    names = [f"p > {number(steps[0])}"]
    names += [f"{number(high)} ≥ p > {number(low)}" for high, low in itertools.pairwise(steps)]
    names += [f"p ≤ {number(steps[-1])}"]
    colors = ["white", *shades.values()]
    return [Patch(facecolor=c, edgecolor="0.45", label=n) for c, n in zip(colors, names, strict=True)]


def _alt(data: pd.DataFrame, scale: str, level: float) -> str:
    singles, regions = data[data.layer == "effect"], data[data.layer == "contour"]
    text = (
        f"Funnel plot of {len(singles)} effects: {quantity(scale)} against its standard error. "
        f"{noun(scale).capitalize()}s run from {number(singles.estimate.min())} to "
        f"{number(singles.estimate.max())}, standard errors from "
        f"{number(singles.standard_error.min())} to {number(singles.standard_error.max())}."
    )
    if len(regions):
        row = regions.iloc[(regions.p_value - (1 - level)).abs().argmin()]
        text += f" {number(row.inside)} effects have a p value above {number(row.p_value)}."
    for row in data[data.layer == "funnel"].itertuples():
        text += (
            f" The pooled {noun(scale)} is {number(row.estimate)}: {number(row.below)} effects are below it, "
            f"{number(row.above)} above, and {number(row.inside)} inside the {number(100 * level)}% funnel."
        )
    added = int((data.layer == "filled").sum())
    return text + (f" Trim and fill adds {added}." if added else "")
