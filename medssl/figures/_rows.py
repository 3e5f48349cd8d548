"""What figures of rows share: names on the left, numbers on the right, pooled diamonds and bars."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import MaxNLocator

from medssl.errors import UsageError
from medssl.figures._fits import pooled_row, require_mean
from medssl.figures.drawing import NUMBER
from medssl.figures.style import noun, number

__all__ = [
    "BARS",
    "MOST_ROWS",
    "ROW",
    "align_left",
    "check_group_fits",
    "draw_pooled",
    "fixed",
    "name_rows",
    "pooled_rows",
    "pooled_words",
    "print_numbers",
    "short",
    "spoken",
]

ROW = 0.27  # inches
MOST_ROWS = 120
LONGEST = 32  # letters of a row label
HALF = 0.3  # half the height of a diamond or a bar, in rows
BARS = {"diamond": "0.25", "prediction": "0.75"}
HEADED = ("heading", "diamond", "prediction", "full")  # layers whose names are in bold


def pooled_rows(fit, label: str, level: float, interval: str) -> list[dict]:
    """Return the diamond and, where the model has one, the prediction bar."""
    if fit is None:
        return []
    mean = pooled_row(fit, interval, level)
    limits = {"estimate": mean.estimate, "low": mean.ci_low, "high": mean.ci_high}
    rows = [{"layer": "diamond", "label": f"{label}, k = {fit.k}", "effects": fit.k, **limits}]
    if np.isfinite(mean.pi_low):
        limits = {"estimate": mean.estimate, "low": mean.pi_low, "high": mean.pi_high}
        rows.append({"layer": "prediction", "label": "New study, predicted", **limits})
    return rows


def pooled_words(data: pd.DataFrame, interval: str, scale: str) -> str:
    """Return the sentence on the last diamond and its prediction bar."""
    pooled = data[data.layer == "diamond"].iloc[-1]
    kind = "cluster-robust limits " if interval == "robust" else ""
    limits = f"{kind}{number(pooled.low)} to {number(pooled.high)}"
    text = f"The pooled {noun(scale)} is {number(pooled.estimate)} ({limits})"
    prediction = data[data.layer == "prediction"]
    if prediction.empty:
        return text + "."
    low, high = prediction.low.iloc[0], prediction.high.iloc[0]
    return f"{text}; a new study is predicted between {number(low)} and {number(high)}."


def check_group_fits(effects: pd.DataFrame, fit, groups: str | None, group_fits: dict) -> None:
    """Raise `UsageError` for fits with moderators, of other effects, or of unknown groups."""
    for each in (fit, *group_fits.values()):
        require_mean(each, "a diamond")
    if fit is not None and fit.k != len(effects):
        raise UsageError(f"the fit is of {fit.k} effects and the table has {len(effects)}.")
    known = set(effects[groups]) if groups else set()
    unknown = [str(name) for name in group_fits if name not in known]
    if unknown:
        raise UsageError(f"group_fits names {', '.join(unknown)}, which the column {groups!r} does not hold.")


def draw_pooled(axes: Axes, data: pd.DataFrame) -> None:
    """Draw the zero line, the line of the last pooled mean, diamonds and prediction bars."""
    axes.axvline(0, color="0.35", linewidth=0.8, zorder=1)
    pooled = data[data.layer == "diamond"]
    if len(pooled):
        axes.axvline(pooled.estimate.iloc[-1], color="0.35", linewidth=0.8, linestyle=":", zorder=1)
    for row in data.itertuples():
        if row.layer == "diamond":
            corners = [(row.low, row.row), (row.estimate, row.row + HALF), (row.high, row.row)]
            corners.append((row.estimate, row.row - HALF))
            axes.add_patch(Polygon(corners, facecolor=BARS["diamond"], edgecolor="black", zorder=3))
        elif row.layer == "prediction":
            corner, width = (row.low, row.row - HALF / 2), row.high - row.low
            axes.add_patch(
                Rectangle(corner, width, HALF, facecolor=BARS["prediction"], edgecolor="0.2", zorder=3)
            )


def name_rows(axes: Axes, data: pd.DataFrame) -> None:
    """Write the name of each row beside it, headings and pooled rows in bold."""
    axes.set_yticks(data.row, [short(label) for label in data.label])
    axes.tick_params(axis="y", length=0)
    for text, layer in zip(axes.get_yticklabels(), data.layer, strict=True):
        text.set_fontweight("bold" if layer in HEADED else "normal")
    axes.set_ylim(-0.7, len(data) - 0.3)
    axes.margins(x=0.04)
    axes.autoscale(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4))


def print_numbers(axes: Axes, data: pd.DataFrame, heading: str) -> None:
    """Write estimate and interval of each row on the right, under a heading."""
    for row in data[data.layer != "heading"].itertuples():
        words = f"{fixed(row.estimate)} ({fixed(row.low)}, {fixed(row.high)})"
        if row.layer == "prediction":
            words = f"({fixed(row.low)}, {fixed(row.high)})"
        axes.text(1.02, row.row, words, transform=axes.get_yaxis_transform(), va="center", fontsize=9.5)
    top = len(data) - 0.2
    axes.text(1.02, top, heading, transform=axes.get_yaxis_transform(), va="bottom", fontsize=9.5)


def align_left(axes: Axes, data: pd.DataFrame, room: float = 0.0) -> None:
    """Move the row labels to one left edge, `room` points further left, items indented under headings."""
    texts = axes.get_yticklabels()
    widest = max(text.get_window_extent().width for text in texts) * 72 / axes.figure.dpi  # points
    headed = (data.layer == "heading").any()
    indent = 10.0 if headed else 0.0
    axes.tick_params(axis="y", pad=widest + indent + room + 6)
    for text, layer in zip(texts, data.layer, strict=True):
        text.set_horizontalalignment("left")
        if headed and layer not in HEADED:
            text.set_text("   " + text.get_text())
    axes.set_yticks(data.row, [text.get_text() for text in texts])


def short(label: str, longest: int = LONGEST) -> str:
    """Return at most `longest` letters; the data hold the whole label."""
    return label if len(label) <= longest else label[: longest - 1].rstrip() + "…"


def fixed(value: float) -> str:
    """Return three decimals with a true minus sign."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def spoken(label: str) -> str:
    """Return the name as an alternative text may use it: a number of its own would look like a result.

    Examples
    --------
    >>> spoken("stanford_chexpert2"), spoken("Azizi 2021, CheXpert"), spoken("2021")
    ('stanford_chexpert2', 'Azizi …', '…')
    """
    words = NUMBER.split(label)
    return label if len(words) == 1 else f"{words[0].strip(' ,(')} …".strip()
