"""The GOSH plot: the pooled gain and the heterogeneity of many subsets of the effects."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medssl.errors import UsageError
from medssl.figures._layout import LEGEND_LONGEST
from medssl.figures._rows import short, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, finish, gain_label, number, require_columns

__all__ = ["gosh_plot"]

BINS = 40
CELLS = 45  # hexagons across
SHADES = (
    "#bcd7ea",
    "#08306b",
)  # of a hexagon with one subset, and of the fullest one; the scale is logarithmic
MANY = 2000  # subsets; above it points without a split become hexagons, which show how many lie where
HETEROGENEITY = {"i2": "I² (%)", "tau2": "τ²"}
WORDS = {"i2": "I squared", "tau2": "tau squared"}
# face colour, marker and hatch of each part; the shape and the hatch alone tell them apart
PARTS = {
    "subset": ("#0173b2", "o", ""),
    "without": ("#de8f05", "o", ""),
    "with": ("#0173b2", "^", "////"),
}


def gosh_plot(
    table: pd.DataFrame,
    split=None,
    *,
    heterogeneity: str | None = None,
    row: str = "the chosen row",
    scale: str = "AUC",
    comparator: str = "supervised",
) -> Drawing:
    """Draw the estimate of each subset against its heterogeneity, with the densities of both.

    Parameters
    ----------
    table : DataFrame
        One row a subset: `estimate` and `i2` (percent) or `tau2`.
    split : array-like of bool, optional
        One entry a subset: whether it holds the row in question. The two parts get markers and hatches.
    heterogeneity : {"i2", "tau2"}, optional
        The column on the vertical axis; by default `i2` where there is one.
    row : str
        The row that `split` is about, for the legend.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.

    Returns
    -------
    Drawing
        Layers of the data: `subset`, or `without` and `with`; `density` (bars of the margins: `axis`, `part`,
        `low`, `high`, `density`) and `median` (of each part).

    Raises
    ------
    UsageError
        A column is absent or incomplete, or `split` does not fit the table or puts all subsets on one side.

    Notes
    -----
    Olkin I, Dahabreh IJ, Trikalinos TA (2012). GOSH: a graphical display of study heterogeneity. Res Synth
    Methods 3:214-223.

    Examples
    --------
    >>> table = pd.DataFrame({"estimate": [0.01, 0.02, 0.05, 0.06], "i2": [0.0, 10.0, 60.0, 70.0]})
    >>> data = gosh_plot(table, [False, False, True, True]).data
    >>> data[data.layer == "median"][["part", "estimate", "i2"]].values.tolist()
    [['without', 0.015, 5.0], ['with', 0.055, 65.0]]
    """
    y = heterogeneity or ("i2" if "i2" in table else "tau2")
    if y not in HETEROGENEITY:
        raise UsageError(f"heterogeneity is {y!r}; it must be one of {', '.join(HETEROGENEITY)}.")
    require_columns(table, ["estimate", y], "the table of subsets")
    data = _layers(table, _parts(split, len(table)), y)
    with figure_style():
        figure, (main, top, right) = _axes()
        _draw_subsets(main, data, y)
        _draw_densities(top, right, data)
        main.set_xlabel(gain_label(scale, comparator))
        main.set_ylabel(f"Heterogeneity of the subset, {HETEROGENEITY[y]}")
        key = _key(main, data, row)
        figure.legend(handles=key, loc="outside lower center", ncols=1, frameon=False)
        finish(figure)
    return Drawing(figure, data, _alt(data, y, row, scale), count=len(table), unit="subsets")


def _parts(split, count: int) -> np.ndarray:
    """Return the part of each subset."""
    if split is None:
        return np.full(count, "subset")
    split = np.asarray(split)
    if split.shape != (count,) or split.dtype != bool:
        raise UsageError(f"split has shape {split.shape} and type {split.dtype}; give {count} booleans.")
    if split.all() or not split.any():
        raise UsageError("split puts all subsets on one side; draw them without a split.")
    return np.where(split, "with", "without")


def _layers(table: pd.DataFrame, parts: np.ndarray, y: str) -> pd.DataFrame:
    subsets = table[["estimate", y]].reset_index(drop=True)
    subsets.insert(0, "layer", parts)
    medians = subsets.groupby("layer", sort=False)[["estimate", y]].median()
    medians = medians.rename_axis("part").reset_index().assign(layer="median")
    medians = medians.sort_values("part", key=lambda part: part.map([*PARTS].index))
    bars = [_density(subsets, name, axis) for axis in ("estimate", y) for name in medians.part]
    return pd.concat([subsets, *bars, medians], ignore_index=True)


def _density(subsets: pd.DataFrame, part: str, axis: str) -> pd.DataFrame:
    """Return a histogram whose bars, over all parts together, have an area of 1."""
    values = subsets[axis]
    edges = np.linspace(
        values.min(), values.max() if values.max() > values.min() else values.min() + 1, BINS + 1
    )
    count, _ = np.histogram(values[subsets.layer == part], edges)
    density = count / (len(values) * (edges[1] - edges[0]))
    bars = {"layer": "density", "axis": axis, "part": part, "low": edges[:-1], "high": edges[1:]}
    return pd.DataFrame({**bars, "density": density})


def _axes() -> tuple[Figure, tuple[Axes, Axes, Axes]]:
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[4.2, 1], height_ratios=[1, 4.2])
    main = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=main)
    right = figure.add_subplot(grid[1, 1], sharey=main)
    for axes in (top, right):
        axes.tick_params(labelbottom=False, labelleft=False, left=False, bottom=False)
    return figure, (main, top, right)


def _draw_subsets(axes: Axes, data: pd.DataFrame, y: str) -> None:
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    subsets = data[data.layer.isin(PARTS)]
    if "subset" in set(subsets.layer) and len(subsets) > MANY:
        shades = LinearSegmentedColormap.from_list("subsets", SHADES)
        style = {"cmap": shades, "mincnt": 1, "bins": "log", "linewidths": 0.1, "zorder": 2}
        axes.hexbin(subsets.estimate, subsets[y], gridsize=CELLS, label="subset", **style)
    else:
        size = 8 if len(subsets) > MANY else 16
        for part in data[data.layer == "median"].part:
            rows, (color, marker, _) = subsets[subsets.layer == part], PARTS[part]
            style = {"marker": marker, "facecolor": color, "edgecolor": "black", "linewidth": 0.25}
            axes.scatter(rows.estimate, rows[y], s=size, alpha=0.6, label=part, rasterized=True, **style)
    axes.margins(0.03)


def _draw_densities(top: Axes, right: Axes, data: pd.DataFrame) -> None:
    bars = data[data.layer == "density"]
    axes_of = {axis: axes for axis, axes in zip(dict.fromkeys(bars.axis), (top, right), strict=True)}
    for (axis, part), rows in bars.groupby(["axis", "part"], sort=False):
        color, _, hatch = PARTS[part]
        edges = np.append(rows.low, rows.high.iloc[-1])
        style = {"facecolor": color, "edgecolor": "black", "linewidth": 0.6, "hatch": hatch, "alpha": 0.6}
        direction = "vertical" if axis == "estimate" else "horizontal"
        axes_of[axis].stairs(rows.density, edges, fill=True, orientation=direction, label=part, **style)


def _key(main: Axes, data: pd.DataFrame, row: str) -> list:
    cells = [item for item in main.collections if isinstance(item, PolyCollection)]
    if cells:
        most = cells[0].get_array().max()
        words = ("1 subset", f"{most:.0f} subsets")
        return [Patch(facecolor=c, edgecolor="0.3", label=w) for c, w in zip(SHADES, words, strict=True)]
    names = {"subset": "Subset", "without": f"Subsets without {row}", "with": f"Subsets with {row}"}
    key = []
    for part in data[data.layer == "median"].part:
        color, marker, _ = PARTS[part]
        style = {"markerfacecolor": color, "markeredgecolor": "black", "markersize": 7, "linestyle": ""}
        key.append(Line2D([], [], marker=marker, label=short(names[part], LEGEND_LONGEST), **style))
    return key


def _alt(data: pd.DataFrame, y: str, row: str, scale: str) -> str:
    subsets = data[data.layer.isin(PARTS)]
    text = (
        f"GOSH plot of {len(subsets)} subsets: pooled gain in {scale} against {WORDS[y]}. Gains run from "
        f"{number(subsets.estimate.min())} to {number(subsets.estimate.max())}, {WORDS[y]} from "
        f"{number(subsets[y].min())} to {number(subsets[y].max())}."
    )
    for middle in data[data.layer == "median"].itertuples():
        which = "" if middle.part == "subset" else f" {middle.part} {spoken(row)}"
        text += (
            f" The median subset{which} has a gain of {number(middle.estimate)} and {WORDS[y]} of "
            f"{number(getattr(middle, y))}."
        )
    return text
