"""The bubble plot: gains against the label ratio, with the fitted line and its two bands."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from medssl.errors import UsageError
from medssl.figures._fits import fit_weights, interval_source
from medssl.figures._layout import LEGEND_LONGEST, fit_vertical_label, legend_columns
from medssl.figures._rows import short
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    display_name,
    figure_style,
    finish,
    gain_label,
    looks,
    new_axes,
    noun,
    number,
    quantity,
    ratio_ticks,
    require_columns,
)

__all__ = ["bubble"]

X_NAMES = {
    "log10_label_ratio": ("label ratio", "Label ratio: labelled / unlabelled images (log scale)"),
    "log10_label_fraction": ("label fraction", "Label fraction: share of the labels used (log scale)"),
}
LARGEST, SMALLEST = 190.0, 14.0  # areas of bubbles in square points; a smaller one could not be seen
ROOMY = 150  # effects; above it all bubbles shrink, else they would hide one another and the line
LEGEND_ROW = 0.2  # inches
POINTS = 61  # of the fitted line
BANDS = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]


def bubble(
    effects: pd.DataFrame,
    fit=None,
    x: str = "log10_label_ratio",
    *,
    curve: pd.DataFrame | None = None,
    by: str = "method",
    x_label: str | None = None,
    scale: str = "AUC",
    comparator: str = "supervised",
    dodge: float = 0.0,
    level: float = 0.95,
    interval: str = "model",
) -> Drawing:
    """Draw gains against a label ratio or another number, each bubble's area in proportion to its weight.

    Parameters
    ----------
    effects : DataFrame
        One row an effect: `yi`, `vi`, the column `x` and the column `by`.
    fit : RandomEffectsFit or MultilevelFit, optional
        A fit of these effects on `x` alone; its line is drawn over the observed range and no further.
        Without it the bubbles are drawn with weights ``1 / vi``. Beside a `curve` it may have any
        moderators and gives the weights only.
    x : str
        The moderator, a numeric column; one whose name begins with "log10_" gets ticks in its own units.
    curve : DataFrame, optional
        Instead of the line of `fit`, a fitted curve inside the observed range: the column `x`, `estimate`,
        `ci_low`, `ci_high`, and `pi_low` and `pi_high` (missing where there is no prediction).
    by : str
        The column whose values get a colour and a marker.
    x_label : str, optional
        The label of the x axis; by default the name of the moderator.
    scale : str
        The metric whose difference the gain is, for the axis label.
    comparator : str
        The other arm, for the axis label.
    dodge : float
        Sideways distance between groups in the units of `x`, for effects that share their value.
    level : float
        Coverage of the confidence and prediction bands; a curve must have been computed with it.
    interval : {"model", "robust"}
        Whose bands are drawn around the line of `fit`: the model's, or those of ``fit.robust()``.

    Returns
    -------
    Drawing
        Layers of the data: `effect` (bubbles), `fit` (line and bands) and, for a fit, `slope` (the
        coefficient). `ratio` is ``10 ** x`` where x is a logarithm.

    Raises
    ------
    UsageError
        A column is absent, incomplete or no number, the fit is of other effects or other moderators, or a
        curve outside the observed range.

    Examples
    --------
    >>> from medssl.meta import random_effects
    >>> effects = pd.DataFrame({"yi": [0.08, 0.05, 0.01, 0.0], "vi": [0.0004, 0.0003, 0.0002, 0.0001],
    ...                         "log10_label_ratio": [-3.0, -2.0, -1.0, -0.5], "method": ["simclr"] * 4})
    >>> fit = random_effects(effects.yi, effects.vi, effects.log10_label_ratio)
    >>> bubble(effects, fit).data.layer.value_counts().to_dict()
    {'fit': 61, 'effect': 4, 'slope': 1}
    """
    _check(effects, x, by, fit, curve)
    lines = _line(fit, effects[x], level, interval) if curve is None else [_curve(curve, effects[x])]
    data = pd.concat([_bubbles(effects, fit, x, by, dodge), *lines], ignore_index=True)
    with figure_style():
        figure, axes = new_axes(height=4.7)
        handles = _draw_bubbles(axes, data) + _draw_line(axes, data[data.layer == "fit"], level)
        _label(axes, x, x_label or _names(x)[1], scale, comparator)
        columns = legend_columns(handles)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
        figure.set_figheight(4.1 + LEGEND_ROW * math.ceil(len(handles) / columns))
        finish(figure)
        fit_vertical_label(figure, axes)
        finish(figure)
    return Drawing(figure, data, _alt(data, x, scale, level, interval), count=len(effects), level=level)


def _check(effects: pd.DataFrame, x: str, by: str, fit, curve) -> None:
    if x not in effects or not pd.api.types.is_numeric_dtype(effects[x]):
        raise UsageError(
            f"x is {x!r}; it must be a numeric column of the table of effects, which has "
            f"{', '.join(effects.select_dtypes('number'))}."
        )
    require_columns(effects, ["yi", "vi", x, by], "the table of effects")
    if fit is not None:
        _matching(fit, effects, x, curve is None)


def _matching(fit, effects: pd.DataFrame, x: str, alone: bool) -> None:
    if alone and tuple(fit.names) != ("intercept", x):
        raise UsageError(f"the fit has the terms {', '.join(fit.names)}; draw a fit on {x} alone.")
    if fit.k != len(effects) or not np.allclose(fit.yi, effects["yi"], rtol=1e-12, atol=0):
        raise UsageError(f"the fit is of {fit.k} other effects than the {len(effects)} in the table.")


def _names(x: str) -> tuple[str, str]:
    """Return the moderator's name in a sentence, and on the axis."""
    plain = x.removeprefix("log10_").replace("_", " ")
    return X_NAMES.get(x, (plain, f"{plain[:1].upper()}{plain[1:]}" + (" (log scale)" if _log(x) else "")))


def _log(x: str) -> bool:
    return x.startswith("log10_")


def _bubbles(effects: pd.DataFrame, fit, x: str, by: str, dodge: float) -> pd.DataFrame:
    weight = fit_weights(effects, fit)
    shrink = min(1.0, (ROOMY / len(effects)) ** 0.5)
    group = effects[by].astype(str)
    names = sorted(set(group))
    offset = dodge * (group.map(names.index) - (len(names) - 1) / 2)
    table = pd.DataFrame(
        {
            "layer": "effect",
            "label": effects["label"] if "label" in effects else [str(i) for i in effects.index],
            "group": group,
            **_positions(x, effects[x]),
            "x_drawn": effects[x] + offset,
            "estimate": effects["yi"],
            "variance": effects["vi"],
            "weight_percent": 100 * weight / weight.sum(),
            "area": shrink * np.maximum(SMALLEST, LARGEST * weight / weight.max()),
        }
    )
    kept = [name for name in ("cluster_id", "n_labelled") if name in effects and name != x]
    return table.join(effects[kept])


def _positions(x: str, values) -> dict:
    return {x: values, "ratio": 10.0**values} if _log(x) else {x: values}


def _line(fit, x: pd.Series, level: float, interval: str) -> list[pd.DataFrame]:
    if fit is None:
        return []
    source = interval_source(fit, interval, level)
    grid = np.linspace(x.min(), x.max(), POINTS)
    line = source.predict(pd.DataFrame({x.name: grid}), level=level)
    line.insert(0, "layer", "fit")
    half = source.ci_high[1] - source.coef[1]
    if level != 0.95 and interval == "model":  # the model holds 95% limits, a robust form those of its level
        at = fit.predict(pd.DataFrame({x.name: [0.0, 1.0]}), level=level)
        half = (at.ci_high - at.estimate).iloc[0] / (fit.ci_high[0] - fit.coef[0]) * half
    slope = {"layer": "slope", "label": fit.names[1], "estimate": fit.coef[1]}
    limits = {"ci_low": fit.coef[1] - half, "ci_high": fit.coef[1] + half}
    return [line.assign(**_positions(x.name, grid), x_drawn=grid), pd.DataFrame([slope | limits])]


def _curve(curve: pd.DataFrame, x: pd.Series) -> pd.DataFrame:
    require_columns(curve, [x.name, *BANDS[:3]], "the curve")
    bands = curve[[name for name in BANDS if name in curve]]
    require_columns(bands.fillna(0.0), BANDS, "the curve")  # a prediction may be missing, its column may not
    low, high, slack = x.min(), x.max(), 1e-9 * (x.max() - x.min())
    if curve[x.name].min() < low - slack or curve[x.name].max() > high + slack:
        raise UsageError(
            f"the curve runs from {number(curve[x.name].min())} to {number(curve[x.name].max())} and the "
            f"effects from {number(low)} to {number(high)}; draw it where there are effects."
        )
    line = curve.sort_values(x.name)[[x.name, *BANDS]].reset_index(drop=True)
    return line.assign(layer="fit", **_positions(x.name, line[x.name]), x_drawn=line[x.name])


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
    for edge in (line.ci_low, line.ci_high):  # many bubbles hide the band
        axes.plot(line.x_drawn, edge, color="0.1", linewidth=0.8, zorder=4)
    halo = [Stroke(linewidth=3.2, foreground="white"), Normal()]
    style = {"color": "black", "linewidth": 1.6, "path_effects": halo}
    axes.plot(line.x_drawn, line.estimate, zorder=4, label="fit", **style)
    handles = [
        Line2D([], [], color="black", linewidth=1.6, label="Fitted mean"),
        Patch(facecolor="0.78", edgecolor="0.1", linewidth=0.8, label=names["ci"]),
    ]
    if line.pi_low.notna().any():
        handles.append(Patch(facecolor="0.93", edgecolor="0.45", linestyle=":", label=names["pi"]))
    return handles


def _draw_bubbles(axes: Axes, data: pd.DataFrame) -> list:
    bubbles = data[data.layer == "effect"].sort_values("area", ascending=False)  # small ones on top
    handles = []
    for name, look in looks(bubbles.group).items():
        rows = bubbles[bubbles.group == name]
        style = {
            "marker": look.marker,
            "facecolor": (*look.color, 0.55),
            "edgecolor": "0.15",
            "linewidth": 0.7 if len(bubbles) <= ROOMY else 0.4,
        }
        axes.scatter(rows.x_drawn, rows.estimate, s=rows.area, zorder=3, label=name, **style)
        key = {"markerfacecolor": (*look.color, 0.55), "markeredgecolor": "0.15", "markersize": 8}
        words = short(display_name(name), LEGEND_LONGEST)
        handles.append(Line2D([], [], linestyle="", marker=look.marker, label=words, **key))
    return [*handles, Line2D([], [], linestyle="", label="Marker area: weight")]


def _label(axes: Axes, x: str, x_label: str, scale: str, comparator: str) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(gain_label(scale, comparator))
    if _log(x):
        axes.set_xticks(*ratio_ticks(*axes.get_xlim()))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0), max(high, 0))


def _alt(data: pd.DataFrame, x: str, scale: str, level: float, interval: str) -> str:
    bubbles, line = data[data.layer == "effect"], data[data.layer == "fit"]
    word, at = _names(x)[0], "ratio" if _log(x) else x
    text = (
        f"Bubble plot of {len(bubbles)} effects: {quantity(scale)} against the {word}. "
        f"{noun(scale).capitalize()}s run from {number(bubbles.estimate.min())} to "
        f"{number(bubbles.estimate.max())}, "
        f"at a {word} of {number(bubbles[at].min())} to {number(bubbles[at].max())}. "
    )
    if line.empty:
        return text + "No line was fitted."
    start, end = line.iloc[0], line.iloc[-1]
    ends = f"it is {_at(start)} at {number(start[at])} and {_at(end)} at {number(end[at])}."
    slope = data[data.layer == "slope"]
    if slope.empty:
        return f"{text}A curve was fitted, with {number(100 * level)}% confidence limits: {ends}"
    slope, robust = slope.iloc[0], "cluster-robust " if interval == "robust" else ""
    return (
        f"{text}For each {'tenfold' if _log(x) else 'unit of'} {word} the fitted {noun(scale)} changes by "
        f"{number(slope.estimate)} ({number(100 * level)}% {robust}confidence interval "
        f"{number(slope.ci_low)} to {number(slope.ci_high)}): {ends}"
    )


def _at(row) -> str:
    return f"{number(row.estimate)} ({number(row.ci_low)} to {number(row.ci_high)})"
