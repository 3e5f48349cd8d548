"""The GOSH plot draws every subset, their densities, and the parts that a row makes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PolyCollection

from medssl.errors import UsageError
from medssl.figures import gosh_plot
from medssl.figures._layout import drawn_texts, outside, overlapping


def subsets(count: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Results of subsets, half of them with a row that raises both numbers."""
    rng = np.random.default_rng(seed)
    split = rng.uniform(size=count) < 0.5
    split[:2] = [True, False]
    i2 = np.maximum(0, rng.normal(30, 25, count)) + 30 * split
    estimate = rng.normal(0.02, 0.005, count) + 0.02 * split
    return pd.DataFrame({"estimate": estimate, "i2": i2, "tau2": i2 / 1e4}), split


def test_each_subset_is_a_point():
    """Few subsets are points at (estimate, I2)."""
    table, _ = subsets(300)
    main = gosh_plot(table).figure.axes[0]
    points = next(item for item in main.collections if item.get_label() == "subset")
    np.testing.assert_allclose(points.get_offsets(), table[["estimate", "i2"]])


def test_many_subsets_are_counted_in_hexagons():
    """Above 2,000 subsets hexagons hold all of them, and the legend gives the fullest one."""
    table, _ = subsets(5000)
    drawing = gosh_plot(table)
    cells = next(item for item in drawing.figure.axes[0].collections if isinstance(item, PolyCollection))
    assert cells.get_array().sum() == 5000
    words = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert words == ["1 subset", f"{cells.get_array().max():.0f} subsets"]
    assert (drawing.data.layer == "subset").sum() == 5000


def test_densities_have_area_one():
    """The bars of each margin are numpy's density histogram, drawn on the right axes."""
    table, _ = subsets(800)
    drawing = gosh_plot(table)
    _, top, right = drawing.figure.axes
    for axis, axes in (("estimate", top), ("i2", right)):
        bars = drawing.data[(drawing.data.layer == "density") & (drawing.data.axis == axis)]
        density, edges = np.histogram(table[axis], bins=len(bars), density=True)
        np.testing.assert_allclose(bars.density, density)
        np.testing.assert_allclose(bars.low, edges[:-1])
        assert (bars.density * (bars.high - bars.low)).sum() == pytest.approx(1)
        values = axes.patches[0].get_data()
        np.testing.assert_allclose(values.values, density)


def test_a_split_makes_two_parts():
    """The subsets with and without the row are drawn apart; both densities together have area one."""
    table, split = subsets(600)
    drawing = gosh_plot(table, split)
    main = drawing.figure.axes[0]
    for part, chosen in (("with", split), ("without", ~split)):
        points = next(item for item in main.collections if item.get_label() == part)
        np.testing.assert_allclose(points.get_offsets(), table.loc[chosen, ["estimate", "i2"]])
        middle = drawing.data[(drawing.data.layer == "median") & (drawing.data.part == part)].iloc[0]
        assert middle.estimate == pytest.approx(np.median(table.estimate[chosen]))
        bars = drawing.data[(drawing.data.part == part) & (drawing.data.axis == "estimate")]
        assert (bars.density * (bars.high - bars.low)).sum() == pytest.approx(chosen.mean())


def test_parts_differ_in_marker_and_hatch():
    """Without colours the two parts have other markers, and one density is hatched."""
    figure = gosh_plot(*subsets(100)).figure
    markers = [item.get_marker() for item in figure.legends[0].legend_handles]
    assert len(set(markers)) == 2
    assert [bool(patch.get_hatch()) for patch in figure.axes[1].patches] == [False, True]


def test_heterogeneity_can_be_tau2():
    """The vertical axis is I2 where there is one, and tau2 on request or alone."""
    table, _ = subsets(50)
    for drawing in (gosh_plot(table, heterogeneity="tau2"), gosh_plot(table.drop(columns="i2"))):
        points = drawing.figure.axes[0].collections[0].get_offsets()
        np.testing.assert_allclose(points[:, 1], table.tau2)
        assert "τ²" in drawing.figure.axes[0].get_ylabel()
        assert "tau squared" in drawing.alt
        assert drawing.unsupported_numbers() == []


def test_words_are_computed_from_the_data():
    """Medians and ranges in the alternative text are in the data; a year in a name is no number."""
    table, split = subsets(200)
    drawing = gosh_plot(table, split, row="Azizi 2021, CheXpert")
    assert drawing.alt.startswith("GOSH plot of 200 subsets")
    assert f"with Azizi … has a gain of {np.median(table.estimate[split]):.3g}" in drawing.alt
    assert drawing.unsupported_numbers() == []
    assert (drawing.count, drawing.unit) == (200, "subsets")


@pytest.mark.parametrize("count", [2, 120, 4000])
def test_nothing_is_clipped(count):
    """Two subsets or thousands, with a long name: all texts inside, apart, in 9 points or more."""
    table, split = subsets(count)
    words = {
        "row": "a research group with a long name, pleural effusion",
        "comparator": "random initialisation",
    }
    for figure in (gosh_plot(table, split, **words).figure, gosh_plot(table, **words).figure):
        assert outside(figure) == []
        assert overlapping(figure) == []
        assert min(text.get_fontsize() for text in drawn_texts(figure)) >= 9


def test_equal_subsets_are_a_figure():
    """Without any spread the densities are one bar of area one."""
    drawing = gosh_plot(pd.DataFrame({"estimate": [0.01] * 3, "i2": [0.0] * 3}))
    bars = drawing.data[(drawing.data.layer == "density") & (drawing.data.axis == "i2")]
    assert (bars.density * (bars.high - bars.low)).sum() == pytest.approx(1)
    assert (bars.density > 0).sum() == 1


def test_what_cannot_be_drawn_is_refused():
    """Absent columns, unknown axes and splits that do not fit are usage errors."""
    table, split = subsets(20)
    with pytest.raises(UsageError, match="no column tau2"):
        gosh_plot(table[["estimate"]])
    with pytest.raises(UsageError, match="heterogeneity is 'q'"):
        gosh_plot(table, heterogeneity="q")
    with pytest.raises(UsageError, match=r"shape \(19,\) and type bool; give 20 booleans"):
        gosh_plot(table, split[1:])
    with pytest.raises(UsageError, match="type int64; give 20 booleans"):
        gosh_plot(table, split.astype("int64"))
    with pytest.raises(UsageError, match="all subsets on one side"):
        gosh_plot(table, np.ones(20, bool))
