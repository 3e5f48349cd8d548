"""The forest plot draws intervals, diamonds and the prediction bar where the numbers say."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Polygon, Rectangle
from scipy.stats import norm

from medssl.errors import UsageError
from medssl.figures import forest
from medssl.meta import random_effects


def test_each_effect_is_a_square_on_its_interval(effects, pooled):
    """Squares stand at the effects in the order given, on normal intervals."""
    axes = forest(effects, pooled).figure.axes[0]
    segments, squares = axes.collections
    half = norm.ppf(0.975) * np.sqrt(effects.vi.to_numpy())
    np.testing.assert_allclose(squares.get_offsets()[:, 0], effects.yi)
    assert (np.diff(squares.get_offsets()[:, 1]) == -1).all()  # top to bottom
    for segment, low, high in zip(segments.get_segments(), effects.yi - half, effects.yi + half, strict=True):
        np.testing.assert_allclose(segment[:, 0], [low, high])


def test_the_diamond_and_the_bar_are_the_model(effects, pooled):
    """The diamond spans the confidence interval, the bar the prediction interval."""
    axes = forest(effects, pooled, level=0.9).figure.axes[0]
    row = pooled.predict(level=0.9).iloc[0]
    diamond = next(patch for patch in axes.patches if isinstance(patch, Polygon))
    bar = next(patch for patch in axes.patches if isinstance(patch, Rectangle))
    np.testing.assert_allclose(diamond.get_xy()[:3, 0], [row.ci_low, row.estimate, row.ci_high])
    np.testing.assert_allclose([bar.get_x(), bar.get_x() + bar.get_width()], [row.pi_low, row.pi_high])


def test_groups_have_headings_and_diamonds(effects, pooled):
    """Rows are gathered under their heading, with a diamond for each fitted group and one for all."""
    fits = {name: random_effects(rows.yi, rows.vi) for name, rows in effects.groupby("method")}
    drawing = forest(effects, pooled, groups="method", group_fits=fits)
    one = ["heading", *["effect"] * 6, "diamond"]
    assert drawing.data.layer.tolist() == [*one, *one, "diamond", "prediction"]
    assert drawing.data.label[0] == "SimCLR"
    assert drawing.data.estimate[7] == pytest.approx(fits["simclr"].coef[0])
    texts = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert texts[0] == "SimCLR"
    assert len({label.get_position()[1] for label in drawing.figure.axes[0].get_yticklabels()}) == len(texts)


def test_a_group_without_a_fit_gets_no_diamond(effects):
    """With fewer clusters than a model needs, the rows are shown and nothing is pooled."""
    drawing = forest(effects, groups="method")
    assert set(drawing.data.layer) == {"heading", "effect"}
    assert drawing.alt.endswith("No pooled effect was computed.")


def test_a_common_effect_model_has_no_prediction_bar(effects):
    """FE has a diamond and no prediction."""
    drawing = forest(effects, random_effects(effects.yi, effects.vi, method="FE", test="z"))
    assert "prediction" not in set(drawing.data.layer)
    assert drawing.unsupported_numbers() == []


def test_alternative_text_holds_the_pooled_gain(effects, pooled):
    """The alternative text gives n, the pooled gain and the prediction, all found in the data."""
    drawing = forest(effects, pooled)
    assert "12 effects" in drawing.alt
    assert f"{pooled.coef[0]:.3g}" in drawing.alt
    assert drawing.unsupported_numbers() == []


def test_nothing_is_clipped_and_rows_do_not_overlap(effects, pooled):
    """All texts lie inside the figure, and no row label touches the next."""
    long = effects.assign(
        label=[f"An author with a long name {i}, 2024, pleural effusion" for i in range(12)]
    )
    figure = forest(long, pooled).figure
    box = figure.bbox
    texts = [*figure.axes[0].get_yticklabels(), *figure.axes[0].texts, figure.axes[0].xaxis.label]
    for text in texts:
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 <= extent.x1 <= box.x1
        assert box.y0 <= extent.y0 <= extent.y1 <= box.y1
    extents = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in itertools.pairwise(extents))
    assert figure.axes[0].get_position().width > 0.3


def test_long_labels_are_whole_in_the_data(effects):
    """A label that is shortened on the page is whole in the data."""
    label = "Azizi 2021, a label of more than thirty-two letters"
    drawing = forest(effects.assign(label=label))
    assert drawing.data.label[0] == label
    assert drawing.figure.axes[0].get_yticklabels()[0].get_text().endswith("…")


def test_what_cannot_be_drawn_is_refused(effects, slope, pooled):
    """Moderators, other numbers of rows, unknown groups and too many rows are usage errors."""
    with pytest.raises(UsageError, match="without moderators"):
        forest(effects, slope)
    with pytest.raises(UsageError, match="of 12 effects and the table has 11"):
        forest(effects.iloc[1:], pooled)
    with pytest.raises(UsageError, match="group_fits names byol"):
        forest(effects, groups="method", group_fits={"byol": pooled})
    with pytest.raises(UsageError, match="at most 120"):
        forest(pd.concat([effects] * 11))
    with pytest.raises(UsageError, match="no column label"):
        forest(effects.drop(columns="label"))
