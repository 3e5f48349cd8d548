"""The bubble plot draws the effects and the fit, and nothing else."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from scipy import stats

from medssl.errors import UsageError
from medssl.figures import bubble
from medssl.figures._layout import drawn_texts, outside, overlapping
from medssl.meta import multilevel, random_effects


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


@pytest.fixture
def dependent(effects):
    """The effects in five clusters, regressed on the label ratio by the multilevel model."""
    clusters = [*"abacbb", *"ddcaae"]
    return multilevel(effects.yi, effects.vi, clusters, effects.log10_label_ratio, rho=0.6)


@pytest.fixture
def curve():
    """A curve over the observed range, its rows not in order."""
    x = np.array([0.0, -2.0, -1.0])
    bands = {
        "ci_low": 0.01 - 0.02 * x,
        "ci_high": 0.03 - 0.02 * x,
        "pi_low": -x / 50,
        "pi_high": 0.1 - x / 50,
    }
    return pd.DataFrame({"log10_label_ratio": x, "estimate": 0.02 - 0.02 * x, **bands})


def test_any_numeric_column_can_be_the_axis(effects):
    """Another column keeps its own units: plain ticks, its name as the label, its values in the words."""
    years = effects.assign(publication_year=2019 + np.arange(12) % 6)
    fit = random_effects(years.yi, years.vi, years.publication_year.astype(float))
    drawing = bubble(years, fit, x="publication_year")
    axes = drawing.figure.axes[0]
    assert axes.get_xlabel() == "Publication year"
    ticks = {text.get_text() for text in axes.get_xticklabels()}
    assert {"2019", "2024"} <= ticks
    assert all(float(tick).is_integer() for tick in ticks)
    assert "ratio" not in drawing.data
    assert "publication year of 2019 to 2024" in drawing.alt
    assert "For each unit of publication year" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_a_label_can_be_given(effects):
    """`x_label` replaces the label of the axis, for known and other columns."""
    assert bubble(effects, x_label="Labels per image").figure.axes[0].get_xlabel() == "Labels per image"
    other = effects.rename(columns={"log10_label_ratio": "log10_batch_size"})
    axes = bubble(other, x="log10_batch_size").figure.axes[0]
    assert axes.get_xlabel() == "Batch size (log scale)"
    assert next(text.get_text() for text in axes.get_xticklabels()) == "0.01"  # 10 to the power of the column


def test_a_multilevel_line_and_its_robust_bands(effects, dependent):
    """A multilevel fit is drawn by its own predictions, or by its robust ones, at the level of the figure."""
    at = pd.DataFrame({"log10_label_ratio": np.linspace(-2, 0, 61)})

    def limits(source):
        df = source.df[1] if np.ndim(source.df) else source.df
        return stats.t.interval(0.8, df, source.coef[1], source.se[1])

    for interval, source in (("model", dependent), ("robust", dependent.robust(level=0.8))):
        drawing = bubble(effects, dependent, interval=interval, level=0.8)
        line = drawing.data[drawing.data.layer == "fit"]
        expected = source.predict(at, level=0.8)
        columns = ["estimate", "ci_low", "ci_high", "pi_low", "pi_high"]
        np.testing.assert_allclose(line[columns], expected[columns])
        slope = drawing.data[drawing.data.layer == "slope"].iloc[0]
        assert slope.ci_low == pytest.approx(limits(source)[0])
        assert slope.ci_high == pytest.approx(limits(source)[1])
        assert drawing.unsupported_numbers() == []
    weight = 1 / (effects.vi + dependent.sigma2.sum())
    bubbles = drawing.data[drawing.data.layer == "effect"]
    np.testing.assert_allclose(bubbles.weight_percent, 100 * weight / weight.sum())


def test_a_curve_replaces_the_line(effects, curve):
    """The drawn line and bands are the curve's rows in the order of x, and there is no slope."""
    drawing = bubble(effects, curve=curve)
    line = drawing.data[drawing.data.layer == "fit"]
    np.testing.assert_allclose(line[list(curve)], curve.sort_values("log10_label_ratio"))
    assert "slope" not in set(drawing.data.layer)
    axes = drawing.figure.axes[0]
    drawn_line = next(item for item in axes.lines if item.get_label() == "fit")
    np.testing.assert_allclose(drawn_line.get_xdata(), [-2, -1, 0])
    assert "A curve was fitted" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_a_fit_beside_a_curve_gives_the_weights(effects, curve, pooled):
    """Any fit of the same effects weighs the bubbles; the line is the curve's."""
    data = bubble(effects, pooled, curve=curve).data
    expected = 1 / (effects.vi + pooled.tau2)
    np.testing.assert_allclose(data[data.layer == "effect"].weight_percent, 100 * expected / expected.sum())
    assert (data.layer == "fit").sum() == 3


def test_a_curve_without_prediction_has_one_band(effects, curve):
    """Missing prediction limits leave their band and its legend entry out."""
    drawing = bubble(effects, curve=curve.assign(pi_low=np.nan, pi_high=np.nan))
    words = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert "95% confidence band" in words
    assert "95% prediction band" not in words


def test_many_bubbles_leave_the_line_visible(effects, slope):
    """Bubbles shrink when there are many, all by one factor, and the line lies above them."""
    many = pd.concat([effects] * 100, ignore_index=True)
    fit = random_effects(many.yi, many.vi, many.log10_label_ratio)
    few, crowd = bubble(effects, slope), bubble(many, fit)
    areas = [drawing.data[drawing.data.layer == "effect"].area for drawing in (few, crowd)]
    assert areas[0].max() == pytest.approx(190)
    assert areas[1].max() == pytest.approx(190 * np.sqrt(150 / 1200))
    weight = 1 / (many.vi + fit.tau2)
    np.testing.assert_allclose(areas[1] / areas[1].max(), weight / weight.max())
    axes = crowd.figure.axes[0]
    line = next(item for item in axes.lines if item.get_label() == "fit")
    assert line.get_zorder() > max(item.get_zorder() for item in axes.collections)


def test_nothing_is_clipped(effects, slope):
    """All texts lie inside the page and apart, in letters of 9 points or more, with long names too."""
    long = effects.assign(method=effects.method + ", pretrained on a large hospital archive")
    figure = bubble(long, slope, comparator="random initialisation").figure
    assert outside(figure) == []
    assert overlapping(figure) == []
    assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9


def test_curves_and_columns_that_cannot_be_drawn_are_refused(effects, curve):
    """Text columns, incomplete curves and curves beyond the effects are usage errors."""
    with pytest.raises(UsageError, match="x is 'method'; it must be a numeric column"):
        bubble(effects, x="method")
    with pytest.raises(UsageError, match="the curve has no column pi_high"):
        bubble(effects, curve=curve.drop(columns="pi_high"))
    with pytest.raises(UsageError, match="the curve: column ci_low has 1 missing"):
        bubble(effects, curve=curve.assign(ci_low=[np.nan, 0.0, 0.0]))
    with pytest.raises(UsageError, match="runs from -3 to 0 and the effects from -2 to 0"):
        bubble(effects, curve=curve.replace({"log10_label_ratio": {-2.0: -3.0}}))
