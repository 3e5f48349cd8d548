"""Square matrices side by side, such as the similarities within a batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, finish, number

__all__ = ["matrix_plot"]


def matrix_plot(
    matrices: Mapping[str, np.ndarray],
    *,
    label: str,
    x_label: str,
    y_label: str,
    limits: tuple[float, float] = (-1.0, 1.0),
    names: Sequence[str] = (),
) -> Drawing:
    """Draw square matrices with one scale of colours.

    Parameters
    ----------
    matrices : mapping of str to ndarray
        Title and values [n, n] of each.
    label : str
        What a value is, for the scale of colours.
    x_label, y_label : str
        What the columns and the rows are.
    limits : (float, float)
        The ends of the scale.
    names : sequence of str
        Names of the rows, which are those of the columns too; with them each cell has its number printed.

    Returns
    -------
    Drawing
        Layers of the data: `cell`, one row each with `matrix`, `row`, `column` and `value`, and `mean` with
        the mean of each matrix on and off its diagonal.

    Raises
    ------
    UsageError
        No matrix, one that is not square, has fewer than two rows or holds what is not finite, or names that
        are not as many as its rows.

    Examples
    --------
    >>> drawing = matrix_plot({"after": np.eye(2)}, label="Cosine", x_label="Second", y_label="First")
    >>> drawing.data[drawing.data.layer == "mean"].value.tolist()
    [1.0, 0.0]
    """
    _check(matrices, names)
    data = pd.concat([_cells(title, values) for title, values in matrices.items()], ignore_index=True)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.5 + WIDTH / len(matrices) * 0.86), layout="constrained")
        panels = figure.subplots(1, len(matrices), squeeze=False)[0]
        for axes, (title, values) in zip(panels, matrices.items(), strict=True):
            picture = axes.imshow(values, cmap="cividis", vmin=limits[0], vmax=limits[1])
            axes.set(title=title, xlabel=x_label, xticks=[], yticks=[])
            _print_numbers(axes, np.asarray(values), names, limits)
        panels[0].set_ylabel(y_label)
        if names:
            panels[0].set_yticks(range(len(names)), names)
        figure.colorbar(picture, ax=list(panels), label=label, shrink=0.75)
        finish(figure, left=False)
        for axes in panels:
            axes.spines[:].set_visible(False)
    count = sum(values.size for values in matrices.values())
    return Drawing(figure, data, _alt(data, label, x_label, y_label), count=count, unit="pairs")


def _print_numbers(axes: Axes, values: np.ndarray, names: Sequence[str], limits) -> None:
    """Name the columns and print each value in a colour that its cell lets one read."""
    if not names:
        return
    axes.set_xticks(range(len(names)), names)
    middle = sum(limits) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "black" if value > middle else "white"
        axes.text(column, row, f"{value:+.3f}".replace("-", "−"), ha="center", va="center", color=colour)


def _check(matrices: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    if not matrices:
        raise UsageError("there is no matrix to draw.")
    for title, values in matrices.items():
        shape = np.shape(values)
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 or not np.isfinite(values).all():
            raise UsageError(f"matrix {title!r} must be square and finite, got shape {list(shape)}.")
        if names and len(names) != shape[0]:
            raise UsageError(f"matrix {title!r} has {shape[0]} rows and {len(names)} names.")


def _cells(title: str, values: np.ndarray) -> pd.DataFrame:
    row, column = np.indices(values.shape)
    cells = {"layer": "cell", "matrix": title, "row": row.ravel(), "column": column.ravel()}
    own = np.eye(len(values), dtype=bool)
    means = {"layer": "mean", "matrix": title, "place": ["diagonal", "elsewhere"]}
    return pd.concat(
        [
            pd.DataFrame(cells | {"value": values.ravel()}),
            pd.DataFrame(means | {"value": [values[own].mean(), values[~own].mean()]}),
        ],
        ignore_index=True,
    )


def _alt(data: pd.DataFrame, label: str, x_label: str, y_label: str) -> str:
    sentences = [f"{label} of {y_label.lower()} (rows) and {x_label.lower()} (columns)."]
    for title, part in data[data.layer == "mean"].groupby("matrix", sort=False):
        means = part.set_index("place")["value"]
        sentences.append(
            f"{title}: the mean is {number(means['diagonal'])} on the diagonal and "
            f"{number(means['elsewhere'])} elsewhere."
        )
    return " ".join(sentences)
