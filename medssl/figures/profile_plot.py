"""The profile plot: the likelihood of a variance, and the interval where it is high enough."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from medssl.errors import UsageError
from medssl.figures.drawing import Drawing
from medssl.figures.style import WIDTH, figure_style, finish, number, require_columns

__all__ = ["profile_plot"]

PANEL = 2.5  # inches
MOST = 6  # panels
NAMES = {
    "cluster": "Variance between clusters",
    "effect": "Variance between effects within clusters",
    "tau2": "Variance between studies",
}


def profile_plot(profiles: Sequence) -> Drawing:
    """Draw the profile log-likelihood of each variance, with its estimate, cutoff and interval.

    Parameters
    ----------
    profiles : sequence of Profile, or a Profile
        From ``MultilevelFit.profile``; each gets a panel.

    Returns
    -------
    Drawing
        Layers of the data: `curve`, `estimate`, `cutoff` and `limit`; the column `component` names the panel.
        A limit without end has no row: an upper one that the likelihood never falls to is said in words.

    Raises
    ------
    UsageError
        No profile, more than six, or profiles of different levels.

    Examples
    --------
    >>> from medssl.meta import multilevel
    >>> fit = multilevel([0.05, 0.03, 0.04, 0.01, 0.00, 0.02], [0.0004] * 6, list("aabbcc"), rho=0.6)
    >>> profile_plot([fit.profile("cluster")]).data.layer.value_counts().to_dict()["limit"]
    2
    """
    profiles = [profiles] if hasattr(profiles, "component") else list(profiles)
    _check(profiles)
    data = pd.concat([_layers(each) for each in profiles], ignore_index=True)
    level = float(profiles[0].level)
    with figure_style():
        figure = Figure(figsize=(WIDTH, 0.9 + PANEL * len(profiles)), layout="constrained")
        panels = figure.subplots(len(profiles), 1, squeeze=False)[:, 0]
        for axes, each in zip(panels, profiles, strict=True):
            _draw(axes, data[data.component == each.component])
            axes.set_ylabel("Log-likelihood")
            axes.set_xlabel(NAMES.get(each.component, each.component))
        figure.legend(handles=_key(level), loc="outside lower center", ncols=2, frameon=False)
        finish(figure)
    return Drawing(figure, data, _alt(data, level), count=len(profiles), unit="profiles", level=level)


def _check(profiles: list) -> None:
    if not 0 < len(profiles) <= MOST:
        raise UsageError(f"profile_plot has {len(profiles)} profiles; give 1 to {MOST}.")
    names = [each.component for each in profiles]
    if len(set(names)) < len(names):
        raise UsageError(f"the profiles are of {', '.join(names)}; give each component once.")
    levels = sorted({each.level for each in profiles})
    if len(levels) > 1:
        raise UsageError(f"the profiles have levels {', '.join(map(str, levels))}; use one.")
    for each in profiles:
        require_columns(each.table, ["value", "log_likelihood"], f"the profile of {each.component}")


def _layers(profile) -> pd.DataFrame:
    curve = profile.table.sort_values("value")[["value", "log_likelihood"]].assign(layer="curve")
    top = float(np.interp(profile.estimate, curve["value"], curve["log_likelihood"]))
    rows = [
        {"layer": "estimate", "value": profile.estimate, "log_likelihood": top},
        {"layer": "cutoff", "log_likelihood": profile.cutoff},
        *(
            {"layer": "limit", "value": end, "log_likelihood": _height(profile, end)}
            for end in _limits(profile)
        ),
    ]
    table = pd.concat([curve, pd.DataFrame(rows)], ignore_index=True)
    table.insert(0, "component", profile.component)
    return table


def _limits(profile) -> list[float]:
    return [float(end) for end in (profile.low, profile.high) if np.isfinite(end)]


def _height(profile, end: float) -> float:
    """Return the cutoff, or the likelihood at 0 where the interval ends there before it falls so far."""
    if end > 0:
        return profile.cutoff
    return float(profile.table.sort_values("value")["log_likelihood"].iloc[0])


def _draw(axes: Axes, data: pd.DataFrame) -> None:
    curve, limits = data[data.layer == "curve"], data[data.layer == "limit"]
    estimate, cutoff = (data[data.layer == layer].iloc[0] for layer in ("estimate", "cutoff"))
    heights = curve.log_likelihood
    floor = min(heights.min(), cutoff.log_likelihood) - 0.06 * (heights.max() - heights.min())
    axes.set_ylim(floor, heights.max() + 0.15 * (heights.max() - floor))
    axes.plot(curve.value, heights, color="#0173b2", linewidth=1.8, zorder=3, label="curve")
    axes.axhline(cutoff.log_likelihood, color="0.25", linestyle="--", linewidth=1.1, zorder=2)
    axes.vlines(
        limits.value, floor, limits.log_likelihood, color="0.25", linestyle=":", linewidth=1.5, zorder=2
    )
    axes.vlines([estimate.value], floor, estimate.log_likelihood, color="black", linewidth=1.0, zorder=2)
    style = {
        "marker": "D",
        "s": 42,
        "facecolor": "white",
        "edgecolor": "black",
        "linewidth": 1.3,
        "zorder": 4,
    }
    axes.scatter([estimate.value], [estimate.log_likelihood], clip_on=False, **style)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=True)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _key(level: float) -> list:
    diamond = {"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 6.5}
    return [
        Line2D([], [], color="#0173b2", linewidth=1.8, label="Profile log-likelihood"),
        Line2D([], [], color="black", linewidth=1.0, label="Estimate", **diamond),
        Line2D(
            [],
            [],
            color="0.25",
            linestyle="--",
            linewidth=1.1,
            label=f"Cutoff of the {number(100 * level)}% interval",
        ),
        Line2D([], [], color="0.25", linestyle=":", linewidth=1.5, label="Its limits"),
    ]


def _alt(data: pd.DataFrame, level: float) -> str:
    sentences = ["Profile log-likelihoods of variances, each highest at its estimate."]
    for component, rows in data.groupby("component", sort=False):
        estimate = rows[rows.layer == "estimate"].value.item()
        limits = [number(end) for end in rows[rows.layer == "limit"].value]
        interval = " to ".join(limits) if len(limits) == 2 else f"{limits[0]} upwards without end"
        sentences.append(
            f"{NAMES.get(component, component)}: {number(estimate)}, "
            f"{number(100 * level)}% interval {interval}."
        )
    return " ".join(sentences)
