"""The profile plot draws the likelihood of each variance and the interval that it gives."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.figures import profile_plot
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.meta import Profile, multilevel


@pytest.fixture(scope="module")
def profiles():
    """Both profiles of a multilevel fit with clear variances."""
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(12), 4)
    yi = 0.03 + rng.normal(scale=0.04, size=12)[cluster] + rng.normal(scale=0.03, size=48)
    fit = multilevel(yi, np.full(48, 4e-4), cluster, rho=0.6)
    return [fit.profile("cluster", points=21), fit.profile("effect", points=21)]


def parabola(**changes) -> Profile:
    """A profile with a known shape: 5 - (value - 2)^2, cutoff 3."""
    value = np.linspace(0, 5, 51)
    table = pd.DataFrame({"value": value, "log_likelihood": 5 - (value - 2) ** 2})
    ends = {"low": 2 - np.sqrt(2), "high": 2 + np.sqrt(2)}
    return replace(Profile("tau2", 2.0, level=0.9, cutoff=3.0, table=table, **ends), **changes)


def test_curve_estimate_cutoff_and_limits_are_the_profile():
    """Every drawn thing stands where the profile says."""
    profile = parabola()
    axes = profile_plot([profile]).figure.axes[0]
    curve = next(line for line in axes.lines if line.get_label() == "curve")
    np.testing.assert_allclose(np.column_stack(curve.get_data()), profile.table)
    cutoff = next(line for line in axes.lines if line.get_linestyle() == "--")
    np.testing.assert_allclose(cutoff.get_ydata(), 3.0)
    limits, _, diamond = axes.collections
    np.testing.assert_allclose([s[0, 0] for s in limits.get_segments()], [profile.low, profile.high])
    np.testing.assert_allclose([s[1, 1] for s in limits.get_segments()], 3.0)
    np.testing.assert_allclose(diamond.get_offsets(), [[2.0, 5.0]])


def test_each_profile_has_a_panel(profiles):
    """The panels are in the order given, named in words, and the data tell them apart."""
    drawing = profile_plot(profiles)
    names = [axes.get_xlabel() for axes in drawing.figure.axes]
    assert names == ["Variance between clusters", "Variance between effects within clusters"]
    assert drawing.data.groupby("component").size().to_dict() == {
        each.component: len(each.table) + 4 for each in profiles
    }
    assert (drawing.count, drawing.unit) == (2, "profiles")


def test_words_hold_estimates_and_intervals(profiles):
    """The alternative text gives each variance with its interval, all found in the data."""
    drawing = profile_plot(profiles)
    for each in profiles:
        assert f"{each.estimate:.3g}, 95% interval {each.low:.3g} to {each.high:.3g}" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_an_interval_from_zero_ends_at_the_curve():
    """Where the likelihood at 0 is above the cutoff the lower limit is 0, drawn as high as the curve."""
    drawing = profile_plot(parabola(cutoff=0.0, low=0.0, high=2 + np.sqrt(5)))
    limits = drawing.data[drawing.data.layer == "limit"]
    np.testing.assert_allclose(limits[["value", "log_likelihood"]], [[0, 1], [2 + np.sqrt(5), 0]])


def test_an_endless_interval_is_said_in_words():
    """An infinite upper limit is not drawn; the words say that there is none."""
    drawing = profile_plot(parabola(high=np.inf))
    assert (drawing.data.layer == "limit").sum() == 1
    assert drawing.alt.endswith("90% interval 0.586 upwards without end.")
    assert drawing.unsupported_numbers() == []


def test_nothing_is_clipped(profiles):
    """All texts lie inside the page and apart, in 9 points or more; lines differ in their dashes."""
    figure = profile_plot(profiles).figure
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9
    styles = [item.get_linestyle() for item in figure.legends[0].legend_handles]
    assert {"-", "--", ":"} == set(styles)


def test_what_cannot_be_drawn_is_refused(profiles):
    """No profile, repeated components, mixed levels and incomplete curves are usage errors."""
    with pytest.raises(UsageError, match="0 profiles; give 1 to 6"):
        profile_plot([])
    with pytest.raises(UsageError, match="cluster, cluster; give each component once"):
        profile_plot([profiles[0], profiles[0]])
    with pytest.raises(UsageError, match=r"levels 0.9, 0.95; use one"):
        profile_plot([profiles[0], parabola()])
    with pytest.raises(UsageError, match="the profile of tau2 has no column log_likelihood"):
        profile_plot(parabola(table=pd.DataFrame({"value": [1.0]})))
