"""The Baujat plot: what each effect adds to heterogeneity, against how much it moves the result."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from medssl.errors import UsageError
from medssl.figures._layout import place_names
from medssl.figures._rows import short, spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import figure_style, finish, new_axes, number, require_columns

__all__ = ["baujat_plot"]

FEW = 150  # points; above it they shrink
LONGEST = 62  # letters of a name below the figure
MOST_NAMES = 20
NAMED = 3  # names in the alternative text


def baujat_plot(table: pd.DataFrame, labels_shown: int = 8, *, unit: str = "effects") -> Drawing:
    """Draw influence against heterogeneity; the most remarkable points have numbers, named below.

    Parameters
    ----------
    table : DataFrame
        From `medssl.meta.baujat`: `label`, `heterogeneity` (contribution to Q), `influence` (squared
        standardised change of the result). Rows without a number cannot be drawn; the words count them.
    labels_shown : int
        How many points to name, at most 20: those furthest from the origin when both axes end at 1. `named`
        in the data says whose number found a free place.
    unit : str
        What a point is, in the plural.

    Returns
    -------
    Drawing
        Layers of the data: `point` (with `rank` 1 for the most remarkable, and `named`), `not_drawn`.

    Raises
    ------
    UsageError
        A column is absent, nothing can be drawn, a negative number, or too many names.

    Notes
    -----
    Baujat B, Mahe C, Pignon JP, Hill C (2002). A graphical method for exploring heterogeneity in
    meta-analyses: application to a meta-analysis of 65 trials. Stat Med 21:2641-2652.

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["a", "b", "c"], "heterogeneity": [0.2, 6.0, 1.0],
    ...                       "influence": [0.1, 2.0, 0.0]})
    >>> baujat_plot(table, labels_shown=1).data[["label", "rank", "named"]].values.tolist()
    [['b', 1.0, True], ['c', 2.0, False], ['a', 3.0, False]]
    """
    _check(table, labels_shown)
    data = _layers(table)
    points = data[data.layer == "point"]
    with figure_style():
        names = [f"{i + 1}   {short(label, LONGEST)}" for i, label in enumerate(points.label[:labels_shown])]
        figure, axes = new_axes(height=4.3 + 0.2 * len(names))
        _draw(axes, points)
        key = [Line2D([], [], linestyle="", label=name) for name in names]
        where = {"loc": "outside lower left", "frameon": False, "handlelength": 0, "labelspacing": 0.3}
        figure.legend(handles=key, **where)
        finish(figure)
        numbers = [str(i + 1) for i in range(len(names))]
        placed = place_names(axes, points[["heterogeneity", "influence"]].to_numpy(), numbers)
        finish(figure)
    data["named"] = data.index.isin(placed)  # points come first, the most remarkable one on top
    return Drawing(figure, data, _alt(data, unit), count=len(table), unit=unit)


def _check(table: pd.DataFrame, labels_shown: int) -> None:
    what = "the table of contributions"
    require_columns(table, ["label"], what)
    numbers = ["heterogeneity", "influence"]
    drawn = require_columns(table.dropna(subset=[n for n in numbers if n in table]), numbers, what)
    if (drawn[numbers] < 0).any(axis=None):
        raise UsageError(f"{what} has a negative contribution; both are squares.")
    if not 0 <= labels_shown <= MOST_NAMES:
        raise UsageError(f"labels_shown is {labels_shown}; it must lie between 0 and {MOST_NAMES}.")


def _layers(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[["label", "heterogeneity", "influence"]].assign(label=table["label"].astype(str))
    drawn = rows.dropna()
    scaled = [drawn[name] / (drawn[name].max() or 1.0) for name in ("heterogeneity", "influence")]
    drawn = drawn.assign(distance=np.hypot(*scaled)).sort_values("distance", ascending=False, kind="stable")
    drawn = drawn.assign(layer="point", rank=np.arange(1, len(drawn) + 1))
    lost = rows.drop(index=drawn.index).assign(layer="not_drawn")
    return pd.concat([drawn, lost], ignore_index=True)


def _draw(axes: Axes, points: pd.DataFrame) -> None:
    style = {"facecolor": (0.0, 0.45, 0.70, 0.65), "edgecolor": "black", "zorder": 3}
    size, edge = (34, 0.6) if len(points) <= FEW else (13, 0.4)
    axes.scatter(points.heterogeneity, points.influence, s=size, linewidth=edge, **style)
    for set_limits, values in ((axes.set_xlim, points.heterogeneity), (axes.set_ylim, points.influence)):
        top = values.max() or 1.0
        set_limits(-0.03 * top, 1.1 * top)
    axes.set_xlabel("Contribution to heterogeneity (squared Pearson residual)")
    axes.set_ylabel("Influence on the result\n(squared standardised change)")


def _alt(data: pd.DataFrame, unit: str) -> str:
    points, lost = data[data.layer == "point"], int((data.layer == "not_drawn").sum())
    sentences = [
        f"Baujat plot of {len(points)} {unit}: influence on the result against the contribution to "
        f"heterogeneity. Contributions to heterogeneity reach {number(points.heterogeneity.max())}, "
        f"influences {number(points.influence.max())}."
    ]
    most = [
        f"{spoken(row.label)} ({number(row.heterogeneity)}, {number(row.influence)})"
        for row in points.head(NAMED).itertuples()
    ]
    sentences.append(f"Furthest out, with heterogeneity and influence: {', '.join(most)}.")
    if lost:
        sentences.append(f"{lost} more could not be drawn, as nothing can be fitted without them.")
    return " ".join(sentences)
