"""The forest plot of a large table: one row a cluster, with the mean and the range of its effects."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures._rows import (
    BARS,
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

__all__ = ["forest_by_cluster"]

COUNT_ROOM = 27.0  # points between the names and the axis, for the numbers of effects


def forest_by_cluster(
    effects: pd.DataFrame,
    fit=None,
    *,
    cluster: str = "cluster_id",
    label: str | None = None,
    groups: str | None = None,
    group_fits: dict | None = None,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
    interval: str = "model",
) -> Drawing:
    r"""Draw one row a cluster, smallest mean first, with pooled diamonds and the prediction bar.

    Parameters
    ----------
    effects : DataFrame
        One row an effect: `yi`, `vi` and the column `cluster`.
    fit : MultilevelFit or RandomEffectsFit, optional
        A fit of these effects without moderators: the diamond, the prediction bar, and the variance between
        effects and the sampling correlation with which a cluster's own mean is computed.
        Without it nothing is pooled over clusters, and effects are pooled inside them as if independent.
    cluster : str
        The column that names the cluster of each effect.
    label : str, optional
        A column with the name to print, the same for all effects of a cluster; by default `cluster`.
    groups : str, optional
        A column whose values become headings, in the order of their first row. A cluster with effects in
        several groups has a row in each.
    group_fits : dict, optional
        A fit for each value of `groups` that deserves a diamond of its own.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of every interval; those of clusters are normal.
    interval : {"model", "robust"}
        Whose limits the diamonds and the bar have: the model's, or those of ``fit.robust()``.

    Returns
    -------
    Drawing
        Layers of the data: `cluster` (with `effects`, their number, and `smallest` and `largest`, their
        range), `heading`, `diamond`, `prediction`; `row` is the drawn height.

    Raises
    ------
    UsageError
        A column is absent or incomplete, more than 120 rows, a fit with moderators or of other effects, two
        names for one cluster, or an interval that the fit does not have.

    Notes
    -----
    The mean of a cluster is that of its effects with the weights :math:`w_i = 1 / (v_i + \sigma^2)`, where
    :math:`\sigma^2` is the variance between effects within clusters (the second of `sigma2`; `tau2` of a fit
    with one level; 0 without a fit). The weights are positive, so that the mean lies inside the range of the
    effects. Its variance under the sampling correlation :math:`\rho` of the fit (0 when it has none) is

    .. math:: \frac{\sum_i w_i + \rho\,[(\sum_i w_i s_i)^2 - \sum_i w_i^2 v_i]}{(\sum_i w_i)^2},

    with :math:`s_i = \sqrt{v_i}`. It describes the cluster itself, so the variance between clusters is
    not in it.

    Examples
    --------
    >>> effects = pd.DataFrame({"yi": [0.08, 0.04, 0.01], "vi": [0.0004, 0.0004, 0.0002],
    ...                         "cluster_id": ["b", "b", "a"]})
    >>> drawing = forest_by_cluster(effects)
    >>> drawing.data[["label", "effects", "estimate"]].round(3).values.tolist()
    [['a', 1, 0.01], ['b', 2, 0.06]]
    """
    columns = ["yi", "vi", cluster, *([label] if label else []), *([groups] if groups else [])]
    require_columns(effects, columns, "the table of effects")
    group_fits = group_fits or {}
    check_group_fits(effects, fit, groups, group_fits)
    _one_name(effects, cluster, label or cluster)
    data = _rows(effects, fit, cluster, label or cluster, groups, group_fits, level, interval)
    with figure_style():
        figure, axes = new_axes(height=1.9 + ROW * len(data))
        _draw(axes, data)
        _words(axes, data, scale, comparator, level)
        figure.legend(handles=_key(data, level), loc="outside lower center", ncols=2, frameon=False)
        finish(figure, left=False)
        align_left(axes, data, room=COUNT_ROOM)
        finish(figure, left=False)
    return Drawing(figure, data, _alt(data, fit, scale, level, interval), count=len(effects), level=level)


def _one_name(effects: pd.DataFrame, cluster: str, label: str) -> None:
    names = effects.groupby(cluster)[label].nunique()
    if (names > 1).any():
        first = names.index[names > 1][0]
        raise UsageError(f"the cluster {first!r} has {names[first]} values of {label}; give it one name.")


def _rows(effects, fit, cluster, label, groups, group_fits, level, interval) -> pd.DataFrame:
    """Return the drawn rows from top to bottom, with their heights."""
    parts = [(None, effects)] if groups is None else list(effects.groupby(groups, sort=False))
    rows = []
    for name, members in parts:
        rows += [] if groups is None else [{"layer": "heading", "label": display_name(name)}]
        means = [_cluster_row(one, fit, label, level) for _, one in members.groupby(cluster)]
        rows += sorted(means, key=lambda row: row["estimate"])
        rows += pooled_rows(group_fits.get(name), "Pooled", level, interval)[:1]
    rows += pooled_rows(fit, "All pooled" if groups else "Pooled", level, interval)
    table = pd.DataFrame(rows)
    drawn = int((table.layer == "cluster").sum())
    if drawn > MOST_ROWS:
        raise UsageError(f"{drawn} clusters do not fit on a page; select at most {MOST_ROWS}.")
    table.insert(0, "row", np.arange(len(table), 0, -1) - 1.0)
    return table


def _cluster_row(members: pd.DataFrame, fit, label: str, level: float) -> dict:
    mean, variance = _cluster_mean(members["yi"].to_numpy(float), members["vi"].to_numpy(float), fit)
    half = norm.isf((1 - level) / 2) * np.sqrt(variance)
    return {
        "layer": "cluster",
        "label": str(members[label].iloc[0]),
        "effects": len(members),
        "estimate": mean,
        "low": mean - half,
        "high": mean + half,
        "smallest": members["yi"].min(),
        "largest": members["yi"].max(),
        "area": 9 + 12 * np.log10(len(members)),  # one to hundreds of effects; the number stands beside it
    }


def _cluster_mean(yi: np.ndarray, vi: np.ndarray, fit) -> tuple[float, float]:
    """Return the weighted mean of a cluster's effects and its variance; see the notes of the figure."""
    between = float(fit.sigma2[1]) if hasattr(fit, "sigma2") else getattr(fit, "tau2", 0.0)
    rho = getattr(fit, "rho", None) or 0.0
    weight = 1 / (vi + between)  # [n]
    pairs = np.sum(weight * np.sqrt(vi)) ** 2 - np.sum(weight**2 * vi)  # covariance of two different effects
    total = np.sum(weight)
    return float(weight @ yi / total), float((total + rho * pairs) / total**2)


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    means = data[data.layer == "cluster"]
    several = means[means.effects > 1]
    axes.hlines(several.row, several.smallest, several.largest, color="0.55", linewidth=0.8, zorder=1.5)
    ends = {"marker": "|", "color": "0.4", "linewidth": 0.8, "s": 26, "zorder": 1.6}
    axes.scatter(several.smallest, several.row, **ends)
    axes.scatter(several.largest, several.row, **ends)
    axes.hlines(means.row, means.low, means.high, color="0.15", linewidth=2.2, zorder=2)
    style = {"marker": "s", "facecolor": "#0173b2", "edgecolor": "white", "linewidth": 0.6}
    axes.scatter(means.estimate, means.row, s=means.area, zorder=3, **style)
    draw_pooled(axes, data)


def _words(axes: Axes, data: pd.DataFrame, scale: str, comparator: str, level: float) -> None:
    name_rows(axes, data)
    axes.set_xlabel(gain_label(scale, comparator))
    print_numbers(axes, data, f"{noun(scale).capitalize()} ({number(100 * level)}% interval)")
    beside = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    for row in data[data.layer == "cluster"].itertuples():
        axes.annotate(f"{row.effects:.0f}", (0, row.row), (-5, 0), va="center", fontsize=9.5, **beside)
    axes.annotate("Effects", (0, len(data) - 0.2), (-5, 0), va="bottom", fontsize=9.5, **beside)


def _key(data: pd.DataFrame, level: float) -> list:
    percent = number(100 * level)
    square = {"marker": "s", "markerfacecolor": "#0173b2", "markeredgecolor": "white", "markersize": 6}
    key = [
        Line2D([], [], color="0.15", linewidth=2.2, label=f"Cluster mean, {percent}% interval", **square),
        Line2D([], [], color="0.55", linewidth=0.8, marker="|", label="Range of its effects"),
    ]
    names = {"diamond": f"Pooled, {percent}% interval", "prediction": f"{percent}% prediction interval"}
    drawn = set(data.layer)
    return key + [
        Patch(facecolor=BARS[layer], edgecolor="0.2", label=words)
        for layer, words in names.items()
        if layer in drawn
    ]


def _alt(data: pd.DataFrame, fit, scale: str, level: float, interval: str) -> str:
    means = data[data.layer == "cluster"]
    text = (
        f"Forest plot of {number(means.effects.sum())} effects as {len(means)} cluster means: "
        f"{quantity(scale)} with {number(100 * level)}% intervals. "
        f"Means run from {number(means.estimate.min())} to {number(means.estimate.max())}, "
        f"single effects from {number(means.smallest.min())} to {number(means.largest.max())}; "
        f"the largest cluster has {number(means.effects.max())} effects. "
    )
    return text + ("No pooled effect was computed." if fit is None else pooled_words(data, interval, scale))
