"""The funnel plot draws effects, regions of significance and the funnel where the numbers say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures import funnel
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.meta import multilevel, random_effects


def drawn(axes, label):
    """The points with this label."""
    return next(item for item in axes.collections if item.get_label() == label)


def test_effects_stand_at_their_error_with_zero_on_top(effects, pooled):
    """Every effect is one point at (effect, standard error), and the axis of errors is turned round."""
    axes = funnel(effects, pooled).figure.axes[0]
    points = drawn(axes, "Effect").get_offsets()
    np.testing.assert_allclose(points, np.column_stack([effects.yi, np.sqrt(effects.vi)]))
    bottom, top = axes.get_ylim()
    assert top == 0
    assert bottom > np.sqrt(effects.vi.max())


def test_regions_have_normal_edges_around_zero(effects):
    """At each standard error an effect on the edge of a region has that region's two-sided p value."""
    drawing = funnel(effects, contours=(0.99, 0.9, 0.95))
    rows = drawing.data[drawing.data.layer == "contour"]
    np.testing.assert_allclose(rows.p_value, [0.1, 0.05, 0.01])
    np.testing.assert_allclose(2 * norm.sf(rows.high / rows.standard_error), rows.p_value)
    np.testing.assert_allclose(rows.low, -rows.high)
    for patch, row in zip(drawing.figure.axes[0].patches[::-1], rows.itertuples(), strict=True):
        corners = patch.get_xy()[:3]  # wide regions first, narrow ones over them
        expected = [[row.low, row.standard_error], [0, 0], [row.high, row.standard_error]]
        np.testing.assert_allclose(corners, expected)


def test_inside_counts_agree_with_a_loop(effects, pooled):
    """The counts of effects in the regions, and on both sides of the pooled gain, are those of a loop."""
    data = funnel(effects, pooled, level=0.8).data
    pairs = list(zip(effects.yi, np.sqrt(effects.vi), strict=True))
    for row in data[data.layer == "contour"].itertuples():
        assert row.inside == sum(2 * norm.sf(abs(y) / se) >= row.p_value for y, se in pairs)
    row = data[data.layer == "funnel"].iloc[0]
    centre = pooled.coef[0]
    assert row.inside == sum(abs(y - centre) <= norm.ppf(0.9) * se for y, se in pairs)
    assert (row.below, row.above) == (sum(effects.yi < centre), sum(effects.yi > centre))


def test_the_funnel_is_centred_at_the_pooled_gain(effects, pooled):
    """Its sides meet at the pooled gain and are as wide as sampling error, not wider for heterogeneity."""
    drawing = funnel(effects, pooled)
    line = next(item for item in drawing.figure.axes[0].lines if item.get_linestyle() == "--")
    x, y = line.get_data()
    assert (x[1], y[1]) == (pytest.approx(pooled.coef[0]), 0)
    np.testing.assert_allclose(x[[0, 2]] - x[1], norm.ppf(0.975) * y[0] * np.array([-1, 1]))


def test_filled_effects_have_open_markers(effects, pooled):
    """What trim and fill adds is white, drawn apart, and counted apart."""
    added = pd.DataFrame({"yi": [-0.03, -0.05], "vi": [0.0009, 0.0004]})
    drawing = funnel(effects, pooled, filled=added)
    points = drawn(drawing.figure.axes[0], "filled")
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([added.yi, [0.03, 0.02]]))
    assert to_rgb(points.get_facecolor()[0]) == (1, 1, 1)
    assert drawing.count == 12
    assert "Trim and fill adds 2." in drawing.alt
    assert drawing.unsupported_numbers() == []
    assert set(funnel(effects, filled=added.iloc[:0]).data.layer) == {"effect", "contour"}


def test_the_result_of_trim_and_fill_can_be_given_itself(effects, pooled):
    """An object with `yi`, `vi` and the mask `filled` is read like the table of its filled rows."""

    class Result:
        yi = np.array([0.1, 0.2, -0.3])
        vi = np.array([0.01, 0.01, 0.04])
        filled = np.array([False, False, True])

    data = funnel(effects, pooled, filled=Result()).data
    assert data[data.layer == "filled"][["estimate", "standard_error"]].values.tolist() == [[-0.3, 0.2]]


def test_groups_and_regions_are_told_apart_in_grey(effects):
    """Groups differ in their marker, regions in lightness."""
    figure = funnel(effects, by="method").figure
    markers = [item.get_marker() for item in figure.legends[0].legend_handles if hasattr(item, "get_marker")]
    assert len(set(markers)) == len(markers) == 2
    axes = figure.axes[0]
    shades = [to_rgb(patch.get_facecolor())[0] for patch in axes.patches] + [to_rgb(axes.get_facecolor())[0]]
    assert min(abs(np.diff(sorted(shades)))) > 0.07


def test_a_multilevel_fit_is_a_centre_too(effects):
    """The centre of the funnel is the multilevel mean."""
    fit = multilevel(effects.yi, effects.vi, [*"abacbb", *"ddcaae"], rho=0.6)
    data = funnel(effects, fit).data
    assert data[data.layer == "funnel"].estimate.item() == pytest.approx(fit.coef[0])


def test_many_effects_fit_on_the_page():
    """1,500 effects in groups with long names: nothing is clipped, texts stand apart, letters are legible."""
    rng = np.random.default_rng(3)
    groups = [f"Pretraining of kind {name} on a large archive" for name in "abcdefgh"]
    table = pd.DataFrame({"yi": rng.normal(0.02, 0.1, 1500), "vi": rng.uniform(1e-5, 1e-2, 1500)})
    table["group"] = rng.choice(groups, 1500)
    drawing = funnel(table, random_effects(table.yi, table.vi), by="group")
    assert outside(drawing.figure) == []
    assert overlapping(drawing.figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(drawing.figure)) >= 9
    assert drawing.unsupported_numbers() == []


@pytest.mark.parametrize("contours", [(), (0.95,)])
def test_two_effects_and_few_contours(effects, contours):
    """Two effects alone are a figure, with one region or none."""
    drawing = funnel(effects.iloc[:2], contours=contours)
    assert (drawing.data.layer == "contour").sum() == len(contours)
    assert outside(drawing.figure) == []
    assert drawing.unsupported_numbers() == []


def test_what_cannot_be_drawn_is_refused(effects, slope, pooled):
    """Moderators, other rows, absent columns and impossible coverages are usage errors."""
    with pytest.raises(UsageError, match="a funnel needs a fit without moderators"):
        funnel(effects, slope)
    with pytest.raises(UsageError, match="of 12 effects and the table has 11"):
        funnel(effects.iloc[1:], pooled)
    with pytest.raises(UsageError, match="the table of effects has no column vi"):
        funnel(effects.drop(columns="vi"))
    with pytest.raises(UsageError, match="the table of filled effects has no column vi"):
        funnel(effects, filled=effects[["yi"]])
    with pytest.raises(UsageError, match="between 0 and 1; 95 does not"):
        funnel(effects, contours=(95,))
    with pytest.raises(UsageError, match="5 contours cannot be told apart"):
        funnel(effects, contours=(0.5, 0.6, 0.7, 0.8, 0.9))
