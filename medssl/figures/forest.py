"""The forest plot: one row an effect, a diamond for the pooled mean, a bar for the prediction."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import display_name, figure_style, finish, new_axes, number, require_columns

__all__ = ["forest"]

ROW = 0.27  # inches
MOST_ROWS = 120
LONGEST = 32  # letters of a row label
HALF = 0.3  # half the height of a diamond or a bar, in rows
BARS = {"diamond": "0.25", "prediction": "0.75"}


def forest(
    effects: pd.DataFrame,
    fit=None,
    *,
    groups: str | None = None,
    group_fits: dict | None = None,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
) -> Drawing:
    """Draw effects with their intervals, subgroup headings, pooled diamonds and the prediction bar.

    Parameters
    ----------
    effects : DataFrame
        One row an effect, drawn from top to bottom in the order given: `yi`, `vi`, `label`.
    fit : RandomEffectsFit, optional
        A fit of these effects without moderators: the diamond, the prediction bar, the sizes of the squares.
        Without it nothing is pooled, and the squares have weights ``1 / vi``.
    groups : str, optional
        A column whose values become headings, in the order of their first row.
    group_fits : dict, optional
        A fit for each value of `groups` that deserves a diamond of its own.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of every interval; those of single effects are normal.

    Returns
    -------
    Drawing
        Layers of the data: `effect`, `heading`, `diamond`, `prediction`; `row` is the drawn height.

    Raises
    ------
    UsageError
        A column is absent or incomplete, more than 120 effects, or a fit with moderators.

    Examples
    --------
    >>> from medssl.meta import random_effects
    >>> effects = pd.DataFrame({"yi": [0.08, 0.05, 0.01], "vi": [0.0004, 0.0003, 0.0002],
    ...                         "label": ["10 labels", "100 labels", "1000 labels"]})
    >>> forest(effects, random_effects(effects.yi, effects.vi)).data.layer.tolist()
    ['effect', 'effect', 'effect', 'diamond', 'prediction']
    """
    require_columns(effects, ["yi", "vi", "label", *([groups] if groups else [])], "the table of effects")
    group_fits = group_fits or {}
    _check(effects, fit, groups, group_fits)
    data = _rows(effects, fit, groups, group_fits, level)
    with figure_style():
        figure, axes = new_axes(height=1.1 + ROW * len(data))
        _draw(axes, data)
        _label(axes, data, scale, comparator, level)
        finish(figure, left=False)
        _align_left(axes, data)
        finish(figure, left=False)
    return Drawing(figure, data, _alt(data, fit, scale, level), count=len(effects), level=level)


def _check(effects: pd.DataFrame, fit, groups, group_fits: dict) -> None:
    if len(effects) > MOST_ROWS:
        raise UsageError(f"{len(effects)} effects do not fit on a page; pool or select at most {MOST_ROWS}.")
    for each in (fit, *group_fits.values()):
        if each is not None and len(each.names) > 1:
            raise UsageError(
                f"a diamond needs a fit without moderators; this one has {', '.join(each.names)}."
            )
    if fit is not None and fit.k != len(effects):
        raise UsageError(f"the fit is of {fit.k} effects and the table has {len(effects)}.")
    known = set(effects[groups]) if groups else set()
    unknown = [str(name) for name in group_fits if name not in known]
    if unknown:
        raise UsageError(f"group_fits names {', '.join(unknown)}, which the column {groups!r} does not hold.")


def _rows(effects: pd.DataFrame, fit, groups, group_fits: dict, level: float) -> pd.DataFrame:
    """Return the drawn rows from top to bottom, with their heights."""
    singles = _single_rows(effects, fit, level)
    if groups is None:
        rows = singles.to_dict("records")
    else:
        rows = []
        for name, members in singles.groupby(effects[groups].to_numpy(), sort=False):
            rows.append({"layer": "heading", "label": display_name(name)})
            rows += members.to_dict("records")
            rows += _pooled_rows(group_fits.get(name), "Pooled", level)[:1]
    rows += _pooled_rows(fit, "All pooled" if groups else "Pooled", level)
    table = pd.DataFrame(rows)
    table.insert(0, "row", np.arange(len(table), 0, -1) - 1.0)
    return table


def _single_rows(effects: pd.DataFrame, fit, level: float) -> pd.DataFrame:
    half = norm.isf((1 - level) / 2) * np.sqrt(effects["vi"])
    weight = np.asarray(1 / effects["vi"] if fit is None else fit.weights)
    table = {
        "layer": "effect",
        "label": effects["label"].astype(str),
        "estimate": effects["yi"],
        "low": effects["yi"] - half,
        "high": effects["yi"] + half,
        "weight_percent": 100 * weight / weight.sum(),
        "area": np.maximum(10.0, 90.0 * weight / weight.max()),
    }
    return pd.DataFrame(table).reset_index(drop=True)


def _pooled_rows(fit, label: str, level: float) -> list[dict]:
    if fit is None:
        return []
    mean = fit.predict(level=level).iloc[0]
    limits = {"estimate": mean.estimate, "low": mean.ci_low, "high": mean.ci_high}
    rows = [{"layer": "diamond", "label": f"{label}, k = {fit.k}", **limits}]
    if np.isfinite(mean.pi_low):
        limits = {"estimate": mean.estimate, "low": mean.pi_low, "high": mean.pi_high}
        rows.append({"layer": "prediction", "label": "New study, predicted", **limits})
    return rows


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    pooled = data[(data.layer == "diamond")]
    if len(pooled):
        axes.axvline(pooled.estimate.iloc[-1], color="0.35", linewidth=0.8, linestyle=":", zorder=1)
    singles = data[data.layer == "effect"]
    axes.hlines(singles.row, singles.low, singles.high, color="0.2", linewidth=1.1, zorder=2)
    style = {"marker": "s", "facecolor": "#0173b2", "edgecolor": "0.15", "linewidth": 0.5}
    axes.scatter(singles.estimate, singles.row, s=singles.area, zorder=3, **style)
    for row in data.itertuples():
        if row.layer == "diamond":
            corners = [(row.low, row.row), (row.estimate, row.row + HALF), (row.high, row.row)]
            corners.append((row.estimate, row.row - HALF))
            axes.add_patch(Polygon(corners, facecolor=BARS["diamond"], edgecolor="black", zorder=3))
        elif row.layer == "prediction":
            corner, width = (row.low, row.row - HALF / 2), row.high - row.low
            axes.add_patch(
                Rectangle(corner, width, HALF, facecolor=BARS["prediction"], edgecolor="0.2", zorder=3)
            )


def _label(axes: Axes, data: pd.DataFrame, scale: str, comparator: str, level: float) -> None:
    axes.set_yticks(data.row, [_short(label) for label in data.label])
    axes.tick_params(axis="y", length=0)
    for text, layer in zip(axes.get_yticklabels(), data.layer, strict=True):
        text.set_fontweight("normal" if layer == "effect" else "bold")
    axes.set_ylim(-0.7, len(data) - 0.3)
    axes.margins(x=0.04)
    axes.autoscale(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(f"Gain in {scale} (SSL − {comparator})\n← favours {comparator}    favours SSL →")
    for row in data[data.layer != "heading"].itertuples():
        words = f"{_fixed(row.estimate)} ({_fixed(row.low)}, {_fixed(row.high)})"
        if row.layer == "prediction":
            words = f"({_fixed(row.low)}, {_fixed(row.high)})"
        axes.text(1.02, row.row, words, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
    heading = f"Gain ({number(100 * level)}% interval)"
    axes.text(1.02, len(data) - 0.2, heading, transform=axes.get_yaxis_transform(), va="bottom", fontsize=9.5)


def _short(label: str) -> str:
    """Return at most `LONGEST` letters; the data hold the whole label."""
    return label if len(label) <= LONGEST else label[: LONGEST - 1].rstrip() + "…"


def _align_left(axes: Axes, data: pd.DataFrame) -> None:
    """Move the row labels to one left edge, single effects indented when there are headings."""
    texts = axes.get_yticklabels()
    widest = max(text.get_window_extent().width for text in texts) * 72 / axes.figure.dpi  # points
    headed = (data.layer == "heading").any()
    indent = 10.0 if headed else 0.0
    axes.tick_params(axis="y", pad=widest + indent + 6)
    for text, layer in zip(texts, data.layer, strict=True):
        text.set_horizontalalignment("left")
        if headed and layer == "effect":
            text.set_text("   " + text.get_text())
    axes.set_yticks(data.row, [text.get_text() for text in texts])


def _fixed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _alt(data: pd.DataFrame, fit, scale: str, level: float) -> str:
    singles = data[data.layer == "effect"]
    percent = number(100 * level)
    text = (
        f"Forest plot of {len(singles)} effects: gain in {scale} with {percent}% intervals. "
        f"Gains run from {number(singles.estimate.min())} to {number(singles.estimate.max())}. "
    )
    if fit is None:
        return text + "No pooled effect was computed."
    pooled = data[data.layer == "diamond"].iloc[-1]
    text += f"The pooled gain is {number(pooled.estimate)} ({number(pooled.low)} to {number(pooled.high)})"
    prediction = data[data.layer == "prediction"]
    if prediction.empty:
        return text + "."
    low, high = prediction.low.iloc[0], prediction.high.iloc[0]
    return f"{text}; a new study is predicted between {number(low)} and {number(high)}."
