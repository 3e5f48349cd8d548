"""The flow of studies and effects into the analysis, in the manner of PRISMA 2020."""

from functools import lru_cache
from itertools import groupby, pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath

from medssl.errors import UsageError
from medssl.figures._rows import spoken
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, number, require_columns

__all__ = ["flow_diagram"]

COUNTS = ["studies", "clusters", "effects"]
ENTERS = ("found while extracting",)  # a side box from which studies come in; the others lead out
# inches: left edge and width of the trunk and of the side column, room inside a box and between boxes
COLUMNS = {"main": (0.06, 2.35), "side": (2.7, WIDTH - 2.76)}
PAD, GAP, INDENT = 0.08, 0.17, 0.12
SIZES = {"title": (10.5, "bold"), "count": (10.0, "normal"), "reason": (9.5, "normal")}
LINE = 1.3  # line height over font size


def flow_diagram(steps: pd.DataFrame) -> Drawing:
    """Draw stages as boxes down a trunk, and what enters or leaves as boxes beside it.

    Parameters
    ----------
    steps : DataFrame
        `stage`, `reason`, `studies`, `clusters`, `effects`, in reading order, as `medssl.evidence.flow`
        returns them: a stage without a reason is a box of the trunk; neighbouring rows of one stage with
        reasons are one box beside it. A missing count is left out.

    Returns
    -------
    Drawing
        Layers of the data: `box` (where each is, in inches from the upper left corner, and its counts),
        `reason` (one a line of a side box) and `arrow`. The n is that of the effects in the last box of
        the trunk. After the flow diagram of Page et al. (2021).

    Raises
    ------
    UsageError
        A column is absent, there are no rows, or the first or last row is no box of the trunk.

    Examples
    --------
    >>> steps = pd.DataFrame({
    ...     "stage": ["candidates", "left out", "analysed"], "reason": ["", "no scores", ""],
    ...     "studies": [9, 2, 7], "clusters": [8, 2, 6], "effects": [40, 3, 37]})
    >>> flow_diagram(steps).data.layer.value_counts().to_dict()
    {'box': 3, 'arrow': 2, 'reason': 1}
    """
    steps = _checked(steps)
    with figure_style():
        boxes = _placed(_boxes(steps))
        arrows = _arrows(boxes)
        height = max(box["y"] + box["height"] for box in boxes) + 0.06
        figure = Figure(figsize=(WIDTH, height))
        axes = _page(figure, height)
        for box in boxes:
            _draw_box(axes, box)
        for arrow in arrows:
            _draw_arrow(axes, arrow)
        figure.draw_without_rendering()
    data = _data(boxes, arrows)
    last = data[(data.layer == "box") & (data.side == "main")].iloc[-1]
    count = int(last.effects) if np.isfinite(last.effects) else int(last.studies)
    return Drawing(figure, data, _alt(data), count=count, unit=f"effects in the {last.label}")


def _checked(steps: pd.DataFrame) -> pd.DataFrame:
    require_columns(steps, ["stage", "reason"], "the table of steps")
    missing = [name for name in COUNTS if name not in steps]
    if missing:
        raise UsageError(f"the table of steps has no column {missing[0]}; leave a count blank, not out.")
    if steps["reason"].iloc[0] or steps["reason"].iloc[-1]:
        raise UsageError("the first and the last step need a blank reason: they begin and end the trunk.")
    return steps.assign(**{name: steps[name].astype("Float64").astype(float) for name in COUNTS})


def _boxes(steps: pd.DataFrame) -> list[dict]:
    """Return one box a stage, with its counts, its reasons and the lines written in it."""
    boxes = []
    for (stage, beside), rows in groupby(
        steps.to_dict("records"), lambda row: (row["stage"], bool(row["reason"]))
    ):
        rows = list(rows)
        side = ("in" if stage in ENTERS else "out") if beside else "main"
        box = {"label": stage, "side": side, "reasons": rows if beside else [], **_total(rows)}
        boxes.append(box | {"lines": _lines(box)})
    return boxes


def _total(rows: list[dict]) -> dict:
    """Sum over reasons what adds up: effects, or candidate studies; one study may have several reasons."""
    if len(rows) == 1:
        return {name: rows[0][name] for name in COUNTS}
    kept = "effects" if np.isfinite(rows[0]["effects"]) else "studies"
    return {name: float(sum(row[name] for row in rows)) if name == kept else np.nan for name in COUNTS}


def _lines(box: dict) -> list[tuple[str, str, float]]:
    width = COLUMNS["main" if box["side"] == "main" else "side"][1] - 2 * PAD
    lines = _wrap(box["label"][:1].upper() + box["label"][1:], width, "title")
    if len(box["reasons"]) != 1:
        lines += _wrap(_counted(box), width, "count")
    for row in box["reasons"]:
        lines += _wrap(f"• {row['reason']} ({_counted(row)})", width, "reason", hanging=INDENT)
    return lines


def _counted(counts: dict) -> str:
    words = [
        f"{counts[name]:,.0f}\N{NO-BREAK SPACE}{_unit(name, counts[name])}"
        for name in COUNTS
        if np.isfinite(counts[name])
    ]
    return ", ".join(words)


def _unit(name: str, count: float) -> str:
    singular = {"studies": "study", "clusters": "cluster", "effects": "effect"}
    return singular[name] if count == 1 else name


def _wrap(text: str, width: float, kind: str, hanging: float = 0.0) -> list[tuple[str, str, float]]:
    """Break a text into lines no wider than `width` inches, by the widths of its letters."""
    lines, line = [], ""
    for word in text.split(" "):  # a no-break space holds a count and its unit together
        indent = hanging if lines else 0.0
        longer = f"{line} {word}".strip()
        if line and indent + _inches(longer, kind) > width:
            lines.append((line, kind, indent))
            line = word
        else:
            line = longer
    return [*lines, (line, kind, hanging if lines else 0.0)]


@lru_cache(maxsize=4096)
def _inches(text: str, kind: str) -> float:
    size, weight = SIZES[kind]
    font = FontProperties(family="DejaVu Sans", weight=weight, size=size)
    return TextPath((0, 0), text, prop=font).get_extents().x1 / 72


def _placed(boxes: list[dict]) -> list[dict]:
    """Stack the boxes: what leaves a stage begins beside it, what comes in stands below it."""
    beside = below = 0.06  # where the next box of each column may begin
    for box in boxes:
        x, width = COLUMNS["main" if box["side"] == "main" else "side"]
        height = 2 * PAD + sum(_line_height(kind) for _, kind, _ in box["lines"])
        y = {"main": max(beside, below), "out": beside, "in": max(beside, below)}[box["side"]]
        box |= {"x": x, "y": y, "width": width, "height": height}
        if box["side"] == "main":
            beside, below = y, y + height + GAP
        else:
            beside = y + height + GAP
    return boxes


def _line_height(kind: str) -> float:
    return LINE * SIZES[kind][0] / 72


def _arrows(boxes: list[dict]) -> list[dict]:
    """The trunk goes from box to box; beside it an arrow leads out of it or into it."""
    trunk = [box for box in boxes if box["side"] == "main"]
    middle = COLUMNS["main"][0] + COLUMNS["main"][1] / 2
    arrows = [
        {
            "label": f"{a['label']} → {b['label']}",
            "x": middle,
            "y": a["y"] + a["height"],
            "x_end": middle,
            "y_end": b["y"],
        }
        for a, b in pairwise(trunk)
    ]
    for box in boxes:
        if box["side"] != "main":
            height = box["y"] + PAD + _line_height("title") / 2
            in_box = any(main["y"] < height < main["y"] + main["height"] for main in trunk)
            start = sum(COLUMNS["main"]) if in_box else middle
            ends = (start, box["x"]) if box["side"] == "out" else (box["x"], middle)
            arrows.append(
                {"label": box["label"], "x": ends[0], "y": height, "x_end": ends[1], "y_end": height}
            )
    return arrows


def _page(figure: Figure, height: float) -> Axes:
    """Return axes that cover the page, in inches from its upper left corner."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0), xticks=[], yticks=[])
    axes.set_axis_off()
    return axes


def _draw_box(axes: Axes, box: dict) -> None:
    main = box["side"] == "main"
    look = {"facecolor": "0.93" if main else "white", "edgecolor": "0.2", "linewidth": 1.1 if main else 0.8}
    style = "--" if box["side"] == "in" else "-"
    axes.add_patch(Rectangle((box["x"], box["y"]), box["width"], box["height"], linestyle=style, **look))
    y = box["y"] + PAD
    for text, kind, indent in box["lines"]:
        size, weight = SIZES[kind]
        y += _line_height(kind)
        axes.text(box["x"] + PAD + indent, y - 0.3 * size / 72, text, fontsize=size, fontweight=weight)


def _draw_arrow(axes: Axes, arrow: dict) -> None:
    style = {"arrowstyle": "-|>", "color": "0.2", "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    ends = (arrow["x_end"], arrow["y_end"]), (arrow["x"], arrow["y"])
    axes.annotate("", *ends, arrowprops=style)


def _data(boxes: list[dict], arrows: list[dict]) -> pd.DataFrame:
    rows = []
    for box in boxes:
        rows.append({"layer": "box", **{key: box[key] for key in box if key not in ("lines", "reasons")}})
        rows += [
            {
                "layer": "reason",
                "label": row["reason"],
                "side": box["side"],
                **{name: row[name] for name in COUNTS},
            }
            for row in box["reasons"]
        ]
    columns = ["layer", "side", "label", *COUNTS, "x", "y", "width", "height", "x_end", "y_end"]
    return pd.DataFrame([*rows, *({"layer": "arrow", **arrow} for arrow in arrows)], columns=columns)


def _alt(data: pd.DataFrame) -> str:
    """Say every box and reason in reading order."""
    sentences, verbs = ["Flow diagram."], {"main": "", "in": "Coming in: ", "out": "Leaving: "}
    for row in data[data.layer != "arrow"].itertuples():
        counts = ", ".join(
            f"{number(value)} {_unit(name, value)}"
            for name in COUNTS
            if np.isfinite(value := getattr(row, name))
        )
        if row.layer == "box":
            sentences.append(f"{verbs[row.side]}{spoken(row.label)}, {counts}.")
        else:
            sentences.append(f"Of these, {spoken(row.label)}: {counts}.")
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
