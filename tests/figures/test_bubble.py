"""The bubble plot draws the effects and the fit, and nothing else."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from medssl.errors import UsageError
from medssl.figures import bubble
from medssl.meta import random_effects


def drawn(axes, label):
    """The scatter or band with this label."""
    return next(item for item in axes.collections if item.get_label() == label)


def test_bubbles_stand_at_their_ratio_and_gain(effects, slope):
    """Every effect is one bubble at (log10 ratio, gain), under its method."""
    axes = bubble(effects, slope).figure.axes[0]
    for method, rows in effects.groupby("method"):
        points = drawn(axes, method).get_offsets()
        expected = rows[["log10_label_ratio", "yi"]].to_numpy()
        np.testing.assert_allclose(np.array(sorted(points.tolist())), np.array(sorted(expected.tolist())))


def test_bubble_areas_are_proportional_to_weights(effects, slope):
    """The area of a bubble divided by its weight is the same for all."""
    data = bubble(effects, slope).data
    bubbles = data[data.layer == "effect"]
    expected = 1 / (effects.vi + slope.tau2)
    np.testing.assert_allclose(bubbles.area / bubbles.area.max(), expected / expected.max())
    assert bubbles.weight_percent.sum() == pytest.approx(100)


def test_line_and_bands_are_the_predictions(effects, slope):
    """The drawn line and the edges of both bands are the model's predictions over the observed range."""
    axes = bubble(effects, slope).figure.axes[0]
    line = next(item for item in axes.lines if item.get_label() == "fit")
    x, y = line.get_data()
    assert (x[0], x[-1]) == (effects.log10_label_ratio.min(), effects.log10_label_ratio.max())
    table = slope.predict(pd.DataFrame({"log10_label_ratio": x}))
    np.testing.assert_allclose(y, table.estimate)
    for label in ("ci", "pi"):
        edge = drawn(axes, label).get_paths()[0].vertices[:, 1]
        assert edge.min() == pytest.approx(table[f"{label}_low"].min())
        assert edge.max() == pytest.approx(table[f"{label}_high"].max())


def test_a_zero_line_and_directions_are_on_the_page(effects, slope):
    """Zero is marked, and the axis says which side favours which arm."""
    axes = bubble(effects, slope, comparator="ImageNet").figure.axes[0]
    assert any(np.allclose(item.get_ydata(), 0) for item in axes.lines)
    assert "favours SSL" in axes.get_ylabel()
    assert "favours ImageNet" in axes.get_ylabel()
    assert axes.get_ylim()[0] <= 0 <= axes.get_ylim()[1]


def test_groups_differ_in_marker_and_in_grey(effects):
    """Each method has its own marker, and the bands differ in lightness."""
    figure = bubble(effects).figure
    markers = [item.get_marker() for item in figure.legends[0].legend_handles if item.get_marker() != "None"]
    assert len(set(markers)) == len(markers) == 2
    axes = bubble(effects, random_effects(effects.yi, effects.vi, effects.log10_label_ratio)).figure.axes[0]
    dark, light = (to_rgb(drawn(axes, label).get_facecolor()[0]) for label in ("ci", "pi"))
    assert light[0] - dark[0] > 0.1


def test_without_a_fit_no_line_is_drawn(effects):
    """Too few clusters to fit: bubbles alone, and the alternative text says so."""
    drawing = bubble(effects)
    assert set(drawing.data.layer) == {"effect"}
    assert "No line was fitted" in drawing.alt
    np.testing.assert_allclose(drawing.data.weight_percent, 100 / effects.vi / (1 / effects.vi).sum())


def test_dodged_bubbles_keep_their_true_ratio_in_the_data(effects, slope):
    """A sideways shift is drawn, but the data hold the ratio as it is."""
    data = bubble(effects, slope, dodge=0.1).data
    bubbles = data[data.layer == "effect"]
    np.testing.assert_allclose(bubbles.log10_label_ratio, effects.log10_label_ratio)
    np.testing.assert_allclose(np.abs(bubbles.x_drawn - bubbles.log10_label_ratio), 0.05)


def test_alternative_text_is_computed_from_the_drawn_data(effects, slope):
    """All numbers in the alternative text are in the data, and a wrong one is noticed."""
    drawing = bubble(effects, slope, level=0.9)
    assert drawing.alt.startswith("Bubble plot of 12 effects")
    assert drawing.unsupported_numbers() == []
    assert f"{slope.coef[1]:.3g}" in drawing.alt
    wrong = type(drawing)(drawing.figure, drawing.data, drawing.alt + " The gain is 0.777.", drawing.count)
    assert "0.777" in wrong.unsupported_numbers()


def test_slope_interval_follows_the_level(effects, slope):
    """The slope's drawn interval is the model's at 95% and narrower at 80%."""
    rows = {
        level: bubble(effects, slope, level=level).data.query("layer == 'slope'") for level in (0.95, 0.8)
    }
    assert rows[0.95].ci_low.item() == pytest.approx(slope.ci_low[1])
    assert rows[0.95].ci_low.item() < rows[0.8].ci_low.item() < slope.coef[1]


def test_pyplot_and_settings_are_left_alone(effects, slope):
    """Drawing registers no figure with pyplot and changes no global setting."""
    before = dict(plt.rcParams)
    bubble(effects, slope)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


def test_label_fraction_is_the_other_axis(effects):
    """The fallback moderator has its own axis label."""
    axes = bubble(effects, x="log10_label_fraction").figure.axes[0]
    assert "Label fraction" in axes.get_xlabel()
    assert next(text.get_text() for text in axes.get_xticklabels()) == "0.01"


def test_what_cannot_be_drawn_is_refused(effects, slope, pooled):
    """Absent columns, missing values, another fit and too many groups are usage errors."""
    with pytest.raises(UsageError, match="x is 'year'"):
        bubble(effects, x="year")
    with pytest.raises(UsageError, match="no column vi"):
        bubble(effects.drop(columns="vi"))
    with pytest.raises(UsageError, match="log10_label_ratio has 1 missing"):
        bubble(effects.assign(log10_label_ratio=[np.nan, *effects.log10_label_ratio[1:]]))
    with pytest.raises(UsageError, match="no rows"):
        bubble(effects.iloc[:0])
    with pytest.raises(UsageError, match="draw a fit on log10_label_ratio alone"):
        bubble(effects, pooled)
    with pytest.raises(UsageError, match="12 other effects than the 11"):
        bubble(effects.iloc[1:], slope)
    with pytest.raises(UsageError, match="9 groups cannot be told apart"):
        bubble(effects.assign(method=[*"abcdefghi", "a", "a", "a"]))
