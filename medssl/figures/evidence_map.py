"""The evidence map: how many clusters and effects there are for each kind of comparison, gaps included."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from medssl.errors import UsageError
from medssl.figures._rows import align_left, short, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, display_name, figure_style, number, require_columns

__all__ = ["evidence_map"]

ROW = 0.29  # inches
LARGEST = 13.0  # points, the circle of the cell with most clusters
CIRCLE, GAP_COLOR = "#56b4e9", "0.9"
ALL = "All"
MOST_ROWS, MOST_COLUMNS = 60, 4
LONGEST = 20  # letters of a row label


def evidence_map(
    table: pd.DataFrame,
    rows: str | Sequence[str],
    *,
    columns: str = "modality",
    groups: str | None = None,
    names: Mapping[str, str] | None = None,
) -> Drawing:
    """Draw a grid of cells: a circle for the number of clusters, and clusters and effects in digits.

    Parameters
    ----------
    table : DataFrame
        One row an effect: `cluster_id`, `study_id`, and the columns named below. A categorical column keeps
        its order and its categories without effects; another one is sorted.
    rows : str or sequence of str
        The column whose values are the rows of the grid; several columns stand below each other, and every
        effect then counts once in each of them.
    columns : str
        The column whose values stand side by side; a last one counts all.
    groups : str, optional
        With a single column in `rows`: draw these rows once for each value of this column.
    names : mapping, optional
        What to write for a value or a column; by default the value as the literature writes it.

    Returns
    -------
    Drawing
        Layers of the data: `cell`, `empty` (no effects), `margin` and `heading`, with `clusters`,
        `studies` and `effects`. The area of a circle goes by clusters, the unit of independence; a cluster
        may stand in several cells, so clusters do not add up to those of the last row and column.

    Raises
    ------
    UsageError
        A column is absent or incomplete, `groups` with several columns, or too many rows or columns.

    Examples
    --------
    >>> table = pd.DataFrame({"modality": ["ct", "ct", "mri"], "family": ["hybrid", "hybrid", "generative"],
    ...                       "cluster_id": list("aab"), "study_id": list("abc")})
    >>> evidence_map(table, "family").data.layer.value_counts().sort_index().to_dict()
    {'cell': 2, 'empty': 2, 'margin': 5}
    """
    rows = [rows] if isinstance(rows, str) else list(rows)
    _check(table, rows, columns, groups)
    data = _cells(table, rows, columns, groups)
    across = [*_values(table[columns]), ALL]
    known = dict(names or {})
    data["name"] = [known.get(label, display_name(label)) for label in data.label]
    lines = data.drop_duplicates("row")
    lines = lines.assign(layer=lines.layer.mask(lines.label == ALL, "full"))  # in bold, like a heading
    _check_size(len(lines), len(across) - 1)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.75 + ROW * len(lines)), layout="constrained")
        axes = figure.subplots()
        _draw(axes, data, across)
        _label(axes, lines, [known.get(value, display_name(value)) for value in across])
        key = {"loc": "outside lower center", "ncols": 3, "frameon": False}
        figure.legend(handles=_key(data), title="Clusters (effects)", **key)
        figure.draw_without_rendering()
        align_left(axes, lines)
        figure.draw_without_rendering()
    return Drawing(figure, data, _alt(data, known), count=len(table), unit="effects")


def _check(table: pd.DataFrame, rows: list[str], columns: str, groups: str | None) -> None:
    wanted = ["cluster_id", "study_id", columns, *rows, *([groups] if groups else [])]
    require_columns(table, wanted, "the table of effects")
    if not rows:
        raise UsageError("rows names no column; give at least one.")
    if groups and len(rows) > 1:
        raise UsageError(f"groups={groups!r} needs a single column in rows, not {len(rows)}.")


def _check_size(lines: int, across: int) -> None:
    if lines > MOST_ROWS or across > MOST_COLUMNS:
        raise UsageError(
            f"the map has {lines} rows and {across} columns; at most {MOST_ROWS} and {MOST_COLUMNS} "
            "can be read. Merge values."
        )


def _values(column: pd.Series) -> list:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories)
    return sorted(column.unique())


def _cells(table: pd.DataFrame, rows: list[str], columns: str, groups: str | None) -> pd.DataFrame:
    """Count clusters, studies and effects of every cell, top row first, and of all effects at the bottom."""
    if groups:
        blocks = [(value, table[table[groups] == value], rows[0]) for value in _values(table[groups])]
    else:
        blocks = [(name if len(rows) > 1 else "", table, name) for name in rows]
    cells = []
    for heading, part, name in blocks:
        cells += [{"layer": "heading", "block": str(heading), "label": str(heading)}] if heading else []
        for value in _values(table[name]):
            cells += _line(part[part[name] == value], table[columns], str(heading), str(value))
    cells += _line(table, table[columns], "", ALL)
    data = pd.DataFrame(cells)
    new_row = (data[["block", "label"]] != data[["block", "label"]].shift()).any(axis=1)
    data.insert(0, "row", float(new_row.sum()) - new_row.cumsum())
    return data


def _line(part: pd.DataFrame, columns: pd.Series, block: str, label: str) -> list[dict]:
    cells = []
    for column in [*_values(columns), ALL]:
        here = part if column == ALL else part[columns[part.index] == column]
        margin = ALL in (label, column)
        layer = "margin" if margin else ("cell" if len(here) else "empty")
        counts = {"clusters": here["cluster_id"].nunique(), "studies": here["study_id"].nunique()}
        cells.append({"layer": layer, "block": block, "label": label, "column": str(column), **counts})
        cells[-1]["effects"] = len(here)
    return cells


def _draw(axes: Axes, data: pd.DataFrame, across: list) -> None:
    cells = data[data.layer != "heading"]
    place = cells.column.map({str(value): i for i, value in enumerate(across)})
    for (_, row), x in zip(cells.iterrows(), place, strict=True):
        if row.effects == 0:
            axes.add_patch(Rectangle((x - 0.47, row.row - 0.42), 0.94, 0.84, color=GAP_COLOR, linewidth=0))
    shown = cells.layer == "cell"
    area = LARGEST**2 * cells.clusters / cells.clusters[shown].max()
    style = {"color": CIRCLE, "edgecolor": "0.25", "linewidth": 0.6, "zorder": 3}
    axes.scatter(place[shown] - 0.37, cells.row[shown], s=area[shown], **style)
    for row, x in zip(cells.itertuples(), place, strict=True):
        words = f"{row.clusters:.0f} ({row.effects:.0f})" if row.effects else "0"
        axes.text(x - 0.22, row.row, words, fontsize=9, va="center_baseline")
    for height in [*(data[data.layer == "heading"].row - 0.46), 0.5]:
        axes.axhline(height, color="0.4", linewidth=0.7, zorder=1)
    axes.axvline(len(across) - 1.5, color="0.4", linewidth=0.7, zorder=1)


def _label(axes: Axes, lines: pd.DataFrame, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_yticks(lines.row, [short(name, LONGEST) for name in lines.name])
    axes.tick_params(axis="y", length=0)
    for text, layer in zip(axes.get_yticklabels(), lines.layer, strict=True):
        text.set_fontweight("bold" if layer in ("heading", "full") else "normal")
    axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(-0.6, len(lines) - 0.4))
    for spine in axes.spines.values():
        spine.set_visible(False)


def _key(data: pd.DataFrame) -> list:
    most = int(data[data.layer == "cell"].clusters.max())
    style = {"linestyle": "", "marker": "o", "markerfacecolor": CIRCLE, "markeredgecolor": "0.25"}
    few = Line2D([], [], markersize=LARGEST / np.sqrt(most), label="1 cluster", **style)
    many = Line2D([], [], markersize=LARGEST, label=f"{most} clusters", **style)
    return [few, many, Patch(facecolor=GAP_COLOR, label="No comparison")][most == 1 :]


def _alt(data: pd.DataFrame, names: Mapping[str, str]) -> str:
    cells = data[data.layer == "cell"]
    totals = data[(data.label == ALL) & (data.column != ALL)]
    most = cells.loc[cells.clusters.idxmax()]
    parts = [f"{_name(row.column, names)} {_said(row)}" for row in totals.itertuples()]
    text = (
        f"Evidence map. In all: {', '.join(parts)}. The fullest cell is {_where(most, names)}, {_said(most)}."
    )
    empty = int((data.layer == "empty").sum())
    text += f" {len(cells)} cells hold comparisons and {empty} are empty."
    rows = data[(data.layer == "margin") & (data.column == ALL) & (data.effects == 0)]
    if len(rows):
        text += f" Nothing at all: {'; '.join(_where(row, names) for _, row in rows.iterrows())}."
    return text


def _name(value: str, names: Mapping[str, str]) -> str:
    return spoken(names.get(value, display_name(value)))


def _where(row: pd.Series, names: Mapping[str, str]) -> str:
    places = [row.block, row.label, row.column if row.column != ALL else ""]
    return ", ".join(_name(place, names) for place in places if place)


def _said(row) -> str:
    cluster = "cluster" if row.clusters == 1 else "clusters"
    effect = "effect" if row.effects == 1 else "effects"
    return f"{number(row.clusters)} {cluster} ({number(row.effects)} {effect})"
