"""The bubble plot: gains against the label ratio, with the fitted line and its two bands."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    display_name,
    figure_style,
    finish,
    looks,
    new_axes,
    number,
    ratio_ticks,
    require_columns,
)

__all__ = ["bubble"]

X_NAMES = {
    "log10_label_ratio": ("label ratio", "Label ratio: labelled / unlabelled images (log scale)"),
    "log10_label_fraction": ("label fraction", "Label fraction: share of the labels used (log scale)"),
}
LARGEST, SMALLEST = 190.0, 14.0  # areas of bubbles in square points; a smaller one could not be seen
POINTS = 61  # of the fitted line


def bubble(
    effects: pd.DataFrame,
    fit=None,
    x: str = "log10_label_ratio",
    *,
    by: str = "method",
    scale: str = "AUC",
    comparator: str = "supervised",
    dodge: float = 0.0,
    level: float = 0.95,
) -> Drawing:
    """Draw gains against a label ratio, each bubble's area in proportion to its weight.

    Parameters
    ----------
    effects : DataFrame
        One row an effect: `yi`, `vi`, the column `x` (log10 units) and the column `by`.
    fit : RandomEffectsFit, optional
        A fit of these effects on `x` alone; its line is drawn over the observed range and no further.
        Without it the bubbles are drawn with weights ``1 / vi``.
    x : {"log10_label_ratio", "log10_label_fraction"}
        The moderator.
    by : str
        The column whose values get a colour and a marker.
    scale : str
        The metric whose difference the gain is, for the axis label.
    comparator : str
        The other arm, for the axis label.
    dodge : float
        Sideways distance between groups in log10 units, for effects that share their ratio.
    level : float
        Coverage of the confidence and prediction bands.

    Returns
    -------
    Drawing
        Layers of the data: `effect` (bubbles), `fit` (line and bands) and `slope` (the coefficient).

    Raises
    ------
    UsageError
        A column is absent or incomplete, or the fit is of other effects or other moderators.

    Examples
    --------
    >>> from medssl.meta import random_effects
    >>> effects = pd.DataFrame({"yi": [0.08, 0.05, 0.01, 0.0], "vi": [0.0004, 0.0003, 0.0002, 0.0001],
    ...                         "log10_label_ratio": [-3.0, -2.0, -1.0, -0.5], "method": ["simclr"] * 4})
    >>> fit = random_effects(effects.yi, effects.vi, effects.log10_label_ratio)
    >>> bubble(effects, fit).data.layer.value_counts().to_dict()
    {'fit': 61, 'effect': 4, 'slope': 1}
    """
    if x not in X_NAMES:
        raise UsageError(f"x is {x!r}; it must be one of {', '.join(X_NAMES)}.")
    require_columns(effects, ["yi", "vi", x, by], "the table of effects")
    _matching(fit, effects, x)
    data = pd.concat(
        [_bubbles(effects, fit, x, by, dodge), *_line(fit, effects[x], level)], ignore_index=True
    )
    with figure_style():
        figure, axes = new_axes(height=4.7)
        handles = _draw_bubbles(axes, data) + _draw_line(axes, data[data.layer == "fit"], level)
        _label(axes, x, scale, comparator)
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
        finish(figure)
    return Drawing(figure, data, _alt(data, x, scale, level), count=len(effects), level=level)


def _matching(fit, effects: pd.DataFrame, x: str) -> None:
    if fit is None:
        return
    if tuple(fit.names) != ("intercept", x):
        raise UsageError(f"the fit has the terms {', '.join(fit.names)}; draw a fit on {x} alone.")
    if fit.k != len(effects) or not np.allclose(fit.yi, effects["yi"], rtol=1e-12, atol=0):
        raise UsageError(f"the fit is of {fit.k} other effects than the {len(effects)} in the table.")


def _bubbles(effects: pd.DataFrame, fit, x: str, by: str, dodge: float) -> pd.DataFrame:
    weight = np.asarray(1 / effects["vi"] if fit is None else fit.weights)
    group = effects[by].astype(str)
    names = sorted(set(group))
    offset = dodge * (group.map(names.index) - (len(names) - 1) / 2)
    table = pd.DataFrame(
        {
            "layer": "effect",
            "label": effects["label"] if "label" in effects else [str(i) for i in effects.index],
            "group": group,
            x: effects[x],
            "ratio": 10.0 ** effects[x],
            "x_drawn": effects[x] + offset,
            "estimate": effects["yi"],
            "variance": effects["vi"],
            "weight_percent": 100 * weight / weight.sum(),
            "area": np.maximum(SMALLEST, LARGEST * weight / weight.max()),
        }
    )
    kept = [name for name in ("cluster_id", "n_labelled") if name in effects]
    return table.join(effects[kept])


def _line(fit, x: pd.Series, level: float) -> list[pd.DataFrame]:
    if fit is None:
        return []
    grid = np.linspace(x.min(), x.max(), POINTS)
    line = fit.predict(pd.DataFrame({x.name: grid}), level=level)
    line.insert(0, "layer", "fit")
    half = fit.ci_high[1] - fit.coef[1]
    if level != 0.95:  # the fit holds 95% limits
        at = fit.predict(pd.DataFrame({x.name: [0.0, 1.0]}), level=level)
        half = (at.ci_high - at.estimate).iloc[0] / (fit.ci_high[0] - fit.coef[0]) * half
    slope = {"layer": "slope", "label": fit.names[1], "estimate": fit.coef[1]}
    limits = {"ci_low": fit.coef[1] - half, "ci_high": fit.coef[1] + half}
    return [
        line.assign(**{x.name: grid, "ratio": 10.0**grid, "x_drawn": grid}),
        pd.DataFrame([slope | limits]),
    ]


def _draw_line(axes: Axes, line: pd.DataFrame, level: float) -> list:
    axes.axhline(0, color="0.35", linewidth=0.8, zorder=1)
    if line.empty:
        return []
    percent = number(100 * level)
    names = {"ci": f"{percent}% confidence band", "pi": f"{percent}% prediction band"}
    axes.fill_between(
        line.x_drawn, line.pi_low, line.pi_high, color="0.93", linewidth=0, zorder=0, label="pi"
    )
    axes.fill_between(
        line.x_drawn, line.ci_low, line.ci_high, color="0.78", linewidth=0, zorder=0.5, label="ci"
    )
    for edge in (line.pi_low, line.pi_high):  # the light band alone is lost in print
        axes.plot(line.x_drawn, edge, color="0.45", linestyle=":", linewidth=1, zorder=2)
    axes.plot(line.x_drawn, line.estimate, color="black", linewidth=1.6, zorder=2.5, label="fit")
    return [
        Line2D([], [], color="black", linewidth=1.6, label="Fitted mean"),
        Patch(facecolor="0.78", label=names["ci"]),
        Patch(facecolor="0.93", edgecolor="0.45", linestyle=":", label=names["pi"]),
    ]


def _draw_bubbles(axes: Axes, data: pd.DataFrame) -> list:
    bubbles = data[data.layer == "effect"].sort_values("area", ascending=False)  # small ones on top
    handles = []
    for name, look in looks(bubbles.group).items():
        rows = bubbles[bubbles.group == name]
        style = {
            "marker": look.marker,
            "facecolor": (*look.color, 0.55),
            "edgecolor": "0.15",
            "linewidth": 0.7,
        }
        axes.scatter(rows.x_drawn, rows.estimate, s=rows.area, zorder=3, label=name, **style)
        key = {"markerfacecolor": (*look.color, 0.55), "markeredgecolor": "0.15", "markersize": 8}
        handles.append(Line2D([], [], linestyle="", marker=look.marker, label=display_name(name), **key))
    return [*handles, Line2D([], [], linestyle="", label="Marker area: weight")]


def _label(axes: Axes, x: str, scale: str, comparator: str) -> None:
    axes.set_xlabel(X_NAMES[x][1])
    axes.set_ylabel(f"Gain in {scale} (SSL − {comparator})\n← favours {comparator}    favours SSL →")
    axes.set_xticks(*ratio_ticks(*axes.get_xlim()))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 0))


def _alt(data: pd.DataFrame, x: str, scale: str, level: float) -> str:
    bubbles, line = data[data.layer == "effect"], data[data.layer == "fit"]
    word = X_NAMES[x][0]
    text = (
        f"Bubble plot of {len(bubbles)} effects: gain in {scale} against the {word}. "
        f"Gains run from {number(bubbles.estimate.min())} to {number(bubbles.estimate.max())}, "
        f"at a {word} of {number(bubbles.ratio.min())} to {number(bubbles.ratio.max())}. "
    )
    if line.empty:
        return text + "No line was fitted."
    slope, start, end = data[data.layer == "slope"].iloc[0], line.iloc[0], line.iloc[-1]
    return (
        f"{text}For each tenfold {word} the fitted gain changes by {number(slope.estimate)} "
        f"({number(100 * level)}% confidence interval {number(slope.ci_low)} to {number(slope.ci_high)}): "
        f"it is {_at(start)} at {number(start.ratio)} and {_at(end)} at {number(end.ratio)}."
    )


def _at(row) -> str:
    return f"{number(row.estimate)} ({number(row.ci_low)} to {number(row.ci_high)})"
