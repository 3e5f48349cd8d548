"""Learning curves: score against the number of labels, one line an arm, with intervals over seeds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from scipy.stats import t

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import display_name, figure_style, finish, looks, new_axes, number, require_columns

__all__ = ["arm_scores", "learning_curve"]

DODGE = 0.025  # sideways distance between arms, in log10 units


def learning_curve(
    scores: pd.DataFrame,
    *,
    score: str = "score",
    scale: str = "AUC",
    summary: str = "mean",
    level: float = 0.95,
) -> Drawing:
    """Draw each arm's score against its number of labels, on a logarithmic axis.

    Parameters
    ----------
    scores : DataFrame
        One row a run: `n_labelled`, `arm`, `seed` and the column `score`; see `arm_scores`.
    score : str
        The column with the score.
    scale : str
        The metric, for the axis label.
    summary : {"mean", "median"}
        "mean": mean with a t interval over seeds; "median": median with the range over seeds.
    level : float
        Coverage of the t interval.

    Returns
    -------
    Drawing
        Layers of the data: `run` (small points) and `summary` (lines and bars). A summary of one seed has no
        interval.

    Raises
    ------
    UsageError
        A column is absent or incomplete, a count is not positive, a run appears twice, an unknown summary.

    Examples
    --------
    >>> runs = pd.DataFrame({"n_labelled": [10, 10, 100, 100], "arm": "simclr", "seed": [0, 1, 0, 1],
    ...                      "score": [0.6, 0.8, 0.8, 0.9]})
    >>> curve = learning_curve(runs)
    >>> curve.data[curve.data.layer == "summary"].centre.round(2).tolist()
    [0.7, 0.85]
    """
    require_columns(scores, ["n_labelled", "arm", "seed", score], "the table of runs")
    _check(scores, summary)
    data = _layers(scores, score, summary, level)
    with figure_style():
        figure, axes = new_axes(height=4.3)
        _draw(axes, data)
        _label(axes, data, scale, summary, level)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        finish(figure)
    return Drawing(figure, data, _alt(data, scale, summary), count=len(scores), unit="runs", level=level)


def arm_scores(pairs: pd.DataFrame, comparator: str = "supervised") -> pd.DataFrame:
    """Turn one row a paired comparison into one row an arm, for `learning_curve`.

    Parameters
    ----------
    pairs : DataFrame
        `n_labelled`, `seed`, `method` and the scores `ssl` and `comparator`, as
        `medssl.experiments.to_table` gives them.
    comparator : str
        What to call the other arm. A comparator that several methods share is kept once.

    Returns
    -------
    DataFrame
        `n_labelled`, `arm`, `seed`, `score`.

    Examples
    --------
    >>> pairs = pd.DataFrame({"n_labelled": 10, "seed": 0, "method": ["simclr", "byol"], "ssl": [0.8, 0.7],
    ...                       "comparator": 0.6})
    >>> arm_scores(pairs).values.tolist()
    [[10, 'simclr', 0, 0.8], [10, 'byol', 0, 0.7], [10, 'supervised', 0, 0.6]]
    """
    require_columns(pairs, ["n_labelled", "seed", "method", "ssl", "comparator"], "the table of comparisons")
    columns = ["n_labelled", "arm", "seed", "score"]
    ours = pairs.assign(arm=pairs["method"], score=pairs["ssl"])[columns]
    theirs = pairs.assign(arm=comparator, score=pairs["comparator"])[columns].drop_duplicates()
    return pd.concat([ours, theirs], ignore_index=True)


def _check(scores: pd.DataFrame, summary: str) -> None:
    if summary not in ("mean", "median"):
        raise UsageError(f"summary is {summary!r}; it must be mean or median.")
    if (scores["n_labelled"] <= 0).any():
        raise UsageError("the table of runs has a number of labels that is not positive.")
    repeated = scores.duplicated(["n_labelled", "arm", "seed"])
    if repeated.any():
        first = scores[repeated].iloc[0]
        raise UsageError(
            f"the table of runs repeats {first.arm}, {first.n_labelled} labels, seed {first.seed} "
            f"({int(repeated.sum())} rows); select one protocol and one data set."
        )


def _layers(scores: pd.DataFrame, score: str, summary: str, level: float) -> pd.DataFrame:
    runs = scores[["n_labelled", "arm", "seed"]].assign(layer="run", centre=scores[score])
    runs["arm"] = runs["arm"].astype(str)
    cells = runs.groupby(["arm", "n_labelled"], sort=True).centre
    table = pd.DataFrame([{"arm": a, "n_labelled": n, **_interval(c, summary, level)} for (a, n), c in cells])
    data = pd.concat([runs, table.assign(layer="summary")], ignore_index=True)
    arms = sorted(runs["arm"].unique())
    shift = DODGE * (data["arm"].map(arms.index) - (len(arms) - 1) / 2)
    return data.assign(x_drawn=data["n_labelled"] * 10.0**shift)


def _interval(values: pd.Series, summary: str, level: float) -> dict[str, float]:
    count = {"seeds": len(values)}
    if summary == "median":
        return {"centre": values.median(), "low": values.min(), "high": values.max(), **count}
    half = np.nan
    if len(values) > 1:
        half = t.isf((1 - level) / 2, len(values) - 1) * values.std() / np.sqrt(len(values))
    return {"centre": values.mean(), "low": values.mean() - half, "high": values.mean() + half, **count}


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    for name, look in looks(data["arm"]).items():
        runs = data[(data.arm == name) & (data.layer == "run")]
        axes.scatter(runs.x_drawn, runs.centre, s=7, color=(*look.color, 0.45), linewidth=0, zorder=1)
        line = data[(data.arm == name) & (data.layer == "summary")]
        axes.vlines(line.x_drawn, line.low, line.high, color=look.color, linewidth=1.4, zorder=2)
        style = {"marker": look.marker, "linestyle": look.line, "markersize": 6.5, "markeredgecolor": "0.15"}
        label = display_name(name)
        axes.plot(line.x_drawn, line.centre, color=look.color, linewidth=1.6, label=label, zorder=3, **style)


def _label(axes: Axes, data: pd.DataFrame, scale: str, summary: str, level: float) -> None:
    axes.set_xscale("log")
    counts = sorted(data["n_labelled"].unique())
    spread = np.log10(counts[-1] / counts[0]) / 9 if len(counts) > 1 else 0.0
    shown = [counts[-1]]
    for count in reversed(counts[:-1]):  # labels that would touch are left out, the largest is kept
        if np.log10(shown[-1] / count) >= spread:
            shown.append(count)
    axes.set_xticks(shown, [f"{count:g}" for count in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Labelled images (log scale)")
    bars = (
        f"mean, {number(100 * level)}% t interval over seeds"
        if summary == "mean"
        else "median and range over seeds"
    )
    axes.set_ylabel(f"{scale} on the test set\n({bars})")


def _alt(data: pd.DataFrame, scale: str, summary: str) -> str:
    table = data[data.layer == "summary"]
    runs = int((data.layer == "run").sum())
    what = f"{scale} against the number of labelled images, {summary} over seeds"
    sentences = [f"Learning curves of {runs} runs: {what}."]
    for name, rows in table.groupby("arm"):
        first, last = rows.iloc[0], rows.iloc[-1]
        sentences.append(
            f"{display_name(name)} goes from {number(first.centre)} with {number(first.n_labelled)} labels "
            f"to {number(last.centre)} with {number(last.n_labelled)}."
        )
    return " ".join(sentences)
