"""The leave-one-out plot: the pooled gain without each cluster or effect in turn."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from medssl.errors import UsageError
from medssl.figures._rows import MOST_ROWS, ROW, align_left, name_rows, print_numbers, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import (
    figure_style,
    finish,
    gain_label,
    new_axes,
    noun,
    number,
    quantity,
    require_columns,
)

__all__ = ["leave_one_out_plot"]

NAMED = 8  # names in the alternative text
COLUMNS = ["estimate", "ci_low", "ci_high"]
# marker, face colour and words of each kind of row; the shape alone tells them apart
KINDS = {
    "same": ("o", "#0173b2", "Conclusion unchanged"),
    "zero": ("D", "white", "Whether the interval includes 0 changes"),
    "sign": ("v", "#d55e00", "Sign changes"),
}


def leave_one_out_plot(
    table: pd.DataFrame,
    full,
    *,
    scale: str = "AUC",
    comparator: str = "supervised",
    level: float = 0.95,
    unit: str = "clusters",
) -> Drawing:
    """Draw the pooled gain without each row in turn, smallest first, over the interval of all the data.

    Parameters
    ----------
    table : DataFrame
        From `medssl.meta.leave_one_out`: `left_out` (the name of what was left out), `estimate`, `ci_low`,
        `ci_high`, `sign_changes`; one coefficient. Of more than 120 rows those that change the conclusion
        are drawn, then those that move the estimate most; the figure says how many are not shown, and how
        many could not be fitted (their numbers are missing).
    full : Series or mapping
        `estimate`, `ci_low`, `ci_high` of all the data, for example ``fit.predict().iloc[0]``.
    scale, comparator : str
        The metric whose difference the gain is, and the other arm, for the axis label.
    level : float
        Coverage of the intervals in `table` and `full`, for the words.
    unit : str
        What is left out, in the plural.

    Returns
    -------
    Drawing
        Layers of the data: `full`, `left_out` (with `kind`: "sign" where the sign of the estimate changes,
        "zero" where only whether the interval includes 0 does, else "same"), `not_shown`,
        `not_fitted`.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a name occurs twice, or no row has an estimate.

    Examples
    --------
    >>> table = pd.DataFrame({"left_out": ["a", "b"], "estimate": [0.03, 0.01], "ci_low": [0.01, -0.01],
    ...                       "ci_high": [0.05, 0.03], "sign_changes": [False, False]})
    >>> full = {"estimate": 0.02, "ci_low": 0.005, "ci_high": 0.035}
    >>> leave_one_out_plot(table, full).data[["layer", "label", "kind"]].values.tolist()
    [['left_out', 'b', 'zero'], ['left_out', 'a', 'same'], ['full', 'Nothing left out', 'same']]
    """
    _check(table)
    whole = require_columns(pd.DataFrame([dict(full)]), COLUMNS, "the row of all the data").iloc[0]
    data = _layers(table, whole)
    shown = data[data.layer.isin(["left_out", "full"])]
    with figure_style():
        figure, axes = new_axes(height=1.9 + ROW * len(shown))
        _draw(axes, shown)
        name_rows(axes, shown)
        axes.set_xlabel(gain_label(scale, comparator) + _note(data, unit))
        print_numbers(axes, shown, f"{noun(scale).capitalize()} ({number(100 * level)}% interval)")
        figure.legend(handles=_key(shown, level), loc="outside lower center", frameon=False)
        finish(figure, left=False)
        align_left(axes, shown)
        finish(figure, left=False)
    alt = _alt(data, scale, level, unit)
    return Drawing(figure, data, alt, count=len(table), unit=unit, level=level)


def _check(table: pd.DataFrame) -> None:
    what = "the leave-one-out table"
    require_columns(table, ["left_out", "sign_changes"], what)
    twice = table["left_out"][table["left_out"].duplicated()]
    if len(twice):
        raise UsageError(f"{what} has {twice.iloc[0]!r} twice; select the rows of one coefficient.")
    fitted = table.dropna(subset=[name for name in COLUMNS if name in table])
    require_columns(fitted, COLUMNS, f"{what} (rows with an estimate)")


def _layers(table: pd.DataFrame, full: pd.Series) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "layer": "left_out",
            "label": table["left_out"].astype(str),
            "estimate": table["estimate"],
            "low": table["ci_low"],
            "high": table["ci_high"],
            "change": table["estimate"] - full.estimate,
            "kind": _kinds(table, full),
        }
    )
    lost = rows[rows.estimate.isna()].assign(layer="not_fitted")
    rows = rows.dropna(subset="estimate").reset_index(drop=True)
    order = np.lexsort([-rows.change.abs(), rows.kind == "same"])  # what changes the conclusion comes first
    rows.loc[order[MOST_ROWS:], "layer"] = "not_shown"
    rows = rows.sort_values("estimate", kind="stable")
    limits = {"estimate": full.estimate, "low": full.ci_low, "high": full.ci_high}
    counts = {f"{kind}_changes": int((rows.kind == kind).sum()) for kind in ("sign", "zero")}
    whole = pd.DataFrame([{"layer": "full", "label": "Nothing left out", **limits, "kind": "same", **counts}])
    drawn = pd.concat([rows[rows.layer == "left_out"], whole], ignore_index=True)
    drawn.insert(0, "row", np.arange(len(drawn), 0, -1) - 1.0)
    return pd.concat([drawn, rows[rows.layer == "not_shown"], lost], ignore_index=True)


def _kinds(table: pd.DataFrame, full: pd.Series) -> np.ndarray:
    includes = (table["ci_low"] <= 0) & (table["ci_high"] >= 0)
    differs = includes != (full.ci_low <= 0 <= full.ci_high)
    return np.where(table["sign_changes"].astype(bool), "sign", np.where(differs, "zero", "same"))


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    full = data[data.layer == "full"].iloc[0]
    axes.axvspan(full.low, full.high, color="0.88", linewidth=0, zorder=0, label="full")
    axes.axvline(full.estimate, color="0.2", linewidth=0.9, linestyle=":", zorder=1)
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    axes.hlines(data.row, data.low, data.high, color="0.2", linewidth=1.1, zorder=2)
    for kind, (marker, color, _) in KINDS.items():
        rows = data[(data.kind == kind) & (data.layer == "left_out")]
        style = {"marker": marker, "facecolor": color, "edgecolor": "black", "linewidth": 0.9}
        axes.scatter(rows.estimate, rows.row, s=38, zorder=3, label=kind, **style)
    axes.scatter([full.estimate], [full.row], s=40, marker="s", color="black", zorder=3, label="all")


def _key(data: pd.DataFrame, level: float) -> list:
    drawn = set(data[data.layer == "left_out"].kind)
    style = {"linestyle": "", "markeredgecolor": "black", "markersize": 6.5}
    marks = [
        Line2D([], [], marker=marker, markerfacecolor=color, label=words, **style)
        for kind, (marker, color, words) in KINDS.items()
        if kind in drawn
    ]
    return [*marks, Patch(facecolor="0.88", label=f"{number(100 * level)}% interval with nothing left out")]


def _note(data: pd.DataFrame, unit: str) -> str:
    hidden, lost = (int((data.layer == layer).sum()) for layer in ("not_shown", "not_fitted"))
    note = f"\n{hidden} of {len(data) - 1} {unit} not shown: they move the estimate least" if hidden else ""
    return note + (f"\n{lost} deletions leave too little to fit" if lost else "")


def _alt(data: pd.DataFrame, scale: str, level: float, unit: str) -> str:
    rows, full = data[data.layer.isin(["left_out", "not_shown"])], data[data.layer == "full"].iloc[0]
    lost = int((data.layer == "not_fitted").sum())
    lowest, highest = rows.loc[rows.estimate.idxmin()], rows.loc[rows.estimate.idxmax()]
    text = (
        f"Leave-one-out plot of {len(data) - 1} {unit}: pooled {quantity(scale)} with {number(100 * level)}% "
        f"intervals. With nothing left out it is {number(full.estimate)} ({number(full.low)} to "
        f"{number(full.high)}). "
        f"It is smallest, {number(lowest.estimate)}, without {spoken(lowest.label)}, and largest, "
        f"{number(highest.estimate)}, without {spoken(highest.label)}. "
        f"Its sign changes in {number(full.sign_changes)} of the deletions, and in "
        f"{number(full.zero_changes)} others whether its interval includes zero."
    )
    text += f" {lost} deletions leave too little to fit." if lost else ""
    names = [spoken(label) for label in rows[rows.kind != "same"].label]
    return text + (
        f" These changes come from leaving out {', '.join(names[:NAMED])}{_more(names)}." if names else ""
    )


def _more(names: list[str]) -> str:
    return " and others" if len(names) > NAMED else ""
