"""Strata side by side: mean, confidence and prediction interval, grade, and the strata too thin to pool."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medssl.errors import UsageError
from medssl.figures._rows import align_left, fixed, name_rows
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    display_name,
    figure_style,
    finish,
    gain_label,
    new_axes,
    number,
    require_columns,
)

__all__ = ["strata_plot"]

ROW = 0.3  # inches
NUMBERS = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]
MARKS = {"strong": "*", "moderate": "D", "weak": "o", "insufficient": "o", "against": "v"}
HOLLOW = {"insufficient"}


def strata_plot(
    table: pd.DataFrame,
    *,
    groups: str = "comparator",
    label: str = "modality",
    scale: str = "AUC",
    comparator: str = "comparator",
    count: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Drawing:
    """Draw one row a stratum, gathered under headings.

    Parameters
    ----------
    table : DataFrame
        As `medssl.synthesis.strata` returns it, in the order to draw: `groups`, `label`, `k`, `clusters`,
        `grade`, and `estimate`, `ci_low`, `ci_high`, `pi_low`, `pi_high`, missing where nothing was fitted.
    groups, label : str
        Columns of the headings and of the row names.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    count : int, optional
        Number of effects behind the figure, where rows share effects; by default the sum of `k`.
    limits : (float, float), optional
        Ends of the axis; prediction intervals that reach beyond end in an arrow. By default all that is
        drawn, but no more than six times the widest confidence interval.

    Returns
    -------
    Drawing
        Layers of the data: `heading`, `stratum`, `thin` (not fitted); `row` is the drawn height.

    Raises
    ------
    UsageError
        A column is absent, or an unknown grade.

    Examples
    --------
    >>> table = pd.DataFrame({"comparator": "random", "modality": ["xray", "ct"], "k": [9, 2],
    ...                       "clusters": [4, 1], "grade": ["weak", "insufficient"]})
    >>> table[NUMBERS] = [[0.02, 0.01, 0.03, -0.01, 0.05], [np.nan] * 5]
    >>> strata_plot(table).data.layer.tolist()
    ['heading', 'stratum', 'thin']
    """
    require_columns(table, [groups, label, "k", "clusters", "grade"], "the table of strata")
    absent = [name for name in NUMBERS if name not in table]
    if absent:
        raise UsageError(f"the table of strata has no column {', '.join(absent)}.")
    unknown = sorted(set(table["grade"]) - set(MARKS))
    if unknown:
        raise UsageError(f"grade is {unknown[0]!r}; it must be one of {', '.join(MARKS)}.")
    data = _rows(table, groups, label)
    limits = _limits(data, limits)
    with figure_style():
        figure, axes = new_axes(height=1.7 + ROW * len(data))
        _draw(axes, data, limits)
        _words(axes, data, scale, comparator, limits)
        figure.legend(handles=_key(data), loc="outside lower center", ncols=2, frameon=False)
        finish(figure, left=False)
        align_left(axes, data, room=16)
        finish(figure, left=False)
    return Drawing(figure, data, _alt(data, scale), count=int(table["k"].sum() if count is None else count))


def _rows(table: pd.DataFrame, groups: str, label: str) -> pd.DataFrame:
    rows = []
    for name, part in table.groupby(groups, sort=False):
        rows.append({"layer": "heading", "label": display_name(name)})
        for row in part.itertuples():
            layer = "stratum" if np.isfinite(row.estimate) else "thin"
            numbers = {column: getattr(row, column) for column in NUMBERS}
            facts = {"group": name, "effects": row.k, "clusters": row.clusters, "grade": row.grade}
            rows.append({"layer": layer, "label": display_name(getattr(row, label)), **facts, **numbers})
    data = pd.DataFrame(rows)
    data.insert(0, "row", np.arange(len(data), 0, -1) - 1.0)
    return data


def _limits(data: pd.DataFrame, limits) -> tuple[float, float]:
    if limits is not None:
        return limits
    if data["ci_low"].isna().all():
        return -0.1, 0.1
    widest = 6 * (data["ci_high"] - data["ci_low"]).max()
    low = max(data["pi_low"].min(), data["ci_low"].min() - widest)
    high = min(data["pi_high"].max(), data["ci_high"].max() + widest)
    margin = 0.04 * (max(high, 0.0) - min(low, 0.0))
    return min(low, 0.0) - margin, max(high, 0.0) + margin


def _draw(axes: Axes, data: pd.DataFrame, limits: tuple[float, float]) -> None:
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    fitted = data[data.layer == "stratum"]
    axes.hlines(fitted.row, fitted.pi_low, fitted.pi_high, color="0.78", linewidth=7, zorder=1.5)
    axes.hlines(fitted.row, fitted.ci_low, fitted.ci_high, color="0.1", linewidth=1.8, zorder=2)
    for row in fitted.itertuples():
        face = "white" if row.grade in HOLLOW else "#0173b2"
        size = 110 if MARKS[row.grade] == "*" else 46
        axes.scatter(
            row.estimate, row.row, s=size, marker=MARKS[row.grade], facecolor=face, edgecolor="0.1", zorder=3
        )
        beyond = {"<": (limits[0], row.pi_low < limits[0]), ">": (limits[1], row.pi_high > limits[1])}
        for mark, (end, cut) in beyond.items():
            if cut:
                axes.scatter(end, row.row, s=26, marker=mark, color="0.4", clip_on=False, zorder=4)


def _words(axes: Axes, data: pd.DataFrame, scale: str, comparator: str, limits: tuple[float, float]) -> None:
    name_rows(axes, data)
    axes.set_xlim(limits)
    axes.set_xlabel(gain_label(scale, comparator))
    beside = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "fontsize": 9.5}
    for row in data[data.layer != "heading"].itertuples():
        words = f"{fixed(row.estimate)} ({fixed(row.ci_low)}, {fixed(row.ci_high)})"
        words = "too few clusters" if row.layer == "thin" else words
        axes.annotate(words, (1, row.row), (8, 0), va="center", **beside)
        counts = f"{row.effects:.0f} / {row.clusters:.0f}"
        axes.annotate(counts, (0, row.row), (-6, 0), va="center", ha="right", **beside)
    top = len(data) - 0.3
    axes.annotate("Gain (95% interval)", (1, top), (8, 0), va="bottom", **beside)
    axes.annotate("Effects / clusters", (0, top), (-6, 0), va="bottom", ha="right", **beside)


def _key(data: pd.DataFrame) -> list:
    handles = []
    for grade, mark in MARKS.items():
        if grade in set(data.loc[data.layer == "stratum", "grade"]):
            face = "white" if grade in HOLLOW else "#0173b2"
            look = {"marker": mark, "markerfacecolor": face, "markeredgecolor": "0.1", "linestyle": ""}
            handles.append(Line2D([], [], label=f"Grade: {grade}", **look))
    return [
        *handles,
        Line2D([], [], color="0.1", linewidth=1.8, label="95% confidence"),
        Patch(facecolor="0.78", label="95% prediction, new study"),
    ]


def _alt(data: pd.DataFrame, scale: str) -> str:
    fitted, thin = data[data.layer == "stratum"], data[data.layer == "thin"]
    text = (
        f"Pooled gains in {scale} of {len(fitted)} strata with 95% intervals; "
        f"{len(thin)} strata have too few clusters to pool. "
    )
    for row in fitted.itertuples():
        text += (
            f"{display_name(row.group)}, {row.label}: {number(row.estimate)} ({number(row.ci_low)} to "
            f"{number(row.ci_high)}), {row.grade}. "
        )
    return text.strip()
