"""Reliability: accuracy against confidence in bins, and how many predictions each bin holds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, display_name, figure_style, finish, looks, number, require_columns

__all__ = ["reliability_plot"]

COLUMNS = ["arm", "bin_low", "bin_high", "count", "confidence", "accuracy", "ci_low", "ci_high"]


def reliability_plot(
    table: pd.DataFrame,
    *,
    x_label: str = "Confidence",
    y_label: str = "Accuracy",
    level: float = 0.95,
) -> Drawing:
    """Draw accuracy against confidence, one line an arm, over the share of predictions in each bin.

    Parameters
    ----------
    table : DataFrame
        One row an arm and bin, as `medssl.evaluation.calibration.reliability_table` gives them with a
        column `arm`: ``arm, bin_low, bin_high, count, confidence, accuracy, ci_low, ci_high``.
        At most eight arms.
    x_label, y_label : str
        What is compared; for the probability of one class for instance "Predicted probability" and
        "Observed frequency".
    level : float
        Coverage of the intervals in the table.

    Returns
    -------
    Drawing
        Layers of the data: `bin` (points and bars). On the diagonal confidence is accuracy; below it a
        model is too certain. `n` counts the predictions of all arms.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a bin of an arm appears twice, a value is outside 0..1.

    Examples
    --------
    >>> table = pd.DataFrame({"arm": "simclr", "bin_low": [0.6, 0.8], "bin_high": [0.8, 1.0],
    ...                       "count": [10, 30], "confidence": [0.7, 0.9], "accuracy": [0.7, 0.8],
    ...                       "ci_low": [0.4, 0.6], "ci_high": [0.9, 0.9]})
    >>> drawing = reliability_plot(table)
    >>> drawing.count, drawing.data.share.tolist()
    (40, [0.25, 0.75])
    """
    require_columns(table, COLUMNS, "the table of reliability")
    _check(table)
    data = _bins(table)
    with figure_style():
        figure, upper, lower = _axes()
        _draw(upper, lower, data)
        _label(upper, lower, x_label, y_label, level)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        finish(figure)
    count = int(data["count"].sum())
    return Drawing(figure, data, _alt(data, x_label, y_label), count=count, unit="predictions", level=level)


def _check(table: pd.DataFrame) -> None:
    repeated = table.duplicated(["arm", "bin_low"])
    if repeated.any():
        first = table[repeated].iloc[0]
        raise UsageError(
            f"the table of reliability repeats {first.arm} in the bin from {number(first.bin_low)} "
            f"({int(repeated.sum())} rows); select one run."
        )
    values = table[["confidence", "accuracy", "ci_low", "ci_high"]]
    if (values < 0).any(axis=None) or (values > 1 + 1e-6).any(axis=None) or (table["count"] < 1).any():
        raise UsageError("the table of reliability needs shares between 0 and 1 and counts of at least 1.")


def _bins(table: pd.DataFrame) -> pd.DataFrame:
    data = table[COLUMNS].assign(arm=table["arm"].astype(str), layer="bin")
    data = data.assign(
        gap=data["accuracy"] - data["confidence"],
        share=data["count"] / data.groupby("arm")["count"].transform("sum"),
    )
    error = (data["gap"].abs() * data["share"]).groupby(data["arm"]).sum()  # the expected calibration error
    return data.assign(calibration_error=data["arm"].map(error)).sort_values(
        ["arm", "bin_low"], ignore_index=True
    )


def _axes() -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    return figure, upper, lower


def _draw(upper: Axes, lower: Axes, data: pd.DataFrame) -> None:
    upper.plot([0, 1], [0, 1], color="0.35", linewidth=0.9, zorder=0)
    for name, look in looks(data["arm"]).items():
        part = data[data.arm == name]
        upper.vlines(part.confidence, part.ci_low, part.ci_high, color=look.color, linewidth=1.2, zorder=2)
        style = {"marker": look.marker, "linestyle": look.line, "markersize": 5.5, "markeredgecolor": "0.15"}
        label = display_name(name)
        upper.plot(part.confidence, part.accuracy, color=look.color, label=label, zorder=3, **style)
        edges = np.append(part.bin_low, part.bin_high.iloc[-1])
        lower.plot(*_steps(part, edges), color=look.color, linestyle=look.line, linewidth=1.4)


def _steps(part: pd.DataFrame, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of a histogram; between bins that hold nothing it falls to 0."""
    x, y = [edges[0]], [0.0]
    for row in part.itertuples():
        if row.bin_low > x[-1] + 1e-9:
            x, y = [*x, x[-1], row.bin_low], [*y, 0.0, 0.0]
        x, y = [*x, row.bin_low, row.bin_high], [*y, row.share, row.share]
    return np.array([*x, x[-1]]), np.array([*y, 0.0])


def _label(upper: Axes, lower: Axes, x_label: str, y_label: str, level: float) -> None:
    upper.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    upper.set_ylabel(f"{y_label}\n({number(100 * level)}% interval)")
    lower.set_ylim(0, None)
    lower.set_ylabel("Share of\npredictions")
    lower.set_xlabel(f"{x_label} (mean of a bin; on the diagonal both agree)")


def _alt(data: pd.DataFrame, x_label: str, y_label: str) -> str:
    predictions = int(data["count"].sum())
    what = f"{y_label} against {x_label[0].lower()}{x_label[1:]}"
    sentences = [f"Reliability curves of {predictions} predictions: {what}, with a diagonal."]
    for name, rows in data.groupby("arm"):
        worst = rows.loc[rows.gap.abs().idxmax()]
        sentences.append(
            f"{display_name(name)} has a mean gap of {number(worst.calibration_error)}; the largest is at "
            f"{number(worst.confidence)}, where {y_label[0].lower()}{y_label[1:]} is "
            f"{number(worst.accuracy)} ({worst['count']} predictions)."
        )
    return " ".join(sentences)
