"""Where the texts of a figure lie, so that names can be placed, and layouts tested, without overlaps."""

import itertools
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

__all__ = [
    "LEGEND_LONGEST",
    "drawn_texts",
    "fit_vertical_label",
    "legend_columns",
    "outside",
    "overlapping",
    "place_names",
]

LEGEND_LONGEST = 55  # letters of a name in a legend of one column
LEGEND_WIDEST = 56  # letters of both columns together

# where a name may stand, seen from its mark: eleven directions, and distances in points
SLOPES = [(1, 0), (-1, 0), (0.8, 0.6), (-0.8, 0.6), (0.8, -0.6), (-0.8, -0.6), (0, 1), (0, -1)]
SLOPES += [(0.5, 0.87), (-0.5, 0.87), (0.95, 0.3)]
DISTANCES = (7, 12, 18, 26, 36, 48, 62, 78, 96)
NEAR = 8  # points; a name further away is tied to its mark by a line
MARK_COST, LINE_COST = 10.0, 60.0  # in points of distance: a name over a mark, a line across a line or a name


def drawn_texts(figure: Figure) -> list[Text]:
    """Return the texts that a laid-out figure shows; a tick outside the limits has none."""
    shown = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        shown += [axes.title, *axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            inside = [tick for tick in axis.get_major_ticks() if _between(tick.get_loc(), low, high)]
            shown += [tick.label1 for tick in inside]
    return [text for text in shown if text.get_visible() and text.get_text().strip()]


def _between(value: float, low: float, high: float) -> bool:
    slack = 1e-9 * abs(high - low)
    return min(low, high) - slack <= value <= max(low, high) + slack


def legend_columns(handles: list) -> int:
    """Return 2, or 1 where two columns of these names would be wider than the page."""
    lengths = [len(handle.get_label()) for handle in handles]
    half = (len(lengths) + 1) // 2
    return 2 if max(lengths[:half]) + max(lengths[half:], default=0) <= LEGEND_WIDEST else 1


def fit_vertical_label(figure: Figure, axes: Axes) -> None:
    """Make a laid-out page higher where the label of the vertical axis is longer than there is room for."""
    label = axes.yaxis.label.get_window_extent()
    missing = max(label.y1 - figure.bbox.y1, figure.bbox.y0 - label.y0)  # pixels
    if missing > 0:
        figure.set_figheight(figure.get_figheight() + 2 * missing / figure.dpi + 0.05)


def outside(figure: Figure) -> list[str]:
    """Return the texts that reach over the edge of the page."""
    page = figure.bbox.padded(0.5)
    return [text.get_text() for text in drawn_texts(figure) if not _within(text.get_window_extent(), page)]


def _within(inner: Bbox, outer: Bbox) -> bool:
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts that lie on each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    return [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if _meet(one, other)]


def _meet(one: Bbox, other: Bbox, slack: float = 0.5) -> bool:
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > slack and high > slack


def place_names(axes: Axes, points: np.ndarray, names: list[str], size: float = 9.5) -> list[int]:
    """Write a name beside each of the first points of a laid-out axes; return which found a place.

    Each name in turn takes the cheapest place of a fixed list: near its mark, off other marks, without lines
    that cross. The same data give the same picture. Names never lie on each other or reach out of the axes;
    one that finds no such place is left out.
    """
    marks = axes.transData.transform(np.asarray(points, dtype=float))  # [n, 2], pixels
    boxes, lines, placed = [], [], []
    for i, name in enumerate(names):
        text = axes.annotate(name, points[i], (0, 0), textcoords="offset points", fontsize=size, zorder=5)
        text.set_in_layout(False)
        extent, unit = text.get_window_extent(), axes.figure.dpi / 72
        places = [_place(marks[i], extent, slope, d, unit) for d in DISTANCES for slope in SLOPES]
        costs = [_cost(place, axes.get_window_extent(), marks, boxes, lines) for place in places]
        best = int(np.argmin(costs))
        if np.isinf(costs[best]):
            text.remove()
            continue
        _put(text, places[best], marks[i], unit)
        boxes.append(places[best].box)
        lines.append(places[best].line)
        placed.append(i)
    return placed


class _Place(NamedTuple):
    distance: float  # points
    box: Bbox  # pixels
    line: np.ndarray  # [8, 2], from the mark to the name


def _place(mark, extent: Bbox, slope, distance: float, unit: float) -> _Place:
    """Return the place whose nearest side or corner is `distance` points away in direction `slope`."""
    x, y = slope
    anchor = mark + unit * distance * np.array(slope)
    left = anchor[0] - extent.width * (0.5 if x == 0 else float(x < 0))
    bottom = anchor[1] - extent.height * (0.5 if abs(y) < 0.5 else float(y < 0))
    box = Bbox.from_bounds(left, bottom, extent.width, extent.height).padded(unit)
    return _Place(distance, box, np.linspace(mark, anchor, 8))


def _cost(place: _Place, page: Bbox, marks, boxes: list[Bbox], lines: list[np.ndarray]) -> float:
    if not _within(place.box, page) or any(_meet(place.box, box) for box in boxes):
        return np.inf
    covered = _inside(place.box, marks).sum()
    crossed = sum(_inside(place.box, line).any() or _cross(place.line, line) for line in lines)
    crossed += sum(_inside(box, place.line).any() for box in boxes)
    return place.distance + MARK_COST * covered + LINE_COST * crossed


def _inside(box: Bbox, points: np.ndarray) -> np.ndarray:
    return ((points > box.padded(2).min) & (points < box.padded(2).max)).all(axis=1)


def _cross(one: np.ndarray, other: np.ndarray) -> bool:
    (a, b), (c, d) = one[[0, -1]], other[[0, -1]]

    def side(p, q, r):
        return np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return bool(side(a, b, c) != side(a, b, d) and side(c, d, a) != side(c, d, b))


def _put(text: Text, place: _Place, mark, unit: float) -> None:
    centre = (place.box.p0 + place.box.p1) / 2
    text.set_position(tuple((centre - mark) / unit))
    text.set(horizontalalignment="center", verticalalignment="center")
    if place.distance > NEAR:
        style = {"arrowstyle": "-", "color": "0.45", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}
        end = tuple((place.line[-1] - mark) / unit)
        tie = text.axes.annotate("", text.xy, end, textcoords="offset points", arrowprops=style, zorder=2)
        tie.set_in_layout(False)
