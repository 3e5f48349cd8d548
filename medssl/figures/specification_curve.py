"""The specification curve: the pooled gain under every defensible set of choices, smallest first."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from medssl.errors import UsageError
from medssl.figures._rows import align_left, name_rows
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, finish, number, require_columns

__all__ = ["specification_curve"]

COLUMNS = ["estimate", "ci_low", "ci_high"]
MOST_ROWS = 80  # of the matrix
TOP, ROW = 2.9, 0.235  # inches
CURVE_POINTS = 250.0  # width of the axes in points, about
# marker, face colour and words of each verdict; the shape alone tells them apart
VERDICTS = {
    "above": ("o", "#0173b2", "Interval above 0"),
    "includes": ("D", "white", "Interval includes 0"),
    "below": ("v", "#d55e00", "Interval below 0"),
}


def specification_curve(
    table: pd.DataFrame,
    choices: Sequence[str],
    *,
    main=None,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
) -> Drawing:
    """Draw the estimates of all specifications, sorted, over a matrix of the choices behind each.

    Parameters
    ----------
    table : DataFrame
        One row a specification: `estimate`, `ci_low`, `ci_high`, `fitted` (whether it could be fitted),
        `k`, `clusters`, and a column for each of `choices`.
    choices : sequence of str
        The columns of choices, from top to bottom; their values are ordered by their first row in `table`.
    main : label, optional
        The index label of the primary specification, which is highlighted.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of the intervals in `table`, for the words.

    Returns
    -------
    Drawing
        Layers of the data: `specification` (with its `rank` and its `verdict`: "above", "includes" or
        "below" 0), `not_fitted`, `summary` (median estimate, number of each verdict).

    Raises
    ------
    UsageError
        A column is absent or incomplete, nothing was fitted, more than 80 values of all choices together,
        or `main` is no row.

    Notes
    -----
    Simonsohn U, Simmons JP, Nelson LD (2020). Specification curve analysis. Nat Hum Behav 4:1208-1214.

    Examples
    --------
    >>> table = pd.DataFrame({"estimate": [0.03, 0.01, float("nan")], "ci_low": [0.01, -0.02, float("nan")],
    ...                       "ci_high": [0.05, 0.04, float("nan")], "fitted": [True, True, False],
    ...                       "k": [40, 30, 2], "clusters": [9, 8, 2], "rows": ["all", "printed", "public"]})
    >>> specification_curve(table, ["rows"], main=0).data.layer.value_counts().to_dict()
    {'summary': 4, 'specification': 2, 'not_fitted': 1}
    """
    _check(table, list(choices), main)
    data = _layers(table, list(choices), main)
    shown = data[data.layer == "specification"]
    matrix = _matrix(table, list(choices))
    with figure_style():
        figure = Figure(figsize=(WIDTH, TOP + 0.8 + ROW * len(matrix)), layout="constrained")
        ratio = [TOP, ROW * len(matrix)]
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=ratio)
        _draw_curve(top, shown)
        _draw_matrix(bottom, shown, matrix)
        _words(top, bottom, data, scale, comparator)
        figure.legend(handles=_key(shown, level), loc="outside lower center", ncols=2, frameon=False)
        finish(figure)
        align_left(bottom, matrix)
        finish(figure)
    alt = _alt(data, scale, level)
    return Drawing(figure, data, alt, count=len(table), unit="specifications", level=level)


def _check(table: pd.DataFrame, choices: list[str], main) -> None:
    what = "the table of specifications"
    require_columns(table, ["fitted", "k", "clusters", *choices], what)
    if not choices:
        raise UsageError("choices names no column; give at least one.")
    fitted = table["fitted"].astype(bool)
    if not fitted.any():
        raise UsageError(f"none of the {len(table)} specifications was fitted; there is no curve to draw.")
    require_columns(table[fitted], COLUMNS, f"{what} that were fitted")
    rows = sum(1 + table[choice].nunique() for choice in choices)
    if rows > MOST_ROWS:
        raise UsageError(f"the choices need {rows} rows, more than the {MOST_ROWS} that fit; merge values.")
    if main is not None and main not in table.index:
        raise UsageError(f"main is {main!r}, which is no index label of the table of specifications.")


def _layers(table: pd.DataFrame, choices: list[str], main) -> pd.DataFrame:
    rows = table[[*COLUMNS, "k", "clusters", *choices]].copy()
    rows[choices] = rows[choices].astype(str)
    fitted = table["fitted"].astype(bool)
    rows.insert(0, "layer", np.where(fitted, "specification", "not_fitted"))
    rows["main"] = False if main is None else rows.index == main
    shown = rows[fitted].sort_values("estimate", kind="stable")
    shown.insert(1, "rank", np.arange(1, len(shown) + 1))
    signs = [shown.ci_low > 0, shown.ci_high < 0]
    shown["verdict"] = np.select(signs, ["above", "below"], "includes")
    summary = [{"layer": "summary", "label": "median", "estimate": shown.estimate.median()}]
    for verdict in VERDICTS:
        count = int((shown.verdict == verdict).sum())
        summary.append({"layer": "summary", "label": verdict, "specifications": count})
    return pd.concat([shown, rows[~fitted], pd.DataFrame(summary)], ignore_index=True)


def _matrix(table: pd.DataFrame, choices: list[str]) -> pd.DataFrame:
    """Return one row a value below one row a choice, from top to bottom."""
    rows = []
    for choice in choices:
        rows.append({"layer": "heading", "choice": choice, "label": _plain(choice)})
        rows += [
            {"layer": "value", "choice": choice, "label": str(v)}
            for v in dict.fromkeys(table[choice].astype(str))
        ]
    matrix = pd.DataFrame(rows)
    matrix.insert(0, "row", np.arange(len(matrix), 0, -1) - 1.0)
    return matrix


def _plain(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _draw_curve(axes: Axes, shown: pd.DataFrame) -> None:
    step = CURVE_POINTS / len(shown)  # points a specification
    axes.axhline(0, color="0.35", linewidth=0.8, zorder=1)
    axes.vlines(
        shown["rank"], shown.ci_low, shown.ci_high, color="0.7", linewidth=np.clip(step / 2, 0.5, 1.6)
    )
    for verdict, (marker, color, _) in VERDICTS.items():
        rows = shown[shown.verdict == verdict]
        style = {"marker": marker, "facecolor": color, "edgecolor": "black", "linewidth": 0.5}
        size = np.clip(1.5 * step, 3.2, 6.5) ** 2
        axes.scatter(rows["rank"], rows.estimate, s=size, zorder=3, label=verdict, **style)
    main = shown[shown.main]
    style = {"marker": "*", "facecolor": "#ece133", "edgecolor": "black", "linewidth": 1.0, "label": "main"}
    axes.vlines(main["rank"], main.ci_low, main.ci_high, color="black", linewidth=2.0, zorder=3.5)
    axes.scatter(main["rank"], main.estimate, s=170, zorder=4, **style)


def _draw_matrix(axes: Axes, shown: pd.DataFrame, matrix: pd.DataFrame) -> None:
    width = float(np.clip(0.7 * CURVE_POINTS / len(shown), 0.6, 5.0))
    for row in matrix[matrix.layer == "value"].itertuples():
        ranks = shown.loc[shown[row.choice] == row.label, "rank"]
        axes.vlines(ranks, row.row - 0.32, row.row + 0.32, color="0.2", linewidth=width, label=row.label)
    for row in matrix.itertuples():
        axes.axhline(row.row - 0.5, color="0.85", linewidth=0.6, zorder=0)
    for rank in shown[shown.main]["rank"]:
        axes.axvline(rank, color="0.5", linewidth=1.0, linestyle="--", zorder=0.5)
    name_rows(axes, matrix)


def _words(top: Axes, bottom: Axes, data: pd.DataFrame, scale: str, comparator: str) -> None:
    shown = data[data.layer == "specification"]
    top.set_ylabel(f"Gain in {scale}\n(SSL − {comparator})")
    top.set_xlim(0.3, len(shown) + 0.7)
    top.tick_params(axis="x", labelbottom=False)
    bottom.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    missing = int((data.layer == "not_fitted").sum())
    note = f"\n{missing} more could not be fitted" if missing else ""
    bottom.set_xlabel(f"{len(shown)} specifications, smallest gain first{note}")


def _key(shown: pd.DataFrame, level: float) -> list:
    style = {"linestyle": "", "markeredgecolor": "black", "markersize": 6.5}
    drawn = set(shown.verdict)
    key = [
        Line2D([], [], marker=marker, markerfacecolor=color, label=words, **style)
        for verdict, (marker, color, words) in VERDICTS.items()
        if verdict in drawn
    ]
    if shown.main.any():
        star = style | {"markersize": 12}
        key.append(
            Line2D([], [], marker="*", markerfacecolor="#ece133", label="Primary specification", **star)
        )
    return [*key, Line2D([], [], color="0.7", linewidth=1.6, label=f"{number(100 * level)}% interval")]


def _alt(data: pd.DataFrame, scale: str, level: float) -> str:
    shown, missing = data[data.layer == "specification"], int((data.layer == "not_fitted").sum())
    summary = data[data.layer == "summary"].set_index("label")
    count = summary.specifications
    text = (
        f"Specification curve: the pooled gain in {scale} under {len(shown)} specifications runs from "
        f"{number(shown.estimate.min())} to {number(shown.estimate.max())}, with a median of "
        f"{number(summary.estimate['median'])}. The {number(100 * level)}% interval is above zero in "
        f"{number(count['above'])}, includes it in {number(count['includes'])} and is below it in "
        f"{number(count['below'])}."
    )
    for row in shown[shown.main].itertuples():
        limits = f"{number(row.ci_low)} to {number(row.ci_high)}"
        text += f" The primary specification gives {number(row.estimate)} ({limits}), rank {row.rank:.0f}."
    if data[data.layer == "not_fitted"].main.any():
        text += " The primary specification could not be fitted."
    return text + (f" {missing} more could not be fitted." if missing else "")
