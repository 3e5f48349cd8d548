"""The forest plot: one row an effect, a diamond for the pooled mean, a bar for the prediction."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures._fits import fit_weights
from medssl.figures._rows import (
    MOST_ROWS,
    ROW,
    align_left,
    check_group_fits,
    draw_pooled,
    name_rows,
    pooled_rows,
    pooled_words,
    print_numbers,
)
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    display_name,
    figure_style,
    finish,
    gain_label,
    new_axes,
    noun,
    number,
    quantity,
    require_columns,
)

__all__ = ["forest"]


def forest(
    effects: pd.DataFrame,
    fit=None,
    *,
    groups: str | None = None,
    group_fits: dict | None = None,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
    interval: str = "model",
) -> Drawing:
    """Draw effects with their intervals, subgroup headings, pooled diamonds and the prediction bar.

    Parameters
    ----------
    effects : DataFrame
        One row an effect, drawn from top to bottom in the order given: `yi`, `vi`, `label`.
    fit : RandomEffectsFit or MultilevelFit, optional
        A fit of these effects without moderators: the diamond, the prediction bar, the sizes of the squares
        (a multilevel fit gives them the areas ``1 / (vi + sum(sigma2))``).
        Without it nothing is pooled, and the squares have weights ``1 / vi``.
    groups : str, optional
        A column whose values become headings, in the order of their first row.
    group_fits : dict, optional
        A fit for each value of `groups` that deserves a diamond of its own.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of every interval; those of single effects are normal.
    interval : {"model", "robust"}
        Whose limits the diamonds and the bar have: the model's, or those of ``fit.robust()``.

    Returns
    -------
    Drawing
        Layers of the data: `effect`, `heading`, `diamond`, `prediction`; `row` is the drawn height.

    Raises
    ------
    UsageError
        A column is absent or incomplete, more than 120 effects, a fit with moderators, or an interval that
        the fit does not have.

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
    if len(effects) > MOST_ROWS:
        raise UsageError(
            f"{len(effects)} effects do not fit on a page; pool or select at most {MOST_ROWS}, "
            "or draw one row a cluster with forest_by_cluster."
        )
    check_group_fits(effects, fit, groups, group_fits)
    data = _rows(effects, fit, groups, group_fits, level, interval)
    with figure_style():
        figure, axes = new_axes(height=1.1 + ROW * len(data))
        _draw(axes, data)
        name_rows(axes, data)
        axes.set_xlabel(gain_label(scale, comparator))
        print_numbers(axes, data, f"{noun(scale).capitalize()} ({number(100 * level)}% interval)")
        finish(figure, left=False)
        align_left(axes, data)
        finish(figure, left=False)
    return Drawing(figure, data, _alt(data, fit, scale, level, interval), count=len(effects), level=level)


def _rows(effects: pd.DataFrame, fit, groups, group_fits: dict, level: float, interval: str) -> pd.DataFrame:
    """Return the drawn rows from top to bottom, with their heights."""
    singles = _single_rows(effects, fit, level)
    if groups is None:
        rows = singles.to_dict("records")
    else:
        rows = []
        for name, members in singles.groupby(effects[groups].to_numpy(), sort=False):
            rows.append({"layer": "heading", "label": display_name(name)})
            rows += members.to_dict("records")
            rows += pooled_rows(group_fits.get(name), "Pooled", level, interval)[:1]
    rows += pooled_rows(fit, "All pooled" if groups else "Pooled", level, interval)
    table = pd.DataFrame(rows)
    table.insert(0, "row", np.arange(len(table), 0, -1) - 1.0)
    return table


def _single_rows(effects: pd.DataFrame, fit, level: float) -> pd.DataFrame:
    half = norm.isf((1 - level) / 2) * np.sqrt(effects["vi"])
    weight = fit_weights(effects, fit)
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


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    singles = data[data.layer == "effect"]
    axes.hlines(singles.row, singles.low, singles.high, color="0.2", linewidth=1.1, zorder=2)
    style = {"marker": "s", "facecolor": "#0173b2", "edgecolor": "0.15", "linewidth": 0.5}
    axes.scatter(singles.estimate, singles.row, s=singles.area, zorder=3, **style)
    draw_pooled(axes, data)


def _alt(data: pd.DataFrame, fit, scale: str, level: float, interval: str) -> str:
    singles = data[data.layer == "effect"]
    percent = number(100 * level)
    text = (
        f"Forest plot of {len(singles)} effects: {quantity(scale)} with {percent}% intervals. "
        f"{noun(scale).capitalize()}s run from {number(singles.estimate.min())} to "
        f"{number(singles.estimate.max())}. "
    )
    if fit is None:
        return text + "No pooled effect was computed."
    return text + pooled_words(data, interval, scale)
