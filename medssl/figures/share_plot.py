"""The share plot: how often something happened, for each level of several factors, with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from medssl.errors import UsageError
from medssl.figures._rows import MOST_ROWS, ROW, align_left, name_rows, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import figure_style, finish, new_axes, number, require_columns

__all__ = ["share_plot"]

WORDS = ("Mean over clusters", "Share of all comparisons")
X_LABEL = "Comparisons with SSL below the comparator"
HEADING = "Losses; clusters"
COUNTS = ["losses", "effects", "clusters"]
FILLED, OPEN = "#0173b2", "#de8f05"  # the shape tells them apart as well


def share_plot(
    table: pd.DataFrame,
    *,
    groups: str | None = "factor",
    columns: Sequence[str] = ("share_clusters", "ci_low", "ci_high", "share_rows"),
    words: Sequence[str] = WORDS,
    reference: float | None = None,
    x_label: str = X_LABEL,
    level: float = 0.95,
    unit: str = "comparisons",
    count: int | None = None,
) -> Drawing:
    """Draw a share with its interval for each row, a second share beside it, and the counts in words.

    Parameters
    ----------
    table : DataFrame
        One row a level: `level` (its name), `losses`, `effects`, `clusters` (counts), and the columns named
        below; shares between 0 and 1. `medssl.synthesis.negatives.share_table` returns such a table.
    groups : str, optional
        The column whose values become headings; rows of one value stand together.
    columns : sequence of four str
        The share that is drawn filled, the limits of its interval (missing together where there is none),
        and the share that is drawn open.
    words : sequence of two str
        What the filled and the open marker show, for the legend.
    reference : float, optional
        A share of the whole that is drawn as a dotted line.
    x_label : str
        What is counted.
    level : float
        Coverage of the intervals, for the words.
    unit : str
        What `effects` counts, in the plural.
    count : int, optional
        The n of the figure; by default the largest sum of `effects` in a group.

    Returns
    -------
    Drawing
        Layers of the data: `heading`, `level` (with `estimate`, `low`, `high` and `other` in percent) and
        `reference`.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a share outside 0 to 1, an interval that does not hold its share or
        has one limit only, more than 120 rows, or a group in two places.

    Examples
    --------
    >>> table = pd.DataFrame({"factor": "Modality", "level": ["CT", "MRI"], "losses": [1, 3],
    ...                       "effects": [10, 12], "clusters": [5, 6], "share_clusters": [0.1, 0.2],
    ...                       "ci_low": [0.0, 0.1], "ci_high": [0.3, 0.4], "share_rows": [0.1, 0.25]})
    >>> share_plot(table).data[["layer", "label", "estimate"]].values.tolist()
    [['heading', 'Modality', nan], ['level', 'CT', 10.0], ['level', 'MRI', 20.0]]
    """
    _check(table, groups, columns, words)
    data = _layers(table, groups, columns, reference)
    rows = data[data.layer != "reference"]
    total = int(rows.groupby("group", dropna=False)["effects"].sum().max()) if count is None else count
    with figure_style():
        figure, axes = new_axes(height=1.6 + ROW * len(rows))
        _draw(axes, rows, reference)
        name_rows(axes, rows)
        _label(axes, rows, x_label)
        handles = _key(rows, words, level, reference)
        figure.legend(handles=handles, loc="outside lower center", frameon=False)
        finish(figure, left=False)
        align_left(axes, rows)
        finish(figure, left=False)
    alt = _alt(data, words, level, groups, x_label)
    return Drawing(figure, data, alt, count=total, unit=unit, level=level)


def _check(table: pd.DataFrame, groups, columns, words) -> None:
    what = "the table of shares"
    share, low, high, other = columns
    require_columns(table, ["level", *COUNTS, share, other, *([groups] if groups else [])], what)
    if low not in table or high not in table:
        raise UsageError(f"{what} has no column {low if low not in table else high}; give both limits.")
    if len(words) != 2 or not all(word.strip() for word in words):
        raise UsageError(f"words is {words!r}; give two texts, for the filled and for the open marker.")
    if len(table) > MOST_ROWS:
        raise UsageError(f"{what} has {len(table)} rows; at most {MOST_ROWS} can be read in one figure.")
    wrong = table.loc[~table[[share, other]].apply(lambda values: values.between(0, 1)).all(axis=1), "level"]
    if len(wrong):
        raise UsageError(f"{what}, level {wrong.iloc[0]!r}: a share lies between 0 and 1.")
    limits = table[[low, high]]
    holds = (limits[low] <= table[share] + 1e-12) & (table[share] <= limits[high] + 1e-12)
    wrong = table.loc[~(holds | limits.isna().all(axis=1)), "level"]
    if len(wrong):
        raise UsageError(f"{what}, level {wrong.iloc[0]!r}: the interval must hold its share, or be missing.")
    if groups and (table[groups] != table[groups].shift()).sum() > table[groups].nunique():
        raise UsageError(f"{what}: rows of one {groups} must stand together; sort the table by it.")


def _layers(table: pd.DataFrame, groups: str | None, columns, reference) -> pd.DataFrame:
    share, low, high, other = columns
    values = {"estimate": share, "low": low, "high": high, "other": other}
    levels = pd.DataFrame({"layer": "level", "label": table["level"].astype(str)})
    levels = levels.assign(**{name: 100 * table[column].astype(float) for name, column in values.items()})
    levels = levels.join(table[COUNTS]).assign(group=table[groups].astype(str) if groups else "")
    parts = []
    for name, part in levels.groupby("group", sort=False):
        if groups:
            parts.append(pd.DataFrame([{"layer": "heading", "label": name, "group": name}]))
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True)
    rows.insert(0, "row", np.arange(len(rows), 0, -1) - 1.0)
    if reference is None:
        return rows
    line = pd.DataFrame([{"layer": "reference", "label": "All", "estimate": 100 * float(reference)}])
    return pd.concat([rows, line], ignore_index=True)


def _draw(axes: Axes, rows: pd.DataFrame, reference: float | None) -> None:
    levels = rows[rows.layer == "level"]
    if reference is not None:
        axes.axvline(100 * reference, color="0.35", linewidth=0.9, linestyle=":", zorder=1)
    known = levels.dropna(subset="low")
    axes.hlines(known.row, known.low, known.high, color="0.2", linewidth=1.3, zorder=2, label="interval")
    style = {"marker": "D", "facecolor": "white", "edgecolor": OPEN, "linewidth": 1.4}
    axes.scatter(levels.other, levels.row, s=24, zorder=3, label="other", **style)
    style = {"marker": "o", "facecolor": FILLED, "edgecolor": "black", "linewidth": 0.7}
    axes.scatter(levels.estimate, levels.row, s=36, zorder=4, label="estimate", **style)


def _label(axes: Axes, rows: pd.DataFrame, x_label: str) -> None:
    farthest = np.nanmax(rows[["estimate", "high", "other"]].to_numpy(float))
    axes.set_xlim(-2, min(100, max(20.0, 10 * np.ceil(farthest / 10))) + 2)
    axes.xaxis.set_major_locator(MultipleLocator(20 if axes.get_xlim()[1] > 50 else 10))
    axes.xaxis.set_major_formatter(PercentFormatter())
    axes.set_xlabel(x_label)
    side = {"transform": axes.get_yaxis_transform(), "fontsize": 9.5}
    for row in rows[rows.layer == "level"].itertuples():
        axes.text(
            1.02, row.row, f"{row.losses:.0f} of {row.effects:.0f}; {row.clusters:.0f}", va="center", **side
        )
    axes.text(1.02, len(rows) - 0.2, HEADING, va="bottom", **side)


def _key(rows: pd.DataFrame, words, level: float, reference: float | None) -> list:
    filled = {"marker": "o", "markerfacecolor": FILLED, "markeredgecolor": "black", "markersize": 6.5}
    line = {"color": "0.2", "linewidth": 1.3, "label": f"{words[0]}, {number(100 * level)}% interval"}
    open_ = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": OPEN, "markersize": 5.5}
    handles = [Line2D([], [], **filled, **line), Line2D([], [], linestyle="", label=words[1], **open_)]
    if reference is not None:
        handles.append(Line2D([], [], color="0.35", linewidth=0.9, linestyle=":", label="The whole"))
    return handles


def _alt(data: pd.DataFrame, words, level: float, groups: str | None, x_label: str) -> str:
    levels = data[data.layer == "level"]
    headings = int((data.layer == "heading").sum())
    lowest, highest = levels.loc[levels.estimate.idxmin()], levels.loc[levels.estimate.idxmax()]
    what = x_label[:1].lower() + x_label[1:]
    text = f"Share plot of {what}: {len(levels)} levels"
    text += f" of {headings} factors. " if groups else ". "
    text += f"Filled markers: {words[0].lower()}, with {number(100 * level)}% intervals where there are any; "
    text += f"open markers: {words[1].lower()}. The filled markers run from {_at(lowest)} to {_at(highest)}."
    for row in data[data.layer == "reference"].itertuples():
        text += f" The whole is at {number(row.estimate)}%."
    return text


def _at(row: pd.Series) -> str:
    limits = f", {number(row.low)} to {number(row.high)}" if np.isfinite(row.low) else ""
    name = f"{row.group}: {spoken(row.label)}" if row.group else spoken(row.label)
    return f"{number(row.estimate)}% ({name}{limits})"
