"""Coverage of intervals against the number of effects or clusters, small multiples of a simulation."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, Look, figure_style, finish, looks, number, require_columns

__all__ = ["coverage_plot"]

DODGE = 0.1  # sideways distance between methods, in places
COLUMNS = ["count", "method", "replicates", "coverage", "coverage_se"]


def coverage_plot(
    table: pd.DataFrame,
    *,
    columns: str,
    rows: str | None = None,
    methods: Mapping[str, str],
    titles: Mapping | None = None,
    x_label: str = "Number of effects",
    nominal: float = 0.95,
    level: float = 0.95,
    rows_share_data: bool = False,
) -> Drawing:
    """Draw coverage in percent against `count`, one panel for each value of `columns` and `rows`.

    Parameters
    ----------
    table : DataFrame
        One row a setting and method, as `medssl.meta.coverage.simulate` gives them: ``count, method,
        replicates, coverage, coverage_se`` and the columns that the panels go by.
    columns, rows : str
        What the panels go by from left to right, for instance "i2" or "rho", and from top to bottom.
    methods : mapping
        The methods to draw, in the order of the legend, and their names there; at most eight.
    titles : mapping, optional
        What to write for a value of `columns` or `rows`; by default the value.
    x_label : str
        Label of the horizontal axes.
    nominal : float
        The coverage that was asked for, drawn as a line.
    level : float
        Coverage of the bars, which show the Monte Carlo error.
    rows_share_data : bool
        Whether the panels of a column come from the same data sets, which are then counted once.

    Returns
    -------
    Drawing
        One row of the data a point; `n` counts the simulated data sets.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a method is not in the table, a setting appears twice.

    Examples
    --------
    >>> table = pd.DataFrame({"count": [5, 10], "i2": 0.5, "method": "z", "replicates": 100,
    ...                       "coverage": [0.90, 0.93], "coverage_se": [0.03, 0.026]})
    >>> drawing = coverage_plot(table, columns="i2", methods={"z": "Normal"})
    >>> drawing.count, drawing.data.coverage.round(6).tolist()
    (200, [90.0, 93.0])
    """
    wanted = [*COLUMNS, columns, *([rows] if rows else [])]
    require_columns(table, wanted, "the table of coverages")
    data = _points(table[wanted], columns, rows, methods, nominal, level)
    with figure_style():
        panels = _panels(data, columns, rows)
        figure, axes = _axes(panels)
        _draw_all(axes, panels, methods)
        _label(figure, axes, data, columns, rows, titles or {}, x_label)
        finish(figure)
    setting = [columns, "count", *([] if rows_share_data else ["row"])]
    count = int(data.drop_duplicates(setting).replicates.sum())
    alt = _alt(data, panels, methods, nominal)
    return Drawing(figure, data, alt, count=count, unit="simulated data sets", level=level)


def _points(table, columns, rows, methods, nominal: float, level: float) -> pd.DataFrame:
    absent = [name for name in methods if name not in set(table.method)]
    if absent or not methods:
        raise UsageError(f"the table of coverages has no method {', '.join(absent) or 'to draw'}.")
    table = table[table.method.isin(methods)].assign(row=table[rows] if rows else "")
    repeated = table.duplicated(["row", columns, "count", "method"])
    if repeated.any():
        first = table[repeated].iloc[0]
        raise UsageError(
            f"the table of coverages repeats {first.method} at count {first['count']} "
            f"({int(repeated.sum())} rows); select one target, or draw it by rows."
        )
    half = norm.isf((1 - level) / 2) * table.coverage_se
    counts, order = sorted(table["count"].unique()), list(methods)
    shift = DODGE * (table.method.map(order.index) - (len(order) - 1) / 2)
    return table.assign(
        layer="coverage",
        low=100 * (table.coverage - half).clip(0, 1),
        high=100 * (table.coverage + half).clip(0, 1),
        coverage=100 * table.coverage,
        nominal=100 * nominal,
        x_drawn=table["count"].map(counts.index) + shift,
    ).reset_index(drop=True)


def _panels(data: pd.DataFrame, columns: str, rows: str | None) -> list[list[pd.DataFrame]]:
    """Return the points of each panel; values keep the order in which the table has them."""
    across = data[columns].unique()
    down = data["row"].unique()
    return [[data[(data["row"] == row) & (data[columns] == value)] for value in across] for row in down]


def _axes(panels) -> tuple[Figure, np.ndarray]:
    down, across = len(panels), len(panels[0])
    figure = Figure(figsize=(WIDTH, 1.0 + 1.75 * down), layout="constrained")
    return figure, figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)


def _draw_all(axes: np.ndarray, panels, methods: Mapping[str, str]) -> None:
    known = looks(methods)
    for line, parts in zip(axes, panels, strict=True):
        for one, part in zip(line, parts, strict=True):
            one.axhline(part.nominal.iloc[0], color="0.35", linewidth=0.9, zorder=0)
            for name, label in methods.items():
                _draw(one, part[part.method == name].sort_values("count"), known[name], label)


def _draw(axes: Axes, part: pd.DataFrame, look: Look, label: str) -> None:
    axes.vlines(part.x_drawn, part.low, part.high, color=look.color, linewidth=1.2, zorder=2)
    style = {"marker": look.marker, "linestyle": look.line, "markersize": 5.5, "markeredgecolor": "0.15"}
    axes.plot(part.x_drawn, part.coverage, color=look.color, linewidth=1.2, label=label, zorder=3, **style)


def _label(figure, axes, data, columns: str, rows: str | None, titles: Mapping, x_label: str) -> None:
    counts = sorted(data["count"].unique())
    axes[0, 0].set_xticks(range(len(counts)), [f"{count:g}" for count in counts])
    axes[0, 0].xaxis.set_minor_locator(NullLocator())
    for one, value in zip(axes[0], data[columns].unique(), strict=True):
        one.set_title(titles.get(value, f"{value}"))
    for one, value in zip(axes[:, 0], data["row"].unique(), strict=True):
        one.set_ylabel(titles.get(value, f"{value}") if rows else "")
    figure.supxlabel(x_label, fontsize=10.5)
    figure.supylabel("Coverage (%)", fontsize=10.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4), frameon=False)


def _alt(data: pd.DataFrame, panels, methods: Mapping[str, str], nominal: float) -> str:
    many = len(panels) * len(panels[0])
    what = "panels of coverage" if many > 1 else "panel of coverage"
    sentences = [f"Small multiples, {_words(many)} {what} in percent; a line marks {number(100 * nominal)}."]
    for name, label in methods.items():
        part = data[data.method == name]
        low, high = part.loc[part.coverage.idxmin()], part.loc[part.coverage.idxmax()]
        sentences.append(
            f"{label} lies between {number(low.coverage)} (count {number(low['count'])}) "
            f"and {number(high.coverage)} (count {number(high['count'])})."
        )
    return " ".join(sentences)


def _words(many: int) -> str:
    small = (
        "no",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    )
    return small[many] if many < len(small) else "many"
