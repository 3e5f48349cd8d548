"""A grid of grey images: what a transform or a pretext task makes of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, finish

__all__ = ["Panels", "image_grid"]

Panels = Mapping[str, Sequence[tuple[str, np.ndarray]]]  # label of a row -> (title, image [height, width])
LEFT = 1.05  # inches for the labels of rows
TITLE, LINE = 0.08, 0.17  # inches above an image, and for each line of its title


def image_grid(rows: Panels, what: str, *, limits: tuple[float, float] | None = (0.0, 1.0)) -> Drawing:
    """Draw rows of images, each image with a title.

    Parameters
    ----------
    rows : mapping
        The label of each row and its panels, pairs of a title ("" for none) and an image [height, width];
        rows may differ in length.
    what : str
        What the grid shows, in words without numbers; the alternative text begins with it.
    limits : (float, float), optional
        The values that are black and white; None stretches each image between its own least and greatest
        value.

    Returns
    -------
    Drawing
        One row of the data for each image: `row`, `title`, `height`, `width`, `mean`, `deviation`, and its
        `change`, the mean absolute difference from the first image of its row where that has the same size.

    Raises
    ------
    UsageError
        No rows, a row without images, an image that has not two axes or no finite values.

    Examples
    --------
    >>> drawing = image_grid({"CT": [("image", np.zeros((4, 4))), ("noisy", np.ones((4, 4)))]}, "Noise")
    >>> drawing.count, drawing.data.change.tolist()
    (2, [0.0, 1.0])
    """
    _check(rows)
    data = pd.DataFrame([each for label, panels in rows.items() for each in _facts(label, panels)])
    with figure_style():
        figure = _draw(rows, limits)
        finish(figure, left=False)
    return Drawing(figure, data, _alt(rows, what, data), count=len(data), unit="images")


def _check(rows: Panels) -> None:
    if not rows or not all(len(panels) for panels in rows.values()):
        raise UsageError("a grid of images needs rows, and each row images.")
    for label, panels in rows.items():
        for title, image in panels:
            if np.ndim(image) != 2 or not np.isfinite(image).all():
                raise UsageError(
                    f"row {label!r}: panel {title!r} must be a finite image [height, width], "
                    f"got shape {list(np.shape(image))}."
                )


def _facts(label: str, panels) -> list[dict]:
    first = panels[0][1]
    return [
        {
            "layer": "image", "row": label, "title": title.replace("\n", " "),
            "height": image.shape[0], "width": image.shape[1],
            "mean": float(image.mean()), "deviation": float(image.std()),
            "change": float(np.abs(image - first).mean()) if image.shape == first.shape else np.nan,
        }
        for title, image in panels
    ]  # fmt: skip


def _draw(rows: Panels, limits) -> Figure:
    columns = max(map(len, rows.values()))
    side = (WIDTH - LEFT) / columns
    heads = [_head(panels) for panels in rows.values()]
    figure = Figure(figsize=(WIDTH, side * len(rows) + sum(heads)), layout="none")
    height, top = figure.get_figheight(), 1.0
    for (label, panels), head in zip(rows.items(), heads, strict=True):
        top -= (head + side) / height
        figure.text(0.0, top + side / 2 / height, label, va="center", ha="left", fontsize=10, linespacing=1.1)
        for number, (title, image) in enumerate(panels):
            box = (LEFT + side * number + 0.03, top * height + 0.02, side - 0.06, side - 0.06)
            sizes = (WIDTH, height, WIDTH, height)
            axes = figure.add_axes([length / size for length, size in zip(box, sizes, strict=True)])
            _panel(axes, title, image, limits)
    return figure


def _head(panels) -> float:
    lines = max(title.count("\n") + 1 if title else 0 for title, _ in panels)
    return TITLE + LINE * lines


def _panel(axes: Axes, title: str, image: np.ndarray, limits) -> None:
    low, high = limits or (None, None)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=8.5, pad=2, linespacing=1.0)
    axes.set_axis_off()


def _alt(rows: Panels, what: str, data: pd.DataFrame) -> str:
    sentences = [f"{what}: a grid of {len(data)} grey images."]
    for label, panels in rows.items():
        titles = [title.replace("\n", " ") for title, _ in panels if title]
        named = f": {', '.join(dict.fromkeys(titles))}" if titles else ""
        sentences.append(f"Row {' '.join(label.split())}{named}.")
    return " ".join(sentences)
