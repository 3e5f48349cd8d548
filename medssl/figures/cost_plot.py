"""Gain against the minutes of pretraining that it took."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, display_name, figure_style, finish, looks, number, require_columns

__all__ = ["cost_plot"]

COLUMNS = ["dataset", "method", "minutes", "gain", "ci_low", "ci_high"]


def cost_plot(table: pd.DataFrame, scale: str = "AUC", *, level: float = 0.95) -> Drawing:
    """Draw the mean gain of each method against its minutes, one panel a data set.

    Parameters
    ----------
    table : DataFrame
        One row a data set and method: ``dataset, method, minutes, gain, ci_low, ci_high``; at most eight
        methods.
    scale : str
        What is gained.
    level : float
        Coverage of the intervals in the table.

    Returns
    -------
    Drawing
        Layer of the data: `method` (points and bars).

    Raises
    ------
    UsageError
        A column is absent or incomplete, a method appears twice in a data set, or minutes are not above 0.

    Examples
    --------
    >>> table = pd.DataFrame({"dataset": "d", "method": ["simclr", "byol"], "minutes": [4.0, 8.0],
    ...                       "gain": [0.02, 0.01], "ci_low": [0.0, -0.01], "ci_high": [0.04, 0.03]})
    >>> cost_plot(table).count
    2
    """
    require_columns(table, COLUMNS, "the table of costs")
    if table.duplicated(["dataset", "method"]).any() or (table["minutes"] <= 0).any():
        raise UsageError("the table of costs needs each method of a data set once, and minutes above 0.")
    data = table[COLUMNS].assign(layer="method")
    with figure_style():
        figure = _draw(data, scale, level)
        finish(figure)
    return Drawing(figure, data, _alt(data, scale), count=len(data), unit="methods on data sets", level=level)


def _draw(data: pd.DataFrame, scale: str, level: float) -> Figure:
    names = list(data["dataset"].unique())
    columns = min(len(names), 2)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH, 1.0 + 2.5 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for axes in panels[len(names) :]:
        axes.remove()
    styles = looks(data["method"])
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, data[data.dataset == name], styles)
        axes.set(title=name, xlabel="Minutes of pretraining")
    figure.supylabel(f"Gain in {scale} ({number(100 * level)}% interval)", fontsize=10.5)
    handles = {text: mark for axes in panels[: len(names)] for mark, text in _entries(axes)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, styles) -> None:
    axes.axhline(0, color="0.35", linewidth=0.9, zorder=0)
    for row in part.itertuples():
        look = styles[row.method]
        axes.vlines(row.minutes, row.ci_low, row.ci_high, color=look.color, linewidth=1.4)
        mark = {"marker": look.marker, "markersize": 6.5, "markeredgecolor": "0.15", "linestyle": "none"}
        axes.plot([row.minutes], [row.gain], color=look.color, label=display_name(row.method), **mark)
    low, high = part["minutes"].min(), part["minutes"].max()
    axes.set_xscale("log")
    axes.set_xlim(low / 1.6, high * 1.6)
    ticks = sorted({float(f"{value:.2g}") for value in (low, (low * high) ** 0.5, high)})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()


def _entries(axes: Axes):
    return zip(*axes.get_legend_handles_labels(), strict=True)


def _alt(data: pd.DataFrame, scale: str) -> str:
    sentences = [f"Gain in {scale} against minutes of pretraining, with intervals."]
    for name, part in data.groupby("dataset", sort=False):
        best, quick = part.loc[part.gain.idxmax()], part.loc[part.minutes.idxmin()]
        sentences.append(
            f"{name}: the largest gain is {number(best.gain)} ({number(best.ci_low)} to "
            f"{number(best.ci_high)}) by {display_name(best.method)} in {number(best.minutes)} minutes; the "
            f"quickest is {display_name(quick.method)} with {number(quick.minutes)} minutes and a gain of "
            f"{number(quick.gain)}."
        )
    return " ".join(sentences)
